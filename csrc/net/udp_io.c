/* udp_io.c - datagrams in and out.
 * Owns:    u->queue, u->from, u->to. Threads: the loop's.
 * PYCALL:  on_poll() and udp_sendto() through the protocol, and through the socket object for
 *          destinations that are not a numeric address and a port.
 * While nothing waits, sendto() sends at once; what the socket does not take is queued. Received are several
 * datagrams a wake-up, as long as the protocol schedules nothing: what it has scheduled runs before it gets
 * the next datagram, and what waited before the poll runs before the first, as on asyncio. Nothing is read after
 * close(), abort() or pause_reading(). */
#include <arpa/inet.h>
#include <errno.h>

#include "core/clock.h"
#include "core/handle.h"
#include "core/spare.h"
#include "net/udp.h"
#include "runtime/args.h"

#define READS_PER_WAKE 32            /* at most */
#define LOOK_AGAIN_EVERY 8           /* wake-ups: after one datagram, is there another one? */
#define LOST_SENDS_BEFORE_WARNING 5  /* asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES */

/* ---- calling the protocol ------------------------------------------------------------------ */

static COLD int
note_slow(UdpObject *u, PyObject *const *args, size_t nargs, PyObject *name, double took)
{
    PyObject *method = PyObject_GetAttr(args[0], name), *r = NULL;
    HandleObject *h = method == NULL ? NULL
                                     : handle_new(u->loop, method, args + 1,
                                                  (Py_ssize_t)nargs - 1, u->context);
    if (h != NULL) {
        r = PyObject_CallMethod(u->loop->st->support, "slow_callback", "Od", (PyObject *)h, took);
    }
    Py_XDECREF(method);
    Py_XDECREF(h);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* protocol.name(a, b) in the transport's context; b may be NULL. An exception is reported, the transport
 * goes on, as on asyncio. Not after connection_lost(), which may run the loop. */
static void
tell(UdpObject *u, PyObject *name, PyObject *a, PyObject *b)
{
    if (UNLIKELY(u->protocol == NULL)) {
        return;
    }
    PyObject *args[] = {NULL, Py_NewRef(u->protocol), a, b}, *r = NULL;
    size_t nargs = a == NULL ? 1 : b == NULL ? 2 : 3;
    double start = UNLIKELY(u->loop->debug && !u->in_reader) ? clock_now() : 0;
    if (LIKELY(PyContext_Enter(u->context) == 0)) {
        r = PyObject_VectorcallMethod(name, args + 1, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        if (UNLIKELY(PyContext_Exit(u->context) < 0)) {
            Py_CLEAR(r);
        }
    }
    if (UNLIKELY(start > 0) && r != NULL) {
        double took = clock_now() - start;
        if (took >= u->loop->slow_callback_duration
            && note_slow(u, args + 1, nargs, name, took) < 0) {
            Py_CLEAR(r);
        }
    }
    if (UNLIKELY(r == NULL)) {
        char message[64];
        const char *method = PyUnicode_AsUTF8(name);
        snprintf(message, sizeof(message), "Exception in callback %s()", method);
        loop_error(u->loop, message, (PyObject *)u, args[1]);
    }
    Py_XDECREF(r);
    Py_DECREF(args[1]);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void
remember(udp_peer *peer, const small_addr *addr, socklen_t len, PyObject *tuple)
{
    peer->addr = *addr;
    peer->len = len;
    Py_XSETREF(peer->tuple, Py_NewRef(tuple));
}

/* The sender as Python's object. Most datagrams come from who sent the one before. New reference. */
static PyObject *
sender(UdpObject *u, const struct sockaddr *sa, socklen_t len)
{
    if (LIKELY(u->from.tuple != NULL && u->from.len == len && memcmp(&u->from.addr, sa, len) == 0)) {
        return Py_NewRef(u->from.tuple);
    }
    PyObject *tuple = uvolt_sockaddr_to_py(sa, len);
    if (tuple != NULL && PyTuple_CheckExact(tuple) && len <= (socklen_t)sizeof(small_addr)) {
        small_addr addr;
        memcpy(&addr, sa, len);
        remember(&u->from, &addr, len, tuple);
    }
    return tuple;
}

/* item i of a tuple as a number of at most `most`. 0 if it is not exactly that. */
static int
small_int(PyObject *tuple, Py_ssize_t i, unsigned long most, unsigned long *value)
{
    *value = 0;
    if (i >= PyTuple_GET_SIZE(tuple)) {
        return 1;
    }
    PyObject *item = PyTuple_GET_ITEM(tuple, i);
    if (!PyLong_CheckExact(item)) {
        return 0;
    }
    *value = PyLong_AsUnsignedLong(item);
    if (*value == (unsigned long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *value <= most;
}

/* (numeric host, port[, flowinfo[, scope id]]) of the socket's family, without any name to look up. The
 * length, or 0 for what Python's socket shall make of it. */
static socklen_t
parse(const UdpObject *u, PyObject *tuple, small_addr *addr)
{
    unsigned long port, flow, scope;
    Py_ssize_t n = PyTuple_CheckExact(tuple) ? PyTuple_GET_SIZE(tuple) : 0;
    int v6 = u->family == AF_INET6;
    if ((u->family != AF_INET && !v6) || n < 2 || n > (v6 ? 4 : 2)
        || !PyUnicode_CheckExact(PyTuple_GET_ITEM(tuple, 0))
        || !small_int(tuple, 1, 0xffff, &port) || !small_int(tuple, 2, 0xfffff, &flow)
        || !small_int(tuple, 3, 0xffffffff, &scope)) {
        return 0;
    }
    Py_ssize_t host_len;
    const char *host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(tuple, 0), &host_len);
    if (host == NULL || strlen(host) != (size_t)host_len) {
        PyErr_Clear();
        return 0;
    }
    memset(addr, 0, sizeof(*addr));
    addr->sa.sa_family = (sa_family_t)u->family;
    addr->in4.sin_port = htons((uint16_t)port); /* in6 has it in the same place */
    if (!v6) {
        return inet_pton(AF_INET, host, &addr->in4.sin_addr) == 1 ? sizeof(addr->in4) : 0;
    }
    addr->in6.sin6_flowinfo = htonl((uint32_t)flow);
    addr->in6.sin6_scope_id = (uint32_t)scope;
    return inet_pton(AF_INET6, host, &addr->in6.sin6_addr) == 1 ? sizeof(addr->in6) : 0;
}

/* The destination as the kernel wants it, or NULL for what Python's socket shall make of it. */
static const udp_peer *
destination(UdpObject *u, PyObject *tuple)
{
    if (tuple == u->from.tuple) {
        return &u->from;
    }
    if (tuple != u->to.tuple) {
        small_addr addr;
        socklen_t len = parse(u, tuple, &addr);
        if (len == 0) {
            return NULL;
        }
        remember(&u->to, &addr, len, tuple);
    }
    return &u->to;
}

/* ---- in ------------------------------------------------------------------------------------ */

static void
deliver(UdpObject *u, const char *base, Py_ssize_t n, const struct sockaddr *sa, socklen_t len)
{
    LoopObject *loop = u->loop;
    PyObject *bytes = spare_bytes(loop, base, n);
    PyObject *from = bytes == NULL ? NULL : sender(u, sa, len);
    if (LIKELY(from != NULL)) {
        tell(u, loop->st->n_datagram_received, bytes, from);
        Py_DECREF(from);
    }
    else {
        udp_fatal(u, "Fatal read error on datagram transport");
    }
    if (LIKELY(bytes != NULL)) {
        spare_release(loop, bytes);
    }
}

/* The error that is set goes to the protocol. */
static void
deliver_error(UdpObject *u)
{
    PyObject *exc = PyErr_GetRaisedException();
    tell(u, u->loop->st->n_error_received, exc, NULL);
    Py_XDECREF(exc);
}

/* One datagram or one error. 1 if there was a datagram. */
static int
receive(UdpObject *u)
{
    struct sockaddr_storage from; /* one byte more than a Unix path that has no NUL at its end */
    struct sockaddr *sa = (struct sockaddr *)&from;
    socklen_t len = sizeof(from);
    char *base = loop_recv_buffer(u->loop);
    if (UNLIKELY(base == NULL)) {
        PyErr_NoMemory();
        udp_fatal(u, "Fatal read error on datagram transport");
        return 0;
    }
    ssize_t n = recvfrom(u->fd, base, LOOP_RECV_SIZE, MSG_DONTWAIT, sa, &len);
    if (UNLIKELY(n < 0)) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            uvolt_raise_uv(-errno);
            deliver_error(u);
        }
        return 0;
    }
    deliver(u, base, n, sa, len);
    return 1;
}

static inline int
may_read(const UdpObject *u)
{
    return u->interest & UV_READABLE;
}

/* After one datagram another system call would mostly find nothing: it is made if the last one found
 * something, and now and then. */
static void
read_ready(UdpObject *u)
{
    LoopObject *loop = u->loop;
    size_t waiting = loop->ready.count;
    int n = receive(u);
    if (n == 0 || (u->lone_reads != 0 && u->lone_reads++ % LOOK_AGAIN_EVERY != 0)) {
        return;
    }
    while (n < READS_PER_WAKE && may_read(u) && loop->ready.count <= waiting
           && loop->raised == NULL && !loop->stopping && receive(u)) {
        n++;
    }
    u->lone_reads = n == 1;
}

/* _read_ready(): what a poll found while callbacks waited, read after those. */
PyObject *
udp_read_ready(PyObject *op, PyObject *Py_UNUSED(unused))
{
    UdpObject *self = (UdpObject *)op;
    if (may_read(self)) {
        self->in_reader = 1;
        read_ready(self);
        self->in_reader = 0;
    }
    if (loop_raise_kept(self->loop) < 0) { /* KeyboardInterrupt: leave the loop, from the ready ring */
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Callbacks that waited before the poll come first, as on asyncio: a task that is about to wait for a
 * datagram shall not miss it. 1 if the read waits its turn. */
static COLD int
read_later(UdpObject *u)
{
    if (u->reader == NULL) {
        PyObject *method = PyObject_GetAttrString((PyObject *)u, "_read_ready");
        u->reader = method == NULL ? NULL : handle_new(u->loop, method, NULL, 0, NULL);
        Py_XDECREF(method);
        if (u->reader == NULL) {
            PyErr_Clear(); /* no memory: now, then */
            return 0;
        }
    }
    loop_push_due(u->loop, u->reader);
    return 1;
}

/* ---- flow control -------------------------------------------------------------------------- */

/* From inside sendto(): the caller's context is the right one. -1 with KeyboardInterrupt or SystemExit. */
static int
pause_protocol(UdpObject *u)
{
    if (u->protocol_paused || u->protocol == NULL || u->queued_bytes <= (size_t)u->high) {
        return 0;
    }
    u->protocol_paused = 1;
    PyObject *protocol = Py_NewRef(u->protocol);
    PyObject *r = PyObject_CallMethodNoArgs(protocol, u->loop->st->n_pause_writing);
    int rc = r == NULL && uvolt_error_is_fatal() ? -1 : 0;
    if (r == NULL && rc == 0) {
        loop_error(u->loop, "protocol.pause_writing() failed", (PyObject *)u, protocol);
    }
    Py_XDECREF(r);
    Py_DECREF(protocol);
    return rc;
}

static void
resume_protocol(UdpObject *u)
{
    if (u->protocol_paused && u->protocol != NULL && u->queued_bytes <= (size_t)u->low) {
        u->protocol_paused = 0;
        tell(u, u->loop->st->n_resume_writing, NULL, NULL);
    }
}

PyObject *
udp_set_limits(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    UdpObject *self = (UdpObject *)op;
    if (uvolt_args_limits(self->loop->st->support, "write_limits", args, nargs, kwnames, &self->high,
                          &self->low) < 0
        || pause_protocol(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- out ----------------------------------------------------------------------------------- */

/* socket.sendto(data, to): host names and mistakes are Python's. As send_now(). */
static COLD int
send_by_python(UdpObject *u, PyObject *data, PyObject *to)
{
    PyObject *sock = Py_NewRef(u->sock);
    PyObject *r = PyObject_CallMethodObjArgs(sock, u->loop->st->n_sendto, data, to, NULL);
    Py_DECREF(sock);
    Py_XDECREF(r);
    if (r != NULL) {
        return 0;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return 1;
    }
    return -1;
}

/* 0 if it is gone, 1 if the socket takes nothing now, -1 with an exception. `base` and `len` are the
 * content of `data`. */
static int
send_now(UdpObject *u, PyObject *data, const char *base, size_t len, PyObject *to)
{
    small_addr addr;
    const struct sockaddr *sa = NULL;
    socklen_t sa_len = 0;
    if (!u->connected && !(u->anonymous && to == Py_None)) {
        const udp_peer *peer = destination(u, to);
        if (peer == NULL) {
            return send_by_python(u, data, to);
        }
        addr = peer->addr;
        sa = &addr.sa;
        sa_len = peer->len;
        if (PySys_Audit("socket.sendto", "OO", u->sock, to) < 0) { /* as socket.sendto() does */
            return -1;
        }
    }
    ssize_t n;
    do {
        n = sendto(u->fd, base, len, MSG_DONTWAIT | MSG_NOSIGNAL, sa, sa_len);
    } while (n < 0 && errno == EINTR);
    if (LIKELY(n >= 0)) {
        return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return 1;
    }
    uvolt_raise_uv(-errno);
    return -1;
}

static void
dequeue(UdpObject *u)
{
    PyObject *item = ring_pop(&u->queue);
    u->queued_bytes -= (size_t)PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 0)) + UVOLT_DATAGRAM_HEADER;
    Py_DECREF(item);
}

void
udp_drop_queue(UdpObject *u)
{
    while (u->queue.count > 0) {
        dequeue(u);
    }
}

/* Takes the reference to `bytes`, which may be NULL with an exception set. */
static int
enqueue(UdpObject *u, PyObject *bytes, PyObject *to)
{
    PyObject *item = bytes == NULL ? NULL : PyTuple_Pack(2, bytes, to);
    Py_XDECREF(bytes);
    if (item == NULL) {
        return -1;
    }
    if (ring_push(&u->queue, item) < 0) {
        Py_DECREF(item);
        PyErr_NoMemory();
        return -1;
    }
    u->queued_bytes += (size_t)PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 0)) + UVOLT_DATAGRAM_HEADER;
    return 0;
}

/* send_now() failed, from the poll: the exception that is set goes where asyncio would have it. */
static void
flush_failed(UdpObject *u)
{
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        deliver_error(u);
    }
    else {
        udp_fatal(u, "Fatal write error on datagram transport");
    }
}

static inline PyObject *
first(const UdpObject *u)
{
    return u->queue.count > 0 ? u->queue.slots[u->queue.head & u->queue.mask] : NULL;
}

/* The socket takes datagrams again. */
static void
write_ready(UdpObject *u)
{
    PyObject *item;
    while (u->loop->raised == NULL && (item = first(u)) != NULL) {
        Py_INCREF(item);
        PyObject *bytes = PyTuple_GET_ITEM(item, 0);
        int rc = send_now(u, bytes, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes),
                          PyTuple_GET_ITEM(item, 1));
        if (rc <= 0 && first(u) == item) { /* not if somebody aborted meanwhile */
            dequeue(u);
        }
        Py_DECREF(item);
        if (rc > 0) {
            break;
        }
        if (rc < 0) {
            flush_failed(u);
        }
    }
    ring_trim(&u->queue);
    if (u->conn_lost) {
        return;
    }
    resume_protocol(u);
    udp_update_interest(u);
    if (u->queue.count == 0 && u->closing && !u->conn_lost) { /* close() has waited for this */
        u->conn_lost++;
        if (udp_schedule_lost(u, Py_None) < 0) {
            loop_error(u->loop, "Cannot schedule connection_lost", (PyObject *)u, u->protocol);
        }
    }
}

/* send_now() failed, from sendto(): OSError goes to error_received, whose own exceptions go to the caller. */
static PyObject *
send_failed(UdpObject *u)
{
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        PyObject *exc = PyErr_GetRaisedException();
        PyObject *protocol = Py_NewRef(u->protocol != NULL ? u->protocol : Py_None), *r;
        r = protocol == Py_None
                ? Py_NewRef(Py_None)
                : PyObject_CallMethodOneArg(protocol, u->loop->st->n_error_received, exc);
        Py_DECREF(protocol);
        Py_DECREF(exc);
        if (r == NULL) {
            return NULL;
        }
        Py_DECREF(r);
    }
    else if (uvolt_error_is_fatal()) {
        return NULL;
    }
    else {
        udp_fatal(u, "Fatal write error on datagram transport");
    }
    Py_RETURN_NONE;
}

static COLD PyObject *
send_to_nobody(UdpObject *u)
{
    if (u->conn_lost >= LOST_SENDS_BEFORE_WARNING) {
        PyObject *r = PyObject_CallMethod(u->loop->st->support, "warn_lost_write", NULL);
        if (r == NULL) {
            return NULL;
        }
        Py_DECREF(r);
    }
    u->conn_lost++;
    Py_RETURN_NONE;
}

/* Until connection_lost an endpoint without a fixed destination still sends, as on asyncio. */
static PyObject *
send_or_queue(UdpObject *u, PyObject *data, const char *base, Py_ssize_t len, PyObject *to)
{
    if (UNLIKELY(u->conn_lost && (u->fixed || u->finished))) {
        return send_to_nobody(u);
    }
    if (LIKELY(u->queue.count == 0)) {
        int rc = send_now(u, data, base, (size_t)len, to);
        if (LIKELY(rc == 0)) {
            Py_RETURN_NONE;
        }
        if (rc < 0) {
            return send_failed(u);
        }
        if (u->conn_lost) {
            return send_to_nobody(u);
        }
    }
    PyObject *bytes =
        PyBytes_CheckExact(data) ? Py_NewRef(data) : PyBytes_FromStringAndSize(base, len);
    if (enqueue(u, bytes, to) < 0) {
        return NULL;
    }
    udp_update_interest(u);
    if (pause_protocol(u) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* data and addr, by position or name. -1 with TypeError. */
static int
read_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **data,
               PyObject **to)
{
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    *data = nargs > 0 ? args[0] : NULL;
    *to = nargs > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        if (*data == NULL && PyUnicode_CompareWithASCIIString(kw, "data") == 0) {
            *data = args[nargs + i];
        }
        else if (*to == NULL && PyUnicode_CompareWithASCIIString(kw, "addr") == 0) {
            *to = args[nargs + i];
        }
        else {
            nargs = 3;
            break;
        }
    }
    if (*data == NULL || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "sendto() takes data and addr=None");
        return -1;
    }
    if (*to == NULL) {
        *to = Py_None;
    }
    return 0;
}

/* The destination of an endpoint with a fixed one. Borrowed, or NULL with ValueError. PYCALL. */
static PyObject *
check_fixed(UdpObject *u, PyObject *to)
{
    int same = to == Py_None ? 1 : PyObject_RichCompareBool(to, u->address, Py_EQ);
    if (same == 0) {
        PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %S", u->address);
    }
    return same > 0 ? u->address : NULL;
}

PyObject *
udp_sendto(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    UdpObject *self = (UdpObject *)op;
    PyObject *data, *to;
    if (UNLIKELY(read_arguments(args, nargs, kwnames, &data, &to) < 0)) {
        return NULL;
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        return PyErr_Format(PyExc_TypeError,
                            "data argument must be a bytes-like object, not '%.200s'",
                            Py_TYPE(data)->tp_name);
    }
    Py_buffer view; /* may run Python code (__buffer__): the state is looked at after it */
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (view.len == 0 && !UVOLT_EMPTY_DATAGRAMS) {
        result = Py_NewRef(Py_None);
    }
    else if (!self->fixed || (to = check_fixed(self, to)) != NULL) {
        result = send_or_queue(self, data, view.buf, view.len, to);
    }
    PyBuffer_Release(&view);
    return result;
}

/* ---- libuv's side -------------------------------------------------------------------------- */

/* An error that waits in the socket comes as a negative status, and libuv has stopped watching: reading
 * or sending tells which error it is. */
static void
on_poll(uv_poll_t *handle, int status, int events)
{
    UdpObject *u = CONTAINER_OF(handle, UdpObject, uv);
    loop_enter(u->loop);
    Py_INCREF(u);
    if (UNLIKELY(status < 0)) {
        events = u->interest;
    }
    if ((events & UV_READABLE & u->interest) && (u->loop->ready.count == 0 || !read_later(u))) {
        read_ready(u);
    }
    if (events & UV_WRITABLE & u->interest) {
        write_ready(u);
    }
    if (UNLIKELY(status < 0)) {
        u->interest = 0;
        udp_update_interest(u);
    }
    Py_DECREF(u);
}

void
udp_update_interest(UdpObject *u)
{
    int reading = u->made && !u->paused && !u->closing;
    int events = (reading ? UV_READABLE : 0) | (u->queue.count > 0 ? UV_WRITABLE : 0);
    if (!u->uv_live || events == u->interest) {
        return;
    }
    u->interest = events;
    loop_touch(u->loop, &u->owned);
    u->untold = loop_touch_later(u->loop, &u->owned);
    if (LIKELY(!u->untold)) {
        udp_tell_interest(u);
    }
}

void
udp_tell_interest(UdpObject *u)
{
    int events = u->interest;
    int err = events ? uv_poll_start(&u->uv, events, on_poll) : uv_poll_stop(&u->uv);
    if (err < 0) {
        u->interest = 0;
        uvolt_raise_uv(err);
        udp_fatal(u, "Fatal error: the socket cannot be watched");
    }
}
