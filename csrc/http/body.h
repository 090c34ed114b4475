/* body.h - BodyObject: the body of a response as aiohttp's StreamReader, `_core.StreamReader`.
 *
 * The connection feeds it what came off the wire; whoever reads gets it decoded. Decoding is lazy: nothing before
 * somebody reads, then no more than what was asked for and the low water mark (all, for read() of everything).
 * Undecoded and decoded bytes together are held to the high water mark by pausing the source.
 * Threads: the loop's. One reader at a time. */
#ifndef UVOLT_HTTP_BODY_H
#define UVOLT_HTTP_BODY_H

#include "core/loop.h"
#include "http/decode.h"

typedef struct BodyObject BodyObject;
struct CoroObject;

typedef enum body_signal {
    BODY_GO_ON,       /* feeding, or */
    BODY_PAUSE,       /* stop: only when it changes */
    BODY_AWAITED,     /* somebody waits for what comes: he is to be kept alive by it */
    BODY_NOT_AWAITED, /* no more, or he has been woken */
    BODY_GONE,        /* by who is kept by body_keep() */
} body_signal;

/* What the source is told. PYCALL: it may feed from within, and be let go. */
typedef void (*body_flow)(void *source, body_signal signal);

/* low_water: bytes, aiohttp's read_bufsize; high water is twice that. `source` is raw: call body_detach() before it
 * goes. flow may be NULL. New reference. */
BodyObject *body_new(LoopObject *loop, Py_ssize_t low_water, void *source, body_flow flow);
void body_detach(BodyObject *b);
/* `source` lives as long as the body does, or until NULL is given: for one that only the body's reader needs any more.
 * Its own reference to the body is to go, so that both are not garbage for the collector; it is told BODY_GONE. 0: not
 * that of a body that is everybody's. */
int body_keep(BodyObject *b, PyObject *source);

/* Before the first byte. The decoder is the body's from now on (NULL: none). */
void body_set_decoder(BodyObject *b, decoder *d);
void body_set_cap(BodyObject *b, Py_ssize_t cap);      /* bytes decoded at most, else ClientPayloadError; 0: none */
void body_expect(BodyObject *b, int64_t length);       /* Content-Length: read() of everything makes room at once */
void body_begin_chunks(BodyObject *b);                 /* it is chunked: readchunk() tells the ends of chunks */

/* What came off the wire, copied. 0, or -1 with an exception (out of memory). PYCALL: wakes the reader. */
int body_feed(BodyObject *b, const char *base, size_t n);
/* `left` more bytes are to come: 1: the next are best read to *base, at most *room, and then fed from there; 0: from
 * anywhere; -1: let the reader have its turn first. */
int body_room(BodyObject *b, uint64_t left, char **base, size_t *room);
int body_chunk_end(BodyObject *b);                     /* the same; after the chunk's last byte */
int body_feed_eof(BodyObject *b);                      /* all came; on_eof callbacks are called. PYCALL */
void body_fail(BodyObject *b, PyObject *exc);          /* nothing more comes: readers get `exc`. PYCALL */

/* Nobody is going to read: what is there and what comes is dropped, undecoded. PYCALL: resumes the source. */
void body_drain(BodyObject *b);

int body_is_complete(const BodyObject *b);             /* all came off the wire */
PyObject *body_exception(const BodyObject *b);         /* borrowed: what body_fail() was given, or decoding's; or NULL */

/* All of a complete body that is not read yet, as one bytes object (without a copy if it is one piece, not encoded).
 * New reference, or NULL with an exception: body_exception(), a decoding error, out of memory. PYCALL. */
PyObject *body_take_all(BodyObject *b);

/* A step of a coroutine that reads the whole body; `method` names it in errors. Call it at each step with the step's own
 * arguments and return what it returns (a coro_outcome); CORO_DONE: *result is the bytes, a new reference. PYCALL.
 * body_read_end() from the coroutine's `end`, however it ended. */
int body_read_step(BodyObject *b, struct CoroObject *c, const char *method, PyObject *value, PyObject **result);
void body_read_end(BodyObject *b, struct CoroObject *c);

/* aiohttp's EMPTY_PAYLOAD, for responses that have no body: a BodyObject, complete and empty. New reference. PYCALL. */
PyObject *body_empty(core_state *st);

extern PyType_Spec body_spec;      /* _core.StreamReader */
extern PyType_Spec body_iter_spec; /* _core.StreamIterator: what iter_chunked() and its kin return */

#endif
