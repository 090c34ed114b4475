/* request.c - what get() and so on return: a coroutine, and an async context manager of the response.
 *
 * Two ways. Fast: a plain request of a plain session is written and sent from here, without a frame of Python.
 * General: session._request() is awaited; which, for each hop, awaits session._exchange(), the same machine without
 * the head. The fast way changes over to the general one in its first step, before anything is sent.
 * Owns:    arguments and the exchange until it is over, then the response. Kept by: whoever awaits it.
 * Threads: the loop's. PYCALL: all steps. */
#include "http/request.h"

#include "core/clock.h"
#include "http/head.h"

#define BODY_LARGEST (1 << 20) /* bytes; with more, the general way */

/* ---- the general way ----------------------------------------------------------------------- */

static coro_outcome
await_inner(RequestObject *q, PyObject *awaitable)
{
    q->phase = REQUEST_INNER;
    int err = awaitable == NULL ? -1 : coro_await(&q->coro, awaitable);
    Py_XDECREF(awaitable);
    return err < 0 ? CORO_ERROR : CORO_WAIT;
}

/* The keyword arguments again, as a dict. New reference. */
static PyObject *
keywords_of(RequestObject *q)
{
    const request_args *a = &q->args;
    const struct {
        const char *name;
        PyObject *value;
    } items[] = {
        {"headers", a->headers},
        {"data", a->data},
        {"json", a->json},
        {"timeout", a->timeout},
        {"raise_for_status", a->raise_for_status},
        {"allow_redirects", a->allow_redirects != NULL ? a->allow_redirects : q->redirects ? Py_True : Py_False},
    };
    PyObject *kwargs = PyDict_New();
    for (size_t i = 0; kwargs != NULL && i < Py_ARRAY_LENGTH(items); i++) {
        if (items[i].value != NULL && PyDict_SetItemString(kwargs, items[i].name, items[i].value) < 0) {
            Py_CLEAR(kwargs);
        }
    }
    return kwargs;
}

/* session._request(method, url, **kwargs): a coroutine. New reference. */
PyObject *
request_call(RequestObject *q, PyObject *kwargs)
{
    PyObject *function = PyObject_GetAttr((PyObject *)q->session, q->session->st->http->n__request);
    PyObject *args = function == NULL ? NULL : PyTuple_Pack(2, q->method, q->url);
    PyObject *coro = args == NULL ? NULL : PyObject_Call(function, args, kwargs);
    Py_XDECREF(function);
    Py_XDECREF(args);
    return coro;
}

static coro_outcome
go_general(RequestObject *q)
{
    PyObject *kwargs = keywords_of(q);
    PyObject *coro = kwargs == NULL ? NULL : request_call(q, kwargs);
    Py_XDECREF(kwargs);
    return await_inner(q, coro);
}

/* ---- the fast way: what is sent ------------------------------------------------------------ */

/* The body as exact bytes (new reference, NULL: none) and its type. 0: it is Python's to deal with; -1 with an
 * exception. PYCALL: json_serialize. */
static int
find_body(RequestObject *q, head_source *src, PyObject **body)
{
    PyObject *data = q->args.data, *json = q->args.json;
    int has_data = data != NULL && data != Py_None, has_json = json != NULL && json != Py_None;
    *body = NULL;
    if (LIKELY(!has_data && !has_json)) {
        return 1;
    }
    if (has_data && has_json) {
        return 0;
    }
    if (has_data && PyBytes_CheckExact(data)) {
        *body = Py_NewRef(data);
        src->body_type = "application/octet-stream";
    }
    else if (has_data && PyUnicode_CheckExact(data)) {
        *body = PyUnicode_AsUTF8String(data);
        src->body_type = "text/plain; charset=utf-8";
    }
    else if (has_json && q->session->json_serialize != NULL) {
        PyObject *text = PyObject_CallOneArg(q->session->json_serialize, json);
        if (text == NULL) {
            return -1;
        }
        *body = PyUnicode_CheckExact(text) ? PyUnicode_AsUTF8String(text) : NULL;
        Py_DECREF(text);
        src->body_type = "application/json";
    }
    if (*body == NULL || PyBytes_GET_SIZE(*body) > BODY_LARGEST) {
        PyErr_Clear();
        Py_CLEAR(*body);
        return 0;
    }
    src->body = *body;
    return 1;
}

/* Cookie's value (new reference, NULL: none). -1 with an exception. PYCALL. */
static int
find_cookie(RequestObject *q, TargetObject *t, PyObject **cookie)
{
    SessionObject *s = q->session;
    PyObject *kept = s->cookies_kept;
    *cookie = NULL;
    if (kept == NULL || kept == Py_None) {
        return 0;
    }
    if (kept != Py_Ellipsis) {
        Py_ssize_t n = PyObject_Size(kept);
        if (n <= 0) {
            return n < 0 ? -1 : 0;
        }
    }
    PyObject *url = target_url(s->st, t);
    PyObject *value = url == NULL ? NULL : PyObject_CallMethodOneArg((PyObject *)s, s->st->http->n__cookie_header, url);
    if (value == NULL) {
        return -1;
    }
    if (PyUnicode_Check(value) && PyUnicode_GET_LENGTH(value) != 0) {
        *cookie = value;
    }
    else {
        Py_DECREF(value);
    }
    return 0;
}

/* Head and body. 1: in *head and *body; 0: not plain; -1 with an exception. */
static int
write_request(RequestObject *q, TargetObject *t, buf *head, PyObject **body)
{
    head_source src = {.method = q->method, .headers = q->args.headers};
    PyObject *cookie = NULL;
    int ok = find_body(q, &src, body);
    if (ok > 0 && find_cookie(q, t, &cookie) < 0) {
        ok = -1;
    }
    if (ok > 0) {
        src.cookie = cookie;
        ok = (int)head_write(q->session, t, &src, head);
        Py_XDECREF(cookie);
    }
    if (ok <= 0) {
        Py_CLEAR(*body);
    }
    return ok;
}

/* ---- the fast way: steps ------------------------------------------------------------------- */

PyTypeObject *
request_response_type(SessionObject *s)
{
    PyTypeObject *base = s->st->http->http_response_type;
    PyObject *type = s->response_class;
    return type != NULL && PyType_Check(type) && PyType_IsSubtype((PyTypeObject *)type, base) ? (PyTypeObject *)type
                                                                                              : base;
}

/* Fills the exchange; what is given is stolen. -1 with an exception. */
static int
prepare(RequestObject *q, TargetObject *t, buf *head, PyObject *body, unsigned method)
{
    SessionObject *s = q->session;
    hop *x = &q->x;
    ResponseObject *r = response_new(s, request_response_type(s), q->method, t);
    if (r == NULL) {
        session_give_buffer(s, head);
        Py_XDECREF(body);
        return -1;
    }
    r->sent = *head;
    r->head_only = (method & METHOD_HEAD) != 0;
    x->loop = q->coro.loop;
    x->session = (SessionObject *)Py_NewRef((PyObject *)s);
    x->connector = Py_XNewRef(s->connector);
    x->response = r;
    x->route = (RouteObject *)Py_NewRef((PyObject *)t->route);
    x->body = body;
    x->may_retry = s->retry_connection && (method & METHOD_IDEMPOTENT);
    PyObject *timeout = q->args.timeout != NULL ? q->args.timeout : s->timeout;
    x->timeout = Py_XNewRef(timeout);
    if (session_timeouts(s, timeout, &x->times) < 0) {
        return -1;
    }
    if (x->times.total > 0 || x->times.connect > 0) {
        double now = clock_now();
        x->end_by = x->times.total > 0 ? now + x->times.total : 0;
        x->connect_by = x->times.connect > 0 ? now + x->times.connect : 0;
    }
    return x->end_by > 0 ? deadline_set(x->loop, &r->total, x->end_by) : 0;
}

static int
is_usable(SessionObject *s, TargetObject *t)
{
    PoolObject *keeper = t->route->pool;
    if (LIKELY(!session_is_closed(s) && keeper != NULL && !keeper->closed)) {
        return 1;
    }
    http_raise(s->st, "session_closed");
    return 0;
}

/* 1: the exchange may begin; 0: not plain; -1 with an exception. */
static int
begin_plain(RequestObject *q)
{
    SessionObject *s = q->session;
    TargetObject *t;
    unsigned method = head_method(q->method);
    if (UNLIKELY(!(method & METHOD_KNOWN) || session_is_closed(s))) {
        return 0;
    }
    int ok = target_find(s->st, &s->targets, (PyObject *)s, q->url, &t);
    if (ok <= 0) {
        return ok;
    }
    PyObject *body = NULL;
    buf head = session_take_buffer(s);
    ok = is_usable(s, t) ? write_request(q, t, &head, &body) : -1;
    if (UNLIKELY(ok > 0 && session_is_closed(s))) { /* by what made the body or the cookies */
        Py_CLEAR(body);
        http_raise(s->st, "session_closed");
        ok = -1;
    }
    if (ok > 0) {
        ok = prepare(q, t, &head, body, method) < 0 ? -1 : 1;
    }
    else {
        session_give_buffer(s, &head);
    }
    Py_DECREF(t);
    return ok;
}

static coro_outcome
give(RequestObject *q, PyObject **result)
{
    q->safe = 1;
    q->result = Py_NewRef((PyObject *)q->x.response);
    q->x.response->in_context = q->entering;
    *result = Py_NewRef(q->result);
    return CORO_DONE;
}

/* What raise_for_status asks for, the request's or else the session's. */
static coro_outcome
check_status(RequestObject *q, PyObject **result)
{
    ResponseObject *r = q->x.response;
    PyObject *how = q->args.raise_for_status;
    if (how == NULL || how == Py_None) {
        how = q->session->raise_for_status;
    }
    if (LIKELY(how == NULL || how == Py_None || how == Py_False)) {
        return give(q, result);
    }
    if (how != Py_True && PyCallable_Check(how)) {
        PyObject *checking = PyObject_CallOneArg(how, (PyObject *)r);
        coro_outcome outcome = await_inner(q, checking);
        q->phase = REQUEST_RAISER;
        return outcome;
    }
    int asked = PyObject_IsTrue(how);
    if (asked > 0 && r->status >= 400) {
        PyObject *done = PyObject_CallMethodNoArgs((PyObject *)r, q->session->st->http->n_raise_for_status);
        asked = done == NULL ? -1 : asked;
        Py_XDECREF(done);
    }
    return asked < 0 ? CORO_ERROR : give(q, result);
}

static coro_outcome
follow(RequestObject *q)
{
    core_state *st = q->session->st;
    PyObject *kwargs = keywords_of(q);
    PyObject *end_by = q->x.end_by > 0 ? PyFloat_FromDouble(q->x.end_by) : Py_NewRef(Py_None), *coro = NULL;
    if (kwargs != NULL && end_by != NULL) {
        PyObject *args[] = {(PyObject *)q->session, (PyObject *)q->x.response, q->method, q->url, kwargs, end_by};
        coro = PyObject_VectorcallMethod(st->http->n__follow, args, Py_ARRAY_LENGTH(args), NULL);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(end_by);
    return await_inner(q, coro);
}

static int
is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static coro_outcome
head_came(RequestObject *q, PyObject **result)
{
    ResponseObject *r = q->x.response;
    if (UNLIKELY(r->has_set_cookie)) {
        PyObject *done = PyObject_CallMethodOneArg((PyObject *)q->session, q->session->st->http->n__store_cookies, (PyObject *)r);
        if (done == NULL) {
            return CORO_ERROR;
        }
        Py_DECREF(done);
    }
    if (UNLIKELY(is_redirect(r->status) && q->redirects && r->has_location)) {
        return follow(q);
    }
    return check_status(q, result);
}

static coro_outcome
inner_came(RequestObject *q, PyObject *value, PyObject **result)
{
    if (value == NULL) {
        return CORO_ERROR;
    }
    q->safe = 1;
    q->result = Py_NewRef(value);
    if (q->entering && PyObject_TypeCheck(value, q->session->st->http->http_response_type)) {
        ((ResponseObject *)value)->in_context = 1;
    }
    *result = Py_NewRef(value);
    return CORO_DONE;
}

static coro_outcome
start(RequestObject *q)
{
    if (session_loop(q->session) == NULL) {
        return CORO_ERROR;
    }
    if (q->inner != NULL) {
        PyObject *inner = q->inner;
        q->inner = NULL;
        return await_inner(q, inner);
    }
    int plain = begin_plain(q);
    if (plain <= 0) {
        return plain < 0 ? CORO_ERROR : go_general(q);
    }
    q->phase = REQUEST_EXCHANGE;
    return hop_step(&q->x, &q->coro, NULL);
}

static coro_outcome
request_step(CoroObject *c, PyObject *value, PyObject **result)
{
    RequestObject *q = (RequestObject *)c;
    coro_outcome outcome;
    switch (q->phase) {
    case REQUEST_START:
        outcome = start(q);
        break;
    case REQUEST_EXCHANGE:
        outcome = hop_step(&q->x, c, value);
        break;
    case REQUEST_RAISER:
        return value == NULL ? CORO_ERROR : give(q, result);
    default:
        return inner_came(q, value, result);
    }
    return outcome == CORO_DONE && q->phase == REQUEST_EXCHANGE ? head_came(q, result) : outcome;
}

/* The same without what comes before and after: _exchange(). */
static coro_outcome
exchange_only_step(CoroObject *c, PyObject *value, PyObject **result)
{
    RequestObject *q = (RequestObject *)c;
    if (q->phase == REQUEST_START && session_loop(q->session) == NULL) {
        return CORO_ERROR;
    }
    q->phase = REQUEST_EXCHANGE;
    coro_outcome outcome = hop_step(&q->x, c, value);
    return outcome == CORO_DONE ? give(q, result) : outcome;
}

static void
request_end(CoroObject *c)
{
    RequestObject *q = (RequestObject *)c;
    if (UNLIKELY(!q->safe && q->x.response != NULL)) {
        PyObject *exc = PyErr_GetRaisedException();
        response_release(q->x.response);
        PyErr_SetRaisedException(exc);
    }
    hop_end(&q->x);
}

const coro_kind request_kind = {"ClientSession._request", request_step, request_end};
const coro_kind exchange_kind = {"ClientSession._exchange", exchange_only_step, request_end};

/* ---- life ---------------------------------------------------------------------------------- */

/* Untracked: the caller fills it and tracks it. */
RequestObject *
request_new(SessionObject *s, const coro_kind *kind, PyObject *method, PyObject *url)
{
    core_state *st = s->st;
    if (UNLIKELY(s->loop == NULL || !PyObject_TypeCheck(s->loop, st->loop_type))) {
        session_loop(s);
        return NULL;
    }
    RequestObject *q = pool_new(&st->http->request_pool, st->http->http_request_type);
    if (UNLIKELY(q == NULL)) {
        return NULL;
    }
    coro_init(&q->coro, (LoopObject *)s->loop, kind);
    q->session = (SessionObject *)Py_NewRef((PyObject *)s);
    q->method = Py_NewRef(method);
    q->url = Py_NewRef(url);
    memset(&q->args, 0, sizeof q->args);
    q->inner = q->result = NULL;
    hop_init(&q->x);
    q->x.loop = q->coro.loop;
    q->phase = REQUEST_START;
    q->redirects = 1;
    q->entering = q->safe = 0;
    return q;
}

static int
request_traverse(PyObject *self, visitproc visit, void *arg)
{
    RequestObject *q = (RequestObject *)self;
    Py_VISIT(q->session);
    Py_VISIT(q->method);
    Py_VISIT(q->url);
    Py_VISIT(q->args.headers);
    Py_VISIT(q->args.data);
    Py_VISIT(q->args.json);
    Py_VISIT(q->args.timeout);
    Py_VISIT(q->args.raise_for_status);
    Py_VISIT(q->args.allow_redirects);
    Py_VISIT(q->inner);
    Py_VISIT(q->result);
    int stop = hop_traverse(&q->x, visit, arg);
    return stop != 0 ? stop : coro_traverse(self, visit, arg);
}

/* `result` stays until dealloc: __aexit__() comes after the end. */
static int
request_clear(PyObject *self)
{
    RequestObject *q = (RequestObject *)self;
    coro_clear(&q->coro);
    hop_end(&q->x);
    Py_CLEAR(q->session);
    Py_CLEAR(q->method);
    Py_CLEAR(q->url);
    Py_CLEAR(q->args.headers);
    Py_CLEAR(q->args.data);
    Py_CLEAR(q->args.json);
    Py_CLEAR(q->args.timeout);
    Py_CLEAR(q->args.raise_for_status);
    Py_CLEAR(q->args.allow_redirects);
    Py_CLEAR(q->inner);
    return 0;
}

static void
request_dealloc(PyObject *self)
{
    RequestObject *q = (RequestObject *)self;
    if (coro_dealloc_begin(self) < 0) {
        return;
    }
    if (UNLIKELY(q->session != NULL)) {
        request_clear(self);
    }
    Py_CLEAR(q->result);
    coro_free(self, &q->coro.loop->st->http->request_pool);
}

/* ---- the async context manager ------------------------------------------------------------- */

static PyObject *
request_aenter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    ((RequestObject *)self)->entering = 1;
    return Py_NewRef(self);
}

/* As the response's: release(). */
static PyObject *
request_aexit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    RequestObject *q = (RequestObject *)self;
    core_state *st = q->coro.loop->st;
    if (nargs != 3) {
        return PyErr_Format(PyExc_TypeError, "__aexit__() takes 3 arguments, got %zd", nargs);
    }
    if (LIKELY(q->result != NULL && (PyObject *)Py_TYPE(q->result) == st->http->ClientResponse)) {
        ResponseObject *r = (ResponseObject *)q->result;
        r->in_context = 0;
        response_release(r);
        return coro_noop(st);
    }
    if (q->result == NULL) {
        return coro_noop(st);
    }
    PyObject *call[] = {q->result, args[0], args[1], args[2]};
    return PyObject_VectorcallMethod(st->http->n___aexit__, call, 4, NULL);
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyMethodDef request_methods[] = {
    CORO_METHODS,
    {"__aenter__", request_aenter, METH_NOARGS, "__aenter__($self, /)\n--\n\nThe request, to be awaited."},
    {"__aexit__", FAST(request_aexit), METH_FASTCALL,
     "__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\nRelease the response."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef request_getset[] = {
    CORO_GETSET,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef request_members[] = {
    CORO_MEMBERS,
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "A request of a session: a coroutine and an async context manager."},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},
    CORO_SLOTS,
    {Py_tp_methods, request_methods},
    {Py_tp_getset, request_getset},
    {Py_tp_members, request_members},
    {0, NULL},
};

PyType_Spec http_request_spec = {
    .name = "uvolt._core.RequestContextManager",
    .basicsize = sizeof(RequestObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};
