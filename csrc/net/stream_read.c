/* stream_read.c - from the socket to the protocol.
 * Owns:    s->view during one read; the bytes it makes.
 * Threads: the loop's. PYCALL: on_alloc(), on_read() through the sinks.
 * Three sinks: bytes for data_received, straight into the buffer of a BufferedProtocol, and straight into
 * the bytearray of a stock asyncio.StreamReader, which saves two Python frames per read. */
#include "core/clock.h"
#include "core/handle.h"
#include "net/stream.h"

/* ---- calling the protocol ------------------------------------------------------------------ */

static COLD int
note_slow(StreamObject *s, PyObject *callback, PyObject *arg, double took)
{
    HandleObject *h = handle_new(s->loop, callback, &arg, 1, s->context);
    PyObject *r = h == NULL ? NULL
                            : PyObject_CallMethod(s->loop->st->support, "slow_callback", "Od",
                                                  (PyObject *)h, took);
    Py_XDECREF(h);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* callback(arg) in the context of the stream. New reference. A bound method is taken apart here: its
 * own vectorcall would copy the arguments once more. */
static inline PyObject *
call_in_context(StreamObject *s, PyObject *callback, PyObject *arg)
{
    PyObject *context = s->context, *function = callback;
    PyObject *args[3] = {NULL, arg};
    size_t nargs = 1;
    if (LIKELY(PyMethod_Check(callback))) {
        function = PyMethod_GET_FUNCTION(callback);
        args[1] = PyMethod_GET_SELF(callback);
        args[2] = arg;
        nargs = 2;
    }
    int debug = s->loop->debug;
    double start = UNLIKELY(debug) ? clock_now() : 0;
    if (UNLIKELY(PyContext_Enter(context) < 0)) {
        return NULL;
    }
    PyObject *r =
        PyObject_Vectorcall(function, args + 1, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (UNLIKELY(PyContext_Exit(context) < 0)) {
        Py_CLEAR(r);
    }
    if (UNLIKELY(debug) && r != NULL) {
        double took = clock_now() - start;
        if (took >= s->loop->slow_callback_duration && note_slow(s, callback, arg, took) < 0) {
            Py_CLEAR(r);
        }
    }
    return r;
}

/* ---- sink: data_received(bytes) ------------------------------------------------------------ */

static void
plain_alloc(StreamObject *s, uv_buf_t *buf)
{
    buf->base = loop_recv_buffer(s->loop);
    buf->len = buf->base == NULL ? 0 : LOOP_RECV_SIZE;
}

/* Beyond pymalloc's sizes a bytes object costs a trip to malloc and back, for messages just over 1 KiB
 * (glibc's tcache ends there) as much as the rest of the read. So the last one is kept if nobody else has
 * a reference to it, and becomes the next one of the same size. */
#define SPARE_MIN 512

static PyObject *
take_spare(LoopObject *loop, Py_ssize_t n)
{
    PyObject *bytes = loop->spare;
    if (bytes == NULL || PyBytes_GET_SIZE(bytes) != n) {
        return NULL;
    }
    loop->spare = NULL;
    /* A change of size is what makes _PyBytes_Resize() forget a hash that was computed. */
    Py_SET_SIZE(bytes, n + 1);
    if (_PyBytes_Resize(&bytes, n) < 0) {
        PyErr_Clear();
    }
    return bytes;
}

static inline void
release_bytes(LoopObject *loop, PyObject *bytes, Py_ssize_t n)
{
    if (n > SPARE_MIN && Py_REFCNT(bytes) == 1 && UVOLT_POOL_MAX > 0) {
        Py_XSETREF(loop->spare, bytes);
        return;
    }
    Py_DECREF(bytes);
}

static int
plain_data(StreamObject *s, const char *base, Py_ssize_t n)
{
    PyObject *bytes = n > SPARE_MIN ? take_spare(s->loop, n) : NULL;
    if (bytes != NULL) {
        memcpy(PyBytes_AS_STRING(bytes), base, (size_t)n);
    }
    else if (UNLIKELY((bytes = PyBytes_FromStringAndSize(base, n)) == NULL)) {
        return -1;
    }
    PyObject *callback = Py_NewRef(s->on_data);
    PyObject *r = call_in_context(s, callback, bytes);
    Py_DECREF(callback);
    release_bytes(s->loop, bytes, n);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static const stream_sink plain_sink = {plain_alloc, plain_data};

/* ---- sink: BufferedProtocol ---------------------------------------------------------------- */

static COLD void
buffer_failed(StreamObject *s)
{
    stream_fatal(s, "Fatal error: protocol.get_buffer() call failed.");
}

/* An empty buffer has its own error, also where it is empty and read-only. */
static COLD void
explain_refusal(PyObject *obj)
{
    PyObject *refused = PyErr_GetRaisedException();
    if (PyObject_Size(obj) == 0) {
        Py_XDECREF(refused);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return;
    }
    PyErr_Clear();
    if (refused == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return;
    }
    PyErr_SetRaisedException(refused);
}

static int
take_view(StreamObject *s, PyObject *obj)
{
    if (s->view == NULL && (s->view = calloc(1, sizeof(*s->view))) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyObject_GetBuffer(obj, s->view, PyBUF_WRITABLE) < 0) {
        s->view->obj = NULL;
        explain_refusal(obj);
        return -1;
    }
    if (s->view->len == 0) {
        PyBuffer_Release(s->view);
        explain_refusal(obj);
        return -1;
    }
    return 0;
}

static inline void
drop_view(StreamObject *s)
{
    if (s->view != NULL && s->view->obj != NULL) {
        PyBuffer_Release(s->view);
    }
}

static void
buffered_alloc(StreamObject *s, uv_buf_t *buf)
{
    PyObject *hint = PyLong_FromLong(-1);
    PyObject *callback = Py_NewRef(s->get_buffer);
    PyObject *obj = hint == NULL ? NULL : call_in_context(s, callback, hint);
    Py_DECREF(callback);
    Py_XDECREF(hint);
    if (obj == NULL) {
        buffer_failed(s);
        return;
    }
    int rc = take_view(s, obj);
    Py_DECREF(obj);
    if (rc < 0) {
        buffer_failed(s);
        return;
    }
    buf->base = s->view->buf;
    buf->len = (size_t)s->view->len;
}

static int
buffered_data(StreamObject *s, const char *Py_UNUSED(base), Py_ssize_t n)
{
    drop_view(s);
    PyObject *count = PyLong_FromSsize_t(n);
    if (count == NULL) {
        return -1;
    }
    PyObject *callback = Py_NewRef(s->on_data);
    PyObject *r = call_in_context(s, callback, count);
    Py_DECREF(callback);
    Py_DECREF(count);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static const stream_sink buffered_sink = {buffered_alloc, buffered_data};

/* ---- sink: a stock StreamReader ------------------------------------------------------------ */

/* reader.feed_data(bytes), for whatever the quick way does not do. */
static COLD int
feed_slow(core_state *st, PyObject *reader, const char *base, Py_ssize_t n)
{
    PyObject *bytes = PyBytes_FromStringAndSize(base, n);
    PyObject *r =
        bytes == NULL ? NULL : PyObject_CallMethodOneArg(reader, st->n_feed_data, bytes);
    Py_XDECREF(bytes);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
append(PyObject *bytearray, const char *base, Py_ssize_t n)
{
    Py_ssize_t old = PyByteArray_GET_SIZE(bytearray);
    if (PyByteArray_Resize(bytearray, old + n) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(bytearray) + old, base, (size_t)n);
    return 0;
}

/* As StreamReader._wakeup_waiter(). */
static int
wake_waiter(core_state *st, PyObject *reader)
{
    PyObject *waiter = PyObject_GetAttr(reader, st->n__waiter);
    if (waiter == NULL || waiter == Py_None) {
        Py_XDECREF(waiter);
        return waiter == NULL ? -1 : 0;
    }
    PyObject *r = NULL;
    if (PyObject_SetAttr(reader, st->n__waiter, Py_None) == 0) {
        r = PyObject_CallMethodOneArg(waiter, st->n_set_result, Py_None);
        if (UNLIKELY(r == NULL) && PyErr_ExceptionMatches(st->InvalidStateError)) {
            PyErr_Clear(); /* it was cancelled meanwhile */
            r = Py_NewRef(Py_None);
        }
    }
    Py_XDECREF(r);
    Py_DECREF(waiter);
    return r == NULL ? -1 : 0;
}

/* The reader holds more than twice its limit: it pauses the transport, in its own Python code, fed
 * with nothing more. */
static int
check_limit(core_state *st, PyObject *reader, Py_ssize_t size)
{
    PyObject *limit = PyObject_GetAttr(reader, st->n__limit);
    if (limit == NULL) {
        return -1;
    }
    Py_ssize_t most = PyLong_Check(limit) ? PyLong_AsSsize_t(limit) : 0;
    Py_DECREF(limit);
    if (most == -1 && PyErr_Occurred()) {
        PyErr_Clear(); /* larger than any buffer */
        return 0;
    }
    if ((size + 1) / 2 <= most) { /* size <= 2 * most, without its overflow */
        return 0;
    }
    PyObject *r = PyObject_CallMethod(st->support, "pause_reader", "O", reader);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* A stock StreamReader whose feed_data nobody replaced, on the class or on the instance. */
static int
feeds_itself(core_state *st, PyObject *reader)
{
    PyObject *feed_data;
    if ((PyObject *)Py_TYPE(reader) != st->StreamReader
        || PyObject_GetOptionalAttr(reader, st->n_feed_data, &feed_data) <= 0) {
        return 0;
    }
    int own = PyMethod_Check(feed_data) && PyMethod_GET_FUNCTION(feed_data) == st->stock_feed;
    Py_DECREF(feed_data);
    return own;
}

static int
feed(core_state *st, PyObject *reader, const char *base, Py_ssize_t n)
{
    PyObject *eof = PyObject_GetAttr(reader, st->n__eof);
    PyObject *buffer = eof == NULL ? NULL : PyObject_GetAttr(reader, st->n__buffer);
    int rc = -1;
    if (buffer != NULL) {
        if (LIKELY(eof == Py_False && PyByteArray_CheckExact(buffer) && feeds_itself(st, reader))) {
            rc = append(buffer, base, n);
            if (rc == 0) {
                rc = wake_waiter(st, reader);
            }
            if (rc == 0) {
                rc = check_limit(st, reader, PyByteArray_GET_SIZE(buffer));
            }
        }
        else {
            rc = feed_slow(st, reader, base, n);
        }
    }
    Py_XDECREF(eof);
    Py_XDECREF(buffer);
    return rc;
}

static int
stock_data(StreamObject *s, const char *base, Py_ssize_t n)
{
    PyObject *reader;
    int rc = PyWeakref_GetRef(s->on_data, &reader);
    if (rc <= 0) { /* nobody reads any more: asyncio drops the bytes as well */
        return rc;
    }
    rc = feed(s->loop->st, reader, base, n);
    Py_DECREF(reader);
    return rc;
}

static const stream_sink stock_sink = {plain_alloc, stock_data};

/* Is this asyncio's own pair of StreamReaderProtocol and StreamReader, with nothing replaced? Then the
 * weak reference that the protocol has to its reader (new reference). Py_None if not, NULL on error. */
static PyObject *
stock_reader(StreamObject *s)
{
    core_state *st = s->loop->st;
    PyObject *ref = NULL, *reader = NULL, *attr = NULL;
    int stock = 0;
    if ((PyObject *)Py_TYPE(s->protocol) != st->StreamReaderProtocol) {
        Py_RETURN_NONE;
    }
    attr = PyObject_GetAttr(st->StreamReaderProtocol, st->n_data_received);
    stock = attr == st->stock_receive;
    Py_XDECREF(attr);
    if (!stock || PyObject_GetOptionalAttr(s->protocol, st->n__stream_reader_wr, &ref) <= 0) {
        goto plain;
    }
    if (PyWeakref_Check(ref) && PyWeakref_GetRef(ref, &reader) > 0) {
        stock = feeds_itself(st, reader);
        Py_DECREF(reader);
        if (stock) {
            return ref;
        }
    }
plain:
    Py_XDECREF(ref);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- choosing ------------------------------------------------------------------------------ */

int
stream_choose_sink(StreamObject *s)
{
    core_state *st = s->loop->st;
    PyObject *get_buffer = NULL, *on_data;
    const stream_sink *sink;
    int buffered = PyObject_IsInstance(s->protocol, st->BufferedProtocol);
    if (buffered < 0) {
        return -1;
    }
    if (buffered) {
        sink = &buffered_sink;
        get_buffer = PyObject_GetAttr(s->protocol, st->n_get_buffer);
        on_data = get_buffer == NULL ? NULL : PyObject_GetAttr(s->protocol, st->n_buffer_updated);
    }
    else {
        sink = &stock_sink;
        on_data = stock_reader(s);
        if (on_data == Py_None) {
            Py_DECREF(on_data);
            sink = &plain_sink;
            /* A protocol without data_received fails when data comes, as on asyncio. */
            if (PyObject_GetOptionalAttr(s->protocol, st->n_data_received, &on_data) == 0) {
                on_data = Py_NewRef(Py_None);
            }
        }
    }
    if (on_data == NULL) {
        Py_XDECREF(get_buffer);
        return -1;
    }
    s->sink = sink;
    Py_XSETREF(s->get_buffer, get_buffer);
    Py_XSETREF(s->on_data, on_data);
    return 0;
}

/* ---- libuv's callbacks --------------------------------------------------------------------- */

static void
on_alloc(uv_handle_t *handle, size_t Py_UNUSED(hint), uv_buf_t *buf)
{
    StreamObject *s = CONTAINER_OF((uv_tcp_t *)handle, StreamObject, uv);
    loop_enter(s->loop);
    buf->base = NULL;
    buf->len = 0;
    if (UNLIKELY(s->loop->raised != NULL)) {
        return; /* leave the bytes in the socket until the loop runs again */
    }
    s->in_alloc = 1;
    s->sink->alloc(s, buf);
    s->in_alloc = 0;
}

static void
at_eof(StreamObject *s)
{
    core_state *st = s->loop->st;
    s->eof_received = 1;
    s->reading = 0; /* libuv has stopped by itself */
    int keep = -1;
    if (PyContext_Enter(s->context) == 0) {
        PyObject *protocol = Py_NewRef(s->protocol);
        PyObject *r = PyObject_CallMethodNoArgs(protocol, st->n_eof_received);
        Py_DECREF(protocol);
        if (PyContext_Exit(s->context) < 0) {
            Py_CLEAR(r);
        }
        keep = r == NULL ? -1 : PyObject_IsTrue(r);
        Py_XDECREF(r);
    }
    if (keep < 0) {
        stream_fatal(s, "Fatal error: protocol.eof_received() call failed.");
    }
    else if (!keep) {
        PyObject *r = PyObject_CallMethod((PyObject *)s, "close", NULL);
        if (r == NULL) {
            loop_error(s->loop, "close() failed after EOF", (PyObject *)s, s->protocol);
        }
        Py_XDECREF(r);
    }
}

static COLD void
read_failed(StreamObject *s, ssize_t nread)
{
    drop_view(s);
    if (nread == UV_ENOBUFS || nread == 0 || s->conn_lost) {
        return; /* nothing was read: alloc dealt with it, or it was a false alarm */
    }
    if (nread == UV_EOF) {
        at_eof(s);
        return;
    }
    uvolt_raise_uv((int)nread);
    stream_fatal(s, "Fatal read error on socket transport");
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    StreamObject *s = CONTAINER_OF((uv_tcp_t *)stream, StreamObject, uv);
    loop_enter(s->loop);
    if (UNLIKELY(!s->reading)) {
        uv_read_stop(stream); /* stopped inside alloc: now is the time */
    }
    Py_INCREF(s);
    if (UNLIKELY(nread <= 0)) {
        read_failed(s, nread);
    }
    else if (UNLIKELY(s->conn_lost)) {
        read_failed(s, 0); /* aborted by get_buffer(): what was read is for nobody */
    }
    else if (UNLIKELY(s->sink->data(s, buf->base, nread) < 0)) {
        stream_fatal(s, s->sink == &buffered_sink
                            ? "Fatal error: protocol.buffer_updated() call failed."
                            : "Fatal error: protocol.data_received() call failed.");
    }
    drop_view(s); /* still there if get_buffer() set another protocol */
    Py_DECREF(s);
}

/* ---- starting and stopping ----------------------------------------------------------------- */

void
stream_start_reading(StreamObject *s)
{
    if (s->reading || s->paused || s->closing || s->eof_received || !s->uv_live) {
        return;
    }
    s->reading = 1;
    loop_touch(s->loop, &s->owned);
    if (!s->in_alloc) {
        int err = uv_read_start((uv_stream_t *)&s->uv, on_alloc, on_read);
        if (err < 0 && err != UV_EALREADY) {
            s->reading = 0;
            uvolt_raise_uv(err);
            stream_fatal(s, "Fatal read error on socket transport");
        }
    }
}

void
stream_stop_reading(StreamObject *s)
{
    if (s->reading) {
        s->reading = 0;
        if (!s->in_alloc && s->uv_live) {
            loop_touch(s->loop, &s->owned);
            uv_read_stop((uv_stream_t *)&s->uv);
        }
    }
}

PyObject *
stream_pause_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    if (!self->closing && !self->paused) {
        self->paused = 1;
        stream_stop_reading(self);
    }
    Py_RETURN_NONE;
}

PyObject *
stream_resume_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    if (!self->closing && self->paused) {
        self->paused = 0;
        if (self->connected) {
            stream_start_reading(self);
        }
    }
    Py_RETURN_NONE;
}
