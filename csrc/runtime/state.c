/* state.c - filling, visiting and clearing the module state.
 * Owns: every member of core_state. Threads: any, with the GIL of its interpreter. */
#include "runtime/state.h"

PyObject *
uvolt_import(const char *module, const char *attr)
{
    PyObject *m = PyImport_ImportModule(module);
    if (m == NULL || attr == NULL) {
        return m;
    }
    PyObject *r = PyObject_GetAttrString(m, attr);
    Py_DECREF(m);
    return r;
}

/* By way of a socket that has no descriptor: public functions tell the C function of a bound method only. */
static int
find_fileno(core_state *st)
{
    PyTypeObject *type = (PyTypeObject *)st->RawSocket;
    PyObject *sock = type->tp_new(type, st->no_args, NULL);
    if (sock == NULL) {
        return -1;
    }
    st->any_fileno = PyObject_GetAttrString(sock, "fileno");
    Py_DECREF(sock);
    if (st->any_fileno == NULL) {
        return -1;
    }
    if (!PyCFunction_Check(st->any_fileno) || PyCFunction_GetFlags(st->any_fileno) != METH_NOARGS) {
        PyErr_SetString(PyExc_ImportError, "socket.socket is not CPython's");
        return -1;
    }
    st->sock_fileno = PyCFunction_GetFunction(st->any_fileno);
    return 0;
}

int
uvolt_state_init(core_state *st)
{
#define X(name)                                                                                    \
    if ((st->n_##name = PyUnicode_InternFromString(#name)) == NULL) {                              \
        return -1;                                                                                 \
    }
    UVOLT_NAMES(X)
#undef X
#define X(name, module, attr)                                                                      \
    if ((st->name = uvolt_import(module, attr)) == NULL) {                                          \
        return -1;                                                                                 \
    }
    UVOLT_IMPORTS(X)
#undef X
    if ((st->kw_context = PyTuple_Pack(1, st->n_context)) == NULL
        || (st->kw_loop = PyTuple_Pack(1, st->n_loop)) == NULL || (st->no_args = PyTuple_New(0)) == NULL
        || (st->stock_feed = PyObject_GetAttr(st->StreamReader, st->n_feed_data)) == NULL
        || (st->stock_receive = PyObject_GetAttr(st->StreamReaderProtocol, st->n_data_received))
               == NULL
        || (st->sock_gettimeout = PyObject_GetAttrString(st->RawSocket, "gettimeout")) == NULL
        || (st->sock_family = PyObject_GetAttrString(st->RawSocket, "family")) == NULL
        || (st->sock_type = PyObject_GetAttrString(st->RawSocket, "type")) == NULL
        || (st->sock_proto = PyObject_GetAttrString(st->RawSocket, "proto")) == NULL) {
        return -1;
    }
    return find_fileno(st);
}

int
uvolt_state_traverse(core_state *st, visitproc visit, void *arg)
{
    Py_VISIT(st->loop_type);
    Py_VISIT(st->handle_type);
    Py_VISIT(st->timer_type);
    Py_VISIT(st->sockop_type);
    Py_VISIT(st->call_type);
    Py_VISIT(st->noop_type);
    Py_VISIT(st->relay_type);
    Py_VISIT(st->stream_type);
    Py_VISIT(st->listener_type);
    Py_VISIT(st->pipe_read_type);
    Py_VISIT(st->pipe_write_type);
    Py_VISIT(st->udp_type);
    Py_VISIT(st->tls_type);
#define X(name, module, attr) Py_VISIT(st->name);
    UVOLT_IMPORTS(X)
#undef X
    Py_VISIT(st->noop);
    Py_VISIT(st->stock_feed);
    Py_VISIT(st->stock_receive);
    Py_VISIT(st->any_fileno);
    Py_VISIT(st->future_done);
    Py_VISIT(st->future_remove);
    Py_VISIT(st->future_callbacks);
    Py_VISIT(st->sock_gettimeout);
    Py_VISIT(st->sock_family);
    Py_VISIT(st->sock_type);
    Py_VISIT(st->sock_proto);
    return 0;
}

void
uvolt_state_clear(core_state *st)
{
    Py_CLEAR(st->loop_type);
    Py_CLEAR(st->handle_type);
    Py_CLEAR(st->timer_type);
    Py_CLEAR(st->sockop_type);
    Py_CLEAR(st->call_type);
    Py_CLEAR(st->noop_type);
    Py_CLEAR(st->relay_type);
    Py_CLEAR(st->stream_type);
    Py_CLEAR(st->listener_type);
    Py_CLEAR(st->pipe_read_type);
    Py_CLEAR(st->pipe_write_type);
    Py_CLEAR(st->udp_type);
    Py_CLEAR(st->tls_type);
#define X(name) Py_CLEAR(st->n_##name);
    UVOLT_NAMES(X)
#undef X
#define X(name, module, attr) Py_CLEAR(st->name);
    UVOLT_IMPORTS(X)
#undef X
    Py_CLEAR(st->kw_context);
    Py_CLEAR(st->kw_loop);
    Py_CLEAR(st->kw_seen);
    Py_CLEAR(st->no_args);
    Py_CLEAR(st->noop);
    Py_CLEAR(st->stock_feed);
    Py_CLEAR(st->stock_receive);
    Py_CLEAR(st->any_fileno);
    Py_CLEAR(st->future_done);
    Py_CLEAR(st->future_remove);
    Py_CLEAR(st->future_callbacks);
    Py_CLEAR(st->sock_gettimeout);
    Py_CLEAR(st->sock_family);
    Py_CLEAR(st->sock_type);
    Py_CLEAR(st->sock_proto);
}

int
uvolt_add_type(PyObject *module, PyTypeObject **slot, PyType_Spec *spec, PyObject *base)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (type == NULL) {
        return -1;
    }
    *slot = (PyTypeObject *)type;
    return PyModule_AddType(module, (PyTypeObject *)type);
}
