/* connection.h - HTTPConnection: one HTTP/1.1 connection of a client, and its slot in a pool.
 *
 * To the transport it is the protocol; a transport of ours gives it bytes by a C call and takes them by one
 * (wire.c). One exchange at a time: conn_begin() sends a request for an http_user, which then is told of the head,
 * the body and the end. Split by role: connection.c life and slot; connection_read.c from bytes to the user;
 * connection_write.c the request, its body and the timeouts; wire.c the kinds of transports.
 * Kept by: its transport, and by the pool while it is idle. Threads: the loop's. */
#ifndef UVOLT_HTTP_CONNECTION_H
#define UVOLT_HTTP_CONNECTION_H

#include "http/pool.h"
#include "proto/http1.h"

extern PyType_Spec http_connection_spec; /* _core.HTTPConnection */

typedef struct http_user http_user;

/* All are called in the loop's thread and may call back into the connection. All PYCALL. `u->conn` is set while the
 * exchange is on; after done, failed or conn_abandon() none is called any more. */
typedef struct http_user_ops {
    /* A final head, or a 101 that was asked for. `base` and the spans of `h` are valid during the call only. -1 with
     * an exception: the exchange fails with it. */
    int (*head)(http_user *u, ConnectionObject *c, char *base, const http1_head *h);
    int (*body)(http_user *u, const char *base, size_t n); /* n > 0 bytes, chunked coding removed; -1 as above */
    int (*chunk_end)(http_user *u);                        /* -1 as above */
    int (*trailers)(http_user *u, const char *base, size_t n); /* some of them, as they came; may be NULL; -1 as above */
    /* May be NULL. `left` more bytes of the body are to come: where the next ones shall lie, so that body() is given
     * them in place. 1: into *base, at most *room <= left; 0: anywhere; -1: nowhere, before the next poll. */
    int (*room)(http_user *u, uint64_t left, char **base, size_t *room);
    /* The response is whole. The connection has gone back to the pool or is closed, u->conn is NULL. */
    void (*done)(http_user *u);
    void (*failed)(http_user *u, PyObject *exc); /* instead of done(); exc is borrowed */
    void (*expect)(http_user *u);                /* 100 Continue; may be NULL */
    void (*writable)(http_user *u);              /* conn_write() may go on; may be NULL */
} http_user_ops;

/* Embedded in whoever has an exchange on a connection. */
struct http_user {
    const http_user_ops *ops;
    PyObject *self;         /* borrowed: who embeds it; the connection keeps it, see conn_keep_user() */
    ConnectionObject *conn; /* borrowed: NULL when no exchange is on */
    double *heard;          /* raw: where the time of the answer's first byte goes (loop.time()); NULL: nowhere */
};

/* What is sent, and how the answer is read. Copied or sent during conn_begin(); nothing is kept but body_bytes. */
typedef struct conn_request {
    const char *head;          /* request line and headers with the empty line */
    size_t head_len;
    PyObject *body;            /* exact bytes to be sent with the head, or NULL; kept if the socket is full */
    const http1_limits *limits; /* NULL: the defaults. Must live as long as the exchange */
    double read_timeout;       /* seconds between two bytes once the request is out; 0: none */
    double write_timeout;      /* seconds in which the socket takes nothing; 0: none */
    unsigned head_only : 1;    /* HEAD: the response has no body */
    unsigned body_follows : 1; /* by conn_write(), until conn_finish_upload() */
    unsigned upgrade : 1;      /* a 101 is wanted: what follows it is the user's, as body(), until the end */
    unsigned no_reuse : 1;     /* "Connection: close" was asked for */
    unsigned once : 1;         /* must not be sent twice (POST): a used connection is looked at first, by a system call */
} conn_request;

typedef enum conn_state {
    CONN_NEW,    /* the slot was granted; to be connected by create_connection(lambda: conn) or the like */
    CONN_TAKEN,  /* connected; no exchange is on */
    CONN_BUSY,   /* an exchange is on */
    CONN_IDLE,   /* kept by the pool */
    CONN_CLOSED, /* the slot is free; the transport may still be closing */
} conn_state;

typedef enum conn_phase {
    READ_HEAD,
    READ_BODY,
    READ_RAW, /* behind a 101 */
} conn_phase;

typedef struct wire_ops wire_ops; /* wire.h */

struct ConnectionObject {
    PyObject_HEAD
    PyObject *weakrefs;
    LoopObject *loop;         /* strong */
    RouteObject *route;       /* strong */
    PoolObject *pool;         /* borrowed; NULL when it has gone, or knows nothing of this one any more */
    PyObject *transport;      /* strong from connection_made() to connection_lost() or close */
    const wire_ops *wire;     /* how to use it */
    struct dial *dial;        /* borrowed: connects it; NULL: nobody, or Python */
    http_user *user;          /* borrowed: `user_object` embeds it */
    PyObject *user_object;    /* strong: who embeds it, or leads to that, while somebody waits; or NULL */
    list_node in_pool;        /* pool->connections */
    list_node in_route;       /* route->idle; strong while linked */
    list_node in_idle;        /* pool->idle */
    http1_head head;
    http1_body body;
    const http1_limits *limits;
    char *held;               /* raw: a head that came in pieces, or NULL */
    size_t held_len, held_room;
    uint64_t idle_since;      /* ms of uv_now() */
    uint64_t idle_poll;       /* loop->polls then */
    uint64_t last_heard;      /* ms of uv_now(): a byte came, or the request went out */
    double read_timeout;      /* seconds; 0: none */
    double write_timeout;     /* seconds; 0: none */
    size_t unsent;            /* when `timer` was set for writing: bytes that the transport had */
    deadline timer;           /* of the read or the write timeout */
    uint64_t exchanges;       /* begun on this connection; > 1 in an exchange: it is a reused one */
    conn_state state;
    conn_phase phase;
    unsigned interim;         /* 1xx heads of this exchange */
    pid_t pid;                /* of the process that has opened it: in a forked child the socket is its parent's as well */
    unsigned head_only : 1;
    unsigned upgrade : 1;
    unsigned no_reuse : 1;
    unsigned answered : 1;    /* a byte of this exchange's response has come */
    unsigned uploading : 1;   /* conn_finish_upload() is still to come */
    unsigned draining : 1;    /* the whole request is with the transport, but not yet with the kernel */
    unsigned writing_paused : 1; /* by the transport */
    unsigned reading_paused : 1; /* by the user */
    unsigned keep : 1;        /* as far as the response tells, another one may follow */
    unsigned eof : 1;
    unsigned opened : 1;      /* connection_made() was called */
    unsigned lost : 1;        /* connection_lost() was called */
};

/* Send a request and read its answer for `u`, whose ops and self are set, on a connection that was acquired and is
 * connected. -1 with an exception: nothing was sent and `u` is not told of anything; the connection had gone
 * (ServerDisconnectedError), and is closed. PYCALL. */
int conn_begin(ConnectionObject *c, http_user *u, const conn_request *r);

/* The next bytes of a body that follows. 1: go on; 0: taken, but wait for writable(); -1 with an exception: the
 * connection has gone (ClientConnectionResetError). PYCALL. */
int conn_write(ConnectionObject *c, const char *base, size_t n);
/* The same for a span (it may be empty) and exact bytes behind it, sent together; the bytes are kept, not copied. */
int conn_write_with(ConnectionObject *c, const char *base, size_t n, PyObject *bytes);
int conn_finish_upload(ConnectionObject *c);                /* 0, or -1 as above. PYCALL */

/* From conn_begin() the connection keeps the user, so that whoever waits for the answer lives, though nobody but the
 * socket may lead to him: asyncio's transports do the same. A user who may be dropped while nobody waits says so by
 * conn_let_user_go(). No effect where no exchange is on. PYCALL. */
void conn_keep_user(http_user *u, PyObject *object); /* `object` leads to who waits, and to who embeds `u` */
void conn_let_user_go(http_user *u);

void conn_pause(ConnectionObject *c, int pause); /* back-pressure: no more bytes from the socket, or again. PYCALL */

/* The user goes: nothing more is told to it. An exchange that is not over is cut off, its socket aborted, its slot
 * freed. No effect where none is on. PYCALL. */
void conn_abandon(http_user *u);

/* A connection that was acquired and is not wanted: kept if it is connected and no exchange was begun since, else
 * closed. PYCALL. */
void conn_release(ConnectionObject *c);
void conn_close(ConnectionObject *c); /* the slot is free at once; an exchange fails ("Connection closed"). PYCALL */

static inline int
conn_is_reused(const ConnectionObject *c) /* in an exchange or after conn_begin() has failed: was there one before? */
{
    return c->exchanges > 1;
}

/* Is this exchange, by its number, still the one that is on? */
static inline int
conn_is_on(const ConnectionObject *c, uint64_t exchange)
{
    return c->state == CONN_BUSY && c->exchanges == exchange;
}

/* Not the parent's, inherited by a fork? */
static inline int
conn_is_own(const ConnectionObject *c)
{
    return c->pid == c->loop->pid;
}

/* ---- between the files of the connection and of the pool ----------------------------------- */

/* connection.c */
ConnectionObject *conn_new(RouteObject *r); /* CONN_NEW; its slot is counted. NULL with MemoryError */
int conn_is_usable(ConnectionObject *c);    /* an idle one: connected, and nothing has come? PYCALL */
void conn_abort(ConnectionObject *c);       /* conn_close(), and what has not been sent is dropped. PYCALL */
void conn_end(ConnectionObject *c);         /* conn_abort(); the socket of an idle one is closed at once, if it may be. PYCALL */
/* The exchange that is on is over: its user, who is not told; *object is the reference to it, or NULL. NULL: none is
 * on. */
http_user *conn_steal_user(ConnectionObject *c, PyObject **object);
void conn_fail(ConnectionObject *c, PyObject *exc); /* exc is stolen; the socket is aborted. PYCALL */
void conn_raised(ConnectionObject *c);              /* conn_fail() with the exception that is set. PYCALL */
void conn_raised_in(ConnectionObject *c, uint64_t exchange); /* the same if it is still on, else it is reported. PYCALL */
void conn_finish(ConnectionObject *c, size_t left); /* the response is whole, with `left` bytes behind it. PYCALL */

/* connection_read.c */
int conn_data(PyObject *self, char *base, Py_ssize_t n); /* core_state.native_data. PYCALL */
int conn_room(PyObject *self, char **base, size_t *room); /* core_state.native_room */
void conn_ended(ConnectionObject *c, PyObject *exc);     /* EOF, or lost by `exc` (NULL, None: as EOF). PYCALL */
void conn_read_left(ConnectionObject *c);                /* what the peer said before the socket failed. PYCALL */

/* connection_write.c */
void conn_expired(deadline *d);                    /* PYCALL */
void conn_stop_timer(ConnectionObject *c);
void conn_set_writing(ConnectionObject *c, int paused); /* pause_writing(), resume_writing(). PYCALL */

#endif
