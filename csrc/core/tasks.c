/* tasks.c - create_future, create_task and task factories. Owns nothing.
 * PYCALL: all but the getters. The objects are asyncio's own Task and Future: CPython has fast paths
 * for exactly these types. */
#include "core/loop.h"
#include "runtime/args.h"

/* Future(loop=self), by a dict of keywords that is made once: a vectorcall would make one each time. */
PyObject *
loop_create_future(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    core_state *st = self->st;
    if (UNLIKELY(self->closed)) {
        PyObject *args[2] = {NULL, op};
        return PyObject_Vectorcall(st->Future, args + 1, 0 | PY_VECTORCALL_ARGUMENTS_OFFSET, st->kw_loop);
    }
    if (UNLIKELY(self->future_kwargs == NULL)) {
        PyObject *kwargs = PyDict_New();
        if (kwargs == NULL || PyDict_SetItem(kwargs, st->n_loop, op) < 0) {
            Py_XDECREF(kwargs);
            return NULL;
        }
        self->future_kwargs = kwargs;
    }
    return PyObject_Call(st->Future, st->no_args, self->future_kwargs);
}

/* The keywords of create_task as a dict without `name` (moved to *name, borrowed, NULL if None) and
 * without a None context, which factories never get. New reference. */
static PyObject *
task_keywords(core_state *st, PyObject *const *values, PyObject *kwnames, PyObject **name)
{
    PyObject *kwargs = PyDict_New();
    Py_ssize_t n = kwnames != NULL ? PyTuple_GET_SIZE(kwnames) : 0;
    *name = NULL;
    for (Py_ssize_t i = 0; kwargs != NULL && i < n; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        int is_name = PyUnicode_Compare(kw, st->n_name) == 0;
        if (is_name) {
            *name = values[i] == Py_None ? NULL : values[i];
        }
        else if (values[i] == Py_None && PyUnicode_Compare(kw, st->n_context) == 0) {
            continue;
        }
        else if (PyDict_SetItem(kwargs, kw, values[i]) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    return kwargs;
}

static int
set_task_name(core_state *st, PyObject *task, PyObject *name)
{
    PyObject *set_name;
    int found = PyObject_GetOptionalAttr(task, st->n_set_name, &set_name);
    if (found <= 0) { /* a task-like object without names: asyncio lets it be */
        return found;
    }
    PyObject *r = PyObject_CallOneArg(set_name, name);
    Py_DECREF(set_name);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static PyObject *
create_by_factory(LoopObject *self, PyObject *coro, PyObject *kwargs, PyObject *name)
{
    PyObject *factory = Py_NewRef(self->task_factory);
    PyObject *args = PyTuple_Pack(2, (PyObject *)self, coro);
    PyObject *task = args == NULL ? NULL : PyObject_Call(factory, args, kwargs);
    Py_XDECREF(args);
    Py_DECREF(factory);
    if (task != NULL && name != NULL && set_task_name(self->st, task, name) < 0) {
        Py_CLEAR(task);
    }
    return task;
}

static PyObject *
create_plain(LoopObject *self, PyObject *coro, PyObject *kwargs, PyObject *name)
{
    core_state *st = self->st;
    if (PyDict_SetItem(kwargs, st->n_loop, (PyObject *)self) < 0
        || (name != NULL && PyDict_SetItem(kwargs, st->n_name, name) < 0)) {
        return NULL;
    }
    PyObject *type = PyObject_GetAttr(st->tasks, st->n_Task); /* programs replace asyncio.tasks.Task */
    PyObject *task = type == NULL ? NULL : PyObject_VectorcallDict(type, &coro, 1, kwargs);
    Py_XDECREF(type);
    return task;
}

/* create_task(coro): the call nearly everybody makes. */
static PyObject *
create_bare(LoopObject *self, PyObject *coro)
{
    core_state *st = self->st;
    PyObject *type = PyObject_GetAttr(st->tasks, st->n_Task);
    if (type == NULL) {
        return NULL;
    }
    PyObject *args[3] = {NULL, coro, (PyObject *)self};
    PyObject *task =
        PyObject_Vectorcall(type, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, st->kw_loop);
    Py_DECREF(type);
    return task;
}

/* create_task(coro=...). New reference. */
static PyObject *
take_coro(core_state *st, PyObject *kwargs)
{
    PyObject *coro = Py_XNewRef(PyDict_GetItemWithError(kwargs, st->n_coro));
    if (coro != NULL && PyDict_DelItem(kwargs, st->n_coro) < 0) {
        Py_CLEAR(coro);
    }
    if (coro == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "create_task() missing required argument: 'coro'");
    }
    return coro;
}

/* In debug mode a task remembers where it was made: the frame below us, which is right as it is,
 * because C code has no frame. */
PyObject *
loop_create_task(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *coro = NULL, *name, *kwargs, *task;
    if (loop_check_closed(self) < 0) {
        return NULL;
    }
    if (nargs == 1 && kwnames == NULL && self->task_factory == NULL) {
        return create_bare(self, args[0]);
    }
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "create_task() takes 1 positional argument but %zd were given", nargs);
        return NULL;
    }
    if ((kwargs = task_keywords(self->st, args + nargs, kwnames, &name)) == NULL) {
        return NULL;
    }
    if (nargs == 1) {
        coro = Py_NewRef(args[0]);
    }
    else {
        coro = take_coro(self->st, kwargs);
    }
    if (coro == NULL) {
        task = NULL;
    }
    else if (self->task_factory != NULL) {
        task = create_by_factory(self, coro, kwargs, name);
    }
    else {
        task = create_plain(self, coro, kwargs, name);
    }
    Py_XDECREF(coro);
    Py_DECREF(kwargs);
    return task;
}

PyObject *
loop_set_task_factory(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    PyObject *factory = uvolt_args_one("set_task_factory", "factory", args, nargs, kwnames);
    if (factory == NULL) {
        return NULL;
    }
    if (factory != Py_None && !PyCallable_Check(factory)) {
        PyErr_SetString(PyExc_TypeError, "task factory must be a callable or None");
        return NULL;
    }
    Py_XSETREF(self->task_factory, factory == Py_None ? NULL : Py_NewRef(factory));
    Py_RETURN_NONE;
}

PyObject *
loop_get_task_factory(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PyObject *factory = ((LoopObject *)op)->task_factory;
    return Py_NewRef(factory != NULL ? factory : Py_None);
}
