/* session_make.c - sessions made with few arguments or none, `async with` on a session, and its end.
 * Owns: nothing. Threads: the loop's. PYCALL: all. */
#include "core/coro.h"
#include "http/connector.h"
#include "http/quick.h"
#include "http/session.h"

/* ---- making one ---------------------------------------------------------------------------- */

static int
set_default_timeouts(SessionObject *s)
{
    http_state *hs = s->st->http;
    if (UNLIKELY(!hs->default_times_read)) {
        if (session_timeouts(s, hs->default_timeout, &hs->default_times) < 0) {
            return -1;
        }
        hs->default_times_read = 1;
    }
    s->timeouts = hs->default_times;
    Py_XSETREF(s->timeout_seen, Py_NewRef(hs->default_timeout));
    return 0;
}

/* What ClientSession() may be given here; the rest is for its __init__() in Python. Borrowed, NULL if not given. */
typedef struct session_arguments {
    PyObject *connector, *timeout, *headers, *raise_for_status, *json_serialize, *connector_owner;
} session_arguments;

/* Are they such as need no more than to be kept? */
static int
are_plain(core_state *st, const session_arguments *a)
{
    PoolObject *keeper = connector_pool(st, a->connector);
    return (a->connector == NULL || (keeper != NULL && !keeper->closed && !keeper->force_close))
           && (a->timeout == NULL || (PyObject *)Py_TYPE(a->timeout) == st->http->ClientTimeout)
           && (a->raise_for_status == NULL || PyBool_Check(a->raise_for_status))
           && (a->connector_owner == NULL || PyBool_Check(a->connector_owner));
}

/* A new reference to `given`, or if there is none to `otherwise`. */
static inline PyObject *
given_or(PyObject *given, PyObject *otherwise)
{
    return Py_NewRef(given != NULL ? given : otherwise);
}

/* As ClientSession.__init__() does it; what is not here has its default as an attribute of the class, or is made when it
 * is asked for (the cookie jar, the headers). -1 with an exception. */
static int
fill(SessionObject *s, LoopObject *loop, const session_arguments *a)
{
    http_state *hs = s->st->http;
    if (a->headers != NULL && a->headers != Py_None) {
        PyObject *headers = PyObject_CallOneArg(hs->CIMultiDict, a->headers);
        if (headers == NULL) {
            return -1;
        }
        Py_XSETREF(s->default_headers, headers);
    }
    PyObject *no_names = PyFrozenSet_New(NULL), *connector = NULL;
    if (no_names != NULL && set_default_timeouts(s) == 0) {
        connector = a->connector != NULL ? Py_NewRef(a->connector) : connector_make(loop);
    }
    if (connector == NULL) {
        Py_XDECREF(no_names);
        return -1;
    }
    Py_XSETREF(s->loop, Py_NewRef((PyObject *)loop));
    Py_XSETREF(s->timeout, given_or(a->timeout, hs->default_timeout));
    Py_XSETREF(s->skip_auto_headers, no_names);
    Py_XSETREF(s->json_serialize, given_or(a->json_serialize, hs->json_dumps));
    Py_XSETREF(s->raise_for_status, given_or(a->raise_for_status, Py_False));
    Py_XSETREF(s->response_class, Py_NewRef(hs->ClientResponse));
    s->plain = s->lazy = 1;
    s->connector_owner = a->connector_owner != Py_False;
    Py_XSETREF(s->connector, connector);
    return 0;
}

/* 1: filled; 0: not for us; -1 with an exception. */
static int
fill_quickly(SessionObject *s, const session_arguments *a)
{
    if (!are_plain(s->st, a)) {
        return 0;
    }
    LoopObject *loop = quick_loop(s->st, a->connector == NULL ? NULL : ((ConnectorObject *)a->connector)->loop);
    int err = loop == NULL ? 0 : fill(s, loop, a);
    Py_XDECREF((PyObject *)loop);
    return err < 0 ? -1 : loop != NULL;
}

static int
quick_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    SessionObject *s = (SessionObject *)self;
    http_state *hs = s->st->http;
    session_arguments a = {0};
    const quick_argument known[] = {
        {hs->n_connector, &a.connector},
        {hs->n_timeout, &a.timeout},
        {hs->n_headers, &a.headers},
        {hs->n_raise_for_status, &a.raise_for_status},
        {hs->n_json_serialize, &a.json_serialize},
        {hs->n_connector_owner, &a.connector_owner},
    };
    int done = quick_arguments(args, kwargs, known, Py_ARRAY_LENGTH(known)) ? fill_quickly(s, &a) : 0;
    return done != 0 ? (done < 0 ? -1 : 0) : quick_init_by_python(self, args, kwargs);
}

static int
is_closed(SessionObject *s)
{
    PoolObject *keeper = connector_pool(s->st, s->connector);
    return session_is_closed(s) || (keeper != NULL && keeper->closed);
}

static void
quick_finalize(PyObject *self)
{
    if (!is_closed((SessionObject *)self)) {
        quick_finalize_by_python(self);
    }
}

void
session_quicken(PyTypeObject *type)
{
    type->tp_init = quick_init;
    type->tp_finalize = quick_finalize;
}

/* ---- made when asked for ------------------------------------------------------------------- */

static PyObject *
get_headers(PyObject *self, void *Py_UNUSED(closure))
{
    SessionObject *s = (SessionObject *)self;
    if (s->default_headers == NULL && s->lazy) {
        s->default_headers = PyObject_CallNoArgs(s->st->http->CIMultiDict);
        return Py_XNewRef(s->default_headers);
    }
    return Py_NewRef(s->default_headers != NULL ? s->default_headers : Py_None);
}

static int
set_headers(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((SessionObject *)self)->default_headers, Py_XNewRef(value));
    return 0;
}

static PyObject *
get_cookie_jar(PyObject *self, void *Py_UNUSED(closure))
{
    SessionObject *s = (SessionObject *)self;
    if (s->cookie_jar == NULL && s->lazy) {
        return PyObject_CallMethodNoArgs(self, s->st->http->n__make_cookie_jar); /* which sets it */
    }
    return Py_NewRef(s->cookie_jar != NULL ? s->cookie_jar : Py_None);
}

static int
set_cookie_jar(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((SessionObject *)self)->cookie_jar, Py_XNewRef(value));
    return 0;
}

PyGetSetDef session_getset[] = {
    {"_default_headers", get_headers, set_headers, NULL, NULL},
    {"_cookie_jar", get_cookie_jar, set_cookie_jar, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- async with ---------------------------------------------------------------------------- */

static PyObject *
begin(PyObject *self, const coro_kind *kind, int is_ours)
{
    SessionObject *s = (SessionObject *)self;
    if (UNLIKELY(s->loop == NULL || !PyObject_TypeCheck(s->loop, s->st->loop_type))) {
        http_raise(s->st, "wrong_loop");
        return NULL;
    }
    return call_new((LoopObject *)s->loop, kind, self, NULL, NULL, is_ours);
}

static coro_outcome
enter_step(CoroObject *c, PyObject *Py_UNUSED(value), PyObject **result)
{
    if (PyErr_Occurred()) { /* thrown in */
        return CORO_ERROR;
    }
    *result = Py_NewRef(((CallObject *)c)->owner);
    return CORO_DONE;
}

PyObject *
session_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    static const coro_kind kind = {"ClientSession.__aenter__", enter_step, NULL};
    return begin(self, &kind, 0);
}

/* What close() does, or close() if it may not be ours. 1: done; 0: *awaitable is to be awaited; -1 with an exception. */
static int
close_session(SessionObject *s, int is_ours, PyObject **awaitable)
{
    http_state *hs = s->st->http;
    if (UNLIKELY(!is_ours && !quick_is_stock((PyObject *)s, hs->n_close, hs->stock_session_close))) {
        *awaitable = PyObject_CallMethodNoArgs((PyObject *)s, hs->n_close);
        return *awaitable == NULL ? -1 : 0;
    }
    PyObject *connector = s->connector;
    int nothing = is_closed(s) || !s->connector_owner;
    s->connector = NULL;
    if (connector != NULL && !nothing && !connector_shut(s->st, connector)) {
        *awaitable = PyObject_CallMethodNoArgs(connector, hs->n_close);
        nothing = *awaitable == NULL ? -1 : 0;
    }
    else {
        nothing = 1;
    }
    Py_XDECREF(connector);
    return nothing;
}

static coro_outcome
exit_step(CoroObject *c, PyObject *value, PyObject **result)
{
    CallObject *call = (CallObject *)c;
    PyObject *awaitable = NULL;
    if (value == NULL && PyErr_Occurred()) {
        return CORO_ERROR;
    }
    int done = call->phase++ > 0 ? 1 : close_session((SessionObject *)call->owner, call->n != 0, &awaitable);
    if (done == 0) {
        int err = coro_await(c, awaitable);
        Py_DECREF(awaitable);
        return err < 0 ? CORO_ERROR : CORO_WAIT;
    }
    if (done < 0) {
        return CORO_ERROR;
    }
    *result = Py_NewRef(Py_None);
    return CORO_DONE;
}

PyObject *
session_exit(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    static const coro_kind kind = {"ClientSession.__aexit__", exit_step, NULL};
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "__aexit__() takes exc_type, exc_val and exc_tb");
        return NULL;
    }
    return begin(self, &kind, 0);
}

/* _close(): what close() awaits. */
PyObject *
session_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    static const coro_kind kind = {"ClientSession._close", exit_step, NULL};
    return begin(self, &kind, 1);
}
