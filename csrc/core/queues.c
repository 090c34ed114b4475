/* queues.c - the loop's queues as Python code sees asyncio's: `_ready` and `_scheduled` (python/uvolt/queues.py).
 *
 * Programs that run the loop by hand (nest_asyncio) take handles from the one and move timers that are due
 * from the other. They may put in an asyncio.Handle of their own: it travels inside one of ours, and comes
 * out as what it was.
 * Owns:    nothing; the references are the ring's and the heap's.
 * Threads: the loop's. PYCALL: loop_ready_append(). */
#include "core/handle.h"
#include "core/loop.h"

/* What a program put in, or the handle itself, which it may keep. New reference. */
static PyObject *
unwrap(HandleObject *h)
{
    if (!(h->flags & HANDLE_TRACKED)) {
        handle_track(h);
    }
    return Py_NewRef(h->flags & HANDLE_FOREIGN && h->callback != NULL ? PyMethod_GET_SELF(h->callback)
                                                                      : (PyObject *)h);
}

PyObject *
loop_ready_list(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ring *ready = &((LoopObject *)op)->ready;
    Py_ssize_t n = (Py_ssize_t)ready->count;
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyList_SET_ITEM(list, i, unwrap(ready->slots[(ready->head + (size_t)i) & ready->mask]));
    }
    return list;
}

/* In the heap's order, which is what heapq wants. */
PyObject *
loop_scheduled_list(PyObject *op, PyObject *Py_UNUSED(unused))
{
    heap *timers = &((LoopObject *)op)->timers;
    Py_ssize_t n = (Py_ssize_t)timers->count;
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        TimerObject *t = CONTAINER_OF(timers->slots[i], TimerObject, node);
        PyList_SET_ITEM(list, i, unwrap(&t->handle));
    }
    return list;
}

PyObject *
loop_queue_sizes(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    return Py_BuildValue("(nn)", (Py_ssize_t)self->ready.count, (Py_ssize_t)self->timers.count);
}

PyObject *
loop_ready_popleft(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ring *ready = &((LoopObject *)op)->ready;
    if (ready->count == 0) {
        PyErr_SetString(PyExc_IndexError, "pop from an empty deque");
        return NULL;
    }
    HandleObject *h = ring_pop(ready);
    PyObject *out = unwrap(h);
    handle_leave_ring(h);
    return out;
}

/* A handle of this loop. A timer that was scheduled is moved: it is not any more. 0 or -1. */
static int
append_ours(LoopObject *loop, HandleObject *h)
{
    if (h->loop != loop) {
        PyErr_Format(PyExc_ValueError, "%R belongs to another loop", (PyObject *)h);
        return -1;
    }
    if (loop_push(loop, h) < 0) {
        return -1;
    }
    if (h->flags & HANDLE_TIMER && ((TimerObject *)h)->node.index != HEAP_OUT) {
        heap_remove(&loop->timers, &((TimerObject *)h)->node);
        Py_DECREF(h); /* the heap's; the ring has one */
    }
    return 0;
}

/* Somebody else's: our callback is _support.run_handle, bound to it. 0 or -1. */
static int
append_foreign(LoopObject *loop, PyObject *handle)
{
    int is_handle = PyObject_IsInstance(handle, loop->st->AioHandle);
    if (is_handle == 0) {
        PyErr_Format(PyExc_TypeError, "a Handle was expected, got %R", handle);
    }
    if (is_handle <= 0) {
        return -1;
    }
    PyObject *run = PyObject_GetAttrString(loop->st->support, "run_handle");
    PyObject *bound = run == NULL ? NULL : PyMethod_New(run, handle);
    HandleObject *h = bound == NULL ? NULL : loop_call_soon(loop, bound, NULL, 0, NULL);
    Py_XDECREF(bound);
    Py_XDECREF(run);
    if (h == NULL) {
        return -1;
    }
    h->flags |= HANDLE_FOREIGN;
    Py_DECREF(h);
    return 0;
}

PyObject *
loop_ready_append(PyObject *op, PyObject *handle)
{
    LoopObject *self = (LoopObject *)op;
    int rc = PyObject_TypeCheck(handle, self->st->handle_type)
                 ? append_ours(self, (HandleObject *)handle)
                 : append_foreign(self, handle);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
