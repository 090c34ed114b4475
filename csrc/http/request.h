/* request.h - RequestObject: `_core.RequestContextManager`, what get(), post() and request() of a session return: a
 * coroutine and an async context manager.
 * Split by role: request.c its steps; request_make.c the methods that make one. */
#ifndef UVOLT_HTTP_REQUEST_H
#define UVOLT_HTTP_REQUEST_H

#include "http/hop.h"

typedef enum request_phase {
    REQUEST_START,
    REQUEST_EXCHANGE,
    REQUEST_INNER,  /* awaits what gives the response: _request(), _follow() */
    REQUEST_RAISER, /* awaits a raise_for_status of the caller's */
} request_phase;

/* What the caller gave by name; borrowed or strong by use. */
typedef struct request_args {
    PyObject *headers, *data, *json, *timeout, *raise_for_status, *allow_redirects;
} request_args;

typedef struct RequestObject {
    CoroObject coro;
    SessionObject *session; /* strong; all but `result` are let go when it is over */
    PyObject *method, *url; /* strong */
    request_args args;      /* strong, NULL if not given */
    PyObject *inner;        /* strong: the coroutine of the general way */
    PyObject *result;       /* strong until it is freed: the response, for __aexit__() */
    hop x;
    request_phase phase;
    unsigned redirects : 1; /* are followed */
    unsigned entering : 1;  /* in an async with */
    unsigned safe : 1;      /* nothing is left to be given up */
} RequestObject;

/* request.c: the kinds of one, and a new one, which the caller fills and tracks. */
extern const coro_kind request_kind;  /* fast, unless there is `inner` */
extern const coro_kind exchange_kind; /* _exchange() */
RequestObject *request_new(SessionObject *s, const coro_kind *kind, PyObject *method, PyObject *url);
PyObject *request_call(RequestObject *q, PyObject *kwargs); /* session._request(method, url, **kwargs), a coroutine */
PyTypeObject *request_response_type(SessionObject *s);

/* request_make.c: the methods of a session. */
PyObject *request_request(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_get(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_options(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_head(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_post(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_put(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_patch(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_delete(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *request_exchange(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

extern PyType_Spec http_request_spec;

#endif
