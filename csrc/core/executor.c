/* executor.c - run_in_executor: a call in another thread, and the Future of the loop that waits for it.
 *
 * A Relay stands between the executor's future and the loop's, as asyncio's wrap_future() has three closures: it is
 * the done callback of both, and what runs in the loop to copy the result.
 * Owns:    both futures. Kept by: the callbacks of each.
 * Threads: run_in_executor() the loop's; a Relay is called by the executor's threads, under the GIL. PYCALL: all. */
#include "core/loop.h"

typedef struct RelayObject {
    PyObject_HEAD
    LoopObject *loop; /* strong */
    PyObject *source; /* strong: concurrent.futures.Future */
    PyObject *target; /* strong: asyncio.Future */
} RelayObject;

/* ---- from one future to the other ---------------------------------------------------------- */

/* The result of a plain concurrent Future that has one, without its lock: it is done. New reference, or NULL without
 * an exception where asyncio's own code has to look. */
static PyObject *
plain_result(core_state *st, PyObject *source)
{
    PyObject *result = NULL, *exception = NULL, *state = NULL;
    if ((state = PyObject_GetAttr(source, st->n__state)) != NULL && PyUnicode_Check(state)
        && PyUnicode_CompareWithASCIIString(state, "FINISHED") == 0
        && (exception = PyObject_GetAttr(source, st->n__exception)) == Py_None) {
        result = PyObject_GetAttr(source, st->n__result);
    }
    Py_XDECREF(state);
    Py_XDECREF(exception);
    PyErr_Clear();
    return result;
}

/* In the loop's thread: the call is done. */
static PyObject *
deliver(RelayObject *self)
{
    core_state *st = self->loop->st;
    PyObject *result = plain_result(st, self->source);
    if (LIKELY(result != NULL)) {
        PyObject *r = PyObject_CallMethodOneArg(self->target, st->n_set_result, result);
        Py_DECREF(result);
        if (LIKELY(r != NULL) || !PyErr_ExceptionMatches(st->InvalidStateError)) {
            return r;
        }
        PyErr_Clear(); /* cancelled meanwhile, most likely */
    }
    return PyObject_CallMethod(st->futures, "_copy_future_state", "OO", self->source, self->target);
}

/* In the thread that ran the call, or in whichever cancelled it. */
static PyObject *
call_is_done(RelayObject *self)
{
    PyObject *none = Py_None;
    if (self->loop->closed) {
        Py_RETURN_NONE;
    }
    HandleObject *h = loop_call_soon(self->loop, (PyObject *)self, &none, 1, NULL);
    if (h == NULL) {
        return NULL;
    }
    loop_wake(self->loop);
    Py_DECREF(h);
    Py_RETURN_NONE;
}

/* The loop's future is done: if because it was cancelled, the call need not begin. */
static PyObject *
pass_cancellation(RelayObject *self)
{
    PyObject *cancelled = PyObject_CallMethodNoArgs(self->target, self->loop->st->n_cancelled);
    int is_cancelled = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    if (is_cancelled < 0) {
        return NULL;
    }
    return is_cancelled ? PyObject_CallMethodNoArgs(self->source, self->loop->st->n_cancel) : Py_NewRef(Py_None);
}

static PyObject *
relay_call(PyObject *op, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    RelayObject *self = (RelayObject *)op;
    PyObject *caller = PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : NULL;
    if (self->target == NULL || caller == NULL) {
        Py_RETURN_NONE; /* cleared by the collector */
    }
    if (caller == Py_None) {
        return deliver(self);
    }
    return caller == self->target ? pass_cancellation(self) : call_is_done(self);
}

static int
add_callback(RelayObject *self, PyObject *future)
{
    PyObject *r = PyObject_CallMethodOneArg(future, self->loop->st->n_add_done_callback, (PyObject *)self);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* wrap_future(source, loop=loop). New reference. */
static PyObject *
relay_future(LoopObject *loop, PyObject *source)
{
    core_state *st = loop->st;
    if ((PyObject *)Py_TYPE(source) != st->ConcurrentFuture) {
        PyObject *wrap = PyObject_GetAttrString(st->futures, "wrap_future");
        PyObject *args[2] = {source, (PyObject *)loop};
        PyObject *future = wrap == NULL ? NULL : PyObject_Vectorcall(wrap, args, 1, st->kw_loop);
        Py_XDECREF(wrap);
        return future;
    }
    RelayObject *self = PyObject_GC_New(RelayObject, st->relay_type);
    if (self == NULL) {
        return NULL;
    }
    self->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    self->source = Py_NewRef(source);
    self->target = loop_create_future((PyObject *)loop, NULL);
    PyObject_GC_Track(self);
    PyObject *future = Py_XNewRef(self->target);
    if (future != NULL && (add_callback(self, future) < 0 || add_callback(self, source) < 0)) {
        Py_CLEAR(future);
    }
    Py_DECREF(self);
    return future;
}

/* ---- the method ---------------------------------------------------------------------------- */

static PyObject *
default_executor(LoopObject *self)
{
    int shut = self->executor_shutdown == NULL ? 0 : PyObject_IsTrue(self->executor_shutdown);
    if (shut < 0) {
        return NULL;
    }
    if (shut) {
        PyErr_SetString(PyExc_RuntimeError, "Executor shutdown has been called");
        return NULL;
    }
    if (self->default_executor == NULL || self->default_executor == Py_None) {
        PyObject *made = PyObject_CallMethod(self->st->support, "default_executor", NULL);
        if (made == NULL) {
            return NULL;
        }
        Py_XSETREF(self->default_executor, made);
    }
    return Py_NewRef(self->default_executor);
}

/* executor.submit(func, *args) */
static PyObject *
submit(core_state *st, PyObject *executor, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *method = PyObject_GetAttr(executor, st->n_submit);
    PyObject *future = method == NULL ? NULL : PyObject_Vectorcall(method, args, (size_t)nargs, NULL);
    Py_XDECREF(method);
    return future;
}

static int
check_callback(LoopObject *self, PyObject *func)
{
    PyObject *r = PyObject_CallMethod((PyObject *)self, "_check_callback", "Os", func, "run_in_executor");
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

PyObject *
loop_run_in_executor(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    if (UNLIKELY(nargs < 2 || kwnames != NULL)) {
        return loop_call_asyncio(op, "run_in_executor", args, nargs, kwnames);
    }
    if (loop_check_closed(self) < 0 || (UNLIKELY(self->debug) && check_callback(self, args[1]) < 0)) {
        return NULL;
    }
    PyObject *executor = args[0] == Py_None ? default_executor(self) : Py_NewRef(args[0]);
    PyObject *source = executor == NULL ? NULL : submit(self->st, executor, args + 1, nargs - 1);
    Py_XDECREF(executor);
    PyObject *future = source == NULL ? NULL : relay_future(self, source);
    Py_XDECREF(source);
    return future;
}

/* ---- the type ------------------------------------------------------------------------------ */

static int
relay_traverse(PyObject *op, visitproc visit, void *arg)
{
    RelayObject *self = (RelayObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->source);
    Py_VISIT(self->target);
    return 0;
}

/* `loop` stays until dealloc. */
static int
relay_clear(PyObject *op)
{
    RelayObject *self = (RelayObject *)op;
    Py_CLEAR(self->source);
    Py_CLEAR(self->target);
    return 0;
}

static void
relay_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    relay_clear(op);
    Py_DECREF(((RelayObject *)op)->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot relay_slots[] = {
    {Py_tp_doc, "Copies the result of a call in an executor to the loop's future, and cancellation back."},
    {Py_tp_dealloc, relay_dealloc},
    {Py_tp_traverse, relay_traverse},
    {Py_tp_clear, relay_clear},
    {Py_tp_call, relay_call},
    {0, NULL},
};

PyType_Spec relay_spec = {
    .name = "uvolt._core.Relay",
    .basicsize = sizeof(RelayObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = relay_slots,
};
