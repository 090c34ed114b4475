/* spare.h - bytes objects for what was read, made and let go at the cost of a small object.
 *
 * Beyond pymalloc's sizes a bytes object costs a trip to malloc and back, for messages just over 1 KiB
 * (glibc's tcache ends there) as much as the rest of the read. So the last one is kept if nobody else has a
 * reference to it, and becomes the next one of the same size. Threads: the loop's. */
#ifndef UVOLT_CORE_SPARE_H
#define UVOLT_CORE_SPARE_H

#include "core/loop.h"

#define SPARE_MIN 512

static inline PyObject *
spare_take(LoopObject *loop, Py_ssize_t n)
{
    PyObject *bytes = loop->spare;
    if (bytes == NULL || PyBytes_GET_SIZE(bytes) != n) {
        return NULL;
    }
    loop->spare = NULL;
    /* A change of size is what makes _PyBytes_Resize() forget a hash that was computed. */
    Py_SET_SIZE(bytes, n + 1);
    if (_PyBytes_Resize(&bytes, n) < 0) {
        PyErr_Clear();
    }
    return bytes;
}

/* The n bytes at base as an object. New reference, or NULL. */
static inline PyObject *
spare_bytes(LoopObject *loop, const char *base, Py_ssize_t n)
{
    PyObject *bytes = n > SPARE_MIN ? spare_take(loop, n) : NULL;
    if (bytes == NULL) {
        return PyBytes_FromStringAndSize(base, n);
    }
    memcpy(PyBytes_AS_STRING(bytes), base, (size_t)n);
    return bytes;
}

/* Give up the reference to what spare_bytes() made. */
static inline void
spare_release(LoopObject *loop, PyObject *bytes)
{
    if (PyBytes_GET_SIZE(bytes) > SPARE_MIN && Py_REFCNT(bytes) == 1 && UVOLT_POOL_MAX > 0) {
        Py_XSETREF(loop->spare, bytes);
        return;
    }
    Py_DECREF(bytes);
}

#endif
