/* pool.h - HTTPPool and HTTPRoute: connections that are kept, and who waits for one.
 *
 * A connection is a slot: it is made when a slot is granted, before it is connected, and the slot is free when it is
 * closed (connection.h). `limit` counts all slots, in use and idle; `limit_per_host` those of a route. Waiters are
 * served in order of arrival: what becomes free goes to the oldest that may have it. An idle connection of another
 * route is closed for one that would have to wait for `limit`. Idle connections are used again last in, first out.
 *
 * Kept by: the connector. Connections and routes know their pool by a borrowed pointer that the pool takes back when
 * it goes, so a pool that is dropped closes its idle connections.
 * Threads: the loop's. */
#ifndef UVOLT_HTTP_POOL_H
#define UVOLT_HTTP_POOL_H

#include "base/heap.h"
#include "base/list.h"
#include "core/deadline.h"
#include "http/state.h"

typedef struct ConnectionObject ConnectionObject;
typedef struct PoolObject PoolObject;

extern PyType_Spec http_route_spec;   /* _core.HTTPRoute */
extern PyType_Spec http_pool_spec;    /* _core.HTTPPool */
extern PyType_Spec http_acquire_spec; /* _core.HTTPAcquire: what HTTPPool.acquire() returns */

/* Where requests go. Found once by its key with pool_route(), then kept by pointer (strong). */
typedef struct RouteObject {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *key;      /* strong: the connection key, any hashable */
    PoolObject *pool;   /* borrowed; NULL when the pool has gone */
    list_node idle;     /* ConnectionObject.in_route: strong references, the last to become idle at the end */
    list_node waiters;  /* pool_waiter.node, oldest first; a reference to the future of each, so that who waits is kept */
    heap_node turn;     /* in pool->turns while it has a waiter and room for one more: the oldest one's number */
    Py_ssize_t slots;   /* of its connections, idle ones as well */
} RouteObject;

struct PoolObject {
    PyObject_HEAD
    PyObject *weakrefs;
    LoopObject *loop;          /* strong */
    PyObject *routes;          /* strong: dict, key -> RouteObject */
    PyObject *closing;         /* strong: list of the futures of pool_wait_closed(), or NULL */
    Py_ssize_t swept;          /* when `routes` is larger, those that nobody uses are dropped */
    Py_ssize_t limit;          /* 0: none */
    Py_ssize_t limit_per_host; /* 0: none */
    Py_ssize_t slots;          /* of all routes */
    Py_ssize_t open;           /* connections whose transport is not yet lost */
    double keepalive_timeout;  /* seconds; infinite: an idle connection is kept for ever */
    deadline expiry;           /* when to look for idle ones that are too old; armed lazily */
    list_node connections;     /* ConnectionObject.in_pool: all that have a slot or are not yet lost; borrowed */
    list_node idle;            /* ConnectionObject.in_idle, of all routes, longest idle first */
    heap turns;                /* RouteObject.turn */
    uint64_t arrivals;         /* numbers waiters */
    uint64_t opened, reused, lost; /* connections that were connected, given again, closed so far */
    unsigned overtaken;        /* how often in a row the oldest waiter was passed over */
    unsigned force_close : 1;
    unsigned closed : 1;
    unsigned serving : 1;
};

/* Embedded in whoever wants a connection. */
typedef struct pool_waiter {
    list_node node;          /* in route->waiters */
    uint64_t number;         /* order of arrival */
    RouteObject *route;      /* strong while it waits, or was given something; NULL: nothing is held */
    PyObject *future;        /* strong: done when `conn` is there, or the pool was closed */
    ConnectionObject *conn;  /* strong: what was given */
} pool_waiter;

/* A pool with a connector's defaults. New reference, or NULL. */
PyObject *pool_make(LoopObject *loop);

/* The route of `key`: new reference, or NULL with an exception. PYCALL (hash and equality of the key). */
RouteObject *pool_route(PoolObject *p, PyObject *key);

/* A connection of this route, if there is one now. 1: *c is one (new reference; connected and looked at, or CONN_NEW:
 * yours to connect). 0: none, and nothing waits; -1 with an exception. PYCALL. */
int pool_take(RouteObject *r, ConnectionObject **c);
/* The same, but 0: queued; await w->future, then pool_taken(). -1 with an exception, nothing held. `w` is written over.
 * PYCALL. */
int pool_acquire(RouteObject *r, pool_waiter *w, ConnectionObject **c);
/* w->future is done. The connection as above, or NULL with an exception (the pool was closed). Ends the wait. PYCALL. */
ConnectionObject *pool_taken(pool_waiter *w);
/* Ends the wait, whatever its state: what was given goes back. Also one that is over, or all zero. PYCALL. */
void pool_cancel(pool_waiter *w);

/* No connection is given any more: idle ones are closed, exchanges fail, waiters fail. PYCALL. */
void pool_shut(PoolObject *p);
/* pool_shut(), and a future that is done when the last socket is closed. New reference. PYCALL. */
PyObject *pool_wait_closed(PoolObject *p);

/* ---- for connection.c ---------------------------------------------------------------------- */

int pool_keep(ConnectionObject *c);       /* it becomes idle, or is given on; 0: it may not be kept. PYCALL */
void pool_free_slot(ConnectionObject *c); /* it is closing: somebody else may open one. PYCALL */
void pool_opened(ConnectionObject *c);    /* it has a transport */
void pool_lost(ConnectionObject *c);      /* its socket is closed, or was never opened. PYCALL */

/* ---- for poolobject.c ---------------------------------------------------------------------- */

void pool_forget_all(PoolObject *p); /* the pool goes: nothing points to it any more, idle ones are closed. PYCALL */
void pool_forget_waiters(RouteObject *r); /* the route is garbage: who still waits is not told */
void pool_expire(deadline *d);       /* PYCALL */

#endif
