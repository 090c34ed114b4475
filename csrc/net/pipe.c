/* pipe.c - PipeObject: life of a pipe's transport, and what both ends share.
 * Owns:    its file object, which it closes after connection_lost; see pipe.h for the members.
 * Kept by: the loop's add_reader and add_writer handles, which call its bound methods.
 * Threads: the loop's. PYCALL: everything that makes, calls or closes Python objects. */
#include "net/pipe.h"

#include <errno.h>
#include <fcntl.h>

#include "core/handle.h"
#include "runtime/args.h"
#include "runtime/object.h"

/* ---- watching ------------------------------------------------------------------------------ */

int
pipe_watch(PipeObject *p, int write)
{
    PyObject *method =
        PyObject_GetAttrString((PyObject *)p, write ? "_write_ready" : "_read_ready");
    if (method == NULL) {
        return -1;
    }
    PyObject *args[] = {p->fileno, method};
    PyObject *loop = (PyObject *)p->loop;
    PyObject *h = write ? fdwatch_add_writer_raw(loop, args, 2) : fdwatch_add_reader_raw(loop, args, 2);
    Py_DECREF(method);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

void
pipe_unwatch(PipeObject *p, int write)
{
    PyObject *saved = PyErr_GetRaisedException();
    PyObject *loop = (PyObject *)p->loop;
    PyObject *r = write ? fdwatch_remove_writer_raw(loop, p->fileno)
                        : fdwatch_remove_reader_raw(loop, p->fileno);
    Py_XDECREF(r); /* an int that fileno() gave: it cannot fail */
    PyErr_SetRaisedException(saved);
}

int
pipe_log(PipeObject *p, const char *text)
{
    if (LIKELY(!p->loop->debug)) {
        return 0;
    }
    PyObject *r =
        PyObject_CallMethod(p->loop->st->support, "pipe_log", "Os", (PyObject *)p, text);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* ---- closing ------------------------------------------------------------------------------- */

int
pipe_schedule_lost(PipeObject *p, PyObject *exc)
{
    if (p->lost) {
        return 0;
    }
    PyObject *method = PyObject_GetAttrString((PyObject *)p, "_call_connection_lost");
    HandleObject *h =
        method == NULL ? NULL : loop_call_soon(p->loop, method, &exc, 1, NULL);
    Py_XDECREF(method);
    if (h == NULL) {
        return -1;
    }
    Py_DECREF(h);
    p->lost = 1;
    return 0;
}

int
pipe_force_close(PipeObject *p, PyObject *exc)
{
    p->closing = 1;
    if (p->pipe == NULL) {
        return 0;
    }
    if (p->queue.count > 0) {
        pipe_unwatch(p, 1);
        pipe_drop_queue(p);
    }
    pipe_unwatch(p, 0);
    return pipe_schedule_lost(p, exc);
}

PyObject *
pipe_fatal(PipeObject *p, const char *report, const char *message)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *r = PyObject_CallMethod(p->loop->st->support, report, "OsOOO", (PyObject *)p->loop,
                                      message, exc, (PyObject *)p, p->protocol ? p->protocol : Py_None);
    int rc = r == NULL ? -1 : pipe_force_close(p, exc);
    Py_XDECREF(r);
    Py_XDECREF(exc);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
close_file(PipeObject *p)
{
    PyObject *pipe = p->pipe;
    if (pipe == NULL) {
        Py_RETURN_NONE;
    }
    p->pipe = NULL;
    PyObject *r = PyObject_CallMethod(pipe, "close", NULL);
    Py_DECREF(pipe);
    return r;
}

/* _call_connection_lost(exc): the last callback, then the end of the file object. */
PyObject *
pipe_connection_lost(PyObject *op, PyObject *exc)
{
    PipeObject *self = (PipeObject *)op;
    if (self->finished || self->protocol == NULL) {
        Py_RETURN_NONE;
    }
    self->closing = self->lost = self->finished = 1;
    PyObject *protocol = Py_NewRef(self->protocol); /* set_protocol() may drop it meanwhile */
    PyObject *r = PyObject_CallMethodOneArg(protocol, self->loop->st->n_connection_lost, exc);
    PyObject *raised = PyErr_GetRaisedException();
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->feed_owner);
    PyObject *closed = close_file(self);
    if (raised != NULL) { /* the protocol's own goes out */
        if (closed == NULL) {
            PyErr_WriteUnraisable(op);
        }
        Py_CLEAR(closed);
        PyErr_SetRaisedException(raised);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
    return closed;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* Non-blocking for all who share it, as asyncio makes it. -1 with an exception. */
static int
open_pipe(PipeObject *p, PyObject *pipe, const char *refusal)
{
    struct stat st;
    p->fileno = PyObject_CallMethod(pipe, "fileno", NULL);
    p->fd = p->fileno == NULL ? -1 : uvolt_args_fd(p->fileno);
    if (p->fd < 0) {
        return -1;
    }
    if (fstat(p->fd, &st) < 0) {
        uvolt_raise_uv(-errno);
        return -1;
    }
    p->type = st.st_mode & S_IFMT;
    if (p->type != S_IFIFO && p->type != S_IFSOCK && p->type != S_IFCHR) {
        PyErr_SetString(PyExc_ValueError, refusal);
        return -1;
    }
    int flags = fcntl(p->fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(p->fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        uvolt_raise_uv(-errno);
        return -1;
    }
    return 0;
}

static int
fill_extra(PipeObject *p, PyObject *pipe, PyObject *extra)
{
    p->extra = PyDict_New();
    if (p->extra == NULL || (extra != Py_None && PyDict_Update(p->extra, extra) < 0)) {
        return -1;
    }
    return PyDict_SetItemString(p->extra, "pipe", pipe);
}

static int
queue_begin(PipeObject *p, PyObject *waiter)
{
    PyObject *begin = PyObject_GetAttrString((PyObject *)p, "_begin");
    HandleObject *h = begin == NULL ? NULL : loop_call_soon(p->loop, begin, &waiter, 1, NULL);
    Py_XDECREF(begin);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

PipeObject *
pipe_new(PyTypeObject *type, PyObject *const *args, const char *refusal)
{
    LoopObject *loop = (LoopObject *)args[0];
    if (loop_check_closed(loop) < 0) {
        return NULL;
    }
    PipeObject *p = (PipeObject *)type->tp_alloc(type, 0);
    if (p == NULL) {
        return NULL;
    }
    loop->st->c_transports_alive++;
    p->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    p->high = 64 * 1024;
    p->low = p->high / 4;
    if ((UVOLT_EAGER_DICT && (p->dict = PyDict_New()) == NULL)
        || open_pipe(p, args[1], refusal) < 0 || fill_extra(p, args[1], args[4]) < 0
        || queue_begin(p, args[3]) < 0) {
        Py_DECREF(p); /* without `pipe`: it stays the caller's */
        return NULL;
    }
    p->pipe = Py_NewRef(args[1]);
    p->protocol = Py_NewRef(args[2]);
    return p;
}

void
pipe_begin(PipeObject *p)
{
    PyObject *protocol = Py_NewRef(p->protocol);
    PyObject *r = PyObject_CallMethodOneArg(protocol, p->loop->st->n_connection_made, (PyObject *)p);
    if (r == NULL) {
        loop_error(p->loop, "Exception in callback connection_made()", (PyObject *)p, protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
}

/* The end of _begin(): an exception that must leave the loop leaves it, else the waiter is woken. */
PyObject *
pipe_wake(PipeObject *p, PyObject *waiter)
{
    if (loop_raise_kept(p->loop) < 0) {
        return NULL;
    }
    if (waiter == Py_None) {
        Py_RETURN_NONE;
    }
    return PyObject_CallMethod(p->loop->st->support, "set_result", "OO", waiter, Py_None);
}

/* ---- garbage ------------------------------------------------------------------------------- */

int
pipe_traverse(PyObject *op, visitproc visit, void *arg)
{
    PipeObject *self = (PipeObject *)op;
    Py_VISIT(Py_TYPE(op));
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_VISIT(self->base_slots[i]);
    }
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->pipe);
    Py_VISIT(self->protocol);
    Py_VISIT(self->extra);
    Py_VISIT(self->feed_owner);
    Py_VISIT(self->feed_name);
    return 0;
}

/* `loop` stays until dealloc. */
int
pipe_clear(PyObject *op)
{
    PipeObject *self = (PipeObject *)op;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_CLEAR(self->base_slots[i]);
    }
    Py_CLEAR(self->dict);
    Py_CLEAR(self->pipe);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->feed_owner);
    Py_CLEAR(self->feed_name);
    return 0;
}

void
pipe_finalize(PyObject *op)
{
    PipeObject *self = (PipeObject *)op;
    if (self->pipe == NULL) {
        return;
    }
    PyObject *saved = PyErr_GetRaisedException();
    object_warn_unclosed(op);
    self->closing = self->lost = 1;
    PyObject *r = close_file(self);
    if (r == NULL) {
        PyErr_WriteUnraisable(op);
    }
    Py_XDECREF(r);
    PyErr_SetRaisedException(saved);
}

void
pipe_dealloc(PyObject *op)
{
    PipeObject *self = (PipeObject *)op;
    LoopObject *loop = self->loop;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    pipe_clear(op);
    Py_CLEAR(self->fileno);
    pipe_drop_queue(self);
    free(self->queue.slots);
    loop->st->c_transports_alive--;
    object_dealloc_end(op, loop);
}

/* ---- what both ends have ------------------------------------------------------------------- */

PyObject *
pipe_repr(PyObject *op)
{
    return PyObject_CallMethod(((PipeObject *)op)->loop->st->support, "pipe_repr", "O", op);
}

PyObject *
pipe_is_closing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((PipeObject *)op)->closing);
}

PyObject *
pipe_get_protocol(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PyObject *protocol = ((PipeObject *)op)->protocol;
    return Py_NewRef(protocol != NULL ? protocol : Py_None);
}

PyObject *
pipe_set_protocol(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PipeObject *self = (PipeObject *)op;
    PyObject *protocol = uvolt_args_one("set_protocol", "protocol", args, nargs, kwnames);
    if (protocol == NULL) {
        return NULL;
    }
    if (self->protocol != NULL) { /* NULL: connection_lost was called, and will not be again */
        Py_CLEAR(self->feed_owner);
        Py_SETREF(self->protocol, Py_NewRef(protocol));
    }
    Py_RETURN_NONE;
}

PyMemberDef pipe_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PipeObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(PipeObject, dict), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(PipeObject, loop), READONLY, NULL},
    {"_fileno", T_OBJECT, offsetof(PipeObject, fileno), READONLY, NULL},
    {"_protocol", T_OBJECT, offsetof(PipeObject, protocol), READONLY, NULL},
    {"_extra", T_OBJECT, offsetof(PipeObject, extra), READONLY, NULL},
    {"_closing", T_BOOL, offsetof(PipeObject, closing), READONLY, NULL},
    {"_paused", T_BOOL, offsetof(PipeObject, paused), READONLY, NULL},
    {"_conn_lost", T_UINT, offsetof(PipeObject, conn_lost), READONLY, NULL},
    {"_protocol_paused", T_BOOL, offsetof(PipeObject, protocol_paused), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
pipe_get_file(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *pipe = ((PipeObject *)op)->pipe;
    return Py_NewRef(pipe != NULL ? pipe : Py_None);
}

/* Programs take the file object away by `transport._pipe = None`. */
static int
pipe_set_file(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((PipeObject *)op)->pipe, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

PyGetSetDef pipe_getset[] = {
    {"_pipe", pipe_get_file, pipe_set_file, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

int
pipe_check_layout(core_state *st)
{
    PyObject *bases[] = {st->AioReadTransport, st->AioTransport};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(bases); i++) {
        if ((size_t)((PyTypeObject *)bases[i])->tp_basicsize > offsetof(PipeObject, dict)) {
            PyErr_SetString(PyExc_ImportError, "asyncio's transports have grown: rebuild uvolt");
            return -1;
        }
    }
    return 0;
}
