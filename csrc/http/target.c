/* target.c - where a URL's request goes.
 *
 * Owns:    a target its route and strings; a cache its targets. Kept by: the cache, and the responses of its requests.
 * Threads: the loop's. PYCALL: target_find (session._target_of), target_url and target_real_url (yarl). */
#include "http/target.h"

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
keep(PyObject **dict, PyObject *key, TargetObject *t)
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
    return PyDict_SetItem(*dict, key, (PyObject *)t);
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

/* From the route of another URL of the same origin. 0 if there is none. */
static int
find_by_origin(core_state *st, target_cache *cache, PyObject *text, const char *s, const url_parts *u, size_t origin,
               TargetObject **found)
{
    if (cache->by_origin == NULL) {
        return 0;
    }
    PyObject *key = PyUnicode_DecodeASCII(s, (Py_ssize_t)origin, NULL);
    TargetObject *other = key == NULL ? NULL : (TargetObject *)PyDict_GetItemWithError(cache->by_origin, key);
    Py_XDECREF(key);
    if (other == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    size_t host = other->host_at + 6;
    Py_INCREF(other); /* a collection may run, and the cache be emptied */
    TargetObject *t = target_make(st, other->route, other->line + host, other->line_len - host - 2, s + u->target.at,
                                  u->target.len, u->slash);
    Py_DECREF(other);
    if (t == NULL) {
        return -1;
    }
    t->text = Py_NewRef(text);
    *found = t;
    if (keep(&cache->by_text, text, t) < 0) {
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

/* A text that is not in the cache. */
static int
find_new(core_state *st, target_cache *cache, PyObject *session, PyObject *text, TargetObject **found)
{
    url_parts u;
    Py_ssize_t n = PyUnicode_GET_LENGTH(text);
    const char *s = PyUnicode_IS_COMPACT_ASCII(text) ? (const char *)PyUnicode_1BYTE_DATA(text) : NULL;
    size_t origin = s == NULL ? 0 : plain_origin(s, (size_t)n, &u);
    if (origin != 0) {
        int rc = find_by_origin(st, cache, text, s, &u, origin, found);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = find_by_python(st, session, text, found);
    if (rc <= 0 || n > TARGET_LONGEST) {
        return rc;
    }
    PyObject *key = origin == 0 ? NULL : PyUnicode_DecodeASCII(s, (Py_ssize_t)origin, NULL);
    if ((origin != 0 && (key == NULL || keep(&cache->by_origin, key, *found) < 0))
        || keep(&cache->by_text, text, *found) < 0) {
        Py_CLEAR(*found);
        rc = -1;
    }
    Py_XDECREF(key);
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
    if (rc > 0 && keep(&cache->by_text, url, *found) < 0) {
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
