/* request_make.c - get(), post(), request() and _exchange() of a session: their arguments.
 * Owns: nothing. Threads: the loop's. PYCALL: making one of the general way, which calls session._request(). */
#include "core/clock.h"
#include "http/head.h"
#include "http/quick.h"
#include "http/request.h"

/* ---- the methods of a session -------------------------------------------------------------- */

static int
is_stock(SessionObject *s)
{
    http_state *hs = s->st->http;
    return quick_is_stock((PyObject *)s, hs->n__request, hs->stock_request);
}

/* Where a keyword that the fast way knows is kept; NULL: it knows it not. */
static PyObject **
place_of(request_args *a, http_state *hs, PyObject *name)
{
    const struct {
        PyObject *name, **place;
    } known[] = {
        {hs->n_headers, &a->headers},
        {hs->n_json, &a->json},
        {hs->n_data, &a->data},
        {hs->n_timeout, &a->timeout},
        {hs->n_allow_redirects, &a->allow_redirects},
        {hs->n_raise_for_status, &a->raise_for_status},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(known); i++) {
        if (name == known[i].name) {
            return known[i].place;
        }
    }
    return NULL;
}

/* New references. 0: there is something else among them. */
static int
take_keywords(RequestObject *q, PyObject *const *values, PyObject *kwnames)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject **place = place_of(&q->args, q->session->st->http, PyTuple_GET_ITEM(kwnames, i));
        if (place == NULL || *place != NULL) {
            return 0;
        }
        *place = Py_NewRef(values[i]);
    }
    if (q->args.allow_redirects != NULL) {
        q->redirects = q->args.allow_redirects == Py_True;
        return PyBool_Check(q->args.allow_redirects);
    }
    return 1;
}

/* All keyword arguments, for the general way. New reference. */
static PyObject *
all_keywords(PyObject *const *values, PyObject *kwnames)
{
    PyObject *kwargs = PyDict_New();
    for (Py_ssize_t i = 0; kwargs != NULL && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(kwnames, i), values[i]) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    return kwargs;
}

/* What a method like get() hands on besides: whoever replaces _request() gets what aiohttp would give it. */
typedef enum method_default {
    GIVES_NOTHING,
    GIVES_DATA, /* data=None */
    FOLLOWS,    /* allow_redirects=True */
    FOLLOWS_NOT,
} method_default;

static int
add_default(SessionObject *s, PyObject *kwargs, method_default gives)
{
    http_state *hs = s->st->http;
    if (gives == GIVES_NOTHING) {
        return 0;
    }
    PyObject *name = gives == GIVES_DATA ? hs->n_data : hs->n_allow_redirects;
    PyObject *value = gives == GIVES_DATA ? Py_None : gives == FOLLOWS ? Py_True : Py_False;
    return PyDict_SetDefault(kwargs, name, value) == NULL ? -1 : 0;
}

static PyObject *
make(SessionObject *s, PyObject *method, PyObject *url, method_default gives, PyObject *const *values,
     PyObject *kwnames)
{
    RequestObject *q = request_new(s, &request_kind, method, url);
    if (UNLIKELY(q == NULL)) {
        return NULL;
    }
    q->redirects = gives != FOLLOWS_NOT;
    int plain = s->plain && is_stock(s);
    if (plain && kwnames != NULL) {
        plain = take_keywords(q, values, kwnames);
    }
    if (!plain) {
        PyObject *kwargs = all_keywords(values, kwnames);
        if (kwargs != NULL && add_default(s, kwargs, gives) < 0) {
            Py_CLEAR(kwargs);
        }
        q->coro.quiet = 1;
        q->inner = kwargs == NULL ? NULL : request_call(q, kwargs);
        Py_XDECREF(kwargs);
        if (q->inner == NULL) {
            q->coro.state = CORO_OVER;
        }
    }
    PyObject_GC_Track(q);
    if (UNLIKELY(q->coro.state == CORO_OVER)) {
        Py_CLEAR(q);
    }
    return (PyObject *)q;
}

/* Keyword arguments, the one of that name in front: *values, to be freed, and the names of the others, a new reference.
 * 1; 0: it is not there; -1 with an exception. */
static int
put_in_front(const char *name, PyObject *const *args, PyObject *kwnames, PyObject ***values, PyObject **names)
{
    Py_ssize_t n = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames), at = 0;
    while (at < n && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, at), name) != 0) {
        at++;
    }
    if (at == n) {
        return 0;
    }
    *values = PyMem_Malloc((size_t)n * sizeof(PyObject *));
    *names = *values == NULL ? PyErr_NoMemory() : PyTuple_New(n - 1);
    if (*names == NULL) {
        PyMem_Free(*values);
        return -1;
    }
    (*values)[0] = args[at];
    for (Py_ssize_t i = 0, k = 0; i < n; i++) {
        if (i != at) {
            PyTuple_SET_ITEM(*names, k, Py_NewRef(PyTuple_GET_ITEM(kwnames, i)));
            (*values)[++k] = args[i];
        }
    }
    return 1;
}

/* get(url) and so on: url by position or by name. */
static PyObject *
make_named(PyObject *self, PyObject *method, method_default gives, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    SessionObject *s = (SessionObject *)self;
    if (LIKELY(nargs == 1)) {
        return make(s, method, args[0], gives, args + 1, kwnames);
    }
    PyObject **values, *names;
    int found = nargs == 0 ? put_in_front("url", args, kwnames, &values, &names) : 0;
    if (found == 0) {
        PyErr_Format(PyExc_TypeError, "%U() takes one positional argument, the url, but %zd were given", method, nargs);
    }
    if (found <= 0) {
        return NULL;
    }
    PyObject *made = make(s, method, values[0], gives, values + 1, names);
    Py_DECREF(names);
    PyMem_Free(values);
    return made;
}

#define SESSION_METHOD(name, text, gives)                                                          \
    PyObject *request_##name(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) \
    {                                                                                              \
        return make_named(self, ((SessionObject *)self)->st->http->n_##text, gives, args, nargs, kwnames); \
    }

SESSION_METHOD(get, GET, FOLLOWS)
SESSION_METHOD(options, OPTIONS, FOLLOWS)
SESSION_METHOD(head, HEAD, FOLLOWS_NOT)
SESSION_METHOD(post, POST, GIVES_DATA)
SESSION_METHOD(put, PUT, GIVES_DATA)
SESSION_METHOD(patch, PATCH, GIVES_DATA)
SESSION_METHOD(delete, DELETE, GIVES_NOTHING)

/* The method as it is sent. New reference. */
static PyObject *
upper(PyObject *method)
{
    if (!PyUnicode_Check(method)) {
        PyErr_Format(PyExc_TypeError, "method must be str, not %.100s", Py_TYPE(method)->tp_name);
        return NULL;
    }
    if (head_method(method) & METHOD_KNOWN) {
        return Py_NewRef(method);
    }
    PyObject *text = PyObject_CallMethod(method, "upper", NULL);
    if (text != NULL && !PyUnicode_Check(text)) { /* of a subclass */
        PyErr_SetString(PyExc_TypeError, "upper() of the method must return a str");
        Py_CLEAR(text);
    }
    return text;
}

/* request(method=..., ...): the same with the method in front. */
static PyObject *
request_by_name(PyObject *self, PyObject *const *args, PyObject *kwnames)
{
    PyObject **values, *names;
    int found = put_in_front("method", args, kwnames, &values, &names);
    if (found == 0) {
        PyErr_SetString(PyExc_TypeError, "request() missing 1 required positional argument: 'method'");
    }
    if (found <= 0) {
        return NULL;
    }
    PyObject *made = request_request(self, values, 1, names);
    Py_DECREF(names);
    PyMem_Free(values);
    return made;
}

PyObject *
request_request(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (UNLIKELY(nargs == 0)) {
        return request_by_name(self, args, kwnames);
    }
    PyObject *method = upper(args[0]);
    PyObject *made = method == NULL ? NULL : make_named(self, method, GIVES_NOTHING, args + 1, nargs - 1, kwnames);
    Py_XDECREF(method);
    return made;
}

/* ---- _exchange() --------------------------------------------------------------------------- */

enum { X_UPLOAD, X_TIMEOUT, X_END_BY, X_RETRY, X_NO_REUSE, X_UPGRADE, X_DECOMPRESS, X_BUFSIZE, X_LIMITS, X_CONNECT, X_COUNT };

static int
bind_exchange(PyObject *const *values, PyObject *kwnames, PyObject **out)
{
    static const char *const names[X_COUNT] = {"upload", "timeout", "end_by", "retry", "no_reuse", "upgrade",
                                               "auto_decompress", "read_bufsize", "limits", "connect"};
    for (Py_ssize_t k = 0; kwnames != NULL && k < PyTuple_GET_SIZE(kwnames); k++) {
        int i = 0;
        while (i < X_COUNT && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), names[i]) != 0) {
            i++;
        }
        if (i == X_COUNT) {
            PyErr_Format(PyExc_TypeError, "_exchange() got an unexpected keyword argument '%U'",
                         PyTuple_GET_ITEM(kwnames, k));
            return -1;
        }
        out[i] = values[k] == Py_None ? NULL : values[k];
    }
    return 0;
}

/* (max_line, max_field, max_headers, no_eof) */
static int
read_limits(PyObject *given, http1_limits *limits)
{
    if (given == NULL) {
        return 0;
    }
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "limits must be a tuple");
        return -1;
    }
    int no_eof = 0;
    if (!PyArg_ParseTuple(given, "III|p;limits", &limits->max_line, &limits->max_field, &limits->max_headers, &no_eof)) {
        return -1;
    }
    limits->no_eof = (unsigned)no_eof;
    return 0;
}

static int
flag(PyObject *value)
{
    return value != NULL && PyObject_IsTrue(value) > 0;
}

/* What is said by name goes into the exchange and its response. -1 with an exception. */
static int
set_exchange(hop *x, PyObject *const *v)
{
    ResponseObject *r = x->response;
    x->upload = Py_XNewRef(v[X_UPLOAD]);
    x->connect = Py_XNewRef(v[X_CONNECT]);
    x->timeout = Py_XNewRef(v[X_TIMEOUT]);
    x->may_retry = flag(v[X_RETRY]) && x->upload == NULL;
    x->no_reuse = flag(v[X_NO_REUSE]);
    x->upgrade = flag(v[X_UPGRADE]);
    if (v[X_DECOMPRESS] != NULL) {
        r->decompress = flag(v[X_DECOMPRESS]);
    }
    if (v[X_BUFSIZE] != NULL) {
        r->read_bufsize = PyLong_AsSsize_t(v[X_BUFSIZE]);
    }
    if (v[X_END_BY] != NULL) {
        x->end_by = PyFloat_AsDouble(v[X_END_BY]);
    }
    if (PyErr_Occurred() || read_limits(v[X_LIMITS], &r->limits) < 0
        || session_timeouts(x->session, x->timeout, &x->times) < 0) {
        return -1;
    }
    if (x->times.connect > 0) {
        x->connect_by = clock_now() + x->times.connect;
    }
    return x->end_by > 0 ? deadline_set(x->loop, &r->total, x->end_by) : 0;
}

/* method, url, route, head, body. -1 with an exception. */
static int
fill_exchange(RequestObject *q, PyObject *const *args, PyObject *const *named)
{
    SessionObject *s = q->session;
    hop *x = &q->x;
    TargetObject *t = target_bare(s->st, (RouteObject *)args[2], args[1]);
    x->session = (SessionObject *)Py_NewRef((PyObject *)s);
    x->connector = Py_XNewRef(s->connector);
    x->route = (RouteObject *)Py_NewRef(args[2]);
    x->body = args[4] == Py_None ? NULL : Py_NewRef(args[4]);
    x->response = t == NULL ? NULL : response_new(s, request_response_type(s), q->method, t);
    Py_XDECREF(t);
    if (x->response == NULL) {
        return -1;
    }
    x->response->sent = session_take_buffer(s);
    x->response->head_only = (head_method(q->method) & METHOD_HEAD) != 0;
    if (buf_append(&x->response->sent, PyBytes_AS_STRING(args[3]), (size_t)PyBytes_GET_SIZE(args[3])) < 0) {
        PyErr_SetString(PyExc_ValueError, "the head of the request is too long");
        return -1;
    }
    return set_exchange(x, named);
}

PyObject *
request_exchange(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    SessionObject *s = (SessionObject *)self;
    PyObject *named[X_COUNT] = {NULL};
    if (nargs != 5 || !PyUnicode_Check(args[0]) || !PyObject_TypeCheck(args[2], s->st->http->http_route_type)
        || !PyBytes_CheckExact(args[3]) || (args[4] != Py_None && !PyBytes_CheckExact(args[4]))) {
        PyErr_SetString(PyExc_TypeError, "_exchange() takes method, url, route, head and body");
        return NULL;
    }
    if (bind_exchange(args + nargs, kwnames, named) < 0) {
        return NULL;
    }
    RequestObject *q = request_new(s, &exchange_kind, args[0], args[1]);
    if (q == NULL) {
        return NULL;
    }
    if (fill_exchange(q, args, named) < 0) {
        q->coro.state = CORO_OVER;
    }
    PyObject_GC_Track(q);
    if (q->coro.state == CORO_OVER) {
        Py_CLEAR(q);
    }
    return (PyObject *)q;
}

