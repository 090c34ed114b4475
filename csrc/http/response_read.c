/* response_read.c - read(), text() and json(). A body that is there already costs no suspension.
 * Owns: nothing. Threads: the loop's. PYCALL: all steps. */
#include "http/response.h"
#include "http/headers.h"
#include "http/quick.h"
#include "http/session.h"

/* ---- the body ------------------------------------------------------------------------------ */

static coro_outcome
fail_closed(ResponseObject *r)
{
    http_raise(r->loop->st, "connection_closed");
    return CORO_ERROR;
}

/* As aiohttp: what cannot be read whole is closed. The exception that is set stays. */
static coro_outcome
fail_read(ResponseObject *r)
{
    PyObject *exc = PyErr_GetRaisedException();
    response_release(r);
    PyErr_SetRaisedException(exc);
    return CORO_ERROR;
}

/* Phases of a call; 0 at first. */
enum { READ_FOREIGN = 1, READ_TOLD };

/* A stream that was put in place of ours: its own read(). */
static coro_outcome
read_foreign(CallObject *call, ResponseObject *r, PyObject *value)
{
    if (call->phase == READ_FOREIGN) {
        if (value == NULL) {
            return fail_read(r);
        }
        Py_XSETREF(r->body, Py_NewRef(value));
        return CORO_DONE;
    }
    call->phase = READ_FOREIGN;
    PyObject *reading = PyObject_CallMethod(r->foreign, "read", NULL);
    int err = reading == NULL ? -1 : coro_await(&call->coro, reading);
    Py_XDECREF(reading);
    return err < 0 ? fail_read(r) : CORO_WAIT;
}

/* CORO_DONE: r->body is there. Else what the step has to return. */
static coro_outcome
find_body(CallObject *call, ResponseObject *r, PyObject *value)
{
    PyObject *all = NULL;
    if (UNLIKELY(r->foreign != NULL)) {
        return read_foreign(call, r, value);
    }
    if (call->n == 0) {
        if (UNLIKELY(r->released && !r->empty)) {
            return fail_closed(r);
        }
        if (r->content == NULL && (r->complete || r->empty)) {
            r->body = r->piece != NULL ? r->piece : PyBytes_FromStringAndSize(NULL, 0);
            r->piece = NULL;
            return r->body == NULL ? CORO_ERROR : CORO_DONE;
        }
    }
    call->n = 1;
    BodyObject *b = response_content(r);
    coro_outcome outcome = b == NULL ? CORO_ERROR : body_read_step(b, &call->coro, "read", value, &all);
    if (outcome == CORO_DONE) {
        Py_XSETREF(r->body, all);
    }
    return outcome == CORO_ERROR ? fail_read(r) : outcome;
}

/* The body has just come: who wants to know is told, once. */
static coro_outcome
tell_read(CallObject *call, ResponseObject *r)
{
    call->phase = READ_TOLD;
    PyObject *telling = PyObject_CallOneArg(r->on_read, (PyObject *)r);
    int err = telling == NULL ? -1 : coro_await(&call->coro, telling);
    Py_XDECREF(telling);
    return err < 0 ? fail_read(r) : CORO_WAIT;
}

static coro_outcome
get_body(CallObject *call, ResponseObject *r, PyObject *value)
{
    if (UNLIKELY(call->phase == READ_TOLD)) {
        return value == NULL ? fail_read(r) : r->body == NULL ? fail_closed(r) : CORO_DONE;
    }
    if (r->body != NULL) {
        return CORO_DONE;
    }
    coro_outcome outcome = find_body(call, r, value);
    return UNLIKELY(r->on_read != NULL) && outcome == CORO_DONE ? tell_read(call, r) : outcome;
}

static void
end_read(CoroObject *c)
{
    CallObject *call = (CallObject *)c;
    ResponseObject *r = (ResponseObject *)call->owner;
    if (call->n != 0 && r != NULL && r->content != NULL) {
        body_read_end(r->content, c);
    }
}

static coro_outcome
read_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    ResponseObject *r = (ResponseObject *)call->owner;
    if (call->n == 0 && call->phase == 0 && r->body != NULL && r->released) {
        return fail_closed(r);
    }
    coro_outcome outcome = get_body(call, r, value);
    if (outcome == CORO_DONE) {
        *result = Py_NewRef(r->body);
    }
    return outcome;
}

static int
check_loop(ResponseObject *r)
{
    if (r->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this response was made without a loop");
        return -1;
    }
    return 0;
}

PyObject *
response_read(PyObject *self, PyObject *Py_UNUSED(unused))
{
    static const coro_kind kind = {"ClientResponse.read", read_step, end_read};
    ResponseObject *r = (ResponseObject *)self;
    return check_loop(r) < 0 ? NULL : call_new(r->loop, &kind, self, NULL, NULL, 0);
}

/* ---- its charset --------------------------------------------------------------------------- */

typedef enum { CHARSET_ASK = 0, CHARSET_UTF8, CHARSET_LATIN1, CHARSET_ASCII } charset;

typedef struct content_type {
    const char *s; /* borrowed from the head or from `holder` */
    size_t n;
    PyObject *holder; /* strong, or NULL */
} content_type;

/* -1 with an exception. PYCALL where headers were set by hand. */
static int
get_content_type(ResponseObject *r, content_type *t)
{
    t->holder = NULL;
    if (LIKELY(r->head.fields != NULL)) {
        t->s = r->head.base + r->head.content_type.at;
        t->n = r->head.content_type.len;
        return 0;
    }
    PyObject *headers = response_headers(r);
    Py_ssize_t n;
    t->holder = headers == NULL ? NULL : PyObject_CallMethod(headers, "get", "ss", "Content-Type", "");
    t->s = t->holder == NULL ? NULL : PyUnicode_AsUTF8AndSize(t->holder, &n);
    if (t->s == NULL) {
        Py_CLEAR(t->holder);
        return -1;
    }
    t->n = (size_t)n;
    return 0;
}

static int
span_is(const char *s, size_t n, const char *lower)
{
    return headers_same_name(s, n, lower, strlen(lower));
}

static int
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The charset of one `charset=...` that is the only parameter. */
static charset
charset_of(const char *s, size_t n)
{
    static const char key[] = "charset=";
    while (n != 0 && is_blank(*s)) {
        s++;
        n--;
    }
    if (n < sizeof key - 1 || !headers_same_name(s, sizeof key - 1, key, sizeof key - 1)) {
        return CHARSET_ASK;
    }
    s += sizeof key - 1;
    n -= sizeof key - 1;
    while (n != 0 && (*s == '"' || is_blank(*s))) {
        s++;
        n--;
    }
    while (n != 0 && (s[n - 1] == '"' || is_blank(s[n - 1]))) {
        n--;
    }
    if (span_is(s, n, "utf-8") || span_is(s, n, "utf8")) {
        return CHARSET_UTF8;
    }
    if (span_is(s, n, "iso-8859-1") || span_is(s, n, "latin-1")) {
        return CHARSET_LATIN1;
    }
    return span_is(s, n, "us-ascii") || span_is(s, n, "ascii") ? CHARSET_ASCII : CHARSET_ASK;
}

/* What is known without asking Python's get_encoding(). */
static charset
known_charset(ResponseObject *r, const content_type *t)
{
    http_state *hs = r->loop->st->http;
    if (r->head.fields == NULL || !quick_is_stock((PyObject *)r, hs->n_get_encoding, hs->stock_get_encoding)) {
        return CHARSET_ASK;
    }
    const char *semi = t->n == 0 ? NULL : memchr(t->s, ';', t->n);
    if (semi != NULL) {
        return charset_of(semi + 1, t->n - (size_t)(semi + 1 - t->s));
    }
    if (span_is(t->s, t->n, "application/json") || span_is(t->s, t->n, "application/rdap")) {
        return CHARSET_UTF8;
    }
    PyObject *fallback = response_fallback(r);
    return fallback == NULL || fallback == Py_None ? CHARSET_UTF8 : CHARSET_ASK;
}

/* By the name that `encoding`, or else get_encoding(), says. */
static PyObject *
decode_by_name(ResponseObject *r, const char *s, Py_ssize_t n, PyObject *encoding, const char *errors)
{
    PyObject *name = encoding != NULL ? Py_NewRef(encoding)
                                      : PyObject_CallMethodNoArgs((PyObject *)r, r->loop->st->http->n_get_encoding);
    const char *text = name == NULL ? NULL : PyUnicode_AsUTF8(name);
    PyObject *decoded = text == NULL ? NULL : PyUnicode_Decode(s, n, text, errors);
    Py_XDECREF(name);
    return decoded;
}

static PyObject *
decode_span(ResponseObject *r, const char *s, Py_ssize_t n, PyObject *encoding, const char *errors)
{
    content_type t;
    charset known = CHARSET_ASK;
    if (encoding == NULL) {
        if (get_content_type(r, &t) < 0) {
            return NULL;
        }
        known = known_charset(r, &t);
        Py_XDECREF(t.holder);
    }
    switch (known) {
    case CHARSET_UTF8:
        return PyUnicode_DecodeUTF8(s, n, errors);
    case CHARSET_LATIN1:
        return PyUnicode_DecodeLatin1(s, n, errors);
    case CHARSET_ASCII:
        return PyUnicode_DecodeASCII(s, n, errors);
    default:
        return decode_by_name(r, s, n, encoding, errors);
    }
}

/* n bytes of the body as text; `encoding` and `errors` may be NULL. */
static PyObject *
decode(ResponseObject *r, const char *s, Py_ssize_t n, PyObject *encoding, const char *errors)
{
    PyObject *body = Py_NewRef(r->body); /* get_encoding() may put another in its place */
    PyObject *text = decode_span(r, s, n, encoding, errors);
    Py_DECREF(body);
    return text;
}

/* The body as bytes that can be decoded: a foreign one may be any buffer. -1 with an exception. */
static int
body_span(ResponseObject *r, const char **s, Py_ssize_t *n)
{
    char *base;
    if (UNLIKELY(r->body == NULL)) { /* taken away by code of the program's, since it came */
        http_raise(r->loop->st, "connection_closed");
        return -1;
    }
    if (PyBytes_AsStringAndSize(r->body, &base, n) < 0) {
        return -1;
    }
    *s = base;
    return 0;
}

/* ---- text() -------------------------------------------------------------------------------- */

static coro_outcome
text_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    ResponseObject *r = (ResponseObject *)call->owner;
    coro_outcome outcome = get_body(call, r, value);
    if (outcome != CORO_DONE) {
        return outcome;
    }
    const char *s, *errors = call->extra == NULL ? NULL : PyUnicode_AsUTF8(call->extra);
    Py_ssize_t n;
    if ((errors == NULL && call->extra != NULL) || body_span(r, &s, &n) < 0) {
        return CORO_ERROR;
    }
    *result = decode(r, s, n, call->arg, errors);
    return *result == NULL ? CORO_ERROR : CORO_DONE;
}

/* Puts keyword arguments to their places in `values`. -1 with TypeError. */
static int
bind_named(const char *method, const char *const *names, int n, int positional, PyObject *const *args, Py_ssize_t nargs,
     PyObject *kwnames, PyObject **values)
{
    if (nargs > positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes %d positional arguments but %zd were given", method,
                     positional + 1, nargs + 1);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        values[i] = args[i];
    }
    for (Py_ssize_t k = 0; kwnames != NULL && k < PyTuple_GET_SIZE(kwnames); k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        int i = 0;
        while (i < n && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) {
            i++;
        }
        if (i == n || i < nargs) {
            PyErr_Format(PyExc_TypeError, i == n ? "%s() got an unexpected keyword argument '%U'"
                                                 : "%s() got multiple values for argument '%U'", method, name);
            return -1;
        }
        values[i] = args[nargs + k];
    }
    return 0;
}

PyObject *
response_text(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const coro_kind kind = {"ClientResponse.text", text_step, end_read};
    static const char *const names[] = {"encoding", "errors"};
    ResponseObject *r = (ResponseObject *)self;
    PyObject *values[2] = {Py_None, NULL};
    if (check_loop(r) < 0 || bind_named("text", names, 2, 2, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return call_new(r->loop, &kind, self, values[0] == Py_None ? NULL : values[0], values[1], 0);
}

/* ---- json() -------------------------------------------------------------------------------- */

static int
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.'
           || c == '+' || c == '-';
}

/* ^application/(?:[\w.+-]+?\+)?json, in any case */
static int
is_json_type(const char *s, size_t n)
{
    static const char prefix[] = "application/";
    size_t at = sizeof prefix - 1;
    if (n < at + 4 || !headers_same_name(s, at, prefix, at)) {
        return 0;
    }
    if (headers_same_name(s + at, 4, "json", 4)) {
        return 1;
    }
    for (size_t i = at; i + 4 < n && is_word(s[i]); i++) {
        if (s[i] == '+' && i > at && headers_same_name(s + i + 1, 4, "json", 4)) {
            return 1;
        }
    }
    return 0;
}

/* ContentTypeError of a response that is not JSON. `wanted` is NULL or Ellipsis for the default. -1 with an exception. */
static int
check_json_type(ResponseObject *r, PyObject *wanted)
{
    content_type t;
    wanted = wanted == Py_Ellipsis ? NULL : wanted;
    if (wanted != NULL && PyObject_IsTrue(wanted) == 0) {
        return 0;
    }
    if (get_content_type(r, &t) < 0) {
        return -1;
    }
    int ok = wanted == NULL && is_json_type(t.s, t.n);
    if (!ok) {
        PyObject *seen = headers_text(t.s, t.n);
        PyObject *lower = seen == NULL ? NULL : PyObject_CallMethod(seen, "lower", NULL);
        int is_default = wanted == NULL || (PyUnicode_Check(wanted)
                                            && PyUnicode_CompareWithASCIIString(wanted, "application/json") == 0);
        ok = lower == NULL ? -1 : is_default ? is_json_type(t.s, t.n) : PySequence_Contains(lower, wanted);
        if (ok == 0) {
            PyErr_SetRaisedException(http_error(r->loop->st, "content_type_error", "(OO)", (PyObject *)r, lower));
        }
        Py_XDECREF(seen);
        Py_XDECREF(lower);
    }
    Py_XDECREF(t.holder);
    return ok > 0 ? 0 : -1;
}

/* json.loads(text), whose white space is cut off: by the scanner of its decoder. */
static PyObject *
parse_json(http_state *hs, PyObject *text)
{
    PyObject *zero = PyLong_FromLong(0), *args[3] = {NULL, text, zero};
    PyObject *found = PyObject_Vectorcall(hs->json_scan, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(zero);
    if (found == NULL && !PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return NULL;
    }
    PyErr_Clear();
    if (found != NULL && PyTuple_CheckExact(found) && PyTuple_GET_SIZE(found) == 2
        && PyLong_AsSsize_t(PyTuple_GET_ITEM(found, 1)) == PyUnicode_GET_LENGTH(text)) {
        PyObject *value = Py_NewRef(PyTuple_GET_ITEM(found, 0));
        Py_DECREF(found);
        return value;
    }
    Py_XDECREF(found);
    return PyObject_CallOneArg(hs->json_loads, text); /* which says what is wrong */
}

static int
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static coro_outcome
json_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    ResponseObject *r = (ResponseObject *)call->owner;
    coro_outcome outcome = get_body(call, r, value);
    if (outcome != CORO_DONE) {
        return outcome;
    }
    PyObject *loads = call->extra == NULL ? Py_None : PyTuple_GET_ITEM(call->extra, 0);
    const char *s;
    Py_ssize_t n;
    if (check_json_type(r, call->extra == NULL ? NULL : PyTuple_GET_ITEM(call->extra, 1)) < 0
        || body_span(r, &s, &n) < 0) {
        return CORO_ERROR;
    }
    while (n > 0 && is_space(*s)) {
        s++;
        n--;
    }
    while (n > 0 && is_space(s[n - 1])) {
        n--;
    }
    if (n == 0) {
        *result = Py_NewRef(Py_None);
        return CORO_DONE;
    }
    http_state *hs = r->loop->st->http;
    PyObject *text = decode(r, s, n, call->arg, NULL);
    if (text != NULL) {
        *result = loads == Py_None || loads == hs->json_loads ? parse_json(hs, text) : PyObject_CallOneArg(loads, text);
        Py_DECREF(text);
    }
    return *result == NULL ? CORO_ERROR : CORO_DONE;
}

PyObject *
response_json(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const coro_kind kind = {"ClientResponse.json", json_step, end_read};
    static const char *const names[] = {"encoding", "loads", "content_type"};
    ResponseObject *r = (ResponseObject *)self;
    PyObject *values[3] = {Py_None, NULL, NULL}, *extra = NULL;
    if (check_loop(r) < 0 || bind_named("json", names, 3, 0, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    if (values[1] != NULL || values[2] != NULL) {
        extra = PyTuple_Pack(2, values[1] != NULL ? values[1] : Py_None, values[2] != NULL ? values[2] : Py_Ellipsis);
        if (extra == NULL) {
            return NULL;
        }
    }
    PyObject *call = call_new(r->loop, &kind, self, values[0] == Py_None ? NULL : values[0], extra, 0);
    Py_XDECREF(extra);
    return call;
}
