/* sockop.c - a call of loop.sock_*, as a coroutine in C: what the methods return.
 *
 * It behaves as the coroutine of asyncio's method does: nothing happens before the first step; each step tries
 * the system call, and if that would block it yields a Future of the loop and tries again once that is done. So
 * nothing is read or accepted for a caller that has been cancelled.
 * Owns:    its arguments and the future. Kept by: whoever awaits it; while it waits, the entry of the descriptor.
 * Threads: the loop's. PYCALL: the steps, and the dealloc of one that was never awaited. */
#include "core/coro.h"
#include "core/sock.h"

/* ---- life ---------------------------------------------------------------------------------- */

PyObject *
sockop_new(LoopObject *loop, const sockop_kind *kind, PyObject *sock, PyObject *arg, PyObject *extra)
{
    SockOp *op = pool_new(&loop->st->sockop_pool, loop->st->sockop_type);
    if (UNLIKELY(op == NULL)) {
        return NULL;
    }
    op->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    op->kind = kind;
    op->sock = Py_XNewRef(sock);
    op->arg = Py_XNewRef(arg);
    op->extra = Py_XNewRef(extra);
    op->weakrefs = NULL;
    waiter_init(&op->wait);
    op->view.obj = NULL;
    op->sent = 0;
    op->fd = -1;
    op->err = 0;
    op->state = CORO_CREATED;
    op->blocked = op->watching = op->woken = 0;
    PyObject_GC_Track(op);
    return (PyObject *)op;
}

static void
stop_watching(SockOp *op)
{
    if (op->watching) {
        op->watching = 0;
        fdpoll_forget(op->loop, op->fd, op->kind->write, (PyObject *)op);
    }
}

/* `loop` stays until dealloc: it has the state. */
static int
sockop_clear(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    if (op->view.obj != NULL) {
        PyBuffer_Release(&op->view);
    }
    Py_CLEAR(op->sock);
    Py_CLEAR(op->arg);
    Py_CLEAR(op->extra);
    waiter_clear(&op->wait);
    return 0;
}

/* The last step is done: what it held is let go now, as a coroutine's frame is. */
static void
finish(SockOp *op)
{
    op->state = CORO_OVER;
    stop_watching(op);
    if (op->kind->end != NULL) {
        op->kind->end(op);
    }
    sockop_clear((PyObject *)op);
}

static int
sockop_traverse(PyObject *self, visitproc visit, void *arg)
{
    SockOp *op = (SockOp *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(op->loop);
    Py_VISIT(op->sock);
    Py_VISIT(op->arg);
    Py_VISIT(op->extra);
    return waiter_visit(&op->wait, visit, arg);
}

static COLD void
warn_never_awaited(SockOp *op)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'Loop.%s' was never awaited", op->kind->name)
        < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    PyErr_SetRaisedException(exc);
}

static void
sockop_dealloc(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    PyTypeObject *type = Py_TYPE(self);
    LoopObject *loop = op->loop;
    core_state *st = loop->st;
    PyObject_GC_UnTrack(self);
    if (UNLIKELY(op->weakrefs != NULL)) {
        PyObject_ClearWeakRefs(self);
    }
    if (UNLIKELY(op->state == CORO_CREATED)) {
        warn_never_awaited(op);
    }
    if (op->state != CORO_OVER) {
        sockop_clear(self); /* whoever let it go while it waited: nobody watches for it, or it would be held */
    }
    pool_give(&st->sockop_pool, self);
    Py_DECREF(loop);
    Py_DECREF(type);
}

/* ---- waiting ------------------------------------------------------------------------------- */

int
sockop_ready(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    return op->kind->ready == NULL || op->kind->ready(op);
}

/* Not for a caller that was cancelled, nor on a number that has become somebody else's. */
int
sockop_is_over(SockOp *op)
{
    PyObject *done = PyObject_CallMethodNoArgs(op->wait.future, op->loop->st->n_done);
    int over = done != Py_False || sock_find_fd(op) < 0;
    Py_XDECREF(done);
    PyErr_Clear();
    return over;
}

/* A sock_sendall() that has sent everything is over, whoever asks: its future says so. A read is yet to come. */
void
sockop_wake(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    if (op->wait.future == NULL) {
        return; /* over */
    }
    op->woken = 1;
    if (UNLIKELY(waiter_wake(&op->wait, op->loop, !op->kind->write) < 0)) {
        loop_error(op->loop, "Error while waking a task", NULL, NULL);
    }
}

static int
start_watching(SockOp *op)
{
    if (fdwatch_check_free(op->loop, op->fd, NULL) < 0 || loop_check_closed(op->loop) < 0) {
        return -1;
    }
    op->watching = 1;
    if (op->kind->write) {
        return fdpoll_set(op->loop, op->fd, 1, (PyObject *)op);
    }
    return fdpoll_set_read(op->loop, op->fd, (PyObject *)op, op->sock);
}

/* Yields a future, or PYGEN_ERROR. */
static PySendResult
wait_for_event(SockOp *op, PyObject **result)
{
    op->blocked = op->woken = 0;
    if (waiter_start(&op->wait, op->loop) < 0 || start_watching(op) < 0) {
        return PYGEN_ERROR;
    }
    op->state = CORO_WAITING;
    return PyIter_Send(op->wait.iterator, Py_None, result);
}

/* ---- steps --------------------------------------------------------------------------------- */

/* What asyncio has behind the `await` of its future: 0 if that is over, else *sent and *result are the step's. */
static int
still_waiting(SockOp *op, PyObject *value, PySendResult *sent, PyObject **result)
{
    int taken = waiter_take(&op->wait, op->loop);
    *sent = PYGEN_ERROR;
    if (taken != 0) {
        return taken < 0;
    }
    *sent = PyIter_Send(op->wait.iterator, value, result);
    if (*sent == PYGEN_RETURN) {
        Py_CLEAR(*result);
        return 0;
    }
    return 1;
}

static PySendResult
run_step(SockOp *op, PyObject *value, PyObject **result)
{
    PySendResult sent;
    int first = op->state == CORO_CREATED;
    op->state = CORO_RUNNING;
    if (first && UNLIKELY(op->loop->debug) && op->sock != NULL && sock_check_mode(op) < 0) {
        return PYGEN_ERROR;
    }
    if (!first && still_waiting(op, value, &sent, result)) {
        return sent;
    }
    stop_watching(op);
    if (op->sock != NULL && sock_find_fd(op) < 0) {
        return PYGEN_ERROR;
    }
    *result = op->kind->attempt(op);
    if (*result != NULL) {
        return PYGEN_RETURN;
    }
    return op->blocked ? wait_for_event(op, result) : PYGEN_ERROR;
}

static PySendResult
sockop_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    SockOp *op = (SockOp *)self;
    *result = NULL;
    if (UNLIKELY(op->state != CORO_WAITING && (op->state != CORO_CREATED || value != Py_None))) {
        return coro_refuse(op->state);
    }
    Py_INCREF(self);
    PySendResult sent = run_step(op, value, result);
    if (sent == PYGEN_NEXT) {
        op->state = CORO_WAITING;
    }
    else {
        PyObject *exc = sent == PYGEN_ERROR ? PyErr_GetRaisedException() : NULL;
        finish(op);
        if (exc != NULL) {
            PyErr_SetRaisedException(exc);
        }
    }
    Py_DECREF(self);
    return sent;
}

static PyObject *
sockop_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult sent = sockop_am_send(self, value, &result);
    return coro_as_iterator(sent, result);
}

static PyObject *
sockop_iternext(PyObject *self)
{
    return sockop_send(self, Py_None);
}

static PyObject *
sockop_await(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    if (op->state == CORO_WAITING) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(self);
}

/* Cancellation comes this way. What was waited for is left where it is: in the kernel. */
static PyObject *
sockop_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    SockOp *op = (SockOp *)self;
    PyObject *exc = coro_thrown(args, nargs);
    if (exc == NULL) {
        return NULL;
    }
    if (op->state == CORO_RUNNING || op->state == CORO_OVER) {
        Py_DECREF(exc);
        coro_refuse(op->state);
        return NULL;
    }
    Py_INCREF(self);
    finish(op);
    PyErr_SetRaisedException(exc);
    Py_DECREF(self);
    return NULL;
}

static PyObject *
sockop_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    SockOp *op = (SockOp *)self;
    if (op->state == CORO_RUNNING) {
        coro_refuse(op->state);
        return NULL;
    }
    Py_INCREF(self);
    finish(op);
    Py_DECREF(self);
    Py_RETURN_NONE;
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyObject *
sockop_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<coroutine object Loop.%s at %p>", ((SockOp *)self)->kind->name, self);
}

static PyObject *
sockop_get_name(PyObject *self, void *qualified)
{
    return PyUnicode_FromFormat("%s%s", qualified != NULL ? "Loop." : "", ((SockOp *)self)->kind->name);
}

static PyObject *
sockop_get_running(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((SockOp *)self)->state == CORO_RUNNING);
}

static PyObject *
sockop_get_await(PyObject *self, void *Py_UNUSED(closure))
{
    SockOp *op = (SockOp *)self;
    return Py_NewRef(op->state == CORO_WAITING ? op->wait.iterator : Py_None);
}

static PyMethodDef sockop_methods[] = {
    {"send", sockop_send, METH_O, "send($self, value, /)\n--\n\nOne step; None for the first."},
    {"throw", FAST(sockop_throw), METH_FASTCALL,
     "throw($self, typ, val=None, tb=None, /)\n--\n\nEnd it with an exception."},
    {"close", sockop_close, METH_NOARGS, "close($self, /)\n--\n\nEnd it without one."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef sockop_getset[] = {
    {"__name__", sockop_get_name, NULL, "The method's.", NULL},
    {"__qualname__", sockop_get_name, NULL, "The method's.", "Loop."},
    {"cr_running", sockop_get_running, NULL, "In a step.", NULL},
    {"cr_await", sockop_get_await, NULL, "What it waits for, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef sockop_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SockOp, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sockop_slots[] = {
    {Py_tp_doc, "A call of loop.sock_recv() and its kin: a coroutine."},
    {Py_tp_dealloc, sockop_dealloc},
    {Py_tp_traverse, sockop_traverse},
    {Py_tp_clear, sockop_clear},
    {Py_tp_repr, sockop_repr},
    {Py_tp_iternext, sockop_iternext},
    {Py_am_await, sockop_await},
    {Py_am_send, sockop_am_send},
    {Py_tp_methods, sockop_methods},
    {Py_tp_getset, sockop_getset},
    {Py_tp_members, sockop_members},
    {0, NULL},
};

PyType_Spec sockop_spec = {
    .name = "uvolt._core.SockOp",
    .basicsize = sizeof(SockOp),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = sockop_slots,
};
