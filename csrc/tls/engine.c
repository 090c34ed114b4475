/* engine.c - one TLS session over buffers; see engine.h.
 * Owns:    its BIO; the output buffer while it holds something.
 * Threads: the loop's. The BIO's callbacks also run while Python's do_handshake() has let go of the GIL: they
 *          touch the engine and malloc, no Python object.
 * PYCALL:  whatever goes through the SSLObject; OpenSSL may call Python callbacks (SNI, keylog). */
#include "tls/engine.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MIN 16384u

/* The engine whose SSL is being driven by this thread: how a BIO finds it. An SSLObject that somebody drives
 * by hand finds none, and its reads would block. */
static _Thread_local tls_engine *driven;

/* ---- the output buffer --------------------------------------------------------------------- */

static int
grow_output(tls_engine *e, size_t need)
{
    size_t room = e->out_room ? e->out_room : OUT_MIN;
    while (room < need) {
        room *= 2;
    }
    char *out = realloc(e->out, room);
    if (out == NULL) {
        return -1;
    }
    e->out = out;
    e->out_room = room;
    return 0;
}

static int
append_output(tls_engine *e, const char *base, size_t len)
{
    if (e->out == NULL) { /* the one that the loop has, for as long as there is something in it */
        e->out = e->loop->send_buffer;
        e->out_room = e->loop->send_room;
        e->loop->send_buffer = NULL;
        e->loop->send_room = 0;
    }
    if (e->out_len + len > e->out_room && grow_output(e, e->out_len + len) < 0) {
        return -1;
    }
    memcpy(e->out + e->out_len, base, len);
    e->out_len += len;
    return 0;
}

static void
give_back(LoopObject *loop, char *out, size_t room)
{
    if (out != NULL && loop->send_buffer == NULL && room <= LOOP_RECV_SIZE * 2) {
        loop->send_buffer = out;
        loop->send_room = room;
        return;
    }
    free(out);
}

/* ---- the BIO ------------------------------------------------------------------------------- */

static int
bio_read(BIO *bio, char *buf, int len)
{
    tls_engine *e = driven;
    if (e == NULL || e->bio != bio || len <= 0) {
        return -1;
    }
    e->api->BIO_clear_flags(bio, OPENSSL_BIO_ALL_RETRY);
    if (e->in_len == 0) {
        e->api->BIO_set_flags(bio, OPENSSL_BIO_RETRY_READ);
        return -1;
    }
    size_t n = (size_t)len < e->in_len ? (size_t)len : e->in_len;
    memcpy(buf, e->in, n);
    e->in += n;
    e->in_len -= n;
    return (int)n;
}

static int
bio_write(BIO *bio, const char *base, int len)
{
    tls_engine *e = driven;
    if (e == NULL || e->bio != bio || len < 0) {
        return -1;
    }
    e->api->BIO_clear_flags(bio, OPENSSL_BIO_ALL_RETRY);
    if (append_output(e, base, (size_t)len) < 0) {
        e->no_memory = 1;
        return -1;
    }
    return len;
}

static long
bio_ctrl(BIO *bio, int command, long Py_UNUSED(number), void *Py_UNUSED(pointer))
{
    tls_engine *e = driven;
    switch (command) {
    case OPENSSL_BIO_CTRL_FLUSH:
        return 1;
    case OPENSSL_BIO_CTRL_PENDING:
        return e != NULL && e->bio == bio ? (long)e->in_len : 0;
    default:
        return 0;
    }
}

static BIO_METHOD *
bio_method(openssl_api *api)
{
    if (api->method == NULL) {
        /* No index of our own: OpenSSL has 127, and every sub-interpreter would take one. */
        BIO_METHOD *method = api->BIO_meth_new(OPENSSL_BIO_TYPE_SOURCE_SINK, "uvolt buffers");
        if (method != NULL && api->BIO_meth_set_read(method, bio_read)
            && api->BIO_meth_set_write(method, bio_write)
            && api->BIO_meth_set_ctrl(method, bio_ctrl)) {
            api->method = method;
        }
    }
    return api->method;
}

/* ---- making one ---------------------------------------------------------------------------- */

/* Put a BIO of ours under the SSL. -1 with MemoryError. */
static int
take_over(tls_engine *e, openssl_api *api)
{
    BIO_METHOD *method = bio_method(api);
    BIO *bio = method == NULL ? NULL : api->BIO_new(method);
    if (bio == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    api->BIO_set_init(bio, 1);
    api->BIO_up_ref(bio); /* one reference is the SSL's, one ours */
    api->SSL_set_bio(e->ssl, bio, bio);
    /* Its two buffers of 17 KiB go back to malloc while nothing is in them. */
    api->SSL_ctrl(e->ssl, OPENSSL_CTRL_MODE, OPENSSL_MODE_RELEASE_BUFFERS, NULL);
    e->bio = bio;
    e->api = api;
    return 0;
}

/* The direct way if it can be had and nobody forbids it: 1, 0, or -1 with an exception. */
static int
choose(core_state *st, openssl_api **api)
{
    const char *why = NULL;
    PyObject *wish = PyObject_CallMethod(st->tls_support, "engine_wish", NULL);
    int direct = wish == NULL ? -1 : PyUnicode_CompareWithASCIIString(wish, "memorybio") != 0;
    int must = direct > 0 && PyUnicode_CompareWithASCIIString(wish, "direct") == 0;
    Py_XDECREF(wish);
    if (direct <= 0) {
        return direct;
    }
    *api = openssl_get(st, &why);
    if (*api == NULL && (must || PyErr_Occurred())) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_RuntimeError, "UVOLT_TLS=direct is not possible: %s", why);
        }
        return -1;
    }
    return *api != NULL;
}

static PyObject *
wrap(tls_engine *e, PyObject *context, int server_side, PyObject *hostname)
{
    return PyObject_CallMethod(e->loop->st->tls_support, "wrap", "OOOOO", context, e->incoming,
                               e->outgoing, server_side ? Py_True : Py_False, hostname);
}

static int
make_bios(tls_engine *e)
{
    e->incoming = PyObject_CallMethod(e->loop->st->tls_support, "memory_bio", NULL);
    e->outgoing = e->incoming == NULL ? NULL
                                      : PyObject_CallMethod(e->loop->st->tls_support, "memory_bio", NULL);
    return e->outgoing == NULL ? -1 : 0;
}

int
engine_init(tls_engine *e, LoopObject *loop, PyObject *context, int server_side, PyObject *hostname)
{
    openssl_api *api = NULL;
    e->loop = loop;
    int direct = choose(loop->st, &api);
    if (direct < 0) {
        return -1;
    }
    if (direct) { /* wrap_bio() wants two: the same unused ones for all, until they are replaced */
        e->incoming = Py_NewRef(api->incoming);
        e->outgoing = Py_NewRef(api->outgoing);
    }
    else if (make_bios(e) < 0) {
        return -1;
    }
    e->sslobj = wrap(e, context, server_side, hostname);
    if (e->sslobj == NULL) {
        return -1;
    }
    if (!direct) {
        return 0;
    }
    e->ssl = openssl_ssl_of(api, e->sslobj);
    Py_CLEAR(e->incoming);
    Py_CLEAR(e->outgoing);
    if (e->ssl != NULL) {
        return take_over(e, api);
    }
    /* An SSLObject of the context's own class may do anything: by its methods, with BIOs of its own. */
    Py_CLEAR(e->sslobj);
    if (make_bios(e) < 0) {
        return -1;
    }
    e->sslobj = wrap(e, context, server_side, hostname);
    return e->sslobj == NULL ? -1 : 0;
}

/* ---- handshake and shutdown ---------------------------------------------------------------- */

static int
call_step(tls_engine *e, PyObject *method)
{
    tls_engine *outer = driven;
    PyObject *sslobj = Py_NewRef(e->sslobj);
    driven = e;
    PyObject *r = PyObject_CallMethodNoArgs(sslobj, method);
    driven = outer;
    Py_DECREF(sslobj);
    if (r != NULL) {
        Py_DECREF(r);
        return 1;
    }
    if (e->no_memory) { /* OpenSSL only knows that its BIO has failed */
        e->no_memory = 0;
        PyErr_NoMemory();
        return -1;
    }
    if (PyErr_ExceptionMatches(e->loop->st->TLSAgain)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

int
engine_handshake(tls_engine *e)
{
    return call_step(e, e->loop->st->n_do_handshake);
}

int
engine_unwrap(tls_engine *e)
{
    return call_step(e, e->loop->st->n_unwrap);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* What others have left in OpenSSL's error queue would mislead SSL_get_error(). To look is cheap, to clear an empty
 * one costs 800 instructions. */
static inline void
begin(tls_engine *e)
{
    if (UNLIKELY(e->api->ERR_peek_error() != 0)) {
        e->api->ERR_clear_error();
    }
}

/* Why SSL_read or SSL_write returned `result`, which was not success. */
static COLD Py_ssize_t
explain(tls_engine *e, int result)
{
    int error = e->api->SSL_get_error(e->ssl, result);
    if (error == OPENSSL_ERROR_WANT_READ || error == OPENSSL_ERROR_WANT_WRITE) {
        return ENGINE_AGAIN;
    }
    if (error == OPENSSL_ERROR_ZERO_RETURN) {
        return ENGINE_EOF;
    }
    if (e->no_memory) {
        e->no_memory = 0;
        PyErr_NoMemory();
        return ENGINE_ERROR;
    }
    unsigned long code = e->api->ERR_peek_last_error();
    const char *library = code ? e->api->ERR_lib_error_string(code) : NULL;
    const char *reason = code ? e->api->ERR_reason_error_string(code) : NULL;
    long verified = e->api->SSL_get_verify_result(e->ssl); /* a certificate that was asked for after the handshake */
    PyObject *exc = PyObject_CallMethod(e->loop->st->tls_support, "error", "izzlz", error, library, reason, verified,
                                        e->api->X509_verify_cert_error_string(verified));
    e->api->ERR_clear_error();
    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return ENGINE_ERROR;
}

/* ---- MemoryBIO ----------------------------------------------------------------------------- */

/* object.method(memoryview of base[0:len]): the number it returns, or -1 with an exception. */
static Py_ssize_t
call_with_span(PyObject *object, const char *method, const char *base, size_t len, int writable)
{
    PyObject *view = PyMemoryView_FromMemory((char *)base, (Py_ssize_t)len,
                                             writable ? PyBUF_WRITE : PyBUF_READ);
    PyObject *r = view == NULL ? NULL
                  : writable   ? PyObject_CallMethod(object, method, "nO", (Py_ssize_t)len, view)
                               : PyObject_CallMethod(object, method, "O", view);
    Py_ssize_t n = r == NULL ? -1 : PyLong_AsSsize_t(r);
    Py_XDECREF(r);
    if (view != NULL) { /* the memory is ours: nobody may look at it later */
        PyObject *saved = PyErr_GetRaisedException();
        PyObject *released = PyObject_CallMethod(view, "release", NULL);
        if (released == NULL) {
            PyErr_WriteUnraisable(view);
        }
        Py_XDECREF(released);
        PyErr_SetRaisedException(saved);
        Py_DECREF(view);
    }
    return n;
}

static Py_ssize_t
pending_in(PyObject *bio)
{
    PyObject *n = PyObject_GetAttrString(bio, "pending");
    Py_ssize_t size = n == NULL ? -1 : PyLong_AsSsize_t(n);
    Py_XDECREF(n);
    return size;
}

/* The outcome of SSLObject.read() or write(): -1 becomes ENGINE_AGAIN or ENGINE_ERROR. */
static Py_ssize_t
outcome(tls_engine *e, Py_ssize_t n)
{
    if (n >= 0) {
        return n;
    }
    if (PyErr_ExceptionMatches(e->loop->st->TLSAgain)) {
        PyErr_Clear();
        return ENGINE_AGAIN;
    }
    return ENGINE_ERROR;
}

/* ---- bytes in ------------------------------------------------------------------------------ */

int
engine_feed(tls_engine *e, const char *base, size_t len)
{
    if (e->api != NULL) {
        e->in = base;
        e->in_len = len;
        return 0;
    }
    return len == 0 || call_with_span(e->incoming, "write", base, len, 0) >= 0 ? 0 : -1;
}

size_t
engine_unread(const tls_engine *e)
{
    return e->in_len;
}

Py_ssize_t
engine_pending(tls_engine *e)
{
    if (e->sslobj == NULL) { /* engine_clear() */
        return 0;
    }
    if (e->ended) { /* engine_read() has that to tell */
        return 1;
    }
    if (e->api != NULL) {
        return e->in_len > 0 ? (Py_ssize_t)e->in_len : e->api->SSL_has_pending(e->ssl);
    }
    Py_ssize_t raw = pending_in(e->incoming);
    if (raw != 0) {
        return raw;
    }
    PyObject *n = PyObject_CallMethod(e->sslobj, "pending", NULL);
    Py_ssize_t plain = n == NULL ? -1 : PyLong_AsSsize_t(n);
    Py_XDECREF(n);
    return plain;
}

static Py_ssize_t
read_object(tls_engine *e, char *buf, size_t room)
{
    Py_ssize_t waiting = engine_pending(e);
    if (waiting <= 0) { /* read() would only raise SSLWantReadError, which is slow */
        return waiting == 0 ? ENGINE_AGAIN : ENGINE_ERROR;
    }
    return outcome(e, call_with_span(e->sslobj, "read", buf, room, 1));
}

static Py_ssize_t
read_direct(tls_engine *e, char *buf, size_t room)
{
    tls_engine *outer = driven;
    driven = e;
    begin(e);
    int n = e->api->SSL_read(e->ssl, buf, room > INT_MAX ? INT_MAX : (int)room);
    driven = outer;
    return LIKELY(n > 0) ? n : explain(e, n);
}

Py_ssize_t
engine_read(tls_engine *e, char *buf, size_t room)
{
    if (UNLIKELY(e->ended)) {
        return ENGINE_EOF;
    }
    if (e->api != NULL && e->in_len == 0 && !e->api->SSL_has_pending(e->ssl)) {
        return ENGINE_AGAIN; /* as SSL_read() would say, at more cost */
    }
    Py_ssize_t n = e->api != NULL ? read_direct(e, buf, room) : read_object(e, buf, room);
    e->ended = n == ENGINE_EOF;
    return n;
}

/* ---- bytes out ----------------------------------------------------------------------------- */

Py_ssize_t
engine_write(tls_engine *e, const char *base, size_t len)
{
    if (e->api == NULL) {
        return outcome(e, call_with_span(e->sslobj, "write", base, len, 0));
    }
    tls_engine *outer = driven;
    driven = e;
    begin(e);
    int n = e->api->SSL_write(e->ssl, base, len > INT_MAX ? INT_MAX : (int)len);
    driven = outer;
    return LIKELY(n > 0) ? n : explain(e, n);
}

static int
flush_bio(tls_engine *e, engine_sender send, void *arg)
{
    PyObject *bytes = PyObject_CallMethod(e->outgoing, "read", NULL);
    int rc = bytes == NULL ? -1 : 0;
    if (bytes != NULL && PyBytes_GET_SIZE(bytes) > 0) {
        rc = send(arg, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    }
    Py_XDECREF(bytes);
    return rc;
}

int
engine_flush(tls_engine *e, engine_sender send, void *arg)
{
    if (e->api == NULL) {
        return flush_bio(e, send, arg);
    }
    if (e->out_len == 0) {
        return 0;
    }
    /* Stolen: sending may run Python code that writes to this session again. */
    char *out = e->out;
    size_t len = e->out_len, room = e->out_room;
    LoopObject *loop = e->loop;
    e->out = NULL;
    e->out_len = e->out_room = 0;
    int rc = send(arg, out, len);
    give_back(loop, out, room);
    return rc;
}

Py_ssize_t
engine_unsent(tls_engine *e)
{
    return e->outgoing == NULL ? (Py_ssize_t)e->out_len : pending_in(e->outgoing);
}

void
engine_drop_output(tls_engine *e)
{
    give_back(e->loop, e->out, e->out_room);
    e->out = NULL;
    e->out_len = e->out_room = 0;
}

/* ---- garbage ------------------------------------------------------------------------------- */

int
engine_traverse(tls_engine *e, visitproc visit, void *arg)
{
    Py_VISIT(e->sslobj);
    Py_VISIT(e->incoming);
    Py_VISIT(e->outgoing);
    return 0;
}

void
engine_clear(tls_engine *e)
{
    if (e->bio != NULL) {
        e->api->BIO_free(e->bio);
        e->bio = NULL;
    }
    e->ssl = NULL;
    Py_CLEAR(e->sslobj);
    Py_CLEAR(e->incoming);
    Py_CLEAR(e->outgoing);
}
