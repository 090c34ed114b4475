/* timers.c - call_later, call_at and the timer heap.
 * Owns:    one reference to each TimerHandle in loop->timers and loop->due.
 * Threads: the loop's.
 * PYCALL:  none, unless the program has put a clock of its own in the place of loop.time(): then wherever time counts.
 * loop->due holds what a poll found until it goes into the ready ring: add_reader handles, then timers.
 * A timer that schedules itself for now runs in the next iteration, never twice in this one. */
#include <math.h>

#include "core/clock.h"
#include "core/handle.h"
#include "core/loop.h"
#include "runtime/args.h"

#define EXACT_INTEGERS 9007199254740992.0 /* a double tells all integers below from their neighbours */

static const char *const call_later_names[] = {"delay", "callback"};
static const char *const call_at_names[] = {"when", "callback"};

/* A float, with `name` in the error; NaN would break the order of the heap. -1 with an exception. */
static int
read_seconds(PyObject *value, const char *name, double *out)
{
    if (LIKELY(PyFloat_CheckExact(value))) {
        *out = PyFloat_AS_DOUBLE(value);
    }
    else {
        if (UNLIKELY(value == Py_None)) {
            PyErr_Format(PyExc_TypeError, "%s must not be None", name);
            return -1;
        }
        *out = PyFloat_AsDouble(value);
        if (*out == -1.0 && PyErr_Occurred()) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError, "%s must be a number of seconds, not %.100s", name,
                             Py_TYPE(value)->tp_name);
            }
            return -1;
        }
    }
    if (UNLIKELY(isnan(*out))) {
        PyErr_Format(PyExc_ValueError, "Invalid %s: NaN (not a number)", name);
        return -1;
    }
    return 0;
}

/* The program's clock. 0, or -1 with an exception. */
static COLD int
ask_clock(LoopObject *loop, double *now)
{
    PyObject *value = PyObject_CallMethod((PyObject *)loop, "time", NULL);
    int rc = value == NULL ? -1 : read_seconds(value, "time()", now);
    Py_XDECREF(value);
    if (rc == 0 && isinf(*now)) {
        PyErr_SetString(PyExc_OverflowError, "time() is infinite");
        return -1;
    }
    return rc;
}

/* loop.time(). 0, or -1 with an exception of the program's clock. */
static inline int
loop_now(LoopObject *loop, double *now)
{
    if (UNLIKELY(loop->own_clock)) {
        return ask_clock(loop, now);
    }
    *now = clock_now();
    return 0;
}

/* In an iteration: what the program's clock raises ends the run, as on asyncio. */
static COLD void
clock_failed(LoopObject *loop)
{
    Py_XSETREF(loop->raised, PyErr_GetRaisedException());
}

void
loop_compare_clocks(LoopObject *loop)
{
    double now;
    loop->behind = 0;
    if (loop->timers.count > 0) {
        if (loop_now(loop, &now) < 0) {
            clock_failed(loop); /* the poll will not wait */
            return;
        }
        loop->behind = clock_now() - now;
    }
}

/* call->args[0] is the delay or deadline, then the callback and its arguments. */
static PyObject *
schedule(LoopObject *self, double when, const call_args *call, const char *method)
{
    PyObject *const *args = call->args + 1;
    if (UNLIKELY(loop_check_closed(self) < 0)) {
        return NULL;
    }
    if (UNLIKELY(self->debug) && loop_debug_check(self, args[0], method, 1) < 0) {
        return NULL;
    }
    TimerObject *t = timer_new(self, when, args[0], args + 1, call->nargs - 2, call->context);
    if (UNLIKELY(t == NULL || loop_check_closed(self) < 0)) { /* making it may have run code */
        Py_XDECREF(t);
        return NULL;
    }
    if (UNLIKELY(heap_insert(&self->timers, &t->node) < 0)) {
        Py_DECREF(t);
        return PyErr_NoMemory();
    }
    return Py_NewRef((PyObject *)t); /* the first reference is the heap's */
}

PyObject *
loop_call_later(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call_args call;
    double now, delay;
    if (UNLIKELY(uvolt_args_call(self->st, "call_later", call_later_names, 2, args, nargs, kwnames,
                                 &call) < 0
                 || read_seconds(call.args[0], "delay", &delay) < 0 || loop_now(self, &now) < 0)) {
        return NULL;
    }
    return schedule(self, now + delay, &call, "call_later");
}

PyObject *
loop_call_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call_args call;
    double when;
    if (uvolt_args_call(self->st, "call_at", call_at_names, 2, args, nargs, kwnames, &call) < 0
        || read_seconds(call.args[0], "when", &when) < 0) {
        return NULL;
    }
    PyObject *t = schedule(self, when, &call, "call_at");
    if (t != NULL && PyLong_CheckExact(call.args[0]) && fabs(when) < EXACT_INTEGERS) {
        ((HandleObject *)t)->flags |= HANDLE_INTEGER;
    }
    return t;
}

static TimerObject *
take_top(LoopObject *loop)
{
    heap_node *top = heap_top(&loop->timers);
    heap_remove(&loop->timers, top);
    return CONTAINER_OF(top, TimerObject, node);
}

void
loop_take_timers(LoopObject *loop)
{
    double now;
    heap_node *top;
    if (UNLIKELY(loop_now(loop, &now) < 0)) {
        clock_failed(loop);
        return;
    }
    double end = now + loop->clock_resolution;
    while ((top = heap_top(&loop->timers)) != NULL && top->when < end) {
        if (UNLIKELY(ring_push(&loop->due, CONTAINER_OF(top, TimerObject, node)) < 0)) {
            return; /* no memory: they stay in the heap and are due again next time */
        }
        take_top(loop);
    }
}

size_t
loop_queue_due(LoopObject *loop, size_t waiting)
{
    ring *ready = &loop->ready, *due = &loop->due;
    if (waiting == 0) { /* else the poll has not slept */
        waiting = loop->came_asleep;
    }
    size_t batch = waiting + due->count;
    if (LIKELY(due->count == 0)) {
        return waiting > 0 && waiting < ready->count ? waiting : ready->count;
    }
    /* What callbacks of the poll have queued comes after what the poll found: move it over. */
    for (size_t i = waiting; i < ready->count; i++) {
        if (UNLIKELY(ring_push(due, ready->slots[(ready->head + i) & ready->mask]) < 0)) {
            break; /* no memory: out of order, but not lost */
        }
        ready->slots[(ready->head + i) & ready->mask] = NULL;
    }
    while (ready->count > waiting
           && ready->slots[(ready->head + ready->count - 1) & ready->mask] == NULL) {
        ready->count--;
    }
    while (due->count > 0) {
        void *handle = due->slots[due->head & due->mask];
        if (UNLIKELY(ring_push(ready, handle) < 0)) {
            break; /* no memory: tried again after the next poll */
        }
        ring_pop(due);
    }
    ring_trim(due);
    return batch < ready->count ? batch : ready->count;
}

/* The loop closes: no timer will fire. */
void
loop_forget_timers(LoopObject *loop)
{
    while (heap_top(&loop->timers) != NULL) {
        Py_DECREF(take_top(loop));
    }
    while (loop->due.count > 0) {
        handle_leave_ring(ring_pop(&loop->due));
    }
}
