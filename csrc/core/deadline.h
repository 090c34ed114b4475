/* deadline.h - points in time for users in C: a member of their struct, no object, no handle.
 *
 * All deadlines of a loop lie in one heap behind one uv timer, which is armed for the nearest when that is set and
 * not moved when it is cleared: setting and clearing one costs two heap operations and no system call. They are
 * looked at between the poll and the callbacks of an iteration, so `expired` may do what a callback may. A loop
 * that closes forgets them. */
#ifndef UVOLT_CORE_DEADLINE_H
#define UVOLT_CORE_DEADLINE_H

#include "base/heap.h"
#include "core/clock.h"
#include "core/loop.h"

typedef struct deadline deadline;

struct deadline {
    heap_node node;                  /* node.when: seconds, as clock_now() has them */
    void (*expired)(deadline *self); /* it is not set any more. Takes exceptions itself. PYCALL */
};

static inline void
deadline_init(deadline *d, void (*expired)(deadline *))
{
    d->node.index = HEAP_OUT;
    d->expired = expired;
}

static inline int
deadline_is_set(const deadline *d)
{
    return d->node.index != HEAP_OUT;
}

/* Expire at `when`; one that is set is moved. The owner keeps `d` where it is and clears it before it goes. 0, or
 * -1 with MemoryError and `d` not set. */
int deadline_set(LoopObject *loop, deadline *d, double when);
void deadline_clear(LoopObject *loop, deadline *d); /* also if it is not set */

static inline int
deadline_set_in(LoopObject *loop, deadline *d, double seconds)
{
    return deadline_set(loop, d, clock_now() + seconds);
}

/* ---- for run.c and loop.c ------------------------------------------------------------------ */

int deadlines_open(LoopObject *loop);   /* 0 or a negative uv code */
void deadlines_run(LoopObject *loop);   /* those that are due. PYCALL */
void deadlines_forget(LoopObject *loop);

#endif
