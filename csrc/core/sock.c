/* sock.c - loop.sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_sendall, sock_sendto, sock_accept.
 *
 * For exactly socket.socket, with the addresses that most sockets have; any other object, a subclass or a mock, is
 * asyncio's own coroutine's, which calls the object's methods; so are keywords, and its TypeErrors.
 * The calls never block, whatever the socket's mode. Owns nothing: sockop.c has the state. Threads: the loop's.
 * PYCALL: the methods' steps. */
#include "core/sock.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/args.h"
#include "runtime/sockaddr.h"

typedef union any_addr {
    struct sockaddr sa;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} any_addr;

/* ---- the socket object --------------------------------------------------------------------- */

/* A T_INT member of _socket.socket; -1 with an exception. */
static int
int_member(PyObject *descr, PyObject *sock)
{
    PyObject *value = Py_TYPE(descr)->tp_descr_get(descr, sock, (PyObject *)Py_TYPE(sock));
    int number = value == NULL ? -1 : (int)PyLong_AsLong(value);
    Py_XDECREF(value);
    return number;
}

int
sock_is_stream(core_state *st, PyObject *sock)
{
    int type = int_member(st->sock_type, sock);
    if (type < 0) {
        PyErr_Clear();
    }
    return type == SOCK_STREAM;
}

/* Is it a socket whose system calls we make ourselves? */
static inline int
is_plain(LoopObject *loop, PyObject *sock)
{
    return (PyObject *)Py_TYPE(sock) == loop->st->Socket;
}

/* ... and one whose addresses we can read? */
static int
is_plain_inet(LoopObject *loop, PyObject *sock)
{
    if (!is_plain(loop, sock)) {
        return 0;
    }
    int family = int_member(loop->st->sock_family, sock);
    if (family < 0) {
        PyErr_Clear();
    }
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

int
sock_find_fd(SockOp *op)
{
    PyObject *number = op->coro.loop->st->sock_fileno(op->sock, NULL);
    if (UNLIKELY(number == NULL)) {
        return -1;
    }
    op->fd = (int)PyLong_AsLong(number);
    Py_DECREF(number);
    return 0;
}

/* -1 with an exception. */
static int
is_blocking(SockOp *op)
{
    PyObject *timeout = PyObject_CallOneArg(op->coro.loop->st->sock_gettimeout, op->sock);
    if (timeout == NULL) {
        return -1;
    }
    int blocking = !PyFloat_Check(timeout) || PyFloat_AS_DOUBLE(timeout) != 0;
    Py_DECREF(timeout);
    return blocking;
}

int
sock_check_mode(SockOp *op)
{
    int blocking = is_blocking(op);
    if (blocking > 0) {
        PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
    }
    return blocking == 0 ? 0 : -1;
}

/* A system call failed: what to do about errno. 1: call it again, 0: op->blocked or an exception is set. */
static int
try_again(SockOp *op)
{
    if (LIKELY(errno == EAGAIN || errno == EWOULDBLOCK)) {
        op->blocked = 1;
        return 0;
    }
    if (errno == EINTR) {
        return PyErr_CheckSignals() == 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* recvfrom() into memory, or recv() if `addr` is NULL. Bytes read, or -1: see try_again(). */
static Py_ssize_t
receive(SockOp *op, void *buf, Py_ssize_t size, any_addr *addr, socklen_t *addrlen)
{
    ssize_t n;
    if (!op->woken && size > 0 && fdpoll_is_futile(op->coro.loop, op->fd, op->sock)) {
        op->blocked = 1; /* ask epoll and not the socket */
        return -1;
    }
    do {
        if (addr != NULL) {
            *addrlen = sizeof(*addr);
        }
        n = recvfrom(op->fd, buf, (size_t)size, MSG_DONTWAIT, addr == NULL ? NULL : &addr->sa, addrlen);
    } while (UNLIKELY(n < 0) && try_again(op));
    if (n >= 0) {
        fdpoll_note_read(op->coro.loop, op->fd, op->sock, op->woken, n < size);
    }
    return n;
}

/* A number as Python's socket reads it. -1 with an exception, or without if it is that. */
static Py_ssize_t
as_size(PyObject *number)
{
    if (LIKELY(PyLong_CheckExact(number))) {
        return PyLong_AsSsize_t(number);
    }
    PyObject *index = PyNumber_Index(number);
    Py_ssize_t size = index == NULL ? -1 : PyLong_AsSsize_t(index);
    Py_XDECREF(index);
    return size;
}

/* "recv" */
static const char *
verb_of(const SockOp *op)
{
    return sockop_name(sockop_kind_of(op)) + sizeof("sock_") - 1;
}

/* How many bytes are asked for. -1 with an exception. */
static Py_ssize_t
read_size(SockOp *op)
{
    Py_ssize_t size = as_size(op->arg);
    if (UNLIKELY(size < 0) && !PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "negative buffersize in %s", verb_of(op));
    }
    return size;
}

/* Bytes of what is received, of the exact size: by way of the loop's buffer, unless more is asked for. */
static PyObject *
receive_bytes(SockOp *op, Py_ssize_t size, any_addr *addr, socklen_t *addrlen)
{
    PyObject *bytes = NULL;
    char *buf = size <= LOOP_RECV_SIZE ? loop_recv_buffer(op->coro.loop) : NULL;
    if (buf == NULL) {
        if ((bytes = PyBytes_FromStringAndSize(NULL, size)) == NULL) {
            return NULL;
        }
        buf = PyBytes_AS_STRING(bytes);
    }
    Py_ssize_t n = receive(op, buf, size, addr, addrlen);
    if (UNLIKELY(n < 0)) {
        Py_XDECREF(bytes);
        return NULL;
    }
    if (bytes == NULL) {
        return PyBytes_FromStringAndSize(buf, n);
    }
    if (n < size) {
        _PyBytes_Resize(&bytes, n);
    }
    return bytes;
}

static PyObject *
attempt_recv(SockOp *op)
{
    Py_ssize_t size = read_size(op);
    if (UNLIKELY(size < 0)) {
        return NULL;
    }
    return size == 0 ? PyBytes_FromStringAndSize(NULL, 0) : receive_bytes(op, size, NULL, NULL);
}

static PyObject *
with_address(PyObject *value, const any_addr *addr, socklen_t addrlen)
{
    PyObject *address = value == NULL ? NULL : uvolt_sockaddr_to_py(&addr->sa, addrlen);
    PyObject *pair = address == NULL ? NULL : PyTuple_Pack(2, value, address);
    Py_XDECREF(address);
    Py_XDECREF(value);
    return pair;
}

static PyObject *
attempt_recvfrom(SockOp *op)
{
    any_addr addr;
    socklen_t addrlen = 0;
    Py_ssize_t size = read_size(op);
    if (size < 0) {
        return NULL;
    }
    PyObject *bytes = receive_bytes(op, size, &addr, &addrlen);
    return with_address(bytes, &addr, addrlen);
}

/* The buffer that is read into, for the time of one try. 0, or -1 with Python's own TypeError. */
static int
open_buffer(SockOp *op, Py_buffer *view)
{
    if (PyObject_GetBuffer(op->arg, view, PyBUF_WRITABLE) == 0) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() argument 1 must be read-write bytes-like object, not %.50s",
                 verb_of(op), op->arg == Py_None ? "None" : Py_TYPE(op->arg)->tp_name);
    return -1;
}

static PyObject *
attempt_recv_into(SockOp *op)
{
    Py_buffer view;
    if (UNLIKELY(open_buffer(op, &view) < 0)) {
        return NULL;
    }
    Py_ssize_t n = view.len > 0 ? receive(op, view.buf, view.len, NULL, NULL) : 0;
    PyBuffer_Release(&view);
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

/* How many bytes of the buffer: nbytes, or the buffer's len() if that is 0. -1 with an exception. */
static Py_ssize_t
into_size(SockOp *op, Py_ssize_t len)
{
    Py_ssize_t size = op->extra == NULL ? 0 : as_size(op->extra);
    if (size == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (size == 0) { /* a subclass of bytearray may say anything */
        size = PyObject_Size(op->arg);
        if (size <= 0) {
            return size == 0 ? len : -1;
        }
    }
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recvfrom_into");
        return -1;
    }
    if (size > len) {
        PyErr_SetString(PyExc_ValueError, "nbytes is greater than the length of the buffer");
        return -1;
    }
    return size;
}

static PyObject *
attempt_recvfrom_into(SockOp *op)
{
    any_addr addr;
    socklen_t addrlen = 0;
    Py_buffer view;
    if (open_buffer(op, &view) < 0) {
        return NULL;
    }
    Py_ssize_t n = -1, size = into_size(op, view.len);
    if (size >= 0) {
        n = receive(op, view.buf, size, &addr, &addrlen);
    }
    PyBuffer_Release(&view);
    return n < 0 ? NULL : with_address(PyLong_FromSsize_t(n), &addr, addrlen);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Sends what is left. 0 if all is sent or op->err tells why not, -1 if there is no room now. */
static int
send_rest(SockOp *op)
{
    ssize_t n;
    do {
        n = send(op->fd, (char *)op->view.buf + op->sent, (size_t)(op->view.len - op->sent),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        op->err = errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        return op->err != 0 ? 0 : -1;
    }
    op->sent += n;
    return op->sent == op->view.len ? 0 : -1;
}

static PyObject *
attempt_sendall(SockOp *op)
{
    int first = op->view.obj == NULL;
    if (first && PyObject_GetBuffer(op->arg, &op->view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (op->err == 0 && (first || op->sent < op->view.len)) { /* otherwise ready_sendall() did it */
        op->blocked = send_rest(op) < 0;
    }
    if (UNLIKELY(op->err != 0)) {
        errno = op->err;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return op->blocked ? NULL : Py_NewRef(Py_None);
}

/* There is room: go on, without Python, until all is sent. */
static int
ready_sendall(SockOp *op)
{
    return sockop_is_over(op) || send_rest(op) == 0;
}

/* The result of a method of the socket; BlockingIOError is what op->blocked is for. Steals `result`. */
static PyObject *
or_blocked(SockOp *op, PyObject *result)
{
    if (result == NULL
        && (PyErr_ExceptionMatches(PyExc_BlockingIOError) || PyErr_ExceptionMatches(PyExc_InterruptedError))) {
        PyErr_Clear();
        op->blocked = 1;
    }
    return result;
}

static PyObject *
attempt_sendto(SockOp *op)
{
    return or_blocked(op, PyObject_CallMethodObjArgs(op->sock, op->coro.loop->st->n_sendto, op->arg, op->extra, NULL));
}

/* ---- connections --------------------------------------------------------------------------- */

/* socket.socket() over an accepted descriptor, which it owns, or which is closed if that fails. */
static PyObject *
accepted_socket(SockOp *op, int fd)
{
    core_state *st = op->coro.loop->st;
    int family = int_member(st->sock_family, op->sock), type = int_member(st->sock_type, op->sock);
    int proto = int_member(st->sock_proto, op->sock);
    PyObject *sock = NULL;
    if (!PyErr_Occurred()) {
        sock = PyObject_CallFunction(st->Socket, "iiii", family, type, proto, fd);
    }
    if (sock == NULL) {
        close(fd);
        return NULL;
    }
    PyObject *r = PyObject_CallMethodOneArg(sock, st->n_setblocking, Py_False);
    if (r == NULL) {
        Py_CLEAR(sock);
    }
    Py_XDECREF(r);
    return sock;
}

static PyObject *
attempt_accept(SockOp *op)
{
    any_addr addr;
    socklen_t addrlen;
    int fd;
    do {
        addrlen = sizeof(addr);
        fd = accept4(op->fd, &addr.sa, &addrlen, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && try_again(op));
    return fd < 0 ? NULL : with_address(accepted_socket(op, fd), &addr, addrlen);
}

/* A connection within the machine is made by the time connect() says it is in progress; an error would be told with
 * it. One that was refused is left to the loop: asking how it went takes the error away from a later connect(), should
 * the caller be cancelled now. */
static int
is_made(SockOp *op)
{
    struct pollfd connected = {.fd = op->fd, .events = POLLOUT};
    return poll(&connected, 1, 0) > 0 && connected.revents == POLLOUT;
}

/* The first try connects, the next one asks how that went. */
static PyObject *
attempt_connect(SockOp *op)
{
    int err;
    socklen_t len = sizeof(err);
    if (!op->woken) {
        PyObject *r = or_blocked(op, PyObject_CallMethodOneArg(op->sock, op->coro.loop->st->n_connect, op->arg));
        if (!op->blocked || !is_made(op)) {
            return r;
        }
        op->blocked = 0;
        return Py_NewRef(Py_None);
    }
    if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (err == 0) {
        return Py_NewRef(Py_None);
    }
    PyObject *text = PyUnicode_FromFormat("Connect call failed %S", op->arg);
    PyObject *exc = text == NULL ? NULL : PyObject_CallFunction(PyExc_OSError, "iO", err, text);
    Py_XDECREF(text);
    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}

/* Does this address need no resolving for this socket? */
static int
is_resolved(LoopObject *loop, PyObject *sock, PyObject *address)
{
    int family = int_member(loop->st->sock_family, sock);
    if (family == AF_UNIX || family < 0) {
        PyErr_Clear();
        return family == AF_UNIX;
    }
    return PyTuple_Check(address) && (PyTuple_GET_SIZE(address) == 2 || (family == AF_INET6 && PyTuple_GET_SIZE(address) > 2))
           && PyLong_CheckExact(PyTuple_GET_ITEM(address, 1))
           && PyUnicode_Check(PyTuple_GET_ITEM(address, 0)) && sock_is_stream(loop->st, sock)
           && dns_is_address(PyTuple_GET_ITEM(address, 0), family);
}

/* ---- the methods --------------------------------------------------------------------------- */

static const sockop_kind kind_recv = {SOCKOP("sock_recv"), 0, attempt_recv, NULL, NULL};
static const sockop_kind kind_recv_into = {SOCKOP("sock_recv_into"), 0, attempt_recv_into, NULL, NULL};
static const sockop_kind kind_recvfrom = {SOCKOP("sock_recvfrom"), 0, attempt_recvfrom, NULL, NULL};
static const sockop_kind kind_recvfrom_into = {SOCKOP("sock_recvfrom_into"), 0, attempt_recvfrom_into, NULL, NULL};
static const sockop_kind kind_sendall = {SOCKOP("sock_sendall"), 1, attempt_sendall, ready_sendall, NULL};
static const sockop_kind kind_sendto = {SOCKOP("sock_sendto"), 1, attempt_sendto, NULL, NULL};
static const sockop_kind kind_accept = {SOCKOP("sock_accept"), 0, attempt_accept, NULL, NULL};
static const sockop_kind kind_connect = {SOCKOP("sock_connect"), 1, attempt_connect, NULL, NULL};

/* A method whose arguments are the socket and one thing more. */
#define METHOD_OF_TWO(kind, check)                                                                 \
    LoopObject *loop = (LoopObject *)self;                                                         \
    if (LIKELY(nargs == 2 && kwnames == NULL && check(loop, args[0]))) {                           \
        return sockop_new(loop, &(kind), args[0], args[1], NULL);                                  \
    }                                                                                              \
    return loop_call_asyncio(self, sockop_name(&(kind)), args, nargs, kwnames);

PyObject *
sock_recv(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    METHOD_OF_TWO(kind_recv, is_plain)
}

PyObject *
sock_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    METHOD_OF_TWO(kind_recv_into, is_plain)
}

PyObject *
sock_sendall(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    METHOD_OF_TWO(kind_sendall, is_plain)
}

PyObject *
sock_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    METHOD_OF_TWO(kind_recvfrom, is_plain_inet)
}

PyObject *
sock_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *loop = (LoopObject *)self;
    if ((nargs == 2 || nargs == 3) && kwnames == NULL && is_plain_inet(loop, args[0])) {
        return sockop_new(loop, &kind_recvfrom_into, args[0], args[1], nargs == 3 ? args[2] : NULL);
    }
    return loop_call_asyncio(self, sockop_name(&kind_recvfrom_into), args, nargs, kwnames);
}

PyObject *
sock_sendto(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *loop = (LoopObject *)self;
    if (nargs == 3 && kwnames == NULL && is_plain(loop, args[0])) {
        return sockop_new(loop, &kind_sendto, args[0], args[1], args[2]);
    }
    return loop_call_asyncio(self, sockop_name(&kind_sendto), args, nargs, kwnames);
}

/* accept4() and connect() have no flag that keeps them from blocking: with a blocking socket, asyncio's way. */
static int
never_blocks(LoopObject *loop, PyObject *sock)
{
    PyObject *timeout = PyObject_CallOneArg(loop->st->sock_gettimeout, sock);
    int never = timeout != NULL && PyFloat_Check(timeout) && PyFloat_AS_DOUBLE(timeout) == 0;
    Py_XDECREF(timeout);
    PyErr_Clear();
    return never;
}

PyObject *
sock_accept(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *loop = (LoopObject *)self;
    if (nargs == 1 && kwnames == NULL && is_plain_inet(loop, args[0]) && never_blocks(loop, args[0])) {
        return sockop_new(loop, &kind_accept, args[0], NULL, NULL);
    }
    return loop_call_asyncio(self, sockop_name(&kind_accept), args, nargs, kwnames);
}

PyObject *
sock_connect(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *loop = (LoopObject *)self;
    if (nargs == 2 && kwnames == NULL && is_plain_inet(loop, args[0]) && is_resolved(loop, args[0], args[1])) {
        return sockop_new(loop, &kind_connect, args[0], args[1], NULL);
    }
    return loop_call_asyncio(self, sockop_name(&kind_connect), args, nargs, kwnames);
}
