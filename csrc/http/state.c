/* state.c - making, visiting and freeing http_state; see state.h.
 * Owns: st->http and every member of it. Threads: any, with the GIL of its interpreter. */
#include "http/state.h"

#include <stdlib.h>

#include "http/body.h"
#include "http/request.h"
#include "http/session.h"
#include "http/target.h"
#include "http/connection.h"
#include "http/connector.h"
#include "http/exchange.h"
#include "http/pool.h"

static int
add_types(PyObject *module, http_state *http)
{
#define X(name)                                                                                    \
    if (uvolt_add_type(module, &http->name##_type, &name##_spec, NULL) < 0) {                      \
        return -1;                                                                                 \
    }
    HTTP_TYPES(X)
    HTTP_CLIENT_TYPES(X)
#undef X
    return 0;
}

int
http_init(PyObject *module, core_state *st)
{
    http_state *http = st->http = calloc(1, sizeof(*http));
    if (http == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#define X(name)                                                                                    \
    if ((http->n_##name = PyUnicode_InternFromString(#name)) == NULL) {                            \
        return -1;                                                                                 \
    }
    HTTP_NAMES(X)
    HTTP_CLIENT_NAMES(X)
#undef X
    if (add_types(module, http) < 0) {
        return -1;
    }
    st->native_type = http->http_connection_type;
    st->native_data = conn_data;
    st->native_room = conn_room;
    return 0;
}

int
http_load(core_state *st)
{
    http_state *http = st->http;
    if (http->loaded) {
        return 0;
    }
#define X(name, module, attr)                                                                      \
    if (http->name == NULL && (http->name = uvolt_import(module, attr)) == NULL) {                 \
        return -1;                                                                                 \
    }
    HTTP_IMPORTS(X)
#undef X
    http->loaded = 1;
    return 0;
}

int
http_load_client(core_state *st)
{
    http_state *http = st->http;
    if (http->client_loaded) {
        return 0;
    }
    if (http_load(st) < 0) {
        return -1;
    }
#define X(name, module, attr)                                                                      \
    if (http->name == NULL && (http->name = uvolt_import(module, attr)) == NULL) {                 \
        return -1;                                                                                 \
    }
    HTTP_CLIENT_IMPORTS(X)
#undef X
    http->client_loaded = 1;
    return 0;
}

PyObject *
http_error(core_state *st, const char *maker, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *tuple = format == NULL ? PyTuple_New(0) : Py_VaBuildValue(format, args);
    va_end(args);
    PyObject *make = tuple == NULL ? NULL : PyObject_GetAttrString(st->http->support, maker);
    PyObject *exc = make == NULL ? NULL : PyObject_CallObject(make, tuple);
    Py_XDECREF(make);
    Py_XDECREF(tuple);
    if (exc != NULL && !PyExceptionInstance_Check(exc)) {
        PyErr_Format(PyExc_TypeError, "%s() made no exception", maker);
        Py_CLEAR(exc);
    }
    return exc != NULL ? exc : PyErr_GetRaisedException(); /* MemoryError and the like stand for it */
}

void
http_raise(core_state *st, const char *maker)
{
    PyErr_SetRaisedException(http_error(st, maker, NULL));
}

void
http_raise_closing(core_state *st)
{
    PyErr_SetRaisedException(http_error(st, "write_error", "(OO)", Py_None, Py_None));
}

int
http_traverse(core_state *st, visitproc visit, void *arg)
{
    http_state *http = st->http;
    if (http == NULL) {
        return 0;
    }
#define X(name) Py_VISIT(http->name##_type);
    HTTP_TYPES(X)
    HTTP_CLIENT_TYPES(X)
#undef X
#define X(name, module, attr) Py_VISIT(http->name);
    HTTP_IMPORTS(X)
    HTTP_CLIENT_IMPORTS(X)
#undef X
    Py_VISIT(http->origins);
    return 0;
}

void
http_free(core_state *st)
{
    http_state *http = st->http;
    if (http == NULL) {
        return;
    }
    pool_close(&http->body_pool);
    pool_close(&http->request_pool);
    st->native_type = NULL;
#define X(name) Py_CLEAR(http->name##_type);
    HTTP_TYPES(X)
    HTTP_CLIENT_TYPES(X)
#undef X
#define X(name) Py_CLEAR(http->n_##name);
    HTTP_NAMES(X)
    HTTP_CLIENT_NAMES(X)
#undef X
#define X(name, module, attr) Py_CLEAR(http->name);
    HTTP_IMPORTS(X)
    HTTP_CLIENT_IMPORTS(X)
#undef X
    Py_CLEAR(http->origins);
    while (http->nspares > 0) {
        buf_free(&http->spares[--http->nspares]);
    }
    buf_free(&http->automatic);
    Py_CLEAR(http->automatic_agent);
    free(http);
    st->http = NULL;
}
