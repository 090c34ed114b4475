/* pool.c - which connection is given to whom; see pool.h. The types are in poolobject.c.
 * Owns:    the references in route->idle; what waits in route->waiters is its owner's.
 * Threads: the loop's.
 * PYCALL:  nearly everything: closing a connection calls its transport, giving one wakes a future. After such a call
 *          lists are looked at anew; `serving` keeps pool_free_slot() from serving within itself. */
#include "http/pool.h"

#include <math.h>

#include "http/connection.h"

#define OVERTAKE 8 /* a connection goes to its own route's waiter past an older one so often in a row */
#define SWEEP_MIN 64

/* ---- routes -------------------------------------------------------------------------------- */

static int
is_used(const RouteObject *r)
{
    return Py_REFCNT(r) > 1 || r->slots > 0 || !list_empty(&r->waiters);
}

/* Drop the routes that only `routes` has. -1 with an exception. */
static int
sweep(PoolObject *p)
{
    PyObject *kept = PyDict_New(), *key, *value;
    Py_ssize_t i = 0;
    int rc = kept == NULL ? -1 : 0;
    while (rc == 0 && PyDict_Next(p->routes, &i, &key, &value)) {
        if (is_used((RouteObject *)value)) {
            rc = PyDict_SetItem(kept, key, value);
        }
    }
    if (rc == 0) {
        Py_ssize_t n = PyDict_GET_SIZE(kept) * 2;
        p->swept = n < SWEEP_MIN ? SWEEP_MIN : n;
        Py_SETREF(p->routes, Py_NewRef(kept));
    }
    Py_XDECREF(kept);
    return rc;
}

static RouteObject *
make_route(PoolObject *p, PyObject *key)
{
    if (PyDict_GET_SIZE(p->routes) >= p->swept && sweep(p) < 0) {
        return NULL;
    }
    PyTypeObject *type = p->loop->st->http->http_route_type;
    RouteObject *r = (RouteObject *)type->tp_alloc(type, 0);
    if (r == NULL) {
        return NULL;
    }
    list_init(&r->idle);
    list_init(&r->waiters);
    r->turn.index = HEAP_OUT;
    r->key = Py_NewRef(key);
    r->pool = p;
    if (PyDict_SetItem(p->routes, key, (PyObject *)r) < 0) {
        r->pool = NULL;
        Py_CLEAR(r);
    }
    return r;
}

RouteObject *
pool_route(PoolObject *p, PyObject *key)
{
    PyObject *found = PyDict_GetItemWithError(p->routes, key);
    if (found != NULL) {
        return (RouteObject *)Py_NewRef(found);
    }
    return PyErr_Occurred() ? NULL : make_route(p, key);
}

/* ---- whose turn it is ---------------------------------------------------------------------- */

static inline pool_waiter *
oldest(const RouteObject *r)
{
    return list_empty(&r->waiters) ? NULL : CONTAINER_OF(r->waiters.next, pool_waiter, node);
}

static inline int
has_room(const PoolObject *p, const RouteObject *r)
{
    return p->limit_per_host == 0 || r->slots < p->limit_per_host;
}

/* After a change of its waiters or slots: `turns` has a route if it waits for `limit` alone. -1: no memory. */
static int
update_turn(PoolObject *p, RouteObject *r)
{
    pool_waiter *w = oldest(r);
    int wanted = w != NULL && has_room(p, r);
    if (r->turn.index != HEAP_OUT) {
        if (wanted && r->turn.seq == w->number) {
            return 0;
        }
        heap_remove(&p->turns, &r->turn);
    }
    if (!wanted) {
        return 0;
    }
    r->turn.when = 0;
    r->turn.seq = w->number;
    return heap_insert(&p->turns, &r->turn);
}

/* It does not wait any more. Its own reference to the future stays. */
static void
unqueue(pool_waiter *w)
{
    RouteObject *r = w->route;
    list_remove(&w->node);
    if (r->pool != NULL) {
        update_turn(r->pool, r); /* the heap had room for it */
    }
    Py_DECREF(w->future); /* the list's reference */
}

/* Give `c`, whose reference is taken over, to the oldest waiter of its route. 0: there is none (any more), and the
 * reference is still the caller's. */
static int
hand_over(RouteObject *r, ConnectionObject *c)
{
    pool_waiter *w;
    while ((w = oldest(r)) != NULL) {
        PyObject *future = Py_NewRef(w->future);
        unqueue(w);
        w->conn = c;
        PyObject *done = PyObject_CallMethodOneArg(future, c->loop->st->n_set_result, Py_None);
        Py_DECREF(future);
        if (LIKELY(done != NULL)) {
            Py_DECREF(done);
            return 1;
        }
        /* Cancelled, but its owner has not run yet; or no memory to wake it: then it is not left waiting. */
        if (!PyErr_ExceptionMatches(c->loop->st->InvalidStateError)) {
            loop_error(c->loop, "Cannot wake who waits for a connection", NULL, (PyObject *)c);
            return 1;
        }
        PyErr_Clear();
        w->conn = NULL;
    }
    return 0;
}

/* ---- idle connections ---------------------------------------------------------------------- */

/* Out of the lists. The reference of route->idle is the caller's now. */
static ConnectionObject *
unlink_idle(ConnectionObject *c)
{
    list_remove(&c->in_route);
    list_remove(&c->in_idle);
    c->state = CONN_TAKEN;
    return c;
}

static inline int
is_too_old(const PoolObject *p, const ConnectionObject *c)
{
    return (double)(uv_now(&p->loop->uv) - c->idle_since) > p->keepalive_timeout * 1e3;
}

/* Close what was idle for the longest time, for its slot. */
static void
evict(PoolObject *p)
{
    ConnectionObject *c = unlink_idle(CONTAINER_OF(p->idle.next, ConnectionObject, in_idle));
    conn_close(c);
    Py_DECREF(c);
}

/* The one that became idle last, looked at; new reference or NULL. */
static ConnectionObject *
take_idle(RouteObject *r)
{
    while (r->pool != NULL && !list_empty(&r->idle)) {
        ConnectionObject *c = unlink_idle(CONTAINER_OF(r->idle.prev, ConnectionObject, in_route));
        if (LIKELY(!is_too_old(r->pool, c) && conn_is_own(c) && conn_is_usable(c))) {
            return c;
        }
        conn_close(c);
        Py_DECREF(c);
    }
    return NULL;
}

/* A slot for a new connection; NULL without an exception: there is none now. */
static ConnectionObject *
take_slot(PoolObject *p, RouteObject *r)
{
    if (!has_room(p, r)) {
        return NULL;
    }
    if (p->limit > 0 && p->slots >= p->limit) {
        if (list_empty(&p->idle)) {
            return NULL;
        }
        p->serving++; /* the slot is for us: who waits could not use it when it was idle */
        evict(p);
        p->serving--;
        if (p->closed || p->slots >= p->limit || !has_room(p, r)) {
            return NULL;
        }
    }
    return conn_new(r);
}

/* ---- serving ------------------------------------------------------------------------------- */

/* Slots that are free, and idle connections, for those who wait. */
static void
serve(PoolObject *p)
{
    heap_node *top;
    if (p->serving || p->closed || p->loop->closed) {
        return;
    }
    p->serving++;
    Py_INCREF(p);
    while (!p->closed && (top = heap_top(&p->turns)) != NULL) {
        RouteObject *r = CONTAINER_OF(top, RouteObject, turn);
        Py_INCREF(r);
        ConnectionObject *c = take_slot(p, r);
        int given = c != NULL && hand_over(r, c);
        if (c == NULL && PyErr_Occurred()) {
            loop_error(p->loop, "No memory for a connection", NULL, NULL);
        }
        if (c != NULL && !given) { /* all had been cancelled */
            conn_close(c);
            Py_DECREF(c);
        }
        Py_DECREF(r);
        if (c == NULL) {
            break;
        }
        p->overtaken = 0;
    }
    p->serving--;
    Py_DECREF(p);
}

/* May the waiter of `r` have a connection of its route? Those of other routes wait for a slot; one that is older
 * is passed over a few times, since a connection that is open is worth more than a slot. */
static int
may_overtake(PoolObject *p, RouteObject *r)
{
    heap_node *top = heap_top(&p->turns);
    if (top == NULL || top->seq >= oldest(r)->number) {
        p->overtaken = 0;
        return 1;
    }
    return p->overtaken++ < OVERTAKE;
}

int
pool_keep(ConnectionObject *c)
{
    PoolObject *p = c->pool;
    RouteObject *r = c->route;
    if (p == NULL || p->closed || p->force_close) {
        return 0;
    }
    if (UNLIKELY(!list_empty(&r->waiters)) && may_overtake(p, r)) {
        if (hand_over(r, (ConnectionObject *)Py_NewRef(c))) {
            p->reused++;
            return 1;
        }
        Py_DECREF(c);
        if (c->pool == NULL || p->closed || c->state != CONN_TAKEN) {
            return 0;
        }
    }
    c->state = CONN_IDLE;
    c->idle_since = uv_now(&p->loop->uv);
    c->idle_poll = p->loop->polls;
    Py_INCREF(c);
    list_append(&r->idle, &c->in_route);
    list_append(&p->idle, &c->in_idle);
    if (UNLIKELY(!deadline_is_set(&p->expiry)) && p->keepalive_timeout < HUGE_VAL
        && deadline_set_in(p->loop, &p->expiry, p->keepalive_timeout) < 0) {
        PyErr_Clear(); /* it is looked at again before it is used */
    }
    if (UNLIKELY(p->turns.count > 0)) {
        serve(p);
    }
    return 1;
}

/* Close what is too old, and look again when the next one will be. */
void
pool_expire(deadline *d)
{
    PoolObject *p = CONTAINER_OF(d, PoolObject, expiry);
    double now = clock_now();
    Py_INCREF(p);
    while (!list_empty(&p->idle)) {
        ConnectionObject *c = CONTAINER_OF(p->idle.next, ConnectionObject, in_idle);
        double end = (double)c->idle_since / 1e3 + p->keepalive_timeout;
        if (end > now) {
            if (deadline_set(p->loop, &p->expiry, end + 1e-3) < 0) {
                PyErr_Clear();
            }
            break;
        }
        evict(p);
    }
    Py_DECREF(p);
}

/* ---- what becomes of slots ----------------------------------------------------------------- */

void
pool_free_slot(ConnectionObject *c)
{
    PoolObject *p = c->pool;
    RouteObject *r = c->route;
    if (!list_empty(&c->in_route)) { /* idle: not any more */
        Py_DECREF(unlink_idle(c));
        c->state = CONN_CLOSED;
    }
    r->slots--;
    if (p != NULL) {
        p->slots--;
        if (update_turn(p, r) == 0 && p->turns.count > 0) {
            serve(p);
        }
    }
}

void
pool_opened(ConnectionObject *c)
{
    if (c->pool != NULL) {
        c->pool->open++;
        c->pool->opened++;
    }
}

/* Who waits in `futures`, all of them. */
static void
wake_all(PoolObject *p, PyObject *futures)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(futures); i++) {
        PyObject *r = PyObject_CallMethodOneArg(PyList_GET_ITEM(futures, i), p->loop->st->n_set_result, Py_None);
        if (r == NULL && PyErr_ExceptionMatches(p->loop->st->InvalidStateError)) {
            PyErr_Clear(); /* cancelled meanwhile */
        }
        else if (r == NULL) {
            loop_error(p->loop, "Cannot wake a waiter of a connection pool", NULL, NULL);
        }
        Py_XDECREF(r);
    }
}

static void
tell_closed(PoolObject *p)
{
    PyObject *futures = p->closing;
    if (futures != NULL && p->open == 0) {
        p->closing = NULL;
        wake_all(p, futures);
        Py_DECREF(futures);
    }
}

void
pool_lost(ConnectionObject *c)
{
    PoolObject *p = c->pool;
    if (p == NULL) {
        return;
    }
    c->pool = NULL;
    list_remove(&c->in_pool);
    if (c->opened) {
        p->open--;
        p->lost++;
        tell_closed(p);
    }
}

/* ---- acquire ------------------------------------------------------------------------------- */

static int
queue(PoolObject *p, RouteObject *r, pool_waiter *w)
{
    w->future = loop_create_future((PyObject *)p->loop, NULL);
    if (w->future == NULL) {
        return -1;
    }
    w->route = (RouteObject *)Py_NewRef(r);
    w->number = p->arrivals++;
    Py_INCREF(w->future);
    list_append(&r->waiters, &w->node);
    if (update_turn(p, r) < 0) {
        pool_cancel(w);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static COLD int
refuse_route(RouteObject *r)
{
    if (r->pool != NULL) {
        http_raise(r->pool->loop->st, "connector_closed");
    }
    else {
        PyErr_SetString(PyExc_RuntimeError, "the pool of this route has gone");
    }
    return -1;
}

int
pool_take(RouteObject *r, ConnectionObject **c)
{
    *c = take_idle(r);
    if (LIKELY(*c != NULL)) {
        if (LIKELY(r->pool != NULL)) {
            r->pool->reused++;
        }
        return 1;
    }
    PoolObject *p = r->pool;
    if (UNLIKELY(p == NULL || p->closed)) {
        return refuse_route(r);
    }
    Py_INCREF(p);
    *c = take_slot(p, r);
    Py_DECREF(p);
    return *c != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

int
pool_acquire(RouteObject *r, pool_waiter *w, ConnectionObject **c)
{
    memset(w, 0, sizeof(*w));
    list_init(&w->node);
    int rc = pool_take(r, c);
    if (LIKELY(rc != 0)) {
        return rc;
    }
    if (UNLIKELY(r->pool == NULL || r->pool->closed)) { /* making room ran Python code */
        return refuse_route(r);
    }
    return queue(r->pool, r, w);
}

ConnectionObject *
pool_taken(pool_waiter *w)
{
    ConnectionObject *c = w->conn;
    w->conn = NULL;
    if (c == NULL && w->route != NULL) {
        PoolObject *p = w->route->pool;
        if (p != NULL && p->closed) {
            http_raise(p->loop->st, "connector_closed");
        }
        else {
            PyErr_SetString(PyExc_RuntimeError, "no connection was given");
        }
    }
    PyObject *saved = PyErr_GetRaisedException();
    pool_cancel(w);
    PyErr_SetRaisedException(saved);
    return c;
}

void
pool_cancel(pool_waiter *w)
{
    RouteObject *r = w->route;
    if (r == NULL) {
        return;
    }
    PyObject *saved = PyErr_GetRaisedException();
    ConnectionObject *c = w->conn;
    w->conn = NULL;
    if (!list_empty(&w->node)) {
        unqueue(w);
    }
    w->route = NULL;
    Py_CLEAR(w->future);
    if (c != NULL) {
        conn_release(c);
        Py_DECREF(c);
    }
    Py_DECREF(r);
    PyErr_SetRaisedException(saved);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Those who wait learn from pool_taken() why they have got nothing. */
static void
fail_waiters(PoolObject *p)
{
    PyObject *routes = PyDict_Values(p->routes), *futures = routes == NULL ? NULL : PyList_New(0);
    int rc = futures == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(routes); i++) {
        pool_waiter *w;
        while (rc == 0 && (w = oldest((RouteObject *)PyList_GET_ITEM(routes, i))) != NULL) {
            rc = PyList_Append(futures, w->future);
            unqueue(w);
        }
    }
    if (rc < 0) { /* the rest finds out when it is cancelled */
        loop_error(p->loop, "No memory to wake who waits for a connection", NULL, NULL);
    }
    if (futures != NULL) {
        wake_all(p, futures);
    }
    Py_XDECREF(futures);
    Py_XDECREF(routes);
}

/* Those of the list, whatever becomes of it meanwhile. */
static void
close_connections(PoolObject *p)
{
    list_node todo = {&todo, &todo};
    while (!list_empty(&p->connections)) { /* each is seen once; new ones are not made any more */
        list_node *n = p->connections.next;
        ConnectionObject *c = CONTAINER_OF(n, ConnectionObject, in_pool);
        list_remove(n);
        list_append(&todo, n);
        Py_INCREF(c);
        conn_end(c);
        Py_DECREF(c);
    }
    while (!list_empty(&todo)) { /* not lost yet */
        list_node *n = todo.next;
        list_remove(n);
        list_append(&p->connections, n);
    }
}

void
pool_forget_waiters(RouteObject *r)
{
    pool_waiter *w;
    while ((w = oldest(r)) != NULL) {
        unqueue(w);
    }
}

void
pool_shut(PoolObject *p)
{
    if (p->closed) {
        return;
    }
    p->closed = 1;
    deadline_clear(p->loop, &p->expiry);
    fail_waiters(p);
    close_connections(p);
}

PyObject *
pool_wait_closed(PoolObject *p)
{
    PyObject *future = loop_create_future((PyObject *)p->loop, NULL);
    if (future == NULL || (p->closing == NULL && (p->closing = PyList_New(0)) == NULL)
        || PyList_Append(p->closing, future) < 0) {
        Py_XDECREF(future);
        return NULL;
    }
    Py_INCREF(p);
    pool_shut(p);
    tell_closed(p);
    Py_DECREF(p);
    return future;
}

void
pool_forget_all(PoolObject *p)
{
    PyObject *key, *value;
    Py_ssize_t i = 0;
    p->closed = 1;
    deadline_clear(p->loop, &p->expiry);
    if (p->routes != NULL) {
        fail_waiters(p);
    }
    while (!list_empty(&p->connections)) {
        ConnectionObject *c = CONTAINER_OF(p->connections.next, ConnectionObject, in_pool);
        list_remove(&c->in_pool);
        c->pool = NULL;
        if (c->state == CONN_IDLE) {
            Py_INCREF(c);
            conn_abort(c);
            Py_DECREF(c);
        }
    }
    while (p->routes != NULL && PyDict_Next(p->routes, &i, &key, &value)) {
        RouteObject *r = (RouteObject *)value;
        r->pool = NULL;
        r->turn.index = HEAP_OUT;
    }
    p->turns.count = 0;
}
