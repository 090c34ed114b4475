/* handle.h - Handle and TimerHandle: a callback with its arguments and context. */
#ifndef UVOLT_CORE_HANDLE_H
#define UVOLT_CORE_HANDLE_H

#include "core/loop.h"

#define HANDLE_INLINE_ARGS 3

enum {
    HANDLE_CANCELLED = 1,
    HANDLE_RUNNING = 2,   /* the callback is being called: cancel() must leave its arguments alone */
    HANDLE_TUPLE = 4,     /* args[0] is a tuple with all arguments */
    HANDLE_TIMER = 8,
    HANDLE_HIDDEN = 16,   /* cancelled: Python sees no callback and no arguments any more */
    HANDLE_FOREIGN = 32,  /* runs a handle that is not ours; the callback is a method bound to it */
    HANDLE_TRACKED = 64,  /* the collector knows it */
    HANDLE_INTEGER = 128, /* call_at() was given an int, and that is what when() is */
};

struct HandleObject {
    PyObject_HEAD
    LoopObject *loop;           /* strong */
    PyObject *callback;         /* strong; NULL once cancelled */
    PyObject *context;          /* strong */
    PyObject *source_traceback; /* strong; debug mode only */
    PyObject *repr;             /* strong; debug mode: the text it had when it was cancelled */
    PyObject *weakrefs;
    uint32_t flags;
    uint32_t nargs;
    PyObject *slot;             /* room in front of args for PY_VECTORCALL_ARGUMENTS_OFFSET */
    PyObject *args[HANDLE_INLINE_ARGS]; /* strong */
};

typedef struct TimerObject {
    HandleObject handle;
    heap_node node;
} TimerObject;

extern PyType_Spec handle_spec, timer_spec;

/* New reference, or NULL. `context` may be NULL: a copy of the current one. */
HandleObject *handle_new(LoopObject *loop, PyObject *callback, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *context);
/* The same for the ready ring. The collector sees it only through the loop: a thousand callbacks that are ready would
 * cost more by its looking at each of them, once or twice, than by being made and called. */
HandleObject *handle_new_ready(LoopObject *loop, PyObject *callback, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *context);
TimerObject *timer_new(LoopObject *loop, double when, PyObject *callback, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *context);

void handle_track(HandleObject *h);

/* The ring's reference goes. What somebody else has kept, the collector must know. PYCALL: finalizers. */
static inline void
handle_leave_ring(HandleObject *h)
{
    if (Py_REFCNT(h) > 1 && !(h->flags & HANDLE_TRACKED)) {
        handle_track(h);
    }
    Py_DECREF(h);
}

/* For the loop's tp_traverse: a handle of a ring, and what it holds if only the ring has it. */
int handle_visit(HandleObject *h, visitproc visit, void *arg);

/* Call it. 0, or -1 with an exception that must leave the loop. PYCALL. */
int handle_run(HandleObject *h);

/* Never fails, runs no Python code in normal mode; drops callback and arguments. PYCALL in debug. */
void handle_cancel(HandleObject *h);

static inline int
handle_is_cancelled(const HandleObject *h)
{
    return (h->flags & HANDLE_CANCELLED) != 0;
}

#endif
