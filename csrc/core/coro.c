/* coro.c - a coroutine written in C: steps, delegation, errors, and the type for a call of a method.
 *
 * Owns:    what it awaits, its loop, and what the type above it adds. Kept by: whoever awaits it.
 * Threads: the loop's. PYCALL: send, throw, close, and the finalizer of one that is not over. */
#include "core/coro.h"

#include "core/waiter.h"

/* ---- life ---------------------------------------------------------------------------------- */

void
coro_init(CoroObject *c, LoopObject *loop, const coro_kind *kind)
{
    c->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    c->kind = kind;
    c->wait = c->weakrefs = NULL;
    c->fast = NULL;
    c->state = CORO_CREATED;
    c->finalized = c->quiet = 0;
}

int
coro_traverse(PyObject *self, visitproc visit, void *arg)
{
    CoroObject *c = (CoroObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->loop);
    Py_VISIT(c->wait);
    return 0;
}

static inline void
end_fast(CoroObject *c)
{
    waiter *w = c->fast;
    if (w != NULL) {
        c->fast = NULL;
        waiter_clear(w);
    }
}

/* `loop` stays until it is freed: it has the state. */
void
coro_clear(CoroObject *c)
{
    end_fast(c);
    Py_CLEAR(c->wait);
}

/* The wait is over. */
static inline void
end_wait(CoroObject *c)
{
    end_fast(c);
    Py_CLEAR(c->wait);
}

/* What it held is let go now, as a coroutine's frame is. */
static void
become_over(CoroObject *c)
{
    c->state = CORO_OVER;
    end_wait(c);
    if (c->kind->end != NULL) {
        c->kind->end(c);
    }
    Py_TYPE((PyObject *)c)->tp_clear((PyObject *)c);
}

static COLD void
warn_never_awaited(CoroObject *c)
{
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%s' was never awaited", c->kind->name) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}

void
coro_finalize(PyObject *self)
{
    CoroObject *c = (CoroObject *)self;
    c->finalized = 1;
    if (c->state == CORO_OVER) {
        return;
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (c->state == CORO_CREATED) {
        if (!c->quiet) {
            warn_never_awaited(c);
        }
        become_over(c);
    }
    else if (c->state == CORO_WAITING) {
        PyObject *r = coro_close(self, NULL);
        if (r == NULL) {
            PyErr_WriteUnraisable(self);
        }
        Py_XDECREF(r);
    }
    PyErr_SetRaisedException(exc);
}

int
coro_dealloc_begin(PyObject *self)
{
    CoroObject *c = (CoroObject *)self;
    if (UNLIKELY(c->state != CORO_OVER && !c->finalized) && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return -1;
    }
    PyObject_GC_UnTrack(self);
    if (UNLIKELY(c->weakrefs != NULL)) {
        PyObject_ClearWeakRefs(self);
    }
    return 0;
}

/* A finalized one carries the collector's mark of it, and would not be finalized again. */
void
coro_free(PyObject *self, pool *p)
{
    CoroObject *c = (CoroObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    LoopObject *loop = c->loop;
    if (UNLIKELY(c->finalized)) {
        PyObject_GC_Del(self);
    }
    else {
        pool_give(p, self);
    }
    Py_DECREF(loop);
    Py_DECREF(type);
}

/* ---- what is awaited ----------------------------------------------------------------------- */

/* A generator made a coroutine by types.coroutine(). */
static int
is_generator_coroutine(PyObject *o)
{
    if (!PyGen_CheckExact(o)) {
        return 0;
    }
    PyObject *code = PyObject_GetAttrString(o, "gi_code");
    PyObject *flags = code == NULL ? NULL : PyObject_GetAttrString(code, "co_flags");
    long bits = flags == NULL ? 0 : PyLong_AsLong(flags);
    Py_XDECREF(code);
    Py_XDECREF(flags);
    PyErr_Clear();
    return (bits & CO_ITERABLE_COROUTINE) != 0;
}

/* As the interpreter's `await` gets it. New reference, or NULL with TypeError. PYCALL. */
static PyObject *
awaitable_iterator(PyObject *o)
{
    PyAsyncMethods *async = Py_TYPE(o)->tp_as_async;
    if (async == NULL || async->am_await == NULL) {
        if (is_generator_coroutine(o)) {
            return Py_NewRef(o);
        }
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression", Py_TYPE(o)->tp_name);
        return NULL;
    }
    PyObject *iterator = async->am_await(o);
    if (iterator == NULL) {
        return NULL;
    }
    if (PyCoro_CheckExact(iterator)) {
        PyErr_SetString(PyExc_TypeError, "__await__() returned a coroutine");
        Py_CLEAR(iterator);
    }
    else if (!PyIter_Check(iterator)) {
        PyErr_Format(PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'",
                     Py_TYPE(iterator)->tp_name);
        Py_CLEAR(iterator);
    }
    return iterator;
}

int
coro_await(CoroObject *c, PyObject *awaitable)
{
    PyObject *iterator = PyCoro_CheckExact(awaitable) ? Py_NewRef(awaitable) : awaitable_iterator(awaitable);
    if (iterator == NULL) {
        return -1;
    }
    Py_XSETREF(c->wait, iterator);
    return 0;
}

int
coro_wait(CoroObject *c, waiter *w)
{
    if (waiter_start(w, c->loop) < 0) {
        return -1;
    }
    Py_CLEAR(c->wait);
    c->fast = w;
    return 0;
}

static inline PyObject *
awaited(const CoroObject *c)
{
    return c->fast != NULL ? c->fast->iterator : c->wait;
}

/* Send it what we were sent. */
static PySendResult
send_into(CoroObject *c, PyObject *arg, PyObject **value)
{
    if (c->fast != NULL) {
        int taken = waiter_take(c->fast, c->loop);
        if (taken != 0) {
            *value = taken > 0 ? Py_NewRef(Py_None) : NULL;
            return taken > 0 ? PYGEN_RETURN : PYGEN_ERROR;
        }
    }
    return PyIter_Send(awaited(c), arg, value);
}

/* A call of wait.throw() has returned. */
static PySendResult
thrown_outcome(PyObject *answer, PyObject **value)
{
    *value = answer;
    if (answer != NULL) {
        return PYGEN_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return PYGEN_ERROR;
    }
    PyObject *stop = PyErr_GetRaisedException();
    *value = PyObject_GetAttrString(stop, "value");
    Py_DECREF(stop);
    return *value == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

/* Throw `exc`, which is stolen, into what is awaited, as `await` passes it on. */
static PySendResult
throw_into(CoroObject *c, PyObject *exc, PyObject **value)
{
    *value = NULL;
    if (c->fast != NULL) {
        PyErr_SetRaisedException(exc);
        return PYGEN_ERROR;
    }
    PyObject *wait = Py_NewRef(c->wait), *method = NULL, *answer = NULL;
    PySendResult sent = PYGEN_ERROR;
    int leave = PyErr_GivenExceptionMatches(exc, PyExc_GeneratorExit);
    core_state *st = c->loop->st;
    int found = PyObject_GetOptionalAttr(wait, leave ? st->n_close : st->n_throw, &method);
    if (found > 0) {
        answer = leave ? PyObject_CallNoArgs(method) : PyObject_CallOneArg(method, exc);
        Py_DECREF(method);
    }
    if (found < 0 || (leave && found > 0 && answer == NULL)) {
        Py_DECREF(exc);
    }
    else if (leave || found == 0) {
        Py_XDECREF(answer);
        PyErr_SetRaisedException(exc);
    }
    else {
        Py_DECREF(exc);
        sent = thrown_outcome(answer, value);
    }
    Py_DECREF(wait);
    return sent;
}

/* ---- steps --------------------------------------------------------------------------------- */

COLD PySendResult
coro_refuse(int state)
{
    if (state == CORO_OVER) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    else if (state == CORO_RUNNING) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    }
    else {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
    }
    return PYGEN_ERROR;
}

/* StopIteration may not leave a coroutine: it would be taken for its result. */
static COLD PyObject *
wrap_stop(PyObject *stop)
{
    PyErr_SetString(PyExc_RuntimeError, "coroutine raised StopIteration");
    PyObject *exc = PyErr_GetRaisedException();
    PyException_SetCause(exc, Py_NewRef(stop));
    PyException_SetContext(exc, stop);
    return exc;
}

static PySendResult
end_with(CoroObject *c, coro_outcome outcome)
{
    if (LIKELY(outcome == CORO_DONE)) {
        become_over(c);
        return PYGEN_RETURN;
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (exc != NULL && UNLIKELY(PyErr_GivenExceptionMatches(exc, PyExc_StopIteration))) {
        exc = wrap_stop(exc);
    }
    become_over(c);
    PyErr_SetRaisedException(exc);
    return PYGEN_ERROR;
}

/* On from the outcome of what was awaited until the next one has to wait. `value` is stolen. */
static PySendResult
proceed(CoroObject *c, PySendResult sent, PyObject *value, PyObject **result)
{
    while (sent != PYGEN_NEXT) {
        end_wait(c);
        coro_outcome outcome = c->kind->step(c, value, result);
        Py_XDECREF(value);
        if (outcome != CORO_WAIT) {
            return end_with(c, outcome);
        }
        value = NULL;
        sent = PyIter_Send(awaited(c), Py_None, &value);
    }
    c->state = CORO_WAITING;
    *result = value;
    return PYGEN_NEXT;
}

PySendResult
coro_am_send(PyObject *self, PyObject *arg, PyObject **result)
{
    CoroObject *c = (CoroObject *)self;
    int state = c->state;
    PySendResult sent = PYGEN_RETURN;
    PyObject *value = NULL;
    *result = NULL;
    if (UNLIKELY(state != CORO_WAITING && (state != CORO_CREATED || arg != Py_None))) {
        return coro_refuse(state);
    }
    Py_INCREF(self);
    c->state = CORO_RUNNING;
    if (state == CORO_WAITING) {
        sent = send_into(c, arg, &value);
    }
    sent = proceed(c, sent, value, result);
    Py_DECREF(self);
    return sent;
}

/* `exc` is stolen. */
static PySendResult
throw_step(CoroObject *c, PyObject *exc, PyObject **result)
{
    PyObject *value;
    PySendResult sent;
    *result = NULL;
    Py_INCREF(c);
    if (c->state == CORO_CREATED) {
        become_over(c);
        PyErr_SetRaisedException(exc);
        sent = PYGEN_ERROR;
    }
    else {
        c->state = CORO_RUNNING;
        sent = throw_into(c, exc, &value);
        sent = proceed(c, sent, value, result);
    }
    Py_DECREF(c);
    return sent;
}

PyObject *
coro_as_iterator(PySendResult sent, PyObject *result)
{
    if (sent != PYGEN_RETURN) {
        return result;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    Py_DECREF(result);
    return NULL;
}

PyObject *
coro_send(PyObject *self, PyObject *arg)
{
    PyObject *result;
    PySendResult sent = coro_am_send(self, arg, &result);
    return coro_as_iterator(sent, result);
}

PyObject *
coro_iternext(PyObject *self)
{
    return coro_send(self, Py_None);
}

PyObject *
coro_await_slot(PyObject *self)
{
    if (((CoroObject *)self)->state == CORO_WAITING) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    return Py_NewRef(self);
}

PyObject *
coro_thrown(PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", nargs);
        return NULL;
    }
    PyObject *exc = NULL, *type = args[0], *value = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    if (PyExceptionInstance_Check(type) && value == NULL) {
        exc = Py_NewRef(type);
    }
    else if (PyExceptionClass_Check(type)) {
        PyErr_SetObject(type, value);
        exc = PyErr_GetRaisedException();
    }
    else {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(type)->tp_name);
        return NULL;
    }
    if (nargs == 3 && args[2] != Py_None && PyException_SetTraceback(exc, args[2]) < 0) {
        Py_CLEAR(exc);
    }
    return exc;
}

PyObject *
coro_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    CoroObject *c = (CoroObject *)self;
    PyObject *result, *exc = coro_thrown(args, nargs);
    if (exc == NULL) {
        return NULL;
    }
    if (c->state == CORO_RUNNING || c->state == CORO_OVER) {
        Py_DECREF(exc);
        coro_refuse(c->state);
        return NULL;
    }
    PySendResult sent = throw_step(c, exc, &result);
    return coro_as_iterator(sent, result);
}

PyObject *
coro_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    CoroObject *c = (CoroObject *)self;
    if (c->state == CORO_RUNNING) {
        coro_refuse(c->state);
        return NULL;
    }
    if (c->state == CORO_CREATED) {
        Py_INCREF(self);
        become_over(c);
        Py_DECREF(self);
    }
    if (c->state == CORO_OVER) {
        Py_RETURN_NONE;
    }
    PyObject *result, *leave = PyObject_CallNoArgs(PyExc_GeneratorExit);
    if (leave == NULL) {
        return NULL;
    }
    PySendResult sent = throw_step(c, leave, &result);
    Py_XDECREF(result);
    if (sent == PYGEN_NEXT) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
        return NULL;
    }
    if (sent == PYGEN_ERROR) {
        if (!PyErr_ExceptionMatches(PyExc_GeneratorExit)) {
            return NULL;
        }
        PyErr_Clear();
    }
    Py_RETURN_NONE;
}

/* ---- what it tells of itself --------------------------------------------------------------- */

PyObject *
coro_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<coroutine object %s at %p>", ((CoroObject *)self)->kind->name, self);
}

PyObject *
coro_get_name(PyObject *self, void *qualified)
{
    const char *name = ((CoroObject *)self)->kind->name, *dot = strrchr(name, '.');
    return PyUnicode_FromString(qualified != NULL || dot == NULL ? name : dot + 1);
}

PyObject *
coro_get_running(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((CoroObject *)self)->state == CORO_RUNNING);
}

PyObject *
coro_get_await(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *wait = awaited((CoroObject *)self);
    return Py_NewRef(wait != NULL ? wait : Py_None);
}

/* ---- _core.Coroutine: a call of a method --------------------------------------------------- */

PyObject *
call_new(LoopObject *loop, const coro_kind *kind, PyObject *owner, PyObject *arg, PyObject *extra, Py_ssize_t n)
{
    CallObject *call = pool_new(&loop->st->call_pool, loop->st->call_type);
    if (UNLIKELY(call == NULL)) {
        return NULL;
    }
    coro_init(&call->coro, loop, kind);
    call->owner = Py_XNewRef(owner);
    call->arg = Py_XNewRef(arg);
    call->extra = Py_XNewRef(extra);
    call->n = n;
    call->phase = 0;
    PyObject_GC_Track(call);
    return (PyObject *)call;
}

static int
call_traverse(PyObject *self, visitproc visit, void *arg)
{
    CallObject *call = (CallObject *)self;
    Py_VISIT(call->owner);
    Py_VISIT(call->arg);
    Py_VISIT(call->extra);
    return coro_traverse(self, visit, arg);
}

static int
call_clear(PyObject *self)
{
    CallObject *call = (CallObject *)self;
    coro_clear(&call->coro);
    Py_CLEAR(call->owner);
    Py_CLEAR(call->arg);
    Py_CLEAR(call->extra);
    return 0;
}

static void
call_dealloc(PyObject *self)
{
    if (coro_dealloc_begin(self) < 0) {
        return;
    }
    call_clear(self);
    coro_free(self, &((CoroObject *)self)->loop->st->call_pool);
}

static PyMethodDef call_methods[] = {
    CORO_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef call_getset[] = {
    CORO_GETSET,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef call_members[] = {
    CORO_MEMBERS,
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "A call of an awaitable method written in C: a coroutine."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    CORO_SLOTS,
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {Py_tp_members, call_members},
    {0, NULL},
};

PyType_Spec call_spec = {
    .name = "uvolt._core.Coroutine",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

/* ---- _core.Noop: an awaitable that is done ------------------------------------------------- */

static PySendResult
noop_am_send(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg), PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
noop_iternext(PyObject *Py_UNUSED(self))
{
    return NULL;
}

static int
noop_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
noop_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot noop_slots[] = {
    {Py_tp_doc, "An awaitable that is done at once and gives None."},
    {Py_tp_dealloc, noop_dealloc},
    {Py_tp_traverse, noop_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, noop_iternext},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, noop_am_send},
    {0, NULL},
};

PyType_Spec noop_spec = {
    .name = "uvolt._core.Noop",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = noop_slots,
};

int
coro_setup(core_state *st)
{
    st->noop = (PyObject *)PyObject_GC_New(PyObject, st->noop_type);
    if (st->noop == NULL) {
        return -1;
    }
    PyObject_GC_Track(st->noop);
    return 0;
}

/* ---- for tests ----------------------------------------------------------------------------- */

static coro_outcome
delegate_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    if (call->phase == 0) {
        call->phase = 1;
        return coro_await(c, call->arg) < 0 ? CORO_ERROR : CORO_WAIT;
    }
    *result = Py_XNewRef(value);
    return value == NULL ? CORO_ERROR : CORO_DONE;
}

static const coro_kind delegate_kind = {"_core.coroutine", delegate_step, NULL};

PyObject *
coro_delegate(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    core_state *st = uvolt_state_of(module);
    if (nargs != 2 || !PyObject_TypeCheck(args[0], st->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "coroutine() takes a loop and an awaitable");
        return NULL;
    }
    return call_new((LoopObject *)args[0], &delegate_kind, NULL, args[1], NULL, 0);
}
