/* quick.h - objects of Python classes that are made with few arguments or none, most often: filled by C, without __init__().
 *
 * http_quicken() puts an initializer in C into the slot of a class whose __init__() is a function in Python. It deals with
 * calls whose arguments it knows, on a uvolt loop that is not in debug mode, and leaves all others to that function. CPython
 * puts its own into the slot again when somebody assigns another __init__() to the class, and into the slots of
 * subclasses: so whoever wraps or overrides it is called as ever. The same for __del__(). */
#ifndef UVOLT_HTTP_QUICK_H
#define UVOLT_HTTP_QUICK_H

#include "core/loop.h"
#include "http/state.h"

/* A keyword argument, and where its value is put (borrowed). */
typedef struct quick_argument {
    PyObject *name;
    PyObject **value; /* NULL at first, and if it is not given */
} quick_argument;

/* 1: there are no arguments but these. No exception is set. */
int quick_arguments(PyObject *args, PyObject *kwargs, const quick_argument *known, size_t n);
/* `given` or else the running loop (new reference), if objects on it may be filled by C; else NULL, without an exception:
 * __init__() is to be called, which says what is wrong if anything is. */
LoopObject *quick_loop(core_state *st, PyObject *given);
int quick_init_by_python(PyObject *self, PyObject *args, PyObject *kwargs); /* type(self).__init__(). -1 with an exception */
void quick_finalize_by_python(PyObject *self);                             /* type(self).__del__() */

/* 1: object.name is this function of its class, and not another one. No exception is set. */
int quick_is_stock(PyObject *object, PyObject *name, PyObject *function);

PyObject *http_quicken(PyObject *module, PyObject *cls); /* _core.http_quicken(cls) */

#endif
