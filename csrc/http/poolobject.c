/* poolobject.c - the types HTTPPool, HTTPRoute and HTTPAcquire; what they do is in pool.c.
 * Owns:    see pool.h. Threads: the loop's. PYCALL: the methods and finalizers. */
#include <math.h>

#include "core/coro.h"
#include "http/connection.h"
#include "http/pool.h"
#include "runtime/object.h"

#define SWEEP_FIRST 64
#define POOL_LIMIT 100      /* connections */
#define POOL_KEEPALIVE 15.0 /* seconds */

/* ---- HTTPRoute ----------------------------------------------------------------------------- */

static int
route_traverse(PyObject *op, visitproc visit, void *arg)
{
    RouteObject *self = (RouteObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->key);
    for (list_node *n = self->idle.next; n != NULL && n != &self->idle; n = n->next) {
        Py_VISIT((PyObject *)CONTAINER_OF(n, ConnectionObject, in_route));
    }
    for (list_node *n = self->waiters.next; n != NULL && n != &self->waiters; n = n->next) {
        Py_VISIT(CONTAINER_OF(n, pool_waiter, node)->future);
    }
    return 0;
}

/* `key` stays until dealloc: connections show it. Idle connections are closed by whoever clears the pool. */
static int
route_clear(PyObject *op)
{
    RouteObject *self = (RouteObject *)op;
    while (!list_empty(&self->idle)) {
        ConnectionObject *c = CONTAINER_OF(self->idle.next, ConnectionObject, in_route);
        conn_abort(c); /* lets go of the list's reference */
    }
    pool_forget_waiters(self);
    return 0;
}

static void
route_dealloc(PyObject *op)
{
    RouteObject *self = (RouteObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (self->idle.next != NULL) {
        route_clear(op);
    }
    Py_XDECREF(self->key);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
route_repr(PyObject *op)
{
    RouteObject *self = (RouteObject *)op;
    return PyUnicode_FromFormat("<HTTPRoute %R slots=%zd>", self->key, self->slots);
}

static Py_ssize_t
length(const list_node *head)
{
    Py_ssize_t n = 0;
    for (const list_node *i = head->next; i != head; i = i->next) {
        n++;
    }
    return n;
}

static PyObject *
route_get_idle(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(length(&((RouteObject *)op)->idle));
}

static PyGetSetDef route_getset[] = {
    {"idle", route_get_idle, NULL, "How many of its connections nobody uses.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef route_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RouteObject, weakrefs), READONLY, NULL},
    {"key", T_OBJECT_EX, offsetof(RouteObject, key), READONLY, "What it was asked for by."},
    {"slots", T_PYSSIZET, offsetof(RouteObject, slots), READONLY, "Its connections, idle ones as well."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot route_slots[] = {
    {Py_tp_doc, "Where requests go: the connections to one peer, made in one way."},
    {Py_tp_dealloc, route_dealloc},
    {Py_tp_traverse, route_traverse},
    {Py_tp_clear, route_clear},
    {Py_tp_repr, route_repr},
    {Py_tp_members, route_members},
    {Py_tp_getset, route_getset},
    {0, NULL},
};

PyType_Spec http_route_spec = {
    .name = "uvolt._core.HTTPRoute",
    .basicsize = sizeof(RouteObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = route_slots,
};

/* ---- HTTPAcquire: the coroutine of acquire() ----------------------------------------------- */

typedef struct AcquireObject {
    CoroObject coro;
    RouteObject *route; /* strong */
    pool_waiter waiter;
} AcquireObject;

static coro_outcome
acquire_step(CoroObject *coro, PyObject *value, PyObject **result)
{
    AcquireObject *a = (AcquireObject *)coro;
    ConnectionObject *c = NULL;
    if (value != NULL) { /* the future is done */
        c = pool_taken(&a->waiter);
    }
    else if (a->waiter.route == NULL && !PyErr_Occurred()) {
        int rc = pool_acquire(a->route, &a->waiter, &c);
        if (rc == 0 && coro_await(coro, a->waiter.future) == 0) {
            return CORO_WAIT;
        }
    }
    *result = (PyObject *)c;
    return c != NULL ? CORO_DONE : CORO_ERROR;
}

static void
acquire_end(CoroObject *coro)
{
    AcquireObject *a = (AcquireObject *)coro;
    pool_cancel(&a->waiter);
    Py_CLEAR(a->route);
}

static const coro_kind acquire_kind = {"HTTPPool.acquire", acquire_step, acquire_end};

static PyObject *
acquire_new(PoolObject *p, RouteObject *r)
{
    core_state *st = p->loop->st;
    AcquireObject *a = PyObject_GC_New(AcquireObject, st->http->http_acquire_type);
    if (a == NULL) {
        return NULL;
    }
    coro_init(&a->coro, p->loop, &acquire_kind);
    a->route = (RouteObject *)Py_NewRef(r);
    memset(&a->waiter, 0, sizeof(a->waiter));
    PyObject_GC_Track(a);
    return (PyObject *)a;
}

static int
acquire_traverse(PyObject *op, visitproc visit, void *arg)
{
    AcquireObject *self = (AcquireObject *)op;
    Py_VISIT(self->route);
    Py_VISIT(self->waiter.route);
    Py_VISIT(self->waiter.future);
    Py_VISIT(self->waiter.conn);
    return coro_traverse(op, visit, arg);
}

static int
acquire_clear(PyObject *op)
{
    AcquireObject *self = (AcquireObject *)op;
    coro_clear(&self->coro);
    pool_cancel(&self->waiter); /* gives back what it holds */
    Py_CLEAR(self->waiter.route);
    Py_CLEAR(self->waiter.future);
    Py_CLEAR(self->waiter.conn);
    Py_CLEAR(self->route);
    return 0;
}

static void
acquire_dealloc(PyObject *op)
{
    if (coro_dealloc_begin(op) < 0) {
        return;
    }
    PyTypeObject *type = Py_TYPE(op);
    LoopObject *loop = ((CoroObject *)op)->loop;
    acquire_clear(op);
    PyObject_GC_Del(op);
    Py_DECREF(loop);
    Py_DECREF(type);
}

static PyMethodDef acquire_methods[] = {
    CORO_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef acquire_getset[] = {
    CORO_GETSET,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef acquire_members[] = {
    CORO_MEMBERS,
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot acquire_slots[] = {
    {Py_tp_doc, "A call of HTTPPool.acquire(): a coroutine."},
    {Py_tp_dealloc, acquire_dealloc},
    {Py_tp_traverse, acquire_traverse},
    {Py_tp_clear, acquire_clear},
    CORO_SLOTS,
    {Py_tp_methods, acquire_methods},
    {Py_tp_getset, acquire_getset},
    {Py_tp_members, acquire_members},
    {0, NULL},
};

PyType_Spec http_acquire_spec = {
    .name = "uvolt._core.HTTPAcquire",
    .basicsize = sizeof(AcquireObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = acquire_slots,
};

/* ---- HTTPPool: making one ------------------------------------------------------------------ */

/* A number of seconds, or None: for ever. -1 with an exception. */
static int
read_timeout(PyObject *value, double *out)
{
    *out = HUGE_VAL;
    if (value != NULL && value != Py_None) {
        *out = PyFloat_AsDouble(value);
        if (*out == -1.0 && PyErr_Occurred()) {
            return -1;
        }
        if (isnan(*out)) {
            PyErr_SetString(PyExc_ValueError, "keepalive_timeout is not a number");
            return -1;
        }
    }
    return 0;
}

static PoolObject *
allocate(PyTypeObject *type, LoopObject *loop)
{
    PoolObject *p = (PoolObject *)type->tp_alloc(type, 0);
    if (p == NULL) {
        return NULL;
    }
    p->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    p->limit = POOL_LIMIT;
    p->keepalive_timeout = POOL_KEEPALIVE;
    p->swept = SWEEP_FIRST;
    list_init(&p->connections);
    list_init(&p->idle);
    deadline_init(&p->expiry, pool_expire);
    if ((p->routes = PyDict_New()) == NULL) {
        Py_CLEAR(p);
    }
    return p;
}

PyObject *
pool_make(LoopObject *loop)
{
    return (PyObject *)allocate(loop->st->http->http_pool_type, loop);
}

static PyObject *
http_pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    char *names[] = {"loop", "limit", "limit_per_host", "keepalive_timeout", "force_close", NULL};
    core_state *st = uvolt_state_of_type(type);
    PyObject *loop, *timeout = NULL;
    Py_ssize_t limit = POOL_LIMIT, per_host = 0;
    int force_close = 0;
    double seconds = POOL_KEEPALIVE;
    if (st == NULL
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "O!|nnOp:HTTPPool", names, st->loop_type, &loop, &limit, &per_host,
                                        &timeout, &force_close)
        || (timeout != NULL && read_timeout(timeout, &seconds) < 0) || http_load(st) < 0) {
        return NULL;
    }
    PoolObject *p = allocate(type, (LoopObject *)loop);
    if (p != NULL) {
        p->limit = limit > 0 ? limit : 0;
        p->limit_per_host = per_host > 0 ? per_host : 0;
        p->keepalive_timeout = seconds;
        p->force_close = force_close != 0;
    }
    return (PyObject *)p;
}

/* ---- HTTPPool: garbage --------------------------------------------------------------------- */

static int
http_pool_traverse(PyObject *op, visitproc visit, void *arg)
{
    PoolObject *self = (PoolObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->routes);
    Py_VISIT(self->closing);
    return 0;
}

/* `loop` stays until dealloc. */
static int
http_pool_clear(PyObject *op)
{
    PoolObject *self = (PoolObject *)op;
    Py_CLEAR(self->routes);
    Py_CLEAR(self->closing);
    return 0;
}

/* Nobody asks for its connections any more. The warning is the connector's. */
static void
http_pool_finalize(PyObject *op)
{
    PyObject *saved = PyErr_GetRaisedException();
    if (((PoolObject *)op)->loop != NULL) {
        pool_forget_all((PoolObject *)op);
    }
    PyErr_SetRaisedException(saved);
}

static void
http_pool_dealloc(PyObject *op)
{
    PoolObject *self = (PoolObject *)op;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    http_pool_clear(op);
    free(self->turns.slots);
    object_dealloc_end(op, self->loop);
}

/* ---- HTTPPool: methods --------------------------------------------------------------------- */

static PyObject *
http_pool_route(PyObject *op, PyObject *key)
{
    return (PyObject *)pool_route((PoolObject *)op, key);
}

static int
check_route(PoolObject *self, PyObject *route)
{
    if (Py_TYPE(route) != self->loop->st->http->http_route_type || ((RouteObject *)route)->pool != self) {
        PyErr_SetString(PyExc_TypeError, "a route of this pool is wanted");
        return -1;
    }
    return 0;
}

static PyObject *
http_pool_acquire(PyObject *op, PyObject *route)
{
    PoolObject *self = (PoolObject *)op;
    return check_route(self, route) < 0 ? NULL : acquire_new(self, (RouteObject *)route);
}

static PyObject *
http_pool_take(PyObject *op, PyObject *route)
{
    ConnectionObject *c;
    if (check_route((PoolObject *)op, route) < 0) {
        return NULL;
    }
    int rc = pool_take((RouteObject *)route, &c);
    return rc < 0 ? NULL : rc == 0 ? Py_NewRef(Py_None) : (PyObject *)c;
}

static PyObject *
http_pool_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return pool_wait_closed((PoolObject *)op);
}

static PyObject *
http_pool_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((PoolObject *)op)->closed);
}

static PyObject *
http_pool_get_force_close(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((PoolObject *)op)->force_close);
}

static PyObject *
http_pool_get_keepalive(PyObject *op, void *Py_UNUSED(closure))
{
    double seconds = ((PoolObject *)op)->keepalive_timeout;
    return seconds == HUGE_VAL ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
}

static PyObject *
http_pool_get_idle(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(length(&((PoolObject *)op)->idle));
}

static PyObject *
http_pool_get_in_use(PyObject *op, void *Py_UNUSED(closure))
{
    PoolObject *self = (PoolObject *)op;
    return PyLong_FromSsize_t(self->slots - length(&self->idle));
}

static PyObject *
http_pool_get_waiting(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *key, *value;
    Py_ssize_t i = 0, n = 0;
    while (PyDict_Next(((PoolObject *)op)->routes, &i, &key, &value)) {
        n += length(&((RouteObject *)value)->waiters);
    }
    return PyLong_FromSsize_t(n);
}

static PyObject *
http_pool_get_connections(PyObject *op, void *Py_UNUSED(closure))
{
    PoolObject *self = (PoolObject *)op;
    PyObject *list = PyList_New(0);
    for (list_node *n = self->connections.next; list != NULL && n != &self->connections; n = n->next) {
        if (PyList_Append(list, (PyObject *)CONTAINER_OF(n, ConnectionObject, in_pool)) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyMethodDef http_pool_methods[] = {
    {"route", http_pool_route, METH_O, "route($self, key, /)\n--\n\nThe HTTPRoute of a connection key."},
    {"acquire", http_pool_acquire, METH_O,
     "acquire($self, route, /)\n--\n\n"
     "Wait for a connection: one that was used before, or one in state 'new', to be connected by the caller.\n\n"
     "Raises ClientConnectionError when the pool is closed."},
    {"take", http_pool_take, METH_O,
     "take($self, route, /)\n--\n\nWhat acquire() gives, if that is to be had at once; else None."},
    {"close", http_pool_close, METH_NOARGS,
     "close($self, /)\n--\n\nClose all connections; a future that is done when the last socket is closed."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef http_pool_getset[] = {
    {"closed", http_pool_get_closed, NULL, "True once close() was called.", NULL},
    {"force_close", http_pool_get_force_close, NULL, "True if no connection is used twice.", NULL},
    {"keepalive_timeout", http_pool_get_keepalive, NULL, "Seconds; None: for ever.", NULL},
    {"idle", http_pool_get_idle, NULL, "Number of connections that are kept.", NULL},
    {"in_use", http_pool_get_in_use, NULL, "Number of connections that somebody has.", NULL},
    {"waiting", http_pool_get_waiting, NULL, "Number of those who wait for one.", NULL},
    {"connections", http_pool_get_connections, NULL, "All that are not yet closed, as a list.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef http_pool_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PoolObject, weakrefs), READONLY, NULL},
    {"limit", T_PYSSIZET, offsetof(PoolObject, limit), READONLY, "Connections at most; 0: no limit."},
    {"limit_per_host", T_PYSSIZET, offsetof(PoolObject, limit_per_host), READONLY, "The same for a route."},
    {"loop", T_OBJECT_EX, offsetof(PoolObject, loop), READONLY, "The event loop."},
    {"total_opened", T_ULONGLONG, offsetof(PoolObject, opened), READONLY, "Connections made so far."},
    {"total_reused", T_ULONGLONG, offsetof(PoolObject, reused), READONLY, "How often one was given again."},
    {"total_closed", T_ULONGLONG, offsetof(PoolObject, lost), READONLY, "Connections closed so far."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot http_pool_slots[] = {
    {Py_tp_doc, "HTTPPool(loop, limit=100, limit_per_host=0, keepalive_timeout=15, force_close=False)\n--\n\n"
                "The connections of a connector, and who waits for one."},
    {Py_tp_new, http_pool_new},
    {Py_tp_dealloc, http_pool_dealloc},
    {Py_tp_finalize, http_pool_finalize},
    {Py_tp_traverse, http_pool_traverse},
    {Py_tp_clear, http_pool_clear},
    {Py_tp_methods, http_pool_methods},
    {Py_tp_getset, http_pool_getset},
    {Py_tp_members, http_pool_members},
    {0, NULL},
};

PyType_Spec http_pool_spec = {
    .name = "uvolt._core.HTTPPool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = http_pool_slots,
};
