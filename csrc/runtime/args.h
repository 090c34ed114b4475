/* args.h - reading the arguments of fast-call methods. */
#ifndef UVOLT_RUNTIME_ARGS_H
#define UVOLT_RUNTIME_ARGS_H

#include "runtime/state.h"

/* The arguments of call_soon and its kin: `nreq` positional ones, then any number, and the keyword
 * `context` alone. Sets *context (borrowed, NULL if not given or None). 0, or -1 with TypeError. */
int uvolt_args_context(core_state *st, const char *method, const char *const *names,
                       Py_ssize_t nreq, PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, PyObject **context);

/* A descriptor from an int or an object with fileno(). -1 with TypeError or ValueError. */
int uvolt_args_fd(PyObject *fileobj);

#endif
