/* body_read.c - the reading methods of a body, as coroutines: each tries, and if it has to wait, tries again when woken.
 *
 * Nothing is taken before the whole of what was asked for is there, so that a cancelled read loses nothing. One waits
 * at a time. Owns nothing. Kept by: whoever awaits. Threads: the loop's. PYCALL: the steps. */
#include "http/body_impl.h"
#include "http/state.h"

#define LINE_STEP 16384 /* bytes decoded at a time while a separator is looked for */

typedef struct read_kind {
    coro_kind coro;
    const char *method; /* as errors name it */
    /* CORO_WAIT: not yet. PYCALL. */
    coro_outcome (*attempt)(BodyObject *b, CallObject *call, PyObject **result);
    char next;          /* of an iterator: nothing is its end */
} read_kind;

/* ---- waiting ------------------------------------------------------------------------------- */

static COLD int
enter_timer(BodyObject *b)
{
    PyObject *r = PyObject_CallMethod(b->timer, "__enter__", NULL);
    Py_XDECREF(r);
    b->timed = r != NULL;
    return r == NULL ? -1 : 0;
}

/* As `with` leaves it, with the exception that is set or none: it may make another one of it. */
static COLD void
leave_timer(BodyObject *b)
{
    PyObject *none = Py_None, *exc = PyErr_GetRaisedException();
    PyObject *type = exc == NULL ? none : (PyObject *)Py_TYPE(exc), *r;
    PyObject *tb = exc == NULL ? NULL : PyException_GetTraceback(exc);
    b->timed = 0;
    r = PyObject_CallMethod(b->timer, "__exit__", "OOO", type, exc == NULL ? none : exc, tb == NULL ? none : tb);
    if (r != NULL) {
        PyErr_SetRaisedException(exc);
    }
    else {
        Py_XDECREF(exc);
    }
    Py_XDECREF(r);
    Py_XDECREF(tb);
}

static int
check_connected(BodyObject *b)
{
    int connected = !b->detached;
    if (b->protocol != NULL) {
        PyObject *value = PyObject_GetAttr(b->protocol, b->loop->st->http->n_connected);
        connected = value == NULL ? -1 : PyObject_IsTrue(value);
        Py_XDECREF(value);
    }
    if (connected == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Connection closed.");
    }
    return connected > 0 ? 0 : -1;
}

static void
end_reader(BodyObject *b)
{
    b->reader = NULL;
    b->whole = 0;
    if (b->waiter != NULL) { /* it was not woken */
        Py_CLEAR(b->waiter);
        body_awaited(b);
    }
}

/* This reader waits no more. */
static void
stop_waiting(BodyObject *b)
{
    end_reader(b);
    if (UNLIKELY(b->timed)) {
        leave_timer(b);
    }
}

/* The source may feed, and wake us, from within body_resume(): so the Future is there before. */
static coro_outcome
wait_for_more(BodyObject *b, CoroObject *c, const char *method)
{
    if (check_connected(b) < 0) {
        return CORO_ERROR;
    }
    if (b->waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError, "%s() called while another coroutine is already waiting for incoming data",
                     method);
        return CORO_ERROR;
    }
    b->waiter = loop_create_future((PyObject *)b->loop, NULL);
    if (b->waiter == NULL) {
        return CORO_ERROR;
    }
    b->reader = c;
    body_awaited(b);
    if ((b->timer != NULL && enter_timer(b) < 0) || coro_await(c, b->waiter) < 0
        || ((b->data.size > 0 || b->paused) && body_resume(b) < 0)) {
        stop_waiting(b);
        return CORO_ERROR;
    }
    return CORO_WAIT;
}

/* First of each step: 0, or -1 with the exception that what was awaited gave. */
static int
begin_step(BodyObject *b, CoroObject *c, PyObject *value)
{
    if (b->reader == c) {
        stop_waiting(b);
    }
    return value == NULL && UNLIKELY(PyErr_Occurred() != NULL) ? -1 : 0;
}

void
body_read_end(BodyObject *b, CoroObject *c)
{
    if (b->reader == c) {
        end_reader(b);
    }
}

/* ---- what the methods do ------------------------------------------------------------------- */

static coro_outcome
outcome_of(PyObject *result)
{
    return result == NULL ? CORO_ERROR : CORO_DONE;
}

/* 1: something is there, or nothing will come; 0: not yet; -1 with an exception. */
static int
available(BodyObject *b, size_t want)
{
    if (body_check(b) < 0 || body_fill(b, want) < 0 || body_check(b) < 0) {
        return -1;
    }
    return b->data.size > 0 || body_ended(b);
}

static coro_outcome
try_some(BodyObject *b, size_t want, size_t most, PyObject **result)
{
    int there = available(b, want);
    if (there <= 0) {
        return there < 0 ? CORO_ERROR : CORO_WAIT;
    }
    *result = body_take(b, most);
    return outcome_of(*result);
}

/* What is decoded for who asks for no number of bytes. */
static size_t
some(const BodyObject *b)
{
    return b->low > 0 ? b->low : 1;
}

static coro_outcome
try_all(BodyObject *b, PyObject **result)
{
    body_raise_marks(b, PY_SSIZE_T_MAX);
    if (available(b, BODY_ALL) < 0) {
        return CORO_ERROR;
    }
    if (!body_ended(b)) {
        return CORO_WAIT;
    }
    *result = body_take(b, BODY_ALL);
    return outcome_of(*result);
}

/* A read at the end: more than a few in a row look like a loop that does not see it. */
static int
note_end(BodyObject *b)
{
    if (!body_ended(b) || b->data.size > 0 || ++b->eof_reads <= 5) {
        return 0;
    }
    PyObject *r = body_load(b) < 0 ? NULL : PyObject_CallMethod(b->loop->st->http->streams, "read_at_end", NULL);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static coro_outcome
attempt_read(BodyObject *b, CallObject *call, PyObject **result)
{
    if (call->phase++ == 0) {
        if (body_check(b) < 0 || note_end(b) < 0) {
            return CORO_ERROR;
        }
        if (call->n > 0) {
            body_raise_marks(b, (size_t)call->n);
        }
    }
    if (call->n < 0) {
        return try_all(b, result);
    }
    if (call->n == 0) {
        *result = PyBytes_FromStringAndSize(NULL, 0);
        return outcome_of(*result);
    }
    return try_some(b, (size_t)call->n, (size_t)call->n, result);
}

static coro_outcome
attempt_readany(BodyObject *b, CallObject *Py_UNUSED(call), PyObject **result)
{
    return try_some(b, some(b), BODY_ALL, result);
}

static COLD coro_outcome
cut_short(BodyObject *b, Py_ssize_t n)
{
    PyObject *partial = body_take(b, BODY_ALL);
    if (partial != NULL && body_load(b) == 0) {
        PyObject *type = b->loop->st->http->IncompleteReadError;
        PyObject *exc = PyObject_CallFunction(type, "On", partial, n);
        if (exc != NULL) {
            PyErr_SetObject(type, exc);
            Py_DECREF(exc);
        }
    }
    Py_XDECREF(partial);
    return CORO_ERROR;
}

static coro_outcome
attempt_readexactly(BodyObject *b, CallObject *call, PyObject **result)
{
    size_t n = call->n > 0 ? (size_t)call->n : 0;
    if (n > 0) {
        body_raise_marks(b, n);
    }
    if (available(b, n) < 0) {
        return CORO_ERROR;
    }
    if (b->data.size < n) {
        return body_ended(b) ? cut_short(b, call->n) : CORO_WAIT;
    }
    *result = body_take(b, n);
    return outcome_of(*result);
}

/* (bytes, end), of which `bytes` is stolen. */
static coro_outcome
chunk_outcome(PyObject *bytes, int end, PyObject **result)
{
    *result = bytes == NULL ? NULL : Py_BuildValue("(NO)", bytes, end ? Py_True : Py_False);
    return outcome_of(*result);
}

static COLD int
warn_skipped(BodyObject *b)
{
    PyObject *r = body_load(b) < 0 ? NULL : PyObject_CallMethod(b->loop->st->http->streams, "chunk_skipped", NULL);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static coro_outcome
attempt_readchunk(BodyObject *b, CallObject *Py_UNUSED(call), PyObject **result)
{
    int there = available(b, some(b));
    if (there < 0) {
        return CORO_ERROR;
    }
    while (b->ends.count > 0) {
        int64_t end = (int64_t)(uintptr_t)ring_pop(&b->ends);
        if (end >= b->cursor) {
            return chunk_outcome(body_take(b, (size_t)(end - b->cursor)), 1, result);
        }
        if (warn_skipped(b) < 0) {
            return CORO_ERROR;
        }
    }
    if (!there) {
        return CORO_WAIT;
    }
    return chunk_outcome(body_take(b, pieces_first_len(&b->data)), 0, result);
}

/* ---- lines --------------------------------------------------------------------------------- */

/* What crosses into piece i, whose first byte is at `at`: the end of a separator that begins before it, or 0; -1: out of
 * memory. */
static Py_ssize_t
find_across(const pieces *p, size_t i, size_t at, const char *sep, size_t sep_len)
{
    size_t before = at < sep_len - 1 ? at : sep_len - 1, len, filled = 0, skip = at - before;
    char *joint = PyMem_Malloc(2 * sep_len);
    if (joint == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t k = 0; k <= i; k++) {
        const char *base = pieces_at(p, k, &len);
        if (skip >= len) {
            skip -= len;
            continue;
        }
        size_t room = k == i ? sep_len - 1 : before - filled, part = len - skip;
        part = part < room ? part : room;
        memcpy(joint + filled, base + skip, part);
        filled += part;
        skip = 0;
    }
    const char *hit = memmem(joint, filled, sep, sep_len);
    size_t end = hit == NULL ? 0 : at - before + (size_t)(hit - joint) + sep_len;
    PyMem_Free(joint);
    return (Py_ssize_t)end;
}

/* Looks at what was not looked at. 1: *end is where the separator ends; 0: it is not there; -2: more than `max` bytes
 * come before it, *end of them are to go; -1: out of memory. */
static int
find_separator(BodyObject *b, const char *sep, size_t sep_len, size_t max, size_t *end)
{
    const pieces *p = &b->data;
    size_t at = 0, len, count = pieces_count(p), from = b->scan_from == b->cursor ? b->scanned : 0;
    from = from < sep_len - 1 ? 0 : from - (sep_len - 1);
    for (size_t i = 0; i < count; i++, at += len) {
        const char *base = pieces_at(p, i, &len), *hit = NULL;
        if (at + len <= from) {
            continue;
        }
        Py_ssize_t across = at > 0 && sep_len > 1 ? find_across(p, i, at, sep, sep_len) : 0;
        if (across < 0) {
            return -1;
        }
        if (across == 0) {
            size_t skip = from > at ? from - at : 0;
            hit = memmem(base + skip, len - skip, sep, sep_len);
        }
        *end = across > 0 ? (size_t)across : hit != NULL ? at + (size_t)(hit - base) + sep_len : at + len;
        if (*end > max) {
            return -2;
        }
        if (across > 0 || hit != NULL) {
            return 1;
        }
    }
    b->scan_from = b->cursor;
    b->scanned = p->size;
    return 0;
}

static COLD coro_outcome
too_long(BodyObject *b, size_t end, size_t max)
{
    PyObject *line = body_take(b, end), *exc = NULL;
    if (line != NULL && body_load(b) == 0) {
        exc = PyObject_CallMethod(b->loop->st->http->streams, "line_too_long", "On", line, (Py_ssize_t)max);
    }
    if (exc != NULL) {
        body_raise(exc);
        Py_DECREF(exc);
    }
    Py_XDECREF(line);
    return CORO_ERROR;
}

static coro_outcome
attempt_readuntil(BodyObject *b, CallObject *call, PyObject **result)
{
    const char *sep = call->arg == NULL ? "\n" : PyBytes_AS_STRING(call->arg);
    size_t sep_len = call->arg == NULL ? 1 : (size_t)PyBytes_GET_SIZE(call->arg), end = 0, had;
    if (call->phase++ == 0) {
        b->scanned = 0;
    }
    size_t max = call->n != 0 ? (size_t)call->n : b->high;
    do {
        had = b->data.size;
        int there = available(b, had == 0 ? 1 : 0);
        int found = there < 0 ? -1 : find_separator(b, sep, sep_len, max, &end);
        if (found == -2) {
            return too_long(b, end, max);
        }
        if (found != 0) {
            *result = found < 0 ? NULL : body_take(b, end);
            return outcome_of(*result);
        }
        had = b->data.size;
        if (available(b, had + LINE_STEP) < 0) {
            return CORO_ERROR;
        }
    } while (b->data.size > had);
    if (!body_ended(b)) {
        return CORO_WAIT;
    }
    *result = body_take(b, BODY_ALL);
    return outcome_of(*result);
}

/* ---- steps --------------------------------------------------------------------------------- */

/* b"", or (b"", False). */
static int
is_nothing(PyObject *result)
{
    if (PyTuple_Check(result)) {
        return PyTuple_GET_ITEM(result, 1) == Py_False && PyBytes_GET_SIZE(PyTuple_GET_ITEM(result, 0)) == 0;
    }
    return PyBytes_GET_SIZE(result) == 0;
}

static coro_outcome
read_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    BodyObject *b = (BodyObject *)call->owner;
    const read_kind *kind = CONTAINER_OF(c->kind, const read_kind, coro);
    if (begin_step(b, c, value) < 0) {
        return CORO_ERROR;
    }
    coro_outcome outcome = kind->attempt(b, call, result);
    if (outcome == CORO_WAIT) {
        return wait_for_more(b, c, kind->method);
    }
    if (outcome == CORO_DONE && kind->next && is_nothing(*result)) {
        Py_CLEAR(*result);
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return CORO_ERROR;
    }
    return outcome;
}

static void
read_end(CoroObject *c)
{
    body_read_end((BodyObject *)((CallObject *)c)->owner, c);
}

int
body_read_step(BodyObject *b, CoroObject *c, const char *method, PyObject *value, PyObject **result)
{
    if (b->loop == NULL) {
        *result = PyBytes_FromStringAndSize(NULL, 0);
        return outcome_of(*result);
    }
    if (begin_step(b, c, value) < 0) {
        return CORO_ERROR;
    }
    coro_outcome outcome = try_all(b, result);
    if (outcome == CORO_WAIT) {
        outcome = wait_for_more(b, c, method);
        b->whole = b->reader == c && b->decoder == NULL;
    }
    return outcome;
}

/* ---- wait_eof() ---------------------------------------------------------------------------- */

static coro_outcome
wait_eof_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    BodyObject *b = (BodyObject *)call->owner;
    if (call->phase++ > 0) {
        if (value != NULL && body_check(b) == 0) {
            *result = Py_NewRef(Py_None);
        }
        return outcome_of(*result);
    }
    if (b->eof) {
        *result = Py_NewRef(Py_None);
        return CORO_DONE;
    }
    if (b->eof_waiter != NULL) {
        PyErr_SetString(PyExc_AssertionError, "wait_eof() called while another coroutine waits for the end");
        return CORO_ERROR;
    }
    call->arg = loop_create_future((PyObject *)b->loop, NULL);
    if (call->arg == NULL || coro_await(c, call->arg) < 0) {
        return CORO_ERROR;
    }
    b->eof_waiter = Py_NewRef(call->arg);
    body_awaited(b);
    return CORO_WAIT;
}

static void
wait_eof_end(CoroObject *c)
{
    CallObject *call = (CallObject *)c;
    BodyObject *b = (BodyObject *)call->owner;
    if (call->arg != NULL && b->eof_waiter == call->arg) {
        Py_CLEAR(b->eof_waiter);
        body_awaited(b);
    }
}

/* ---- the calls ----------------------------------------------------------------------------- */

#define ITERATOR "AsyncStreamIterator.__anext__"
#define CHUNKS "ChunkTupleAsyncStreamIterator.__anext__"

static const read_kind kinds[] = {
    [BODY_READ] = {{"StreamReader.read", read_step, read_end}, "read", attempt_read, 0},
    [BODY_READANY] = {{"StreamReader.readany", read_step, read_end}, "readany", attempt_readany, 0},
    [BODY_READUNTIL] = {{"StreamReader.readuntil", read_step, read_end}, "readuntil", attempt_readuntil, 0},
    [BODY_READCHUNK] = {{"StreamReader.readchunk", read_step, read_end}, "readchunk", attempt_readchunk, 0},
    [BODY_READEXACTLY] = {{"StreamReader.readexactly", read_step, read_end}, "read", attempt_readexactly, 0},
    [BODY_WAIT_EOF] = {{"StreamReader.wait_eof", wait_eof_step, wait_eof_end}, "wait_eof", NULL, 0},
    [BODY_NEXT] = {{ITERATOR, read_step, read_end}, "read", attempt_read, 1},
    [BODY_NEXT_ANY] = {{ITERATOR, read_step, read_end}, "readany", attempt_readany, 1},
    [BODY_NEXT_LINE] = {{ITERATOR, read_step, read_end}, "readuntil", attempt_readuntil, 1},
    [BODY_NEXT_CHUNK] = {{CHUNKS, read_step, read_end}, "readchunk", attempt_readchunk, 1},
};

PyObject *
body_call(BodyObject *b, body_method method, PyObject *arg, Py_ssize_t n)
{
    if (b->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "StreamReader.__init__() was not called");
        return NULL;
    }
    return call_new(b->loop, &kinds[method].coro, (PyObject *)b, arg, NULL, n);
}
