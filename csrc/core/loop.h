/* loop.h - the layout of a loop and what its parts offer each other and the net layer.
 *
 * A loop belongs to the thread that runs it. Other threads may call call_soon_threadsafe, is_closed,
 * is_running, get_debug and time; the GIL makes that safe. `released` is the one thing to know: it is
 * non-NULL while the loop thread sleeps in a poll without the GIL, so every libuv callback starts with
 * loop_enter(). A libuv callback never returns with an exception set: loop_error() takes it. */
#ifndef UVOLT_CORE_LOOP_H
#define UVOLT_CORE_LOOP_H

#include "base/compat.h"

#include <uv.h>

#include "base/compiler.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/ring.h"
#include "runtime/errors.h"
#include "runtime/state.h"

#define LOOP_RECV_SIZE (256 * 1024) /* bytes; what asyncio reads at most at once */

typedef struct LoopObject LoopObject;
typedef struct HandleObject HandleObject;

/* A C watcher of one side of a descriptor (listeners, the signal pipe, sockets that connect). PYCALL allowed; events as of
 * epoll. An exception is taken with loop_error(). */
typedef void (*fd_callback)(LoopObject *loop, int fd, uint32_t events, void *arg);

#define LOOP_WAITS 64 /* futures kept for the next waits: as many as are woken in one batch, mostly */

typedef struct loop_wait {
    PyObject *future;   /* strong */
    PyObject *iterator; /* strong */
} loop_wait;

typedef struct fd_entry {
    PyObject *reader;     /* strong: a Handle, a SockOp, or NULL */
    PyObject *writer;     /* strong, the same */
    fd_callback callback; /* C watcher instead of reader/writer */
    void *arg;            /* raw: what `callback` gets, usually `keeper` */
    PyObject *keeper;     /* strong: keeps `arg` alive while it is watched, or NULL */
    PyObject *sock;       /* strong: weak reference to the socket whose read interest is kept, or NULL */
    uint32_t mask;        /* what epoll was told */
    uint32_t gen;         /* which registration this is; 0 if epoll does not have it */
    char is_stream;       /* `sock` is a stream: a short read has emptied it */
    char drained;         /* ... which it was by the last read, after an event: epoll tells of more */
    uint8_t futile;       /* reads in a row that had to wait */
    uint8_t returns;      /* readers added again before the next poll, up to some */
} fd_entry;

/* Anything with uv handles that must be closed with the loop. The loop owns it while it is linked. */
typedef struct loop_owned {
    list_node node;
    list_node touched;                   /* in loop->touched while what it watches has changed */
    void (*check)(struct loop_owned *);  /* is its descriptor still one that epoll takes? PYCALL */
    PyObject *object;                    /* the owner: strong while linked */
    void (*close)(struct loop_owned *);  /* close its uv handles now, calling no Python code */
} loop_owned;

struct LoopObject {
    PyObject_HEAD
    core_state *st;         /* raw, kept by module */
    PyObject *module;       /* strong */
    uv_loop_t uv;
    uv_prepare_t prepare;   /* gives the GIL back just before a poll that blocks */
    uv_poll_t wake;         /* watches wake_fd: wake-up from other threads */
    int wake_fd;            /* eventfd, -1 if there is none */
    uv_timer_t timer;       /* the nearest of `timers` */
    uv_poll_t nested;       /* watches epfd */
    PyThreadState *released;
    ring ready;             /* strong HandleObjects, in order */
    ring due;               /* strong handles found by a poll, on their way into `ready` */
    heap timers;            /* nodes of TimerHandles; one strong reference each */
    uint64_t timer_seq;
    double timer_armed;     /* deadline that `timer` was started for */
    double poll_until;      /* a poll by hand ends then at the latest; else infinite */
    char timer_is_armed;
    char own_clock;         /* time() is the program's: timers go by it */
    double behind;          /* what its clock is behind the system's, before a poll; seconds */
    heap deadlines;         /* nodes of deadlines, borrowed (deadline.h) */
    uv_timer_t deadline_timer;
    double deadline_armed;  /* when it ends; infinite if it is not armed */
    char deadlines_due;     /* it has ended: look at them after the poll */
    uint64_t polls;         /* made so far */
    PyObject *raised;       /* strong: exception that must leave run(), caught in a uv callback */
    list_node owned;        /* loop_owned */
    list_node touched;      /* loop_owned, to be checked before the next poll */
    fd_entry *fds;
    size_t nfds;
    PyObject **claims;      /* by fd; borrowed: the transport that uses it, kept by its uv handle */
    size_t nclaims;
    uint32_t generation;    /* of the registration made last */
    PyObject *const *soon_probe; /* raw: what call_soon() is called with to see whether it is our own */
    char soon_is_stock;     /* it was, in this round of events */
    int left_fd;            /* the reader that was removed last since the poll, or -1 */
    char left_untold;       /* epoll has not been told of that */
    unsigned stale_polls;   /* in a row, that gave an event of a descriptor we do not know */
    char stale_event;       /* this one did */
    pid_t pid;              /* of the process whose epoll sets these are */
    volatile char *fork_mark; /* raw, a page of its own: 0 after a fork; NULL where the kernel has no such thing */
    int epfd;               /* nested epoll set of add_reader and friends, -1 until needed */
    size_t since_poll;      /* callbacks run since the last poll */
    uint64_t batches;       /* begun so far */
    unsigned empty_polls;   /* polls in a row that found nothing while work was ready */
    uint32_t polled;        /* events seen in this poll */
    size_t came_asleep;     /* handles that other threads have queued while this poll slept */
    char deferred;          /* what stream callbacks have queued did not come in their batch */
    char uv_open;           /* uv is initialised */
    char closed;
    char running;
    char stopping;
    char polling;           /* inside uv_run(), which may not be entered again */
    char will_block;        /* this poll may sleep */
    char in_poll;           /* sleeping: other threads must wake us */
    char wake_sent;
    char debug;
    PyObject *spare;        /* strong: bytes of the last read that nobody else has, or NULL */
    struct large_bytes *large; /* raw: large.h, or NULL */
    char *recv_buffer;      /* LOOP_RECV_SIZE, made on first use; one read at a time uses it */
    char *plain_buffer;     /* raw: for what is decrypted, or NULL; whoever uses it steals it meanwhile */
    char *send_buffer;      /* raw: for what is encrypted, of send_room bytes; the same */
    size_t send_room;
    /* Attributes that asyncio's own Python code reads and writes; strong, NULL reads as None. */
    PyObject *thread_id;
    PyObject *exception_handler;
    PyObject *default_executor;
    PyObject *asyncgens;
    PyObject *asyncgens_shutdown;
    PyObject *executor_shutdown;
    PyObject *origin_enabled;
    PyObject *origin_depth;
    PyObject *task_factory;
    PyObject *old_agen_hooks;
    PyObject *current_handle;
    PyObject *transports;
    PyObject *transports_seen; /* the one whose dict this is: */
    PyObject *transports_data;
    PyObject *future_kwargs;   /* {"loop": this}, while it is open */
    PyObject *done_future;     /* a Future whose result is None */
    loop_wait waits[LOOP_WAITS]; /* see waiter.c */
    size_t nwaits;
    PyObject *signal_handlers;
    PyObject *ssock;
    PyObject *csock;
    PyObject *unix_server_sockets;
    PyObject *internal_fds;
    double slow_callback_duration;
    double clock_resolution;
};

/* loop.c ------------------------------------------------------------------------------------ */
extern PyType_Spec loop_spec;
/* Calls asyncio's own method of that name. PYCALL. */
PyObject *loop_call_asyncio(PyObject *, const char *name, PyObject *const *, Py_ssize_t, PyObject *);
int loop_check_closed(LoopObject *loop); /* -1 with RuntimeError('Event loop is closed') */
char *loop_recv_buffer(LoopObject *loop);   /* NULL: out of memory, no exception set */

/* Is time() still ours? Asked when it may have changed. -1 with an exception. PYCALL. */
int loop_look_at_clock(LoopObject *loop);

/* run.c ------------------------------------------------------------------------------------- */
int loop_init_handles(LoopObject *loop); /* 0 or a negative uv code */
PyObject *loop_run(PyObject *self, PyObject *unused);
PyObject *loop_run_once(PyObject *self, PyObject *unused);
PyObject *loop_poll(PyObject *self, PyObject *timeout);
void loop_reacquire(LoopObject *loop);
void loop_wake(LoopObject *loop); /* any thread, GIL held */

/* A forked child shares its parent's epoll sets: what it changes there, the parent loses. Gives the child
 * its own ones. 0 or a negative uv code. */
int loop_own_process(LoopObject *loop);
void loop_unmap_fork_mark(LoopObject *loop);

/* Takes the exception that is set: the ones that must leave the loop are kept for run(), others
 * go to the exception handler under `message`. PYCALL. */
void loop_error(LoopObject *loop, const char *message, PyObject *transport, PyObject *protocol);

/* What a callback of the poll raised and the loop does not survive. 0 or -1. */
static inline int
loop_raise_kept(LoopObject *loop)
{
    if (LIKELY(loop->raised == NULL)) {
        return 0;
    }
    PyObject *exc = loop->raised;
    loop->raised = NULL;
    PyErr_SetRaisedException(exc);
    return -1;
}

/* First line of every libuv callback: holds the GIL from here on. */
static inline void
loop_enter(LoopObject *loop)
{
    loop->polled++;
    if (UNLIKELY(loop->released != NULL)) {
        loop_reacquire(loop);
    }
}

/* ready.c ----------------------------------------------------------------------------------- */
/* Queue a new handle for the next batch. `args` are borrowed. New reference, or NULL. */
HandleObject *loop_call_soon(LoopObject *loop, PyObject *callback, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *context);
/* Queue an existing handle (a new reference is taken). 0, or -1 with MemoryError. */
int loop_push(LoopObject *loop, HandleObject *handle);
/* From a poll: the handle comes behind those that waited before the poll, as asyncio has it. */
void loop_push_due(LoopObject *loop, HandleObject *handle);
/* Debug mode's checks of call_soon and its kin. -1 with an exception. PYCALL. */
int loop_debug_check(LoopObject *loop, PyObject *callback, const char *method, int check_thread);
int loop_drain(LoopObject *loop, size_t batch); /* so many; PYCALL; -1 with an exception that must leave the loop */
/* The loop stops running: nobody may come to take its handles out of the ring, and the collector, which sees through
 * those that the ring alone has, must know the others. */
void loop_track_ready(LoopObject *loop);
PyObject *loop_call_soon_method(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *loop_call_soon_threadsafe(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* queues.c ---------------------------------------------------------------------------------- */
PyObject *loop_ready_list(PyObject *, PyObject *);
PyObject *loop_ready_append(PyObject *, PyObject *);
PyObject *loop_ready_popleft(PyObject *, PyObject *);
PyObject *loop_scheduled_list(PyObject *, PyObject *);
PyObject *loop_queue_sizes(PyObject *, PyObject *);

/* timers.c ---------------------------------------------------------------------------------- */
/* loop->behind, for the poll to come, where the program has put a clock of its own in place. PYCALL. */
void loop_compare_clocks(LoopObject *loop);
/* After a poll: timers that are due go to the end of loop->due. */
void loop_take_timers(LoopObject *loop);
/* Then readers and timers go from there into the ready ring, behind the `waiting` handles that were there before the
 * poll, or came while it slept, and in front of what its callbacks have queued. Returns how many of the ring are this
 * batch. */
size_t loop_queue_due(LoopObject *loop, size_t waiting);
void loop_forget_timers(LoopObject *loop);
PyObject *loop_call_later(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *loop_call_at(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* tasks.c ----------------------------------------------------------------------------------- */
PyObject *loop_create_future(PyObject *self, PyObject *unused);
PyObject *loop_create_task(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *loop_set_task_factory(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *loop_get_task_factory(PyObject *self, PyObject *unused);

/* fdpoll.c ---------------------------------------------------------------------------------- */
/* 0 or -errno. `keeper` is kept alive until fdpoll_unwatch(). */
int fdpoll_watch(LoopObject *loop, int fd, int write, fd_callback cb, void *arg, PyObject *keeper);
void fdpoll_unwatch(LoopObject *loop, int fd, void *arg); /* no effect if others watch it now */

/* Watch one direction by a Handle or a SockOp (a new reference is taken), in place of what did before. 0, or
 * -1 with an exception. */
int fdpoll_set(LoopObject *loop, int fd, int write, PyObject *watcher);
int fdpoll_unset(LoopObject *loop, int fd, int write); /* 1 if there was a watcher */

void fdpoll_settle(LoopObject *loop); /* before a poll: tell epoll of all */

/* A SockOp waits until `sock`, whose descriptor is fd, can be read: costs no system call if it is not the first
 * time. fdpoll_forget() ends its wait, if it still is the one that waits. */
int fdpoll_set_read(LoopObject *loop, int fd, PyObject *op, PyObject *sock);
void fdpoll_forget(LoopObject *loop, int fd, int write, PyObject *op);

/* A read has got something: at once or woken by an event, and less than it asked for or not. From that follows
 * whether it is futile to try the next one before epoll has an event; asked once before it. */
void fdpoll_note_read(LoopObject *loop, int fd, PyObject *sock, int woken, int is_short);
int fdpoll_is_futile(LoopObject *loop, int fd, PyObject *sock);

int fdpoll_claim(LoopObject *loop, int fd, PyObject *transport); /* 0, or -1 with an exception */
/* The transport that uses this descriptor, borrowed, or NULL. */
static inline PyObject *
fdpoll_claimant(const LoopObject *loop, int fd)
{
    return (size_t)fd < loop->nclaims ? loop->claims[fd] : NULL;
}
void fdpoll_release(LoopObject *loop, int fd, PyObject *transport);
int fdpoll_after_fork(LoopObject *loop); /* 0 or -errno */
void fdpoll_close(LoopObject *loop);
int fdpoll_traverse(LoopObject *loop, visitproc visit, void *arg);

/* fdwatch.c --------------------------------------------------------------------------------- */
/* RuntimeError if a transport uses it. `fileobj` is what the caller was given, NULL for the number. */
int fdwatch_check_free(LoopObject *loop, int fd, PyObject *fileobj);
PyObject *fdwatch_add_reader(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *fdwatch_add_writer(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *fdwatch_add_reader_raw(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *fdwatch_add_writer_raw(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *fdwatch_remove_reader(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *fdwatch_remove_writer(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *fdwatch_remove_reader_raw(PyObject *, PyObject *);
PyObject *fdwatch_remove_writer_raw(PyObject *, PyObject *);
PyObject *fdwatch_ensure_free(PyObject *, PyObject *);
PyObject *fdwatch_watched(PyObject *, PyObject *);
PyObject *fdwatch_watched_fds(PyObject *, PyObject *);
PyObject *fdwatch_watch_signals(PyObject *, PyObject *);
PyObject *fdwatch_unwatch_signals(PyObject *, PyObject *);

/* executor.c -------------------------------------------------------------------------------- */
extern PyType_Spec relay_spec;
PyObject *loop_run_in_executor(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* dns.c ------------------------------------------------------------------------------------- */
PyObject *dns_is_numeric(PyObject *, PyObject *const *, Py_ssize_t);
PyObject *dns_getaddrinfo(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
int dns_is_address(PyObject *host, int family); /* is it an address of AF_INET or AF_INET6, as written? */

/* Owned things ------------------------------------------------------------------------------ */
static inline void
loop_own(LoopObject *loop, loop_owned *owned, PyObject *object)
{
    owned->object = Py_NewRef(object);
    list_init(&owned->touched);
    list_append(&loop->owned, &owned->node);
}

/* libuv will tell epoll at the next poll that it watches other events of a descriptor, and abort if epoll
 * refuses, because somebody closed the descriptor under it. So it is looked at just before. */
static inline void
loop_touch(LoopObject *loop, loop_owned *owned)
{
    if (list_empty(&owned->touched)) {
        list_append(&loop->touched, &owned->touched);
    }
}

/* While the loop sleeps another thread runs: the program's, or one that happens to destroy what was dropped. libuv may then be
 * anywhere between its poll and our callback, which waits for the GIL, and nothing of it may be touched. True: it sleeps;
 * `owned` is looked at before the next poll, which is soon. */
static inline int
loop_touch_later(LoopObject *loop, loop_owned *owned)
{
    if (LIKELY(!loop->in_poll)) {
        return 0;
    }
    loop_touch(loop, owned);
    loop_wake(loop);
    return 1;
}

/* The uv handles of `owned` are closed: let go. May free the object. */
static inline void
loop_disown(loop_owned *owned)
{
    PyObject *object = owned->object;
    list_remove(&owned->touched);
    list_remove(&owned->node);
    owned->object = NULL;
    Py_DECREF(object);
}

#endif
