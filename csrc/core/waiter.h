/* waiter.h - a future that one coroutine in C waits with, used again after the wait.
 *
 * To make an asyncio.Future, to resolve it and to free it costs 2,300 instructions, a third of an echo by sock_recv().
 * So the wait of a C Task ends without that: its callback is taken out of the future, which stays pending, and is
 * scheduled with another future that is done for ever. Only where all is as expected: CPython's own Future and Task,
 * nobody else has the future, no debug mode. Otherwise set_result(), and a new future next time. */
#ifndef UVOLT_CORE_WAITER_H
#define UVOLT_CORE_WAITER_H

#include "core/loop.h"

typedef struct waiter {
    PyObject *future;   /* strong, NULL if there is no wait */
    PyObject *iterator; /* strong: its __await__(); what the coroutine's step is sent to */
    char detached;      /* the caller is scheduled, though the future is pending */
} waiter;

static inline void
waiter_init(waiter *w)
{
    w->future = w->iterator = NULL;
    w->detached = 0;
}

static inline void
waiter_clear(waiter *w)
{
    w->detached = 0;
    Py_CLEAR(w->future);
    Py_CLEAR(w->iterator);
}

static inline int
waiter_visit(const waiter *w, visitproc visit, void *arg)
{
    Py_VISIT(w->future);
    Py_VISIT(w->iterator);
    return 0;
}

/* Begin a wait: what a send to w->iterator gives is to be yielded. 0, or -1 with an exception. PYCALL. */
int waiter_start(waiter *w, LoopObject *loop);

/* End it; `keep`: the future may be left pending, so that a caller who is cancelled between now and its step gets
 * CancelledError there at once. 0, or -1 with an exception. PYCALL. */
int waiter_wake(waiter *w, LoopObject *loop, int keep);

/* The first thing in the step after it: 1 if the wait is over, 0 if w->iterator is to be asked (it was woken by
 * set_result(), cancelled, or not woken at all), -1 with an exception. PYCALL. */
int waiter_take(waiter *w, LoopObject *loop);

int waiter_setup(core_state *st);        /* 0 or -1 */
void waiter_forget(LoopObject *loop);    /* the futures that the loop keeps */
int waiter_traverse(LoopObject *loop, visitproc visit, void *arg);

#endif
