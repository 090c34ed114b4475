/* connector.h - ConnectorObject: `_core.HTTPConnector`, what uvolt.http.BaseConnector stands on: its loop and its pool.
 *
 * A TCPConnector without arguments is made by C alone. Its class has the values of __init__()'s defaults as attributes of
 * its own, so that nothing but what is here needs to be set. */
#ifndef UVOLT_HTTP_CONNECTOR_H
#define UVOLT_HTTP_CONNECTOR_H

#include "http/pool.h"

typedef struct ConnectorObject {
    PyObject_HEAD
    PyObject *loop;  /* strong; NULL until it is initialised */
    PyObject *pool;  /* strong; the same */
    PyObject *names; /* strong: the resolver and its cache, made when a name is first looked up; or NULL */
    char direct;     /* C may connect (dial.c) */
} ConnectorObject;

/* Fill one as __init__() without arguments does. 0, or -1 with an exception. */
int connector_fill(ConnectorObject *c, LoopObject *loop);
/* What a session without arguments has: TCPConnector(loop=loop). New reference, or NULL. PYCALL. */
PyObject *connector_make(LoopObject *loop);
/* The pool, borrowed; NULL for what is no connector of ours, or has none. */
PoolObject *connector_pool(core_state *st, PyObject *connector);
/* Close it now, if that is all that its close() would do: no name was ever looked up, nothing is replaced. 1; 0: it is for
 * close() to do; PYCALL. */
int connector_shut(core_state *st, PyObject *connector);

void connector_quicken(PyTypeObject *type); /* instances without arguments are made by connector_fill() */

extern PyType_Spec http_connector_spec;

#endif
