/* stream_write.c - from write() to the socket.
 * Owns:    s->queue and the bytes in it. Threads: the loop's.
 * PYCALL:  pause_writing/resume_writing of the protocol, stream_fatal().
 * While nothing waits, write() sends at once. What the socket does not take is queued and handed to
 * libuv as one write request with all buffers; what is written meanwhile waits for the next request. */
#include <errno.h>
#include <sys/uio.h>

#include "net/stream.h"
#include "runtime/args.h"

#define LOST_WRITES_BEFORE_WARNING 5 /* asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES */
#define IOV_BATCH 64
#define QUEUE_MIN 8

/* ---- the queue ----------------------------------------------------------------------------- */

size_t
stream_pending(const StreamObject *s)
{
    size_t n = s->waiting_bytes;
    if (s->write_req != NULL && s->uv_live && !s->conn_lost) { /* what is lost is not pending */
        n += uv_stream_get_write_queue_size((const uv_stream_t *)&s->uv);
    }
    return n;
}

/* The i-th buffer that waits. */
static inline write_buf *
nth(const StreamObject *s, size_t i)
{
    return &s->queue[s->first + i];
}

/* Room for one more behind the last: move down what is left, or grow. */
static COLD int
make_room(StreamObject *s)
{
    if (s->first > s->queue_room / 2) {
        memmove(s->queue, s->queue + s->first, s->queued * sizeof(*s->queue));
        s->first = 0;
        return 0;
    }
    size_t room = s->queue_room ? s->queue_room * 2 : QUEUE_MIN;
    write_buf *queue = realloc(s->queue, room * sizeof(*queue));
    if (queue == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    s->queue = queue;
    s->queue_room = room;
    return 0;
}

/* Takes the reference to `bytes` also on failure. -1 with MemoryError. */
static int
enqueue(StreamObject *s, PyObject *bytes, size_t offset)
{
    if (s->first + s->queued == s->queue_room && make_room(s) < 0) {
        Py_DECREF(bytes);
        return -1;
    }
    write_buf *b = nth(s, s->queued++);
    b->bytes = bytes;
    b->base = PyBytes_AS_STRING(bytes) + offset;
    b->len = (size_t)PyBytes_GET_SIZE(bytes) - offset;
    s->waiting_bytes += b->len;
    return 0;
}

static void
free_queue(StreamObject *s)
{
    free(s->queue);
    s->queue = NULL;
    s->queue_room = s->first = 0;
}

/* Forget the first n buffers. */
static void
dequeue(StreamObject *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Py_DECREF(nth(s, i)->bytes);
    }
    s->queued -= n;
    s->first = s->queued == 0 ? 0 : s->first + n;
    if (s->queued == 0 && s->queue_room > QUEUE_MIN) {
        free_queue(s);
    }
}

void
stream_drop_queue(StreamObject *s)
{
    while (s->queued > s->inflight) { /* libuv still points into the first `inflight` */
        s->queued--;
        Py_DECREF(nth(s, s->queued)->bytes);
    }
    s->waiting_bytes = 0;
}

void
stream_forget_writes(StreamObject *s)
{
    s->inflight = 0;
    stream_drop_queue(s);
    free_queue(s);
}

/* ---- flow control -------------------------------------------------------------------------- */

static void
tell_protocol(StreamObject *s, PyObject *method, const char *message)
{
    PyObject *protocol = Py_NewRef(s->to.protocol);
    PyObject *r = receiver_call(&s->to, method);
    if (r == NULL) {
        loop_error(s->loop, message, (PyObject *)s, protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
}

/* As tell_protocol(), from inside write(): the caller's context is the right one, and it may be the
 * stream's own, which cannot be entered twice. */
static int
pause_protocol(StreamObject *s)
{
    if (s->protocol_paused || stream_pending(s) <= s->high || s->to.protocol == NULL) {
        return 0;
    }
    s->protocol_paused = 1;
    PyObject *protocol = Py_NewRef(s->to.protocol);
    PyObject *r = PyObject_CallMethodNoArgs(protocol, s->loop->st->n_pause_writing);
    int rc = 0;
    if (r == NULL) {
        if (uvolt_error_is_fatal()) {
            rc = -1;
        }
        else {
            loop_error(s->loop, "protocol.pause_writing() failed", (PyObject *)s, protocol);
        }
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
    return rc;
}

static void
resume_protocol(StreamObject *s)
{
    if (s->protocol_paused && stream_pending(s) <= s->low && s->to.protocol != NULL) {
        s->protocol_paused = 0;
        tell_protocol(s, s->loop->st->n_resume_writing, "protocol.resume_writing() failed");
    }
}

int
stream_limit_writing(StreamObject *s, size_t high, size_t low)
{
    s->high = high;
    s->low = low;
    return pause_protocol(s);
}

PyObject *
stream_set_limits(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    StreamObject *self = (StreamObject *)op;
    Py_ssize_t high, low;
    if (uvolt_args_limits(self->loop->st->support, "write_limits", args, nargs, kwnames, &high, &low) < 0) {
        return NULL;
    }
    if (stream_limit_writing(self, (size_t)high, (size_t)low) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- sending ------------------------------------------------------------------------------- */

static ssize_t
send_some(int fd, const char *base, size_t len)
{
    ssize_t n;
    do {
        n = send(fd, base, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -errno;
}

/* Everything queued, with as few system calls as possible, until the socket is full. 0 or -errno. */
static int
send_queue(StreamObject *s)
{
    while (s->queued > 0) {
        struct iovec iov[IOV_BATCH];
        struct msghdr msg = {.msg_iov = iov};
        size_t total = 0, n = 0;
        for (; n < s->queued && n < IOV_BATCH; n++) {
            iov[n].iov_base = nth(s, n)->base;
            iov[n].iov_len = nth(s, n)->len;
            total += nth(s, n)->len;
        }
        msg.msg_iovlen = n;
        ssize_t sent = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -errno;
        }
        size_t left = (size_t)sent, done = 0;
        while (done < n && left >= nth(s, done)->len) {
            left -= nth(s, done++)->len;
        }
        if (left > 0) {
            nth(s, done)->base += left;
            nth(s, done)->len -= left;
        }
        s->waiting_bytes -= (size_t)sent;
        dequeue(s, done);
        if ((size_t)sent < total) {
            return 0;
        }
    }
    return 0;
}

static void flush_done(StreamObject *s);
static int submit(StreamObject *s);

static void
on_write(uv_write_t *req, int status)
{
    StreamObject *s = req->data;
    loop_enter(s->loop);
    free(req);
    s->write_req = NULL;
    s->loop->st->c_writes_pending--;
    dequeue(s, s->inflight);
    s->inflight = 0;
    if (!s->uv_live) {
        return; /* cancelled by uv_close */
    }
    Py_INCREF(s);
    int err = status;
    if (err == 0 && !s->conn_lost && s->queued > 0) {
        err = send_queue(s);
        if (err == 0 && s->queued > 0) {
            err = submit(s);
        }
    }
    if (err < 0 && !s->conn_lost) {
        uvolt_raise_uv(err);
        stream_fatal(s, "Fatal write error on socket transport");
    }
    else if (!s->conn_lost) {
        flush_done(s);
    }
    Py_DECREF(s);
}

/* Hand what waits to libuv. 0 or a negative uv code. */
static int
submit(StreamObject *s)
{
    uv_buf_t small[IOV_BATCH], *bufs = small;
    if (s->write_req != NULL || s->queued == 0) {
        return 0;
    }
    if (UNLIKELY(loop_touch_later(s->loop, &s->owned))) {
        s->untold = 1;
        return 0;
    }
    uv_write_t *req = malloc(sizeof(*req));
    if (req == NULL) {
        return UV_ENOMEM;
    }
    if (s->queued > IOV_BATCH && (bufs = malloc(s->queued * sizeof(*bufs))) == NULL) {
        free(req);
        return UV_ENOMEM;
    }
    for (size_t i = 0; i < s->queued; i++) {
        bufs[i].base = nth(s, i)->base;
        bufs[i].len = nth(s, i)->len;
    }
    req->data = s;
    int err = uv_write(req, (uv_stream_t *)&s->uv, bufs, (unsigned)s->queued, on_write);
    if (bufs != small) {
        free(bufs);
    }
    if (err == 0) {
        loop_touch(s->loop, &s->owned);
        s->write_req = req;
        s->inflight = s->queued;
        s->waiting_bytes = 0;
        s->loop->st->c_writes_pending++;
    }
    else {
        free(req);
    }
    return err;
}

void
stream_submit_left(StreamObject *s)
{
    int err = submit(s);
    if (err < 0) {
        uvolt_raise_uv(err);
        stream_fatal(s, "Fatal write error on socket transport");
    }
}

/* The socket took something: who waited for that? */
static void
flush_done(StreamObject *s)
{
    resume_protocol(s);
    if (s->queued > 0 || s->conn_lost) {
        return;
    }
    if (s->empty_waiter != NULL) {
        PyObject *waiter = Py_NewRef(s->empty_waiter); /* stays set: write() is refused until reset */
        PyObject *r = PyObject_CallMethod(s->loop->st->support, "set_result", "OO", waiter, Py_None);
        Py_DECREF(waiter);
        if (r == NULL) {
            loop_error(s->loop, "Cannot wake a waiter", (PyObject *)s, s->to.protocol);
        }
        Py_XDECREF(r);
    }
    if (s->closing) {
        s->conn_lost++;
        stream_lose(s, Py_None);
    }
    else if (s->eof_sent) {
        shutdown(s->fd, SHUT_WR);
    }
}

/* ---- write and its kin --------------------------------------------------------------------- */

/* May it be written now? 1 yes, 0 the data goes nowhere, -1 with an exception. No data at all is no lost write. */
static COLD int
refuse(StreamObject *s, const char *method, size_t len)
{
    if (s->eof_sent) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()", method);
        return -1;
    }
    if (s->empty_waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError, "unable to %s; sendfile is in progress", method);
        return -1;
    }
    if (s->conn_lost && len == 0) {
        return 0;
    }
    if (s->conn_lost) {
        if (s->conn_lost >= LOST_WRITES_BEFORE_WARNING) {
            PyObject *r = PyObject_CallMethod(s->loop->st->support, "warn_lost_write", NULL);
            if (r == NULL) {
                return -1;
            }
            Py_DECREF(r);
        }
        s->conn_lost++;
        return 0;
    }
    return 1;
}

static inline int
may_write(StreamObject *s, const char *method, size_t len)
{
    if (LIKELY(!s->eof_sent && s->empty_waiter == NULL && s->conn_lost == 0)) {
        return 1;
    }
    return refuse(s, method, len);
}

/* The socket failed: the connection is lost, write() itself never raises. */
static COLD PyObject *
write_failed(StreamObject *s, int err)
{
    uvolt_raise_uv(err);
    stream_fatal(s, "Fatal write error on socket transport");
    Py_RETURN_NONE;
}

/* Part of it is left: queue the rest of `bytes` (borrowed) and let libuv wait for the socket. */
static PyObject *
write_rest(StreamObject *s, PyObject *bytes, size_t offset)
{
    if (enqueue(s, Py_NewRef(bytes), offset) < 0) {
        return NULL;
    }
    int err = submit(s);
    if (err < 0) {
        return write_failed(s, err);
    }
    if (pause_protocol(s) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
write_bytes(StreamObject *s, PyObject *bytes)
{
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);
    if (UNLIKELY(len == 0)) {
        Py_RETURN_NONE;
    }
    ssize_t sent = 0;
    if (LIKELY(s->queued == 0)) {
        sent = send_some(s->fd, PyBytes_AS_STRING(bytes), len);
        if (LIKELY((size_t)sent == len)) {
            Py_RETURN_NONE;
        }
        if (sent < 0) {
            return write_failed(s, (int)sent);
        }
    }
    return write_rest(s, bytes, (size_t)sent);
}

/* Send base[0:len], len > 0, as far as the socket takes it, and queue a copy of the rest. */
static PyObject *
write_span(StreamObject *s, const char *base, size_t len)
{
    ssize_t sent = s->queued == 0 ? send_some(s->fd, base, len) : 0;
    if (LIKELY((size_t)sent == len)) {
        Py_RETURN_NONE;
    }
    if (sent < 0) {
        return write_failed(s, (int)sent);
    }
    PyObject *rest = PyBytes_FromStringAndSize(base + sent, (Py_ssize_t)len - sent);
    PyObject *result = rest == NULL ? NULL : write_rest(s, rest, 0);
    Py_XDECREF(rest);
    return result;
}

int
stream_send(StreamObject *s, const char *base, size_t len)
{
    int may = may_write(s, "write", len);
    PyObject *r = may <= 0 || len == 0 ? NULL : write_span(s, base, len);
    Py_XDECREF(r);
    return r == NULL && PyErr_Occurred() ? -1 : 0;
}

/* What the socket did not take of a span and of the bytes behind it. -1 with an exception. PYCALL. */
static COLD int
queue_parts(StreamObject *s, const char *base, size_t len, PyObject *bytes, size_t sent)
{
    size_t offset = sent > len ? sent - len : 0;
    if (sent < len) {
        PyObject *rest = PyBytes_FromStringAndSize(base + sent, (Py_ssize_t)(len - sent));
        if (rest == NULL || enqueue(s, rest, 0) < 0) {
            return -1;
        }
    }
    PyObject *r = write_rest(s, bytes, offset);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

int
stream_send_with(StreamObject *s, const char *base, size_t len, PyObject *bytes)
{
    size_t more = (size_t)PyBytes_GET_SIZE(bytes), sent = 0;
    int may = may_write(s, "write", len + more);
    if (UNLIKELY(may <= 0)) {
        return may;
    }
    if (UNLIKELY(more == 0)) {
        return stream_send(s, base, len);
    }
    if (LIKELY(s->queued == 0)) {
        struct iovec iov[2] = {{(char *)base, len}, {PyBytes_AS_STRING(bytes), more}};
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
        ssize_t n;
        do {
            n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        if (LIKELY(n >= 0)) {
            sent = (size_t)n;
        }
        else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            Py_XDECREF(write_failed(s, -errno));
            return 0;
        }
    }
    return LIKELY(sent == len + more) ? 0 : queue_parts(s, base, len, bytes, sent);
}

/* Anything with a buffer: send what can be sent from where it lies, copy only what must wait. Getting
 * at the buffer may run Python code (__buffer__), so the state is looked at after it. */
static PyObject *
write_buffer(StreamObject *s, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    PyObject *result;
    int may = may_write(s, "write", (size_t)view.len);
    if (may <= 0 || view.len == 0) {
        result = may < 0 ? NULL : Py_NewRef(Py_None);
        PyBuffer_Release(&view);
        return result;
    }
    result = write_span(s, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result;
}

PyObject *
stream_write(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    StreamObject *self = (StreamObject *)op;
    PyObject *data = uvolt_args_one("write", "data", args, nargs, kwnames);
    if (UNLIKELY(data == NULL)) {
        return NULL;
    }
    if (LIKELY(PyBytes_CheckExact(data))) {
        int may = may_write(self, "write", (size_t)PyBytes_GET_SIZE(data));
        if (UNLIKELY(may <= 0)) {
            return may < 0 ? NULL : Py_NewRef(Py_None);
        }
        return write_bytes(self, data);
    }
    if (PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data)) {
        return write_buffer(self, data);
    }
    return PyErr_Format(PyExc_TypeError, "data argument must be a bytes-like object, not '%.200s'",
                        Py_TYPE(data)->tp_name);
}

/* The same as exact bytes. PYCALL. New reference. */
static PyObject *
as_bytes(PyObject *item)
{
    if (PyBytes_CheckExact(item)) {
        return Py_NewRef(item);
    }
    PyObject *view = PyMemoryView_FromObject(item);
    PyObject *bytes = view == NULL ? NULL : PyBytes_FromObject(view);
    Py_XDECREF(view);
    return bytes;
}

/* A list of our own with every item as exact bytes: all Python code runs here, before the queue is
 * touched, and a wrong item leaves nothing behind. New reference. */
PyObject *
stream_bytes_list(PyObject *iterable)
{
    PyObject *items = PySequence_List(iterable);
    for (Py_ssize_t i = 0; items != NULL && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, i));
        PyObject *bytes = as_bytes(item);
        Py_DECREF(item);
        if (bytes == NULL || PyList_SetItem(items, i, bytes) < 0) {
            Py_CLEAR(items);
        }
    }
    return items;
}

static int
enqueue_all(StreamObject *s, PyObject *items)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *bytes = PyList_GET_ITEM(items, i);
        if (PyBytes_GET_SIZE(bytes) > 0 && enqueue(s, Py_NewRef(bytes), 0) < 0) {
            return -1;
        }
    }
    return 0;
}

PyObject *
stream_writelines(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    StreamObject *self = (StreamObject *)op;
    PyObject *list = uvolt_args_one("writelines", "list_of_data", args, nargs, kwnames);
    PyObject *items = list == NULL ? NULL : stream_bytes_list(list);
    if (items == NULL) {
        return NULL;
    }
    int may = may_write(self, "writelines", (size_t)PyList_GET_SIZE(items));
    int rc = may <= 0 ? may : enqueue_all(self, items);
    Py_DECREF(items);
    if (may <= 0 || rc < 0) {
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    int err = 0;
    if (self->write_req == NULL) {
        err = send_queue(self);
        if (err == 0) {
            err = submit(self);
        }
    }
    if (err < 0) {
        return write_failed(self, err);
    }
    if (pause_protocol(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
stream_write_eof(PyObject *op, PyObject *Py_UNUSED(unused))
{
    StreamObject *self = (StreamObject *)op;
    if (self->closing || self->eof_sent) {
        Py_RETURN_NONE;
    }
    self->eof_sent = 1;
    if (self->queued == 0 && self->uv_live) {
        shutdown(self->fd, SHUT_WR);
    }
    Py_RETURN_NONE;
}
