/* dial.h - dial: the TCP connection of an HTTPConnection, made without a frame of Python.
 *
 * For the ordinary case: no TLS, no proxy, one address, which is known, and a TCPConnector whose methods are its own. For
 * all else dial_start() says no, and connector._open() is awaited.
 * A part of a hop. The connection knows it while it is under way: one that is closed meanwhile ends its dial.
 * Threads: the loop's. */
#ifndef UVOLT_HTTP_DIAL_H
#define UVOLT_HTTP_DIAL_H

#include "http/connection.h"
#include "runtime/sockaddr.h"

typedef enum {
    DIAL_ERROR = -1, /* an exception is set */
    DIAL_NOT,        /* not for us: await connector._open() */
    DIAL_WAIT,       /* `ended` is going to be called */
    DIAL_MADE,       /* connected, and in state CONN_TAKEN */
} dial_outcome;

typedef struct dial dial;

struct dial {
    ConnectionObject *conn;   /* borrowed from the hop; NULL: nothing is under way */
    void (*ended)(dial *d);   /* it is over, for good or bad: dial_finish(). Not after dial_cancel() */
    small_addr addr;
    socklen_t addr_len;
    int fd;
    int err;                  /* errno of what failed */
    unsigned is_watched : 1;
    unsigned is_late : 1;     /* the first connect() did not tell how it goes */
};

/* `conn` is in state CONN_NEW. The connector's exceptions are those of its Python way. `keeper` keeps `d` alive, and is
 * kept by the loop while it waits for the socket. PYCALL. */
dial_outcome dial_start(dial *d, ConnectionObject *conn, PyObject *connector, PyObject *keeper, void (*ended)(dial *));
dial_outcome dial_finish(dial *d); /* after `ended`, if the connection is open: DIAL_MADE or DIAL_ERROR. PYCALL */
void dial_cancel(dial *d);         /* also if nothing is under way; nobody is told */
void dial_dropped(dial *d);        /* by the connection, which was closed. PYCALL */

#endif
