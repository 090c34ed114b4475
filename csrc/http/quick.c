/* quick.c - see quick.h. Owns: nothing. Threads: the loop's. PYCALL: all. */
#include "http/quick.h"

#include "http/connector.h"
#include "http/session.h"

int
quick_arguments(PyObject *args, PyObject *kwargs, const quick_argument *known, size_t n)
{
    Py_ssize_t at = 0;
    PyObject *name, *value;
    if (PyTuple_GET_SIZE(args) != 0) {
        return 0;
    }
    while (kwargs != NULL && PyDict_Next(kwargs, &at, &name, &value)) {
        size_t i = 0;
        while (i < n && known[i].name != name) { /* interned, both */
            i++;
        }
        if (i == n) {
            return 0;
        }
        *known[i].value = value;
    }
    return 1;
}

LoopObject *
quick_loop(core_state *st, PyObject *given)
{
    PyObject *loop = given != NULL && given != Py_None ? Py_NewRef(given) : PyObject_CallNoArgs(st->http->get_running_loop);
    if (loop == NULL || !PyObject_TypeCheck(loop, st->loop_type) || ((LoopObject *)loop)->debug) {
        PyErr_Clear();
        Py_CLEAR(loop);
    }
    return (LoopObject *)loop;
}

int
quick_init_by_python(PyObject *self, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject *init = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__init__"), *made = NULL;
    PyObject *all = init == NULL ? NULL : PyTuple_New(n + 1);
    if (all != NULL) {
        PyTuple_SET_ITEM(all, 0, Py_NewRef(self));
        for (Py_ssize_t i = 0; i < n; i++) {
            PyTuple_SET_ITEM(all, i + 1, Py_NewRef(PyTuple_GET_ITEM(args, i)));
        }
        made = PyObject_Call(init, all, kwargs);
    }
    Py_XDECREF(init);
    Py_XDECREF(all);
    Py_XDECREF(made);
    return made == NULL ? -1 : 0;
}

void
quick_finalize_by_python(PyObject *self)
{
    PyObject *saved = PyErr_GetRaisedException();
    PyObject *r = PyObject_CallMethod(self, "__del__", NULL);
    if (r == NULL) {
        PyErr_WriteUnraisable(self);
    }
    Py_XDECREF(r);
    PyErr_SetRaisedException(saved);
}

int
quick_is_stock(PyObject *object, PyObject *name, PyObject *function)
{
    PyObject *method = PyObject_GetAttr(object, name);
    int stock = method != NULL && PyMethod_Check(method) && PyMethod_GET_FUNCTION(method) == function
                && PyMethod_GET_SELF(method) == object;
    PyErr_Clear();
    Py_XDECREF(method);
    return stock;
}

PyObject *
http_quicken(PyObject *module, PyObject *cls)
{
    http_state *hs = uvolt_state_of(module)->http;
    PyTypeObject *type = (PyTypeObject *)cls;
    if (PyType_Check(cls) && PyType_IsSubtype(type, hs->http_session_type) && type != hs->http_session_type) {
        session_quicken(type);
    }
    else if (PyType_Check(cls) && PyType_IsSubtype(type, hs->http_connector_type) && type != hs->http_connector_type) {
        connector_quicken(type);
    }
    else {
        PyErr_SetString(PyExc_TypeError, "http_quicken() takes a class of sessions or connectors");
        return NULL;
    }
    Py_RETURN_NONE;
}
