/* connection.c - HTTPConnection: its life, its slot, and the end of an exchange; see connection.h.
 * Owns:    c->transport, c->route, the reference to the user's object. Kept by: its transport; the pool while idle.
 * Threads: the loop's.
 * PYCALL:  nearly everything. The user is taken out of the struct before anything is called at the end of an
 *          exchange, and told last, when the slot is somebody else's already. */
#include "http/connection.h"

#include "http/dial.h"
#include "http/exchange.h"
#include "http/wire.h"
#include "net/stream.h"
#include "runtime/object.h"

/* ---- making one ---------------------------------------------------------------------------- */

ConnectionObject *
conn_new(RouteObject *r)
{
    PoolObject *p = r->pool;
    PyTypeObject *type = p->loop->st->http->http_connection_type;
    ConnectionObject *c = (ConnectionObject *)type->tp_alloc(type, 0);
    if (c == NULL) {
        return NULL;
    }
    c->loop = (LoopObject *)Py_NewRef(p->loop);
    c->route = (RouteObject *)Py_NewRef(r);
    c->pool = p;
    c->pid = p->loop->pid;
    list_append(&p->connections, &c->in_pool);
    list_init(&c->in_route);
    list_init(&c->in_idle);
    deadline_init(&c->timer, conn_expired);
    http1_head_init(&c->head);
    r->slots++;
    p->slots++;
    p->loop->st->c_http_connections_alive++;
    return c;
}

int
conn_is_usable(ConnectionObject *c)
{
    if (c->idle_poll == c->loop->polls) { /* it has not sat through a poll: nothing can be known that is new */
        return 1;
    }
    return c->wire->is_quiet(c);
}

/* ---- the end of an exchange ---------------------------------------------------------------- */

http_user *
conn_steal_user(ConnectionObject *c, PyObject **object)
{
    http_user *u = c->user;
    *object = c->user_object;
    c->user = NULL;
    c->user_object = NULL;
    if (u != NULL) {
        u->conn = NULL;
        conn_stop_timer(c);
        c->state = CONN_TAKEN;
        c->uploading = c->draining = 0;
        free(c->held);
        c->held = NULL;
        c->held_len = c->held_room = 0;
    }
    return u;
}

void
conn_keep_user(http_user *u, PyObject *object)
{
    ConnectionObject *c = u->conn;
    if (c != NULL && c->user_object == NULL) {
        c->user_object = Py_NewRef(object);
    }
}

void
conn_let_user_go(http_user *u)
{
    ConnectionObject *c = u->conn;
    if (c != NULL) {
        Py_CLEAR(c->user_object);
    }
}

/* The slot is free, and the transport told to close. */
static void
give_up(ConnectionObject *c, int abort)
{
    if (c->state == CONN_CLOSED) {
        if (abort && c->transport != NULL) {
            wire_call(c, c->loop->st->http->n_abort);
        }
        return;
    }
    Py_INCREF(c);
    c->state = CONN_CLOSED;
    if (c->transport != NULL) {
        abort |= !conn_is_own(c); /* without a word to the peer, who would take it for the parent's */
        wire_call(c, abort ? c->loop->st->http->n_abort : c->loop->st->http->n_close);
    }
    pool_free_slot(c);
    if (!c->opened) {
        pool_lost(c);
    }
    if (c->dial != NULL) {
        dial_dropped(c->dial);
    }
    Py_DECREF(c);
}

void
conn_fail(ConnectionObject *c, PyObject *exc)
{
    PyObject *object;
    Py_INCREF(c);
    http_user *u = conn_steal_user(c, &object);
    PyObject *self = u == NULL ? NULL : Py_NewRef(u->self); /* closing may run code that drops it */
    give_up(c, 1);
    if (u != NULL) {
        u->ops->failed(u, exc);
    }
    Py_XDECREF(self);
    Py_XDECREF(object);
    Py_DECREF(exc);
    Py_DECREF(c);
}

COLD void
conn_raised(ConnectionObject *c)
{
    if (uvolt_error_is_fatal()) { /* Ctrl-C in a callback: it leaves the loop, and the exchange ends as well */
        loop_error(c->loop, "Interrupted in an HTTP exchange", c->transport, (PyObject *)c);
        conn_fail(c, http_error(c->loop->st, "connection_closed", NULL));
        return;
    }
    conn_fail(c, PyErr_GetRaisedException());
}

COLD void
conn_raised_in(ConnectionObject *c, uint64_t exchange)
{
    if (conn_is_on(c, exchange)) {
        conn_raised(c);
    }
    else {
        loop_error(c->loop, "Error in an HTTP exchange that is over", NULL, (PyObject *)c);
    }
}

void
conn_finish(ConnectionObject *c, size_t left)
{
    PyObject *object;
    int whole = !c->uploading && !c->draining;
    int keep = c->keep && left == 0 && whole && !c->eof;
    Py_INCREF(c);
    http_user *u = conn_steal_user(c, &object);
    PyObject *self = Py_NewRef(u->self); /* as in conn_fail() */
    if (UNLIKELY(c->reading_paused)) {
        c->reading_paused = 0;
        wire_call(c, c->loop->st->http->n_resume_reading);
    }
    if (!keep || !pool_keep(c)) {
        give_up(c, !whole);
    }
    u->ops->done(u);
    Py_DECREF(self);
    Py_XDECREF(object);
    Py_DECREF(c);
}

/* ---- closing ------------------------------------------------------------------------------- */

void
conn_end(ConnectionObject *c)
{
    if (c->state != CONN_IDLE || c->wire != &wire_stream) {
        conn_abort(c);
        return;
    }
    Py_INCREF(c);
    c->state = CONN_CLOSED;
    pool_free_slot(c);
    if (c->transport != NULL) {
        PyObject *transport = Py_NewRef(c->transport);
        stream_end((StreamObject *)transport);
        Py_DECREF(transport);
    }
    Py_DECREF(c);
}

static void
close_it(ConnectionObject *c, int abort)
{
    if (c->user != NULL) {
        conn_fail(c, http_error(c->loop->st, "closed_in_use", NULL));
        return;
    }
    give_up(c, abort);
}

void
conn_close(ConnectionObject *c)
{
    close_it(c, 0);
}

void
conn_abort(ConnectionObject *c)
{
    close_it(c, 1);
}

void
conn_abandon(http_user *u)
{
    ConnectionObject *c = u->conn;
    PyObject *object;
    if (c == NULL) {
        return;
    }
    PyObject *saved = PyErr_GetRaisedException();
    Py_INCREF(c);
    conn_steal_user(c, &object);
    give_up(c, 1);
    Py_XDECREF(object);
    Py_DECREF(c);
    PyErr_SetRaisedException(saved);
}

void
conn_release(ConnectionObject *c)
{
    if (c->state == CONN_IDLE || c->state == CONN_CLOSED) {
        return;
    }
    if (c->state != CONN_TAKEN || c->eof || !pool_keep(c)) {
        conn_close(c);
    }
}

/* ---- asyncio.Protocol ---------------------------------------------------------------------- */

static PyObject *
http_connection_made(PyObject *op, PyObject *transport)
{
    ConnectionObject *c = (ConnectionObject *)op;
    if (c->opened) {
        PyErr_SetString(PyExc_RuntimeError, "connection_made() of an HTTP connection was called twice");
        return NULL;
    }
    if (c->loop->closed) {
        Py_RETURN_NONE;
    }
    c->transport = Py_NewRef(transport);
    c->wire = wire_choose(c->loop->st, transport);
    c->opened = 1;
    if (c->state == CONN_NEW) {
        c->state = CONN_TAKEN;
        pool_opened(c);
    }
    else { /* closed while it was connecting */
        wire_call(c, c->loop->st->http->n_abort);
    }
    Py_RETURN_NONE;
}

static PyObject *
http_connection_lost(PyObject *op, PyObject *exc)
{
    ConnectionObject *c = (ConnectionObject *)op;
    if (c->lost) {
        Py_RETURN_NONE;
    }
    c->lost = 1;
    if (exc != Py_None) {
        conn_read_left(c);
    }
    conn_ended(c, exc);
    Py_CLEAR(c->transport);
    pool_lost(c);
    Py_RETURN_NONE;
}

static PyObject *
http_eof_received(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_ended((ConnectionObject *)op, NULL);
    Py_RETURN_FALSE;
}

/* From a transport that is not ours: the bytes are copied, since they are parsed in place. */
static PyObject *
http_data_received(PyObject *op, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_CONTIG_RO) < 0) {
        return NULL;
    }
    char *copy = view.len == 0 ? NULL : malloc((size_t)view.len);
    int rc = view.len == 0 ? 0 : -1;
    if (copy != NULL) {
        memcpy(copy, view.buf, (size_t)view.len);
        rc = conn_data(op, copy, view.len);
    }
    else if (view.len > 0) {
        PyErr_NoMemory();
    }
    free(copy);
    PyBuffer_Release(&view);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
http_pause_writing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_set_writing((ConnectionObject *)op, 1);
    Py_RETURN_NONE;
}

static PyObject *
http_resume_writing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_set_writing((ConnectionObject *)op, 0);
    Py_RETURN_NONE;
}

/* ---- what programs see --------------------------------------------------------------------- */

static PyObject *
http_close(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_close((ConnectionObject *)op);
    Py_RETURN_NONE;
}

static PyObject *
http_abort(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_abort((ConnectionObject *)op);
    Py_RETURN_NONE;
}

static PyObject *
http_release(PyObject *op, PyObject *Py_UNUSED(unused))
{
    conn_release((ConnectionObject *)op);
    Py_RETURN_NONE;
}

static int
is_connected(const ConnectionObject *c)
{
    return c->opened && !c->lost && c->state != CONN_CLOSED;
}

static PyObject *
http_is_connected(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(is_connected((ConnectionObject *)op));
}

static PyObject *
http_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!is_connected((ConnectionObject *)op));
}

static PyObject *
http_get_transport(PyObject *op, void *Py_UNUSED(closure))
{
    ConnectionObject *c = (ConnectionObject *)op;
    return Py_NewRef(is_connected(c) ? c->transport : Py_None);
}

static PyObject *
http_get_protocol(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef(is_connected((ConnectionObject *)op) ? op : Py_None);
}

static PyObject *
http_get_key(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef(((ConnectionObject *)op)->route->key);
}

static PyObject *
http_get_state(PyObject *op, void *Py_UNUSED(closure))
{
    static const char *const names[] = {"new", "taken", "busy", "idle", "closed"};
    return PyUnicode_FromString(names[((ConnectionObject *)op)->state]);
}

static PyObject *
http_repr(PyObject *op)
{
    static const char *const names[] = {"new", "taken", "busy", "idle", "closed"};
    ConnectionObject *c = (ConnectionObject *)op;
    return PyUnicode_FromFormat("<HTTPConnection %s %R>", names[c->state], c->route->key);
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
http_connection_traverse(PyObject *op, visitproc visit, void *arg)
{
    ConnectionObject *self = (ConnectionObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->route);
    Py_VISIT(self->transport);
    Py_VISIT(self->user_object);
    return 0;
}

/* `loop` and `route` stay until dealloc: the slot goes back through them. */
static int
http_connection_clear(PyObject *op)
{
    ConnectionObject *self = (ConnectionObject *)op;
    if (self->user != NULL) {
        self->user->conn = NULL;
        self->user = NULL;
        self->state = CONN_TAKEN;
    }
    Py_CLEAR(self->user_object);
    Py_CLEAR(self->transport);
    return 0;
}

/* Nobody has it any more: its slot is free. */
static void
http_finalize(PyObject *op)
{
    ConnectionObject *self = (ConnectionObject *)op;
    PyObject *saved = PyErr_GetRaisedException();
    if (self->state != CONN_CLOSED && !self->loop->closed) {
        if (self->opened && !self->lost) {
            PyObject *r = PyObject_CallMethod(self->loop->st->http->support, "unclosed_connection", "O", op);
            if (r == NULL) {
                PyErr_WriteUnraisable(op);
            }
            Py_XDECREF(r);
        }
        conn_abort(self);
    }
    PyErr_SetRaisedException(saved);
}

static void
http_dealloc(PyObject *op)
{
    ConnectionObject *self = (ConnectionObject *)op;
    LoopObject *loop = self->loop;
    if (object_dealloc_begin(op, &self->weakrefs) < 0) {
        return;
    }
    http_connection_clear(op);
    if (self->state != CONN_CLOSED) { /* the loop is closed: no transport will tell */
        self->state = CONN_CLOSED;
        pool_free_slot(self);
    }
    pool_lost(self);
    deadline_clear(loop, &self->timer);
    http1_head_free(&self->head);
    free(self->held);
    Py_CLEAR(self->route);
    loop->st->c_http_connections_alive--;
    object_dealloc_end(op, loop);
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef http_methods[] = {
    {"connection_made", http_connection_made, METH_O,
     "connection_made($self, transport, /)\n--\n\nBy the transport: the connection can be used."},
    {"connection_lost", http_connection_lost, METH_O, "connection_lost($self, exc, /)\n--\n\nBy the transport."},
    {"data_received", http_data_received, METH_O,
     "data_received($self, data, /)\n--\n\nBy a transport that is not uvolt's own."},
    {"eof_received", http_eof_received, METH_NOARGS, "eof_received($self, /)\n--\n\nBy the transport."},
    {"pause_writing", http_pause_writing, METH_NOARGS, "pause_writing($self, /)\n--\n\nBy the transport."},
    {"resume_writing", http_resume_writing, METH_NOARGS, "resume_writing($self, /)\n--\n\nBy the transport."},
    {"exchange", FAST(conn_exchange), METH_FASTCALL | METH_KEYWORDS,
     "exchange($self, head, body=None, *, head_only=False, body_follows=False, upgrade=False,\n"
     "         once=False, read_timeout=0, write_timeout=0)\n--\n\n"
     "Send a request and collect its response: an HTTPExchange. Times are in seconds, 0 is none."},
    {"close", http_close, METH_NOARGS,
     "close($self, /)\n--\n\nClose the connection; an exchange that is on fails."},
    {"abort", http_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nclose(), and what has not been sent is dropped."},
    {"release", http_release, METH_NOARGS,
     "release($self, /)\n--\n\nGive it back to its pool; it is closed if an exchange is on."},
    {"is_connected", http_is_connected, METH_NOARGS,
     "is_connected($self, /)\n--\n\nTrue while it has a transport that is not closing."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef http_getset[] = {
    {"transport", http_get_transport, NULL, "The transport, None when it is closed.", NULL},
    {"protocol", http_get_protocol, NULL, "This connection, None when it is closed.", NULL},
    {"closed", http_get_closed, NULL, "True when it is closed or not yet connected.", NULL},
    {"key", http_get_key, NULL, "The connection key of its route.", NULL},
    {"state", http_get_state, NULL, "'new', 'taken', 'busy', 'idle' or 'closed'.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef http_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ConnectionObject, weakrefs), READONLY, NULL},
    {"loop", T_OBJECT_EX, offsetof(ConnectionObject, loop), READONLY, "The event loop."},
    {"exchanges", T_ULONGLONG, offsetof(ConnectionObject, exchanges), READONLY, "Requests begun on it."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot http_slots[] = {
    {Py_tp_doc, "An HTTP/1.1 connection of a client: an asyncio protocol, and a slot of its pool."},
    {Py_tp_dealloc, http_dealloc},
    {Py_tp_finalize, http_finalize},
    {Py_tp_traverse, http_connection_traverse},
    {Py_tp_clear, http_connection_clear},
    {Py_tp_repr, http_repr},
    {Py_tp_methods, http_methods},
    {Py_tp_getset, http_getset},
    {Py_tp_members, http_members},
    {0, NULL},
};

PyType_Spec http_connection_spec = {
    .name = "uvolt._core.HTTPConnection",
    .basicsize = sizeof(ConnectionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = http_slots,
};
