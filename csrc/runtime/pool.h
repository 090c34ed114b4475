/* pool.h - memory of objects that come and go all the time, parked and used again.
 *
 * Objects of one heap type with a collector's header and one size. A parked one is raw memory whose first
 * member after PyObject_HEAD links to the next. Bounded, and empty under sanitizers. */
#ifndef UVOLT_RUNTIME_POOL_H
#define UVOLT_RUNTIME_POOL_H

#include "base/compat.h"
#include "base/compiler.h"

typedef struct pool {
    PyObject *head; /* raw memory */
    Py_ssize_t count;
} pool;

static inline PyObject **
pool_link(PyObject *op)
{
    return (PyObject **)(void *)(op + 1);
}

/* A new object, not tracked, with members as they happen to be. NULL with MemoryError. */
static inline void *
pool_new(pool *p, PyTypeObject *type)
{
    PyObject *op = p->head;
    if (UNLIKELY(op == NULL)) {
        return PyObject_GC_New(PyObject, type);
    }
    p->head = *pool_link(op);
    p->count--;
    return PyObject_Init(op, type);
}

/* The memory of an object that is untracked and has let go of all but its type. */
static inline void
pool_give(pool *p, PyObject *op)
{
    if (p->count >= UVOLT_POOL_MAX) {
        PyObject_GC_Del(op);
        return;
    }
    *pool_link(op) = p->head;
    p->head = op;
    p->count++;
}

/* Before the type goes: freeing an object looks at its type. Nothing is parked from now on. */
static inline void
pool_close(pool *p)
{
    PyObject *op;
    while ((op = p->head) != NULL) {
        p->head = *pool_link(op);
        PyObject_GC_Del(op);
    }
    p->count = PY_SSIZE_T_MAX;
}

#endif
