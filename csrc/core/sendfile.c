/* sendfile.c - sendfile() to a socket: what loop.sock_sendfile() and loop.sendfile() do where the kernel can.
 *
 * From event to event without Python; the GIL is given back during the call, which may wait for a disk. How much was
 * sent is what the calls said, whatever happens to the file's size meanwhile; the file's position is after that.
 * Owns nothing: sockop.c has the state. Threads: the loop's. PYCALL: the first and the last step. */
#include <errno.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "core/sock.h"

#define MOST_AT_ONCE 0x7ffff000 /* what Linux sends in one call */

/* 0 if it is over (all is sent, or the file has ended, or op->err tells why not), -1 if there is no room now. */
static int
send_part(SockOp *op)
{
    size_t size = op->count > 0 ? (size_t)(op->count - op->sent) : MOST_AT_ONCE;
    ssize_t n;
    int err;
    do {
        off_t at = op->offset + op->sent;
        Py_BEGIN_ALLOW_THREADS
        n = sendfile(op->fd, op->file, &at, size);
        err = errno;
        Py_END_ALLOW_THREADS
    } while (n < 0 && err == EINTR);
    if (n < 0) {
        op->err = err == EAGAIN ? 0 : err;
        return op->err != 0 ? 0 : -1;
    }
    op->sent += n;
    op->ended = n == 0 || op->sent == op->count;
    return op->ended ? 0 : -1;
}

static PyObject *
raise_failed(SockOp *op)
{
    core_state *st = op->coro.loop->st;
    if (op->sent == 0) { /* not a pair that the kernel takes, most likely: the caller can do without */
        PyErr_SetString(st->SendfileNotAvailableError, "os.sendfile call failed");
        return NULL;
    }
    errno = op->err;
    return PyErr_SetFromErrno(op->err == ENOTCONN ? PyExc_ConnectionError : PyExc_OSError);
}

static PyObject *
attempt_sendfile(SockOp *op)
{
    if (!op->ended && op->err == 0) { /* otherwise ready_sendfile() did it */
        op->blocked = send_part(op) < 0;
    }
    if (op->err != 0) {
        return raise_failed(op);
    }
    return op->blocked ? NULL : PyLong_FromSsize_t(op->sent);
}

static int
ready_sendfile(SockOp *op)
{
    return sockop_is_over(op) || send_part(op) == 0;
}

static void
end_sendfile(SockOp *op)
{
    if (op->sent > 0) {
        lseek(op->file, op->offset + op->sent, SEEK_SET);
    }
}

static const sockop_kind kind_sendfile = {SOCKOP("sock_sendfile"), 1, attempt_sendfile, ready_sendfile, end_sendfile};

/* _sendfile(sock, file, offset, count): count 0 is all. */
PyObject *
sendfile_start(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 4) {
        PyErr_SetString(PyExc_TypeError, "_sendfile(sock, file, offset, count)");
        return NULL;
    }
    long file = PyLong_AsLong(args[1]);
    long long offset = PyLong_AsLongLong(args[2]);
    Py_ssize_t count = PyLong_AsSsize_t(args[3]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    SockOp *op = (SockOp *)sockop_new((LoopObject *)self, &kind_sendfile, args[0], NULL, NULL);
    if (op != NULL) {
        op->file = (int)file;
        op->offset = offset;
        op->count = count;
        op->ended = 0;
    }
    return (PyObject *)op;
}
