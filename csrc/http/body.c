/* body.c - a body between the connection that feeds it and whoever reads it: life, decoding, back-pressure, failing.
 *
 * Bytes come in undecoded (`wire`) and are decoded when a reader wants them, into `data`; without a coding they go to
 * `data` at once. Both together are held to the high water mark by pausing the source, which goes on below the low one,
 * or when a reader waits for more.
 * Owns: its queues, decoder, futures. Kept by: its response and its readers. Threads: the loop's. PYCALL: as marked. */
#include "http/body.h"

#include "http/body_impl.h"
#include "http/state.h"

#define DECODE_LEAST 16384          /* bytes decoded at a time, if a reader wants less */
#define DECODE_ROOM_MIN 1024
#define DECODE_ROOM_MAX 65536

/* ---- life ---------------------------------------------------------------------------------- */

static void
set_marks(BodyObject *b, size_t low)
{
    size_t ends = low / 16;
    b->low = low;
    b->high = 2 * low;
    b->ends_high = ends < 4 ? 4 : ends; /* one end remains where the reader is: so at least 2 to go on */
    b->ends_low = b->ends_high / 2;
}

/* All members but the head of the object are 0. */
static void
init_members(BodyObject *b, LoopObject *loop, size_t low)
{
    b->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    set_marks(b, low);
}

BodyObject *
body_new(LoopObject *loop, Py_ssize_t low_water, void *source, body_flow flow)
{
    http_state *http = loop->st->http;
    BodyObject *b = pool_new(&http->body_pool, http->body_type);
    if (UNLIKELY(b == NULL)) {
        return NULL;
    }
    memset((char *)b + sizeof(PyObject), 0, sizeof(*b) - sizeof(PyObject));
    init_members(b, loop, (size_t)low_water);
    b->source = source;
    b->flow = flow;
    PyObject_GC_Track(b);
    return b;
}

int
body_init(PyObject *self, LoopObject *loop, PyObject *protocol, PyObject *timer, Py_ssize_t limit)
{
    BodyObject *b = (BodyObject *)self;
    if (b->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "StreamReader is initialised already");
        return -1;
    }
    init_members(b, loop, (size_t)limit);
    b->protocol = Py_NewRef(protocol);
    b->timer = timer == Py_None ? NULL : Py_NewRef(timer);
    return 0;
}

void
body_detach(BodyObject *b)
{
    if (b->loop == NULL) {
        return; /* the empty one, of everybody */
    }
    b->source = NULL;
    b->flow = NULL;
    b->detached = 1;
}

int
body_keep(BodyObject *b, PyObject *source)
{
    if (b->loop == NULL) {
        return 0;
    }
    Py_XSETREF(b->keeps, Py_XNewRef(source));
    return 1;
}

int
body_traverse(PyObject *self, visitproc visit, void *arg)
{
    BodyObject *b = (BodyObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(b->loop);
    Py_VISIT(b->protocol);
    Py_VISIT(b->timer);
    Py_VISIT(b->waiter);
    Py_VISIT(b->eof_waiter);
    Py_VISIT(b->keeps);
    Py_VISIT(b->exception);
    Py_VISIT(b->callbacks);
    return 0;
}

/* Garbage: who is kept is told while all is whole. */
void
body_finalize(PyObject *self)
{
    BodyObject *b = (BodyObject *)self;
    if (b->keeps != NULL && b->flow != NULL) {
        b->flow(b->source, BODY_GONE);
        body_detach(b);
    }
}

/* `loop` stays until it is freed: it has the state. */
int
body_clear(PyObject *self)
{
    BodyObject *b = (BodyObject *)self;
    body_finalize(self);
    Py_CLEAR(b->protocol);
    Py_CLEAR(b->timer);
    Py_CLEAR(b->waiter);
    Py_CLEAR(b->eof_waiter);
    Py_CLEAR(b->keeps);
    Py_CLEAR(b->exception);
    Py_CLEAR(b->callbacks);
    return 0;
}

void
body_drop_bytes(BodyObject *b)
{
    pieces_clear(&b->data);
    pieces_clear(&b->wire);
    b->ends.count = b->wire_ends.count = 0;
    decoder_free(b->decoder);
    b->decoder = NULL;
    b->more = 0;
}

void
body_dealloc(PyObject *self)
{
    BodyObject *b = (BodyObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    LoopObject *loop = b->loop;
    PyObject_GC_UnTrack(self);
    body_drop_bytes(b);
    pieces_free(&b->data);
    pieces_free(&b->wire);
    free(b->ends.slots);
    free(b->wire_ends.slots);
    body_clear(self);
    if (loop != NULL && type == loop->st->http->body_type && !PyObject_GC_IsFinalized(self)) {
        pool_give(&loop->st->http->body_pool, self);
    }
    else {
        type->tp_free(self);
    }
    Py_XDECREF((PyObject *)loop);
    Py_DECREF(type);
}

int
body_load(BodyObject *b)
{
    return http_load(b->loop->st);
}

/* ---- waking -------------------------------------------------------------------------------- */

/* set_result(None) of a future that is stolen, unless it is done. PYCALL. */
static void
settle(LoopObject *loop, PyObject *future)
{
    core_state *st = loop->st;
    PyObject *r = PyObject_CallMethodOneArg(future, st->n_set_result, Py_None);
    if (UNLIKELY(r == NULL)) {
        if (PyErr_ExceptionMatches(st->InvalidStateError)) {
            PyErr_Clear(); /* cancelled */
        }
        else {
            loop_error(loop, "Error while waking the reader of a body", NULL, NULL);
        }
    }
    Py_XDECREF(r);
    Py_DECREF(future);
}

/* Whoever waits is reached from the loop by what feeds this, or the collector would take him for garbage. */
void
body_awaited(BodyObject *b)
{
    if (b->flow != NULL) {
        b->flow(b->source, b->waiter != NULL || b->eof_waiter != NULL ? BODY_AWAITED : BODY_NOT_AWAITED);
    }
}

void
body_wake(BodyObject *b)
{
    PyObject *waiter = b->waiter;
    if (waiter != NULL) {
        b->waiter = NULL;
        settle(b->loop, waiter);
        body_awaited(b);
    }
}

void
body_wake_all(BodyObject *b)
{
    PyObject *waiter = b->eof_waiter;
    body_wake(b);
    if (waiter != NULL) {
        b->eof_waiter = NULL;
        settle(b->loop, waiter);
        body_awaited(b);
    }
}

/* ---- back-pressure ------------------------------------------------------------------------- */

static int
call_protocol(BodyObject *b, PyObject *method)
{
    PyObject *protocol = Py_NewRef(b->protocol);
    PyObject *r = PyObject_CallMethodNoArgs(protocol, method);
    Py_DECREF(protocol);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
pause_source(BodyObject *b)
{
    if (b->protocol != NULL) {
        return call_protocol(b, b->loop->st->http->n_pause_reading);
    }
    if (b->flow != NULL && !b->paused) {
        b->paused = 1;
        b->flow(b->source, BODY_PAUSE);
    }
    return 0;
}

int
body_resume(BodyObject *b)
{
    if (b->protocol != NULL) {
        return call_protocol(b, b->loop->st->http->n_resume_reading);
    }
    if (b->paused) {
        b->paused = 0;
        if (b->flow != NULL) {
            b->flow(b->source, BODY_GO_ON);
        }
    }
    return 0;
}

int
body_check_high(BodyObject *b)
{
    if (b->data.size + b->wire.size > b->high || b->ends.count + b->wire_ends.count > b->ends_high) {
        return pause_source(b);
    }
    return 0;
}

int
body_check_low(BodyObject *b)
{
    if (b->data.size + b->wire.size < b->low && (!b->chunked || b->ends.count + b->wire_ends.count < b->ends_low)) {
        return body_resume(b);
    }
    return 0;
}

void
body_raise_marks(BodyObject *b, size_t n)
{
    if (n > b->low) {
        b->low = n;
        b->high = n > SIZE_MAX / 2 ? SIZE_MAX : 2 * n;
    }
}

/* ---- failing ------------------------------------------------------------------------------- */

void
body_raise(PyObject *exception)
{
    if (PyExceptionInstance_Check(exception)) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    else if (PyExceptionClass_Check(exception)) {
        PyErr_SetNone(exception);
    }
    else {
        PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
    }
}

void
body_fail(BodyObject *b, PyObject *exc)
{
    if (b->loop == NULL) {
        return; /* the empty one, of everybody */
    }
    Py_INCREF(b);
    Py_XSETREF(b->exception, Py_NewRef(exc));
    Py_CLEAR(b->callbacks);
    body_drop_bytes(b);
    body_wake_all(b);
    Py_DECREF(b);
}

/* By what a function of uvolt.http.streams makes of a text. -1 if that fails; the wire goes on, to be dropped. */
static COLD int
fail_by(BodyObject *b, const char *function, const char *text)
{
    if (body_load(b) < 0) {
        return -1;
    }
    PyObject *exc = PyObject_CallMethod(b->loop->st->http->streams, function, "s", text);
    if (exc == NULL) {
        return -1;
    }
    body_fail(b, exc);
    Py_DECREF(exc);
    return body_resume(b);
}

COLD int
body_fail_cap(BodyObject *b)
{
    char text[80];
    PyOS_snprintf(text, sizeof(text), "Response body is larger than %zu bytes", b->cap);
    return fail_by(b, "too_large", text);
}

/* ---- decoding ------------------------------------------------------------------------------ */

/* A chunk ends at what is decoded so far. One that gave nothing is no chunk. */
int
body_push_end(BodyObject *b)
{
    if (b->total == b->last_end) {
        return 0;
    }
    if (ring_push(&b->ends, (void *)(uintptr_t)b->total) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    b->last_end = b->total;
    return 0;
}

static uint64_t
next_wire_end(const BodyObject *b)
{
    const ring *r = &b->wire_ends;
    return (uint64_t)(uintptr_t)r->slots[r->head & r->mask];
}

/* How much room the next output gets. */
static size_t
decode_room(const BodyObject *b, size_t want)
{
    size_t room = 3 * b->wire.size;
    room = room < DECODE_ROOM_MIN ? DECODE_ROOM_MIN : room > DECODE_ROOM_MAX ? DECODE_ROOM_MAX : room;
    return room > want - b->data.size ? want - b->data.size : room;
}

/* One run of the decoder; no further than to the end of a chunk. */
static decode_status
decode_some(BodyObject *b, size_t want)
{
    const char *in = "";
    char *out;
    size_t len = 0, room, got;
    if (b->wire.size > 0) {
        in = pieces_at(&b->wire, 0, &len);
    }
    if (b->wire_ends.count > 0 && len > next_wire_end(b) - b->wire_used) {
        len = (size_t)(next_wire_end(b) - b->wire_used);
    }
    if (pieces_reserve(&b->data, decode_room(b, want), want == BODY_ALL, &out, &room) < 0) {
        PyErr_Clear();
        return DECODE_NO_MEMORY;
    }
    size_t left = len;
    decode_status status = decoder_run(b->decoder, &in, &left, out, room, &got);
    pieces_commit(&b->data, got);
    pieces_drop(&b->wire, len - left);
    b->wire_used += len - left;
    b->total += got;
    b->more = status == DECODE_ROOM;
    return status;
}

/* All input is decoded and all came: was it whole? */
static int
decode_end(BodyObject *b)
{
    if (decoder_finish(b->decoder) < 0) {
        return fail_by(b, "content_encoding", decoder_error(b->decoder));
    }
    decoder_free(b->decoder);
    b->decoder = NULL;
    return 0;
}

int
body_fill(BodyObject *b, size_t want)
{
    if (b->decoder == NULL || b->data.size >= want) {
        return 0;
    }
    if (want < DECODE_LEAST) {
        want = b->low < DECODE_LEAST ? (want < b->low ? b->low : want) : DECODE_LEAST;
    }
    while (b->decoder != NULL && b->data.size < want) {
        if (!b->more && b->wire.size == 0) {
            return b->eof ? decode_end(b) : 0;
        }
        decode_status status = decode_some(b, want);
        if (status == DECODE_NO_MEMORY) {
            PyErr_NoMemory();
            return -1;
        }
        if (status == DECODE_ERROR) {
            return fail_by(b, "content_encoding", decoder_error(b->decoder));
        }
        if (body_over_cap(b)) {
            return body_fail_cap(b);
        }
        if (b->wire_ends.count > 0 && !b->more && b->wire_used == next_wire_end(b)) {
            ring_pop(&b->wire_ends);
            if (body_push_end(b) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

void
body_set_decoder(BodyObject *b, decoder *d)
{
    b->decoder = d;
    b->encoded = d != NULL;
}

void
body_set_cap(BodyObject *b, Py_ssize_t cap)
{
    b->cap = cap > 0 ? (size_t)cap : 0;
}

void
body_expect(BodyObject *b, int64_t length)
{
    b->expected = length > 0 ? (uint64_t)length : 0;
}
