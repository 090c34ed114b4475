/* coro.h - a coroutine written in C: the base of what the awaitable methods of the layers above return.
 *
 * A type whose struct begins with CoroObject, and that has the slots and methods below, behaves as a coroutine of
 * Python does: nothing happens before the first step; send, throw and close; the same errors when it is used twice;
 * a warning if it was never awaited. What runs is `kind->step`, a state machine that says what to await next.
 * CallObject is a type ready for use: a call of a method with up to two arguments and a number. */
#ifndef UVOLT_CORE_CORO_H
#define UVOLT_CORE_CORO_H

#include "core/loop.h"

struct waiter; /* core/waiter.h */

typedef struct CoroObject CoroObject;

typedef enum { CORO_ERROR = -1, CORO_WAIT = 0, CORO_DONE = 1 } coro_outcome;

enum { CORO_CREATED, CORO_RUNNING, CORO_WAITING, CORO_OVER };

typedef struct coro_kind {
    const char *name; /* qualified: "ClientResponse.read" */
    /* One step. The first: value is NULL and no exception is set. Then what came of the last coro_await(): `value`,
     * borrowed, is its result; NULL: the exception that is set, which it raised or which was thrown in
     * (CancelledError, GeneratorExit), and which the step handles or passes on by CORO_ERROR.
     * CORO_DONE: *result is a new reference. CORO_WAIT: after coro_await(). PYCALL. */
    coro_outcome (*step)(CoroObject *c, PyObject *value, PyObject **result);
    /* It is over, however that came: let go of all. Once; PYCALL allowed, no exception comes out. */
    void (*end)(CoroObject *c);
} coro_kind;

struct CoroObject {
    PyObject_HEAD
    LoopObject *loop;      /* strong, until it is freed */
    const coro_kind *kind;
    PyObject *wait;        /* strong: the iterator of what is awaited now, or NULL */
    struct waiter *fast;   /* raw: what is awaited now by coro_wait(), or NULL */
    PyObject *weakrefs;
    char state;
    char finalized;        /* its memory is not used again */
    char quiet;            /* if it is never awaited, what it was going to await warns of that */
};

/* A call of an awaitable method: owner, arguments. All may be NULL; `end` clears them. */
typedef struct CallObject {
    CoroObject coro;
    PyObject *owner;       /* strong */
    PyObject *arg, *extra; /* strong */
    Py_ssize_t n;
    int phase;             /* the step's own, 0 at first */
} CallObject;

extern PyType_Spec call_spec;   /* _core.Coroutine */
extern PyType_Spec noop_spec;   /* _core.Noop */

/* New references to the arguments are taken. Runs nothing yet. kind->end may be NULL. */
PyObject *call_new(LoopObject *loop, const coro_kind *kind, PyObject *owner, PyObject *arg, PyObject *extra,
                   Py_ssize_t n);

/* An awaitable that is done at once and gives None, as often as one likes. New reference. */
static inline PyObject *
coro_noop(core_state *st)
{
    return Py_NewRef(st->noop);
}

/* In a step: await this next (a Future, a coroutine, anything awaitable) and return CORO_WAIT. Its steps are passed
 * through, and what is sent and thrown to us goes to it. 0, or -1 with an exception. PYCALL. */
int coro_await(CoroObject *c, PyObject *awaitable);

/* The same for somebody in C, who ends it by waiter_wake(); costs less than a future. `w` must stay where it is until
 * the next step or the end. 0, or -1 with an exception. PYCALL. */
int coro_wait(CoroObject *c, struct waiter *w);

/* ---- for types of one's own: a struct that begins with CoroObject */
/* The members of the base. Not tracked yet. A new reference to the loop is taken. */
void coro_init(CoroObject *c, LoopObject *loop, const coro_kind *kind);
/* First in dealloc: 0 and untracked, or -1 if it came to life again. Then clear, then coro_free(). */
int coro_dealloc_begin(PyObject *self);
void coro_free(PyObject *self, pool *p);
int coro_traverse(PyObject *self, visitproc visit, void *arg);
void coro_clear(CoroObject *c);

void coro_finalize(PyObject *self);                                     /* Py_tp_finalize */
PyObject *coro_repr(PyObject *self);                                    /* Py_tp_repr */
PyObject *coro_iternext(PyObject *self);                                /* Py_tp_iternext */
PyObject *coro_await_slot(PyObject *self);                              /* Py_am_await */
PySendResult coro_am_send(PyObject *self, PyObject *arg, PyObject **result); /* Py_am_send */
PyObject *coro_send(PyObject *self, PyObject *arg);
PyObject *coro_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *coro_close(PyObject *self, PyObject *unused);
PyObject *coro_get_name(PyObject *self, void *qualified);
PyObject *coro_get_running(PyObject *self, void *closure);
PyObject *coro_get_await(PyObject *self, void *closure);

/* tp_iter: for `yield from` in generators that are coroutines by types.coroutine(). */
#define CORO_SLOTS                                                                                 \
    {Py_tp_finalize, coro_finalize}, {Py_tp_repr, coro_repr}, {Py_tp_iter, coro_await_slot},       \
        {Py_tp_iternext, coro_iternext}, {Py_am_await, coro_await_slot}, {Py_am_send, coro_am_send}
#define CORO_METHODS                                                                               \
    {"send", coro_send, METH_O, "send($self, value, /)\n--\n\nOne step; None for the first."},     \
        {"throw", FAST(coro_throw), METH_FASTCALL,                                                 \
         "throw($self, typ, val=None, tb=None, /)\n--\n\nOne step, with an exception."},           \
        {"close", coro_close, METH_NOARGS, "close($self, /)\n--\n\nEnd it."}
#define CORO_GETSET                                                                                \
    {"__name__", coro_get_name, NULL, "The method's.", NULL},                                      \
        {"__qualname__", coro_get_name, NULL, "The method's.", "qualified"},                       \
        {"cr_running", coro_get_running, NULL, "In a step.", NULL},                                \
        {"cr_await", coro_get_await, NULL, "What it waits for, or None.", NULL}
#define CORO_MEMBERS                                                                               \
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CoroObject, weakrefs), READONLY, NULL}

/* ---- what iterators and coroutines in C have in common */
/* A step's outcome as an iterator tells it: the value, or NULL with StopIteration or the error. Steals `result`. */
PyObject *coro_as_iterator(PySendResult sent, PyObject *result);
/* throw(type[, value[, traceback]]) as an exception object. New reference, or NULL with TypeError. */
PyObject *coro_thrown(PyObject *const *args, Py_ssize_t nargs);
/* The error of a step that `state` forbids. Always PYGEN_ERROR. */
PySendResult coro_refuse(int state);

int coro_setup(core_state *st); /* once the types are there; 0 or -1 */

/* For tests: coroutine(loop, awaitable) awaits that. */
PyObject *coro_delegate(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

#endif
