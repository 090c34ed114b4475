/* compat.h - differences between CPython 3.10 and 3.14. The only file that looks at PY_VERSION_HEX. */
#ifndef UVOLT_BASE_COMPAT_H
#define UVOLT_BASE_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030a0000
#error "uvolt needs CPython 3.10 or newer"
#endif
#ifdef Py_GIL_DISABLED
#error "uvolt does not support free-threaded builds yet"
#endif

#if PY_VERSION_HEX < 0x030c0000
/* The exception being raised as one object (new reference, NULL if none), and back. */
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *tb;
    PyErr_Fetch(&type, &value, &tb);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &tb);
    if (tb != NULL) {
        PyException_SetTraceback(value, tb);
        Py_DECREF(tb);
    }
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *exc)
{
    if (exc == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
}
#endif

#if PY_VERSION_HEX < 0x030d0000
static inline int
PyObject_GetOptionalAttr(PyObject *o, PyObject *name, PyObject **result)
{
    *result = PyObject_GetAttr(o, name);
    if (*result != NULL) {
        return 1;
    }
    if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

/* 1 and a new reference, 0 and NULL when the referent is gone, -1 with an exception. */
static inline int
PyWeakref_GetRef(PyObject *ref, PyObject **result)
{
    PyObject *o = PyWeakref_GetObject(ref);
    if (o == NULL) {
        *result = NULL;
        return -1;
    }
    *result = o == Py_None ? NULL : Py_NewRef(o);
    return *result != NULL;
}
#endif

/* Python 3.11 specialises method calls on an object with a dict only once the dict exists; other
 * versions only while it does not (3.12, 3.13) or in either case. */
#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#define UVOLT_EAGER_DICT 1
#else
#define UVOLT_EAGER_DICT 0
#endif

/* Since 3.13 asyncio sends empty datagrams, and counts 8 bytes more for each one that waits. */
#if PY_VERSION_HEX >= 0x030d0000
#define UVOLT_EMPTY_DATAGRAMS 1
#define UVOLT_DATAGRAM_HEADER 8
#else
#define UVOLT_EMPTY_DATAGRAMS 0
#define UVOLT_DATAGRAM_HEADER 0
#endif

/* Since 3.14 futures know the tasks that await them: one that is done has to be told. */
#if PY_VERSION_HEX < 0x030e0000
#define UVOLT_FUTURES_USED_AGAIN 1
#else
#define UVOLT_FUTURES_USED_AGAIN 0
#endif

/* Slots that newer versions ask of a multi-phase module. */
#if PY_VERSION_HEX >= 0x030c0000
#define UVOLT_SLOT_INTERPRETERS {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define UVOLT_SLOT_INTERPRETERS
#endif
#if PY_VERSION_HEX >= 0x030d0000
#define UVOLT_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define UVOLT_SLOT_GIL
#endif

/* The state of the module that defined `type` or one of its bases: also right for subclasses. */
#if PY_VERSION_HEX >= 0x030b0000
#define UVOLT_MODULE_BY_DEF(type, def) PyType_GetModuleByDef(type, def)
#else
#define UVOLT_MODULE_BY_DEF(type, def) _PyType_GetModuleByDef(type, def)
#endif

#endif
