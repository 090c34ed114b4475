/* fdpoll.c - the epoll set of descriptors that are not ours: of add_reader, of sock_*, of C watchers.
 *
 * They live in an epoll set of their own, which libuv watches as one descriptor. uv_poll_t would not do:
 * uv_poll_init() makes the descriptor non-blocking for everybody who shares it, registration happens only
 * at the next poll, and a descriptor that was closed by then makes libuv abort(). Here epoll_ctl runs at
 * once and its error goes to the caller.
 * The read interest of a socket that sock_recv() waited for stays in the set between waits, as long as that
 * socket object lives and no event comes that nobody waits for.
 * Owns:    loop->epfd, loop->fds and the watchers in it (strong).
 * Threads: the loop's. PYCALL: on_nested() through C watchers and futures. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/handle.h"
#include "core/loop.h"
#include "core/sock.h"

#define EVENTS_PER_POLL 256
#define FUTILE_TRIES 8 /* reads in a row that found nothing, before some are not tried */
#define LAST_SKIP 24   /* ... 16 of them, then one is */
#define RETURNS_SEEN 4 /* times that a reader was added again, before removing it is put off */
#define STALE_POLLS 2 /* polls in a row with an event of a closed descriptor before the set is made anew */

static inline PyObject **
slot_of(LoopObject *loop, int fd, int write)
{
    return write ? &loop->fds[fd].writer : &loop->fds[fd].reader;
}

static inline uint32_t
bit_of(int write)
{
    return write ? EPOLLOUT : EPOLLIN;
}

static inline int
is_sockop(LoopObject *loop, PyObject *watcher)
{
    return Py_TYPE(watcher) == loop->st->sockop_type;
}

/* A watcher that was replaced, removed, or whose descriptor is known to be closed. A handle is cancelled. A
 * call of sock_* goes on waiting for ever, as on asyncio, but if its descriptor is gone it is told. */
static void
let_go(LoopObject *loop, PyObject *watcher, int closed)
{
    if (watcher == NULL) {
        return;
    }
    if (!is_sockop(loop, watcher)) {
        handle_cancel((HandleObject *)watcher);
    }
    else if (closed) {
        sockop_wake(watcher);
    }
    Py_DECREF(watcher);
}

/* ---- the set ------------------------------------------------------------------------------- */

static void on_nested(uv_poll_t *handle, int status, int uv_events);

/* 0 or -errno. */
static int
open_set(LoopObject *loop)
{
    if (!loop->uv_open) {
        return -ECANCELED; /* closed by what the caller ran */
    }
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0) {
        return -errno;
    }
    int err = uv_poll_init(&loop->uv, &loop->nested, epfd);
    if (err < 0) {
        close(epfd);
        return err;
    }
    loop->epfd = epfd;
    loop->st->c_uv_handles_opened++;
    return uv_poll_start(&loop->nested, UV_READABLE, on_nested);
}

/* Make room for `fd` in a table of `*room` members, all NULL or 0 at first. The table, or NULL with -errno in
 * `*err`; it never grows for a number that is no descriptor. */
static void *
grow_for(void *table, size_t *room, size_t size, int fd, int *err)
{
    *err = fcntl(fd, F_GETFD) < 0 ? -errno : 0;
    size_t n = *room ? *room : 64;
    while (n <= (size_t)fd) {
        n *= 2;
    }
    char *grown = *err < 0 ? NULL : realloc(table, n * size);
    if (grown == NULL) {
        *err = *err < 0 ? *err : -ENOMEM;
        return NULL;
    }
    memset(grown + *room * size, 0, (n - *room) * size);
    *room = n;
    return grown;
}

static int
room_to_watch(LoopObject *loop, int fd)
{
    int err = 0;
    if ((size_t)fd >= loop->nfds) {
        fd_entry *fds = grow_for(loop->fds, &loop->nfds, sizeof(*fds), fd, &err);
        loop->fds = fds != NULL ? fds : loop->fds;
    }
    return err;
}

static int
room_to_claim(LoopObject *loop, int fd)
{
    int err = 0;
    if ((size_t)fd >= loop->nclaims) {
        PyObject **claims = grow_for(loop->claims, &loop->nclaims, sizeof(*claims), fd, &err);
        loop->claims = claims != NULL ? claims : loop->claims;
    }
    return err;
}

/* ---- what epoll knows ---------------------------------------------------------------------- */

/* 0 or -errno. `gen` comes back with the events: those of an earlier user of the number are told apart. */
static int
tell_epoll(LoopObject *loop, int op, int fd, uint32_t mask, uint32_t gen)
{
    struct epoll_event ev = {.events = mask, .data.u64 = (uint64_t)gen << 32 | (uint32_t)fd};
    if (epoll_ctl(loop->epfd, op, fd, &ev) < 0) {
        return -errno;
    }
    loop->fds[fd].mask = mask;
    loop->fds[fd].gen = gen;
    return 0;
}

/* Stop watching some directions. 0, or -errno: the descriptor was closed, there is nothing to forget. */
static int
clear_mask(LoopObject *loop, int fd, uint32_t bits)
{
    fd_entry *entry = &loop->fds[fd];
    uint32_t mask = entry->mask & ~bits, gen = mask != 0 ? entry->gen : 0;
    if (entry->mask == mask || loop_own_process(loop) < 0) {
        return 0;
    }
    int err = tell_epoll(loop, mask ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, mask, gen);
    if (err < 0) {
        entry->mask = mask;
        entry->gen = gen;
    }
    return err;
}

/* The descriptor under this number is not the one that was watched: its watchers wait for nobody. */
static COLD void
drop_stale(LoopObject *loop, int fd)
{
    fd_entry *entry = &loop->fds[fd];
    PyObject *reader = entry->reader, *writer = entry->writer;
    entry->reader = entry->writer = NULL;
    entry->mask = entry->gen = 0;
    entry->drained = 0;
    Py_CLEAR(entry->sock);
    let_go(loop, reader, 1);
    let_go(loop, writer, 1);
}

/* Tell epoll of one more direction. The kernel forgets a descriptor when it is closed, and its number
 * may be in use again, so what we believe is registered is only a hint. 0 or -errno. */
static int
add_mask(LoopObject *loop, int fd, uint32_t bits)
{
    uint32_t mask = loop->fds[fd].mask | bits;
    int err = loop_own_process(loop);
    if (err < 0 || (loop->epfd < 0 && (err = open_set(loop)) < 0)) {
        return err;
    }
    if (loop->fds[fd].mask != 0) {
        err = tell_epoll(loop, EPOLL_CTL_MOD, fd, mask, loop->fds[fd].gen);
        if (err != -ENOENT) {
            return err;
        }
        drop_stale(loop, fd);
        mask = bits;
    }
    if (++loop->generation == 0) {
        loop->generation = 1; /* 0 is: not in the set */
    }
    uint32_t gen = loop->generation;
    err = tell_epoll(loop, EPOLL_CTL_ADD, fd, mask, gen);
    return err == -EEXIST ? tell_epoll(loop, EPOLL_CTL_MOD, fd, mask, gen) : err;
}

/* ---- events -------------------------------------------------------------------------------- */

/* Nobody waits for what epoll reports, level-triggered: it would report it again at once. */
static COLD void
drop_interest(LoopObject *loop, int fd, int write)
{
    if (!write) {
        Py_CLEAR(loop->fds[fd].sock);
        loop->fds[fd].drained = 0;
    }
    if (clear_mask(loop, fd, bit_of(write)) < 0) {
        loop->stale_event = 1; /* the number was closed, a duplicate of the descriptor was not */
    }
}

static void
serve_sockop(LoopObject *loop, int fd, int write, PyObject *op)
{
    Py_INCREF(op); /* while it sends from a file, other threads run */
    if (sockop_ready(op)) {
        fdpoll_forget(loop, fd, write, op);
        sockop_wake(op);
    }
    Py_DECREF(op);
}

static void
serve(LoopObject *loop, int fd, int write)
{
    PyObject *watcher = *slot_of(loop, fd, write);
    if (watcher == NULL) {
        drop_interest(loop, fd, write);
    }
    else if (is_sockop(loop, watcher)) {
        serve_sockop(loop, fd, write, watcher);
    }
    else if (UNLIKELY(handle_is_cancelled((HandleObject *)watcher))) {
        *slot_of(loop, fd, write) = NULL;
        drop_interest(loop, fd, write);
        Py_DECREF(watcher);
    }
    else {
        loop_push_due(loop, (HandleObject *)watcher);
    }
}

static void
dispatch(LoopObject *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    uint32_t gen = (uint32_t)(event->data.u64 >> 32), events = event->events;
    if (UNLIKELY(loop->fds[fd].gen != gen)) { /* the table never shrinks */
        loop->stale_event = 1;
        return;
    }
    if (loop->fds[fd].callback != NULL) {
        loop->fds[fd].callback(loop, fd, events, loop->fds[fd].arg);
        loop->soon_is_stock = 0; /* it may have run anything */
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        serve(loop, fd, 0);
    }
    if (events & ~(uint32_t)EPOLLIN && loop->fds[fd].gen == gen) {
        serve(loop, fd, 1);
    }
}

/* Tell a new set under the old number of all that is watched. 0 or -errno. */
static int
fill_new_set(LoopObject *loop)
{
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0) {
        return -errno;
    }
    int err = dup3(epfd, loop->epfd, O_CLOEXEC) < 0 ? -errno : 0;
    close(epfd);
    for (size_t fd = 0; err == 0 && fd < loop->nfds; fd++) {
        fd_entry *entry = &loop->fds[fd];
        if (entry->mask != 0 && tell_epoll(loop, EPOLL_CTL_ADD, (int)fd, entry->mask, entry->gen) < 0) {
            entry->mask = entry->gen = 0; /* closed meanwhile */
        }
    }
    return err;
}

/* A descriptor was closed while it was watched, and lives on as a duplicate, in a forked child maybe. Its
 * events come for ever, and nobody can tell epoll to forget it: the key is the number that was closed. */
static COLD void
leave_stale_behind(LoopObject *loop)
{
    uv_poll_stop(&loop->nested);
    if (fill_new_set(loop) == 0) { /* otherwise, without a descriptor to spare, again after the next poll */
        loop->stale_polls = 0;
    }
    uv_poll_start(&loop->nested, UV_READABLE, on_nested);
}

static void
on_nested(uv_poll_t *handle, int Py_UNUSED(status), int Py_UNUSED(uv_events))
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, nested);
    struct epoll_event events[EVENTS_PER_POLL];
    loop_enter(loop);
    loop->stale_event = loop->soon_is_stock = 0;
    int n = epoll_wait(loop->epfd, events, EVENTS_PER_POLL, 0);
    for (int i = 0; i < n && loop->raised == NULL; i++) {
        dispatch(loop, &events[i]);
    }
    loop->soon_is_stock = 0;
    if (LIKELY(!loop->stale_event)) { /* one alone is of a descriptor that this batch has closed */
        loop->stale_polls = 0;
    }
    else if (++loop->stale_polls >= STALE_POLLS) {
        leave_stale_behind(loop);
    }
}

static void
on_nested_closed(uv_handle_t *handle)
{
    LoopObject *loop = CONTAINER_OF((uv_poll_t *)handle, LoopObject, nested);
    loop->st->c_uv_handles_closed++;
}

/* ---- watchers: Handles and calls of sock_* -------------------------------------------------- */

/* Does a C watcher have this descriptor? One whose descriptor was closed is dropped: the number belongs
 * to somebody else now. */
static int
has_c_watcher(LoopObject *loop, int fd)
{
    fd_entry *entry = &loop->fds[fd];
    if (LIKELY(entry->callback == NULL)) {
        return 0;
    }
    if (tell_epoll(loop, EPOLL_CTL_MOD, fd, entry->mask, entry->gen) == 0) {
        return 1;
    }
    fdpoll_unwatch(loop, fd, entry->arg);
    return 0;
}

void
fdpoll_settle(LoopObject *loop)
{
    int fd = loop->left_fd, untold = loop->left_untold;
    loop->left_fd = -1;
    loop->left_untold = 0;
    if (untold && loop->fds[fd].reader == NULL && loop->fds[fd].callback == NULL) {
        loop->fds[fd].returns = 0;
        clear_mask(loop, fd, EPOLLIN);
    }
}

/* Programs that watch for one event at a time remove a reader only to add it again. Where that was seen, epoll is not
 * told before the next poll: one call then, to see whether the number is still the same descriptor's, and not two. */
static void
leave_reader(LoopObject *loop, int fd)
{
    fdpoll_settle(loop);
    loop->left_fd = fd;
    loop->left_untold = loop->fds[fd].returns >= RETURNS_SEEN;
    if (!loop->left_untold) {
        clear_mask(loop, fd, EPOLLIN);
    }
}

static inline void
note_return(LoopObject *loop, int fd)
{
    fd_entry *entry = &loop->fds[fd];
    entry->returns += entry->returns < RETURNS_SEEN;
    loop->left_fd = -1;
    loop->left_untold = 0;
}

int
fdpoll_set(LoopObject *loop, int fd, int write, PyObject *watcher)
{
    int err = room_to_watch(loop, fd);
    if (err == 0 && has_c_watcher(loop, fd)) {
        PyErr_Format(PyExc_RuntimeError, "File descriptor %d is used by a server or the loop itself", fd);
        return -1;
    }
    if (err < 0 || (err = add_mask(loop, fd, bit_of(write))) < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    if (fd == loop->left_fd && !write) {
        note_return(loop, fd);
    }
    PyObject *old = *slot_of(loop, fd, write);
    *slot_of(loop, fd, write) = Py_NewRef(watcher);
    let_go(loop, old, 0);
    return 0;
}

int
fdpoll_unset(LoopObject *loop, int fd, int write)
{
    if (loop->closed || (size_t)fd >= loop->nfds) {
        return 0;
    }
    PyObject *old = *slot_of(loop, fd, write);
    if (old == NULL) {
        return 0;
    }
    *slot_of(loop, fd, write) = NULL;
    if (write) {
        clear_mask(loop, fd, EPOLLOUT);
    }
    else {
        leave_reader(loop, fd);
    }
    let_go(loop, old, 0);
    return 1;
}

static int
is_kept_for(LoopObject *loop, int fd, PyObject *sock)
{
    PyObject *owner = NULL;
    if (loop->fds[fd].sock == NULL || PyWeakref_GetRef(loop->fds[fd].sock, &owner) <= 0) {
        return 0;
    }
    Py_DECREF(owner);
    return owner == sock;
}

int
fdpoll_set_read(LoopObject *loop, int fd, PyObject *op, PyObject *sock)
{
    int known = (size_t)fd < loop->nfds && loop->fds[fd].mask & EPOLLIN && is_kept_for(loop, fd, sock)
                && loop_own_process(loop) == 0;
    if (LIKELY(known)) {
        fd_entry *entry = &loop->fds[fd];
        PyObject *old = entry->reader;
        entry->reader = Py_NewRef(op);
        entry->futile = entry->futile < LAST_SKIP ? entry->futile + 1 : FUTILE_TRIES - 1;
        let_go(loop, old, 0);
        return 0;
    }
    if ((size_t)fd < loop->nfds && loop->fds[fd].sock != NULL && loop->fds[fd].reader == NULL
        && loop->fds[fd].writer == NULL) {
        loop->fds[fd].mask = 0; /* another socket's: most likely closed, and forgotten by epoll */
    }
    PyObject *ref = PyWeakref_NewRef(sock, NULL);
    if (ref == NULL || fdpoll_set(loop, fd, 0, op) < 0) {
        Py_XDECREF(ref);
        return -1;
    }
    Py_XSETREF(loop->fds[fd].sock, ref);
    loop->fds[fd].is_stream = (char)sock_is_stream(loop->st, sock);
    loop->fds[fd].drained = loop->fds[fd].futile = 0;
    return 0;
}

void
fdpoll_forget(LoopObject *loop, int fd, int write, PyObject *op)
{
    if ((size_t)fd >= loop->nfds || *slot_of(loop, fd, write) != op) {
        return;
    }
    *slot_of(loop, fd, write) = NULL;
    if (write) {
        clear_mask(loop, fd, EPOLLOUT);
    }
    Py_DECREF(op);
}

void
fdpoll_note_read(LoopObject *loop, int fd, PyObject *sock, int woken, int is_short)
{
    if ((size_t)fd >= loop->nfds) {
        return;
    }
    fd_entry *entry = &loop->fds[fd];
    if (!woken) {
        entry->futile = 0;
    }
    else if (is_short && entry->is_stream && is_kept_for(loop, fd, sock)) {
        entry->drained = 1;
    }
}

int
fdpoll_is_futile(LoopObject *loop, int fd, PyObject *sock)
{
    if ((size_t)fd >= loop->nfds || !loop->fds[fd].drained) {
        return 0;
    }
    fd_entry *entry = &loop->fds[fd];
    entry->drained = 0;
    return entry->futile >= FUTILE_TRIES && entry->reader == NULL && entry->mask & EPOLLIN
           && is_kept_for(loop, fd, sock);
}

/* Somebody else takes the descriptor over. */
static void
end_keeping(LoopObject *loop, int fd)
{
    fd_entry *entry = &loop->fds[fd];
    if (entry->sock != NULL) {
        Py_CLEAR(entry->sock);
        entry->drained = 0;
        if (entry->reader == NULL) {
            clear_mask(loop, fd, EPOLLIN);
        }
    }
}

/* ---- C watchers and transports ------------------------------------------------------------- */

int
fdpoll_watch(LoopObject *loop, int fd, int write, fd_callback cb, void *arg, PyObject *keeper)
{
    int err = room_to_watch(loop, fd);
    if (err < 0) {
        return err;
    }
    if (has_c_watcher(loop, fd)) {
        return -EEXIST;
    }
    drop_stale(loop, fd); /* handles of a descriptor that was closed: the number is ours now */
    err = add_mask(loop, fd, bit_of(write));
    if (err == 0) { /* the table may have moved: dropping a handle can run Python code */
        loop->fds[fd].callback = cb;
        loop->fds[fd].arg = arg;
        loop->fds[fd].keeper = Py_XNewRef(keeper);
    }
    return err;
}

void
fdpoll_unwatch(LoopObject *loop, int fd, void *arg)
{
    if (fd >= 0 && (size_t)fd < loop->nfds && loop->fds[fd].callback != NULL
        && loop->fds[fd].arg == arg) {
        PyObject *keeper = loop->fds[fd].keeper;
        loop->fds[fd].callback = NULL;
        loop->fds[fd].arg = NULL;
        loop->fds[fd].keeper = NULL;
        clear_mask(loop, fd, EPOLLIN | EPOLLOUT);
        Py_XDECREF(keeper);
    }
}

int
fdpoll_claim(LoopObject *loop, int fd, PyObject *transport)
{
    int err = room_to_claim(loop, fd);
    if (err < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    if ((size_t)fd < loop->nfds) {
        end_keeping(loop, fd);
    }
    loop->claims[fd] = transport;
    return 0;
}

void
fdpoll_release(LoopObject *loop, int fd, PyObject *transport)
{
    if (fdpoll_claimant(loop, fd) == transport) {
        loop->claims[fd] = NULL;
    }
}

/* ---- fork and the end ---------------------------------------------------------------------- */

int
fdpoll_after_fork(LoopObject *loop)
{
    return loop->epfd < 0 ? 0 : fill_new_set(loop);
}

void
fdpoll_close(LoopObject *loop)
{
    loop->left_fd = -1;
    loop->left_untold = 0;
    for (size_t fd = 0; fd < loop->nfds; fd++) {
        fd_entry *entry = &loop->fds[fd];
        PyObject *held[] = {entry->reader, entry->writer, entry->keeper, entry->sock};
        entry->reader = entry->writer = entry->keeper = entry->sock = NULL;
        entry->callback = NULL;
        entry->mask = entry->gen = 0;
        entry->drained = 0;
        for (size_t i = 0; i < Py_ARRAY_LENGTH(held); i++) {
            Py_XDECREF(held[i]);
        }
    }
    if (loop->epfd >= 0) {
        uv_close((uv_handle_t *)&loop->nested, on_nested_closed);
        close(loop->epfd);
        loop->epfd = -1;
    }
}

int
fdpoll_traverse(LoopObject *loop, visitproc visit, void *arg)
{
    for (size_t fd = 0; fd < loop->nfds; fd++) {
        Py_VISIT(loop->fds[fd].reader);
        Py_VISIT(loop->fds[fd].writer);
        Py_VISIT(loop->fds[fd].keeper);
        Py_VISIT(loop->fds[fd].sock);
    }
    return 0;
}
