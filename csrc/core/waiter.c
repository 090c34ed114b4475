/* waiter.c - futures that coroutines in C wait with. See waiter.h.
 * Owns:    loop->waits, futures that are pending, have no callback and that nobody else has, with their iterators;
 *          loop->done_future. Threads: the loop's. PYCALL: all but waiter_forget() and waiter_traverse(). */
#include "core/waiter.h"

int
waiter_setup(core_state *st)
{
    PyObject *done = PyObject_GetAttr(st->Future, st->n_done);
    if (done == NULL || !Py_IS_TYPE(done, &PyMethodDescr_Type) || !UVOLT_FUTURES_USED_AGAIN) {
        Py_XDECREF(done); /* asyncio's in Python: no future is used again */
        PyErr_Clear();
        return 0;
    }
    st->future_done = done;
    st->future_callbacks = PyObject_GetAttr(st->Future, st->n__callbacks);
    st->future_remove = PyObject_GetAttr(st->Future, st->n_remove_done_callback);
    return st->future_callbacks == NULL || st->future_remove == NULL ? -1 : 0;
}

int
waiter_start(waiter *w, LoopObject *loop)
{
    waiter_clear(w);
    if (LIKELY(loop->nwaits > 0 && !loop->debug)) {
        loop_wait *kept = &loop->waits[--loop->nwaits];
        w->future = kept->future;
        w->iterator = kept->iterator;
        return 0;
    }
    w->future = loop_create_future((PyObject *)loop, NULL);
    w->iterator = w->future == NULL ? NULL : PyObject_GetIter(w->future);
    return w->iterator == NULL ? -1 : 0;
}

/* ---- waking -------------------------------------------------------------------------------- */

/* Is it what a C Task waits with? */
static int
is_wakeup(core_state *st, PyObject *callback)
{
    if (!PyCFunction_CheckExact(callback)) {
        return 0;
    }
    if (UNLIKELY(st->task_wakeup == NULL)) {
        PyObject *name = PyObject_GetAttrString(callback, "__name__");
        int found = name != NULL && PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "task_wakeup") == 0
                    && PyCFunction_GET_SELF(callback) != NULL
                    && PyObject_HasAttrString(PyCFunction_GET_SELF(callback), "_fut_waiter");
        Py_XDECREF(name);
        PyErr_Clear();
        if (!found) {
            return 0;
        }
        st->task_wakeup = PyCFunction_GET_FUNCTION(callback);
    }
    return PyCFunction_GET_FUNCTION(callback) == st->task_wakeup;
}

/* The only callback of the future and its context, as a tuple, if it is a task's. New reference or NULL, without an
 * exception. */
static PyObject *
wakeup_of(core_state *st, PyObject *future)
{
    PyObject *descr = st->future_callbacks, *pair = NULL;
    PyObject *list = Py_TYPE(descr)->tp_descr_get(descr, future, (PyObject *)Py_TYPE(future));
    if (UNLIKELY(list == NULL)) {
        PyErr_Clear();
        return NULL;
    }
    if (LIKELY(PyList_CheckExact(list) && PyList_GET_SIZE(list) == 1)) {
        pair = PyList_GET_ITEM(list, 0);
        int known = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2 && is_wakeup(st, PyTuple_GET_ITEM(pair, 0));
        pair = known ? Py_NewRef(pair) : NULL;
    }
    Py_DECREF(list);
    return pair;
}

static COLD int
make_done_future(LoopObject *loop)
{
    PyObject *future = loop_create_future((PyObject *)loop, NULL);
    PyObject *r = future == NULL ? NULL : PyObject_CallMethodOneArg(future, loop->st->n_set_result, Py_None);
    if (r == NULL) {
        Py_XDECREF(future);
        return -1;
    }
    Py_DECREF(r);
    Py_XSETREF(loop->done_future, future);
    return 0;
}

/* By loop.call_soon(), as a future does: a program may have replaced it. If it arrives where our own method begins,
 * that is what the name means, and in the same round of events, in which no Python code runs, it is called at once. */
static int
schedule_wakeup(LoopObject *loop, PyObject *pair)
{
    PyObject *r, *callback = PyTuple_GET_ITEM(pair, 0), *context = PyTuple_GET_ITEM(pair, 1);
    if (LIKELY(loop->soon_is_stock)) {
        r = (PyObject *)loop_call_soon(loop, callback, &loop->done_future, 1, context);
    }
    else {
        PyObject *args[4] = {(PyObject *)loop, callback, loop->done_future, context};
        loop->soon_probe = args + 1;
        r = PyObject_VectorcallMethod(loop->st->n_call_soon, args, 3, loop->st->kw_context);
        loop->soon_probe = NULL;
    }
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* Did it wait for this callback still? A finalizer that ran just now may have cancelled it. -1 with an exception. */
static int
remove_callback(core_state *st, PyObject *future, PyObject *callback)
{
    PyObject *args[2] = {future, callback};
    PyObject *removed = PyObject_Vectorcall(st->future_remove, args, 2, NULL);
    long n = removed == NULL ? -1 : PyLong_AsLong(removed);
    Py_XDECREF(removed);
    return (int)n;
}

/* 1: the caller is scheduled, and the future waits for nothing; 0: nothing is done; -1 with an exception. */
static int
schedule_without(PyObject *future, LoopObject *loop)
{
    core_state *st = loop->st;
    if (UNLIKELY(loop->done_future == NULL) && make_done_future(loop) < 0) {
        return -1;
    }
    PyObject *pair = wakeup_of(st, future);
    if (pair == NULL) {
        return 0;
    }
    int rc = remove_callback(st, future, PyTuple_GET_ITEM(pair, 0));
    if (LIKELY(rc > 0) && schedule_wakeup(loop, pair) < 0) {
        rc = -1;
    }
    Py_DECREF(pair);
    return rc;
}

/* Does only who waits have it? References: ours, the iterator's and the task's. */
static inline int
is_private(const waiter *w, const LoopObject *loop, Py_ssize_t refs)
{
    return (PyObject *)Py_TYPE(w->future) == loop->st->Future && loop->st->future_done != NULL && !loop->debug
           && Py_REFCNT(w->future) == refs;
}

static int
resolve(PyObject *future, LoopObject *loop)
{
    PyObject *r = PyObject_CallMethodOneArg(future, loop->st->n_set_result, Py_None);
    if (r == NULL) {
        if (!PyErr_ExceptionMatches(loop->st->InvalidStateError)) {
            return -1;
        }
        PyErr_Clear(); /* it was cancelled */
    }
    Py_XDECREF(r);
    return 0;
}

int
waiter_wake(waiter *w, LoopObject *loop, int keep)
{
    int rc = 0, keeps = keep && is_private(w, loop, 3);
    PyObject *future = Py_NewRef(w->future);
    if (LIKELY(keeps)) {
        rc = schedule_without(future, loop);
        if (w->future == future) {
            w->detached = rc > 0;
        }
    }
    if (rc == 0) {
        rc = resolve(future, loop);
    }
    Py_DECREF(future);
    return rc < 0 ? -1 : 0;
}

/* ---- afterwards ---------------------------------------------------------------------------- */

int
waiter_take(waiter *w, LoopObject *loop)
{
    if (UNLIKELY(!w->detached)) {
        return 0;
    }
    w->detached = 0;
    PyObject *done = PyObject_CallOneArg(loop->st->future_done, w->future);
    Py_XDECREF(done);
    if (UNLIKELY(done != Py_False)) {
        return done == NULL ? -1 : 0; /* cancelled meanwhile */
    }
    if (LIKELY(is_private(w, loop, 2) && Py_REFCNT(w->iterator) == 1 && loop->nwaits < LOOP_WAITS && !loop->closed)) {
        loop->waits[loop->nwaits++] = (loop_wait){w->future, w->iterator};
        waiter_init(w);
        return 1;
    }
    int rc = resolve(w->future, loop); /* whoever has it will see that it is over */
    waiter_clear(w);
    return rc < 0 ? -1 : 1;
}

void
waiter_forget(LoopObject *loop)
{
    Py_CLEAR(loop->done_future);
    while (loop->nwaits > 0) {
        loop_wait kept = loop->waits[--loop->nwaits];
        Py_DECREF(kept.future);
        Py_DECREF(kept.iterator);
    }
}

int
waiter_traverse(LoopObject *loop, visitproc visit, void *arg)
{
    Py_VISIT(loop->done_future);
    for (size_t i = 0; i < loop->nwaits; i++) {
        Py_VISIT(loop->waits[i].future);
        Py_VISIT(loop->waits[i].iterator);
    }
    return 0;
}
