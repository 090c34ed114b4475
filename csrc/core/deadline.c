/* deadline.c - the heap of C deadlines of a loop, and its timer; see deadline.h.
 * Owns:    loop->deadlines (borrowed nodes), loop->deadline_timer.
 * Threads: the loop's. PYCALL: deadlines_run(). */
#include "core/deadline.h"

#include <math.h>

#define LONGEST_MS 86400000 /* a day: then it is looked at again */

static void
on_timer(uv_timer_t *handle)
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, deadline_timer);
    loop_enter(loop);
    loop->deadline_armed = HUGE_VAL;
    loop->deadlines_due = 1; /* run after the poll */
}

int
deadlines_open(LoopObject *loop)
{
    loop->deadline_armed = HUGE_VAL;
    int err = uv_timer_init(&loop->uv, &loop->deadline_timer);
    loop->deadline_timer.timer_cb = on_timer;
    return err;
}

/* Not later than `when`. An earlier one that is of no use any more only wakes the loop once in vain. */
static void
arm(LoopObject *loop, double when, double now)
{
    if (when >= loop->deadline_armed || !loop->uv_open) {
        return;
    }
    if (UNLIKELY(loop->in_poll)) { /* another thread: see loop_touch_later() */
        loop->deadlines_due = 1;
        loop_wake(loop);
        return;
    }
    double ms = ceil((when - now) * 1e3);
    uint64_t timeout = ms <= 0 ? 0 : ms >= LONGEST_MS ? LONGEST_MS : (uint64_t)ms;
    uv_timer_start(&loop->deadline_timer, on_timer, timeout, 0);
    loop->deadline_armed = when;
}

int
deadline_set(LoopObject *loop, deadline *d, double when)
{
    deadline_clear(loop, d);
    d->node.when = when;
    d->node.seq = loop->timer_seq++;
    if (UNLIKELY(heap_insert(&loop->deadlines, &d->node) < 0)) {
        PyErr_NoMemory();
        return -1;
    }
    if (UNLIKELY(when < loop->deadline_armed)) {
        arm(loop, when, clock_now());
    }
    return 0;
}

void
deadline_clear(LoopObject *loop, deadline *d)
{
    if (deadline_is_set(d)) {
        heap_remove(&loop->deadlines, &d->node);
    }
}

void
deadlines_run(LoopObject *loop)
{
    loop->deadlines_due = 0;
    double now = clock_now();
    uint64_t last = loop->timer_seq; /* what is set meanwhile waits for the next time */
    heap_node *top;
    while ((top = heap_top(&loop->deadlines)) != NULL && top->when <= now && top->seq < last
           && loop->raised == NULL) {
        deadline *d = CONTAINER_OF(top, deadline, node);
        heap_remove(&loop->deadlines, top);
        d->expired(d);
    }
    if (top != NULL) {
        arm(loop, top->when, now);
    }
}

void
deadlines_forget(LoopObject *loop)
{
    heap_node *top;
    while ((top = heap_top(&loop->deadlines)) != NULL) {
        heap_remove(&loop->deadlines, top);
    }
}
