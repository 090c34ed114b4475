/* ready.c - the ready ring: call_soon() puts handles in, loop_drain() runs them.
 * Owns:    one reference to each handle in loop->ready.
 * Threads: the loop's; call_soon_threadsafe() from any, serialised by the GIL.
 * PYCALL:  loop_drain(). */
#include "core/handle.h"
#include "core/loop.h"
#include "runtime/args.h"

static const char *const call_soon_names[] = {"callback"};

int
loop_push(LoopObject *loop, HandleObject *handle)
{
    if (UNLIKELY(loop->closed)) { /* by another thread, or by code that ran since it was checked */
        return loop_check_closed(loop);
    }
    if (UNLIKELY(ring_push(&loop->ready, handle) < 0)) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(handle);
    if (UNLIKELY(loop->in_poll)) { /* another thread, by call_soon_threadsafe() or not */
        loop_wake(loop);
    }
    return 0;
}

void
loop_push_due(LoopObject *loop, HandleObject *handle)
{
    if (ring_push(&loop->due, handle) == 0) {
        Py_INCREF(handle);
    } /* no memory: the event is level-triggered and comes again */
}

HandleObject *
loop_call_soon(LoopObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
               PyObject *context)
{
    HandleObject *h = handle_new_ready(loop, callback, args, nargs, context);
    if (UNLIKELY(h == NULL || loop_push(loop, h) < 0)) {
        Py_XDECREF(h);
        return NULL;
    }
    return h;
}

COLD int
loop_debug_check(LoopObject *loop, PyObject *callback, const char *method, int check_thread)
{
    PyObject *r = PyObject_CallMethod(loop->st->support, "debug_check", "OOsi", (PyObject *)loop,
                                      callback, method, check_thread);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* For the program, which may keep it. While the loop runs, the handle is sure to leave the ring (handle_leave_ring). */
static inline PyObject *
for_program(LoopObject *loop, HandleObject *h)
{
    if (UNLIKELY(!loop->running) && h != NULL) {
        handle_track(h);
    }
    return (PyObject *)h;
}

void
loop_track_ready(LoopObject *loop)
{
    ring *ready = &loop->ready;
    for (size_t i = 0; i < ready->count; i++) {
        HandleObject *h = ready->slots[(ready->head + i) & ready->mask];
        if (Py_REFCNT(h) > 1 && !(h->flags & HANDLE_TRACKED)) {
            handle_track(h);
        }
    }
}

PyObject *
loop_call_soon_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call_args call;
    if (UNLIKELY(uvolt_args_call(self->st, "call_soon", call_soon_names, 1, args, nargs, kwnames,
                                 &call) < 0)) {
        return NULL;
    }
    self->soon_is_stock |= args == self->soon_probe;
    if (UNLIKELY(self->debug)
        && (loop_check_closed(self) < 0 || loop_debug_check(self, call.args[0], "call_soon", 1) < 0)) {
        return NULL;
    }
    return for_program(self, loop_call_soon(self, call.args[0], call.args + 1, call.nargs - 1, call.context));
}

PyObject *
loop_call_soon_threadsafe(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call_args call;
    if (uvolt_args_call(self->st, "call_soon_threadsafe", call_soon_names, 1, args, nargs, kwnames,
                        &call) < 0
        || loop_check_closed(self) < 0) {
        return NULL;
    }
    if (UNLIKELY(self->debug) && loop_debug_check(self, call.args[0], "call_soon_threadsafe", 0) < 0) {
        return NULL;
    }
    return for_program(self, loop_call_soon(self, call.args[0], call.args + 1, call.nargs - 1, call.context));
}

int
loop_drain(LoopObject *loop, size_t batch)
{
    ring *ready = &loop->ready;
    size_t next = ready->count - batch; /* what stream callbacks have queued */
    uint64_t number = ++loop->batches;
    loop->since_poll += batch;
    while (batch-- > 0 && ready->count > 0) { /* a callback that runs the loop takes some of them */
        HandleObject *h = ring_pop(ready);
        int rc = handle_run(h);
        handle_leave_ring(h);
        if (UNLIKELY(rc < 0)) {
            loop->deferred = next > 0;
            return -1;
        }
    }
    if (next > 0 && loop->batches == number) { /* behind what this batch has queued */
        loop->deferred = 1;
        while (next-- > 0 && ready->count > 0) { /* a callback may have taken them, by loop._ready */
            (void)ring_push(ready, ring_pop(ready)); /* there is room */
        }
    }
    ring_trim(ready);
    return 0;
}
