/* stream.c - StreamObject: life and methods of a transport over one connected stream socket.
 * Owns:    the descriptor from stream_new() on; see stream.h for the members.
 * Kept by: its uv handle (loop_own) until the close callback.
 * Threads: the loop's. PYCALL: stream_begin(), stream_fatal(), the methods. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/handle.h"
#include "runtime/args.h"
#include "runtime/object.h"

/* ---- closing ------------------------------------------------------------------------------- */

static void
on_closed(uv_handle_t *handle)
{
    StreamObject *s = CONTAINER_OF((uv_tcp_t *)handle, StreamObject, uv);
    loop_enter(s->loop);
    s->loop->st->c_uv_handles_closed++;
    stream_forget_writes(s);
    loop_disown(&s->owned);
}

/* The socket object must not close the descriptor a second time. True if it is (still) ours to close:
 * somebody may have detached or closed it. */
static int
give_up_sock(StreamObject *s)
{
    core_state *st = s->loop->st;
    PyObject *saved = PyErr_GetRaisedException();
    PyObject *fd = PyObject_CallMethodNoArgs(s->sock, st->n_detach);
    int ours = fd != NULL && PyLong_Check(fd) && PyLong_AsLong(fd) == s->fd;
    Py_XDECREF(fd);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(s->sock);
    }
    PyErr_SetRaisedException(saved);
    return ours;
}

/* libuv closes the descriptor with its handle. Where it is not ours any more, put it back. */
static void
close_uv_keeping(StreamObject *s, int fd)
{
    int flags = fcntl(fd, F_GETFD);
    int copy = flags < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    uv_close((uv_handle_t *)&s->uv, on_closed);
    if (copy >= 0) {
        dup3(copy, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
        close(copy);
    }
}

static void
close_handle(StreamObject *s)
{
    if (!s->uv_live) {
        return;
    }
    int fd = s->fd;
    s->uv_live = 0; /* first: detach() may be anybody's and come back here */
    s->reading = 0;
    int ours = s->sock == NULL || give_up_sock(s);
    s->fd = -1;
    fdpoll_release(s->loop, fd, (PyObject *)s);
    if (ours) {
        uv_close((uv_handle_t *)&s->uv, on_closed);
        if (fd <= STDERR_FILENO) {
            close(fd); /* libuv spares what could be stdio; here it is a socket */
        }
    }
    else {
        close_uv_keeping(s, fd);
    }
}

/* The loop closes: no callback of the protocol will run. */
static void
on_loop_close(loop_owned *owned)
{
    StreamObject *s = CONTAINER_OF(owned, StreamObject, owned);
    s->closing = 1;
    s->conn_lost++;
    close_handle(s);
}

static void lose_now(StreamObject *s, PyObject *exc);

/* Before a poll that would tell epoll of a change: is the descriptor still a socket? If not, somebody
 * closed it under us, and libuv must not see it again. */
static void
on_touched(loop_owned *owned)
{
    StreamObject *s = CONTAINER_OF(owned, StreamObject, owned);
    struct stat st;
    int untold = s->untold;
    s->untold = 0;
    if (UNLIKELY(s->lost_due)) {
        s->lost_due = 0;
        Py_INCREF(s);
        PyErr_NoMemory();
        PyObject *exc = PyErr_GetRaisedException();
        lose_now(s, exc);
        Py_DECREF(exc);
        Py_DECREF(s);
        return;
    }
    if (!s->uv_live || (!s->reading && s->write_req == NULL && !untold)) {
        return; /* closed by us, or with nothing to tell */
    }
    if (fstat(s->fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (UNLIKELY(untold)) {
            stream_tell_reading(s);
            stream_submit_left(s);
        }
        return;
    }
    Py_INCREF(s);
    uvolt_raise_uv(-EBADF);
    stream_fatal(s, "Fatal error: the socket was closed under the transport");
    s->uv_live = 0;
    s->reading = 0;
    fdpoll_release(s->loop, s->fd, (PyObject *)s);
    close_uv_keeping(s, s->fd);
    s->fd = -1;
    Py_DECREF(s);
}

static void
detach_server(StreamObject *s)
{
    PyObject *server = s->server;
    if (server == NULL) {
        return;
    }
    s->server = NULL;
    PyObject *r = PyObject_CallMethodOneArg(server, s->loop->st->n__detach, (PyObject *)s);
    if (r == NULL) {
        PyErr_WriteUnraisable(server);
    }
    Py_XDECREF(r);
    Py_DECREF(server);
}

/* sendfile waits for the buffer to be sent: it never will be. */
static void
fail_empty_waiter(StreamObject *s, PyObject *exc)
{
    PyObject *waiter = s->empty_waiter;
    if (waiter == NULL) {
        return;
    }
    s->empty_waiter = NULL;
    PyObject *r = PyObject_CallMethod(s->loop->st->support, "fail_waiter", "OO", waiter, exc);
    if (r == NULL) {
        PyErr_WriteUnraisable(waiter);
    }
    Py_XDECREF(r);
    Py_DECREF(waiter);
}

/* _call_connection_lost(exc): the last callback, then the end of the descriptor. PYCALL. */
static PyObject *
stream_connection_lost(PyObject *op, PyObject *exc)
{
    StreamObject *self = (StreamObject *)op;
    if (self->finished) {
        Py_RETURN_NONE;
    }
    if (self->in_alloc) { /* called by hand from get_buffer(): not inside libuv */
        self->conn_lost++;
        return stream_schedule_lost(self, exc) < 0 ? NULL : Py_NewRef(Py_None);
    }
    self->finished = 1;
    PyObject *r = NULL;
    if (self->connected && self->to.protocol != NULL) {
        PyObject *protocol = Py_NewRef(self->to.protocol); /* set_protocol() may drop it meanwhile */
        r = PyObject_CallMethodOneArg(protocol, self->loop->st->n_connection_lost, exc);
        Py_DECREF(protocol);
    }
    else {
        r = Py_NewRef(Py_None);
    }
    PyObject *raised = PyErr_GetRaisedException();
    fail_empty_waiter(self, exc);
    stream_stop_reading(self);
    close_handle(self);
    receiver_detach(&self->to);
    detach_server(self);
    PyErr_SetRaisedException(raised);
    return r;
}

static void
lose_now(StreamObject *s, PyObject *exc)
{
    PyObject *r = stream_connection_lost((PyObject *)s, exc);
    if (r == NULL) {
        loop_error(s->loop, "Exception in callback connection_lost()", (PyObject *)s, s->to.protocol);
    }
    Py_XDECREF(r);
}

int
stream_schedule_lost(StreamObject *s, PyObject *exc)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)s, "_call_connection_lost");
    HandleObject *h =
        method == NULL ? NULL : loop_call_soon(s->loop, method, &exc, 1, s->to.context);
    Py_XDECREF(method);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

void
stream_lose(StreamObject *s, PyObject *exc)
{
    if (UNLIKELY(stream_schedule_lost(s, exc) < 0)) {
        loop_error(s->loop, "Cannot schedule connection_lost", (PyObject *)s, s->to.protocol);
        s->lost_due = 1;
        if (!loop_touch_later(s->loop, &s->owned)) {
            loop_touch(s->loop, &s->owned);
        }
    }
}

void
stream_force_close(StreamObject *s, PyObject *exc)
{
    if (s->conn_lost) {
        return;
    }
    stream_drop_queue(s);
    if (!s->closing) {
        s->closing = 1;
        stream_stop_reading(s);
    }
    s->conn_lost++;
    if (s->empty_waiter != NULL && s->uv_live) { /* loop.sendfile() has a duplicate of the descriptor */
        shutdown(s->fd, SHUT_RDWR);
    }
    if (s->uv_live) {
        stream_lose(s, exc);
    }
}

void
stream_end(StreamObject *s)
{
    if (s->conn_lost || s->loop->polling) { /* libuv may be in the middle of it */
        stream_force_close(s, Py_None);
        return;
    }
    stream_drop_queue(s);
    s->closing = 1;
    s->conn_lost++;
    lose_now(s, Py_None);
}

void
stream_fatal(StreamObject *s, const char *message)
{
    if (uvolt_error_is_fatal()) {
        loop_error(s->loop, message, (PyObject *)s, s->to.protocol); /* leaves the loop; transport lives */
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *r =
        PyObject_CallMethod(s->loop->st->support, "transport_failed", "OsOOO", (PyObject *)s->loop,
                            message, exc, (PyObject *)s, s->to.protocol ? s->to.protocol : Py_None);
    if (r == NULL) {
        loop_error(s->loop, message, (PyObject *)s, s->to.protocol);
    }
    Py_XDECREF(r);
    stream_force_close(s, exc);
    Py_XDECREF(exc);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* 0 or a negative uv code. Whatever happens, the handle is open and owns the object and the fd. */
static int
open_handle(StreamObject *s, int fd)
{
    LoopObject *loop = s->loop;
    int err = loop->uv_open ? uv_tcp_init(&loop->uv, &s->uv) : UV_ECANCELED;
    if (err < 0) {
        return err;
    }
    s->uv_live = 1;
    s->owned.close = on_loop_close;
    s->owned.check = on_touched;
    loop_own(loop, &s->owned, (PyObject *)s);
    loop->st->c_uv_handles_opened++;
    return uv_tcp_open(&s->uv, fd);
}

static int
attach_server(StreamObject *s, PyObject *server)
{
    if (server == NULL || server == Py_None) {
        return 0;
    }
    PyObject *r = PyObject_CallMethodOneArg(server, s->loop->st->n__attach, (PyObject *)s);
    if (r == NULL) {
        return -1;
    }
    Py_DECREF(r);
    s->server = Py_NewRef(server);
    return 0;
}

StreamObject *
stream_new(LoopObject *loop, int fd, PyObject *sock, PyObject *protocol, PyObject *server,
           const stream_names *known)
{
    core_state *st = loop->st;
    StreamObject *s = (StreamObject *)st->stream_type->tp_alloc(st->stream_type, 0);
    if (s == NULL) {
        if (sock == NULL) {
            close(fd);
        }
        return NULL;
    }
    st->c_transports_alive++;
    s->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    s->to.loop = loop;
    list_init(&s->owned.node);
    s->fd = -1;
    s->high = STREAM_HIGH_WATER;
    s->low = s->high / 4;
    s->names = *known;
    s->to.context = PyContext_CopyCurrent();
    if (UVOLT_EAGER_DICT && s->to.context != NULL && (s->dict = PyDict_New()) == NULL) {
        Py_CLEAR(s->to.context);
    }
    int err = s->to.context == NULL ? 0 : open_handle(s, fd);
    if (s->to.context == NULL || err < 0) {
        /* libuv does not own the fd then */
        if (err < 0) {
            uvolt_raise_uv(err);
        }
        if (sock == NULL) {
            close(fd);
        }
        goto failed;
    }
    s->fd = fd;
    if ((sock != NULL && stream_hold_sock(s, sock) < 0) || stream_learn_names(s) < 0
        || stream_set_protocol(s, protocol) < 0 || fdpoll_claim(loop, fd, (PyObject *)s) < 0 || attach_server(s, server) < 0) {
        goto failed;
    }
    return s;

failed:
    s->finished = 1;
    s->closing = 1;
    s->conn_lost = 1;
    close_handle(s);
    Py_DECREF(s);
    return NULL;
}

void
stream_begin(StreamObject *s)
{
    s->connected = 1;
    PyObject *protocol = Py_NewRef(s->to.protocol);
    PyObject *r =
        PyObject_CallMethodOneArg(protocol, s->loop->st->n_connection_made, (PyObject *)s);
    if (r == NULL) {
        loop_error(s->loop, "Exception in callback connection_made()", (PyObject *)s, protocol);
    }
    Py_DECREF(protocol);
    Py_XDECREF(r);
    if (s->loop->raised == NULL) {
        stream_start_reading(s);
    }
}

/* _begin(waiter): what call_soon runs for a transport that a coroutine waits for. */
static PyObject *
stream_begin_method(PyObject *op, PyObject *waiter)
{
    StreamObject *self = (StreamObject *)op;
    if (self->to.protocol == NULL || self->finished) {
        Py_RETURN_NONE;
    }
    stream_begin(self);
    if (loop_raise_kept(self->loop) < 0) { /* KeyboardInterrupt: leave the loop, from the ready ring */
        return NULL;
    }
    if (waiter == Py_None) {
        Py_RETURN_NONE;
    }
    return PyObject_CallMethod(self->loop->st->support, "set_result", "OO", waiter, Py_None);
}

/* make_stream(loop, sock, protocol, waiter, extra, server) */
PyObject *
stream_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 6 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "make_stream(loop, sock, protocol, waiter, extra, server)");
        return NULL;
    }
    LoopObject *loop = (LoopObject *)args[0];
    int fd = uvolt_args_fd(args[1]);
    if (fd < 0 || loop_check_closed(loop) < 0 || fdwatch_check_free(loop, fd, args[1]) < 0) {
        return NULL;
    }
    stream_names known = {.sockname_len = sizeof(known.sockname)};
    if (getsockname(fd, &known.sockname.sa, &known.sockname_len) < 0) { /* no socket: libuv would abort later */
        return uvolt_raise_uv(-errno);
    }
    if (known.sockname_len > (socklen_t)sizeof(known.sockname) || !uvolt_sockaddr_known(&known.sockname.sa)) {
        known.sockname_len = 0;
    }
    StreamObject *s = stream_new(loop, fd, args[1], args[2], args[5], &known);
    if (s == NULL) {
        return NULL;
    }
    PyObject *begin = PyObject_GetAttrString((PyObject *)s, "_begin");
    HandleObject *h =
        begin == NULL ? NULL : loop_call_soon(loop, begin, &args[3], 1, s->to.context);
    Py_XDECREF(begin);
    if (h == NULL
        || (args[4] != Py_None
            && (stream_need_extra(s) == NULL || PyDict_Update(s->extra, args[4]) < 0))) {
        PyObject *raised = PyErr_GetRaisedException();
        if (h != NULL) {
            handle_cancel(h);
        }
        stream_force_close(s, Py_None);
        Py_DECREF(s);
        Py_XDECREF(h);
        PyErr_SetRaisedException(raised);
        return NULL;
    }
    Py_DECREF(h);
    return (PyObject *)s;
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
stream_traverse(PyObject *op, visitproc visit, void *arg)
{
    StreamObject *self = (StreamObject *)op;
    Py_VISIT(Py_TYPE(op));
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_VISIT(self->base_slots[i]);
    }
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->server);
    Py_VISIT(self->extra);
    Py_VISIT(self->empty_waiter);
    return receiver_traverse(&self->to, visit, arg);
}

/* `loop` stays until dealloc. An open handle keeps us alive, so here it is closed. */
static int
stream_clear(PyObject *op)
{
    StreamObject *self = (StreamObject *)op;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_CLEAR(self->base_slots[i]);
    }
    Py_CLEAR(self->dict);
    receiver_clear(&self->to);
    if (!self->uv_live) { /* its finalizer would close the descriptor that libuv has */
        Py_CLEAR(self->sock);
    }
    Py_CLEAR(self->server);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->empty_waiter);
    return 0;
}

static void
stream_finalize(PyObject *op)
{
    StreamObject *self = (StreamObject *)op;
    if (self->finished) {
        return;
    }
    self->finished = 1;
    PyObject *saved = PyErr_GetRaisedException();
    object_warn_unclosed(op);
    detach_server(self);
    PyErr_SetRaisedException(saved);
}

static void
stream_dealloc(PyObject *op)
{
    StreamObject *self = (StreamObject *)op;
    LoopObject *loop = self->loop;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    stream_clear(op);
    stream_forget_writes(self);
    free(self->to.view);
    loop->st->c_transports_alive--;
    object_dealloc_end(op, loop);
}

/* ---- methods ------------------------------------------------------------------------------- */

static PyObject *
stream_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    if (self->closing) {
        Py_RETURN_NONE;
    }
    self->closing = 1;
    stream_stop_reading(self);
    if (self->queued == 0) {
        self->conn_lost++;
        if (stream_schedule_lost(self, Py_None) < 0) {
            self->conn_lost--;
            self->closing = 0; /* no memory: it can be tried again */
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
stream_abort(PyObject *op, PyObject *Py_UNUSED(unused))
{
    stream_force_close((StreamObject *)op, Py_None);
    Py_RETURN_NONE;
}

static PyObject *
stream_force_close_method(PyObject *op, PyObject *exc)
{
    stream_force_close((StreamObject *)op, exc);
    Py_RETURN_NONE;
}

static PyObject *
stream_is_closing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((StreamObject *)op)->closing);
}

static PyObject *
stream_is_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    return PyBool_FromLong(!self->closing && !self->paused);
}

static PyObject *
stream_can_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

PyObject *
stream_get_protocol(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PyObject *protocol = ((StreamObject *)op)->to.protocol;
    return Py_NewRef(protocol != NULL ? protocol : Py_None);
}

static PyObject *
stream_set_protocol_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *protocol = uvolt_args_one("set_protocol", "protocol", args, nargs, kwnames);
    if (protocol == NULL || stream_set_protocol((StreamObject *)op, protocol) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
stream_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(stream_pending((StreamObject *)op));
}

static PyObject *
stream_get_write_buffer_limits(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    return Py_BuildValue("(nn)", (Py_ssize_t)self->low, (Py_ssize_t)self->high);
}

static PyObject *
stream_make_empty_waiter(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    if (self->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    PyObject *waiter = PyObject_CallMethod((PyObject *)self->loop, "create_future", NULL);
    if (waiter == NULL) {
        return NULL;
    }
    if (self->queued == 0) {
        PyObject *r = PyObject_CallMethodOneArg(waiter, self->loop->st->n_set_result, Py_None);
        if (r == NULL) {
            Py_DECREF(waiter);
            return NULL;
        }
        Py_DECREF(r);
    }
    self->empty_waiter = Py_NewRef(waiter);
    return waiter;
}

static PyObject *
stream_reset_empty_waiter(PyObject *op, PyObject *Py_UNUSED(unused))
{
    Py_CLEAR(((StreamObject *)op)->empty_waiter);
    Py_RETURN_NONE;
}

static PyMethodDef stream_methods[] = {
    {"write", FAST(stream_write), METH_FASTCALL | METH_KEYWORDS,
     "write($self, data)\n--\n\nSend data, or queue what the socket does not take. Never blocks."},
    {"writelines", FAST(stream_writelines), METH_FASTCALL | METH_KEYWORDS,
     "writelines($self, list_of_data)\n--\n\nwrite() for several buffers, in one system call."},
    {"write_eof", stream_write_eof, METH_NOARGS,
     "write_eof($self, /)\n--\n\nClose the write end after flushing."},
    {"can_write_eof", stream_can_write_eof, METH_NOARGS, "can_write_eof($self, /)\n--\n\nTrue."},
    {"close", stream_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop reading, flush, then connection_lost(None)."},
    {"abort", stream_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nDrop what is queued, then connection_lost(None)."},
    {"is_closing", stream_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once closing has begun."},
    {"is_reading", stream_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while data is delivered to the protocol."},
    {"pause_reading", stream_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nDeliver nothing until resume_reading()."},
    {"resume_reading", stream_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nDeliver data again."},
    {"get_protocol", stream_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol, None after connection_lost."},
    {"set_protocol", FAST(stream_set_protocol_method), METH_FASTCALL | METH_KEYWORDS,
     "set_protocol($self, protocol)\n--\n\nThe next bytes go to this protocol."},
    {"get_extra_info", FAST(stream_get_extra_info), METH_FASTCALL | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n"
     "'socket', 'sockname', 'peername', or what else is known of the connection."},
    {"get_write_buffer_size", stream_get_write_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes that wait to be sent."},
    {"get_write_buffer_limits", stream_get_write_buffer_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\n(low, high) in bytes."},
    {"set_write_buffer_limits", FAST(stream_set_limits), METH_FASTCALL | METH_KEYWORDS,
     "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
     "When to call pause_writing() and resume_writing(), in bytes."},
    {"_begin", stream_begin_method, METH_O, "_begin($self, waiter, /)\n--\n\nconnection_made."},
    {"_call_connection_lost", stream_connection_lost, METH_O,
     "_call_connection_lost($self, exc, /)\n--\n\nThe last callback, then close the socket."},
    {"_force_close", stream_force_close_method, METH_O,
     "_force_close($self, exc, /)\n--\n\nabort() with a reason."},
    {"_make_empty_waiter", stream_make_empty_waiter, METH_NOARGS,
     "_make_empty_waiter($self, /)\n--\n\nA future done when everything is sent."},
    {"_reset_empty_waiter", stream_reset_empty_waiter, METH_NOARGS,
     "_reset_empty_waiter($self, /)\n--\n\nAllow write() again."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef stream_getset[] = {
    {"_extra", stream_get_extra, NULL, NULL, NULL},
    {"_sock", stream_get_sock, NULL, NULL, NULL},
    {"_loop", stream_get_loop, NULL, NULL, NULL},
    {"_protocol", stream_get_protocol_attr, stream_set_protocol_attr, NULL, NULL},
    {"_closing", stream_get_closing, NULL, NULL, NULL},
    {"_paused", stream_get_paused, NULL, NULL, NULL},
    {"_protocol_paused", stream_get_protocol_paused, NULL, NULL, NULL},
    {"_eof", stream_get_eof_sent, NULL, NULL, NULL},
    {"_start_tls_compatible", stream_get_compatible, NULL, NULL, NULL},
    {"_sendfile_compatible", stream_get_sendfile_mode, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef stream_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StreamObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(StreamObject, dict), READONLY, NULL},
    {"_sock_fd", T_INT, offsetof(StreamObject, fd), READONLY, NULL},
    {"_conn_lost", T_UINT, offsetof(StreamObject, conn_lost), READONLY, NULL},
    {"_server", T_OBJECT, offsetof(StreamObject, server), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "A transport over a connected stream socket; see asyncio.Transport."},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_finalize, stream_finalize},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_clear, stream_clear},
    {Py_tp_repr, stream_repr},
    {Py_tp_methods, stream_methods},
    {Py_tp_getset, stream_getset},
    {Py_tp_members, stream_members},
    {0, NULL},
};

PyType_Spec stream_spec = {
    .name = "uvolt._core.TCPTransport",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = stream_slots,
};

int
stream_check_layout(core_state *st)
{
    PyObject *size = PyObject_GetAttrString(st->AioTransport, "__basicsize__");
    Py_ssize_t need = size == NULL ? -1 : PyLong_AsSsize_t(size);
    Py_XDECREF(size);
    if (need < 0) {
        return -1;
    }
    if ((size_t)need > offsetof(StreamObject, dict)) {
        PyErr_Format(PyExc_ImportError, "asyncio.Transport has grown to %zd bytes: rebuild uvolt",
                     need);
        return -1;
    }
    return 0;
}
