/* udp.h - UdpObject: a transport over one datagram socket (UDP over IPv4 and IPv6, Unix).
 *
 * Split by role: udp.c life and methods, udp_io.c datagrams in and out. The socket object owns the
 * descriptor; while the transport lives, a SocketIO reference on it keeps sock.close() by others from
 * closing the number under libuv. The uv handle keeps the transport alive from init to its close callback. */
#ifndef UVOLT_NET_UDP_H
#define UVOLT_NET_UDP_H

#include "core/loop.h"
#include "runtime/sockaddr.h"

/* An address as the kernel has it and as Python shows it. */
typedef struct udp_peer {
    small_addr addr;
    socklen_t len;
    PyObject *tuple; /* strong, or NULL: an exact tuple of str and int, so it cannot change */
} udp_peer;

typedef struct UdpObject {
    PyObject_HEAD
    PyObject *base_slots[5];    /* room for the slots of asyncio's base class (five so far), unused */
    PyObject *dict;             /* strong */
    PyObject *weakrefs;
    LoopObject *loop;           /* strong */
    loop_owned owned;
    uv_poll_t uv;
    int fd;                     /* -1 once closed */
    int family;                 /* AF_INET, AF_INET6, AF_UNIX */
    int interest;               /* what libuv watches for: UV_READABLE | UV_WRITABLE */
    PyObject *sock;             /* strong: the socket object; NULL once closed */
    PyObject *protocol;         /* strong; NULL after connection_lost */
    PyObject *context;          /* strong: what protocol callbacks run in */
    HandleObject *reader;       /* strong: _read_ready(), made when a read has to wait its turn */
    PyObject *extra;            /* strong: dict behind get_extra_info */
    PyObject *address;          /* strong: the only destination, or None */
    udp_peer from;              /* the last sender */
    udp_peer to;                /* the last destination that was not `from` */
    ring queue;                 /* strong tuples (bytes, address) that wait for the socket */
    size_t queued_bytes;
    Py_ssize_t high, low;       /* write buffer limits, bytes */
    unsigned conn_lost;         /* > 0: connection_lost is scheduled; counts later sends */
    unsigned lone_reads;        /* wake-ups in a row that brought one datagram */
    char fixed;                 /* `address` is one */
    char connected;             /* the socket has a peer: send() */
    char anonymous;             /* its peer is a Unix socket without a name */
    char uv_live;               /* the uv handle is open */
    char untold;                /* of `interest`, which another thread has changed, see loop_touch_later() */
    char made;                  /* connection_made was called */
    char paused;                /* pause_reading() */
    char closing;
    char protocol_paused;
    char in_reader;             /* inside _read_ready(): its handle reports if it is slow */
    char finished;              /* connection_lost was called, or never will be */
} UdpObject;

extern PyType_Spec udp_spec;

/* ---- udp.c */
PyObject *udp_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
/* As asyncio's _fatal_error: report the exception that is set, then abort with it. PYCALL. */
void udp_fatal(UdpObject *u, const char *message);
int udp_schedule_lost(UdpObject *u, PyObject *exc); /* -1 with an exception */

/* ---- udp_io.c */
/* Tell libuv what to watch for now. An error is fatal to the transport. PYCALL then. */
void udp_update_interest(UdpObject *u);
void udp_tell_interest(UdpObject *u); /* to libuv */
void udp_drop_queue(UdpObject *u);
PyObject *udp_read_ready(PyObject *, PyObject *);
PyObject *udp_sendto(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *udp_set_limits(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

#endif
