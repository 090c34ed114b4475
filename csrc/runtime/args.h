/* args.h - reading the arguments of fast-call methods. */
#ifndef UVOLT_RUNTIME_ARGS_H
#define UVOLT_RUNTIME_ARGS_H

#include "runtime/state.h"

#define CALL_ARGS_NAMED 2

/* The arguments of call_soon and its kin, read: positional ones and the context. */
typedef struct call_args {
    PyObject *const *args;
    Py_ssize_t nargs;
    PyObject *context;                 /* borrowed; NULL if not given or None */
    PyObject *named[CALL_ARGS_NAMED];  /* borrowed: backs `args` where they came by keyword */
} call_args;

/* Fill *out: `nreq` (at most CALL_ARGS_NAMED) arguments with these names, by position or keyword, then
 * any number, and the keyword `context`. 0, or -1 with TypeError. */
int uvolt_args_call(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
                    PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, call_args *out);

/* The same for methods that have no `context`. */
int uvolt_args_callback(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
                        PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, call_args *out);

/* The only argument of a method that takes one, by position or by `name`. Borrowed, or NULL with
 * TypeError. */
PyObject *uvolt_args_one(const char *method, const char *name, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames);

/* The arguments of get_extra_info(name, default=None). Borrowed. -1 with TypeError. */
int uvolt_args_extra_info(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **name,
                          PyObject **fallback);

/* The arguments of set_write_buffer_limits() and its kin, checked by support.function(), which knows the
 * defaults. -1 with its exception. PYCALL. */
int uvolt_args_limits(PyObject *support, const char *function, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, Py_ssize_t *high, Py_ssize_t *low);

/* A descriptor from an int or an object with fileno(). -1 with TypeError or ValueError. */
int uvolt_args_fd(PyObject *fileobj);

#endif
