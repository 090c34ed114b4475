/* pipe_write.c - WritePipeTransport: from write() to a pipe.
 * Owns:    the queue of bytes that wait. Threads: the loop's. PYCALL: all that calls the protocol.
 * With nothing queued, write() at once; what the pipe does not take waits, bytes as they are and other buffers
 * as a copy, and goes out by writev. A pipe or socket is watched for reading too: its end is how the other
 * side's close is told. */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/pipe.h"
#include "runtime/args.h"

#define IOV_BATCH 64
#define LOST_WRITES_BEFORE_WARNING 5 /* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */

/* ---- the queue ----------------------------------------------------------------------------- */

void
pipe_drop_queue(PipeObject *p)
{
    while (p->queue.count > 0) {
        Py_DECREF((PyObject *)ring_pop(&p->queue));
    }
    p->sent = p->pending = 0;
}

static PyObject *
nth(const PipeObject *p, size_t i)
{
    return p->queue.slots[(p->queue.head + i) & p->queue.mask];
}

/* Takes the reference to `bytes`, of which `sent` have gone, also on failure. -1 with MemoryError. */
static int
enqueue(PipeObject *p, PyObject *bytes, size_t sent)
{
    if (ring_push(&p->queue, bytes) < 0) {
        Py_DECREF(bytes);
        PyErr_NoMemory();
        return -1;
    }
    p->sent = p->queue.count == 1 ? sent : p->sent;
    p->pending += (size_t)PyBytes_GET_SIZE(bytes) - sent;
    return 0;
}

/* n bytes went out. */
static void
advance(PipeObject *p, size_t n)
{
    p->pending -= n;
    n += p->sent;
    while (p->queue.count > 0 && n >= (size_t)PyBytes_GET_SIZE(nth(p, 0))) {
        PyObject *bytes = ring_pop(&p->queue);
        n -= (size_t)PyBytes_GET_SIZE(bytes);
        Py_DECREF(bytes);
    }
    p->sent = n;
}

/* ---- flow control -------------------------------------------------------------------------- */

/* protocol.pause_writing() or resume_writing(). -1 with an exception that must leave the loop. */
static int
tell_protocol(PipeObject *p, PyObject *method, const char *message)
{
    if (p->protocol == NULL) {
        return 0;
    }
    PyObject *protocol = Py_NewRef(p->protocol);
    PyObject *r = PyObject_CallMethodNoArgs(protocol, method);
    int rc = 0;
    if (r == NULL) {
        rc = uvolt_error_is_fatal() ? -1 : 0;
        if (rc == 0) {
            loop_error(p->loop, message, (PyObject *)p, protocol);
        }
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
    return rc;
}

static int
pause_protocol(PipeObject *p)
{
    if (p->protocol_paused || p->pending <= p->high) {
        return 0;
    }
    p->protocol_paused = 1;
    return tell_protocol(p, p->loop->st->n_pause_writing, "protocol.pause_writing() failed");
}

static int
resume_protocol(PipeObject *p)
{
    if (!p->protocol_paused || p->pending > p->low) {
        return 0;
    }
    p->protocol_paused = 0;
    return tell_protocol(p, p->loop->st->n_resume_writing, "protocol.resume_writing() failed");
}

static PyObject *
pipe_set_limits(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PipeObject *self = (PipeObject *)op;
    Py_ssize_t high, low;
    if (uvolt_args_limits(self->loop->st->support, "write_limits", args, nargs, kwnames, &high, &low) < 0) {
        return NULL;
    }
    self->high = (size_t)high;
    self->low = (size_t)low;
    return pause_protocol(self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_get_limits(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    return Py_BuildValue("(nn)", (Py_ssize_t)self->low, (Py_ssize_t)self->high);
}

static PyObject *
pipe_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(((PipeObject *)op)->pending);
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Bytes written, 0 if the pipe is full, or -errno. */
static ssize_t
outcome(ssize_t n)
{
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static ssize_t
send_queue(PipeObject *p)
{
    struct iovec iov[IOV_BATCH];
    int n = 0;
    for (; (size_t)n < p->queue.count && n < IOV_BATCH; n++) {
        PyObject *bytes = nth(p, (size_t)n);
        size_t sent = n == 0 ? p->sent : 0;
        iov[n].iov_base = PyBytes_AS_STRING(bytes) + sent;
        iov[n].iov_len = (size_t)PyBytes_GET_SIZE(bytes) - sent;
    }
    return outcome(writev(p->fd, iov, n));
}

static PyObject *
write_failed(PipeObject *p, ssize_t err)
{
    p->conn_lost++;
    uvolt_raise_uv((int)err);
    return pipe_fatal(p, "transport_failed", "Fatal write error on pipe transport");
}

/* _write_ready(): the pipe takes more. */
static PyObject *
pipe_write_ready(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    if (self->queue.count == 0) {
        Py_RETURN_NONE;
    }
    ssize_t n = send_queue(self);
    if (n < 0) {
        return write_failed(self, n);
    }
    advance(self, (size_t)n);
    if (self->queue.count == 0) {
        pipe_unwatch(self, 1);
    }
    if (resume_protocol(self) < 0) { /* may write again */
        return NULL;
    }
    if (self->queue.count == 0 && self->closing && !self->lost) {
        pipe_unwatch(self, 0);
        return pipe_connection_lost(op, Py_None);
    }
    Py_RETURN_NONE;
}

/* _read_ready(): the other side has closed the pipe. */
static PyObject *
pipe_peer_closed(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    PyObject *exc = Py_NewRef(Py_None);
    if (pipe_log(self, "was closed by peer") == 0 && self->queue.count > 0) {
        Py_SETREF(exc, PyObject_CallNoArgs(PyExc_BrokenPipeError));
    }
    int rc = exc == NULL || PyErr_Occurred() ? -1 : pipe_force_close(self, exc);
    Py_XDECREF(exc);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* May it be written now? 1 yes, 0 the data goes nowhere, -1 with an exception. */
static int
may_write(PipeObject *p)
{
    if (LIKELY(!p->closing && p->conn_lost == 0)) {
        return 1;
    }
    if (p->conn_lost++ >= LOST_WRITES_BEFORE_WARNING) {
        PyObject *r = PyObject_CallMethod(p->loop->st->support, "warn_lost_pipe_write", NULL);
        Py_XDECREF(r);
        return r == NULL ? -1 : 0;
    }
    return 0;
}

/* What is left of a write: the bytes themselves, or a copy where the buffer may change. */
static int
keep_rest(PipeObject *p, PyObject *data, const Py_buffer *view, size_t sent)
{
    if (PyBytes_CheckExact(data)) {
        return enqueue(p, Py_NewRef(data), sent);
    }
    PyObject *rest =
        PyBytes_FromStringAndSize((char *)view->buf + sent, view->len - (Py_ssize_t)sent);
    return rest == NULL ? -1 : enqueue(p, rest, 0);
}

static PyObject *
write_view(PipeObject *p, PyObject *data, const Py_buffer *view)
{
    int may = view->len == 0 ? 0 : may_write(p);
    if (may <= 0) {
        return may < 0 ? NULL : Py_NewRef(Py_None);
    }
    ssize_t sent = 0;
    int idle = p->queue.count == 0;
    if (idle) {
        sent = outcome(write(p->fd, view->buf, (size_t)view->len));
        if (sent < 0) {
            return write_failed(p, sent);
        }
        if (sent == view->len) {
            Py_RETURN_NONE;
        }
        if (pipe_watch(p, 1) < 0) {
            return NULL;
        }
    }
    if (keep_rest(p, data, view, (size_t)sent) < 0) {
        if (idle) {
            pipe_unwatch(p, 1);
        }
        return NULL;
    }
    return pause_protocol(p) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_write(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *data = uvolt_args_one("write", "data", args, nargs, kwnames);
    Py_buffer view;
    if (data == NULL) {
        return NULL;
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    PyObject *r = write_view((PipeObject *)op, data, &view);
    PyBuffer_Release(&view);
    return r;
}

/* ---- closing ------------------------------------------------------------------------------- */

static PyObject *
pipe_write_eof(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    if (self->closing) {
        Py_RETURN_NONE;
    }
    self->closing = 1;
    if (self->queue.count == 0) {
        pipe_unwatch(self, 0);
        if (pipe_schedule_lost(self, Py_None) < 0) {
            self->closing = 0; /* no memory: it can be tried again */
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
pipe_abort(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return pipe_force_close((PipeObject *)op, Py_None) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_can_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

/* ---- opening ------------------------------------------------------------------------------- */

static PyObject *
pipe_begin_writing(PyObject *op, PyObject *waiter)
{
    PipeObject *self = (PipeObject *)op;
    if (self->protocol == NULL) {
        Py_RETURN_NONE;
    }
    pipe_begin(self);
    if (self->type != S_IFCHR && !self->lost && pipe_watch(self, 0) < 0) {
        loop_error(self->loop, "Cannot watch a pipe", op, self->protocol);
    }
    return pipe_wake(self, waiter);
}

/* make_write_pipe(loop, pipe, protocol, waiter, extra) */
PyObject *
pipe_make_write(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 5 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "make_write_pipe(loop, pipe, protocol, waiter, extra)");
        return NULL;
    }
    return (PyObject *)pipe_new(
        st->pipe_write_type, args,
        "Pipe transport is only for pipes, sockets and character devices");
}

static PyMethodDef pipe_write_methods[] = {
    {"write", FAST(pipe_write), METH_FASTCALL | METH_KEYWORDS,
     "write($self, data)\n--\n\nWrite data, or queue what the pipe does not take. Never blocks."},
    {"write_eof", pipe_write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\nThe same as close()."},
    {"can_write_eof", pipe_can_write_eof, METH_NOARGS, "can_write_eof($self, /)\n--\n\nTrue."},
    {"close", pipe_write_eof, METH_NOARGS,
     "close($self, /)\n--\n\nFlush, then connection_lost(None)."},
    {"abort", pipe_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nDrop what is queued, then connection_lost(None)."},
    {"is_closing", pipe_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once closing has begun."},
    {"get_protocol", pipe_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol, None after connection_lost."},
    {"set_protocol", FAST(pipe_set_protocol), METH_FASTCALL | METH_KEYWORDS,
     "set_protocol($self, protocol)\n--\n\nThe next events go to this protocol."},
    {"get_write_buffer_size", pipe_get_write_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes that wait to be written."},
    {"get_write_buffer_limits", pipe_get_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\n(low, high) in bytes."},
    {"set_write_buffer_limits", FAST(pipe_set_limits), METH_FASTCALL | METH_KEYWORDS,
     "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
     "When to call pause_writing() and resume_writing(), in bytes."},
    {"_begin", pipe_begin_writing, METH_O, "_begin($self, waiter, /)\n--\n\nconnection_made."},
    {"_read_ready", pipe_peer_closed, METH_NOARGS,
     "_read_ready($self, /)\n--\n\nThe other side has closed the pipe."},
    {"_write_ready", pipe_write_ready, METH_NOARGS,
     "_write_ready($self, /)\n--\n\nWrite what waits."},
    {"_call_connection_lost", pipe_connection_lost, METH_O,
     "_call_connection_lost($self, exc, /)\n--\n\nThe last callback, then close the pipe."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pipe_write_slots[] = {
    {Py_tp_doc, "A transport over the write end of a pipe; see asyncio.WriteTransport."},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_finalize, pipe_finalize},
    {Py_tp_traverse, pipe_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_repr, pipe_repr},
    {Py_tp_methods, pipe_write_methods},
    {Py_tp_getset, pipe_getset},
    {Py_tp_members, pipe_members},
    {0, NULL},
};

PyType_Spec pipe_write_spec = {
    .name = "uvolt._core.WritePipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pipe_write_slots,
};
