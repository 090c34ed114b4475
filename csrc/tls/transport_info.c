/* transport_info.c - what a TLS transport tells of itself; see transport.h.
 * Threads: the loop's. PYCALL: get_extra_info (what is not known yet is asked of the SSLObject). */
#include "runtime/args.h"
#include "tls/transport.h"

/* ---- extra info ---------------------------------------------------------------------------- */

/* New reference, or NULL: without an exception if the session knows no such name. The handshake decides when
 * there is an answer; peercert is expensive to make, so none is made before it is asked for. */
static PyObject *
session_value(TlsObject *t, PyObject *name)
{
    static const struct {
        const char *name, *method;
    } known[] = {{"peercert", "getpeercert"}, {"cipher", "cipher"}, {"compression", "compression"}};
    if (!PyUnicode_Check(name)) {
        return NULL;
    }
    if (PyUnicode_CompareWithASCIIString(name, "sslcontext") == 0) {
        return Py_XNewRef(t->ssl_context);
    }
    if (!t->shaken || t->engine.sslobj == NULL) {
        return NULL;
    }
    if (PyUnicode_CompareWithASCIIString(name, "ssl_object") == 0) {
        return Py_NewRef(t->engine.sslobj);
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(known); i++) {
        if (PyUnicode_CompareWithASCIIString(name, known[i].name) == 0) {
            PyObject *value = PyObject_CallMethod(t->engine.sslobj, known[i].method, NULL);
            if (value == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
                PyErr_Clear(); /* after an error OpenSSL says that there was no handshake */
            }
            return value;
        }
    }
    return NULL;
}

PyObject *
tls_get_extra_info(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    TlsObject *t = (TlsObject *)op;
    PyObject *name, *fallback;
    if (uvolt_args_extra_info(args, nargs, kwnames, &name, &fallback) < 0) {
        return NULL;
    }
    PyObject *value = t->extra == NULL ? NULL : PyDict_GetItemWithError(t->extra, name);
    if (value != NULL || PyErr_Occurred()) {
        return Py_XNewRef(value);
    }
    value = session_value(t, name);
    if (value != NULL) {
        if ((t->extra == NULL && (t->extra = PyDict_New()) == NULL)
            || PyDict_SetItem(t->extra, name, value) < 0) {
            Py_CLEAR(value);
        }
        return value;
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (t->lower != NULL) {
        return PyObject_CallMethod(t->lower, "get_extra_info", "OO", name, fallback);
    }
    return Py_NewRef(fallback);
}

/* ---- small answers ------------------------------------------------------------------------- */

PyObject *
tls_repr(PyObject *op)
{
    return PyObject_CallMethod(((TlsObject *)op)->loop->st->tls_support, "transport_repr", "O", op);
}

PyObject *
tls_is_closing(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((TlsObject *)op)->closed);
}

PyObject *
tls_is_reading(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(!((TlsObject *)op)->app_paused);
}

PyObject *
tls_can_write_eof(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_FALSE;
}

PyObject *
tls_get_protocol(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PyObject *protocol = ((TlsObject *)op)->to.protocol;
    return Py_NewRef(protocol != NULL ? protocol : Py_None);
}

PyObject *
tls_get_write_buffer_size(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(tls_unsent((TlsObject *)op));
}

PyObject *
tls_get_write_buffer_limits(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    return Py_BuildValue("(nn)", (Py_ssize_t)t->low, (Py_ssize_t)t->high);
}

PyObject *
tls_get_read_buffer_size(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromSize_t(tls_unread((TlsObject *)op));
}

PyObject *
tls_get_read_buffer_limits(PyObject *op, PyObject *Py_UNUSED(unused))
{
    TlsObject *t = (TlsObject *)op;
    return Py_BuildValue("(nn)", (Py_ssize_t)t->read_low, (Py_ssize_t)t->read_high);
}

/* ---- attributes that libraries read -------------------------------------------------------- */

static PyObject *
get_loop(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)((TlsObject *)op)->loop);
}

static PyObject *
get_true(PyObject *Py_UNUSED(op), void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

static PyObject *
get_sendfile_mode(PyObject *op, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(((TlsObject *)op)->loop->st->tls_support, "SENDFILE_MODE");
}

static PyObject *
get_protocol_paused(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TlsObject *)op)->protocol_paused);
}

/* asyncio's transport has the protocol for the transport below as an object of its own; here it is one. */
static PyObject *
get_self(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef(op);
}

static PyObject *
get_lower(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *lower = ((TlsObject *)op)->lower;
    return Py_NewRef(lower != NULL && !((TlsObject *)op)->lost ? lower : Py_None);
}

static PyObject *
get_ssl_object(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *sslobj = ((TlsObject *)op)->engine.sslobj;
    return Py_NewRef(sslobj != NULL ? sslobj : Py_None);
}

static PyObject *
get_context(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *context = ((TlsObject *)op)->ssl_context;
    return Py_NewRef(context != NULL ? context : Py_None);
}

static PyObject *
get_engine(PyObject *op, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(((TlsObject *)op)->engine.api != NULL ? "direct" : "memorybio");
}

PyGetSetDef tls_getset[] = {
    {"_loop", get_loop, NULL, NULL, NULL},
    {"_start_tls_compatible", get_true, NULL, NULL, NULL},
    {"_sendfile_compatible", get_sendfile_mode, NULL, NULL, NULL},
    {"_protocol_paused", get_protocol_paused, NULL, NULL, NULL},
    {"_ssl_protocol", get_self, NULL, NULL, NULL},
    {"_app_transport", get_self, NULL, NULL, NULL},
    {"_transport", get_lower, NULL, NULL, NULL},
    {"_sslobj", get_ssl_object, NULL, NULL, NULL},
    {"_sslcontext", get_context, NULL, NULL, NULL},
    {"_engine", get_engine, NULL, NULL, "'direct' or 'memorybio'"},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
