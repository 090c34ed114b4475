/* connector.c - ConnectorObject; see connector.h.
 * Owns:    its members. Kept by: the program, sessions. Threads: the loop's.
 * PYCALL:  making one of another class, closing, the finalizer of one that was not closed. */
#include "http/connector.h"

#include "http/quick.h"

int
connector_fill(ConnectorObject *c, LoopObject *loop)
{
    PyObject *keeper = pool_make(loop);
    if (keeper == NULL) {
        return -1;
    }
    Py_XSETREF(c->loop, Py_NewRef((PyObject *)loop));
    Py_XSETREF(c->pool, keeper);
    c->direct = 1;
    return 0;
}

/* What TCPConnector() may be given here; the rest is for its __init__() in Python. Borrowed, NULL if not given. */
typedef struct quick_arguments_of {
    PyObject *loop, *limit, *limit_per_host, *ssl;
} quick_arguments_of;

/* A number of connections. 1; 0: it is none. */
static int
read_limit(PyObject *given, Py_ssize_t *limit)
{
    if (given == NULL) {
        return 1;
    }
    Py_ssize_t n = PyLong_CheckExact(given) ? PyLong_AsSsize_t(given) : -1;
    PyErr_Clear();
    *limit = n;
    return n >= 0;
}

/* 1: filled; 0: not for us; -1 with an exception. */
static int
fill_quickly(ConnectorObject *c, const quick_arguments_of *a)
{
    core_state *st = uvolt_state_of_type(Py_TYPE((PyObject *)c));
    Py_ssize_t limit = -1, per_host = -1;
    if (!read_limit(a->limit, &limit) || !read_limit(a->limit_per_host, &per_host)
        || (a->ssl != NULL && !PyBool_Check(a->ssl))) {
        return 0;
    }
    LoopObject *loop = quick_loop(st, a->loop);
    if (loop == NULL) {
        return 0;
    }
    int err = connector_fill(c, loop);
    Py_DECREF(loop);
    if (err < 0 || (a->ssl == Py_False && PyObject_SetAttr((PyObject *)c, st->http->n__ssl, Py_False) < 0)) {
        return -1;
    }
    PoolObject *keeper = (PoolObject *)c->pool;
    keeper->limit = limit >= 0 ? limit : keeper->limit;
    keeper->limit_per_host = per_host >= 0 ? per_host : keeper->limit_per_host;
    return 1;
}

static int
quick_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    core_state *st = uvolt_state_of_type(Py_TYPE(self));
    quick_arguments_of a = {0};
    if (st == NULL || http_load_client(st) < 0) {
        return -1;
    }
    const quick_argument known[] = {
        {st->http->n_loop, &a.loop},
        {st->http->n_limit, &a.limit},
        {st->http->n_limit_per_host, &a.limit_per_host},
        {st->http->n_ssl, &a.ssl},
    };
    int done = quick_arguments(args, kwargs, known, Py_ARRAY_LENGTH(known)) ? fill_quickly((ConnectorObject *)self, &a) : 0;
    return done != 0 ? (done < 0 ? -1 : 0) : quick_init_by_python(self, args, kwargs);
}

static void
quick_finalize(PyObject *self)
{
    ConnectorObject *c = (ConnectorObject *)self;
    if (c->pool != NULL && !((PoolObject *)c->pool)->closed) {
        quick_finalize_by_python(self);
    }
}

void
connector_quicken(PyTypeObject *type)
{
    type->tp_init = quick_init;
    type->tp_finalize = quick_finalize;
}

PyObject *
connector_make(LoopObject *loop)
{
    core_state *st = loop->st;
    PyTypeObject *type = (PyTypeObject *)st->http->TCPConnector;
    if (LIKELY(PyType_Check((PyObject *)type) && type->tp_init == quick_init)) {
        PyObject *made = type->tp_alloc(type, 0);
        if (made != NULL && connector_fill((ConnectorObject *)made, loop) < 0) {
            Py_CLEAR(made);
        }
        return made;
    }
    PyObject *const args[] = {(PyObject *)loop};
    PyObject *names = PyTuple_Pack(1, st->http->n_loop);
    PyObject *made = names == NULL ? NULL : PyObject_Vectorcall((PyObject *)type, args, 0, names);
    Py_XDECREF(names);
    return made;
}

PoolObject *
connector_pool(core_state *st, PyObject *connector)
{
    PyObject *kept = connector != NULL && PyObject_TypeCheck(connector, st->http->http_connector_type)
                         ? ((ConnectorObject *)connector)->pool
                         : NULL;
    return kept != NULL && Py_IS_TYPE(kept, st->http->http_pool_type) ? (PoolObject *)kept : NULL;
}

int
connector_shut(core_state *st, PyObject *connector)
{
    if (!quick_is_stock(connector, st->http->n_close, st->http->stock_close)) {
        return 0;
    }
    PoolObject *keeper = connector_pool(st, connector);
    if (keeper == NULL || ((ConnectorObject *)connector)->names != NULL) {
        return 0;
    }
    Py_INCREF(keeper);
    pool_shut(keeper);
    int whole = keeper->open == 0;
    Py_DECREF(keeper);
    return whole;
}

/* ---- the type ------------------------------------------------------------------------------ */

static int
connector_traverse(PyObject *op, visitproc visit, void *arg)
{
    ConnectorObject *c = (ConnectorObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(c->loop);
    Py_VISIT(c->pool);
    Py_VISIT(c->names);
    return 0;
}

static int
connector_clear(PyObject *op)
{
    ConnectorObject *c = (ConnectorObject *)op;
    Py_CLEAR(c->loop);
    Py_CLEAR(c->pool);
    Py_CLEAR(c->names);
    return 0;
}

static void
connector_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    connector_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* None, or a pool: what C finds in it is one. */
static int
connector_set_pool(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((ConnectorObject *)op)->pool, value == Py_None ? NULL : Py_XNewRef(value));
    return 0;
}

static PyObject *
connector_get_pool(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *kept = ((ConnectorObject *)op)->pool;
    return Py_NewRef(kept != NULL ? kept : Py_None);
}

static PyGetSetDef connector_getset[] = {
    {"_pool", connector_get_pool, connector_set_pool, "The HTTPPool, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef connector_members[] = {
    {"_loop", T_OBJECT, offsetof(ConnectorObject, loop), 0, NULL},
    {"_names_made", T_OBJECT, offsetof(ConnectorObject, names), 0, NULL},
    {"_direct", T_BOOL, offsetof(ConnectorObject, direct), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot connector_slots[] = {
    {Py_tp_doc, "What uvolt.http.BaseConnector stands on."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, connector_dealloc},
    {Py_tp_traverse, connector_traverse},
    {Py_tp_clear, connector_clear},
    {Py_tp_getset, connector_getset},
    {Py_tp_members, connector_members},
    {0, NULL},
};

PyType_Spec http_connector_spec = {
    .name = "uvolt._core.HTTPConnector",
    .basicsize = sizeof(ConnectorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = connector_slots,
};
