/* pipe.h - PipeObject: a transport over one end of a pipe, a socket or a character device.
 *
 * Split by role: pipe.c life and what both ends share, pipe_read.c ReadPipeTransport, pipe_write.c
 * WritePipeTransport. There is no uv handle: the descriptor stays its file object's, which closes it, and the
 * loop watches it as add_reader() and add_writer() do. So a terminal can have a transport for each direction
 * under one number, and events come in asyncio's order. */
#ifndef UVOLT_NET_PIPE_H
#define UVOLT_NET_PIPE_H

#include <sys/stat.h>

#include "core/loop.h"

typedef struct PipeObject {
    PyObject_HEAD
    PyObject *base_slots[5]; /* room for the slots of asyncio's base classes (five so far), unused */
    PyObject *dict;          /* strong */
    PyObject *weakrefs;
    LoopObject *loop;        /* strong */
    PyObject *pipe;          /* strong: file object, NULL once it was closed */
    PyObject *fileno;        /* strong: its descriptor as an int object */
    PyObject *protocol;      /* strong; NULL after connection_lost */
    PyObject *extra;         /* strong: dict behind get_extra_info */
    PyObject *feed_owner;    /* strong: read end: its attribute `feed_name` is a StreamReader to */
    PyObject *feed_name;     /* strong: feed in place of data_received(); NULL for the protocol */
    int fd;
    mode_t type;             /* S_IFIFO, S_IFSOCK or S_IFCHR */
    char closing;
    char lost;               /* connection_lost is scheduled */
    char finished;           /* and was called */
    char paused;             /* read end: pause_reading() */
    size_t room;             /* read end: bytes to read at once without a copy, 0 if reads are small */
    ring queue;              /* write end: strong bytes that wait */
    size_t sent;             /* of the first of them */
    size_t pending;          /* bytes in the queue that are not sent */
    size_t high, low;        /* write buffer limits, bytes */
    unsigned conn_lost;      /* counts writes that went nowhere */
    char protocol_paused;
} PipeObject;

extern PyType_Spec pipe_read_spec, pipe_write_spec;
int pipe_check_layout(core_state *st); /* -1 with ImportError if asyncio's base classes grew */

/* ---- pipe.c */
/* A transport whose connection_made is queued; begin() follows it and gets the waiter. `args` are loop, pipe,
 * protocol, waiter, extra. PYCALL. */
PipeObject *pipe_new(PyTypeObject *type, PyObject *const *args, const char *refusal);
/* As asyncio's _close(): drop what is queued, connection_lost(exc) in the next batch. -1 with an exception. */
int pipe_force_close(PipeObject *p, PyObject *exc);
/* connection_lost(exc) in the next batch, once. -1 with an exception. */
int pipe_schedule_lost(PipeObject *p, PyObject *exc);
PyObject *pipe_connection_lost(PyObject *op, PyObject *exc);
/* The OSError of errno, to the one of uvolt._support's functions that knows what to tell of it; then
 * pipe_force_close(). NULL if that failed. PYCALL. */
PyObject *pipe_fatal(PipeObject *p, const char *report, const char *message);
int pipe_watch(PipeObject *p, int write);    /* -1 with an exception. PYCALL */
void pipe_unwatch(PipeObject *p, int write);
int pipe_log(PipeObject *p, const char *text); /* debug mode only. -1 with an exception. PYCALL */
/* connection_made(). Takes its exceptions. PYCALL. */
void pipe_begin(PipeObject *p);
PyObject *pipe_wake(PipeObject *p, PyObject *waiter);

int pipe_traverse(PyObject *op, visitproc visit, void *arg);
int pipe_clear(PyObject *op);
void pipe_finalize(PyObject *op);
void pipe_dealloc(PyObject *op);
PyObject *pipe_repr(PyObject *op);
PyObject *pipe_is_closing(PyObject *op, PyObject *unused);
PyObject *pipe_get_protocol(PyObject *op, PyObject *unused);
PyObject *pipe_set_protocol(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
extern PyMemberDef pipe_members[];
extern PyGetSetDef pipe_getset[];

/* ---- pipe_read.c, pipe_write.c */
PyObject *pipe_make_read(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *pipe_make_write(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
void pipe_drop_queue(PipeObject *p);

#endif
