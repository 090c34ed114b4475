/* udp.c - UdpObject: life and methods of a transport over one datagram socket.
 * Owns:    the socket object from udp_make() on; see udp.h for the members.
 * Kept by: its uv handle (loop_own) until the close callback.
 * Threads: the loop's. PYCALL: udp_fatal(), the methods.
 * A uv_poll_t and not a uv_udp_t: that one (libuv 1.44) sets SO_REUSEADDR on every socket it is given, which lets
 * others take a port over, and ends every wake-up with a recvmsg() that finds nothing. */
#include "net/udp.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/handle.h"
#include "net/stream.h"
#include "runtime/args.h"
#include "runtime/object.h"

_Static_assert(offsetof(UdpObject, dict) == offsetof(StreamObject, dict),
               "stream_check_layout() speaks for both");

/* ---- closing ------------------------------------------------------------------------------- */

static void
on_closed(uv_handle_t *handle)
{
    UdpObject *u = CONTAINER_OF((uv_poll_t *)handle, UdpObject, uv);
    loop_enter(u->loop);
    u->loop->st->c_uv_handles_closed++;
    loop_disown(&u->owned);
}

/* The descriptor stays open: it is the socket object's. */
static void
close_handle(UdpObject *u)
{
    if (u->uv_live) {
        u->uv_live = 0;
        u->interest = 0;
        fdpoll_release(u->loop, u->fd, (PyObject *)u);
        uv_close((uv_handle_t *)&u->uv, on_closed);
    }
}

/* The loop closes: no callback of the protocol will run. */
static void
on_loop_close(loop_owned *owned)
{
    UdpObject *u = CONTAINER_OF(owned, UdpObject, owned);
    u->closing = 1;
    u->conn_lost++;
    close_handle(u);
}

/* Give the socket object up, and with it the descriptor. Keeps the exception that is set. PYCALL. */
static void
close_sock(UdpObject *u)
{
    PyObject *sock = u->sock, *saved = PyErr_GetRaisedException();
    u->sock = NULL;
    u->fd = -1;
    if (sock != NULL) {
        PyObject *r = PyObject_CallMethod(u->loop->st->support, "release_socket", "O", sock);
        if (r == NULL) {
            PyErr_WriteUnraisable(sock);
        }
        Py_XDECREF(r);
        Py_DECREF(sock);
    }
    PyErr_SetRaisedException(saved);
}

/* Before a poll that would tell epoll of a change: is the descriptor still a socket? If not, somebody
 * closed it under us: libuv must not see it again, and its number is not ours to close. */
static void
on_touched(loop_owned *owned)
{
    UdpObject *u = CONTAINER_OF(owned, UdpObject, owned);
    struct stat st;
    int untold = u->untold;
    u->untold = 0;
    if (!u->uv_live) {
        return;
    }
    if (fstat(u->fd, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (UNLIKELY(untold)) {
            udp_tell_interest(u);
        }
        return;
    }
    Py_INCREF(u);
    uvolt_raise_uv(-EBADF);
    udp_fatal(u, "Fatal error: the socket was closed under the transport");
    close_handle(u);
    u->fd = -1; /* what is sent now fails, and does not go to a stranger */
    PyObject *r = PyObject_CallMethodNoArgs(u->sock, u->loop->st->n_detach);
    if (r == NULL) {
        PyErr_WriteUnraisable(u->sock);
    }
    Py_XDECREF(r);
    Py_DECREF(u);
}

/* _call_connection_lost(exc): the last callback, then the end of the socket. PYCALL. */
static PyObject *
udp_connection_lost(PyObject *op, PyObject *exc)
{
    UdpObject *self = (UdpObject *)op;
    if (self->finished) {
        Py_RETURN_NONE;
    }
    self->finished = 1;
    self->closing = 1;
    self->conn_lost += self->conn_lost == 0; /* called by hand */
    PyObject *protocol = self->protocol; /* stolen */
    self->protocol = NULL;
    PyObject *r = PyObject_CallMethodOneArg(protocol, self->loop->st->n_connection_lost, exc);
    Py_DECREF(protocol);
    udp_drop_queue(self);
    close_handle(self);
    close_sock(self);
    Py_CLEAR(self->reader); /* has a reference to us */
    return r;
}

int
udp_schedule_lost(UdpObject *u, PyObject *exc)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)u, "_call_connection_lost");
    HandleObject *h =
        method == NULL ? NULL : loop_call_soon(u->loop, method, &exc, 1, u->context);
    Py_XDECREF(method);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

static void
force_close(UdpObject *u, PyObject *exc)
{
    if (u->conn_lost) {
        return;
    }
    u->closing = 1;
    u->conn_lost++;
    udp_drop_queue(u);
    udp_update_interest(u);
    if (u->uv_live && udp_schedule_lost(u, exc) < 0) {
        loop_error(u->loop, "Cannot schedule connection_lost", (PyObject *)u, u->protocol);
    }
}

void
udp_fatal(UdpObject *u, const char *message)
{
    if (uvolt_error_is_fatal()) {
        loop_error(u->loop, message, (PyObject *)u, u->protocol); /* leaves the loop; transport lives */
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *r =
        PyObject_CallMethod(u->loop->st->support, "transport_failed", "OsOOO", (PyObject *)u->loop,
                            message, exc, (PyObject *)u, u->protocol ? u->protocol : Py_None);
    if (r == NULL) {
        loop_error(u->loop, message, (PyObject *)u, u->protocol);
    }
    Py_XDECREF(r);
    force_close(u, exc);
    Py_XDECREF(exc);
}

/* ---- opening ------------------------------------------------------------------------------- */

/* What the socket is connected to, from extra['peername'], which may be ''. -1 with an exception. */
static int
learn_peer(UdpObject *u)
{
    PyObject *peer = PyDict_GetItemWithError(u->extra, u->loop->st->n_peername);
    int named = peer == NULL ? 0 : PyObject_IsTrue(peer);
    int fixed = PyObject_IsTrue(u->address);
    u->connected = named > 0;
    u->anonymous = peer != NULL && peer != Py_None && named == 0;
    u->fixed = fixed > 0;
    return PyErr_Occurred() ? -1 : 0;
}

/* 0, or -1 with an exception. */
static int
open_handle(UdpObject *u)
{
    LoopObject *loop = u->loop;
    int err = loop->uv_open ? uv_poll_init_socket(&loop->uv, &u->uv, u->fd) : UV_ECANCELED;
    if (err < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    u->uv_live = 1;
    u->owned.close = on_loop_close;
    u->owned.check = on_touched;
    loop_own(loop, &u->owned, (PyObject *)u);
    loop->st->c_uv_handles_opened++;
    return fdpoll_claim(loop, u->fd, (PyObject *)u);
}

/* connection_made() in the next iteration. -1 with an exception. */
static int
schedule_begin(UdpObject *u, PyObject *waiter)
{
    PyObject *begin = PyObject_GetAttrString((PyObject *)u, "_begin");
    HandleObject *h = begin == NULL ? NULL : loop_call_soon(u->loop, begin, &waiter, 1, u->context);
    Py_XDECREF(begin);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

/* make_datagram(loop, sock, protocol, address, waiter, extra) */
PyObject *
udp_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 6 || !PyObject_TypeCheck(args[0], st->loop_type) || !PyDict_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError,
                        "make_datagram(loop, sock, protocol, address, waiter, extra)");
        return NULL;
    }
    LoopObject *loop = (LoopObject *)args[0];
    struct sockaddr_storage name;
    socklen_t name_len = sizeof(name);
    int fd = uvolt_args_fd(args[1]);
    if (fd < 0 || loop_check_closed(loop) < 0 || fdwatch_check_free(loop, fd, args[1]) < 0) {
        return NULL;
    }
    if (getsockname(fd, (struct sockaddr *)&name, &name_len) < 0) {
        return uvolt_raise_uv(-errno);
    }
    UdpObject *u = (UdpObject *)st->udp_type->tp_alloc(st->udp_type, 0);
    if (u == NULL) {
        return NULL;
    }
    st->c_transports_alive++;
    u->loop = (LoopObject *)Py_NewRef(args[0]);
    list_init(&u->owned.node);
    u->fd = fd;
    u->family = name.ss_family;
    u->sock = Py_NewRef(args[1]);
    u->protocol = Py_NewRef(args[2]);
    u->address = Py_NewRef(args[3]);
    u->extra = Py_NewRef(args[5]);
    u->high = 64 * 1024;
    u->low = u->high / 4;
    u->context = PyContext_CopyCurrent();
    if (u->context == NULL || (UVOLT_EAGER_DICT && (u->dict = PyDict_New()) == NULL)
        || learn_peer(u) < 0 || open_handle(u) < 0 || schedule_begin(u, args[4]) < 0) {
        u->finished = 1; /* the socket stays the caller's */
        close_handle(u);
        Py_CLEAR(u->sock);
        Py_CLEAR(u);
    }
    return (PyObject *)u;
}

/* _begin(waiter): connection_made, then the first read, then whoever waits for the endpoint. */
static PyObject *
udp_begin(PyObject *op, PyObject *waiter)
{
    UdpObject *self = (UdpObject *)op;
    if (self->finished || self->made) {
        Py_RETURN_NONE;
    }
    core_state *st = self->loop->st;
    PyObject *protocol = Py_NewRef(self->protocol);
    PyObject *r = PyObject_CallMethodOneArg(protocol, st->n_connection_made, op);
    PyObject *leaves = NULL; /* KeyboardInterrupt, SystemExit: once the endpoint is ready */
    if (r == NULL && uvolt_error_is_fatal()) {
        leaves = PyErr_GetRaisedException();
    }
    else if (r == NULL) {
        loop_error(self->loop, "Exception in callback connection_made()", op, protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
    self->made = 1;
    udp_update_interest(self);
    r = waiter == Py_None ? Py_NewRef(Py_None)
                          : PyObject_CallMethod(st->support, "set_result", "OO", waiter, Py_None);
    if (leaves != NULL) {
        Py_XDECREF(r);
        PyErr_SetRaisedException(leaves);
        return NULL;
    }
    return r;
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
udp_traverse(PyObject *op, visitproc visit, void *arg)
{
    UdpObject *self = (UdpObject *)op;
    Py_VISIT(Py_TYPE(op));
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_VISIT(self->base_slots[i]);
    }
    for (size_t i = 0; i < self->queue.count; i++) {
        Py_VISIT((PyObject *)self->queue.slots[(self->queue.head + i) & self->queue.mask]);
    }
    Py_VISIT(self->dict);
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->protocol);
    Py_VISIT(self->context);
    Py_VISIT(self->reader);
    Py_VISIT(self->extra);
    Py_VISIT(self->address);
    return 0;
}

/* `loop` stays until dealloc. The finalizer has closed the handle and the socket. */
static int
udp_clear(PyObject *op)
{
    UdpObject *self = (UdpObject *)op;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(self->base_slots); i++) {
        Py_CLEAR(self->base_slots[i]);
    }
    udp_drop_queue(self);
    Py_CLEAR(self->dict);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->context);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->address);
    return 0;
}

static void
udp_finalize(PyObject *op)
{
    UdpObject *self = (UdpObject *)op;
    if (self->finished) {
        return;
    }
    self->finished = 1;
    self->closing = 1;
    self->conn_lost += self->conn_lost == 0;
    PyObject *saved = PyErr_GetRaisedException();
    object_warn_unclosed(op);
    PyErr_SetRaisedException(saved);
    close_handle(self);
    close_sock(self);
}

static void
udp_dealloc(PyObject *op)
{
    UdpObject *self = (UdpObject *)op;
    LoopObject *loop = self->loop;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    udp_clear(op);
    free(self->queue.slots);
    Py_XDECREF(self->from.tuple);
    Py_XDECREF(self->to.tuple);
    loop->st->c_transports_alive--;
    object_dealloc_end(op, loop);
}

/* ---- methods ------------------------------------------------------------------------------- */

static PyObject *
udp_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    UdpObject *self = (UdpObject *)op;
    if (self->closing) {
        Py_RETURN_NONE;
    }
    self->closing = 1;
    udp_update_interest(self);
    if (self->queue.count == 0 && !self->conn_lost) {
        self->conn_lost++;
        if (udp_schedule_lost(self, Py_None) < 0) {
            self->conn_lost--;
            self->closing = 0; /* no memory: it can be tried again */
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
udp_abort(PyObject *op, PyObject *Py_UNUSED(unused))
{
    force_close((UdpObject *)op, Py_None);
    Py_RETURN_NONE;
}

static PyObject *
udp_force_close(PyObject *op, PyObject *exc)
{
    force_close((UdpObject *)op, exc);
    Py_RETURN_NONE;
}

static PyObject *
udp_is_closing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((UdpObject *)op)->closing);
}

static PyObject *
udp_is_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    UdpObject *self = (UdpObject *)op;
    return PyBool_FromLong(!self->closing && !self->paused);
}

static PyObject *
set_paused(UdpObject *u, char paused)
{
    if (!u->closing) {
        u->paused = paused;
        udp_update_interest(u);
    }
    Py_RETURN_NONE;
}

static PyObject *
udp_pause_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return set_paused((UdpObject *)op, 1);
}

static PyObject *
udp_resume_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return set_paused((UdpObject *)op, 0);
}

static PyObject *
udp_get_protocol(PyObject *op, PyObject *Py_UNUSED(unused))
{
    UdpObject *self = (UdpObject *)op;
    return Py_NewRef(self->protocol != NULL ? self->protocol : Py_None);
}

static PyObject *
udp_set_protocol(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    UdpObject *self = (UdpObject *)op;
    PyObject *protocol = uvolt_args_one("set_protocol", "protocol", args, nargs, kwnames);
    if (protocol == NULL) {
        return NULL;
    }
    if (!self->finished) {
        Py_XSETREF(self->protocol, Py_NewRef(protocol));
    }
    Py_RETURN_NONE;
}

/* get_extra_info(name, default=None): dict.get() of `extra`. */
static PyObject *
udp_get_extra_info(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *name, *fallback;
    if (uvolt_args_extra_info(args, nargs, kwnames, &name, &fallback) < 0) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(((UdpObject *)op)->extra, name);
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value != NULL ? value : fallback);
}

static PyObject *
udp_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(((UdpObject *)op)->queued_bytes);
}

static PyObject *
udp_get_write_buffer_limits(PyObject *op, PyObject *Py_UNUSED(unused))
{
    UdpObject *self = (UdpObject *)op;
    return Py_BuildValue("(nn)", self->low, self->high);
}

static PyObject *
udp_repr(PyObject *op)
{
    return PyObject_CallMethod(((UdpObject *)op)->loop->st->support, "transport_repr", "O", op);
}

static int
udp_set_protocol_attr(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((UdpObject *)op)->protocol, Py_NewRef(value != NULL ? value : Py_None));
    return 0;
}

static PyObject *
udp_get_protocol_attr(PyObject *op, void *Py_UNUSED(closure))
{
    return udp_get_protocol(op, NULL);
}

static PyMethodDef udp_methods[] = {
    {"sendto", FAST(udp_sendto), METH_FASTCALL | METH_KEYWORDS,
     "sendto($self, data, addr=None)\n--\n\nSend a datagram, or queue it. Never blocks."},
    {"close", udp_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop receiving, send what is queued, then connection_lost(None)."},
    {"abort", udp_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nDrop what is queued, then connection_lost(None)."},
    {"is_closing", udp_is_closing, METH_NOARGS,
     "is_closing($self, /)\n--\n\nTrue once closing has begun."},
    {"is_reading", udp_is_reading, METH_NOARGS,
     "is_reading($self, /)\n--\n\nTrue while datagrams are delivered to the protocol."},
    {"pause_reading", udp_pause_reading, METH_NOARGS,
     "pause_reading($self, /)\n--\n\nDeliver nothing until resume_reading()."},
    {"resume_reading", udp_resume_reading, METH_NOARGS,
     "resume_reading($self, /)\n--\n\nDeliver datagrams again."},
    {"get_protocol", udp_get_protocol, METH_NOARGS,
     "get_protocol($self, /)\n--\n\nThe protocol, None after connection_lost."},
    {"set_protocol", FAST(udp_set_protocol), METH_FASTCALL | METH_KEYWORDS,
     "set_protocol($self, protocol)\n--\n\nThe next datagram goes to this protocol."},
    {"get_extra_info", FAST(udp_get_extra_info), METH_FASTCALL | METH_KEYWORDS,
     "get_extra_info($self, name, default=None)\n--\n\n'socket', 'sockname' or 'peername'."},
    {"get_write_buffer_size", udp_get_write_buffer_size, METH_NOARGS,
     "get_write_buffer_size($self, /)\n--\n\nBytes that wait to be sent."},
    {"get_write_buffer_limits", udp_get_write_buffer_limits, METH_NOARGS,
     "get_write_buffer_limits($self, /)\n--\n\n(low, high) in bytes."},
    {"set_write_buffer_limits", FAST(udp_set_limits), METH_FASTCALL | METH_KEYWORDS,
     "set_write_buffer_limits($self, high=None, low=None)\n--\n\n"
     "When to call pause_writing() and resume_writing(), in bytes."},
    {"_read_ready", udp_read_ready, METH_NOARGS,
     "_read_ready($self, /)\n--\n\nDeliver what the socket has."},
    {"_begin", udp_begin, METH_O, "_begin($self, waiter, /)\n--\n\nconnection_made."},
    {"_call_connection_lost", udp_connection_lost, METH_O,
     "_call_connection_lost($self, exc, /)\n--\n\nThe last callback, then close the socket."},
    {"_force_close", udp_force_close, METH_O,
     "_force_close($self, exc, /)\n--\n\nabort() with a reason."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef udp_getset[] = {
    {"_protocol", udp_get_protocol_attr, udp_set_protocol_attr, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef udp_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(UdpObject, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(UdpObject, dict), READONLY, NULL},
    {"_loop", T_OBJECT, offsetof(UdpObject, loop), READONLY, NULL},
    {"_sock", T_OBJECT, offsetof(UdpObject, sock), READONLY, NULL},
    {"_sock_fd", T_INT, offsetof(UdpObject, fd), READONLY, NULL},
    {"_extra", T_OBJECT, offsetof(UdpObject, extra), READONLY, NULL},
    {"_address", T_OBJECT, offsetof(UdpObject, address), READONLY, NULL},
    {"_conn_lost", T_UINT, offsetof(UdpObject, conn_lost), READONLY, NULL},
    {"_closing", T_BOOL, offsetof(UdpObject, closing), READONLY, NULL},
    {"_paused", T_BOOL, offsetof(UdpObject, paused), READONLY, NULL},
    {"_protocol_paused", T_BOOL, offsetof(UdpObject, protocol_paused), READONLY, NULL},
    {"_high_water", T_PYSSIZET, offsetof(UdpObject, high), READONLY, NULL},
    {"_low_water", T_PYSSIZET, offsetof(UdpObject, low), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot udp_slots[] = {
    {Py_tp_doc, "A transport over a datagram socket; see asyncio.DatagramTransport."},
    {Py_tp_dealloc, udp_dealloc},
    {Py_tp_finalize, udp_finalize},
    {Py_tp_traverse, udp_traverse},
    {Py_tp_clear, udp_clear},
    {Py_tp_repr, udp_repr},
    {Py_tp_methods, udp_methods},
    {Py_tp_getset, udp_getset},
    {Py_tp_members, udp_members},
    {0, NULL},
};

PyType_Spec udp_spec = {
    .name = "uvolt._core.DatagramTransport",
    .basicsize = sizeof(UdpObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = udp_slots,
};
