/* sock.h - a call of sock_recv() and its kin: what the method returns, and its steps. */
#ifndef UVOLT_CORE_SOCK_H
#define UVOLT_CORE_SOCK_H

#include "core/coro.h"
#include "core/waiter.h"

typedef struct SockOp SockOp;

/* What one method does. */
typedef struct sockop_kind {
    coro_kind coro;   /* SOCKOP(name of the method) */
    int write;        /* waits until the socket can be written, not read */
    /* The system call. A new reference; or NULL with an exception; or NULL and op->blocked set: not now. PYCALL. */
    PyObject *(*attempt)(SockOp *op);
    /* An event came: is it time to wake the caller? NULL: always. */
    int (*ready)(SockOp *op);
    void (*end)(SockOp *op); /* what is left to do when it is over, however that came; or NULL */
} sockop_kind;

struct SockOp {
    CoroObject coro;  /* its kind is the first member of a sockop_kind */
    PyObject *sock;   /* strong or NULL; this and what follows are NULL once it is over */
    PyObject *arg;    /* strong: how many bytes, the buffer, or the data */
    PyObject *extra;  /* strong: the other argument, or NULL */
    waiter wait;      /* what the caller waits with */
    Py_buffer view;   /* of `arg`; held if view.obj is not NULL */
    Py_ssize_t sent;  /* bytes */
    off_t offset;     /* of sock_sendfile: where in the file to begin, */
    Py_ssize_t count; /* how many bytes, 0 for all, */
    int file;         /* its descriptor, */
    char ended;       /* and whether all is sent or the file is at its end */
    int fd;           /* of the last try */
    int err;          /* errno of a try between two steps, 0 if none */
    char blocked;
    char watching;    /* fdpoll may have it under `fd` */
    char woken;       /* the try that comes now follows an event */
};

extern PyType_Spec sockop_spec;

coro_outcome sockop_step(CoroObject *, PyObject *value, PyObject **result);
void sockop_end(CoroObject *);
#define SOCKOP(name) {"Loop." name, sockop_step, sockop_end}

static inline const sockop_kind *
sockop_kind_of(const SockOp *op)
{
    return (const sockop_kind *)op->coro.kind;
}

static inline const char *
sockop_name(const sockop_kind *kind) /* "sock_recv" */
{
    return kind->coro.name + sizeof("Loop.") - 1;
}

/* New references to the arguments are taken; all but the first two may be NULL: without a socket, it does not wait.
 * Runs nothing yet. */
PyObject *sockop_new(LoopObject *loop, const sockop_kind *kind, PyObject *sock, PyObject *arg,
                     PyObject *extra);

/* For fdpoll, which holds `op` meanwhile. PYCALL, no exception comes out. */
int sockop_ready(PyObject *op);
void sockop_wake(PyObject *op);

/* sock.c: what the steps ask of the socket object. */
int sockop_is_over(SockOp *op); /* for `ready`: nobody waits any more, or the descriptor cannot be told */
int sock_find_fd(SockOp *op);    /* its descriptor now, or -1, in op->fd; -1 with an exception */
int sock_check_mode(SockOp *op); /* debug mode: -1 with ValueError if it blocks */
int sock_is_stream(core_state *st, PyObject *sock);

PyObject *sock_recv(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_recv_into(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_recvfrom(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_recvfrom_into(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_sendall(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_sendto(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_accept(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *sock_connect(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* sendfile.c */
PyObject *sendfile_start(PyObject *, PyObject *const *, Py_ssize_t);

#endif
