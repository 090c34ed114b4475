/* large.c - large bytes objects whose memory is used again; see large.h.
 * Owns:    loop->large: references to the objects that were given out last, oldest first.
 * Threads: the loop's. No Python code runs. */
#include "core/large.h"

#include "core/deadline.h"

#define COUNT 16
#define TOTAL (16 << 20) /* bytes in all */
#define SWEEP 1.0        /* seconds */

typedef struct entry {
    PyObject *bytes; /* strong */
    int swept;       /* it was there when the last sweep went by */
} entry;

typedef struct large_bytes {
    deadline sweep;
    LoopObject *loop; /* borrowed: who has this */
    int count;
    size_t size; /* bytes of all */
    entry entries[COUNT];
} large_bytes;

/* Take entry i out. Its reference. */
static PyObject *
take_out(large_bytes *l, int i)
{
    PyObject *bytes = l->entries[i].bytes;
    l->size -= (size_t)PyBytes_GET_SIZE(bytes);
    l->count--;
    memmove(l->entries + i, l->entries + i + 1, (size_t)(l->count - i) * sizeof(entry));
    return bytes;
}

static void
set_sweep(large_bytes *l)
{
    if (deadline_set_in(l->loop, &l->sweep, SWEEP) < 0) {
        PyErr_Clear(); /* the next one that is kept tries again */
    }
}

/* What was of no use since the last time goes, also if the program has it still. */
static void
sweep(deadline *d)
{
    large_bytes *l = CONTAINER_OF(d, large_bytes, sweep);
    for (int i = l->count - 1; i >= 0; i--) {
        if (l->entries[i].swept) {
            Py_DECREF(take_out(l, i));
        }
        else {
            l->entries[i].swept = 1;
        }
    }
    if (l->count > 0) {
        set_sweep(l);
    }
}

static large_bytes *
make(LoopObject *loop)
{
    large_bytes *l = loop->large = calloc(1, sizeof(*l));
    if (l != NULL) {
        l->loop = loop;
        deadline_init(&l->sweep, sweep);
    }
    return l;
}

PyObject *
large_take(LoopObject *loop, Py_ssize_t n)
{
    large_bytes *l = loop->large;
    for (int i = l == NULL ? 0 : l->count; i-- > 0;) { /* the latest first: it may be in the processor's cache */
        PyObject *bytes = l->entries[i].bytes;
        if (PyBytes_GET_SIZE(bytes) == n && Py_REFCNT(bytes) == 1) {
            take_out(l, i);
            /* A change of size is what makes _PyBytes_Resize() forget a hash that was computed. */
            Py_SET_SIZE(bytes, n + 1);
            if (_PyBytes_Resize(&bytes, n) < 0) {
                PyErr_Clear();
            }
            return bytes;
        }
    }
    return NULL;
}

void
large_keep(LoopObject *loop, PyObject *bytes)
{
    size_t n = (size_t)PyBytes_GET_SIZE(bytes);
    large_bytes *l = loop->large;
    if (n < LARGE_MIN || n > TOTAL || UVOLT_POOL_MAX == 0 || !PyBytes_CheckExact(bytes) || loop->closed) {
        return;
    }
    if (l == NULL && (l = make(loop)) == NULL) {
        return;
    }
    while (l->count == COUNT || l->size + n > TOTAL) {
        Py_DECREF(take_out(l, 0));
    }
    l->entries[l->count++] = (entry){Py_NewRef(bytes), 0};
    l->size += n;
    if (!deadline_is_set(&l->sweep)) {
        set_sweep(l);
    }
}

void
large_free(LoopObject *loop)
{
    large_bytes *l = loop->large;
    if (l == NULL) {
        return;
    }
    loop->large = NULL;
    deadline_clear(loop, &l->sweep);
    while (l->count > 0) {
        Py_DECREF(take_out(l, 0));
    }
    free(l);
}
