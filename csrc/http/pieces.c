/* pieces.c - bytes that wait to be taken: a queue of bytes objects. Contract in pieces.h. */
#include "http/pieces.h"

#define FEW 16       /* that many pieces are kept as they came */
#define SHARED 8192  /* bytes: of an object for several small ones */

/* ---- the queue ----------------------------------------------------------------------------- */

static PyObject *
last_of(const pieces *p)
{
    const ring *r = &p->rest;
    return r->count == 0 ? p->first : r->slots[(r->head + r->count - 1) & r->mask];
}

static void
set_last(pieces *p, PyObject *bytes)
{
    ring *r = &p->rest;
    if (r->count == 0) {
        p->first = bytes;
    }
    else {
        r->slots[(r->head + r->count - 1) & r->mask] = bytes;
    }
}

/* The object is stolen, also on failure. */
static int
push(pieces *p, PyObject *bytes)
{
    if (p->first == NULL) {
        p->first = bytes;
    }
    else if (ring_push(&p->rest, bytes) < 0) {
        Py_DECREF(bytes);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* The first piece, which leaves the queue. New reference. */
static PyObject *
pop(pieces *p)
{
    PyObject *bytes = p->first;
    p->first = p->rest.count > 0 ? ring_pop(&p->rest) : NULL;
    p->offset = 0;
    if (p->first == NULL) {
        p->tail_room = 0;
        ring_trim(&p->rest);
    }
    return bytes;
}

void
pieces_clear(pieces *p)
{
    while (p->first != NULL) {
        Py_DECREF(pop(p));
    }
    p->size = 0;
}

void
pieces_free(pieces *p)
{
    pieces_clear(p);
    free(p->rest.slots);
    memset(&p->rest, 0, sizeof(p->rest));
}

/* ---- in ------------------------------------------------------------------------------------ */

/* The last object is cut to what is written in it. -1: out of memory, it is lost. */
static int
close_tail(pieces *p)
{
    if (p->tail_room == 0) {
        return 0;
    }
    PyObject *bytes = last_of(p);
    Py_ssize_t n = PyBytes_GET_SIZE(bytes) - (Py_ssize_t)p->tail_room;
    if (n == 0) { /* reserved, and nothing came */
        Py_DECREF(bytes);
        if (p->rest.count > 0) {
            p->rest.count--;
        }
        else {
            p->first = NULL;
        }
        p->tail_room = 0;
        return 0;
    }
    p->tail_room = 0;
    if (_PyBytes_Resize(&bytes, n) < 0) { /* it is gone */
        if (p->rest.count > 0) {
            p->rest.count--;
            p->size -= (size_t)n;
        }
        else {
            p->first = NULL;
            p->size = p->offset = 0;
        }
        return -1;
    }
    set_last(p, bytes);
    return 0;
}

void
pieces_give_room(pieces *p, PyObject *bytes)
{
    p->first = bytes;
    p->tail_room = (size_t)PyBytes_GET_SIZE(bytes);
}

static int
add_room(pieces *p, size_t n)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (bytes == NULL || push(p, bytes) < 0) {
        return -1;
    }
    p->tail_room = n;
    return 0;
}

/* The only piece gets larger, where it stands if malloc can do that. */
static int
grow_only(pieces *p, size_t n)
{
    PyObject *bytes = p->first;
    size_t had = (size_t)PyBytes_GET_SIZE(bytes);
    size_t more = had > n ? had : n;
    p->first = NULL;
    if (more > PY_SSIZE_T_MAX / 2 - had) {
        more = n;
    }
    if (_PyBytes_Resize(&bytes, (Py_ssize_t)(had + more)) < 0) {
        p->size = p->offset = p->tail_room = 0;
        return -1;
    }
    p->first = bytes;
    p->tail_room = more;
    return 0;
}

int
pieces_reserve(pieces *p, size_t hint, int grow, char **base, size_t *room)
{
    if (p->tail_room == 0) {
        int only = grow && p->first != NULL && p->rest.count == 0 && Py_REFCNT(p->first) == 1;
        if ((only ? grow_only(p, hint) : add_room(p, hint)) < 0) {
            return -1;
        }
    }
    PyObject *bytes = last_of(p);
    *room = p->tail_room;
    *base = PyBytes_AS_STRING(bytes) + PyBytes_GET_SIZE(bytes) - p->tail_room;
    return 0;
}

void
pieces_commit(pieces *p, size_t n)
{
    p->tail_room -= n;
    p->size += n;
}

int
pieces_append(pieces *p, const char *base, size_t n)
{
    while (n > 0) {
        char *to;
        size_t room, want = pieces_count(p) >= FEW && n < SHARED ? SHARED : n;
        if (pieces_reserve(p, want, 0, &to, &room) < 0) {
            return -1;
        }
        size_t part = n < room ? n : room;
        memcpy(to, base, part);
        pieces_commit(p, part);
        base += part;
        n -= part;
    }
    return 0;
}

int
pieces_push(pieces *p, PyObject *bytes)
{
    if (pieces_count(p) >= FEW && PyBytes_GET_SIZE(bytes) < SHARED) {
        return pieces_append(p, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    }
    if (close_tail(p) < 0 || push(p, Py_NewRef(bytes)) < 0) {
        return -1;
    }
    p->size += (size_t)PyBytes_GET_SIZE(bytes);
    return 0;
}

int
pieces_unshift(pieces *p, PyObject *bytes)
{
    if (close_tail(p) < 0 || p->first == NULL) {
        return p->first == NULL ? pieces_push(p, bytes) : -1;
    }
    if (p->offset > 0) {
        PyObject *left = PyBytes_FromStringAndSize(PyBytes_AS_STRING(p->first) + p->offset,
                                                   PyBytes_GET_SIZE(p->first) - (Py_ssize_t)p->offset);
        if (left == NULL) {
            return -1;
        }
        Py_SETREF(p->first, left);
        p->offset = 0;
    }
    if (ring_unshift(&p->rest, p->first) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    p->first = Py_NewRef(bytes);
    p->size += (size_t)PyBytes_GET_SIZE(bytes);
    return 0;
}

/* ---- out ----------------------------------------------------------------------------------- */

const char *
pieces_at(const pieces *p, size_t i, size_t *n)
{
    const ring *r = &p->rest;
    PyObject *bytes = i == 0 ? p->first : r->slots[(r->head + i - 1) & r->mask];
    size_t skip = i == 0 ? p->offset : 0;
    *n = (size_t)PyBytes_GET_SIZE(bytes) - skip - (i == r->count ? p->tail_room : 0);
    return PyBytes_AS_STRING(bytes) + skip;
}

size_t
pieces_first_len(const pieces *p)
{
    size_t n = 0;
    if (p->first != NULL) {
        pieces_at(p, 0, &n);
    }
    return n;
}

size_t
pieces_peek(const pieces *p, char *out, size_t n)
{
    size_t done = 0, count = pieces_count(p);
    for (size_t i = 0; i < count && done < n; i++) {
        size_t len;
        const char *base = pieces_at(p, i, &len);
        size_t part = len < n - done ? len : n - done;
        memcpy(out + done, base, part);
        done += part;
    }
    return done;
}

void
pieces_drop(pieces *p, size_t n)
{
    p->size -= n;
    while (n > 0) {
        size_t len = pieces_first_len(p);
        if (n < len) {
            p->offset += n;
            return;
        }
        Py_DECREF(pop(p));
        n -= len;
    }
}

PyObject *
pieces_take(pieces *p, size_t n)
{
    if (n > p->size) {
        n = p->size;
    }
    if (n > 0 && p->offset == 0 && pieces_first_len(p) == n) {
        if (p->rest.count == 0 && close_tail(p) < 0) {
            return NULL;
        }
        p->size -= n;
        return pop(p);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (bytes != NULL && n > 0) {
        pieces_peek(p, PyBytes_AS_STRING(bytes), n);
        pieces_drop(p, n);
    }
    return bytes;
}
