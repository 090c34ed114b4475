/* args.c - reading the arguments of fast-call methods. Owns nothing. PYCALL: uvolt_args_fd(). */
#include "runtime/args.h"

static COLD int
missing(const char *method, const char *name)
{
    PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", method, name);
    return -1;
}

static COLD int
unexpected(const char *method, PyObject *kw)
{
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%S'", method, kw);
    return -1;
}

int
uvolt_args_context(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
                   PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **context)
{
    *context = NULL;
    if (UNLIKELY(nargs < nreq)) {
        return missing(method, names[nargs]);
    }
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        if (kw != st->n_context && PyUnicode_Compare(kw, st->n_context) != 0) {
            return unexpected(method, kw);
        }
        PyObject *value = args[nargs + i];
        if (value == Py_None) {
            continue;
        }
        if (UNLIKELY(!PyContext_CheckExact(value))) {
            PyErr_Format(PyExc_TypeError, "%s(): context must be a contextvars.Context, not %.100s",
                         method, Py_TYPE(value)->tp_name);
            return -1;
        }
        *context = value;
    }
    return 0;
}

int
uvolt_args_fd(PyObject *fileobj)
{
    PyObject *number = NULL;
    if (PyLong_Check(fileobj)) {
        number = Py_NewRef(fileobj);
    }
    else {
        PyObject *r = PyObject_CallMethod(fileobj, "fileno", NULL);
        if (r != NULL) {
            number = PyNumber_Long(r);
            Py_DECREF(r);
        }
        if (number == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)
                && !PyErr_ExceptionMatches(PyExc_TypeError)
                && !PyErr_ExceptionMatches(PyExc_ValueError)) {
                return -1;
            }
            PyErr_Clear();
            PyErr_Format(PyExc_ValueError, "Invalid file object: %R", fileobj);
            return -1;
        }
    }
    int overflow;
    long fd = PyLong_AsLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (fd < 0 || overflow || fd > INT_MAX) {
        if (fd == -1 && PyErr_Occurred()) {
            return -1;
        }
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %R", fileobj);
        return -1;
    }
    return (int)fd;
}
