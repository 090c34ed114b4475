/* target.c - where a URL's request goes.
 *
 * Owns:    a target its route and strings; a cache its targets. Kept by: the cache, and the responses of its requests.
 * Threads: the loop's. PYCALL: target_find (session._target_of), target_url and target_real_url (yarl). */
#include "http/target.h"

#include "http/connector.h"
#include "http/quick.h"
#include "http/session.h"
#include "proto/http1_write.h"
#include "proto/url.h"

/* ---- one target ---------------------------------------------------------------------------- */

static COLD TargetObject *
refuse(const char *what)
{
    PyErr_Format(PyExc_ValueError, "%s contains bytes that cannot be sent", what);
    return NULL;
}

TargetObject *
target_bare(core_state *st, RouteObject *route, PyObject *real_url)
{
    TargetObject *t = PyObject_GC_New(TargetObject, st->http->http_target_type);
    if (t == NULL) {
        return NULL;
    }
    t->route = (RouteObject *)Py_XNewRef((PyObject *)route);
    t->real_url = Py_XNewRef(real_url);
    t->text = t->url = NULL;
    t->line = NULL;
    t->line_len = t->host_at = 0;
    PyObject_GC_Track(t);
    return t;
}

static TargetObject *
target_make(core_state *st, RouteObject *route, const char *host, size_t host_len, const char *target, size_t len,
            int slash)
{
    static const char middle[] = " HTTP/1.1\r\nHost: ";
    if (http1_check_value(host, host_len, NULL) < 0 || len > UINT32_MAX / 4 || host_len > UINT32_MAX / 4) {
        return refuse("host");
    }
    if (!slash && http1_check_target(target, len, NULL) < 0) {
        return refuse("URL");
    }
    size_t total = (size_t)slash + len + sizeof middle - 1 + host_len + 2;
    char *line = PyMem_Malloc(total), *p = line;
    TargetObject *t = line == NULL ? (TargetObject *)PyErr_NoMemory() : target_bare(st, route, NULL);
    if (t == NULL) {
        PyMem_Free(line);
        return NULL;
    }
    if (slash) {
        *p++ = '/';
    }
    memcpy(p, target, len);
    p += len;
    memcpy(p, middle, sizeof middle - 1);
    p += sizeof middle - 1;
    memcpy(p, host, host_len);
    memcpy(p + host_len, "\r\n", 2);
    t->line = line;
    t->line_len = (uint32_t)total;
    t->host_at = (uint32_t)(p - line) - 6; /* "Host: " */
    return t;
}

TargetObject *
target_new(core_state *st, RouteObject *route, PyObject *text, PyObject *real_url, PyObject *host, PyObject *target)
{
    Py_ssize_t host_len, target_len;
    const char *h = PyUnicode_AsUTF8AndSize(host, &host_len);
    const char *p = h == NULL ? NULL : PyUnicode_AsUTF8AndSize(target, &target_len);
    if (p == NULL) {
        return NULL;
    }
    TargetObject *t = target_make(st, route, h, (size_t)host_len, p, (size_t)target_len, 0);
    if (t != NULL) {
        t->text = Py_XNewRef(text);
        t->real_url = Py_XNewRef(real_url);
    }
    return t;
}

PyObject *
target_real_url(core_state *st, TargetObject *t)
{
    if (t->real_url == NULL) {
        t->real_url = PyObject_CallOneArg(st->http->URL, t->text);
    }
    return t->real_url;
}

PyObject *
target_url(core_state *st, TargetObject *t)
{
    if (t->url != NULL) {
        return t->url;
    }
    PyObject *real = target_real_url(st, t);
    PyObject *fragment = real == NULL ? NULL : PyObject_GetAttr(real, st->http->n_raw_fragment);
    if (fragment == NULL) {
        return NULL;
    }
    int has = PyObject_IsTrue(fragment);
    Py_DECREF(fragment);
    if (has == 0) {
        t->url = Py_NewRef(real);
    }
    else if (has > 0) {
        t->url = PyObject_CallMethodOneArg(real, st->http->n_with_fragment, Py_None);
    }
    return t->url;
}

static int
target_traverse(PyObject *self, visitproc visit, void *arg)
{
    TargetObject *t = (TargetObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(t->route);
    Py_VISIT(t->text);
    Py_VISIT(t->real_url);
    Py_VISIT(t->url);
    return 0;
}

static int
target_clear(PyObject *self)
{
    TargetObject *t = (TargetObject *)self;
    Py_CLEAR(t->route);
    Py_CLEAR(t->text);
    Py_CLEAR(t->real_url);
    Py_CLEAR(t->url);
    return 0;
}

static void
target_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    target_clear(self);
    PyMem_Free(((TargetObject *)self)->line);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- the cache ----------------------------------------------------------------------------- */

/* The oldest goes when it is full. -1 with an exception. */
static int
keep(PyObject **dict, PyObject *key, PyObject *value)
{
    if (*dict == NULL && (*dict = PyDict_New()) == NULL) {
        return -1;
    }
    if (PyDict_GET_SIZE(*dict) >= TARGET_CACHE) {
        Py_ssize_t pos = 0;
        PyObject *oldest, *unused;
        if (PyDict_Next(*dict, &pos, &oldest, &unused)) {
            Py_INCREF(oldest);
            int err = PyDict_DelItem(*dict, oldest);
            Py_DECREF(oldest);
            if (err < 0) {
                return -1;
            }
        }
    }
    return PyDict_SetItem(*dict, key, value);
}

/* The part of the text before the path, if it is a plain http or https URL that yarl would not change. */
static size_t
plain_origin(const char *s, size_t n, url_parts *u)
{
    if (n > TARGET_LONGEST || url_split(u, s, n) < 0 || !u->canonical || u->has_user) {
        return 0;
    }
    return u->path.at;
}

/* A URL of an origin: "http://host:port" and what follows it. */
typedef struct plain_url {
    PyObject *text;   /* borrowed */
    const char *s;    /* its characters */
    url_parts parts;
    size_t origin;    /* how many of them are the origin's; 0: it is not plain */
    PyObject *key;    /* strong: the origin, or NULL */
} plain_url;

/* What another URL of the same origin has found. New reference, or NULL without an exception if there is none. */
static TargetObject *
known_in_session(core_state *st, target_cache *cache, const plain_url *url)
{
    PyObject *kept = cache->by_origin == NULL ? NULL : PyDict_GetItemWithError(cache->by_origin, url->key);
    if (kept == NULL) {
        return NULL;
    }
    TargetObject *other = (TargetObject *)Py_NewRef(kept); /* a collection may run, and the cache be emptied */
    size_t host = other->host_at + 6;
    TargetObject *t = target_make(st, other->route, other->line + host, other->line_len - host - 2,
                                  url->s + url->parts.target.at, url->parts.target.len, url->parts.slash);
    Py_DECREF(other);
    return t;
}

/* What another session has found, for its own pool, unless this one's class has a way of its own to look at URLs. */
static TargetObject *
known_elsewhere(core_state *st, PyObject *session, const plain_url *url)
{
    http_state *hs = st->http;
    if (hs->origins == NULL || !quick_is_stock(session, hs->n__target_of, hs->stock_target_of)
        || !quick_is_stock(session, hs->n__build_url, hs->stock_build_url)) {
        return NULL;
    }
    PoolObject *keeper = connector_pool(st, ((SessionObject *)session)->connector);
    PyObject *kept = keeper == NULL ? NULL : PyDict_GetItemWithError(hs->origins, url->key);
    if (kept == NULL) {
        return NULL;
    }
    Py_ssize_t n;
    TargetObject *t = NULL;
    Py_INCREF(kept);
    Py_INCREF(keeper);
    RouteObject *route = pool_route(keeper, PyTuple_GET_ITEM(kept, 0));
    const char *host = route == NULL ? NULL : PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(kept, 1), &n);
    if (host != NULL) {
        t = target_make(st, route, host, (size_t)n, url->s + url->parts.target.at, url->parts.target.len, url->parts.slash);
    }
    Py_XDECREF(route);
    Py_DECREF(keeper);
    Py_DECREF(kept);
    return t;
}

/* Is it the key of a connection in which nothing is of the session: (host, port, is_ssl, True, None, ...)? */
static int
is_common(PyObject *key)
{
    int common = PyTuple_Check(key) && PyTuple_GET_SIZE(key) > 4 && PyTuple_GET_ITEM(key, 3) == Py_True;
    for (Py_ssize_t i = 4; common && i < PyTuple_GET_SIZE(key); i++) {
        common = PyTuple_GET_ITEM(key, i) == Py_None;
    }
    return common;
}

/* For other sessions: what Python has found out about an origin. -1 with an exception. */
static int
share(core_state *st, PyObject *session, const plain_url *url, const TargetObject *t)
{
    if (!is_common(t->route->key) || !quick_is_stock(session, st->http->n__target_of, st->http->stock_target_of)
        || !quick_is_stock(session, st->http->n__build_url, st->http->stock_build_url)) {
        return 0;
    }
    size_t host = t->host_at + 6;
    PyObject *entry = Py_BuildValue("(Os#)", t->route->key, t->line + host, (Py_ssize_t)(t->line_len - host - 2));
    int err = entry == NULL ? -1 : keep(&st->http->origins, url->key, entry);
    Py_XDECREF(entry);
    return err;
}

/* From the route of another URL of the same origin. 0 if there is none. */
static int
find_by_origin(core_state *st, target_cache *cache, PyObject *session, const plain_url *url, TargetObject **found)
{
    TargetObject *t = known_in_session(st, cache, url);
    if (t == NULL && !PyErr_Occurred() && (t = known_elsewhere(st, session, url)) != NULL && cache->by_text != NULL
        && keep(&cache->by_origin, url->key, (PyObject *)t) < 0) { /* a session with one URL does not need that */
        Py_CLEAR(t);
    }
    if (t == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *text = url->text;
    t->text = Py_NewRef(text);
    *found = t;
    if (keep(&cache->by_text, text, (PyObject *)t) < 0) {
        Py_CLEAR(*found);
        return -1;
    }
    return 1;
}

/* (route, host, target, URL) from session._target_of(). */
static int
find_by_python(core_state *st, PyObject *session, PyObject *url, TargetObject **found)
{
    PyObject *answer = PyObject_CallMethodOneArg(session, st->http->n__target_of, url);
    if (answer == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear(); /* _request() says what is wrong */
        return 0;
    }
    int rc = 0;
    if (PyTuple_CheckExact(answer) && PyTuple_GET_SIZE(answer) == 4
        && PyObject_TypeCheck(PyTuple_GET_ITEM(answer, 0), st->http->http_route_type)) {
        *found = target_new(st, (RouteObject *)PyTuple_GET_ITEM(answer, 0), NULL, PyTuple_GET_ITEM(answer, 3),
                            PyTuple_GET_ITEM(answer, 1), PyTuple_GET_ITEM(answer, 2));
        rc = *found == NULL ? -1 : 1;
    }
    else if (answer != Py_None) {
        PyErr_SetString(PyExc_TypeError, "_target_of() must return (route, host, target, url) or None");
        rc = -1;
    }
    Py_DECREF(answer);
    return rc;
}

/* By Python, and kept. */
static int
find_and_keep(core_state *st, target_cache *cache, PyObject *session, const plain_url *url, TargetObject **found)
{
    int rc = find_by_python(st, session, url->text, found);
    if (rc <= 0 || PyUnicode_GET_LENGTH(url->text) > TARGET_LONGEST) {
        return rc;
    }
    if ((url->key != NULL
         && (keep(&cache->by_origin, url->key, (PyObject *)*found) < 0 || share(st, session, url, *found) < 0))
        || keep(&cache->by_text, url->text, (PyObject *)*found) < 0) {
        Py_CLEAR(*found);
        rc = -1;
    }
    return rc;
}

/* A text that is not in the cache. */
static int
find_new(core_state *st, target_cache *cache, PyObject *session, PyObject *text, TargetObject **found)
{
    plain_url url = {.text = text};
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        url.s = (const char *)PyUnicode_1BYTE_DATA(text);
        url.origin = plain_origin(url.s, (size_t)PyUnicode_GET_LENGTH(text), &url.parts);
    }
    if (url.origin != 0 && (url.key = PyUnicode_DecodeASCII(url.s, (Py_ssize_t)url.origin, NULL)) == NULL) {
        return -1;
    }
    int rc = url.key == NULL ? 0 : find_by_origin(st, cache, session, &url, found);
    if (rc == 0) {
        rc = find_and_keep(st, cache, session, &url, found);
    }
    Py_XDECREF(url.key);
    return rc;
}

int
target_find(core_state *st, target_cache *cache, PyObject *session, PyObject *url, TargetObject **found)
{
    *found = NULL;
    int is_text = PyUnicode_CheckExact(url);
    if (UNLIKELY(!is_text && (PyObject *)Py_TYPE(url) != st->http->URL)) {
        return find_by_python(st, session, url, found);
    }
    if (LIKELY(cache->by_text != NULL)) {
        PyObject *known = PyDict_GetItemWithError(cache->by_text, url);
        if (known != NULL) {
            *found = (TargetObject *)Py_NewRef(known);
            return 1;
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    if (is_text) {
        return find_new(st, cache, session, url, found);
    }
    int rc = find_by_python(st, session, url, found); /* a yarl.URL: what it says is what is sent */
    if (rc > 0 && keep(&cache->by_text, url, (PyObject *)*found) < 0) {
        Py_CLEAR(*found);
        rc = -1;
    }
    return rc;
}

int
target_cache_traverse(target_cache *cache, visitproc visit, void *arg)
{
    Py_VISIT(cache->by_text);
    Py_VISIT(cache->by_origin);
    return 0;
}

void
target_cache_clear(target_cache *cache)
{
    Py_CLEAR(cache->by_text);
    Py_CLEAR(cache->by_origin);
}

static PyType_Slot target_slots[] = {
    {Py_tp_doc, "Where the requests of a URL go."},
    {Py_tp_dealloc, target_dealloc},
    {Py_tp_traverse, target_traverse},
    {Py_tp_clear, target_clear},
    {0, NULL},
};

PyType_Spec http_target_spec = {
    .name = "uvolt._core.HTTPTarget",
    .basicsize = sizeof(TargetObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = target_slots,
};
