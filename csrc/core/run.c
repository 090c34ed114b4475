/* run.c - one iteration after another: the poll, then the ready callbacks; and the GIL around the poll.
 *
 * The order of callbacks is asyncio's: what was queued before the poll, then the add_reader handles it
 * found, then the timers that are due, all in one batch; what those queue comes in the next one. Only stream
 * callbacks (data_received and its kin) run earlier, inside the poll; what they queue comes in the next batch,
 * too, or in this one if there is nothing else in it.
 *
 * The GIL is held for the whole iteration. Only a poll that may block gives it back, in the prepare
 * callback, the last thing libuv runs before epoll_wait; the first callback after it takes it again
 * (loop_enter). A poll of an idle moment while callbacks wait is skipped after a few that found nothing.
 * Owns:    loop->raised. Threads: the loop's; loop_wake() from any with the GIL. PYCALL: loop_run(). */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/deadline.h"
#include "core/handle.h"
#include "core/loop.h"

#define POLLS_BEFORE_SKIPPING 8   /* empty polls in a row before any is skipped */
#define CALLBACKS_PER_POLL 64     /* then: at most so many callbacks between two polls */
#define LONGEST_POLL_MS 86400000  /* a day, asyncio's MAXIMUM_SELECT_TIMEOUT */

/* ---- the poll ------------------------------------------------------------------------------ */

static void
arm_timer(LoopObject *loop)
{
    heap_node *top = heap_top(&loop->timers);
    double first = top == NULL ? HUGE_VAL : top->when + loop->behind;
    double when = first > loop->poll_until ? loop->poll_until : first;
    if (when == HUGE_VAL) {
        if (loop->timer_is_armed) {
            uv_timer_stop(&loop->timer);
            loop->timer_is_armed = 0;
        }
        return;
    }
    if (loop->timer_is_armed && loop->timer_armed == when) {
        return;
    }
    double ms = ceil((when - clock_now()) * 1e3);
    uint64_t timeout = !(ms > 0) ? 0 : ms >= LONGEST_POLL_MS ? LONGEST_POLL_MS : (uint64_t)ms;
    uv_timer_start(&loop->timer, loop->timer.timer_cb, timeout, 0);
    loop->timer_armed = when;
    loop->timer_is_armed = 1;
}

/* The last callback before epoll_wait. */
static void
on_prepare(uv_prepare_t *handle)
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, prepare);
    if (!loop->will_block) {
        return;
    }
    /* A callback of this iteration queued work, or libuv (before 1.45) found a timer due before the poll: do not sleep. */
    if (loop->ready.count > 0 || loop->stopping || loop->raised != NULL || loop->deadlines_due) {
        uv_stop(&loop->uv);
        return;
    }
    arm_timer(loop);
    loop->in_poll = 1;
    loop->released = PyEval_SaveThread();
}

COLD void
loop_reacquire(LoopObject *loop)
{
    PyThreadState *tstate = loop->released;
    PyEval_RestoreThread(tstate);
    loop->released = NULL;
    loop->in_poll = 0;
    loop->came_asleep = loop->ready.count;
}

static void
on_timer(uv_timer_t *handle)
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, timer);
    loop_enter(loop);
    loop->timer_is_armed = 0; /* the heap is looked at after the poll */
}

/* An eventfd of our own and not a uv_async_t: libuv 1.44 spins in the woken thread until uv_async_send()
 * has returned in the other one, which on a busy core costs a time slice (24 us a wake-up against 18). */
static void
on_wake(uv_poll_t *handle, int Py_UNUSED(status), int Py_UNUSED(events))
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, wake);
    uint64_t count;
    loop_enter(loop);
    ssize_t n = read(loop->wake_fd, &count, sizeof(count));
    (void)n; /* nothing to read: a wake-up that was consumed already */
    loop->wake_sent = 0;
}

void
loop_wake(LoopObject *loop)
{
    if (loop->in_poll && !loop->wake_sent) {
        uint64_t one = 1;
        loop->wake_sent = 1;
        ssize_t n = write(loop->wake_fd, &one, sizeof(one));
        (void)n; /* full: it is readable, which is all we want */
    }
}

static int
open_wake(LoopObject *loop)
{
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) {
        return -errno;
    }
    int err = uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd);
    return err < 0 ? err : uv_poll_start(&loop->wake, UV_READABLE, on_wake);
}

/* A forked child: an eventfd of its own under the old number. */
static int
wake_after_fork(LoopObject *loop)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = fd < 0 || dup3(fd, loop->wake_fd, O_CLOEXEC) < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    loop->wake_sent = 0;
    return err;
}

/* A byte that the kernel makes 0 in a forked child: tells without a system call. NULL: none to be had. */
static volatile char *
map_fork_mark(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    if (madvise(page, size, MADV_WIPEONFORK) < 0) {
        munmap(page, size);
        return NULL;
    }
    *(volatile char *)page = 1;
    return page;
}

void
loop_unmap_fork_mark(LoopObject *loop)
{
    if (loop->fork_mark != NULL) {
        munmap((void *)loop->fork_mark, (size_t)sysconf(_SC_PAGESIZE));
        loop->fork_mark = NULL;
    }
}

int
loop_init_handles(LoopObject *loop)
{
    loop->pid = getpid();
    loop->fork_mark = map_fork_mark();
    loop->poll_until = HUGE_VAL;
    int err = uv_prepare_init(&loop->uv, &loop->prepare);
    if (err == 0) {
        err = uv_prepare_start(&loop->prepare, on_prepare);
    }
    if (err == 0) {
        err = uv_timer_init(&loop->uv, &loop->timer);
        loop->timer.timer_cb = on_timer;
    }
    if (err == 0) {
        err = deadlines_open(loop);
    }
    if (err == 0) {
        err = open_wake(loop);
    }
    return err;
}

int
loop_own_process(LoopObject *loop)
{
    if (LIKELY(loop->fork_mark != NULL && *loop->fork_mark)) {
        return 0;
    }
    pid_t pid = getpid();
    if (pid == loop->pid) {
        return 0;
    }
    int err = fdpoll_after_fork(loop);
    if (err == 0) {
        err = wake_after_fork(loop);
    }
    if (err == 0) {
        err = uv_loop_fork(&loop->uv);
    }
    if (err == 0) {
        loop->pid = pid;
        if (loop->fork_mark != NULL) {
            *loop->fork_mark = 1;
        }
    }
    return err;
}

/* While callbacks wait, is it time to look for events? Polls that keep finding nothing grow rare, up
 * to one in CALLBACKS_PER_POLL callbacks; any event makes every iteration poll again. */
static inline int
poll_is_due(LoopObject *loop)
{
    return loop->empty_polls < POLLS_BEFORE_SKIPPING || loop->since_poll >= CALLBACKS_PER_POLL
           || loop->stopping;
}

static COLD void
check_touched(LoopObject *loop)
{
    while (!list_empty(&loop->touched)) {
        loop_owned *owned = CONTAINER_OF(loop->touched.next, loop_owned, touched);
        list_remove(&owned->touched);
        owned->check(owned);
    }
}

static void
run_uv(LoopObject *loop, int block)
{
    if (UNLIKELY(loop->left_fd >= 0)) {
        fdpoll_settle(loop);
    }
    loop->since_poll = 0;
    loop->polled = 0;
    loop->came_asleep = 0;
    loop->polls++;
    loop->will_block = (char)block;
    loop->polling = 1;
    uv_run(&loop->uv, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    loop->polling = 0;
    loop->will_block = 0;
    if (loop->released != NULL) {
        loop_reacquire(loop);
    }
}

static void
poll_events(LoopObject *loop)
{
    int idle = loop->ready.count == 0 && !loop->stopping;
    if (!idle && !poll_is_due(loop)) {
        return;
    }
    if (UNLIKELY(!list_empty(&loop->touched))) {
        check_touched(loop);
        idle = loop->ready.count == 0 && !loop->stopping;
    }
    run_uv(loop, idle);
    loop->empty_polls = idle || loop->polled ? 0 : loop->empty_polls + 1;
}

/* ---- errors -------------------------------------------------------------------------------- */

COLD void
loop_error(LoopObject *loop, const char *message, PyObject *transport, PyObject *protocol)
{
    if (!uvolt_error_is_fatal()) {
        PyObject *exc = PyErr_GetRaisedException();
        PyObject *r = PyObject_CallMethod(loop->st->support, "report", "OsOOO", (PyObject *)loop,
                                          message, exc, transport ? transport : Py_None,
                                          protocol ? protocol : Py_None);
        Py_XDECREF(exc);
        if (r != NULL) {
            Py_DECREF(r);
            return;
        }
        if (!uvolt_error_is_fatal()) {
            PyErr_WriteUnraisable((PyObject *)loop);
            return;
        }
    }
    Py_XSETREF(loop->raised, PyErr_GetRaisedException());
    uv_stop(&loop->uv);
}

/* ---- run ----------------------------------------------------------------------------------- */

static int
iterate(LoopObject *loop)
{
    if (UNLIKELY(loop->own_clock)) {
        loop_compare_clocks(loop);
    }
    size_t waiting = loop->ready.count;
    if (UNLIKELY(loop->deferred)) { /* it goes before the next stream callback: a poll would call that first */
        loop->deferred = 0;
        loop->came_asleep = 0;
    }
    else {
        poll_events(loop);
    }
    if (loop->timers.count > 0) {
        loop_take_timers(loop);
    }
    if (UNLIKELY(loop->deadlines_due)) {
        deadlines_run(loop);
    }
    size_t batch = loop_queue_due(loop, waiting);
    return UNLIKELY(loop_raise_kept(loop) < 0) ? -1 : loop_drain(loop, batch);
}

/* May this thread poll now? 0, or -1 with an exception. */
static int
check_can_poll(LoopObject *loop)
{
    if (loop_check_closed(loop) < 0) {
        return -1;
    }
    if (loop->polling) { /* uv_run() cannot be entered again, and other threads may not touch it */
        PyErr_SetString(PyExc_RuntimeError, "This event loop is polling: what a transport calls "
                                            "during the poll cannot run the loop");
        return -1;
    }
    int err = loop_own_process(loop);
    if (err < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    return 0;
}

static void
stop_running(LoopObject *loop, char before)
{
    loop->running = before;
    if (!before) {
        loop_track_ready(loop);
    }
}

/* _run(): iterate until stop(). The Python method run_forever() sets the scene around it. */
PyObject *
loop_run(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    int rc;
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "This event loop is already running");
        return NULL;
    }
    if (check_can_poll(self) < 0 || loop_look_at_clock(self) < 0) {
        return NULL;
    }
    self->running = 1;
    self->empty_polls = 0;
    do {
        rc = iterate(self);
    } while (rc == 0 && !self->stopping);
    stop_running(self, 0);
    self->stopping = 0;
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* _run_once(): an iteration by itself, also from within one, for programs that run the loop by hand. */
PyObject *
loop_run_once(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    char running = self->running;
    if (check_can_poll(self) < 0) {
        return NULL;
    }
    self->running = 1;
    int rc = iterate(self);
    stop_running(self, running);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* _poll(timeout): what asyncio's selector.select(timeout) is to its loop. The add_reader handles it finds
 * are queued; timers that are due are the caller's business. */
PyObject *
loop_poll(PyObject *op, PyObject *timeout)
{
    LoopObject *self = (LoopObject *)op;
    double seconds = timeout == Py_None ? HUGE_VAL : PyFloat_AsDouble(timeout);
    char running = self->running;
    if ((seconds == -1.0 && PyErr_Occurred()) || check_can_poll(self) < 0) {
        return NULL;
    }
    self->running = 1;
    size_t waiting = self->ready.count;
    check_touched(self);
    self->poll_until = seconds > 0 ? clock_now() + seconds : 0; /* NaN: at once */
    run_uv(self, seconds > 0);
    self->poll_until = HUGE_VAL;
    if (self->deadlines_due) {
        deadlines_run(self);
    }
    loop_queue_due(self, waiting);
    stop_running(self, running);
    if (loop_raise_kept(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
