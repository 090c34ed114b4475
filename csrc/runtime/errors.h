/* errors.h - the one bridge from errno and libuv codes to Python exceptions. */
#ifndef UVOLT_RUNTIME_ERRORS_H
#define UVOLT_RUNTIME_ERRORS_H

#include "runtime/state.h"

/* Sets OSError (or its subclass) for a negative libuv code or a negated errno. Always NULL. */
PyObject *uvolt_raise_uv(int err);

/* The same as an exception object (new reference), or NULL with another exception set. */
PyObject *uvolt_uv_exception(int err);

/* True if the exception that is set must leave the loop at once: KeyboardInterrupt, SystemExit. */
int uvolt_error_is_fatal(void);

#endif
