/* hop.h - one request on one connection: a slot of the pool, a connection, the request, the head of the answer.
 *
 * A part of a RequestObject, and of its steps. Whatever way it ends, hop_end() leaves the pool and the
 * descriptors whole. A request that may be repeated is sent once more, on a new connection, if a connection that
 * was used before fails before it has answered anything. */
#ifndef UVOLT_HTTP_HOP_H
#define UVOLT_HTTP_HOP_H

#include "core/deadline.h"
#include "http/dial.h"
#include "http/session.h"

typedef enum hop_phase {
    HOP_START,
    HOP_QUEUED,     /* for a slot */
    HOP_DIALING,    /* for the socket to be connected */
    HOP_CONNECTING, /* connector._open() is awaited */
    HOP_DELEGATED,  /* `connect` is awaited */
    HOP_HEAD,       /* sent: for the head of the answer */
    HOP_OVER,
} hop_phase;

typedef struct hop {
    LoopObject *loop;          /* borrowed from the coroutine */
    SessionObject *session;    /* strong */
    PyObject *connector;       /* strong: the session's, which forgets it when it is closed */
    ResponseObject *response;  /* strong */
    RouteObject *route;        /* strong */
    ConnectionObject *conn;    /* strong, until the head is there */
    PyObject *body;            /* strong: exact bytes, or NULL */
    PyObject *upload;          /* strong: upload(response), a coroutine function, or NULL */
    PyObject *connect;         /* strong: connect(fresh), a coroutine function that gets the connection in our place, or NULL */
    PyObject *timeout;         /* strong: ClientTimeout, or what was given instead; NULL: none */
    pool_waiter waiter;
    deadline slot_by;          /* pool and connect timeouts while it is queued or dials */
    dial dial;
    http_timeouts times;
    double connect_by, end_by; /* on the loop's clock; 0: none */
    hop_phase phase;
    unsigned may_retry : 1;
    unsigned fresh : 1;        /* a new connection is wanted */
    unsigned no_reuse : 1;
    unsigned upgrade : 1;
} hop;

/* All zero but for what the caller sets: loop, session, connector, response (with its request in `sent`), route, body, upload,
 * connect, timeout, times, end_by and the bits; references are the exchange's. connect(fresh) returns (connection, head,
 * body): taken from the route's pool and connected (a new one if `fresh`), and what is to be sent, bytes or None. */
void hop_init(hop *x);
/* A step of the coroutine `c`. CORO_DONE: x->response has its head; CORO_WAIT, CORO_ERROR as in coro.h. PYCALL. */
coro_outcome hop_step(hop *x, CoroObject *c, PyObject *value);
void hop_end(hop *x); /* gives up what is not over, and lets go of all. PYCALL */
int hop_traverse(hop *x, visitproc visit, void *arg);

#endif
