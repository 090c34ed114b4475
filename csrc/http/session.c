/* session.c - a session: its settings, as Python sets them, and what it keeps between requests.
 * Owns: all of that. Kept by: the program, its requests and responses. Threads: the loop's.
 * PYCALL: session_loop, session_timeouts, session_automatic. The methods get() and so on are request.c's. */
#include "http/session.h"

#include "core/loop.h"
#include "http/request.h"
#include "proto/http1_write.h"

/* ---- buffers ------------------------------------------------------------------------------- */

buf
session_take_buffer(SessionObject *s)
{
    http_state *hs = s->st->http;
    if (LIKELY(hs->nspares > 0)) {
        return hs->spares[--hs->nspares];
    }
    buf b;
    buf_init(&b, SESSION_HEAD_MAX);
    return b;
}

void
session_give_buffer(SessionObject *s, buf *b)
{
    if (s != NULL && s->st->http->nspares < HTTP_SPARES && b->room <= 4096 && b->data != NULL) {
        b->len = 0;
        s->st->http->spares[s->st->http->nspares++] = *b;
        b->data = NULL;
        return;
    }
    buf_free(b);
}

/* ---- settings ------------------------------------------------------------------------------ */

/* Somebody runs the loop's callbacks by himself (nest_asyncio). */
static int
is_run_by_hand(SessionObject *s)
{
    PyObject *now = PyObject_CallNoArgs(s->st->http->get_running_loop);
    int is_ours = now == s->loop;
    if (now == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(now);
    return is_ours;
}

LoopObject *
session_loop(SessionObject *s)
{
    LoopObject *loop = (LoopObject *)s->loop;
    if (UNLIKELY(loop == NULL || !PyObject_TypeCheck(s->loop, s->st->loop_type))) {
        http_raise(s->st, "wrong_loop");
        return NULL;
    }
    if (LIKELY(loop->running || is_run_by_hand(s))) {
        return loop;
    }
    if (loop_check_closed(loop) == 0) {
        http_raise(s->st, "idle_loop");
    }
    return NULL;
}

int
session_is_closed(SessionObject *s)
{
    return s->connector == NULL || s->connector == Py_None;
}

/* None is 0: no limit. */
static int
read_seconds(PyObject *timeout, const char *name, double *seconds)
{
    PyObject *value = PyObject_GetAttrString(timeout, name);
    if (value == NULL) {
        return -1;
    }
    *seconds = value == Py_None ? 0 : PyFloat_AsDouble(value);
    Py_DECREF(value);
    if (*seconds == -1 && PyErr_Occurred()) {
        return -1;
    }
    *seconds = *seconds > 0 ? *seconds : 0;
    return 0;
}

static int
read_timeouts(PyObject *timeout, http_timeouts *out)
{
    memset(out, 0, sizeof *out);
    if (timeout == NULL || timeout == Py_None) {
        return 0;
    }
    if (PyFloat_Check(timeout) || PyLong_Check(timeout)) {
        double total = PyFloat_AsDouble(timeout);
        out->total = total > 0 ? total : 0;
        return total == -1 && PyErr_Occurred() ? -1 : 0;
    }
    if (read_seconds(timeout, "total", &out->total) < 0 || read_seconds(timeout, "connect", &out->connect) < 0
        || read_seconds(timeout, "sock_connect", &out->sock_connect) < 0
        || read_seconds(timeout, "sock_read", &out->sock_read) < 0) {
        return -1;
    }
    /* uvolt's own: aiohttp's ClientTimeout has neither. */
    if (read_seconds(timeout, "pool", &out->pool) < 0 || read_seconds(timeout, "write", &out->write) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return 0;
}

int
session_timeouts(SessionObject *s, PyObject *timeout, http_timeouts *out)
{
    if (LIKELY(timeout == s->timeout_seen && timeout != NULL)) {
        *out = s->timeouts;
        return 0;
    }
    if (read_timeouts(timeout, out) < 0) {
        return -1;
    }
    s->timeouts = *out;
    Py_XSETREF(s->timeout_seen, Py_XNewRef(timeout));
    return 0;
}

static int
put_pair(buf *out, PyObject *pair, PyObject *agent)
{
    Py_ssize_t n, v;
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "_auto_headers must be pairs");
        return -1;
    }
    const char *name = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(pair, 0), &n);
    int is_agent = agent != NULL && name != NULL && strcmp(name, "User-Agent") == 0;
    const char *value = name == NULL ? NULL : PyUnicode_AsUTF8AndSize(is_agent ? agent : PyTuple_GET_ITEM(pair, 1), &v);
    if (value == NULL) {
        return -1;
    }
    if (http1_write_field(out, name, (size_t)n, value, (size_t)v) < 0) {
        PyErr_SetString(PyExc_ValueError, "_auto_headers cannot be sent");
        return -1;
    }
    return 0;
}

static int
put_pairs(buf *out, PyObject *pairs, PyObject *agent)
{
    buf_init(out, SESSION_HEAD_MAX);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        if (put_pair(out, PyTuple_GET_ITEM(pairs, i), agent) < 0) {
            buf_free(out);
            return -1;
        }
    }
    return 0;
}

/* Kept for the User-Agent that was asked for last: sessions have the same, most often. */
const buf *
session_automatic(SessionObject *s)
{
    http_state *hs = s->st->http;
    if (UNLIKELY(hs->automatic.data == NULL || s->user_agent != hs->automatic_agent)) {
        buf out;
        if (put_pairs(&out, hs->auto_headers, s->user_agent) < 0) {
            return NULL;
        }
        buf_free(&hs->automatic);
        hs->automatic = out;
        Py_XSETREF(hs->automatic_agent, Py_XNewRef(s->user_agent));
    }
    return &hs->automatic;
}

/* ---- life ---------------------------------------------------------------------------------- */

static PyObject *
session_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    core_state *st = uvolt_state_of_type(type);
    if (st == NULL || http_load_client(st) < 0) {
        return NULL;
    }
    SessionObject *s = (SessionObject *)type->tp_alloc(type, 0);
    if (s != NULL) {
        const http1_limits limits = HTTP1_LIMITS_DEFAULT;
        s->st = st;
        s->limits = limits;
        s->read_bufsize = 1 << 18;
        s->auto_decompress = s->retry_connection = s->connector_owner = 1;
    }
    return (PyObject *)s;
}

static int
session_traverse(PyObject *self, visitproc visit, void *arg)
{
    SessionObject *s = (SessionObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(s->loop);
    Py_VISIT(s->connector);
    Py_VISIT(s->timeout);
    Py_VISIT(s->default_headers);
    Py_VISIT(s->skip_auto_headers);
    Py_VISIT(s->json_serialize);
    Py_VISIT(s->json_serialize_bytes);
    Py_VISIT(s->raise_for_status);
    Py_VISIT(s->cookie_jar);
    Py_VISIT(s->cookies_kept);
    Py_VISIT(s->base_url);
    Py_VISIT(s->response_class);
    Py_VISIT(s->resolve_charset);
    Py_VISIT(s->user_agent);
    Py_VISIT(s->timeout_seen);
    return target_cache_traverse(&s->targets, visit, arg);
}

static int
session_clear(PyObject *self)
{
    SessionObject *s = (SessionObject *)self;
    Py_CLEAR(s->loop);
    Py_CLEAR(s->connector);
    Py_CLEAR(s->timeout);
    Py_CLEAR(s->default_headers);
    Py_CLEAR(s->skip_auto_headers);
    Py_CLEAR(s->json_serialize);
    Py_CLEAR(s->json_serialize_bytes);
    Py_CLEAR(s->raise_for_status);
    Py_CLEAR(s->cookie_jar);
    Py_CLEAR(s->cookies_kept);
    Py_CLEAR(s->base_url);
    Py_CLEAR(s->response_class);
    Py_CLEAR(s->resolve_charset);
    Py_CLEAR(s->user_agent);
    Py_CLEAR(s->timeout_seen);
    target_cache_clear(&s->targets);
    return 0;
}

static void
session_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    session_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef session_members[] = {
    {"_loop", T_OBJECT, offsetof(SessionObject, loop), 0, NULL},
    {"_connector", T_OBJECT, offsetof(SessionObject, connector), 0, NULL},
    {"_timeout", T_OBJECT, offsetof(SessionObject, timeout), 0, NULL},
    {"_skip_auto_headers", T_OBJECT, offsetof(SessionObject, skip_auto_headers), 0, NULL},
    {"_json_serialize", T_OBJECT, offsetof(SessionObject, json_serialize), 0, NULL},
    {"_json_serialize_bytes", T_OBJECT, offsetof(SessionObject, json_serialize_bytes), 0, NULL},
    {"_raise_for_status", T_OBJECT, offsetof(SessionObject, raise_for_status), 0, NULL},
    {"_cookies_kept", T_OBJECT, offsetof(SessionObject, cookies_kept), 0, NULL},
    {"_base_url", T_OBJECT, offsetof(SessionObject, base_url), 0, NULL},
    {"_response_class", T_OBJECT, offsetof(SessionObject, response_class), 0, NULL},
    {"_user_agent", T_OBJECT, offsetof(SessionObject, user_agent), 0, NULL},
    {"_resolve_charset", T_OBJECT, offsetof(SessionObject, resolve_charset), 0, NULL},
    {"_read_bufsize", T_PYSSIZET, offsetof(SessionObject, read_bufsize), 0, NULL},
    {"_max_line_size", T_UINT, offsetof(SessionObject, limits.max_line), 0, NULL},
    {"_max_field_size", T_UINT, offsetof(SessionObject, limits.max_field), 0, NULL},
    {"_max_headers", T_UINT, offsetof(SessionObject, limits.max_headers), 0, NULL},
    {"_auto_decompress", T_BOOL, offsetof(SessionObject, auto_decompress), 0, NULL},
    {"_retry_connection", T_BOOL, offsetof(SessionObject, retry_connection), 0, NULL},
    {"_timings", T_BOOL, offsetof(SessionObject, timings), 0, NULL},
    {"_plain", T_BOOL, offsetof(SessionObject, plain), 0, NULL},
    {"_connector_owner", T_BOOL, offsetof(SessionObject, connector_owner), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define REQUEST_METHOD(name, doc)                                                                  \
    {#name, FAST(request_##name), METH_FASTCALL | METH_KEYWORDS, doc}

static PyMethodDef session_methods[] = {
    {"request", FAST(request_request), METH_FASTCALL | METH_KEYWORDS,
     "request($self, /, method, url, **kwargs)\n--\n\nA request: await it, or use it in an async with."},
    REQUEST_METHOD(get, "get($self, /, url, *, allow_redirects=True, **kwargs)\n--\n\nrequest('GET', ...)"),
    REQUEST_METHOD(options, "options($self, /, url, *, allow_redirects=True, **kwargs)\n--\n\nrequest('OPTIONS', ...)"),
    REQUEST_METHOD(head, "head($self, /, url, *, allow_redirects=False, **kwargs)\n--\n\nrequest('HEAD', ...)"),
    REQUEST_METHOD(post, "post($self, /, url, *, data=None, **kwargs)\n--\n\nrequest('POST', ...)"),
    REQUEST_METHOD(put, "put($self, /, url, *, data=None, **kwargs)\n--\n\nrequest('PUT', ...)"),
    REQUEST_METHOD(patch, "patch($self, /, url, *, data=None, **kwargs)\n--\n\nrequest('PATCH', ...)"),
    REQUEST_METHOD(delete, "delete($self, /, url, **kwargs)\n--\n\nrequest('DELETE', ...)"),
    {"__aenter__", session_enter, METH_NOARGS, "__aenter__($self, /)\n--\n\nThe session itself."},
    {"_close", session_close, METH_NOARGS,
     "_close($self, /)\n--\n\nClose the connector if it is the session's own, and wait until its sockets are closed."},
    {"__aexit__", FAST(session_exit), METH_FASTCALL,
     "__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\nclose()."},
    {"_exchange", FAST(request_exchange), METH_FASTCALL | METH_KEYWORDS,
     "_exchange($self, method, url, route, head, body, /, *, upload=None, timeout=None,\n"
     "          end_by=None, retry=False, no_reuse=False, upgrade=False,\n"
     "          auto_decompress=None, read_bufsize=None, limits=None, connect=None)\n--\n\n"
     "Send one request whose head is written, and await the head of its answer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot session_slots[] = {
    {Py_tp_doc, "What uvolt.http.ClientSession stands on."},
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_traverse, session_traverse},
    {Py_tp_clear, session_clear},
    {Py_tp_methods, session_methods},
    {Py_tp_members, session_members},
    {Py_tp_getset, session_getset},
    {0, NULL},
};

PyType_Spec http_session_spec = {
    .name = "uvolt._core.ClientSession",
    .basicsize = sizeof(SessionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = session_slots,
};
