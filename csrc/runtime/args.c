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

/* Which of the names this keyword is: 0.., nreq for `context`, -1 for none. */
static Py_ssize_t
find_name(core_state *st, const char *const *names, Py_ssize_t nreq, PyObject *kw)
{
    if (kw == st->n_context || PyUnicode_Compare(kw, st->n_context) == 0) {
        return nreq;
    }
    for (Py_ssize_t i = 0; i < nreq; i++) {
        if (PyUnicode_CompareWithASCIIString(kw, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static inline int
set_context(const char *method, PyObject *value, call_args *out)
{
    if (value == Py_None) {
        return 0;
    }
    if (UNLIKELY(!PyContext_CheckExact(value))) {
        PyErr_Format(PyExc_TypeError, "%s(): context must be a contextvars.Context, not %.100s",
                     method, Py_TYPE(value)->tp_name);
        return -1;
    }
    out->context = value;
    return 0;
}

/* One keyword argument. */
static int
take_keyword(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
             PyObject *kw, PyObject *value, call_args *out)
{
    Py_ssize_t i = find_name(st, names, nreq, kw);
    if (i == nreq) {
        return set_context(method, value, out);
    }
    if (i < 0) {
        return unexpected(method, kw);
    }
    if (i < out->nargs) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", method,
                     names[i]);
        return -1;
    }
    out->named[i] = value;
    return 0;
}

/* Is this tuple of one name ("context",)? asyncio of 3.10 and 3.11 uses one whose string is not interned. */
static inline int
is_context(core_state *st, PyObject *kwnames)
{
    if (LIKELY(PyTuple_GET_ITEM(kwnames, 0) == st->n_context || kwnames == st->kw_seen)) {
        return 1;
    }
    if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, 0), st->n_context) != 0) {
        return 0;
    }
    Py_XSETREF(st->kw_seen, Py_NewRef(kwnames));
    return 1;
}

int
uvolt_args_call(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
                PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, call_args *out)
{
    out->args = args;
    out->nargs = nargs;
    out->context = NULL;
    if (LIKELY(kwnames == NULL && nargs >= nreq)) {
        return 0;
    }
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    if (LIKELY(nkw == 1 && nargs >= nreq && is_context(st, kwnames))) {
        return set_context(method, args[nargs], out); /* how tasks and futures call */
    }
    memset(out->named, 0, sizeof(out->named));
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        if (take_keyword(st, method, names, nreq, kw, args[nargs + i], out) < 0) {
            return -1;
        }
    }
    if (LIKELY(nargs >= nreq)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < nreq; i++) {
        if (i < nargs) {
            out->named[i] = args[i];
        }
        else if (out->named[i] == NULL) {
            return missing(method, names[i]);
        }
    }
    out->args = out->named;
    out->nargs = nreq;
    return 0;
}

int
uvolt_args_callback(core_state *st, const char *method, const char *const *names, Py_ssize_t nreq,
                    PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, call_args *out)
{
    for (Py_ssize_t i = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames); i-- > 0;) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, i), st->n_context) == 0) {
            return unexpected(method, st->n_context);
        }
    }
    return uvolt_args_call(st, method, names, nreq, args, nargs, kwnames, out);
}

PyObject *
uvolt_args_one(const char *method, const char *name, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    if (LIKELY(nargs == 1 && nkw == 0)) {
        return args[0];
    }
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes 1 positional argument but %zd were given", method,
                     nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(kw, name) != 0) {
            unexpected(method, kw);
            return NULL;
        }
        if (nargs == 1) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", method,
                         name);
            return NULL;
        }
        return args[nargs + i];
    }
    missing(method, name);
    return NULL;
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
    if (fd < 0 || overflow || fd > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %R", number);
        fd = -1;
    }
    Py_DECREF(number);
    return (int)fd;
}

int
uvolt_args_extra_info(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **name,
                      PyObject **fallback)
{
    Py_ssize_t nkw = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    *name = nargs > 0 ? args[0] : NULL;
    *fallback = nargs > 1 ? args[1] : NULL;
    for (Py_ssize_t i = 0; i < nkw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        if (*name == NULL && PyUnicode_CompareWithASCIIString(kw, "name") == 0) {
            *name = args[nargs + i];
        }
        else if (*fallback == NULL && PyUnicode_CompareWithASCIIString(kw, "default") == 0) {
            *fallback = args[nargs + i];
        }
        else {
            *name = NULL;
            break;
        }
    }
    if (*name == NULL || nargs > 2) {
        PyErr_SetString(PyExc_TypeError, "get_extra_info() takes name and default=None");
        return -1;
    }
    if (*fallback == NULL) {
        *fallback = Py_None;
    }
    return 0;
}

int
uvolt_args_limits(PyObject *support, const char *function, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, Py_ssize_t *high, Py_ssize_t *low)
{
    PyObject *check = PyObject_GetAttrString(support, function);
    PyObject *limits = check == NULL ? NULL : PyObject_Vectorcall(check, args, (size_t)nargs, kwnames);
    Py_XDECREF(check);
    int ok = limits != NULL && PyArg_ParseTuple(limits, "nn", high, low);
    Py_XDECREF(limits);
    return ok ? 0 : -1;
}
