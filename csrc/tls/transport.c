/* transport.c - TlsObject: its life, the handshake, the shutdown; see transport.h.
 * Owns:    the engine. Kept by: the transport below, whose protocol it is, until connection_lost().
 * Threads: the loop's. PYCALL: nearly everything. */
#include "tls/transport.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/handle.h"
#include "runtime/args.h"
#include "runtime/object.h"

_Static_assert(offsetof(TlsObject, dict) == offsetof(StreamObject, dict),
               "stream_check_layout() speaks for both");

/* ---- calling the program ------------------------------------------------------------------- */

/* protocol.method([arg]) in the context of the transport, which it may be in already. New reference. */
PyObject *
tls_call_app(TlsObject *t, PyObject *method, PyObject *arg)
{
    int enter = !t->in_context;
    if (enter && PyContext_Enter(t->to.context) < 0) {
        return NULL;
    }
    t->in_context = 1;
    PyObject *protocol = Py_NewRef(t->to.protocol); /* set_protocol() may drop it meanwhile */
    PyObject *r = arg == NULL ? PyObject_CallMethodNoArgs(protocol, method)
                              : PyObject_CallMethodOneArg(protocol, method, arg);
    Py_DECREF(protocol);
    if (enter) {
        t->in_context = 0;
        if (PyContext_Exit(t->to.context) < 0) {
            Py_CLEAR(r);
        }
    }
    return r;
}

/* Tells t->waiter, if there is one, by _tls.how(waiter, exc, flag). */
static void
tell_waiter(TlsObject *t, const char *how, PyObject *exc, PyObject *flag)
{
    PyObject *waiter = t->waiter;
    if (waiter == NULL) {
        return;
    }
    t->waiter = NULL;
    PyObject *r = PyObject_CallMethod(t->loop->st->tls_support, how, "OOO", waiter, exc, flag);
    if (r == NULL) {
        loop_error(t->loop, "Cannot wake a waiter", (PyObject *)t, t->to.protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(waiter);
}

/* The one who waits for the handshake learns that it is done, or has failed with `exc`. */
static void
wake_waiter(TlsObject *t, PyObject *exc)
{
    tell_waiter(t, "wake_waiter", exc != NULL ? exc : Py_None, Py_True);
}

/* Debug mode's lines of log. */
static void
note(TlsObject *t, const char *what)
{
    if (UNLIKELY(t->loop->debug)) {
        PyObject *r = PyObject_CallMethod(t->loop->st->tls_support, what, "Od", (PyObject *)t, t->began);
        if (r == NULL) {
            PyErr_WriteUnraisable((PyObject *)t);
        }
        Py_XDECREF(r);
    }
}

/* ---- the transport below ------------------------------------------------------------------- */

void
tls_force_close_below(TlsObject *t, PyObject *exc)
{
    if (t->stream != NULL) {
        stream_force_close(t->stream, exc);
    }
    else if (t->lower != NULL && !t->lost) {
        PyObject *r = PyObject_CallMethod(t->lower, "_force_close", "O", exc);
        if (r == NULL) {
            PyErr_WriteUnraisable(t->lower);
        }
        Py_XDECREF(r);
    }
}

/* Ours and nothing but ours: then bytes go past Python. */
static void
attach(TlsObject *t, PyObject *lower)
{
    Py_XSETREF(t->lower, Py_NewRef(lower));
    if (Py_TYPE(lower) == t->loop->st->stream_type) {
        StreamObject *s = (StreamObject *)lower;
        if (s->to.protocol == (PyObject *)t) {
            s->sink = &tls_sink;
            t->stream = s;
            t->writing_paused = s->protocol_paused;
            t->protocol_paused = s->protocol_paused; /* start_tls(): the program still waits for it */
            tls_limit_below(t);
        }
    }
}

void
tls_stop_timer(TlsObject *t)
{
    PyObject *timer = t->timer;
    if (timer != NULL) {
        t->timer = NULL;
        handle_cancel((HandleObject *)timer);
        Py_DECREF(timer);
    }
}

void
tls_fatal(TlsObject *t, const char *message)
{
    PyObject *protocol = (PyObject *)t;
    if (uvolt_error_is_fatal()) {
        loop_error(t->loop, message, t->lower, protocol); /* leaves the loop; the transport lives */
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    t->closed = 1;
    t->state = TLS_UNWRAPPED;
    tls_stop_timer(t);
    tls_force_close_below(t, exc);
    PyObject *r = PyObject_CallMethod(t->loop->st->support, "transport_failed", "OsOOO",
                                      (PyObject *)t->loop, message, exc,
                                      t->lower != NULL ? t->lower : Py_None, protocol);
    if (r == NULL) {
        loop_error(t->loop, message, t->lower, protocol);
    }
    Py_XDECREF(r);
    Py_XDECREF(exc);
}

/* ---- timeouts ------------------------------------------------------------------------------ */

int
tls_start_timer(TlsObject *t, PyObject *seconds, const char *method)
{
    PyObject *callback = PyObject_GetAttrString((PyObject *)t, method);
    PyObject *args[] = {seconds, callback};
    tls_stop_timer(t);
    t->timer = callback == NULL ? NULL : loop_call_later((PyObject *)t->loop, args, 2, NULL);
    Py_XDECREF(callback);
    return t->timer == NULL ? -1 : 0;
}

PyObject *
tls_timeout_error(TlsObject *t, const char *which, PyObject *seconds)
{
    return PyObject_CallMethod(t->loop->st->tls_support, which, "O", seconds);
}

static PyObject *
tls_handshake_timed_out(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    if (t->state == TLS_HANDSHAKE) {
        PyObject *exc = tls_timeout_error(t, "handshake_timed_out", t->handshake_timeout);
        if (exc == NULL) {
            return NULL;
        }
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        tls_fatal(t, "SSL handshake failed");
        wake_waiter(t, exc);
        Py_DECREF(exc);
    }
    Py_RETURN_NONE;
}

/* ---- handshake ----------------------------------------------------------------------------- */

/* The exception that is set ends it. What OpenSSL has to tell the peer (an alert) still goes out. */
static void
handshake_failed(TlsObject *t)
{
    if (uvolt_error_is_fatal()) { /* Ctrl-C: the handshake goes on when the loop does */
        loop_error(t->loop, "SSL handshake interrupted", t->lower, (PyObject *)t);
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    tls_flush(t);
    PyErr_SetRaisedException(Py_NewRef(exc));
    int verify = PyErr_ExceptionMatches(t->loop->st->SSLCertVerificationError);
    tls_fatal(t, verify ? "SSL handshake failed on verifying the certificate"
                        : "SSL handshake failed");
    wake_waiter(t, exc);
    Py_DECREF(exc);
}

/* connection_made() of the program, unless it is that already (start_tls). */
static int
tell_made(TlsObject *t)
{
    if (t->app != APP_INIT) {
        return 0;
    }
    t->app = APP_MADE;
    PyObject *r = tls_call_app(t, t->loop->st->n_connection_made, (PyObject *)t);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

void
tls_continue_handshake(TlsObject *t)
{
    int rc = engine_handshake(&t->engine);
    if (t->state != TLS_HANDSHAKE) { /* aborted by a callback of OpenSSL */
        PyErr_Clear();
        return;
    }
    if (rc < 0) {
        handshake_failed(t);
        return;
    }
    if (rc == 0) {
        tls_flush(t);
        return;
    }
    tls_stop_timer(t);
    t->state = TLS_OPEN;
    t->shaken = 1;
    note(t, "note_handshake");
    int upgraded = t->app != APP_INIT;
    if (tell_made(t) < 0) {
        tls_fatal(t, "Fatal error: protocol.connection_made() call failed.");
        return; /* the waiter is told when the transport below is lost */
    }
    wake_waiter(t, NULL);
    if (upgraded) { /* whoever called start_tls() gets this transport before data: their answer belongs here */
        t->upgraded = tls_schedule_resume(t) == 0;
        if (!t->upgraded) {
            tls_fatal(t, "Fatal error on SSL protocol");
        }
    }
    if (t->state == TLS_OPEN) {
        tls_read(t);
    }
}

/* connection_made(transport): by the transport below. */
static PyObject *
tls_connection_made(PyObject *op, PyObject *lower)
{
    TlsObject *t = (TlsObject *)op;
    if (t->lost || t->state != TLS_UNWRAPPED) {
        Py_RETURN_NONE;
    }
    attach(t, lower);
    t->state = TLS_HANDSHAKE;
    t->began = clock_now();
    note(t, "note_begin");
    if (tls_start_timer(t, t->handshake_timeout, "_handshake_timed_out") < 0) {
        handshake_failed(t);
        Py_RETURN_NONE;
    }
    tls_work(t);
    Py_RETURN_NONE;
}

/* eof_received(): the TCP end of the peer has closed. True keeps the transport below open for now. */
static PyObject *
tls_eof_received(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    t->eof_received = 1;
    note(t, "note_eof");
    switch (t->state) {
    case TLS_HANDSHAKE:
        PyErr_SetNone(PyExc_ConnectionResetError);
        handshake_failed(t);
        break;
    case TLS_OPEN:
        t->state = TLS_FLUSHING;
        if (t->app_paused || t->upgraded) { /* resume_reading() goes on from here, or close() */
            Py_RETURN_TRUE;
        }
        tls_work(t);
        break;
    case TLS_SHUTDOWN:
        tls_work(t);
        break;
    case TLS_FLUSHING:
    case TLS_UNWRAPPED:
        break;
    }
    return PyBool_FromLong(t->state == TLS_FLUSHING || t->busy);
}

/* A program that closes what is closed already has done with it: the session and its context are not kept
 * for get_extra_info() any longer, as on asyncio. */
static void
let_go_of_session(TlsObject *t)
{
    if (t->let_go && t->lost && !t->busy) {
        engine_clear(&t->engine);
        Py_CLEAR(t->ssl_context);
        Py_CLEAR(t->extra);
    }
}

/* connection_lost(exc): by the transport below. The program hears of it in the next batch. */
static PyObject *
tls_connection_lost(PyObject *op, PyObject *exc)
{
    TlsObject *t = (TlsObject *)op;
    if (t->lost) {
        Py_RETURN_NONE;
    }
    t->lost = t->closed = 1;
    t->conn_lost++;
    t->stream = NULL;
    tls_stop_timer(t);
    tls_drop_buffers(t);
    t->state = TLS_UNWRAPPED;
    HandleObject *h = NULL;
    int upgrading = t->app != APP_INIT && !t->shaken, tell = t->app == APP_MADE || t->app == APP_EOF;
    t->app = APP_LOST;
    if (tell) {
        PyObject *method = PyObject_GetAttr(t->to.protocol, t->loop->st->n_connection_lost);
        h = method == NULL ? NULL : loop_call_soon(t->loop, method, &exc, 1, t->to.context);
        Py_XDECREF(method);
        if (h == NULL) {
            loop_error(t->loop, "Cannot schedule connection_lost", op, t->to.protocol);
        }
        Py_XDECREF(h);
    }
    receiver_detach(&t->to);
    let_go_of_session(t);
    tell_waiter(t, "wake_closed", exc, upgrading ? Py_True : Py_False);
    Py_RETURN_NONE;
}

static PyObject *
tls_data_received(PyObject *op, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    tls_incoming((TlsObject *)op, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

/* ---- the program's methods ----------------------------------------------------------------- */

static PyObject *
tls_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    if (!t->closed) {
        t->closed = 1;
        tls_begin_shutdown(t);
        Py_RETURN_NONE;
    }
    t->let_go = 1;
    let_go_of_session(t);
    Py_RETURN_NONE;
}

static PyObject *
tls_abort(PyObject *op, PyObject *Py_UNUSED(unused))
{
    tls_abort_below((TlsObject *)op, Py_None);
    Py_RETURN_NONE;
}

static PyObject *
tls_force_close(PyObject *op, PyObject *exc)
{
    tls_abort_below((TlsObject *)op, exc);
    Py_RETURN_NONE;
}

static PyObject *
tls_set_protocol(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *protocol = uvolt_args_one("set_protocol", "protocol", args, nargs, kwnames);
    if (protocol == NULL || receiver_set(&((TlsObject *)op)->to, protocol) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
tls_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(unused))
{
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

/* ---- making one ---------------------------------------------------------------------------- */

/* The part that may raise. -1 with an exception. */
static int
set_up(TlsObject *t, PyObject *const *args)
{
    PyObject *hostname = args[5];
    t->ssl_context = Py_NewRef(args[2]);
    t->waiter = args[3] == Py_None ? NULL : Py_NewRef(args[3]);
    t->handshake_timeout = Py_NewRef(args[6]);
    t->shutdown_timeout = Py_NewRef(args[7]);
    t->to.context = PyContext_CopyCurrent();
    if (t->to.context == NULL || (UVOLT_EAGER_DICT && (t->dict = PyDict_New()) == NULL)) {
        return -1;
    }
    if (args[9] != Py_None && (t->extra = PyDict_Copy(args[9])) == NULL) {
        return -1;
    }
    return receiver_set(&t->to, args[1]) < 0
                   || engine_init(&t->engine, t->loop, t->ssl_context, t->server_side, hostname) < 0
               ? -1
               : 0;
}

/* make_tls(loop, protocol, sslcontext, waiter, server_side, server_hostname, handshake_timeout,
 *          shutdown_timeout, call_connection_made, extra); arguments checked by Python's side */
PyObject *
tls_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 10 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "make_tls() takes a loop and nine more arguments");
        return NULL;
    }
    int server_side = PyObject_IsTrue(args[4]), call_made = PyObject_IsTrue(args[8]);
    if (server_side < 0 || call_made < 0 || loop_check_closed((LoopObject *)args[0]) < 0) {
        return NULL;
    }
    TlsObject *t = (TlsObject *)st->tls_type->tp_alloc(st->tls_type, 0);
    if (t == NULL) {
        return NULL;
    }
    st->c_transports_alive++;
    t->loop = (LoopObject *)Py_NewRef(args[0]);
    t->to.loop = t->loop;
    t->engine.loop = t->loop;
    t->server_side = server_side != 0;
    t->app = call_made ? APP_INIT : APP_MADE;
    t->high = 512 * 1024; /* asyncio's FLOW_CONTROL_HIGH_WATER_SSL_WRITE and _READ */
    t->low = t->high / 4;
    t->read_high = 256 * 1024;
    t->read_low = t->read_high / 4;
    if (set_up(t, args) < 0) {
        t->closed = 1;
        Py_DECREF(t);
        return NULL;
    }
    return (PyObject *)t;
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
tls_traverse(PyObject *op, visitproc visit, void *arg)
{
    TlsObject *self = (TlsObject *)op;
    Py_VISIT(Py_TYPE(op));
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_VISIT(self->base_slots[i]);
    }
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->lower);
    Py_VISIT(self->ssl_context);
    Py_VISIT(self->waiter);
    Py_VISIT(self->extra);
    Py_VISIT(self->timer);
    Py_VISIT(self->backlog);
    int rc = engine_traverse(&self->engine, visit, arg);
    return rc != 0 ? rc : receiver_traverse(&self->to, visit, arg);
}

/* `loop` stays until dealloc. */
static int
tls_clear(PyObject *op)
{
    TlsObject *self = (TlsObject *)op;
    self->state = TLS_UNWRAPPED; /* nothing touches the engine any more */
    self->lost = self->closed = 1;
    self->stream = NULL;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_CLEAR(self->base_slots[i]);
    }
    Py_CLEAR(self->dict);
    Py_CLEAR(self->lower);
    Py_CLEAR(self->ssl_context);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->timer);
    Py_CLEAR(self->backlog);
    tls_drop_buffers(self);
    engine_clear(&self->engine);
    receiver_clear(&self->to);
    return 0;
}

static void
tls_finalize(PyObject *op)
{
    TlsObject *self = (TlsObject *)op;
    if (self->closed) {
        return;
    }
    self->closed = 1;
    PyObject *saved = PyErr_GetRaisedException();
    object_warn_unclosed(op);
    PyErr_SetRaisedException(saved);
}

static void
tls_dealloc(PyObject *op)
{
    TlsObject *self = (TlsObject *)op;
    LoopObject *loop = self->loop;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    tls_clear(op);
    Py_CLEAR(self->handshake_timeout);
    Py_CLEAR(self->shutdown_timeout);
    free(self->to.view);
    loop->st->c_transports_alive--;
    object_dealloc_end(op, loop);
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef tls_methods[] = {
    {"write", FAST(tls_write), METH_FASTCALL | METH_KEYWORDS,
     "write($self, data)\n--\n\nEncrypt and send data, or queue it. Never blocks."},
    {"writelines", FAST(tls_writelines), METH_FASTCALL | METH_KEYWORDS,
     "writelines($self, list_of_data)\n--\n\nwrite() for several buffers, sent together."},
    {"write_eof", tls_write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\nRaises NotImplementedError: TLS has no half-closed connections."},
    {"close", tls_close, METH_NOARGS,
     "close($self, /)\n--\n\nSend what is queued and close_notify, then connection_lost(None)."},
    {"abort", tls_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nDrop what is queued, then connection_lost(None)."},
    {"set_protocol", FAST(tls_set_protocol), METH_FASTCALL | METH_KEYWORDS,
     "set_protocol($self, protocol)\n--\n\nThe next bytes go to this protocol."},
    {"pause_reading", tls_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nDeliver nothing until resume_reading()."},
    {"resume_reading", tls_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nDeliver data again."},
    {"set_write_buffer_limits", FAST(tls_set_write_limits), METH_FASTCALL | METH_KEYWORDS,
     "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
     "When to call pause_writing() and resume_writing(), in bytes."},
    {"set_read_buffer_limits", FAST(tls_set_read_limits), METH_FASTCALL | METH_KEYWORDS,
     "set_read_buffer_limits($self, high=None, low=None)\n--\n\n"
     "How much is held while reading is paused before the socket is left alone, in bytes."},
    {"get_extra_info", FAST(tls_get_extra_info), METH_FASTCALL | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n"
     "'ssl_object', 'sslcontext', 'peercert', 'cipher', 'compression', or what the transport below "
     "knows."},
    {"connection_made", tls_connection_made, METH_O,
     "connection_made($self, transport, /)\n--\n\nBy the transport below: begin the handshake."},
    {"connection_lost", tls_connection_lost, METH_O,
     "connection_lost($self, exc, /)\n--\n\nBy the transport below."},
    {"data_received", tls_data_received, METH_O,
     "data_received($self, data, /)\n--\n\nBy the transport below: ciphertext."},
    {"eof_received", tls_eof_received, METH_NOARGS,
     "eof_received($self, /)\n--\n\nBy the transport below."},
    {"pause_writing", tls_pause_writing, METH_NOARGS,
     "pause_writing($self, /)\n--\n\nBy the transport below."},
    {"resume_writing", tls_resume_writing, METH_NOARGS,
     "resume_writing($self, /)\n--\n\nBy the transport below."},
    {"_resume", tls_resume_soon, METH_NOARGS, "_resume($self, /)\n--\n\nDeliver what was held."},
    {"_handshake_timed_out", tls_handshake_timed_out, METH_NOARGS,
     "_handshake_timed_out($self, /)\n--\n\nThe timer of the handshake."},
    {"_shutdown_timed_out", tls_shutdown_timed_out, METH_NOARGS,
     "_shutdown_timed_out($self, /)\n--\n\nThe timer of the shutdown."},
    {"_force_close", tls_force_close, METH_O,
     "_force_close($self, exc, /)\n--\n\nabort() with a reason."},
    {"_test__append_write_backlog", tls_append_backlog, METH_O,
     "_test__append_write_backlog($self, data, /)\n--\n\nFor asyncio's own tests: bytes to be sent later."},
    {"is_closing", tls_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once closing has begun."},
    {"is_reading", tls_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while data is delivered to the protocol."},
    {"can_write_eof", tls_can_write_eof, METH_NOARGS, "can_write_eof($self, /)\n--\n\nFalse."},
    {"get_protocol", tls_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol, None after connection_lost."},
    {"get_write_buffer_size", tls_get_write_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes that wait to be sent."},
    {"get_write_buffer_limits", tls_get_write_buffer_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\n(low, high) in bytes."},
    {"get_read_buffer_size", tls_get_read_buffer_size, METH_NOARGS,
     "get_read_buffer_size($self, /)\n--\n\nBytes of ciphertext that are held."},
    {"get_read_buffer_limits", tls_get_read_buffer_limits, METH_NOARGS,
     "get_read_buffer_limits($self, /)\n--\n\n(low, high) in bytes."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef tls_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TlsObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(TlsObject, dict), READONLY, NULL},
    {"_conn_lost", T_UINT, offsetof(TlsObject, conn_lost), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot tls_slots[] = {
    {Py_tp_doc, "A TLS transport over another transport; see asyncio.Transport."},
    {Py_tp_dealloc, tls_dealloc},
    {Py_tp_finalize, tls_finalize},
    {Py_tp_traverse, tls_traverse},
    {Py_tp_clear, tls_clear},
    {Py_tp_repr, tls_repr},
    {Py_tp_methods, tls_methods},
    {Py_tp_getset, tls_getset},
    {Py_tp_members, tls_members},
    {0, NULL},
};

PyType_Spec tls_spec = {
    .name = "uvolt._core.SSLTransport", /* programs look for "ssl" in the name, as asyncio's has it */
    .basicsize = sizeof(TlsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = tls_slots,
};
