/* handle.c - Handle and TimerHandle: a callback with its arguments and context.
 * Owns:    callback, arguments, context (strong), and its loop (strong).
 * Kept by: the ready ring, the due ring or the timer heap (one reference each), and the caller. The collector does not
 *          track one of call_soon() before the ring has let it go (handle_leave_ring).
 * Threads: the loop's; created from others by call_soon_threadsafe under the GIL.
 * PYCALL:  handle_run(), handle_cancel() in debug mode, repr. Nothing else runs Python code.
 * To isinstance() they are asyncio.Handle and asyncio.TimerHandle (by __class__): real inheritance
 * would cost nine unused slots in every call_soon. */
#include "core/handle.h"

#include "core/clock.h"

#define DEALLOCS_NESTED 32 /* of handles, one within another, before the next one waits for its turn */

/* ---- creation ------------------------------------------------------------------------------ */

/* Everything but the object itself. 0, or -1 with the members in a state that dealloc accepts. */
static inline int
handle_fill(HandleObject *h, LoopObject *loop, PyObject *callback, PyObject *const *args,
            Py_ssize_t nargs, PyObject *context)
{
    h->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    h->callback = Py_NewRef(callback);
    h->source_traceback = NULL;
    h->repr = NULL;
    h->weakrefs = NULL;
    h->flags = 0;
    h->nargs = 0;
    loop->st->c_handles_alive++;
    if (LIKELY(nargs <= HANDLE_INLINE_ARGS)) {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            h->args[i] = Py_NewRef(args[i]);
        }
        h->nargs = (uint32_t)nargs;
    }
    else {
        PyObject *tuple = PyTuple_New(nargs);
        if (tuple == NULL) {
            h->context = NULL;
            return -1;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
        }
        h->args[0] = tuple;
        h->nargs = 1;
        h->flags |= HANDLE_TUPLE;
    }
    h->context = context != NULL ? Py_NewRef(context) : PyContext_CopyCurrent();
    return h->context == NULL ? -1 : 0;
}

static COLD int
handle_note_origin(HandleObject *h)
{
    PyObject *support = h->loop->st->support;
    h->source_traceback = PyObject_CallMethod(support, "source_traceback", NULL);
    return h->source_traceback == NULL ? -1 : 0;
}

/* `rc` is what handle_fill() gave, and comes back. */
static inline int
handle_finish(HandleObject *h, int rc)
{
    if (UNLIKELY(h->loop->debug) && rc == 0) {
        return handle_note_origin(h);
    }
    return rc;
}

void
handle_track(HandleObject *h)
{
    h->flags |= HANDLE_TRACKED;
    PyObject_GC_Track(h);
}

HandleObject *
handle_new(LoopObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
           PyObject *context)
{
    HandleObject *h = handle_new_ready(loop, callback, args, nargs, context);
    if (LIKELY(h != NULL)) {
        handle_track(h);
    }
    return h;
}

HandleObject *
handle_new_ready(LoopObject *loop, PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
           PyObject *context)
{
    core_state *st = loop->st;
    HandleObject *h = pool_new(&st->handle_pool, st->handle_type);
    if (UNLIKELY(h == NULL)) {
        return NULL;
    }
    int rc = handle_fill(h, loop, callback, args, nargs, context);
    if (UNLIKELY(handle_finish(h, rc) < 0)) {
        Py_DECREF(h);
        return NULL;
    }
    return h;
}

TimerObject *
timer_new(LoopObject *loop, double when, PyObject *callback, PyObject *const *args,
          Py_ssize_t nargs, PyObject *context)
{
    core_state *st = loop->st;
    TimerObject *t = pool_new(&st->timer_pool, st->timer_type);
    if (UNLIKELY(t == NULL)) {
        return NULL;
    }
    int rc = handle_fill(&t->handle, loop, callback, args, nargs, context);
    t->handle.flags |= HANDLE_TIMER;
    t->node.when = when;
    t->node.seq = loop->timer_seq++;
    t->node.index = HEAP_OUT;
    handle_track(&t->handle);
    if (UNLIKELY(handle_finish(&t->handle, rc) < 0)) {
        Py_DECREF(t);
        return NULL;
    }
    return t;
}

/* ---- garbage ------------------------------------------------------------------------------- */

static int
handle_traverse(PyObject *op, visitproc visit, void *arg)
{
    HandleObject *self = (HandleObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->source_traceback);
    for (uint32_t i = 0; i < self->nargs; i++) {
        Py_VISIT(self->args[i]);
    }
    return 0;
}

int
handle_visit(HandleObject *h, visitproc visit, void *arg)
{
    Py_VISIT(h);
    int seen_through = !(h->flags & HANDLE_TRACKED) && Py_REFCNT(h) == 1;
    return seen_through ? handle_traverse((PyObject *)h, visit, arg) : 0;
}

static inline void
handle_drop_args(HandleObject *self)
{
    uint32_t n = self->nargs;
    self->nargs = 0;
    for (uint32_t i = 0; i < n; i++) {
        Py_DECREF(self->args[i]);
    }
}

/* `loop` stays until dealloc: methods of a cleared handle may still be called by other garbage. */
static int
handle_clear(PyObject *op)
{
    HandleObject *self = (HandleObject *)op;
    self->flags |= HANDLE_CANCELLED; /* it may be in a ring still */
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->source_traceback);
    Py_CLEAR(self->repr);
    handle_drop_args(self);
    return 0;
}

/* What a dying handle holds. PYCALL: finalizers. */
static inline void
handle_let_go(HandleObject *self)
{
    if (UNLIKELY(self->weakrefs != NULL)) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    handle_drop_args(self);
    Py_XDECREF(self->callback);
    Py_XDECREF(self->context);
    if (UNLIKELY(self->source_traceback != NULL || self->repr != NULL)) {
        Py_CLEAR(self->source_traceback);
        Py_CLEAR(self->repr);
    }
}

/* Its memory, and the loop, which keeps the module state. */
static inline void
handle_free(HandleObject *self, core_state *st)
{
    LoopObject *loop = self->loop;
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    st->c_handles_alive--;
    pool_give(self->flags & HANDLE_TIMER ? &st->timer_pool : &st->handle_pool, (PyObject *)self);
    Py_DECREF(loop);
    Py_DECREF(type);
}

/* `repr`, a string, makes room for the link. */
static COLD void
handle_defer(HandleObject *self, core_state *st)
{
    Py_XDECREF(self->repr);
    self->repr = st->handles_deferred;
    st->handles_deferred = (PyObject *)self;
}

/* The handles that were deferred, and those that they defer in turn. */
static COLD void
handle_free_deferred(core_state *st)
{
    HandleObject *h;
    st->handle_deallocs = 1;
    while ((h = (HandleObject *)st->handles_deferred) != NULL) {
        st->handles_deferred = h->repr;
        h->repr = NULL;
        handle_let_go(h);
        handle_free(h, st);
    }
    st->handle_deallocs = 0;
}

/* A handle can hold the one that ran before, by an argument or its callback, and that one the one before: they are
 * let go of in turn and not each within the other. Py_TRASHCAN_BEGIN would not do: it allows 10,000 frames on 3.13,
 * which is more than the stack of a small thread. */
static void
handle_dealloc(PyObject *op)
{
    HandleObject *self = (HandleObject *)op;
    core_state *st = self->loop->st;
    PyObject_GC_UnTrack(op);
    if (UNLIKELY(st->handle_deallocs >= DEALLOCS_NESTED)) {
        handle_defer(self, st);
        return;
    }
    st->handle_deallocs++;
    handle_let_go(self);
    if (--st->handle_deallocs == 0 && UNLIKELY(st->handles_deferred != NULL)) {
        handle_free_deferred(st);
    }
    handle_free(self, st);
}

/* ---- calling ------------------------------------------------------------------------------- */

/* The callback raised: the ones that must leave the loop stay set, others are reported. */
static COLD int
handle_failed(HandleObject *h)
{
    if (uvolt_error_is_fatal()) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *r = PyObject_CallMethod(h->loop->st->support, "callback_failed", "OOO",
                                      (PyObject *)h->loop, (PyObject *)h, exc);
    Py_XDECREF(exc);
    if (r == NULL) {
        if (uvolt_error_is_fatal()) {
            return -1;
        }
        PyErr_WriteUnraisable((PyObject *)h);
        return 0;
    }
    Py_DECREF(r);
    return 0;
}

static inline int
handle_call(HandleObject *h)
{
    PyObject *context = h->context;
    PyObject *result;
    if (UNLIKELY(PyContext_Enter(context) < 0)) {
        return handle_failed(h);
    }
    h->flags |= HANDLE_RUNNING;
    if (LIKELY(!(h->flags & HANDLE_TUPLE))) {
        result = PyObject_Vectorcall(h->callback, h->args,
                                     h->nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    else {
        result = PyObject_Call(h->callback, h->args[0], NULL);
    }
    h->flags &= ~(uint32_t)HANDLE_RUNNING;
    if (UNLIKELY(PyContext_Exit(context) < 0)) {
        Py_CLEAR(result);
    }
    if (UNLIKELY(result == NULL)) {
        return handle_failed(h);
    }
    Py_DECREF(result);
    return 0;
}

/* Debug mode: time it, and name it when it was slow. */
static COLD int
handle_call_debug(HandleObject *h)
{
    LoopObject *loop = h->loop;
    double start = clock_now();
    Py_XSETREF(loop->current_handle, Py_NewRef((PyObject *)h));
    int rc = handle_call(h);
    Py_CLEAR(loop->current_handle);
    double took = clock_now() - start;
    if (rc == 0 && took >= loop->slow_callback_duration) {
        PyObject *r =
            PyObject_CallMethod(loop->st->support, "slow_callback", "Od", (PyObject *)h, took);
        if (r == NULL) {
            return handle_failed(h);
        }
        Py_DECREF(r);
    }
    return rc;
}

int
handle_run(HandleObject *h)
{
    if (UNLIKELY(handle_is_cancelled(h))) { /* its callback is there still if it was cancelled while it ran */
        return 0;
    }
    return LIKELY(!h->loop->debug) ? handle_call(h) : handle_call_debug(h);
}

static void
handle_keep_repr(HandleObject *h)
{
    PyObject *raised = PyErr_GetRaisedException(); /* timers are cancelled on the way out of errors, too */
    h->repr = PyObject_Repr((PyObject *)h);
    if (h->repr == NULL) {
        PyErr_WriteUnraisable((PyObject *)h);
    }
    PyErr_SetRaisedException(raised);
}

void
handle_cancel(HandleObject *h)
{
    if (h->flags & HANDLE_CANCELLED) {
        return;
    }
    h->flags |= HANDLE_CANCELLED;
    if (UNLIKELY(h->loop->debug) && h->repr == NULL) {
        handle_keep_repr(h);
    }
    h->flags |= HANDLE_HIDDEN;
    if (h->flags & HANDLE_TIMER) {
        TimerObject *t = (TimerObject *)h;
        if (t->node.index != HEAP_OUT) {
            heap_remove(&h->loop->timers, &t->node);
            Py_DECREF(h); /* the heap's; the caller has one */
        }
    }
    if (!(h->flags & HANDLE_RUNNING)) {
        PyObject *callback = h->callback;
        h->callback = NULL;
        Py_XDECREF(callback);
        handle_drop_args(h);
    }
}

/* ---- methods ------------------------------------------------------------------------------- */

static PyObject *
handle_cancel_method(PyObject *op, PyObject *Py_UNUSED(unused))
{
    Py_INCREF(op);
    handle_cancel((HandleObject *)op);
    Py_DECREF(op);
    Py_RETURN_NONE;
}

static PyObject *
handle_cancelled_method(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(handle_is_cancelled((HandleObject *)op));
}

static PyObject *
handle_get_context(PyObject *op, PyObject *Py_UNUSED(unused))
{
    PyObject *context = ((HandleObject *)op)->context;
    return Py_NewRef(context != NULL ? context : Py_None);
}

static PyObject *
handle_run_method(PyObject *op, PyObject *Py_UNUSED(unused))
{
    Py_INCREF(op);
    int rc = handle_run((HandleObject *)op);
    Py_DECREF(op);
    if (rc < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* asyncio's own text: its Python methods work on anything with the same attributes. */
static PyObject *
handle_repr_info(PyObject *op, PyObject *Py_UNUSED(unused))
{
    HandleObject *self = (HandleObject *)op;
    core_state *st = self->loop->st;
    PyObject *owner = self->flags & HANDLE_TIMER ? st->AioTimerHandle : st->AioHandle;
    return PyObject_CallMethod(owner, "_repr_info", "O", op);
}

static PyObject *
handle_repr(PyObject *op)
{
    return PyObject_CallMethod(((HandleObject *)op)->loop->st->AioHandle, "__repr__", "O", op);
}

static PyObject *
timer_when(PyObject *op, PyObject *Py_UNUSED(unused))
{
    double when = ((TimerObject *)op)->node.when;
    return UNLIKELY(((HandleObject *)op)->flags & HANDLE_INTEGER) ? PyLong_FromDouble(when)
                                                                  : PyFloat_FromDouble(when);
}

static Py_hash_t
timer_hash(PyObject *op)
{
    PyObject *when = timer_when(op, NULL);
    if (when == NULL) {
        return -1;
    }
    Py_hash_t hash = PyObject_Hash(when);
    Py_DECREF(when);
    return hash;
}

/* a == b, where comparing may drop the last other reference to either. -1 on error. */
static int
equal_held(PyObject *a, PyObject *b)
{
    Py_INCREF(a);
    Py_INCREF(b);
    int equal = PyObject_RichCompareBool(a, b, Py_EQ);
    Py_DECREF(a);
    Py_DECREF(b);
    return equal;
}

/* As asyncio.TimerHandle.__eq__: same deadline, callback, arguments and state. -1 on error. */
static int
timer_equal(HandleObject *a, HandleObject *b)
{
    if (((TimerObject *)a)->node.when != ((TimerObject *)b)->node.when || a->nargs != b->nargs
        || ((a->flags ^ b->flags) & HANDLE_CANCELLED)) {
        return 0;
    }
    if (a->callback == NULL || b->callback == NULL) {
        return a->callback == b->callback;
    }
    int equal = equal_held(a->callback, b->callback);
    for (uint32_t i = 0; equal == 1 && i < a->nargs && i < b->nargs; i++) {
        equal = equal_held(a->args[i], b->args[i]);
    }
    return equal;
}

static PyObject *
timer_richcompare(PyObject *a, PyObject *b, int op)
{
    if (Py_TYPE(a) != Py_TYPE(b)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    double x = ((TimerObject *)a)->node.when, y = ((TimerObject *)b)->node.when;
    int equal = 0, result;
    if (op != Py_LT && op != Py_GT) {
        if ((equal = timer_equal((HandleObject *)a, (HandleObject *)b)) < 0) {
            return NULL;
        }
    }
    switch (op) {
    case Py_LT: result = x < y; break;
    case Py_LE: result = x < y || equal; break;
    case Py_GT: result = x > y; break;
    case Py_GE: result = x > y || equal; break;
    case Py_EQ: result = equal; break;
    default: result = !equal; break;
    }
    return PyBool_FromLong(result);
}

/* ---- attributes ---------------------------------------------------------------------------- */

static PyObject *
or_none(PyObject *value)
{
    return Py_NewRef(value != NULL ? value : Py_None);
}

static PyObject *
handle_get_class(PyObject *op, void *Py_UNUSED(closure))
{
    HandleObject *self = (HandleObject *)op;
    core_state *st = self->loop->st;
    return Py_NewRef(self->flags & HANDLE_TIMER ? st->AioTimerHandle : st->AioHandle);
}

static PyObject *
handle_get_callback(PyObject *op, void *Py_UNUSED(closure))
{
    HandleObject *self = (HandleObject *)op;
    return or_none(self->flags & HANDLE_HIDDEN ? NULL : self->callback);
}

static PyObject *
handle_get_args(PyObject *op, void *Py_UNUSED(closure))
{
    HandleObject *self = (HandleObject *)op;
    if (self->flags & HANDLE_HIDDEN) {
        Py_RETURN_NONE;
    }
    if (self->flags & HANDLE_TUPLE && self->nargs) {
        return Py_NewRef(self->args[0]);
    }
    PyObject *a = self->nargs > 0 ? self->args[0] : NULL;
    PyObject *b = self->nargs > 1 ? self->args[1] : NULL;
    PyObject *c = self->nargs > 2 ? self->args[2] : NULL;
    return PyTuple_Pack(self->nargs, a, b, c);
}

static PyObject *
handle_get_context_attr(PyObject *op, void *Py_UNUSED(closure))
{
    return handle_get_context(op, NULL);
}

static PyObject *
handle_get_loop(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)((HandleObject *)op)->loop);
}

static PyObject *
handle_get_cancelled(PyObject *op, void *Py_UNUSED(closure))
{
    return handle_cancelled_method(op, NULL);
}

static PyObject *
handle_get_traceback(PyObject *op, void *Py_UNUSED(closure))
{
    return or_none(((HandleObject *)op)->source_traceback);
}

static PyObject *
handle_get_repr(PyObject *op, void *Py_UNUSED(closure))
{
    return or_none(((HandleObject *)op)->repr);
}

static PyObject *
timer_get_when(PyObject *op, void *Py_UNUSED(closure))
{
    return timer_when(op, NULL);
}

static PyObject *
timer_get_scheduled(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((TimerObject *)op)->node.index != HEAP_OUT);
}

/* ---- types --------------------------------------------------------------------------------- */

static PyMethodDef handle_methods[] = {
    {"cancel", handle_cancel_method, METH_NOARGS,
     "cancel($self, /)\n--\n\nDo not run the callback. No effect if it has run or was cancelled."},
    {"cancelled", handle_cancelled_method, METH_NOARGS,
     "cancelled($self, /)\n--\n\nTrue if cancel() was called."},
    {"get_context", handle_get_context, METH_NOARGS,
     "get_context($self, /)\n--\n\nThe contextvars.Context that the callback runs in."},
    {"_run", handle_run_method, METH_NOARGS,
     "_run($self, /)\n--\n\nCall the callback now, as the loop does."},
    {"_repr_info", handle_repr_info, METH_NOARGS, "_repr_info($self, /)\n--\n\nParts of repr()."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef handle_getset[] = {
    {"__class__", handle_get_class, NULL, "What isinstance() sees: asyncio's class.", NULL},
    {"_callback", handle_get_callback, NULL, NULL, NULL},
    {"_args", handle_get_args, NULL, NULL, NULL},
    {"_context", handle_get_context_attr, NULL, NULL, NULL},
    {"_loop", handle_get_loop, NULL, NULL, NULL},
    {"_cancelled", handle_get_cancelled, NULL, NULL, NULL},
    {"_source_traceback", handle_get_traceback, NULL, NULL, NULL},
    {"_repr", handle_get_repr, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef handle_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(HandleObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, "A queued callback. Made by call_soon() and add_reader(); see asyncio.Handle."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, handle_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_getset},
    {Py_tp_members, handle_members},
    {0, NULL},
};

PyType_Spec handle_spec = {
    .name = "uvolt._core.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handle_slots,
};

static PyMethodDef timer_methods[] = {
    {"when", timer_when, METH_NOARGS,
     "when($self, /)\n--\n\nThe deadline in seconds, on the clock of loop.time()."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef timer_getset[] = {
    {"_when", timer_get_when, NULL, NULL, NULL},
    {"_scheduled", timer_get_scheduled, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "A callback with a deadline. Made by call_later(); see asyncio.TimerHandle."},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_hash, timer_hash},
    {Py_tp_richcompare, timer_richcompare},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {0, NULL},
};

PyType_Spec timer_spec = {
    .name = "uvolt._core.TimerHandle",
    .basicsize = sizeof(TimerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = timer_slots,
};
