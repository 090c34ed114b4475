/* exchange.h - HTTPExchange: a user of a connection in Python's hands, which collects what comes. */
#ifndef UVOLT_HTTP_EXCHANGE_H
#define UVOLT_HTTP_EXCHANGE_H

#include "http/connection.h"

extern PyType_Spec http_exchange_spec; /* _core.HTTPExchange */

/* HTTPConnection.exchange() */
PyObject *conn_exchange(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

#endif
