/* wire.c - the three kinds of transports under a connection; see wire.h.
 * Owns: nothing. Threads: the loop's. PYCALL: all. */
#include "http/wire.h"

#include "net/stream.h"
#include "tls/transport.h"

#define TLS_HIGH_WATER (512 * 1024) /* bytes, as asyncio's */

void
wire_call(ConnectionObject *c, PyObject *name)
{
    PyObject *transport = Py_NewRef(c->transport);
    PyObject *r = PyObject_CallMethodNoArgs(transport, name);
    if (r == NULL) {
        loop_error(c->loop, "The transport of an HTTP connection has failed", transport, (PyObject *)c);
    }
    Py_XDECREF(r);
    Py_DECREF(transport);
}

/* ---- TCP and Unix sockets ------------------------------------------------------------------ */

static int
stream_wire_send(ConnectionObject *c, const char *base, size_t n, PyObject *bytes)
{
    StreamObject *s = (StreamObject *)c->transport;
    return bytes == NULL ? stream_send(s, base, n) : stream_send_with(s, base, n, bytes);
}

static Py_ssize_t
stream_wire_unsent(ConnectionObject *c)
{
    return (Py_ssize_t)stream_pending((StreamObject *)c->transport);
}

static int
stream_wire_limit(ConnectionObject *c, int all)
{
    return stream_limit_writing((StreamObject *)c->transport, all ? 0 : STREAM_HIGH_WATER,
                                all ? 0 : STREAM_HIGH_WATER / 4);
}

static int
stream_wire_is_quiet(ConnectionObject *c)
{
    return stream_is_quiet((StreamObject *)c->transport);
}

const wire_ops wire_stream = {stream_wire_send, stream_wire_unsent, stream_wire_limit, stream_wire_is_quiet};

/* ---- TLS ----------------------------------------------------------------------------------- */

static int
tls_wire_send(ConnectionObject *c, const char *base, size_t n, PyObject *bytes)
{
    return tls_send((TlsObject *)c->transport, base, n, bytes);
}

static Py_ssize_t
tls_wire_unsent(ConnectionObject *c)
{
    return (Py_ssize_t)tls_unsent((TlsObject *)c->transport);
}

static int
tls_wire_limit(ConnectionObject *c, int all)
{
    tls_limit_writing((TlsObject *)c->transport, all ? 0 : TLS_HIGH_WATER, all ? 0 : TLS_HIGH_WATER / 4);
    return 0;
}

static int
tls_wire_is_quiet(ConnectionObject *c)
{
    return tls_is_quiet((TlsObject *)c->transport);
}

const wire_ops wire_tls = {tls_wire_send, tls_wire_unsent, tls_wire_limit, tls_wire_is_quiet};

/* ---- any other transport ------------------------------------------------------------------- */

/* It may be lost within the call. `arg` may be NULL. New reference, or NULL. */
static PyObject *
call_foreign(ConnectionObject *c, PyObject *name, PyObject *arg)
{
    PyObject *transport = Py_NewRef(c->transport);
    PyObject *r = arg == NULL ? PyObject_CallMethodNoArgs(transport, name)
                              : PyObject_CallMethodOneArg(transport, name, arg);
    Py_DECREF(transport);
    return r;
}

static int
write_one(ConnectionObject *c, PyObject *bytes)
{
    PyObject *r = call_foreign(c, c->loop->st->http->n_write, bytes);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
foreign_send(ConnectionObject *c, const char *base, size_t n, PyObject *bytes)
{
    int rc = 0;
    if (n > 0) {
        PyObject *first = PyBytes_FromStringAndSize(base, (Py_ssize_t)n);
        if (first != NULL && bytes != NULL && PyBytes_GET_SIZE(bytes) > 0) {
            PyBytes_Concat(&first, bytes); /* together: many transports send each write by itself */
            bytes = NULL;
        }
        rc = first == NULL ? -1 : write_one(c, first);
        Py_XDECREF(first);
    }
    return rc < 0 || bytes == NULL || PyBytes_GET_SIZE(bytes) == 0 ? rc : write_one(c, bytes);
}

static Py_ssize_t
foreign_unsent(ConnectionObject *c)
{
    PyObject *r = call_foreign(c, c->loop->st->http->n_get_write_buffer_size, NULL);
    Py_ssize_t n = r == NULL ? -1 : PyLong_AsSsize_t(r);
    Py_XDECREF(r);
    return n < 0 && !PyErr_Occurred() ? 0 : n;
}

static int
foreign_limit(ConnectionObject *c, int all)
{
    PyObject *name = c->loop->st->http->n_set_write_buffer_limits;
    PyObject *zero = all ? PyLong_FromLong(0) : Py_NewRef(Py_None);
    PyObject *r = zero == NULL ? NULL : call_foreign(c, name, zero);
    Py_XDECREF(zero);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
foreign_is_quiet(ConnectionObject *c)
{
    PyObject *r = call_foreign(c, c->loop->st->http->n_is_closing, NULL);
    int closing = r == NULL ? -1 : PyObject_IsTrue(r);
    Py_XDECREF(r);
    if (closing < 0) {
        loop_error(c->loop, "The transport of an HTTP connection has failed", c->transport, (PyObject *)c);
    }
    return closing == 0;
}

const wire_ops wire_foreign = {foreign_send, foreign_unsent, foreign_limit, foreign_is_quiet};

const wire_ops *
wire_choose(core_state *st, PyObject *transport)
{
    return Py_TYPE(transport) == st->stream_type ? &wire_stream
           : Py_TYPE(transport) == st->tls_type  ? &wire_tls
                                                 : &wire_foreign;
}
