/* stream.h - StreamObject: a transport over one connected stream socket (TCP, Unix).
 *
 * Split by role: stream.c life and methods, stream_info.c what it tells of itself, stream_read.c from the socket to the protocol,
 * stream_write.c from write() to the socket. The uv handle keeps the object alive from init to its close
 * callback; uv_close() is only called from the ready ring or loop.close(), never inside a callback of the
 * same handle. */
#ifndef UVOLT_NET_STREAM_H
#define UVOLT_NET_STREAM_H

#include "core/loop.h"
#include "net/receiver.h"
#include "runtime/sockaddr.h"

#define STREAM_HIGH_WATER (64 * 1024) /* bytes, as asyncio's */

typedef struct StreamObject StreamObject;

/* Where the bytes of a read go: to the protocol, or to a layer above in C. PYCALL: both. */
typedef struct stream_sink {
    /* Where the next read goes. A base of NULL: nowhere now (an error was dealt with). */
    void (*alloc)(StreamObject *s, uv_buf_t *buf);
    /* n > 0 bytes at base. 0, or -1 with an exception set. */
    int (*data)(StreamObject *s, const char *base, Py_ssize_t n);
} stream_sink;

typedef struct write_buf {
    PyObject *bytes; /* strong, exact bytes */
    char *base;      /* into bytes */
    size_t len;
} write_buf;

/* The addresses of both ends; a length of 0: not known. */
typedef struct stream_names {
    small_addr sockname, peername;
    socklen_t sockname_len, peername_len;
    unsigned later : 1; /* sockname is asked for when somebody wants to know it: not any more when it is closed */
} stream_names;

struct StreamObject {
    PyObject_HEAD
    PyObject *base_slots[5];    /* room for the slots of asyncio's base class (five so far), unused */
    PyObject *dict;             /* strong */
    PyObject *weakrefs;
    LoopObject *loop;           /* strong */
    loop_owned owned;
    uv_tcp_t uv;
    uv_write_t *write_req;      /* raw: the write that libuv has, NULL if none; freed in its callback */
    int fd;                     /* -1 once closed */
    PyObject *sock;             /* strong: socket object of fd, made when asked for */
    PyObject *server;           /* strong until detached */
    PyObject *extra;            /* strong: dict behind get_extra_info, made when needed */
    PyObject *empty_waiter;     /* strong: future, while sendfile waits for the buffer */
    receiver to;                /* the protocol, and the context of its callbacks */
    const stream_sink *sink;
    write_buf *queue;           /* from `first`: `inflight` with libuv, then up to `queued` waiting */
    size_t first, queued, inflight, queue_room;
    size_t waiting_bytes;       /* of [inflight, queued) */
    size_t high, low;           /* write buffer limits, bytes */
    stream_names names;
    unsigned conn_lost;         /* > 0: connection_lost is scheduled; counts later writes */
    unsigned uv_live : 1;       /* the uv handle is open */
    unsigned connected : 1;     /* connection_made was called */
    unsigned paused : 1;        /* pause_reading() */
    unsigned reading : 1;       /* uv_read_start is in effect */
    unsigned in_alloc : 1;      /* inside alloc_cb: uv_read_stop must wait */
    unsigned lost_due : 1;      /* connection_lost is to be called before the next poll: there was no memory to schedule it */
    unsigned untold : 1;        /* of what another thread wants, see loop_touch_later(), libuv knows nothing yet */
    unsigned closing : 1;
    unsigned eof_sent : 1;      /* write_eof() */
    unsigned eof_received : 1;
    unsigned protocol_paused : 1;
    unsigned finished : 1;      /* connection_lost was called and the fd given up */
};

extern PyType_Spec stream_spec;
int stream_check_layout(core_state *st); /* -1 with ImportError if asyncio.Transport grew */

/* ---- stream.c */
/* A transport over fd, which it owns from now on, also on failure. `sock` may be NULL. Names that the caller does
 * not know are asked for. */
StreamObject *stream_new(LoopObject *loop, int fd, PyObject *sock, PyObject *protocol, PyObject *server,
                         const stream_names *known);
/* connection_made and the first read. Takes exceptions itself (loop_error). PYCALL. */
void stream_begin(StreamObject *s);
/* As asyncio's _fatal_error: report the exception that is set, then force_close with it. PYCALL. */
void stream_fatal(StreamObject *s, const char *message);
void stream_force_close(StreamObject *s, PyObject *exc); /* never fails; borrowed, may be None */
/* abort(), and where that is allowed, connection_lost() and the end of the descriptor with it and not in the next batch.
 * Takes exceptions itself. PYCALL. */
void stream_end(StreamObject *s);
int stream_schedule_lost(StreamObject *s, PyObject *exc);
/* The same, and never fails: without memory it comes before the next poll, with MemoryError. PYCALL. */
void stream_lose(StreamObject *s, PyObject *exc);
PyObject *stream_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

/* ---- stream_read.c */
void stream_start_reading(StreamObject *s);
void stream_stop_reading(StreamObject *s);
void stream_tell_reading(StreamObject *s); /* to libuv: what was wanted while it could not be told */
int stream_set_protocol(StreamObject *s, PyObject *protocol); /* -1 with an exception */
/* Is the connection open and nothing there to be read? One system call. */
int stream_is_quiet(const StreamObject *s);
/* After an error of the socket: what it still has, at most `room` bytes; <= 0: nothing. */
ssize_t stream_read_left(const StreamObject *s, char *base, size_t room);
void stream_plain_alloc(StreamObject *s, uv_buf_t *buf);      /* the loop's receive buffer */
PyObject *stream_pause_reading(PyObject *, PyObject *);
PyObject *stream_resume_reading(PyObject *, PyObject *);

/* ---- stream_write.c */
PyObject *stream_write(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *stream_writelines(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *stream_write_eof(PyObject *, PyObject *);
/* write() for a user in C: -1 only with an exception that is not the connection's (MemoryError). PYCALL. */
int stream_send(StreamObject *s, const char *base, size_t len);
/* The same for a span and exact bytes behind it, by one system call; the bytes are kept and not copied. PYCALL. */
int stream_send_with(StreamObject *s, const char *base, size_t len, PyObject *bytes);
PyObject *stream_bytes_list(PyObject *iterable); /* its items as exact bytes; new list. PYCALL */
size_t stream_pending(const StreamObject *s); /* bytes accepted by write() and not sent */
void stream_submit_left(StreamObject *s); /* to libuv: what waits while it could not be told */
void stream_drop_queue(StreamObject *s);
void stream_forget_writes(StreamObject *s); /* the handle is closed: drop what libuv had as well */
/* set_write_buffer_limits() for a user in C: -1 with what pause_writing() raised. PYCALL. */
int stream_limit_writing(StreamObject *s, size_t high, size_t low);
PyObject *stream_set_limits(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* ---- stream_info.c */
int stream_learn_names(StreamObject *s);                /* -1 with an exception */
int stream_hold_sock(StreamObject *s, PyObject *sock);  /* -1 with an exception */
PyObject *stream_need_extra(StreamObject *s);           /* borrowed dict, or NULL */
PyObject *stream_get_protocol(PyObject *, PyObject *);
PyObject *stream_get_extra_info(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *stream_repr(PyObject *);
PyObject *stream_get_extra(PyObject *, void *);
PyObject *stream_get_sock(PyObject *, void *);
PyObject *stream_get_loop(PyObject *, void *);
PyObject *stream_get_protocol_attr(PyObject *, void *);
int stream_set_protocol_attr(PyObject *, PyObject *, void *);
PyObject *stream_get_closing(PyObject *, void *);
PyObject *stream_get_paused(PyObject *, void *);
PyObject *stream_get_protocol_paused(PyObject *, void *);
PyObject *stream_get_eof_sent(PyObject *, void *);
PyObject *stream_get_compatible(PyObject *, void *);
PyObject *stream_get_sendfile_mode(PyObject *, void *);

#endif
