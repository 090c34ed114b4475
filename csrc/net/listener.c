/* listener.c - Listener: accepts the connections of one listening socket.
 * Owns:    its socket object, factory, server and context (strong).
 * Kept by: the entry of its descriptor in the loop's table while it listens.
 * Threads: the loop's. PYCALL: on_ready().
 * A plain connection gets its protocol, connection_made and first read within the event that brought it;
 * others (TLS) go to a Python callback. When the system has no resources left it pauses for a second, as
 * asyncio does, and does not drop the clients that wait. */
#include "net/listener.h"

#include <errno.h>
#include <unistd.h>

#include "net/stream.h"
#include "runtime/args.h"

#define SINGLES_SEEN 4    /* events with one connection each, before a second one is not looked for */
#define SINGLES_TRUSTED 8 /* ... in so many events; then once it is */

typedef struct ListenerObject {
    PyObject_HEAD
    LoopObject *loop;   /* strong */
    PyObject *sock;     /* strong: the listening socket object */
    PyObject *factory;  /* strong: protocol factory */
    PyObject *server;   /* strong */
    PyObject *accepted; /* strong: Python callback for what C does not do, or None */
    PyObject *context;  /* strong: of start_serving() */
    int fd;
    int backlog;
    char listening;
    uint8_t singles;    /* events in a row that brought one connection */
} ListenerObject;

/* ---- one connection ------------------------------------------------------------------------ */

/* asyncio tells in debug mode only; a factory that fails is a bug that nobody should have to guess. */
static COLD void
report_failed(ListenerObject *self)
{
    loop_error(self->loop, "Error on transport creation for incoming connection", NULL, NULL);
}

/* A protocol and a transport for fd, which is taken. In the listener's context. */
static void
begin_plain(ListenerObject *self, int fd, const stream_names *known)
{
    PyObject *protocol = PyObject_CallNoArgs(self->factory);
    if (protocol == NULL) {
        close(fd);
        report_failed(self);
        return;
    }
    StreamObject *s = stream_new(self->loop, fd, NULL, protocol, self->server, known);
    Py_DECREF(protocol);
    if (s == NULL) {
        report_failed(self);
        return;
    }
    stream_begin(s);
    Py_DECREF(s);
}

/* accepted(fd): Python makes the transport. It takes the fd. */
static void
begin_other(ListenerObject *self, int fd)
{
    PyObject *r = PyObject_CallFunction(self->accepted, "i", fd);
    if (r == NULL) {
        loop_error(self->loop, "Error on transport creation for incoming connection", NULL, NULL);
    }
    Py_XDECREF(r);
}

static void
begin(ListenerObject *self, int fd, const stream_names *known)
{
    PyObject *context = PyContext_Copy(self->context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        close(fd);
        report_failed(self);
        return;
    }
    if (self->accepted == Py_None) {
        begin_plain(self, fd, known);
    }
    else {
        begin_other(self, fd);
    }
    if (PyContext_Exit(context) < 0) {
        loop_error(self->loop, "Error on accept", NULL, NULL);
    }
    Py_DECREF(context);
}

/* ---- the socket ---------------------------------------------------------------------------- */

static void on_ready(LoopObject *loop, int fd, uint32_t events, void *arg);

static int
start(ListenerObject *self)
{
    int err = fdpoll_watch(self->loop, self->fd, 0, on_ready, self, (PyObject *)self);
    if (err < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    self->listening = 1;
    return 0;
}

static void
stop(ListenerObject *self)
{
    if (self->listening) {
        self->listening = 0;
        fdpoll_unwatch(self->loop, self->fd, self);
    }
}

/* EMFILE and its kin: tell, and try again in a second (asyncio's ACCEPT_RETRY_DELAY). */
static COLD void
out_of_resources(ListenerObject *self, int err)
{
    PyObject *exc = uvolt_uv_exception(-err);
    PyObject *resume = PyObject_GetAttrString((PyObject *)self, "_resume");
    PyObject *r = exc == NULL || resume == NULL
                      ? NULL
                      : PyObject_CallMethod(self->loop->st->support, "accept_failed", "OOOO",
                                            (PyObject *)self->loop, exc, self->sock, resume);
    Py_XDECREF(exc);
    Py_XDECREF(resume);
    if (r == NULL) {
        loop_error(self->loop, "socket.accept() out of system resource", NULL, NULL);
    }
    Py_XDECREF(r);
}

static COLD void
accept_error(ListenerObject *self, int err)
{
    switch (err) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
        return;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        Py_INCREF(self);
        stop(self);
        out_of_resources(self, err);
        Py_DECREF(self);
        return;
    default:
        uvolt_raise_uv(-err);
        loop_error(self->loop, "Error on accept", NULL, NULL);
    }
}

/* Where connections come one by one, the second accept4() of an event finds nothing. So after some such events it is
 * left out for a while: epoll reports again what was left in the queue. */
static inline int
is_calm(const ListenerObject *self)
{
    return self->singles >= SINGLES_SEEN;
}

static inline void
note_accepted(ListenerObject *self, int n)
{
    if (n != 1 || self->singles == SINGLES_SEEN + SINGLES_TRUSTED) {
        self->singles = n == 1 ? SINGLES_SEEN - 1 : 0; /* look again */
    }
    else {
        self->singles++;
    }
}

static void
on_ready(LoopObject *loop, int fd, uint32_t Py_UNUSED(events), void *arg)
{
    ListenerObject *self = arg;
    int most = is_calm(self) ? 1 : self->backlog, i;
    Py_INCREF(self);
    for (i = 0; i < most && self->listening && loop->raised == NULL; i++) {
        stream_names known = {.peername_len = sizeof(known.peername)};
        int conn = accept4(fd, &known.peername.sa, &known.peername_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn < 0) {
            accept_error(self, errno);
            break;
        }
        if (known.peername_len > (socklen_t)sizeof(known.peername) || !uvolt_sockaddr_known(&known.peername.sa)) {
            known.peername_len = 0;
        }
        begin(self, conn, &known);
    }
    note_accepted(self, i);
    Py_DECREF(self);
}

/* ---- Python's side ------------------------------------------------------------------------- */

/* listen(loop, sock, factory, server, backlog, accepted) -> Listener */
PyObject *
listener_listen(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 6 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "listen(loop, sock, factory, server, backlog, accepted)");
        return NULL;
    }
    long backlog = PyLong_AsLong(args[4]);
    int fd = uvolt_args_fd(args[1]);
    if (fd < 0 || (backlog == -1 && PyErr_Occurred())
        || loop_check_closed((LoopObject *)args[0]) < 0) {
        return NULL;
    }
    ListenerObject *self = PyObject_GC_New(ListenerObject, st->listener_type);
    if (self == NULL) {
        return NULL;
    }
    self->loop = (LoopObject *)Py_NewRef(args[0]);
    self->sock = Py_NewRef(args[1]);
    self->factory = Py_NewRef(args[2]);
    self->server = Py_NewRef(args[3]);
    self->accepted = Py_NewRef(args[5]);
    self->context = PyContext_CopyCurrent();
    self->fd = fd;
    self->backlog = backlog < 1 ? 1 : backlog > 1024 ? 1024 : (int)backlog;
    self->listening = self->singles = 0;
    PyObject_GC_Track(self);
    if (self->context == NULL || start(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *
listener_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ListenerObject *self = (ListenerObject *)op;
    stop(self);
    self->fd = -1;
    Py_RETURN_NONE;
}

static PyObject *
listener_resume(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ListenerObject *self = (ListenerObject *)op;
    if (!self->listening && self->fd >= 0 && !self->loop->closed && start(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
listener_traverse(PyObject *op, visitproc visit, void *arg)
{
    ListenerObject *self = (ListenerObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->sock);
    Py_VISIT(self->factory);
    Py_VISIT(self->server);
    Py_VISIT(self->accepted);
    Py_VISIT(self->context);
    return 0;
}

/* `loop` stays until dealloc. */
static int
listener_clear(PyObject *op)
{
    ListenerObject *self = (ListenerObject *)op;
    Py_CLEAR(self->sock);
    Py_CLEAR(self->factory);
    Py_CLEAR(self->server);
    Py_CLEAR(self->accepted);
    Py_CLEAR(self->context);
    return 0;
}

static void
listener_dealloc(PyObject *op)
{
    ListenerObject *self = (ListenerObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    listener_clear(op);
    Py_DECREF(self->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef listener_methods[] = {
    {"close", listener_close, METH_NOARGS, "close($self, /)\n--\n\nStop accepting, for good."},
    {"_resume", listener_resume, METH_NOARGS, "_resume($self, /)\n--\n\nAccept again."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot listener_slots[] = {
    {Py_tp_doc, "Accepts the connections of one listening socket."},
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_traverse, listener_traverse},
    {Py_tp_clear, listener_clear},
    {Py_tp_methods, listener_methods},
    {0, NULL},
};

PyType_Spec listener_spec = {
    .name = "uvolt._core.Listener",
    .basicsize = sizeof(ListenerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = listener_slots,
};
