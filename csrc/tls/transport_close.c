/* transport_close.c - how a TLS transport ends: close_notify, and what the peer still says; see transport.h.
 * Threads: the loop's. PYCALL: nearly everything. */
#include "core/handle.h"
#include "tls/transport.h"

/* TLS in TLS, and this is the outer layer? */
static int
is_under_tls(const TlsObject *t)
{
    return t->to.protocol != NULL && Py_TYPE(t->to.protocol) == t->loop->st->tls_type;
}

int
tls_tell_eof(TlsObject *t)
{
    if (t->app != APP_MADE || t->to.protocol == NULL) {
        return 0;
    }
    int under_tls = is_under_tls(t);
    t->app = APP_EOF;
    PyObject *r = tls_call_app(t, t->loop->st->n_eof_received, NULL);
    int keep = r == NULL ? -1 : PyObject_IsTrue(r);
    Py_XDECREF(r);
    if (keep > 0 && under_tls) { /* its program has paused it */
        t->app_paused = 1;
        return 1;
    }
    if (keep > 0) {
        r = PyObject_CallMethod(t->loop->st->tls_support, "warn_half_closed", NULL);
        keep = r == NULL ? -1 : 0;
        Py_XDECREF(r);
    }
    if (keep < 0) {
        tls_fatal(t, "Error calling eof_received()");
    }
    return 0;
}

/* All is said: the transport below may close, once what it has is sent. */
static void
close_below(TlsObject *t)
{
    tls_stop_timer(t);
    PyObject *close = t->lower == NULL ? NULL : PyObject_GetAttrString(t->lower, "close");
    HandleObject *h = close == NULL ? NULL : loop_call_soon(t->loop, close, NULL, 0, NULL);
    Py_XDECREF(close);
    if (h == NULL && PyErr_Occurred()) {
        tls_fatal(t, "Fatal error on transport");
    }
    Py_XDECREF(h);
}

/* Is the exception only that the peer had data under way when the program closed? Then it is taken. */
static COLD int
is_late_data(TlsObject *t)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *r = PyObject_CallMethod(t->loop->st->tls_support, "is_late_data", "O", exc);
    int late = r == Py_True;
    Py_XDECREF(r);
    if (late) {
        Py_DECREF(exc);
        return 1;
    }
    PyErr_SetRaisedException(exc);
    return 0;
}

enum { UNWRAP_LATE_DATA = 2 };

/* engine_unwrap(). What has come by the time of close() is thrown away first: to OpenSSL, data in the way of
 * close_notify are an error and the end. What comes later is that, but no error: it is not read on, for it may
 * be long. */
static int
unwrap(TlsObject *t)
{
    if (!t->notified) {
        char nowhere[4096];
        Py_ssize_t n = 1;
        t->notified = 1;
        while (n > 0) {
            n = engine_read(&t->engine, nowhere, sizeof(nowhere));
        }
        if (n == ENGINE_ERROR) {
            return -1;
        }
    }
    int rc = engine_unwrap(&t->engine);
    return rc < 0 && is_late_data(t) ? UNWRAP_LATE_DATA : rc;
}

void
tls_continue_shutdown(TlsObject *t)
{
    int rc = t->eof_received ? 1 : unwrap(t);
    if (t->state != TLS_SHUTDOWN) {
        PyErr_Clear();
        return;
    }
    if (rc < 0) {
        tls_fatal(t, "Fatal error on transport");
        return;
    }
    if (rc > 0) {
        t->writing_paused = 0; /* close() of the transport below sends what it has */
    }
    tls_flush(t);
    if (rc == 1 && t->state == TLS_SHUTDOWN) {
        tls_tell_eof(t);
    }
    if (rc > 0 && t->state == TLS_SHUTDOWN) {
        t->state = rc == UNWRAP_LATE_DATA ? TLS_UNWRAPPED : TLS_SHUTDOWN; /* the next bytes are of no use */
        close_below(t);
    }
}

void
tls_finish_reading(TlsObject *t)
{
    tls_read(t);
    if (t->state == TLS_FLUSHING && !t->app_paused && !t->upgraded) {
        if (is_under_tls(t) && (tls_tell_eof(t) || t->state != TLS_FLUSHING)) {
            return;
        }
        if (t->backlog != NULL && tls_encrypt_backlog(t) < 0) {
            tls_fatal(t, "Fatal error on transport");
            return;
        }
        t->state = TLS_SHUTDOWN;
        tls_continue_shutdown(t);
    }
}

void
tls_abort_below(TlsObject *t, PyObject *exc)
{
    t->closed = 1;
    t->state = TLS_UNWRAPPED;
    tls_stop_timer(t);
    tls_force_close_below(t, exc);
}

void
tls_begin_shutdown(TlsObject *t)
{
    if (t->state == TLS_HANDSHAKE || t->loop->closed) {
        tls_abort_below(t, Py_None);
        return;
    }
    if (t->state != TLS_OPEN && t->state != TLS_FLUSHING) {
        return;
    }
    t->closed = 1;
    int rc = t->backlog != NULL ? tls_encrypt_backlog(t) : 0;
    t->state = TLS_SHUTDOWN;
    if (rc < 0 || tls_start_timer(t, t->shutdown_timeout, "_shutdown_timed_out") < 0) {
        tls_fatal(t, "Fatal error on transport");
        return;
    }
    if (t->busy) { /* with the rest of the span */
        tls_continue_shutdown(t);
    }
    else {
        tls_work(t);
    }
}

PyObject *
tls_shutdown_timed_out(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    if (t->state == TLS_FLUSHING || t->state == TLS_SHUTDOWN) {
        PyObject *exc = tls_timeout_error(t, "shutdown_timed_out", t->shutdown_timeout);
        if (exc == NULL) {
            return NULL;
        }
        tls_force_close_below(t, exc);
        Py_DECREF(exc);
    }
    Py_RETURN_NONE;
}
