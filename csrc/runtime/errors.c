/* errors.c - errno and libuv codes as Python exceptions. libuv's codes on Unix are negated errnos;
 * the few of its own (UV_EOF and the UV_EAI_ family) never reach these functions except as a bug,
 * and then still give an OSError that says so. */
#include "runtime/errors.h"

#include <errno.h>
#include <uv.h>

PyObject *
uvolt_uv_exception(int err)
{
    int code = -err;
    const char *text = code > 0 && code < 4000 ? strerror(code) : uv_strerror(err);
    return PyObject_CallFunction(PyExc_OSError, "is", code, text);
}

PyObject *
uvolt_raise_uv(int err)
{
    PyObject *exc = uvolt_uv_exception(err);
    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}

int
uvolt_error_is_fatal(void)
{
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit);
}
