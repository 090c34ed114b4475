/* pipe_read.c - ReadPipeTransport: from a pipe to data_received().
 * Owns:    what pipe.h says. Threads: the loop's. PYCALL: all that calls the protocol.
 * One read an event, as asyncio. Small ones go by the loop's receive buffer into an exact-size bytes; after a
 * large one the next goes straight into bytes of that room, which grows as long as the pipe fills it. */
#include <errno.h>
#include <unistd.h>

#include "net/pipe.h"
#include "net/receiver.h"

#define LARGE_READ (32 * 1024)  /* bytes; from here on the copy costs more than a trip to malloc */
#define PIPE_ROOM (64 * 1024)   /* what a pipe holds unless it was enlarged */

/* ---- reading ------------------------------------------------------------------------------- */

/* How much to read next time without a copy: 0 for a stream of small reads. */
static void
adapt(PipeObject *p, size_t n)
{
    if (n < LARGE_READ) {
        p->room = 0;
    }
    else if (n == p->room && n < LOOP_RECV_SIZE) {
        p->room = 2 * n;
    }
    else if (p->room == 0) {
        p->room = PIPE_ROOM;
    }
}

/* New reference to what was read; NULL with *err (0: end of file, else errno), or with an exception and
 * *err of -1. */
static PyObject *
read_bytes(PipeObject *p, int *err)
{
    PyObject *bytes = NULL;
    char *base = NULL;
    if (p->room > 0) {
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p->room);
        base = bytes == NULL ? NULL : PyBytes_AS_STRING(bytes);
    }
    else if ((base = loop_recv_buffer(p->loop)) == NULL) {
        PyErr_NoMemory();
    }
    if (base == NULL) {
        *err = -1;
        return NULL;
    }
    ssize_t n = read(p->fd, base, bytes != NULL ? p->room : LOOP_RECV_SIZE);
    *err = n < 0 ? errno : 0;
    if (n <= 0) {
        Py_XDECREF(bytes);
        return NULL;
    }
    adapt(p, (size_t)n);
    if (bytes == NULL) {
        bytes = PyBytes_FromStringAndSize(base, n);
    }
    else {
        _PyBytes_Resize(&bytes, n); /* NULL on failure */
    }
    *err = -1;
    return bytes;
}

static PyObject *
at_eof(PipeObject *p)
{
    if (pipe_log(p, "was closed by peer") < 0) {
        return NULL;
    }
    p->closing = 1;
    pipe_unwatch(p, 0);
    PyObject *method = PyObject_GetAttr(p->protocol, p->loop->st->n_eof_received);
    PyObject *h = method == NULL ? NULL : (PyObject *)loop_call_soon(p->loop, method, NULL, 0, NULL);
    Py_XDECREF(method);
    Py_XDECREF(h);
    if (h == NULL) { /* a protocol without eof_received: the end comes nevertheless */
        PyObject *raised = PyErr_GetRaisedException();
        if (pipe_schedule_lost(p, Py_None) < 0) {
            PyErr_WriteUnraisable((PyObject *)p);
        }
        PyErr_SetRaisedException(raised);
        return NULL;
    }
    return pipe_schedule_lost(p, Py_None) < 0 ? NULL : Py_NewRef(Py_None);
}

/* What is to do with a read that gave no bytes. */
static PyObject *
nothing_read(PipeObject *p, int err)
{
    if (err == 0) {
        return at_eof(p);
    }
    if (err == EAGAIN || err == EINTR) {
        Py_RETURN_NONE;
    }
    uvolt_raise_uv(-err);
    return pipe_fatal(p, "read_pipe_failed", "Fatal read error on pipe transport");
}

/* Into the StreamReader of a stock protocol: no frame of Python and no callback between. */
static PyObject *
feed_reader(PipeObject *p)
{
    char *base = loop_recv_buffer(p->loop);
    if (base == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *owner = Py_NewRef(p->feed_owner);
    PyObject *reader = PyObject_GetAttr(owner, p->feed_name);
    Py_DECREF(owner);
    if (reader == NULL) {
        return NULL;
    }
    ssize_t n = read(p->fd, base, LOOP_RECV_SIZE);
    PyObject *r = NULL;
    if (n <= 0) {
        r = nothing_read(p, n < 0 ? errno : 0);
    }
    else if (reader == Py_None || receiver_feed(p->loop->st, reader, base, n) == 0) {
        r = Py_NewRef(Py_None);
    }
    Py_DECREF(reader);
    return r;
}

/* _read_ready(): the descriptor is readable or at its end. */
static PyObject *
pipe_read_ready(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    int err;
    if (self->protocol == NULL || self->closing) {
        Py_RETURN_NONE;
    }
    if (self->feed_owner != NULL) {
        return feed_reader(self);
    }
    PyObject *bytes = read_bytes(self, &err);
    if (bytes != NULL) {
        PyObject *protocol = Py_NewRef(self->protocol);
        PyObject *r = PyObject_CallMethodOneArg(protocol, self->loop->st->n_data_received, bytes);
        Py_DECREF(protocol);
        Py_DECREF(bytes);
        return r;
    }
    return err < 0 ? NULL : nothing_read(self, err);
}

/* ---- methods ------------------------------------------------------------------------------- */

static inline int
is_reading(const PipeObject *p)
{
    return !p->closing && !p->paused;
}

/* _begin(waiter): what call_soon runs for a transport that a coroutine waits for. */
static PyObject *
pipe_begin_reading(PyObject *op, PyObject *waiter)
{
    PipeObject *self = (PipeObject *)op;
    if (self->protocol == NULL) {
        Py_RETURN_NONE;
    }
    pipe_begin(self);
    if (is_reading(self) && pipe_watch(self, 0) < 0) { /* epoll refuses /dev/null and its like */
        loop_error(self->loop, "Cannot watch a pipe", op, self->protocol);
    }
    return pipe_wake(self, waiter);
}

static PyObject *
pipe_pause_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    if (!is_reading(self)) {
        Py_RETURN_NONE;
    }
    self->paused = 1;
    pipe_unwatch(self, 0);
    return pipe_log(self, "pauses reading") < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_resume_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    if (self->closing || !self->paused) {
        Py_RETURN_NONE;
    }
    self->paused = 0;
    if (pipe_watch(self, 0) < 0) {
        return NULL;
    }
    return pipe_log(self, "resumes reading") < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
pipe_is_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(is_reading((PipeObject *)op));
}

static PyObject *
pipe_close_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PipeObject *self = (PipeObject *)op;
    if (!self->closing && pipe_force_close(self, Py_None) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* _feed(owner, name): bytes go to the StreamReader that owner.name is, until set_protocol(). */
static PyObject *
pipe_feed(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PipeObject *self = (PipeObject *)op;
    if (nargs != 2 || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "_feed(owner, name)");
        return NULL;
    }
    Py_XSETREF(self->feed_name, Py_NewRef(args[1]));
    Py_XSETREF(self->feed_owner, args[0] == Py_None ? NULL : Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

/* make_read_pipe(loop, pipe, protocol, waiter, extra) */
PyObject *
pipe_make_read(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 5 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "make_read_pipe(loop, pipe, protocol, waiter, extra)");
        return NULL;
    }
    return (PyObject *)pipe_new(st->pipe_read_type, args,
                                "Pipe transport is for pipes/sockets only.");
}

static PyMethodDef pipe_read_methods[] = {
    {"close", pipe_close_reading, METH_NOARGS,
     "close($self, /)\n--\n\nStop reading, then connection_lost(None)."},
    {"is_closing", pipe_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once closing has begun."},
    {"is_reading", pipe_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while data is delivered to the protocol."},
    {"pause_reading", pipe_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nDeliver nothing until resume_reading()."},
    {"resume_reading", pipe_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nDeliver data again."},
    {"get_protocol", pipe_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol, None after connection_lost."},
    {"set_protocol", FAST(pipe_set_protocol), METH_FASTCALL | METH_KEYWORDS,
     "set_protocol($self, protocol)\n--\n\nThe next bytes go to this protocol."},
    {"_feed", FAST(pipe_feed), METH_FASTCALL,
     "_feed($self, owner, name, /)\n--\n\nFeed the StreamReader that owner.name is."},
    {"_begin", pipe_begin_reading, METH_O, "_begin($self, waiter, /)\n--\n\nconnection_made."},
    {"_read_ready", pipe_read_ready, METH_NOARGS, "_read_ready($self, /)\n--\n\nRead once."},
    {"_call_connection_lost", pipe_connection_lost, METH_O,
     "_call_connection_lost($self, exc, /)\n--\n\nThe last callback, then close the pipe."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pipe_read_slots[] = {
    {Py_tp_doc, "A transport over the read end of a pipe; see asyncio.ReadTransport."},
    {Py_tp_dealloc, pipe_dealloc},
    {Py_tp_finalize, pipe_finalize},
    {Py_tp_traverse, pipe_traverse},
    {Py_tp_clear, pipe_clear},
    {Py_tp_repr, pipe_repr},
    {Py_tp_methods, pipe_read_methods},
    {Py_tp_getset, pipe_getset},
    {Py_tp_members, pipe_members},
    {0, NULL},
};

PyType_Spec pipe_read_spec = {
    .name = "uvolt._core.ReadPipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pipe_read_slots,
};
