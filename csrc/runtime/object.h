/* object.h - how the life of an object ends, for the types whose finalizer may bring it back. */
#ifndef UVOLT_RUNTIME_OBJECT_H
#define UVOLT_RUNTIME_OBJECT_H

#include "base/compat.h"

/* First in tp_dealloc: finalizer, collector, weak references. -1: it lives again, leave it. PYCALL. */
static inline int
object_dealloc_begin(PyObject *op, PyObject *const *weakrefs)
{
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return -1;
    }
    PyObject_GC_UnTrack(op);
    if (*weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    return 0;
}

/* Last: its memory, then what was kept for that long: its loop (NULL for none) and its type. */
static inline void
object_dealloc_end(PyObject *op, void *loop)
{
    PyTypeObject *type = Py_TYPE(op);
    type->tp_free(op);
    Py_XDECREF((PyObject *)loop);
    Py_DECREF(type);
}

/* In the finalizer of a transport: ResourceWarning. The caller keeps the exception that is set. PYCALL. */
static inline void
object_warn_unclosed(PyObject *transport)
{
    if (PyErr_ResourceWarning(transport, 1, "unclosed transport %R", transport) < 0) {
        PyErr_WriteUnraisable(transport);
    }
}

#endif
