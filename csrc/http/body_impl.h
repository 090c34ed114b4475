/* body_impl.h - the struct of a body and what its files offer each other: body.c (life, decoding, back-pressure),
 * body_feed.c (bytes in and out), body_read.c (the reading coroutines), body_iter.c, body_type.c (the Python types). */
#ifndef UVOLT_HTTP_BODY_IMPL_H
#define UVOLT_HTTP_BODY_IMPL_H

#include "core/coro.h"
#include "http/body.h"
#include "http/pieces.h"

#define BODY_ALL SIZE_MAX /* as a number of bytes wanted */

struct BodyObject {
    PyObject_HEAD
    LoopObject *loop;       /* strong, until it is freed; NULL: never initialised, counts as complete and empty */
    void *source;           /* raw: what feeds it; NULL after body_detach() */
    body_flow flow;
    PyObject *protocol;     /* strong: made in Python, this is what feeds it */
    PyObject *timer;        /* strong: aiohttp's timer, entered around each wait; or NULL */
    PyObject *waiter;       /* strong: the Future of the reader that waits, NULL when it was woken */
    CoroObject *reader;     /* borrowed: who awaits or awaited it; its end clears this */
    PyObject *eof_waiter;   /* strong: the Future of wait_eof() */
    PyObject *keeps;        /* strong: body_keep() */
    PyObject *exception;    /* strong: what every read raises */
    PyObject *callbacks;    /* strong: a list, of on_eof() */
    decoder *decoder;       /* owned; NULL: none, or all is decoded */
    pieces data;            /* to be read */
    pieces wire;            /* not decoded yet */
    ring ends;              /* positions in the decoded body where chunks end, not passed yet (uintptr_t) */
    ring wire_ends;         /* positions on the wire, of what is not decoded yet */
    int64_t cursor;         /* bytes read */
    uint64_t total;         /* bytes that were to be read so far */
    uint64_t wire_total;    /* bytes fed, */
    uint64_t wire_used;     /* and decoded */
    int64_t scan_from;      /* readuntil(): where its reader's scan began, */
    size_t scanned;         /* and how many bytes from there have no separator */
    uint64_t last_end;      /* of a chunk, in decoded bytes */
    size_t low, high;       /* bytes: marks of back-pressure */
    size_t ends_low, ends_high;
    size_t cap;             /* bytes, 0: none */
    uint64_t fed_in;        /* the poll in which bytes were fed last */
    uint64_t expected;      /* bytes, as its Content-Length says; 0: unknown */
    unsigned eof_reads;     /* read() at the end, in a row */
    char eof;
    char encoded;           /* a decoder was set */
    char more;              /* the decoder has output that needs no input */
    char chunked;
    char paused;            /* the source was told */
    char draining;
    char detached;          /* its source has gone */
    char timed;             /* `timer` is entered */
    char whole;             /* the reader waits for all of it: it need not be woken before */
};

/* body.c ------------------------------------------------------------------------------------ */
/* Decode until so many bytes can be read, or all there is. A decoding error is kept in `exception`; -1 only if memory
 * ran out. */
int body_fill(BodyObject *b, size_t want);
/* Whoever reads wants n bytes at once: the marks go up. */
void body_raise_marks(BodyObject *b, size_t n);
int body_resume(BodyObject *b);      /* whatever the marks say. -1 with a protocol's exception. PYCALL */
int body_check_high(BodyObject *b);  /* pauses the source above the high mark; the same. PYCALL */
int body_check_low(BodyObject *b);   /* resumes it below the low mark; the same. PYCALL */
void body_wake(BodyObject *b);       /* the reader. PYCALL */
void body_awaited(BodyObject *b);    /* somebody has begun to wait, or waits no more: the source is told. PYCALL */
void body_wake_all(BodyObject *b);   /* and who waits for the end. PYCALL */
void body_drop_bytes(BodyObject *b); /* what was not read is let go */
int body_push_end(BodyObject *b);    /* a chunk ends at what is decoded so far; one that gave nothing is none */
int body_fail_cap(BodyObject *b);    /* too much was decoded. -1: out of memory. PYCALL */
void body_raise(PyObject *exception);        /* sets it */
int body_load(BodyObject *b);                /* http_load(); -1 with an exception. PYCALL */

/* 0 if reads may go on, -1 with the exception they raise. */
static inline int
body_check(const BodyObject *b)
{
    if (UNLIKELY(b->exception != NULL)) {
        body_raise(b->exception);
        return -1;
    }
    return 0;
}

static inline int
body_over_cap(const BodyObject *b)
{
    return UNLIKELY(b->cap > 0 && b->total > b->cap);
}

/* Nothing more is to be expected than what is in `data`. */
static inline int
body_ended(const BodyObject *b)
{
    return b->loop == NULL || (b->eof && b->decoder == NULL);
}

int body_init(PyObject *self, LoopObject *loop, PyObject *protocol, PyObject *timer, Py_ssize_t limit);
void body_finalize(PyObject *self); /* PYCALL */
int body_traverse(PyObject *self, visitproc visit, void *arg);
int body_clear(PyObject *self);
void body_dealloc(PyObject *self);

/* body_feed.c ------------------------------------------------------------------------------- */
int body_feed_object(BodyObject *b, PyObject *bytes); /* body_feed() without a copy. PYCALL */
/* At most n bytes that are there, as one object; then lets the source go on if there is room. New reference. PYCALL. */
PyObject *body_take(BodyObject *b, size_t n);
int body_unread(BodyObject *b, PyObject *bytes);
int body_call_back(BodyObject *b, PyObject *callback); /* on_eof(): what it raises is logged. PYCALL */

/* body_read.c ------------------------------------------------------------------------------- */
typedef enum {
    BODY_READ, BODY_READANY, BODY_READUNTIL, BODY_READCHUNK, BODY_READEXACTLY, BODY_WAIT_EOF,
    BODY_NEXT, BODY_NEXT_ANY, BODY_NEXT_LINE, BODY_NEXT_CHUNK
} body_method;
/* What the methods return: a coroutine. arg: readuntil()'s separator or NULL; n: the number of bytes. New reference. */
PyObject *body_call(BodyObject *b, body_method method, PyObject *arg, Py_ssize_t n);

/* body_iter.c ------------------------------------------------------------------------------- */
PyObject *body_iter_new(PyObject *body, body_method method, Py_ssize_t n);

#endif
