/* exchange.c - HTTPExchange: one request and its response for code in Python that needs a connection and no session:
 * tests, tunnels through a proxy.
 * Owns:    what has come so far, as Python objects. Kept by: the connection while the exchange is on.
 * Threads: the loop's. PYCALL: the functions of the user, the methods. */
#include "http/exchange.h"

#include "runtime/args.h"

typedef struct ExchangeObject {
    PyObject_HEAD
    PyObject *weakrefs;
    LoopObject *loop;    /* strong */
    http_user user;
    PyObject *future;    /* strong: done at the end, or with what went wrong */
    PyObject *started;   /* strong: done with the head, True; False if it ended without one */
    PyObject *room;      /* strong: done when there is room for more of the upload; None: there is */
    PyObject *headers;   /* strong: list of (name, value), bytes; NULL before the head */
    PyObject *reason;    /* strong: bytes */
    PyObject *body;      /* strong: bytearray */
    Py_ssize_t chunks;
    int status;
    unsigned keep_alive : 1;
    unsigned continued : 1; /* 100 Continue came */
    unsigned over : 1;
} ExchangeObject;

#define OF(u) CONTAINER_OF(u, ExchangeObject, user)

/* ---- as the user of a connection ----------------------------------------------------------- */

/* One that nobody cancelled is told. */
static void
resolve(ExchangeObject *e, PyObject *future, PyObject *value)
{
    PyObject *r = PyObject_CallMethodOneArg(future, e->loop->st->n_set_result, value);
    if (r == NULL && PyErr_ExceptionMatches(e->loop->st->InvalidStateError)) {
        PyErr_Clear();
    }
    else if (r == NULL) {
        loop_error(e->loop, "Cannot wake who waits for a response", NULL, NULL);
    }
    Py_XDECREF(r);
}

static PyObject *
make_fields(const char *base, const http1_head *h)
{
    PyObject *list = PyList_New((Py_ssize_t)h->nfields);
    for (uint32_t i = 0; list != NULL && i < h->nfields; i++) {
        const http1_field *f = &h->fields[i];
        PyObject *pair = Py_BuildValue("(y#y#)", base + f->name, (Py_ssize_t)f->name_len, base + f->value,
                                       (Py_ssize_t)f->value_len);
        if (pair == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    return list;
}

static int
exchange_head(http_user *u, ConnectionObject *c, char *base, const http1_head *h)
{
    ExchangeObject *e = OF(u);
    e->status = h->status;
    e->keep_alive = c->keep;
    Py_XSETREF(e->reason, PyBytes_FromStringAndSize(base + h->reason, (Py_ssize_t)h->reason_len));
    if (e->reason == NULL) {
        return -1;
    }
    Py_XSETREF(e->headers, make_fields(base, h));
    if (e->headers == NULL) {
        return -1;
    }
    resolve(e, e->started, Py_True);
    return 0;
}

static int
exchange_body(http_user *u, const char *base, size_t n)
{
    PyObject *body = OF(u)->body;
    Py_ssize_t old = PyByteArray_GET_SIZE(body);
    if (PyByteArray_Resize(body, old + (Py_ssize_t)n) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(body) + old, base, n);
    return 0;
}

static int
exchange_chunk_end(http_user *u)
{
    OF(u)->chunks++;
    return 0;
}

/* Whoever waits for room finds out by its next write. */
static void
end(ExchangeObject *e)
{
    PyObject *room = e->room;
    e->over = 1;
    e->room = NULL;
    resolve(e, e->started, Py_False);
    if (room != NULL) {
        resolve(e, room, Py_None);
        Py_DECREF(room);
    }
}

static void
exchange_done(http_user *u)
{
    ExchangeObject *e = OF(u);
    end(e);
    resolve(e, e->future, Py_None);
}

static void
exchange_failed(http_user *u, PyObject *exc)
{
    ExchangeObject *e = OF(u);
    end(e);
    PyObject *r = PyObject_CallMethod(e->future, "set_exception", "O", exc);
    if (r == NULL) {
        PyErr_Clear(); /* cancelled */
    }
    Py_XDECREF(r);
}

static void
exchange_expect(http_user *u)
{
    OF(u)->continued = 1;
}

static void
exchange_writable(http_user *u)
{
    ExchangeObject *e = OF(u);
    PyObject *room = e->room;
    e->room = NULL;
    if (room != NULL) {
        resolve(e, room, Py_None);
        Py_DECREF(room);
    }
}

static const http_user_ops exchange_ops = {
    .head = exchange_head,
    .body = exchange_body,
    .chunk_end = exchange_chunk_end,
    .done = exchange_done,
    .failed = exchange_failed,
    .expect = exchange_expect,
    .writable = exchange_writable,
};

/* ---- HTTPConnection.exchange() ------------------------------------------------------------- */

typedef struct {
    PyObject *head, *body;
    int head_only, body_follows, upgrade, once;
    double read_timeout, write_timeout;
} exchange_args;

static int
read_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, exchange_args *out)
{
    char *names[] = {"head",    "body", "head_only",    "body_follows",
                     "upgrade", "once", "read_timeout", "write_timeout", NULL};
    PyObject *tuple = PyTuple_New(nargs), *dict = tuple == NULL ? NULL : PyDict_New();
    int rc = dict == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; rc == 0 && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; rc == 0 && kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        rc = PyDict_SetItem(dict, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]);
    }
    if (rc == 0
        && !PyArg_ParseTupleAndKeywords(tuple, dict, "S|O$ppppdd:exchange", names, &out->head, &out->body, &out->head_only,
                                        &out->body_follows, &out->upgrade, &out->once, &out->read_timeout,
                                        &out->write_timeout)) {
        rc = -1;
    }
    if (rc == 0 && out->body == Py_None) {
        out->body = NULL;
    }
    if (rc == 0 && (!PyBytes_CheckExact(out->head) || (out->body != NULL && !PyBytes_CheckExact(out->body)))) {
        PyErr_SetString(PyExc_TypeError, "head and body must be bytes");
        rc = -1;
    }
    Py_XDECREF(tuple); /* the caller still has the arguments */
    Py_XDECREF(dict);
    return rc;
}

static ExchangeObject *
exchange_new(LoopObject *loop)
{
    PyTypeObject *type = loop->st->http->http_exchange_type;
    ExchangeObject *e = (ExchangeObject *)type->tp_alloc(type, 0);
    if (e == NULL) {
        return NULL;
    }
    e->loop = (LoopObject *)Py_NewRef(loop);
    e->user.ops = &exchange_ops;
    e->user.self = (PyObject *)e;
    if ((e->future = loop_create_future((PyObject *)loop, NULL)) == NULL
        || (e->started = loop_create_future((PyObject *)loop, NULL)) == NULL
        || (e->body = PyByteArray_FromStringAndSize(NULL, 0)) == NULL) {
        Py_CLEAR(e);
    }
    return e;
}

PyObject *
conn_exchange(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ConnectionObject *c = (ConnectionObject *)op;
    exchange_args a = {0};
    if (read_args(args, nargs, kwnames, &a) < 0) {
        return NULL;
    }
    ExchangeObject *e = exchange_new(c->loop);
    conn_request r = {
        .head = PyBytes_AS_STRING(a.head),
        .head_len = (size_t)PyBytes_GET_SIZE(a.head),
        .body = a.body,
        .read_timeout = a.read_timeout,
        .write_timeout = a.write_timeout,
        .head_only = a.head_only != 0,
        .body_follows = a.body_follows != 0,
        .upgrade = a.upgrade != 0,
        .once = a.once != 0,
    };
    if (e != NULL && conn_begin(c, &e->user, &r) < 0) {
        Py_CLEAR(e);
    }
    return (PyObject *)e;
}

/* ---- methods ------------------------------------------------------------------------------- */

/* True: go on; False: await `room` first. */
static PyObject *
exchange_write(PyObject *op, PyObject *data)
{
    ExchangeObject *e = (ExchangeObject *)op;
    ConnectionObject *c = e->user.conn;
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "data must be bytes");
        return NULL;
    }
    if (c == NULL) {
        http_raise_closing(e->loop->st);
        return NULL;
    }
    int rc = conn_write_with(c, NULL, 0, data);
    if (rc == 0 && e->room == NULL && (e->room = loop_create_future((PyObject *)e->loop, NULL)) == NULL) {
        rc = -1;
    }
    return rc < 0 ? NULL : PyBool_FromLong(rc);
}

static PyObject *
exchange_write_eof(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ExchangeObject *e = (ExchangeObject *)op;
    if (e->user.conn == NULL) {
        http_raise_closing(e->loop->st);
        return NULL;
    }
    if (conn_finish_upload(e->user.conn) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
exchange_abandon(PyObject *op, PyObject *Py_UNUSED(unused))
{
    ExchangeObject *e = (ExchangeObject *)op;
    Py_INCREF(e);
    if (e->user.conn != NULL) {
        conn_abandon(&e->user);
        end(e);
    }
    Py_DECREF(e);
    Py_RETURN_NONE;
}

static PyObject *
exchange_pause(PyObject *op, PyObject *on)
{
    ExchangeObject *e = (ExchangeObject *)op;
    int pause = PyObject_IsTrue(on);
    if (pause < 0) {
        return NULL;
    }
    if (e->user.conn != NULL) {
        conn_pause(e->user.conn, pause);
    }
    Py_RETURN_NONE;
}

static PyObject *
exchange_get_connection(PyObject *op, void *Py_UNUSED(closure))
{
    ConnectionObject *c = ((ExchangeObject *)op)->user.conn;
    return Py_NewRef(c != NULL ? (PyObject *)c : Py_None);
}

static PyObject *
exchange_get_flag(PyObject *op, void *which)
{
    ExchangeObject *e = (ExchangeObject *)op;
    switch (*(const char *)which) {
    case 'k':
        return PyBool_FromLong(e->keep_alive);
    case 'c':
        return PyBool_FromLong(e->continued);
    default:
        return PyBool_FromLong(e->over);
    }
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
exchange_traverse(PyObject *op, visitproc visit, void *arg)
{
    ExchangeObject *self = (ExchangeObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->future);
    Py_VISIT(self->started);
    Py_VISIT(self->room);
    Py_VISIT(self->headers);
    Py_VISIT(self->reason);
    Py_VISIT(self->body);
    return 0;
}

/* The connection keeps it while the exchange is on; in a heap of garbage with it, it says nothing any more. */
static int
exchange_clear(PyObject *op)
{
    ExchangeObject *self = (ExchangeObject *)op;
    conn_abandon(&self->user);
    Py_CLEAR(self->future);
    Py_CLEAR(self->started);
    Py_CLEAR(self->room);
    Py_CLEAR(self->headers);
    Py_CLEAR(self->reason);
    Py_CLEAR(self->body);
    return 0;
}

static void
exchange_dealloc(PyObject *op)
{
    ExchangeObject *self = (ExchangeObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    exchange_clear(op);
    Py_XDECREF(self->loop);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef exchange_methods[] = {
    {"write", exchange_write, METH_O,
     "write($self, data, /)\n--\n\nMore of the body; False: await `room` before the next."},
    {"write_eof", exchange_write_eof, METH_NOARGS, "write_eof($self, /)\n--\n\nThe body is complete."},
    {"abandon", exchange_abandon, METH_NOARGS,
     "abandon($self, /)\n--\n\nThe answer is not wanted any more: the connection is aborted."},
    {"pause", exchange_pause, METH_O, "pause($self, on, /)\n--\n\nRead no more of the response, or go on."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef exchange_getset[] = {
    {"connection", exchange_get_connection, NULL, "The connection; None when it is over.", NULL},
    {"keep_alive", exchange_get_flag, NULL, "True if the response allows another request.", "k"},
    {"continued", exchange_get_flag, NULL, "True when 100 Continue has come.", "c"},
    {"over", exchange_get_flag, NULL, "True when it is over, one way or another.", "o"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef exchange_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ExchangeObject, weakrefs), READONLY, NULL},
    {"future", T_OBJECT, offsetof(ExchangeObject, future), READONLY, "Done at the end, or with the error."},
    {"started", T_OBJECT, offsetof(ExchangeObject, started), READONLY, "Done with the head, True; False: no head."},
    {"room", T_OBJECT, offsetof(ExchangeObject, room), READONLY, "Done when there is room to write; None: there is."},
    {"status", T_INT, offsetof(ExchangeObject, status), READONLY, "0 before the head."},
    {"reason", T_OBJECT, offsetof(ExchangeObject, reason), READONLY, "bytes."},
    {"headers", T_OBJECT, offsetof(ExchangeObject, headers), READONLY, "Pairs of bytes."},
    {"body", T_OBJECT, offsetof(ExchangeObject, body), READONLY, "What has come of the body."},
    {"chunks", T_PYSSIZET, offsetof(ExchangeObject, chunks), READONLY, "Ends of chunks so far."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot exchange_slots[] = {
    {Py_tp_doc, "One request and its response on a connection, without a session."},
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_traverse, exchange_traverse},
    {Py_tp_clear, exchange_clear},
    {Py_tp_methods, exchange_methods},
    {Py_tp_getset, exchange_getset},
    {Py_tp_members, exchange_members},
    {0, NULL},
};

PyType_Spec http_exchange_spec = {
    .name = "uvolt._core.HTTPExchange",
    .basicsize = sizeof(ExchangeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = exchange_slots,
};
