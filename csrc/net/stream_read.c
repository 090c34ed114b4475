/* stream_read.c - from the socket to the protocol, or to a user of the stream in C.
 * Threads: the loop's. PYCALL: on_alloc(), on_read() through the sinks.
 * A sink says where the bytes of a read go: through the receiver to a Python protocol, or to a layer above
 * in C (TLS). */
#include "net/stream.h"

#include <errno.h>

/* ---- sinks --------------------------------------------------------------------------------- */

void
stream_plain_alloc(StreamObject *s, uv_buf_t *buf)
{
    buf->base = loop_recv_buffer(s->loop);
    buf->len = buf->base == NULL ? 0 : LOOP_RECV_SIZE;
}

static int
protocol_data(StreamObject *s, const char *base, Py_ssize_t n)
{
    return receiver_deliver(&s->to, base, n);
}

static const stream_sink plain_sink = {stream_plain_alloc, protocol_data};

static void
buffered_alloc(StreamObject *s, uv_buf_t *buf)
{
    if (receiver_take_buffer(&s->to, -1, &buf->base, &buf->len) < 0) {
        stream_fatal(s, "Fatal error: protocol.get_buffer() call failed.");
    }
}

static const stream_sink buffered_sink = {buffered_alloc, protocol_data};

static void
native_alloc(StreamObject *s, uv_buf_t *buf)
{
    char *base = NULL;
    size_t room = 0;
    int given = receiver_native_room(&s->to, &base, &room);
    if (given == 0) {
        stream_plain_alloc(s, buf);
    }
    else if (given > 0) {
        buf->base = base;
        buf->len = room;
    }
}

static const stream_sink native_sink = {native_alloc, protocol_data};

int
stream_set_protocol(StreamObject *s, PyObject *protocol)
{
    if (receiver_set(&s->to, protocol) < 0) {
        return -1;
    }
    s->sink = receiver_is_buffered(&s->to) ? &buffered_sink
              : receiver_is_native(&s->to) ? &native_sink
                                           : &plain_sink;
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
    if (UNLIKELY(s->loop->raised != NULL || !s->reading)) {
        return; /* leave the bytes in the socket until the loop runs, or reads, again */
    }
    s->in_alloc = 1;
    s->sink->alloc(s, buf);
    s->in_alloc = 0;
}

static void
at_eof(StreamObject *s)
{
    s->eof_received = 1;
    s->reading = 0; /* libuv has stopped by itself */
    PyObject *r = receiver_call(&s->to, s->loop->st->n_eof_received);
    int keep = r == NULL ? -1 : PyObject_IsTrue(r);
    Py_XDECREF(r);
    if (keep < 0) {
        stream_fatal(s, "Fatal error: protocol.eof_received() call failed.");
    }
    else if (!keep) {
        r = PyObject_CallMethod((PyObject *)s, "close", NULL);
        if (r == NULL) {
            loop_error(s->loop, "close() failed after EOF", (PyObject *)s, s->to.protocol);
        }
        Py_XDECREF(r);
    }
}

static COLD void
read_failed(StreamObject *s, ssize_t nread)
{
    receiver_drop_buffer(&s->to);
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
        uv_read_stop(stream); /* stopped inside alloc, or by another thread: now is the time */
        if (s->untold && nread == UV_EOF) {
            return; /* comes again when reading is resumed */
        }
    }
    Py_INCREF(s);
    if (UNLIKELY(nread <= 0)) {
        read_failed(s, nread);
    }
    else if (UNLIKELY(s->conn_lost)) {
        read_failed(s, 0); /* aborted by get_buffer(): what was read is for nobody */
    }
    else if (UNLIKELY(s->sink->data(s, buf->base, nread) < 0)) {
        stream_fatal(s, receiver_is_buffered(&s->to)
                            ? "Fatal error: protocol.buffer_updated() call failed."
                            : "Fatal error: protocol.data_received() call failed.");
    }
    receiver_drop_buffer(&s->to); /* still there if get_buffer() set another protocol */
    Py_DECREF(s);
}

/* ---- looking ------------------------------------------------------------------------------- */

int
stream_is_quiet(const StreamObject *s)
{
    char byte;
    if (s->closing || s->eof_received || !s->uv_live) {
        return 0;
    }
    ssize_t n;
    do {
        n = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

ssize_t
stream_read_left(const StreamObject *s, char *base, size_t room)
{
    return s->uv_live ? recv(s->fd, base, room, MSG_DONTWAIT) : 0;
}

/* ---- starting and stopping ----------------------------------------------------------------- */

void
stream_tell_reading(StreamObject *s)
{
    if (!s->reading) {
        uv_read_stop((uv_stream_t *)&s->uv);
        return;
    }
    int err = uv_read_start((uv_stream_t *)&s->uv, on_alloc, on_read);
    if (err < 0 && err != UV_EALREADY) {
        s->reading = 0;
        uvolt_raise_uv(err);
        stream_fatal(s, "Fatal read error on socket transport");
    }
}

/* Is it no time to touch libuv? Then on_touched() does what is left. */
static inline int
is_for_later(StreamObject *s)
{
    if (LIKELY(!s->in_alloc && !loop_touch_later(s->loop, &s->owned))) {
        return 0;
    }
    s->untold |= !s->in_alloc;
    return 1;
}

void
stream_start_reading(StreamObject *s)
{
    if (s->reading || s->paused || s->closing || s->eof_received || !s->uv_live) {
        return;
    }
    s->reading = 1;
    loop_touch(s->loop, &s->owned);
    if (!is_for_later(s)) {
        stream_tell_reading(s);
    }
}

void
stream_stop_reading(StreamObject *s)
{
    if (s->reading) {
        s->reading = 0;
        if (s->uv_live && !is_for_later(s)) {
            if (s->write_req != NULL) { /* otherwise libuv forgets the descriptor, and tells epoll nothing */
                loop_touch(s->loop, &s->owned);
            }
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
