/* response_info.c - what a response tells of itself: made of the copied head when asked for, and settable, because
 * tests and caches make responses by hand. Owns: nothing. Threads: the loop's. PYCALL: headers, url, request_info. */
#include "http/headers.h"
#include "http/response.h"
#include "http/session.h"

static ResponseObject *
self_of(PyObject *op)
{
    return (ResponseObject *)op;
}

static PyObject *
or_none(PyObject *o)
{
    return Py_NewRef(o != NULL ? o : Py_None);
}

/* ---- status line --------------------------------------------------------------------------- */

static PyObject *
get_status(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->status_obj != NULL) {
        return Py_NewRef(r->status_obj);
    }
    if (!r->started) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(r->status);
}

static int
set_status(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    long n = value == NULL || value == Py_None ? 0 : PyLong_AsLong(value);
    if (n == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        n = 0;
    }
    r->status = n > 0 && n < 1000 ? (uint16_t)n : 0;
    Py_XSETREF(r->status_obj, Py_XNewRef(value));
    return 0;
}

static PyObject *
get_ok(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self_of(op)->status < 400);
}

static PyObject *
get_reason(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->reason == NULL && r->head.fields != NULL) {
        r->reason = headers_text(r->head.base + r->head.reason, r->head.reason_len);
        return Py_XNewRef(r->reason);
    }
    return or_none(r->reason);
}

static PyObject *
get_version(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->version == NULL && r->started) {
        r->version = PyObject_CallMethod(r->loop->st->http->support, "http_version", "ii", r->version_major,
                                         r->version_minor);
        return Py_XNewRef(r->version);
    }
    return or_none(r->version);
}

/* ---- headers ------------------------------------------------------------------------------- */

PyObject *
response_headers(ResponseObject *r)
{
    if (r->headers == NULL) {
        if (r->head.fields == NULL) {
            return Py_None;
        }
        r->headers = headers_multidict(r->loop->st, r->head.base, r->head.fields, r->head.nfields);
    }
    return r->headers;
}

static PyObject *
get_headers(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_XNewRef(response_headers(self_of(op)));
}

/* From now on these are the headers, also for text() and json(). */
static int
set_headers(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    PyObject *raw = r->head.fields == NULL ? NULL : headers_raw(r->head.base, r->head.fields, r->head.nfields);
    if (r->raw_headers == NULL) {
        r->raw_headers = raw;
    }
    else {
        Py_XDECREF(raw);
    }
    PyErr_Clear();
    if (r->reason == NULL && r->head.fields != NULL) {
        r->reason = headers_text(r->head.base + r->head.reason, r->head.reason_len);
    }
    PyMem_Free(r->head.fields);
    memset(&r->head, 0, sizeof r->head);
    Py_XSETREF(r->headers, Py_XNewRef(value));
    return 0;
}

static PyObject *
get_raw_headers(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->raw_headers == NULL && r->head.fields != NULL) {
        r->raw_headers = headers_raw(r->head.base, r->head.fields, r->head.nfields);
        return Py_XNewRef(r->raw_headers);
    }
    return or_none(r->raw_headers);
}

static PyObject *
get_output(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self_of(op)->output);
}

static PyObject *
get_upload(PyObject *op, void *Py_UNUSED(closure))
{
    return or_none(self_of(op)->upload);
}

static PyObject *
get_trailers(PyObject *op, void *Py_UNUSED(closure))
{
    const ResponseObject *r = self_of(op);
    int are_there = r->complete && r->trailers != NULL;
    return PyBytes_FromStringAndSize(are_there ? r->trailers->data : NULL, are_there ? (Py_ssize_t)r->trailers->len : 0);
}

static PyObject *
get_content_length(PyObject *op, void *Py_UNUSED(closure))
{
    static const char name[] = "content-length";
    ResponseObject *r = self_of(op);
    for (uint32_t i = 0; i < r->head.nfields; i++) {
        const http1_field *f = &r->head.fields[i];
        if (headers_same_name(r->head.base + f->name, f->name_len, name, sizeof name - 1)) {
            PyObject *text = headers_text(r->head.base + f->value, f->value_len);
            PyObject *n = text == NULL ? NULL : PyLong_FromUnicodeObject(text, 10);
            Py_XDECREF(text);
            return n;
        }
    }
    if (r->head.fields != NULL || r->headers == NULL || r->headers == Py_None) {
        Py_RETURN_NONE;
    }
    PyObject *text = PyObject_CallMethod(r->headers, "get", "s", "Content-Length");
    PyObject *n = text == NULL || text == Py_None ? Py_XNewRef(text) : PyNumber_Long(text);
    Py_XDECREF(text);
    return n;
}

static PyObject *
get_has_set_cookie(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self_of(op)->has_set_cookie);
}

/* ---- the request --------------------------------------------------------------------------- */

static PyObject *
get_url(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->url == NULL && r->target != NULL) {
        return Py_XNewRef(target_url(uvolt_state_of_type(Py_TYPE((PyObject *)r->target)), r->target));
    }
    return or_none(r->url);
}

static PyObject *
get_real_url(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->real_url == NULL && r->target != NULL) {
        return Py_XNewRef(target_real_url(uvolt_state_of_type(Py_TYPE((PyObject *)r->target)), r->target));
    }
    return or_none(r->real_url);
}

static PyObject *
get_host(PyObject *op, void *closure)
{
    PyObject *url = get_url(op, closure);
    PyObject *host = url == NULL ? NULL : PyObject_GetAttrString(url, "host");
    Py_XDECREF(url);
    return host;
}

/* RequestInfo(url, method, headers as they were sent, real_url) */
static PyObject *
get_request_info(PyObject *op, void *closure)
{
    ResponseObject *r = self_of(op);
    if (r->request_info != NULL || r->loop == NULL || r->target == NULL) {
        return or_none(r->request_info);
    }
    core_state *st = r->loop->st;
    PyObject *headers = headers_of_request(st, r->sent.data, r->sent.len);
    PyObject *url = headers == NULL ? NULL : get_url(op, closure), *real = url == NULL ? NULL : get_real_url(op, closure);
    if (real != NULL) {
        r->request_info =
            PyObject_CallMethod(st->http->support, "request_info", "OOOO", url, r->method, headers, real);
    }
    Py_XDECREF(headers);
    Py_XDECREF(url);
    Py_XDECREF(real);
    return Py_XNewRef(r->request_info);
}

/* ---- the body and the state of things ------------------------------------------------------ */

static PyObject *
get_content(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->foreign != NULL) {
        return Py_NewRef(r->foreign);
    }
    if (!r->started || r->loop == NULL) {
        Py_RETURN_NONE;
    }
    if (r->content == NULL && r->body != NULL) {
        r->content = (BodyObject *)body_empty(r->loop->st); /* it has been read */
        r->empty = 1;
        return Py_XNewRef((PyObject *)r->content);
    }
    return Py_XNewRef((PyObject *)response_content(r));
}

static int
set_content(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(self_of(op)->foreign, Py_XNewRef(value));
    return 0;
}

static PyObject *
get_history(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *history = self_of(op)->history;
    return history != NULL ? Py_NewRef(history) : PyTuple_New(0);
}

static PyObject *
get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self_of(op)->closed);
}

static int
set_closed(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    int is = value == NULL ? 0 : PyObject_IsTrue(value);
    if (is < 0) {
        return -1;
    }
    self_of(op)->closed = (unsigned)is & 1;
    return 0;
}

static PyObject *
get_released(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self_of(op)->released);
}

static PyObject *
get_in_context(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self_of(op)->in_context);
}

static PyObject *
get_connection(PyObject *op, void *Py_UNUSED(closure))
{
    return or_none((PyObject *)self_of(op)->user.conn);
}

static int
set_loop(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    core_state *st = uvolt_state_of_type(Py_TYPE(op));
    if (st == NULL || value == NULL || !PyObject_TypeCheck(value, st->loop_type) || r->user.conn != NULL) {
        PyErr_SetString(PyExc_TypeError, "a response needs a loop of uvolt's");
        return -1;
    }
    if (r->loop != NULL) {
        deadline_clear(r->loop, &r->total);
    }
    Py_XSETREF(r->loop, (LoopObject *)Py_NewRef(value));
    return 0;
}

PyObject *
response_fallback(ResponseObject *r)
{
    core_state *st = r->loop->st;
    if (r->resolve_charset != NULL || r->session == NULL || !PyObject_TypeCheck(r->session, st->http->http_session_type)) {
        return r->resolve_charset;
    }
    return ((SessionObject *)r->session)->resolve_charset;
}

static PyObject *
get_resolve_charset(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    return or_none(r->loop == NULL ? r->resolve_charset : response_fallback(r));
}

/* method, url, request_info, loop, session */
PyObject *
response_make(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ResponseObject *r = self_of(op);
    core_state *st = uvolt_state_of_type(Py_TYPE(op));
    if (nargs != 5 || st == NULL || r->user.conn != NULL || http_load_client(st) < 0) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "_make() takes 5 arguments, got %zd", nargs);
    }
    PyObject *fallback = NULL;
    if (args[4] != Py_None && PyObject_GetOptionalAttr(args[4], st->http->n__resolve_charset, &fallback) < 0) {
        return NULL;
    }
    TargetObject *target = args[1] == Py_None ? NULL : target_bare(st, NULL, args[1]);
    if (target == NULL && args[1] != Py_None) {
        Py_XDECREF(fallback);
        return NULL;
    }
    Py_XSETREF(r->resolve_charset, fallback == Py_None ? NULL : fallback);
    Py_XSETREF(r->target, target);
    Py_XSETREF(r->method, Py_NewRef(args[0]));
    Py_XSETREF(r->request_info, args[2] == Py_None ? NULL : Py_NewRef(args[2]));
    Py_XSETREF(r->session, args[4] == Py_None ? NULL : Py_NewRef(args[4]));
    if (PyObject_TypeCheck(args[3], st->loop_type)) {
        Py_XSETREF(r->loop, (LoopObject *)Py_NewRef(args[3]));
    }
    Py_RETURN_NONE;
}

static PyObject *
get_timings(PyObject *op, void *Py_UNUSED(closure))
{
    ResponseObject *r = self_of(op);
    if (r->times == NULL) {
        Py_RETURN_NONE;
    }
    const response_times *t = r->times;
    return PyObject_CallMethod(r->loop->st->http->support, "timings", "dddddO", t->started, t->granted, t->sent, t->heard,
                               t->done, r->steps == NULL ? Py_None : r->steps);
}

/* Members that are kept as they are: by their offset. */
static PyObject *
get_object(PyObject *op, void *offset)
{
    return or_none(*(PyObject **)(void *)((char *)op + (size_t)offset));
}

static int
set_object(PyObject *op, PyObject *value, void *offset)
{
    PyObject **slot = (PyObject **)(void *)((char *)op + (size_t)offset);
    Py_XSETREF(*slot, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

#define AT(member) ((void *)offsetof(ResponseObject, member))

PyGetSetDef response_getset[] = {
    {"status", get_status, set_status, "The status code.", NULL},
    {"ok", get_ok, NULL, "Whether the status is below 400.", NULL},
    {"reason", get_reason, set_object, "The words behind the status code.", AT(reason)},
    {"version", get_version, set_object, "The version of HTTP, an HttpVersion.", AT(version)},
    {"method", get_object, set_object, "Of the request.", AT(method)},
    {"url", get_url, set_object, "Of the request, without its fragment.", AT(url)},
    {"_url", get_url, set_object, "The same.", AT(url)},
    {"real_url", get_real_url, set_object, "Of the request, with its fragment.", AT(real_url)},
    {"_real_url", get_real_url, set_object, "The same.", AT(real_url)},
    {"host", get_host, NULL, "Of the URL.", NULL},
    {"headers", get_headers, set_headers, "A CIMultiDictProxy.", NULL},
    {"_headers", get_headers, set_headers, "The same.", NULL},
    {"raw_headers", get_raw_headers, set_object, "Pairs of bytes, as they came.", AT(raw_headers)},
    {"_raw_headers", get_raw_headers, set_object, "The same.", AT(raw_headers)},
    {"_output_size", get_output, NULL, "Bytes of the request that were written.", NULL},
    {"_upload", get_upload, NULL, "The task that sends the body, or None.", NULL},
    {"_trailers", get_trailers, NULL, "The fields behind a chunked body, as they came; b\"\" before its end.", NULL},
    {"content_length", get_content_length, NULL, "Of the header, or None.", NULL},
    {"has_set_cookie", get_has_set_cookie, NULL, "Whether there is a Set-Cookie.", NULL},
    {"request_info", get_request_info, set_object, "A RequestInfo.", AT(request_info)},
    {"_request_info", get_request_info, set_object, "The same.", AT(request_info)},
    {"content", get_content, set_content, "The body as a stream, a StreamReader.", NULL},
    {"_body", get_object, set_object, "What read() has got, or None.", AT(body)},
    {"timings", get_timings, NULL, "When what happened, a ResponseTimings; None if the session does not want it.", NULL},
    {"_steps", get_object, set_object, "When the steps of connecting were done, a dict or None.", AT(steps)},
    {"_on_read", get_object, set_object, "A coroutine function that read() awaits when it has the body, or None.",
     AT(on_read)},
    {"history", get_history, set_object, "The responses that led here.", AT(history)},
    {"_history", get_history, set_object, "The same.", AT(history)},
    {"closed", get_closed, NULL, "Whether its connection has been given back.", NULL},
    {"_closed", get_closed, set_closed, "The same.", NULL},
    {"_released", get_released, NULL, "Whether release() or close() was called.", NULL},
    {"_in_context", get_in_context, NULL, "Whether it is in an async with.", NULL},
    {"connection", get_connection, NULL, "The connection it still comes from, or None.", NULL},
    {"_connection", get_connection, NULL, "The same.", NULL},
    {"_resolve_charset", get_resolve_charset, set_object, "Says the charset where no header does; or None.",
     AT(resolve_charset)},
    {"_session", get_object, set_object, "The session.", AT(session)},
    {"_loop", get_object, set_loop, "The loop.", AT(loop)},
    {NULL, NULL, NULL, NULL, NULL},
};
