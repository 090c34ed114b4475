/* transport_io.c - the bytes of a TLS transport; see transport.h.
 * Owns:    t->held, t->backlog.
 * Threads: the loop's. PYCALL: all but tls_unsent() and tls_drop_buffers().
 * Reading: all that one read of the socket brought is decrypted into a buffer borrowed from the loop and delivered
 * at once. While the program has paused reading, ciphertext is held and nothing decrypted.
 * Writing: encrypted into a buffer borrowed from the loop and sent at once; while the transport below is full, what
 * is encrypted stays in the engine. */
#include <stdlib.h>
#include <string.h>

#include "runtime/args.h"
#include "tls/transport.h"

#define LOST_WRITES_BEFORE_WARNING 5 /* asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES */
#define JOIN_SIZE 4096 /* bytes: what is smaller together is one record */
#define PLAIN_SIZE (LOOP_RECV_SIZE + 32 * 1024) /* one read of the socket, and a record begun before it */

/* ---- what is to be sent -------------------------------------------------------------------- */

size_t
tls_unsent(TlsObject *t)
{
    Py_ssize_t n = engine_unsent(&t->engine);
    if (n < 0) {
        PyErr_Clear();
        n = 0;
    }
    if (t->stream != NULL) { /* encrypted and not yet sent: the program's bytes all the same */
        n += (Py_ssize_t)stream_pending(t->stream);
    }
    return (size_t)n + t->backlog_bytes;
}

static int
send_below(void *arg, const char *base, size_t len)
{
    TlsObject *t = arg;
    if (t->stream != NULL) {
        return stream_send(t->stream, base, len);
    }
    if (t->lower == NULL || t->lost) {
        return 0;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(base, (Py_ssize_t)len);
    PyObject *r = bytes == NULL ? NULL : PyObject_CallMethod(t->lower, "write", "O", bytes);
    Py_XDECREF(bytes);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* What pauses the program must also resume it: nobody above may be stricter than the transport below, which
 * tells only of its own limits. */
void
tls_limit_below(TlsObject *t)
{
    size_t high = t->high < STREAM_HIGH_WATER ? t->high : STREAM_HIGH_WATER;
    size_t low = t->low < STREAM_HIGH_WATER / 4 ? t->low : STREAM_HIGH_WATER / 4;
    if (t->stream != NULL && stream_limit_writing(t->stream, high, low) < 0) {
        tls_fatal(t, "Fatal error on SSL protocol");
    }
}

static COLD void
tell_pausing(TlsObject *t, PyObject *method, const char *message)
{
    PyObject *protocol = Py_NewRef(t->to.protocol);
    PyObject *r = PyObject_CallMethodNoArgs(protocol, method);
    if (r == NULL) {
        loop_error(t->loop, message, (PyObject *)t, protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
}

static inline void
control_writing(TlsObject *t)
{
    size_t size = tls_unsent(t);
    if (LIKELY(!t->protocol_paused ? size <= t->high : size > t->low) || t->to.protocol == NULL
        || t->app == APP_LOST) {
        return;
    }
    t->protocol_paused = !t->protocol_paused;
    if (t->protocol_paused) {
        tell_pausing(t, t->loop->st->n_pause_writing, "protocol.pause_writing() failed");
    }
    else {
        tell_pausing(t, t->loop->st->n_resume_writing, "protocol.resume_writing() failed");
    }
}

void
tls_flush(TlsObject *t)
{
    if (!t->writing_paused && engine_flush(&t->engine, send_below, t) < 0) {
        tls_fatal(t, "Fatal error on SSL protocol");
        return;
    }
    control_writing(t);
}

/* Encrypt base[0:len] as far as OpenSSL takes it (it stops only in a renegotiation): the number of bytes,
 * or -1 with an exception. */
static Py_ssize_t
encrypt(TlsObject *t, const char *base, size_t len)
{
    size_t done = 0;
    while (done < len) {
        Py_ssize_t n = engine_write(&t->engine, base + done, len - done);
        if (n == ENGINE_ERROR) {
            return -1;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    return (Py_ssize_t)done;
}

static COLD int
put_back(TlsObject *t, const char *base, size_t len)
{
    if (t->backlog == NULL && (t->backlog = PyList_New(0)) == NULL) {
        return -1;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(base, (Py_ssize_t)len);
    int rc = bytes == NULL ? -1 : PyList_Append(t->backlog, bytes);
    Py_XDECREF(bytes);
    if (rc == 0) {
        t->backlog_bytes += len;
    }
    return rc;
}

/* What had to wait, in order. 0, or -1 with an exception. */
COLD int
tls_encrypt_backlog(TlsObject *t)
{
    while (t->backlog != NULL && PyList_GET_SIZE(t->backlog) > 0) {
        PyObject *bytes = Py_NewRef(PyList_GET_ITEM(t->backlog, 0));
        Py_ssize_t len = PyBytes_GET_SIZE(bytes);
        Py_ssize_t n = encrypt(t, PyBytes_AS_STRING(bytes), (size_t)len);
        int rc = n < 0 ? -1 : 0;
        if (n > 0) {
            t->backlog_bytes -= (size_t)n;
            if (n == len) {
                rc = PyList_SetSlice(t->backlog, 0, 1, NULL);
            }
            else {
                PyObject *rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes) + n, len - n);
                rc = rest == NULL ? -1 : PyList_SetItem(t->backlog, 0, rest);
            }
        }
        Py_DECREF(bytes);
        if (rc < 0 || n < len) {
            return rc;
        }
    }
    Py_CLEAR(t->backlog);
    return 0;
}

/* As if OpenSSL had not taken it: what asyncio's and uvloop's own tests do to see it sent later. */
PyObject *
tls_append_backlog(PyObject *op, PyObject *data)
{
    char *base;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(data, &base, &len) < 0
        || put_back((TlsObject *)op, base, (size_t)len) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* One buffer of a write(). 0, or -1 with an exception. */
static int
write_span(TlsObject *t, const char *base, size_t len)
{
    Py_ssize_t n = 0;
    if (LIKELY(t->state == TLS_OPEN && t->backlog == NULL)) {
        n = encrypt(t, base, len);
    }
    if (n < 0) {
        return -1;
    }
    return LIKELY((size_t)n == len) ? 0 : put_back(t, base + n, len - (size_t)n);
}

/* May it be written now? Later writes are counted and dropped, as asyncio does. */
static int
may_write(TlsObject *t)
{
    if (LIKELY(t->state == TLS_OPEN || t->state == TLS_HANDSHAKE)) {
        return 1;
    }
    if (t->conn_lost++ >= LOST_WRITES_BEFORE_WARNING) {
        PyObject *r = PyObject_CallMethod(t->loop->st->tls_support, "warn_lost_write", NULL);
        if (r == NULL) {
            PyErr_WriteUnraisable((PyObject *)t);
        }
        Py_XDECREF(r);
    }
    return 0;
}

/* A write that failed is the end of the connection, not the caller's problem. */
static PyObject *
wrote(TlsObject *t, int rc)
{
    if (UNLIKELY(rc < 0)) {
        if (uvolt_error_is_fatal()) {
            return NULL;
        }
        tls_fatal(t, "Fatal error on SSL protocol");
    }
    else {
        tls_flush(t);
    }
    Py_RETURN_NONE;
}

PyObject *
tls_write(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    TlsObject *t = (TlsObject *)op;
    PyObject *data = uvolt_args_one("write", "data", args, nargs, kwnames);
    if (UNLIKELY(data == NULL)) {
        return NULL;
    }
    if (LIKELY(PyBytes_CheckExact(data))) {
        if (UNLIKELY(PyBytes_GET_SIZE(data) == 0) || UNLIKELY(!may_write(t))) {
            Py_RETURN_NONE;
        }
        return wrote(t, write_span(t, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)));
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError, "data: expecting a bytes-like instance, got %.200s",
                            Py_TYPE(data)->tp_name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    PyObject *result = view.len == 0 || !may_write(t)
                           ? Py_NewRef(Py_None)
                           : wrote(t, write_span(t, view.buf, (size_t)view.len));
    PyBuffer_Release(&view);
    return result;
}

int
tls_send(TlsObject *t, const char *base, size_t len, PyObject *bytes)
{
    size_t more = bytes == NULL ? 0 : (size_t)PyBytes_GET_SIZE(bytes);
    char joined[JOIN_SIZE];
    int rc;
    if (!may_write(t)) {
        return 0;
    }
    if (len > 0 && more > 0 && len + more <= sizeof(joined)) { /* one record */
        memcpy(joined, base, len);
        memcpy(joined + len, PyBytes_AS_STRING(bytes), more);
        rc = write_span(t, joined, len + more);
    }
    else {
        rc = len == 0 ? 0 : write_span(t, base, len);
        if (rc == 0 && more > 0) {
            rc = write_span(t, PyBytes_AS_STRING(bytes), more);
        }
    }
    PyObject *r = wrote(t, rc);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

int
tls_is_quiet(const TlsObject *t)
{
    return t->state == TLS_OPEN && !t->closed && !t->eof_received && t->held_len == 0 && t->backlog == NULL
           && (t->stream == NULL || stream_is_quiet(t->stream));
}

/* Several buffers, one send. All Python code that their types may run comes before the first is encrypted. */
PyObject *
tls_writelines(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    TlsObject *t = (TlsObject *)op;
    PyObject *list = uvolt_args_one("writelines", "list_of_data", args, nargs, kwnames);
    PyObject *items = list == NULL ? NULL : stream_bytes_list(list);
    if (items == NULL) {
        return NULL;
    }
    int rc = 0;
    if (PyList_GET_SIZE(items) == 0 || !may_write(t)) {
        Py_DECREF(items);
        Py_RETURN_NONE;
    }
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(items); i++) {
        PyObject *bytes = PyList_GET_ITEM(items, i);
        if (PyBytes_GET_SIZE(bytes) > 0) {
            rc = write_span(t, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
        }
    }
    Py_DECREF(items);
    return wrote(t, rc);
}

/* From below: its buffer is full, or has room again. */
PyObject *
tls_pause_writing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    t->writing_paused = 1;
    control_writing(t);
    Py_RETURN_NONE;
}

PyObject *
tls_resume_writing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    t->writing_paused = 0;
    if (t->lower == NULL) { /* start_tls(): it was the program that was paused */
        t->protocol_paused = 1;
    }
    tls_flush(t);
    Py_RETURN_NONE;
}

/* ---- what came ----------------------------------------------------------------------------- */

/* Keep what the engine has not read. -1 with MemoryError. */
static int
hold(TlsObject *t, const char *base, size_t n)
{
    size_t need = t->held_len + n;
    if (need > t->held_room) {
        size_t room = need < 4096 ? 4096 : need + need / 2;
        char *held = realloc(t->held, room);
        if (held == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        t->held = held;
        t->held_room = room;
    }
    memcpy(t->held + t->held_len, base, n);
    t->held_len = need;
    return 0;
}

static void
let_go(TlsObject *t)
{
    free(t->held);
    t->held = NULL;
    t->held_len = t->held_room = 0;
}

void
tls_drop_buffers(TlsObject *t)
{
    let_go(t);
    engine_drop_output(&t->engine);
    engine_feed(&t->engine, NULL, 0);
    Py_CLEAR(t->backlog);
    t->backlog_bytes = 0;
}

/* pause_reading or resume_reading of the transport below. */
static void
call_below(TlsObject *t, const char *method)
{
    PyObject *r = PyObject_CallMethod(t->lower, method, NULL);
    if (r == NULL) {
        tls_fatal(t, "Fatal error on SSL protocol");
    }
    Py_XDECREF(r);
}

size_t
tls_unread(TlsObject *t)
{
    Py_ssize_t pending = t->engine.api == NULL && t->app_paused ? engine_pending(&t->engine) : 0;
    if (pending < 0) {
        PyErr_Clear();
        pending = 0;
    }
    return t->held_len + (size_t)pending;
}

/* More than the limit is held: no more from below until that is read. */
static void
control_reading(TlsObject *t)
{
    size_t size = tls_unread(t);
    if (LIKELY(!t->reading_paused ? size < t->read_high || size == 0 : size > t->read_low) || t->lost) {
        return;
    }
    t->reading_paused = !t->reading_paused;
    call_below(t, t->reading_paused ? "pause_reading" : "resume_reading");
}

/* What engine_read() says when it has given no more. */
static void
no_more(TlsObject *t, Py_ssize_t result)
{
    if (result == ENGINE_ERROR) {
        tls_fatal(t, "Fatal error on SSL protocol");
    }
    else if (result == ENGINE_EOF) { /* close_notify: TLS knows no half-closed connections */
        if (!tls_tell_eof(t)) {
            tls_begin_shutdown(t);
        }
    }
}

static inline int
may_deliver(const TlsObject *t)
{
    return (t->state == TLS_OPEN || t->state == TLS_FLUSHING) && !t->app_paused && !t->upgraded
           && t->to.protocol != NULL;
}

/* Can the session go on with what is held? */
static inline int
may_advance(const TlsObject *t)
{
    return t->state == TLS_HANDSHAKE || t->state == TLS_SHUTDOWN || may_deliver(t);
}

static inline int
deliver(TlsObject *t, const char *base, size_t n)
{
    t->in_context = 1;
    int rc = receiver_deliver(&t->to, base, (Py_ssize_t)n);
    t->in_context = 0;
    return rc;
}

/* Into a buffer of the program's own. ENGINE_AGAIN when there is no more for now. */
static Py_ssize_t
read_buffered(TlsObject *t)
{
    char *base;
    size_t room, n = 0;
    Py_ssize_t result = engine_pending(&t->engine);
    if (result <= 0) {
        return result == 0 ? ENGINE_AGAIN : ENGINE_ERROR;
    }
    if (receiver_take_buffer(&t->to, result, &base, &room) < 0) {
        return ENGINE_ERROR;
    }
    if (!may_deliver(t)) { /* get_buffer() has paused or closed */
        receiver_drop_buffer(&t->to);
        return ENGINE_AGAIN;
    }
    do {
        result = engine_read(&t->engine, base + n, room - n);
        n += result > 0 ? (size_t)result : 0;
    } while (result > 0 && n < room);
    PyObject *error = PyErr_GetRaisedException();
    int rc = 0;
    if (n > 0) {
        rc = deliver(t, base, n);
    }
    receiver_drop_buffer(&t->to);
    if (rc < 0) {
        Py_XDECREF(error);
        return ENGINE_ERROR;
    }
    PyErr_SetRaisedException(error);
    return result;
}

/* Into `plain`, and from there as the protocol takes it. */
static Py_ssize_t
read_plain(TlsObject *t, char *plain)
{
    size_t n = 0;
    Py_ssize_t result;
    do {
        result = engine_read(&t->engine, plain + n, PLAIN_SIZE - n);
        n += result > 0 ? (size_t)result : 0;
    } while (result > 0 && n < PLAIN_SIZE);
    if (n == 0) {
        return result;
    }
    PyObject *error = PyErr_GetRaisedException(); /* what came before it is delivered first */
    if (deliver(t, plain, n) < 0) {
        Py_XDECREF(error);
        return ENGINE_ERROR;
    }
    PyErr_SetRaisedException(error);
    return result;
}

/* The loop's buffer for plaintext, stolen while it is in use: callbacks may run the loop (nest_asyncio). */
static char *
take_plain(LoopObject *loop)
{
    char *plain = loop->plain_buffer;
    loop->plain_buffer = NULL;
    if (plain == NULL && (plain = malloc(PLAIN_SIZE)) == NULL) {
        PyErr_NoMemory();
    }
    return plain;
}

static void
return_plain(LoopObject *loop, char *plain)
{
    if (loop->plain_buffer == NULL && !loop->closed) {
        loop->plain_buffer = plain;
        return;
    }
    free(plain);
}

void
tls_read(TlsObject *t)
{
    Py_ssize_t result = 1;
    char *plain = NULL;
    while (result > 0 && may_deliver(t)) {
        if (receiver_is_buffered(&t->to)) {
            result = read_buffered(t);
        }
        else if (plain == NULL && (plain = take_plain(t->loop)) == NULL) {
            result = ENGINE_ERROR;
        }
        else {
            result = read_plain(t, plain);
        }
    }
    if (plain != NULL) {
        return_plain(t->loop, plain);
    }
    if (result == ENGINE_ERROR || (result == ENGINE_EOF && may_deliver(t))) {
        no_more(t, result);
    }
    if (t->state == TLS_OPEN || t->state == TLS_FLUSHING) {
        if (t->backlog != NULL && t->state == TLS_OPEN && tls_encrypt_backlog(t) < 0) {
            tls_fatal(t, "Fatal error on SSL protocol");
            return;
        }
        tls_flush(t);
    }
}

/* Let the session have what there is, as far as its state allows. */
static void
advance(TlsObject *t)
{
    if (t->state == TLS_HANDSHAKE) {
        tls_continue_handshake(t); /* reads what comes behind it */
    }
    else if (t->state == TLS_OPEN) {
        tls_read(t);
    }
    else if (t->state == TLS_FLUSHING) {
        tls_finish_reading(t);
    }
    else if (t->state == TLS_SHUTDOWN) {
        tls_continue_shutdown(t);
    }
}

/* What the engine has left of a span goes in front of what came meanwhile. */
static void
keep_rest(TlsObject *t, const char *rest, size_t n)
{
    char *later = t->held;
    size_t later_len = t->held_len;
    t->held = NULL;
    t->held_len = t->held_room = 0;
    int rc = hold(t, rest, n);
    if (rc == 0 && later_len > 0) {
        rc = hold(t, later, later_len);
    }
    free(later);
    if (rc < 0) {
        tls_fatal(t, "Fatal error on SSL protocol");
    }
}

static void
process(TlsObject *t, const char *base, size_t n)
{
    t->busy = 1;
    if (engine_feed(&t->engine, base, n) < 0) {
        tls_fatal(t, "Fatal error on SSL protocol");
    }
    else {
        advance(t);
    }
    size_t left = engine_unread(&t->engine);
    engine_feed(&t->engine, NULL, 0); /* cannot fail: nothing */
    t->busy = 0;
    if (left > 0 && t->state != TLS_UNWRAPPED) {
        keep_rest(t, base + (n - left), left);
    }
}

/* The same with what was held, or only with what the session itself has. */
static void
process_held(TlsObject *t)
{
    char *held = t->held; /* stolen: callbacks may come back here */
    size_t len = t->held_len;
    t->held = NULL;
    t->held_len = t->held_room = 0;
    process(t, held, len);
    free(held);
}

void
tls_work(TlsObject *t)
{
    t->more = 1;
    while (!t->busy && t->more) {
        t->more = 0;
        process_held(t);
        t->more &= may_advance(t);
    }
    control_reading(t);
}

void
tls_incoming(TlsObject *t, const char *base, size_t n)
{
    if (t->state == TLS_UNWRAPPED) {
        return;
    }
    Py_INCREF(t);
    if (LIKELY(!t->busy && t->held_len == 0)) {
        process(t, base, n);
    }
    else if (hold(t, base, n) < 0) { /* paused, or a callback has run the loop: keep the order */
        tls_fatal(t, "Fatal error on SSL protocol");
    }
    else {
        t->more = t->busy || may_advance(t);
    }
    if (UNLIKELY(t->more || (t->held_len > 0 && may_deliver(t)))) {
        tls_work(t);
    }
    else {
        control_reading(t);
    }
    Py_DECREF(t);
}

static int
sink_data(StreamObject *s, const char *base, Py_ssize_t n)
{
    TlsObject *t = (TlsObject *)s->to.protocol;
    LoopObject *loop = s->loop;
    char *buffer = loop->recv_buffer;
    loop->recv_buffer = NULL; /* stolen: `base` must stay while callbacks may run the loop */
    tls_incoming(t, base, (size_t)n);
    if (loop->recv_buffer == NULL && !loop->closed) {
        loop->recv_buffer = buffer;
    }
    else {
        free(buffer);
    }
    return 0;
}

const stream_sink tls_sink = {stream_plain_alloc, sink_data};

/* ---- pausing ------------------------------------------------------------------------------- */

PyObject *
tls_pause_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ((TlsObject *)op)->app_paused = 1;
    Py_RETURN_NONE;
}

/* _resume() in the next batch. -1 with an exception. */
int
tls_schedule_resume(TlsObject *t)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)t, "_resume");
    HandleObject *h = method == NULL ? NULL : loop_call_soon(t->loop, method, NULL, 0, NULL);
    Py_XDECREF(method);
    Py_XDECREF(h);
    return h == NULL ? -1 : 0;
}

PyObject *
tls_resume_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    if (t->app_paused) {
        t->app_paused = 0;
        if (tls_schedule_resume(t) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

/* _resume(): deliver what was held. Runs from the ready queue. */
PyObject *
tls_resume_soon(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    t->upgraded = 0;
    if (t->state != TLS_UNWRAPPED && !t->app_paused) {
        tls_work(t);
    }
    Py_RETURN_NONE;
}

/* ---- limits -------------------------------------------------------------------------------- */

static int
read_limits(TlsObject *t, const char *which, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
            size_t *high, size_t *low)
{
    Py_ssize_t top, bottom;
    if (uvolt_args_limits(t->loop->st->tls_support, which, args, nargs, kwnames, &top, &bottom) < 0) {
        return -1;
    }
    *high = (size_t)top;
    *low = (size_t)bottom;
    return 0;
}

void
tls_limit_writing(TlsObject *t, size_t high, size_t low)
{
    t->high = high;
    t->low = low;
    tls_limit_below(t);
    control_writing(t);
}

PyObject *
tls_set_write_limits(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    TlsObject *t = (TlsObject *)op;
    if (read_limits(t, "write_limits", args, nargs, kwnames, &t->high, &t->low) < 0) {
        return NULL;
    }
    tls_limit_writing(t, t->high, t->low);
    Py_RETURN_NONE;
}

PyObject *
tls_set_read_limits(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    TlsObject *t = (TlsObject *)op;
    if (read_limits(t, "read_limits", args, nargs, kwnames, &t->read_high, &t->read_low) < 0) {
        return NULL;
    }
    if (t->lower != NULL) {
        control_reading(t);
    }
    Py_RETURN_NONE;
}
