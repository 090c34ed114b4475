/* sockop.c - a call of loop.sock_*, as a coroutine in C: what the methods return.
 *
 * It behaves as the coroutine of asyncio's method does: nothing happens before the first step; each step tries
 * the system call, and if that would block it yields a Future of the loop and tries again once that is done. So
 * nothing is read or accepted for a caller that has been cancelled.
 * Owns:    its arguments and the future. Kept by: whoever awaits it; while it waits, the entry of the descriptor.
 * Threads: the loop's. PYCALL: the steps, and the dealloc of one that was never awaited. */
#include "core/sock.h"

/* ---- life ---------------------------------------------------------------------------------- */

PyObject *
sockop_new(LoopObject *loop, const sockop_kind *kind, PyObject *sock, PyObject *arg, PyObject *extra)
{
    SockOp *op = pool_new(&loop->st->sockop_pool, loop->st->sockop_type);
    if (UNLIKELY(op == NULL)) {
        return NULL;
    }
    coro_init(&op->coro, loop, &kind->coro);
    op->sock = Py_XNewRef(sock);
    op->arg = Py_XNewRef(arg);
    op->extra = Py_XNewRef(extra);
    waiter_init(&op->wait);
    op->view.obj = NULL;
    op->sent = 0;
    op->fd = -1;
    op->err = 0;
    op->blocked = op->watching = op->woken = 0;
    PyObject_GC_Track(op);
    return (PyObject *)op;
}

static void
stop_watching(SockOp *op)
{
    if (op->watching) {
        op->watching = 0;
        fdpoll_forget(op->coro.loop, op->fd, sockop_kind_of(op)->write, (PyObject *)op);
    }
}

static int
sockop_clear(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    coro_clear(&op->coro);
    if (op->view.obj != NULL) {
        PyBuffer_Release(&op->view);
    }
    Py_CLEAR(op->sock);
    Py_CLEAR(op->arg);
    Py_CLEAR(op->extra);
    waiter_clear(&op->wait);
    return 0;
}

void
sockop_end(CoroObject *c)
{
    SockOp *op = (SockOp *)c;
    stop_watching(op);
    if (sockop_kind_of(op)->end != NULL) {
        sockop_kind_of(op)->end(op);
    }
}

static int
sockop_traverse(PyObject *self, visitproc visit, void *arg)
{
    SockOp *op = (SockOp *)self;
    Py_VISIT(op->sock);
    Py_VISIT(op->arg);
    Py_VISIT(op->extra);
    int rc = waiter_visit(&op->wait, visit, arg);
    return rc != 0 ? rc : coro_traverse(self, visit, arg);
}

static void
sockop_dealloc(PyObject *self)
{
    if (coro_dealloc_begin(self) < 0) {
        return;
    }
    sockop_clear(self);
    coro_free(self, &((CoroObject *)self)->loop->st->sockop_pool);
}

/* ---- waiting ------------------------------------------------------------------------------- */

int
sockop_ready(PyObject *self)
{
    SockOp *op = (SockOp *)self;
    return sockop_kind_of(op)->ready == NULL || sockop_kind_of(op)->ready(op);
}

/* Not for a caller that was cancelled, nor on a number that has become somebody else's. */
int
sockop_is_over(SockOp *op)
{
    PyObject *done = PyObject_CallMethodNoArgs(op->wait.future, op->coro.loop->st->n_done);
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
    if (UNLIKELY(waiter_wake(&op->wait, op->coro.loop, !sockop_kind_of(op)->write) < 0)) {
        loop_error(op->coro.loop, "Error while waking a task", NULL, NULL);
    }
}

static int
start_watching(SockOp *op)
{
    if (fdwatch_check_free(op->coro.loop, op->fd, NULL) < 0 || loop_check_closed(op->coro.loop) < 0) {
        return -1;
    }
    op->watching = 1;
    if (sockop_kind_of(op)->write) {
        return fdpoll_set(op->coro.loop, op->fd, 1, (PyObject *)op);
    }
    return fdpoll_set_read(op->coro.loop, op->fd, (PyObject *)op, op->sock);
}

/* ---- steps --------------------------------------------------------------------------------- */

coro_outcome
sockop_step(CoroObject *c, PyObject *value, PyObject **result)
{
    SockOp *op = (SockOp *)c;
    if (value == NULL) { /* the first, or it was cancelled */
        if (PyErr_Occurred() != NULL
            || (UNLIKELY(c->loop->debug) && op->sock != NULL && sock_check_mode(op) < 0)) {
            return CORO_ERROR;
        }
    }
    stop_watching(op);
    if (op->sock != NULL && sock_find_fd(op) < 0) {
        return CORO_ERROR;
    }
    *result = sockop_kind_of(op)->attempt(op);
    if (*result != NULL) {
        return CORO_DONE;
    }
    if (!op->blocked) {
        return CORO_ERROR;
    }
    op->blocked = op->woken = 0;
    return coro_wait(c, &op->wait) < 0 || start_watching(op) < 0 ? CORO_ERROR : CORO_WAIT;
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef sockop_methods[] = {
    CORO_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef sockop_getset[] = {
    CORO_GETSET,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef sockop_members[] = {
    CORO_MEMBERS,
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sockop_slots[] = {
    {Py_tp_doc, "A call of loop.sock_recv() and its kin: a coroutine."},
    {Py_tp_dealloc, sockop_dealloc},
    {Py_tp_traverse, sockop_traverse},
    {Py_tp_clear, sockop_clear},
    CORO_SLOTS,
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
