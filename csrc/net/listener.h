/* listener.h - Listener: accepts the connections of one listening socket. */
#ifndef UVOLT_NET_LISTENER_H
#define UVOLT_NET_LISTENER_H

#include "core/loop.h"

extern PyType_Spec listener_spec;
PyObject *listener_listen(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

#endif
