/* module.c - uvolt._core: the module, its state, its types in layer order. */
#include <uv.h>

#include "core/coro.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/sock.h"
#include "core/waiter.h"
#include "http/decode.h"
#include "http/quick.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "net/stream.h"
#include "net/udp.h"
#include "runtime/state.h"
#include "tls/transport.h"

static struct PyModuleDef core_module;

core_state *
uvolt_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

core_state *
uvolt_state_of_type(PyTypeObject *type)
{
    PyObject *module = UVOLT_MODULE_BY_DEF(type, &core_module);
    return module == NULL ? NULL : uvolt_state_of(module);
}

static PyObject *
module_counters(PyObject *module, PyObject *Py_UNUSED(unused))
{
    core_state *st = uvolt_state_of(module);
    PyObject *dict = PyDict_New();
    if (dict == NULL) {
        return NULL;
    }
    const struct {
        const char *name;
        Py_ssize_t value;
    } counters[] = {
#define X(name) {#name, st->c_##name},
        UVOLT_COUNTERS(X)
#undef X
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(counters); i++) {
        PyObject *value = PyLong_FromSsize_t(counters[i].value);
        if (value == NULL || PyDict_SetItemString(dict, counters[i].name, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(dict);
            return NULL;
        }
        Py_DECREF(value);
    }
    return dict;
}

static PyObject *
module_tls_engine(PyObject *module, PyObject *Py_UNUSED(unused))
{
    const char *why = NULL;
    if (openssl_get(uvolt_state_of(module), &why) == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_BuildValue("(sz)", why == NULL ? "direct" : "memorybio", why);
}

static PyMethodDef module_methods[] = {
    {"counters", module_counters, METH_NOARGS,
     "counters($module, /)\n--\n\n"
     "Live objects and libuv handles, for tests: what was opened must have been closed."},
    {"make_stream", FAST(stream_make), METH_FASTCALL,
     "make_stream($module, loop, sock, protocol, waiter, extra, server, /)\n--\n\n"
     "A transport over a connected, non-blocking stream socket, which it owns from now on."},
    {"make_datagram", FAST(udp_make), METH_FASTCALL,
     "make_datagram($module, loop, sock, protocol, address, waiter, extra, /)\n--\n\n"
     "A transport over a non-blocking datagram socket, which it closes when it is done."},
    {"listen", FAST(listener_listen), METH_FASTCALL,
     "listen($module, loop, sock, factory, server, backlog, accepted, /)\n--\n\n"
     "Accept the connections of a listening socket; a Listener."},
    {"make_read_pipe", FAST(pipe_make_read), METH_FASTCALL,
     "make_read_pipe($module, loop, pipe, protocol, waiter, extra, /)\n--\n\n"
     "A transport that reads from a file object, which it closes in the end."},
    {"make_write_pipe", FAST(pipe_make_write), METH_FASTCALL,
     "make_write_pipe($module, loop, pipe, protocol, waiter, extra, /)\n--\n\n"
     "A transport that writes to a file object, which it closes in the end."},
    {"make_tls", FAST(tls_make), METH_FASTCALL,
     "make_tls($module, loop, protocol, sslcontext, waiter, server_side, server_hostname,\n"
     "         handshake_timeout, shutdown_timeout, call_connection_made, extra, /)\n--\n\n"
     "A TLS transport, to be made the protocol of the transport below it."},
    {"coroutine", FAST(coro_delegate), METH_FASTCALL,
     "coroutine($module, loop, awaitable, /)\n--\n\n"
     "A coroutine written in C that awaits that, for tests."},
    {"http_quicken", http_quicken, METH_O,
     "http_quicken($module, cls, /)\n--\n\n"
     "Have instances of a class of sessions or connectors that are made without arguments filled by C."},
    {"tls_engine", module_tls_engine, METH_NOARGS,
     "tls_engine($module, /)\n--\n\n"
     "('direct', None), or ('memorybio', why the interpreter's OpenSSL cannot be driven directly)."},
    {NULL, NULL, 0, NULL},
};

/* Both of asyncio's base classes: programs ask for either. */
static int
add_udp_type(PyObject *module, core_state *st)
{
    PyObject *bases = PyTuple_Pack(2, st->AioTransport, st->AioDatagramTransport);
    int rc = bases == NULL ? -1 : uvolt_add_type(module, &st->udp_type, &udp_spec, bases);
    Py_XDECREF(bases);
    return rc;
}

/* http_codings: what content codings were built in. */
static int
add_codings(PyObject *module)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && decode_codings[i] != NULL; i++) {
        PyObject *name = PyUnicode_FromString(decode_codings[i]);
        if (name == NULL || PyList_Append(list, name) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(name);
    }
    PyObject *names = list == NULL ? NULL : PyList_AsTuple(list);
    int rc = names == NULL ? -1 : PyModule_AddObjectRef(module, "http_codings", names);
    Py_XDECREF(names);
    Py_XDECREF(list);
    return rc;
}

static int
module_exec(PyObject *module)
{
    core_state *st = uvolt_state_of(module);
    st->module = module;
    if (uvolt_state_init(st) < 0 || stream_check_layout(st) < 0 || pipe_check_layout(st) < 0
        || uvolt_add_type(module, &st->loop_type, &loop_spec, NULL) < 0
        || uvolt_add_type(module, &st->handle_type, &handle_spec, NULL) < 0
        || uvolt_add_type(module, &st->timer_type, &timer_spec, (PyObject *)st->handle_type) < 0
        || uvolt_add_type(module, &st->sockop_type, &sockop_spec, NULL) < 0
        || uvolt_add_type(module, &st->call_type, &call_spec, NULL) < 0
        || uvolt_add_type(module, &st->noop_type, &noop_spec, NULL) < 0 || coro_setup(st) < 0 || waiter_setup(st) < 0
        || uvolt_add_type(module, &st->relay_type, &relay_spec, NULL) < 0
        || uvolt_add_type(module, &st->stream_type, &stream_spec, st->AioTransport) < 0
        || uvolt_add_type(module, &st->listener_type, &listener_spec, NULL) < 0
        || uvolt_add_type(module, &st->pipe_read_type, &pipe_read_spec, st->AioReadTransport) < 0
        || uvolt_add_type(module, &st->pipe_write_type, &pipe_write_spec, st->AioTransport) < 0
        || add_udp_type(module, st) < 0
        || uvolt_add_type(module, &st->tls_type, &tls_spec, st->AioTransport) < 0
        || http_init(module, st) < 0
        || PyModule_AddStringConstant(module, "libuv_version", uv_version_string()) < 0
        || add_codings(module) < 0) {
        return -1;
    }
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *st = uvolt_state_of(module);
    if (st == NULL) {
        return 0;
    }
    int rc = http_traverse(st, visit, arg);
    return rc != 0 ? rc : uvolt_state_traverse(st, visit, arg);
}

/* No m_clear: within one heap of garbage the module may be cleared before the loops and transports that
 * reach their names and imports through it. They keep it alive; m_free runs when the last has gone. */
static void
module_free(void *module)
{
    core_state *st = uvolt_state_of(module);
    if (st != NULL) {
        openssl_release(st);
        http_free(st);
        pool_close(&st->handle_pool);
        pool_close(&st->timer_pool);
        pool_close(&st->sockop_pool);
        pool_close(&st->call_pool);
        uvolt_state_clear(st);
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    UVOLT_SLOT_INTERPRETERS
    UVOLT_SLOT_GIL
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "uvolt._core",
    .m_doc = "The C core of uvolt: event loop and transports on libuv.",
    .m_size = sizeof(core_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
