/* body_feed.c - what comes off the wire into a body, and what is taken from it. Contract in body.h and body_impl.h. */
#include "core/large.h"
#include "http/body_impl.h"
#include "http/state.h"

#define PRESIZE_MAX (16 << 20)   /* bytes of memory that a Content-Length alone gets */
#define PRESIZE_UNREAD (1 << 20) /* the same, before anybody reads */

/* ---- in ------------------------------------------------------------------------------------ */

static int
reads_all(const BodyObject *b)
{
    return b->low == PY_SSIZE_T_MAX;
}

/* Bytes of memory to get for what is to come. */
static size_t
presize(const BodyObject *b)
{
    uint64_t due = b->expected > b->total ? b->expected - b->total : 0;
    return due > PRESIZE_MAX ? PRESIZE_MAX : (size_t)due;
}

/* Is the next piece to be the whole body, though nobody reads yet? */
static int
begins_whole(const BodyObject *b)
{
    return b->total == 0 && b->expected <= PRESIZE_UNREAD;
}

/* The first room of a body whose length is known: that of an earlier one, if there is any. */
static void
reuse_room(BodyObject *b, size_t hint)
{
    if (hint >= LARGE_MIN && hint == b->expected && b->data.first == NULL) {
        PyObject *bytes = large_take(b->loop, (Py_ssize_t)hint);
        if (bytes != NULL) {
            pieces_give_room(&b->data, bytes);
        }
    }
}

/* It grows as one object. What lies in its place already is not copied. */
static int
append_growing(BodyObject *b, const char *base, size_t n)
{
    size_t hint = presize(b);
    reuse_room(b, hint);
    while (n > 0) {
        char *to;
        size_t room;
        if (pieces_reserve(&b->data, hint > n ? hint : n, 1, &to, &room) < 0) {
            return -1;
        }
        size_t part = n < room ? n : room;
        if (to != base) {
            memcpy(to, base, part);
        }
        pieces_commit(&b->data, part);
        base += part;
        n -= part;
    }
    return 0;
}

/* 1: go on; 0: it is dropped; -1 with an exception. */
static int
feed_begin(BodyObject *b, size_t n)
{
    if (UNLIKELY(b->eof)) {
        PyErr_SetString(PyExc_AssertionError, "feed_data after feed_eof");
        return -1;
    }
    b->wire_total += n;
    b->fed_in = b->loop->polls;
    return b->exception == NULL && !b->draining && n > 0;
}

static int
feed_done(BodyObject *b, size_t n)
{
    if (!b->encoded) {
        b->total += n;
    }
    if (body_over_cap(b)) {
        return body_fail_cap(b);
    }
    if (b->whole) { /* nor may it be held up: ends of chunks from before may still count against it */
        return 0;
    }
    body_wake(b);
    return body_check_high(b);
}

int
body_feed(BodyObject *b, const char *base, size_t n)
{
    int rc = feed_begin(b, n);
    if (rc <= 0) {
        return rc;
    }
    if (b->decoder != NULL) {
        rc = pieces_append(&b->wire, base, n);
    }
    else {
        int whole = reads_all(b) || begins_whole(b);
        rc = whole ? append_growing(b, base, n) : pieces_append(&b->data, base, n);
    }
    return rc < 0 ? -1 : feed_done(b, n);
}

int
body_room(BodyObject *b, uint64_t left, char **base, size_t *room)
{
    if (b->eof || b->exception != NULL || b->draining || b->decoder != NULL) {
        return 0;
    }
    if (!reads_all(b)) {
        return b->data.size > 0 && b->fed_in == b->loop->polls ? -1 : 0;
    }
    size_t hint = presize(b);
    reuse_room(b, hint);
    if (pieces_reserve(&b->data, hint, 1, base, room) < 0) {
        PyErr_Clear(); /* feeding will say so */
        return 0;
    }
    if (*room > left) {
        *room = (size_t)left;
    }
    return 1;
}

int
body_feed_object(BodyObject *b, PyObject *bytes)
{
    int rc = feed_begin(b, (size_t)PyBytes_GET_SIZE(bytes));
    if (rc <= 0) {
        return rc;
    }
    rc = pieces_push(b->decoder != NULL ? &b->wire : &b->data, bytes);
    return rc < 0 ? -1 : feed_done(b, (size_t)PyBytes_GET_SIZE(bytes));
}

void
body_begin_chunks(BodyObject *b)
{
    b->chunked = 1;
}

int
body_chunk_end(BodyObject *b)
{
    if (b->exception != NULL || b->draining || b->whole) {
        return 0;
    }
    if (b->decoder != NULL && (b->wire.size > 0 || b->more)) {
        if (ring_push(&b->wire_ends, (void *)(uintptr_t)b->wire_total) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    else if (b->total == b->last_end) {
        return 0;
    }
    else if (body_push_end(b) < 0) {
        return -1;
    }
    if (b->ends.count + b->wire_ends.count > b->ends_high && body_check_high(b) < 0) {
        return -1;
    }
    body_wake(b);
    return 0;
}

static int
report_callback(BodyObject *b)
{
    PyObject *exc = PyErr_GetRaisedException();
    if (!PyErr_GivenExceptionMatches(exc, PyExc_Exception) || body_load(b) < 0) {
        PyErr_SetRaisedException(exc);
        return -1;
    }
    PyObject *r = PyObject_CallMethod(b->loop->st->http->streams, "callback_failed", "O", exc);
    Py_DECREF(exc);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

int
body_call_back(BodyObject *b, PyObject *callback)
{
    PyObject *r = PyObject_CallNoArgs(callback);
    Py_XDECREF(r);
    return r != NULL ? 0 : report_callback(b);
}

static int
run_callbacks(BodyObject *b)
{
    PyObject *callbacks = b->callbacks;
    b->callbacks = NULL;
    int rc = 0;
    for (Py_ssize_t i = 0; callbacks != NULL && rc == 0 && i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *callback = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        rc = body_call_back(b, callback);
        Py_DECREF(callback);
    }
    Py_XDECREF(callbacks);
    return rc;
}

/* A protocol of Python's has nothing left to parse at the end. */
static int
resume_at_end(BodyObject *b)
{
    if (b->protocol == NULL) {
        return body_resume(b);
    }
    if (body_load(b) < 0) {
        return -1;
    }
    PyObject *r = PyObject_CallMethod(b->loop->st->http->streams, "resume_at_end", "O", b->protocol);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

int
body_feed_eof(BodyObject *b)
{
    Py_INCREF(b);
    b->eof = 1;
    body_wake_all(b);
    int rc = resume_at_end(b);
    if (rc == 0 && b->callbacks != NULL) {
        rc = run_callbacks(b);
    }
    Py_DECREF(b);
    return rc;
}

void
body_drain(BodyObject *b)
{
    Py_INCREF(b);
    b->draining = 1;
    body_drop_bytes(b);
    if (body_resume(b) < 0) {
        PyErr_WriteUnraisable((PyObject *)b);
    }
    Py_DECREF(b);
}

int
body_is_complete(const BodyObject *b)
{
    return b->eof || b->loop == NULL;
}

PyObject *
body_exception(const BodyObject *b)
{
    return b->exception;
}

/* ---- out ----------------------------------------------------------------------------------- */

/* Ends of chunks that the reader went past without asking for them. */
static void
drop_ends(BodyObject *b)
{
    while (b->ends.count > 0) {
        uintptr_t end = (uintptr_t)b->ends.slots[b->ends.head & b->ends.mask];
        if ((int64_t)end >= b->cursor) {
            return;
        }
        ring_pop(&b->ends);
    }
}

static COLD int
check_timer(BodyObject *b)
{
    PyObject *r = PyObject_CallMethod(b->timer, "assert_timeout", NULL);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

PyObject *
body_take(BodyObject *b, size_t n)
{
    size_t had = b->data.size;
    if (b->timer != NULL && check_timer(b) < 0) {
        return NULL;
    }
    PyObject *bytes = pieces_take(&b->data, n);
    if (bytes == NULL || had == 0) {
        return bytes;
    }
    b->cursor += PyBytes_GET_SIZE(bytes);
    if (UNLIKELY(b->expected >= LARGE_MIN && b->expected == (uint64_t)PyBytes_GET_SIZE(bytes))) {
        large_keep(b->loop, bytes);
    }
    drop_ends(b);
    if (body_check_low(b) < 0) {
        Py_CLEAR(bytes);
    }
    return bytes;
}

int
body_unread(BodyObject *b, PyObject *bytes)
{
    if (pieces_unshift(&b->data, bytes) < 0) {
        return -1;
    }
    b->cursor -= PyBytes_GET_SIZE(bytes);
    b->eof_reads = 0;
    return 0;
}

PyObject *
body_take_all(BodyObject *b)
{
    if (b->loop == NULL) {
        return PyBytes_FromStringAndSize(NULL, 0);
    }
    if (body_check(b) < 0 || body_fill(b, BODY_ALL) < 0 || body_check(b) < 0) {
        return NULL;
    }
    return body_take(b, BODY_ALL);
}

PyObject *
body_empty(core_state *st)
{
    if (http_load(st) < 0) {
        return NULL;
    }
    return PyObject_GetAttrString(st->http->streams, "EMPTY_PAYLOAD");
}
