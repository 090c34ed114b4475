/* loop.c - the Loop type: life, attributes, method table.
 * Owns:    the uv_loop_t and its internal handles, the rings, the heap, the receive buffer.
 * Kept by: every Handle and transport that belongs to it (strong), which it visits for the collector.
 * Threads: see loop.h. PYCALL: loop_close() and what it releases. */
#include "core/loop.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/deadline.h"
#include "core/handle.h"
#include "core/large.h"
#include "core/sock.h"
#include "core/waiter.h"

/* ---- life ---------------------------------------------------------------------------------- */

/* libuv asserts that no descriptor it closes is 0, 1 or 2. In a process that runs without them, keep
 * them taken while it opens its own. */
static int
take_stdio(int taken[3])
{
    int n = 0, fd;
    if (fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0) {
        return 0;
    }
    while (n < 3 && (fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0) {
        if (fd > STDERR_FILENO) {
            close(fd);
            break;
        }
        taken[n++] = fd;
    }
    return n;
}

static PyObject *
loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    core_state *st = uvolt_state_of_type(type);
    if (st == NULL) {
        return NULL;
    }
    LoopObject *self = (LoopObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->st = st;
    self->module = Py_NewRef(st->module);
    self->epfd = self->wake_fd = self->left_fd = -1;
    self->slow_callback_duration = 0.1;
    self->clock_resolution = 1e-9;
    list_init(&self->owned);
    list_init(&self->touched);
    st->c_loops_alive++;
    int taken[3], ntaken = take_stdio(taken);
    int err = uv_loop_init(&self->uv);
    if (err == 0) {
        self->uv_open = 1;
        err = loop_init_handles(self);
    }
    while (ntaken > 0) {
        close(taken[--ntaken]);
    }
    if (err < 0) {
        self->closed = 1; /* for __del__ */
        Py_DECREF(self);
        return uvolt_raise_uv(err);
    }
    if (loop_look_at_clock(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

int
loop_check_closed(LoopObject *loop)
{
    if (UNLIKELY(loop->closed)) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    return 0;
}

char *
loop_recv_buffer(LoopObject *loop)
{
    if (UNLIKELY(loop->recv_buffer == NULL)) {
        loop->recv_buffer = malloc(LOOP_RECV_SIZE);
    }
    return loop->recv_buffer;
}

PyObject *
loop_call_asyncio(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *function = PyObject_GetAttrString(((LoopObject *)self)->st->AioLoop, name);
    PyObject *method = function == NULL ? NULL : PyMethod_New(function, self);
    PyObject *result = method == NULL ? NULL : PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
    Py_XDECREF(method);
    Py_XDECREF(function);
    return result;
}

static void
drop_ready(LoopObject *loop)
{
    while (loop->ready.count > 0) {
        handle_leave_ring(ring_pop(&loop->ready));
    }
}

static void
close_internal(uv_handle_t *handle, void *arg)
{
    LoopObject *loop = arg;
    if ((void *)handle == (void *)&loop->prepare || (void *)handle == (void *)&loop->timer
        || (void *)handle == (void *)&loop->deadline_timer || (void *)handle == (void *)&loop->wake) {
        if (!uv_is_closing(handle)) {
            uv_close(handle, NULL);
        }
    }
}

/* Close everything that libuv knows of. Python code may run when owners are let go, and finds a loop
 * that says it is closed. */
static void
loop_close_handles(LoopObject *self)
{
    if (!self->uv_open) {
        return;
    }
    int err = loop_own_process(self);
    if (err < 0) { /* no descriptors for sets of our own: leave the parent's alone */
        uvolt_raise_uv(err);
        PyErr_WriteUnraisable(NULL);
        return;
    }
    self->uv_open = 0;
    self->closed = 1;
    drop_ready(self);
    loop_forget_timers(self);
    large_free(self);
    deadlines_forget(self);
    for (list_node *n = self->owned.next; n != &self->owned; n = n->next) {
        loop_owned *owned = CONTAINER_OF(n, loop_owned, node);
        owned->close(owned);
    }
    Py_CLEAR(self->future_kwargs); /* a closed loop is no cycle */
    waiter_forget(self);
    fdpoll_close(self);
    uv_walk(&self->uv, close_internal, self);
    self->will_block = 0;
    do { /* the first run may end at once: a uv_stop() that no run has seen yet */
        uv_run(&self->uv, UV_RUN_DEFAULT);
    } while (uv_loop_alive(&self->uv));
    while (!list_empty(&self->owned)) { /* closed before, waiting for nothing: cannot happen */
        loop_disown(CONTAINER_OF(self->owned.next, loop_owned, node));
    }
    uv_loop_close(&self->uv);
    if (self->wake_fd >= 0) {
        close(self->wake_fd);
        self->wake_fd = -1;
    }
    drop_ready(self);
}

static PyObject *
loop_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot close a running event loop");
        return NULL;
    }
    loop_close_handles(self);
    Py_RETURN_NONE;
}

#define LOOP_MEMBERS(X)                                                                            \
    X(thread_id) X(exception_handler) X(default_executor) X(asyncgens) X(asyncgens_shutdown)       \
    X(executor_shutdown) X(origin_enabled) X(origin_depth) X(task_factory) X(old_agen_hooks)       \
    X(current_handle) X(transports) X(transports_seen) X(transports_data) X(signal_handlers) X(ssock) X(csock) X(unix_server_sockets)    \
    X(internal_fds) X(raised) X(future_kwargs)

static int
loop_traverse(PyObject *op, visitproc visit, void *arg)
{
    LoopObject *self = (LoopObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->module);
    const ring *rings[] = {&self->ready, &self->due};
    for (size_t r = 0; r < Py_ARRAY_LENGTH(rings); r++) {
        for (size_t i = 0; i < rings[r]->count; i++) {
            HandleObject *h = rings[r]->slots[(rings[r]->head + i) & rings[r]->mask];
            int rc = handle_visit(h, visit, arg);
            if (rc != 0) {
                return rc;
            }
        }
    }
    for (size_t i = 0; i < self->timers.count; i++) {
        Py_VISIT((PyObject *)CONTAINER_OF(self->timers.slots[i], TimerObject, node));
    }
    for (list_node *n = self->owned.next; n != NULL && n != &self->owned; n = n->next) {
        Py_VISIT(CONTAINER_OF(n, loop_owned, node)->object);
    }
#define X(name) Py_VISIT(self->name);
    LOOP_MEMBERS(X)
#undef X
    int rc = waiter_traverse(self, visit, arg);
    return rc != 0 ? rc : fdpoll_traverse(self, visit, arg);
}

/* `module` stays until dealloc: handles of a cleared loop still reach the state through it. */
static int
loop_clear(PyObject *op)
{
    LoopObject *self = (LoopObject *)op;
    if (!self->running) {
        loop_close_handles(self);
        drop_ready(self);
        loop_forget_timers(self);
    }
    waiter_forget(self);
#define X(name) Py_CLEAR(self->name);
    LOOP_MEMBERS(X)
#undef X
    return 0;
}

static void
loop_dealloc(PyObject *op)
{
    LoopObject *self = (LoopObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject *module = self->module;
    PyObject_GC_UnTrack(op);
    if (self->owned.next != NULL) {
        self->st->c_loops_alive--;
        loop_clear(op);
    }
    Py_XDECREF(self->spare);
    large_free(self);
    free(self->ready.slots);
    free(self->due.slots);
    free(self->timers.slots);
    free(self->deadlines.slots);
    free(self->fds);
    free(self->claims);
    free(self->recv_buffer);
    free(self->plain_buffer);
    free(self->send_buffer);
    loop_unmap_fork_mark(self);
    type->tp_free(op);
    Py_XDECREF(module);
    Py_DECREF(type);
}

/* ---- small methods ------------------------------------------------------------------------- */

static PyObject *
loop_time(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(unused))
{
    return PyFloat_FromDouble(clock_now());
}

int
loop_look_at_clock(LoopObject *loop)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)loop, "time");
    if (method == NULL) {
        return -1;
    }
    loop->own_clock = !PyCFunction_Check(method) || PyCFunction_GET_FUNCTION(method) != loop_time;
    loop->behind = 0;
    Py_DECREF(method);
    return 0;
}

/* A program may put a clock of its own in the place of time(). */
static int
loop_setattro(PyObject *op, PyObject *name, PyObject *value)
{
    int rc = PyObject_GenericSetAttr(op, name, value);
    if (rc == 0 && PyUnicode_CompareWithASCIIString(name, "time") == 0) {
        rc = loop_look_at_clock((LoopObject *)op);
    }
    return rc;
}

static PyObject *
loop_stop(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ((LoopObject *)op)->stopping = 1;
    Py_RETURN_NONE;
}

static PyObject *
loop_is_running(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    return PyBool_FromLong(self->thread_id != NULL && self->thread_id != Py_None);
}

static PyObject *
loop_is_closed(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((LoopObject *)op)->closed);
}

static PyObject *
loop_get_debug(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((LoopObject *)op)->debug);
}

static PyObject *
loop_check_closed_method(PyObject *op, PyObject *Py_UNUSED(unused))
{
    if (loop_check_closed((LoopObject *)op) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
loop_write_to_self(PyObject *op, PyObject *Py_UNUSED(unused))
{
    loop_wake((LoopObject *)op);
    Py_RETURN_NONE;
}

static PyObject *
loop_get_debug_attr(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((LoopObject *)op)->debug);
}

static int
loop_set_debug_attr(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    int debug = value == NULL ? 0 : PyObject_IsTrue(value);
    if (debug < 0) {
        return -1;
    }
    ((LoopObject *)op)->debug = (char)debug;
    return 0;
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef loop_methods[] = {
    {"call_soon", FAST(loop_call_soon_method), METH_FASTCALL | METH_KEYWORDS,
     "call_soon($self, callback, *args, context=None)\n--\n\n"
     "Call callback(*args) in the next iteration. Returns a Handle."},
    {"call_soon_threadsafe", FAST(loop_call_soon_threadsafe), METH_FASTCALL | METH_KEYWORDS,
     "call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n"
     "call_soon() from any thread: wakes the loop if it sleeps."},
    {"call_later", FAST(loop_call_later), METH_FASTCALL | METH_KEYWORDS,
     "call_later($self, delay, callback, *args, context=None)\n--\n\n"
     "Call callback(*args) after delay seconds. Returns a TimerHandle."},
    {"call_at", FAST(loop_call_at), METH_FASTCALL | METH_KEYWORDS,
     "call_at($self, when, callback, *args, context=None)\n--\n\n"
     "Call callback(*args) when loop.time() has reached when seconds. Returns a TimerHandle."},
    {"time", loop_time, METH_NOARGS,
     "time($self, /)\n--\n\nSeconds on the loop's clock: the same as time.monotonic()."},
    {"create_future", loop_create_future, METH_NOARGS,
     "create_future($self, /)\n--\n\nAn asyncio.Future of this loop."},
    {"create_task", FAST(loop_create_task), METH_FASTCALL | METH_KEYWORDS,
     "create_task($self, coro, **kwargs)\n--\n\n"
     "An asyncio.Task that runs coro; keywords go to Task or to the task factory."},
    {"set_task_factory", FAST(loop_set_task_factory), METH_FASTCALL | METH_KEYWORDS,
     "set_task_factory($self, factory)\n--\n\n"
     "factory(loop, coro, **kwargs) makes tasks from now on; None for asyncio.Task."},
    {"get_task_factory", loop_get_task_factory, METH_NOARGS,
     "get_task_factory($self, /)\n--\n\nThe task factory, or None."},
    {"stop", loop_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nLeave run_forever() after the current iteration."},
    {"is_running", loop_is_running, METH_NOARGS,
     "is_running($self, /)\n--\n\nTrue while run_forever() runs."},
    {"is_closed", loop_is_closed, METH_NOARGS,
     "is_closed($self, /)\n--\n\nTrue once close() was called."},
    {"get_debug", loop_get_debug, METH_NOARGS,
     "get_debug($self, /)\n--\n\nTrue in debug mode."},
    {"add_reader", FAST(fdwatch_add_reader), METH_FASTCALL | METH_KEYWORDS,
     "add_reader($self, fd, callback, *args)\n--\n\n"
     "Call callback(*args) whenever fd (int, or an object with fileno()) can be read."},
    {"add_writer", FAST(fdwatch_add_writer), METH_FASTCALL | METH_KEYWORDS,
     "add_writer($self, fd, callback, *args)\n--\n\n"
     "Call callback(*args) whenever fd (int, or an object with fileno()) can be written."},
    {"remove_reader", FAST(fdwatch_remove_reader), METH_FASTCALL | METH_KEYWORDS,
     "remove_reader($self, fd)\n--\n\nTrue if there was a reader of fd."},
    {"remove_writer", FAST(fdwatch_remove_writer), METH_FASTCALL | METH_KEYWORDS,
     "remove_writer($self, fd)\n--\n\nTrue if there was a writer of fd."},
    {"run_in_executor", FAST(loop_run_in_executor), METH_FASTCALL | METH_KEYWORDS,
     "run_in_executor($self, executor, func, *args)\n--\n\n"
     "Call func(*args) in a thread of executor, None for the loop's own. Returns a Future."},
    {"getaddrinfo", FAST(dns_getaddrinfo), METH_FASTCALL | METH_KEYWORDS,
     "getaddrinfo($self, host, port, *, family=0, type=0, proto=0, flags=0)\n--\n\n"
     "socket.getaddrinfo() in a thread; a numeric host and port are answered at once. A coroutine."},
    {"sock_recv", FAST(sock_recv), METH_FASTCALL | METH_KEYWORDS,
     "sock_recv($self, sock, n)\n--\n\n"
     "At most n bytes from a non-blocking socket, once there are any; b'' at its end. A coroutine."},
    {"sock_recv_into", FAST(sock_recv_into), METH_FASTCALL | METH_KEYWORDS,
     "sock_recv_into($self, sock, buf)\n--\n\n"
     "Receive into a writable buffer; how many bytes. A coroutine."},
    {"sock_recvfrom", FAST(sock_recvfrom), METH_FASTCALL | METH_KEYWORDS,
     "sock_recvfrom($self, sock, bufsize)\n--\n\n"
     "A datagram of at most bufsize bytes and where it came from. A coroutine."},
    {"sock_recvfrom_into", FAST(sock_recvfrom_into), METH_FASTCALL | METH_KEYWORDS,
     "sock_recvfrom_into($self, sock, buf, nbytes=0)\n--\n\n"
     "A datagram into a writable buffer; how many bytes, and where it came from. A coroutine."},
    {"sock_sendall", FAST(sock_sendall), METH_FASTCALL | METH_KEYWORDS,
     "sock_sendall($self, sock, data)\n--\n\n"
     "Send all of data, waiting for room where there is none. A coroutine."},
    {"sock_sendto", FAST(sock_sendto), METH_FASTCALL | METH_KEYWORDS,
     "sock_sendto($self, sock, data, address)\n--\n\n"
     "Send a datagram to address; how many bytes. A coroutine."},
    {"sock_accept", FAST(sock_accept), METH_FASTCALL | METH_KEYWORDS,
     "sock_accept($self, sock)\n--\n\n"
     "A connection to a listening socket: a new socket and the peer's address. A coroutine."},
    {"sock_connect", FAST(sock_connect), METH_FASTCALL | METH_KEYWORDS,
     "sock_connect($self, sock, address)\n--\n\n"
     "Connect to address, looking up its host if that is a name. A coroutine."},
    {"_sendfile", FAST(sendfile_start), METH_FASTCALL,
     "_sendfile($self, sock, file, offset, count, /)\n--\n\n"
     "sendfile() from the descriptor file; how many bytes, count or all of them if it is 0. A coroutine."},
    {"_add_reader", FAST(fdwatch_add_reader_raw), METH_FASTCALL,
     "_add_reader($self, fd, callback, /, *args)\n--\n\nadd_reader() unchecked; the Handle."},
    {"_add_writer", FAST(fdwatch_add_writer_raw), METH_FASTCALL,
     "_add_writer($self, fd, callback, /, *args)\n--\n\nadd_writer() unchecked; the Handle."},
    {"_remove_reader", fdwatch_remove_reader_raw, METH_O,
     "_remove_reader($self, fd, /)\n--\n\nremove_reader() unchecked."},
    {"_remove_writer", fdwatch_remove_writer_raw, METH_O,
     "_remove_writer($self, fd, /)\n--\n\nremove_writer() unchecked."},
    {"_ensure_fd_no_transport", fdwatch_ensure_free, METH_O,
     "_ensure_fd_no_transport($self, fd, /)\n--\n\nRuntimeError if a transport uses fd."},
    {"_watched", fdwatch_watched, METH_O,
     "_watched($self, fd, /)\n--\n\n(reader, writer) handles of fd."},
    {"_watched_fds", fdwatch_watched_fds, METH_NOARGS,
     "_watched_fds($self, /)\n--\n\nThe descriptors that have a reader or a writer."},
    {"_watch_signals", fdwatch_watch_signals, METH_O,
     "_watch_signals($self, fd, /)\n--\n\nRead signal numbers from fd."},
    {"_unwatch_signals", fdwatch_unwatch_signals, METH_O,
     "_unwatch_signals($self, fd, /)\n--\n\nStop reading signal numbers from fd."},
    {"_is_numeric", FAST(dns_is_numeric), METH_FASTCALL,
     "_is_numeric($self, host, port, /)\n--\n\n"
     "True if getaddrinfo() of these needs no name service: it cannot block."},
    {"_run", loop_run, METH_NOARGS, "_run($self, /)\n--\n\nIterate until stop()."},
    {"_run_once", loop_run_once, METH_NOARGS,
     "_run_once($self, /)\n--\n\nOne iteration: wait for events, run what is ready."},
    {"_poll", loop_poll, METH_O,
     "_poll($self, timeout, /)\n--\n\nThe first half of an iteration: wait for events, at most timeout "
     "seconds."},
    {"_ready_list", loop_ready_list, METH_NOARGS,
     "_ready_list($self, /)\n--\n\nThe handles that run next."},
    {"_ready_append", loop_ready_append, METH_O,
     "_ready_append($self, handle, /)\n--\n\nRun it next; a timer is not scheduled any more."},
    {"_ready_popleft", loop_ready_popleft, METH_NOARGS,
     "_ready_popleft($self, /)\n--\n\nTake the first of the handles that run next."},
    {"_scheduled_list", loop_scheduled_list, METH_NOARGS,
     "_scheduled_list($self, /)\n--\n\nThe timers that wait, as a heap."},
    {"_close", loop_close, METH_NOARGS, "_close($self, /)\n--\n\nClose all handles."},
    {"_check_closed", loop_check_closed_method, METH_NOARGS,
     "_check_closed($self, /)\n--\n\nRuntimeError if the loop is closed."},
    {"_write_to_self", loop_write_to_self, METH_NOARGS,
     "_write_to_self($self, /)\n--\n\nWake the loop if it sleeps."},
    {"_queue_sizes", loop_queue_sizes, METH_NOARGS,
     "_queue_sizes($self, /)\n--\n\n(ready callbacks, timers)."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef loop_getset[] = {
    {"_debug", loop_get_debug_attr, loop_set_debug_attr, "Debug mode.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define OBJECT(attr, member) {attr, T_OBJECT, offsetof(LoopObject, member), 0, NULL}

/* Attributes of asyncio's own loops. Here and not in the instance's dict: with an empty dict every
 * method call on the loop is cheaper. */
static PyMemberDef loop_members[] = {
    OBJECT("_thread_id", thread_id),
    OBJECT("_exception_handler", exception_handler),
    OBJECT("_default_executor", default_executor),
    OBJECT("_asyncgens", asyncgens),
    OBJECT("_asyncgens_shutdown_called", asyncgens_shutdown),
    OBJECT("_executor_shutdown_called", executor_shutdown),
    OBJECT("_coroutine_origin_tracking_enabled", origin_enabled),
    OBJECT("_coroutine_origin_tracking_saved_depth", origin_depth),
    OBJECT("_old_agen_hooks", old_agen_hooks),
    OBJECT("_current_handle", current_handle),
    OBJECT("_transports", transports),
    OBJECT("_signal_handlers", signal_handlers),
    OBJECT("_ssock", ssock),
    OBJECT("_csock", csock),
    OBJECT("_unix_server_sockets", unix_server_sockets),
    OBJECT("_internal_fds", internal_fds),
    {"_closed", T_BOOL, offsetof(LoopObject, closed), READONLY, NULL},
    {"_stopping", T_BOOL, offsetof(LoopObject, stopping), 0, NULL},
    {"slow_callback_duration", T_DOUBLE, offsetof(LoopObject, slow_callback_duration), 0,
     "Debug mode reports callbacks that take longer than this many seconds."},
    {"_clock_resolution", T_DOUBLE, offsetof(LoopObject, clock_resolution), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, "The C core of uvolt.Loop."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_setattro, loop_setattro},
    {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},
    {Py_tp_members, loop_members},
    {0, NULL},
};

PyType_Spec loop_spec = {
    .name = "uvolt._core.Loop",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = loop_slots,
};
