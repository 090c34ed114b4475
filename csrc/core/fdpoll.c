/* fdpoll.c - add_reader, add_writer and C watchers of descriptors that are not ours.
 *
 * They live in an epoll set of their own, which libuv watches as one descriptor. uv_poll_t would not do:
 * uv_poll_init() makes the descriptor non-blocking for everybody who shares it, registration happens only
 * at the next poll, and a descriptor that was closed by then makes libuv abort(). Here epoll_ctl runs at
 * once and its error goes to the caller.
 * Owns:    loop->epfd, loop->fds and the handles in it (strong).
 * Threads: the loop's. PYCALL: on_nested() through C watchers. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/handle.h"
#include "core/loop.h"
#include "runtime/args.h"

#define EVENTS_PER_POLL 256

/* ---- the set ------------------------------------------------------------------------------- */

static void
queue_handle(LoopObject *loop, HandleObject *h)
{
    if (h != NULL && !handle_is_cancelled(h) && ring_push(&loop->due, h) == 0) {
        Py_INCREF(h);
    } /* no memory: the event is level-triggered and comes again */
}

static void
dispatch(LoopObject *loop, int fd, uint32_t events)
{
    if ((size_t)fd >= loop->nfds) {
        return;
    }
    fd_entry *entry = &loop->fds[fd];
    if ((events & (entry->mask | EPOLLERR | EPOLLHUP)) == 0) {
        return; /* of a descriptor that was closed by what this batch ran before */
    }
    if (entry->callback != NULL) {
        entry->callback(loop, fd, events, entry->arg);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        queue_handle(loop, entry->reader);
    }
    if (events & ~(uint32_t)EPOLLIN) {
        queue_handle(loop, entry->writer);
    }
}

static void
on_nested(uv_poll_t *handle, int Py_UNUSED(status), int Py_UNUSED(uv_events))
{
    LoopObject *loop = CONTAINER_OF(handle, LoopObject, nested);
    struct epoll_event events[EVENTS_PER_POLL];
    loop_enter(loop);
    int n = epoll_wait(loop->epfd, events, EVENTS_PER_POLL, 0);
    for (int i = 0; i < n && loop->raised == NULL; i++) {
        dispatch(loop, events[i].data.fd, events[i].events);
    }
}

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

static void
on_nested_closed(uv_handle_t *handle)
{
    LoopObject *loop = CONTAINER_OF((uv_poll_t *)handle, LoopObject, nested);
    loop->st->c_uv_handles_closed++;
}

/* Make room for `fd` in the table. 0 or -errno; it never grows for a number that is no descriptor. */
static int
grow_for(LoopObject *loop, int fd)
{
    if ((size_t)fd < loop->nfds) {
        return 0;
    }
    if (fcntl(fd, F_GETFD) < 0) {
        return -errno;
    }
    size_t n = loop->nfds ? loop->nfds : 64;
    while (n <= (size_t)fd) {
        n *= 2;
    }
    fd_entry *fds = realloc(loop->fds, n * sizeof(*fds));
    if (fds == NULL) {
        return -ENOMEM;
    }
    memset(fds + loop->nfds, 0, (n - loop->nfds) * sizeof(*fds));
    loop->fds = fds;
    loop->nfds = n;
    return 0;
}

/* The descriptor under this number is not the one that was watched: its handles are for nobody. */
static COLD void
drop_stale(LoopObject *loop, int fd)
{
    HandleObject *reader = loop->fds[fd].reader, *writer = loop->fds[fd].writer;
    loop->fds[fd].reader = loop->fds[fd].writer = NULL;
    loop->fds[fd].mask = 0;
    if (reader != NULL) {
        handle_cancel(reader);
        Py_DECREF(reader);
    }
    if (writer != NULL) {
        handle_cancel(writer);
        Py_DECREF(writer);
    }
}

static void
clear_mask(LoopObject *loop, int fd, uint32_t bits)
{
    fd_entry *entry = &loop->fds[fd];
    uint32_t mask = entry->mask & ~bits;
    struct epoll_event ev = {.events = mask, .data.fd = fd};
    if (entry->mask != mask && loop_own_process(loop) == 0) { /* an error means it was closed: nothing to forget */
        epoll_ctl(loop->epfd, mask ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, &ev);
        entry->mask = mask;
    }
}

/* Tell epoll of one more direction. The kernel forgets a descriptor when it is closed, and its number
 * may be in use again, so what we believe is registered is only a hint. 0 or -errno. */
static int
add_mask(LoopObject *loop, int fd, uint32_t bits)
{
    uint32_t mask = loop->fds[fd].mask | bits;
    struct epoll_event ev = {.events = mask, .data.fd = fd};
    int err = loop_own_process(loop);
    if (err < 0 || (loop->epfd < 0 && (err = open_set(loop)) < 0)) {
        return err;
    }
    if (loop->fds[fd].mask != 0) {
        if (epoll_ctl(loop->epfd, EPOLL_CTL_MOD, fd, &ev) == 0) {
            loop->fds[fd].mask = mask;
            return 0;
        }
        if (errno != ENOENT) {
            return -errno;
        }
        drop_stale(loop, fd);
        ev.events = mask = bits;
    }
    if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0
        && (errno != EEXIST || epoll_ctl(loop->epfd, EPOLL_CTL_MOD, fd, &ev) < 0)) {
        return -errno;
    }
    loop->fds[fd].mask = mask;
    return 0;
}

/* ---- C watchers and transports ------------------------------------------------------------- */

/* Does a C watcher have this descriptor? One whose descriptor was closed is dropped: the number belongs
 * to somebody else now. */
static int
watcher_is_live(LoopObject *loop, int fd)
{
    struct epoll_event ev = {.events = loop->fds[fd].mask, .data.fd = fd};
    if (loop->fds[fd].callback == NULL) {
        return 0;
    }
    if (epoll_ctl(loop->epfd, EPOLL_CTL_MOD, fd, &ev) == 0) {
        return 1;
    }
    fdpoll_unwatch(loop, fd, loop->fds[fd].arg);
    return 0;
}

int
fdpoll_watch(LoopObject *loop, int fd, fd_callback cb, void *arg, PyObject *keeper)
{
    int err = grow_for(loop, fd);
    if (err < 0) {
        return err;
    }
    if (watcher_is_live(loop, fd)) {
        return -EEXIST;
    }
    drop_stale(loop, fd); /* handles of a descriptor that was closed: the number is ours now */
    err = add_mask(loop, fd, EPOLLIN);
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
        clear_mask(loop, fd, EPOLLIN);
        Py_XDECREF(keeper);
    }
}

static int
raise_in_use(PyObject *fd, PyObject *transport)
{
    PyErr_Format(PyExc_RuntimeError, "File descriptor %R is used by transport %R", fd, transport);
    return -1;
}

int
fdpoll_claim(LoopObject *loop, int fd, PyObject *transport)
{
    int err = grow_for(loop, fd);
    if (err < 0) {
        uvolt_raise_uv(err);
        return -1;
    }
    loop->fds[fd].transport = transport;
    return 0;
}

void
fdpoll_release(LoopObject *loop, int fd, PyObject *transport)
{
    if (fd >= 0 && (size_t)fd < loop->nfds && loop->fds[fd].transport == transport) {
        loop->fds[fd].transport = NULL;
    }
}

/* ---- Python's side ------------------------------------------------------------------------- */

/* Is the descriptor free of transports? `fileobj` is what the caller was given. */
int
fdpoll_check_free(LoopObject *self, int fd, PyObject *fileobj)
{
    if ((size_t)fd < self->nfds && self->fds[fd].transport != NULL) {
        PyObject *transport = Py_NewRef(self->fds[fd].transport);
        PyObject *r = PyObject_CallMethod(transport, "is_closing", NULL);
        int busy = r == NULL ? -1 : PyObject_IsTrue(r) == 0;
        Py_XDECREF(r);
        if (busy > 0) {
            busy = raise_in_use(fileobj, transport);
        }
        Py_DECREF(transport);
        return busy;
    }
    /* transports of asyncio's own Python code register themselves here */
    Py_ssize_t others = self->transports == NULL ? 0 : PyObject_Size(self->transports);
    if (others < 0) {
        return -1;
    }
    if (others > 0) {
        PyObject *r = PyObject_CallMethod(self->st->support, "check_fd_free", "OiO",
                                          self->transports, fd, fileobj);
        Py_XDECREF(r);
        return r == NULL ? -1 : 0;
    }
    return 0;
}

PyObject *
fdpoll_ensure_free(PyObject *op, PyObject *fileobj)
{
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0 || fdpoll_check_free((LoopObject *)op, fd, fileobj) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Add or replace the handle for one direction. New reference to the handle. */
static PyObject *
add(LoopObject *self, int fd, int write, PyObject *const *args, Py_ssize_t nargs)
{
    int err = grow_for(self, fd);
    if (err < 0) {
        return uvolt_raise_uv(err);
    }
    HandleObject *h = handle_new(self, args[0], args + 1, nargs - 1, NULL);
    if (h == NULL) {
        return NULL;
    }
    if (watcher_is_live(self, fd)) {
        Py_DECREF(h);
        return PyErr_Format(PyExc_RuntimeError,
                            "File descriptor %d is used by a server or the loop itself", fd);
    }
    err = add_mask(self, fd, write ? EPOLLOUT : EPOLLIN);
    if (err < 0) {
        Py_DECREF(h);
        return uvolt_raise_uv(err);
    }
    HandleObject **slot = write ? &self->fds[fd].writer : &self->fds[fd].reader;
    HandleObject *old = *slot;
    *slot = (HandleObject *)Py_NewRef((PyObject *)h);
    if (old != NULL) {
        handle_cancel(old);
        Py_DECREF(old);
    }
    return (PyObject *)h;
}

/* 1 if there was a handle, 0 if not. */
static int
discard(LoopObject *self, int fd, int write)
{
    if (self->closed || (size_t)fd >= self->nfds) {
        return 0;
    }
    fd_entry *entry = &self->fds[fd];
    HandleObject **slot = write ? &entry->writer : &entry->reader;
    HandleObject *old = *slot;
    if (old == NULL) {
        return 0;
    }
    *slot = NULL;
    clear_mask(self, fd, write ? EPOLLOUT : EPOLLIN);
    handle_cancel(old);
    Py_DECREF(old);
    return 1;
}

static int
add_arguments(LoopObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", method,
                     nargs == 0 ? "fd" : "callback");
        return -1;
    }
    int fd = uvolt_args_fd(args[0]); /* first: fileno() may do anything */
    return fd < 0 || loop_check_closed(self) < 0 ? -1 : fd;
}

static PyObject *
add_public(PyObject *op, const char *method, int write, PyObject *const *args, Py_ssize_t nargs)
{
    LoopObject *self = (LoopObject *)op;
    int fd = add_arguments(self, method, args, nargs);
    if (fd < 0 || fdpoll_check_free(self, fd, args[0]) < 0 || loop_check_closed(self) < 0) {
        return NULL;
    }
    PyObject *h = add(self, fd, write, args + 1, nargs - 1);
    if (h == NULL) {
        return NULL;
    }
    Py_DECREF(h);
    Py_RETURN_NONE;
}

PyObject *
fdpoll_add_reader(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    return add_public(op, "add_reader", 0, args, nargs);
}

PyObject *
fdpoll_add_writer(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    return add_public(op, "add_writer", 1, args, nargs);
}

PyObject *
fdpoll_add_reader_raw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    int fd = add_arguments((LoopObject *)op, "_add_reader", args, nargs);
    return fd < 0 ? NULL : add((LoopObject *)op, fd, 0, args + 1, nargs - 1);
}

PyObject *
fdpoll_add_writer_raw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    int fd = add_arguments((LoopObject *)op, "_add_writer", args, nargs);
    return fd < 0 ? NULL : add((LoopObject *)op, fd, 1, args + 1, nargs - 1);
}

static PyObject *
remove_handle(PyObject *op, PyObject *fileobj, int write, int public)
{
    LoopObject *self = (LoopObject *)op;
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0 || (public && fdpoll_check_free(self, fd, fileobj) < 0)) {
        return NULL;
    }
    return PyBool_FromLong(discard(self, fd, write));
}

PyObject *
fdpoll_remove_reader(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 0, 1);
}

PyObject *
fdpoll_remove_writer(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 1, 1);
}

PyObject *
fdpoll_remove_reader_raw(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 0, 0);
}

PyObject *
fdpoll_remove_writer_raw(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 1, 0);
}

/* _watched(fd) -> (reader, writer): the handles, or None. */
PyObject *
fdpoll_watched(PyObject *op, PyObject *fileobj)
{
    LoopObject *self = (LoopObject *)op;
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0) {
        return NULL;
    }
    fd_entry none = {0}, *entry = (size_t)fd < self->nfds ? &self->fds[fd] : &none;
    return PyTuple_Pack(2, entry->reader != NULL ? (PyObject *)entry->reader : Py_None,
                        entry->writer != NULL ? (PyObject *)entry->writer : Py_None);
}

/* _watched_fds() -> list of descriptors that have a reader or a writer. */
PyObject *
fdpoll_watched_fds(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    PyObject *list = PyList_New(0);
    for (size_t fd = 0; list != NULL && fd < self->nfds; fd++) {
        if (self->fds[fd].reader != NULL || self->fds[fd].writer != NULL) {
            PyObject *number = PyLong_FromSize_t(fd);
            if (number == NULL || PyList_Append(list, number) < 0) {
                Py_CLEAR(list);
            }
            Py_XDECREF(number);
        }
    }
    return list;
}

/* ---- the signal pipe ----------------------------------------------------------------------- */

/* A byte arrived from signal.set_wakeup_fd: run Python's own handlers (their exceptions leave the
 * loop, as on asyncio), then the loop's. PYCALL. */
static void
on_signal_bytes(LoopObject *loop, int fd, uint32_t Py_UNUSED(events), void *Py_UNUSED(arg))
{
    char buf[512];
    ssize_t n = read(fd, buf, sizeof(buf));
    if (PyErr_CheckSignals() < 0) {
        Py_XSETREF(loop->raised, PyErr_GetRaisedException());
        uv_stop(&loop->uv);
    }
    if (n > 0) {
        PyObject *saved = PyErr_GetRaisedException();
        PyObject *r = PyObject_CallMethod((PyObject *)loop, "_signals_arrived", "y#", buf,
                                          (Py_ssize_t)n);
        if (r == NULL) {
            loop_error(loop, "Error while handling a signal", NULL, NULL);
        }
        Py_XDECREF(r);
        Py_XDECREF(saved);
    }
}

PyObject *
fdpoll_watch_signals(PyObject *op, PyObject *fd_object)
{
    int fd = uvolt_args_fd(fd_object);
    if (fd < 0 || loop_check_closed((LoopObject *)op) < 0) {
        return NULL;
    }
    int err = fdpoll_watch((LoopObject *)op, fd, on_signal_bytes, NULL, NULL);
    if (err < 0) {
        return uvolt_raise_uv(err);
    }
    Py_RETURN_NONE;
}

PyObject *
fdpoll_unwatch_signals(PyObject *op, PyObject *fd_object)
{
    int fd = uvolt_args_fd(fd_object);
    if (fd < 0) {
        return NULL;
    }
    fdpoll_unwatch((LoopObject *)op, fd, NULL);
    Py_RETURN_NONE;
}

/* ---- fork ---------------------------------------------------------------------------------- */

/* A new set under the old number, for libuv to go on with. */
int
fdpoll_after_fork(LoopObject *loop)
{
    if (loop->epfd < 0) {
        return 0;
    }
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0) {
        return -errno;
    }
    int err = dup3(epfd, loop->epfd, O_CLOEXEC) < 0 ? -errno : 0;
    close(epfd);
    for (size_t fd = 0; err == 0 && fd < loop->nfds; fd++) {
        struct epoll_event ev = {.events = loop->fds[fd].mask, .data.fd = (int)fd};
        if (ev.events != 0 && epoll_ctl(loop->epfd, EPOLL_CTL_ADD, (int)fd, &ev) < 0) {
            loop->fds[fd].mask = 0; /* closed meanwhile */
        }
    }
    return err;
}

/* ---- the end ------------------------------------------------------------------------------- */

void
fdpoll_close(LoopObject *loop)
{
    for (size_t fd = 0; fd < loop->nfds; fd++) {
        fd_entry *entry = &loop->fds[fd];
        HandleObject *reader = entry->reader, *writer = entry->writer;
        PyObject *keeper = entry->keeper;
        entry->reader = entry->writer = NULL;
        entry->keeper = NULL;
        entry->callback = NULL;
        entry->mask = 0;
        Py_XDECREF(reader);
        Py_XDECREF(writer);
        Py_XDECREF(keeper);
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
    }
    return 0;
}
