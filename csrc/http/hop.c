/* hop.c - from a route to the head of an answer.
 * Owns: the slot or connection until the request is sent, then the exchange until the head is there.
 * Threads: the loop's. PYCALL: steps and end. */
#include "http/hop.h"

#include "core/clock.h"

static coro_outcome acquire(hop *x, CoroObject *c);
static coro_outcome send_request(hop *x, CoroObject *c);

static http_state *
state_of(hop *x)
{
    return x->loop->st->http;
}

/* ---- errors -------------------------------------------------------------------------------- */

/* Raises why there is no answer. */
static coro_outcome
raise_failure(hop *x)
{
    ResponseObject *r = x->response;
    PyObject *exc = r->failure;
    r->failure = NULL;
    if (PyErr_GivenExceptionMatches(exc, state_of(x)->HttpProcessingError)) {
        PyObject *error = http_error(x->loop->st, "response_error", "(OO)", (PyObject *)r, exc);
        Py_DECREF(exc);
        exc = error;
    }
    PyErr_SetRaisedException(exc);
    return CORO_ERROR;
}

/* A connection that was kept may have been closed by the server just then: nothing was answered; or not even sent. */
static int
was_stale(hop *x, PyObject *exc, int sent)
{
    http_state *hs = state_of(x);
    return (x->may_retry || !sent) && !x->fresh && x->response->reused && !x->response->answered
           && !(x->conn != NULL && x->conn->answered)
           && (PyErr_GivenExceptionMatches(exc, hs->ServerDisconnectedError)
               || PyErr_GivenExceptionMatches(exc, hs->ClientOSError));
}

/* ---- a slot -------------------------------------------------------------------------------- */

static void
slot_expired(deadline *d)
{
    hop *x = (hop *)(void *)((char *)d - offsetof(hop, slot_by));
    ResponseObject *r = x->response;
    core_state *st = x->loop->st;
    Py_INCREF(r); /* the collector may run */
    if (x->phase == HOP_DIALING) {
        Py_XSETREF(r->failure, http_error(st, "open_timeout", "(O)", x->route->key));
    }
    else {
        PyObject *url = target_url(st, r->target);
        if (url == NULL) {
            PyErr_Clear();
            url = Py_None;
        }
        Py_XSETREF(r->failure, http_error(st, "pool_timeout", "(O)", url));
    }
    response_wake_caller(r);
    Py_DECREF(r);
}

static double
sooner(double a, double b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

static coro_outcome
wait_for_slot(hop *x, CoroObject *c)
{
    double by = x->connect_by;
    if (x->times.pool > 0) {
        by = sooner(by, clock_now() + x->times.pool);
    }
    x->phase = HOP_QUEUED;
    Py_XSETREF(x->response->slot, Py_NewRef(x->waiter.future));
    if ((by > 0 && deadline_set(x->loop, &x->slot_by, by) < 0) || coro_await(c, x->waiter.future) < 0) {
        return CORO_ERROR;
    }
    return CORO_WAIT;
}

/* ---- a connection -------------------------------------------------------------------------- */

static PyObject *
time_or_none(double when)
{
    return when > 0 ? PyFloat_FromDouble(when) : Py_NewRef(Py_None);
}

/* connector._open(conn, route, timeout, connect_by, end_by) */
static coro_outcome
open_by_python(hop *x, CoroObject *c)
{
    core_state *st = x->loop->st;
    PyObject *connect_by = time_or_none(x->connect_by), *end_by = time_or_none(x->end_by), *opening = NULL;
    PyObject *timeout = x->timeout;
    x->phase = HOP_CONNECTING;
    if (timeout == NULL || timeout == Py_None || PyNumber_Check(timeout)) { /* a total alone: that is `end_by` */
        timeout = PyObject_CallNoArgs(st->http->ClientTimeout);
        Py_XSETREF(x->timeout, timeout);
    }
    if (x->response->times != NULL && x->response->steps == NULL) {
        x->response->steps = PyDict_New();
    }
    if (connect_by != NULL && end_by != NULL && timeout != NULL && !PyErr_Occurred()) {
        PyObject *args[] = {x->connector, (PyObject *)x->conn, (PyObject *)x->route, timeout, connect_by, end_by,
                            Py_None, x->response->steps}; /* the last two if times are noted */
        size_t n = Py_ARRAY_LENGTH(args) - (x->response->steps == NULL ? 2 : 0);
        opening = PyObject_VectorcallMethod(st->http->n__open, args, n, NULL);
    }
    Py_XDECREF(connect_by);
    Py_XDECREF(end_by);
    int err = opening == NULL ? -1 : coro_await(c, opening);
    Py_XDECREF(opening);
    return err < 0 ? CORO_ERROR : CORO_WAIT;
}

static void
dialed(dial *d)
{
    hop *x = (hop *)(void *)((char *)d - offsetof(hop, dial));
    response_wake_caller(x->response);
}

static coro_outcome
wait_for_dial(hop *x, CoroObject *c)
{
    double by = x->connect_by;
    if (x->times.sock_connect > 0) {
        by = sooner(by, clock_now() + x->times.sock_connect);
    }
    x->phase = HOP_DIALING;
    if ((by > 0 && deadline_set(x->loop, &x->slot_by, by) < 0) || coro_wait(c, &x->response->answered_by) < 0) {
        return CORO_ERROR;
    }
    return CORO_WAIT;
}

static coro_outcome
open_connection(hop *x, CoroObject *c)
{
    x->phase = HOP_CONNECTING;
    if (UNLIKELY(x->response->times != NULL)) { /* its steps are noted by Python */
        return open_by_python(x, c);
    }
    switch (dial_start(&x->dial, x->conn, x->connector, (PyObject *)x->response, dialed)) {
    case DIAL_MADE:
        return send_request(x, c);
    case DIAL_WAIT:
        return wait_for_dial(x, c);
    case DIAL_NOT:
        return open_by_python(x, c);
    default:
        return CORO_ERROR;
    }
}

/* Somebody else gets it, who has to tell others how that goes (traces). */
static coro_outcome
delegate(hop *x, CoroObject *c)
{
    PyObject *connecting = PyObject_CallOneArg(x->connect, x->fresh ? Py_True : Py_False);
    x->phase = HOP_DELEGATED;
    int err = connecting == NULL ? -1 : coro_await(c, connecting);
    Py_XDECREF(connecting);
    return err < 0 ? CORO_ERROR : CORO_WAIT;
}

/* (connection, head, body) of connect(). -1 with an exception. */
static int
take_delegated(hop *x, PyObject *given)
{
    PyObject *conn, *head, *body;
    ResponseObject *r = x->response;
    if (!PyTuple_Check(given)
        || !PyArg_ParseTuple(given, "O!SO;connect", state_of(x)->http_connection_type, &conn, &head, &body)) {
        return -1;
    }
    Py_XSETREF(x->conn, (ConnectionObject *)Py_NewRef(conn));
    if (body != Py_None && !PyBytes_CheckExact(body)) {
        PyErr_SetString(PyExc_TypeError, "body must be bytes");
        return -1;
    }
    Py_XSETREF(x->body, body == Py_None ? NULL : Py_NewRef(body));
    r->sent.len = 0;
    if (buf_append(&r->sent, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head)) < 0) {
        PyErr_SetString(PyExc_ValueError, "the head of the request is too long");
        return -1;
    }
    return 0;
}

/* ---- the request --------------------------------------------------------------------------- */

static int
start_upload(hop *x)
{
    ResponseObject *r = x->response;
    PyObject *coro = PyObject_CallOneArg(x->upload, (PyObject *)r);
    r->uploading = 1; /* an eager task begins at once, and may be done when it is made */
    PyObject *task = coro == NULL ? NULL : PyObject_CallMethodOneArg((PyObject *)x->loop, state_of(x)->n_create_task, coro);
    Py_XDECREF(coro);
    if (task == NULL) {
        return -1;
    }
    if (r->uploading) {
        Py_XSETREF(r->upload, task);
    }
    else {
        Py_DECREF(task);
    }
    return 0;
}

static coro_outcome
send_request(hop *x, CoroObject *c)
{
    ResponseObject *r = x->response;
    conn_request request = {
        .head = r->sent.data,
        .head_len = r->sent.len,
        .body = x->body,
        .limits = &r->limits,
        .read_timeout = x->times.sock_read,
        .write_timeout = x->times.write,
        .head_only = r->head_only,
        .body_follows = x->upload != NULL,
        .upgrade = x->upgrade,
        .no_reuse = x->no_reuse,
        .once = !x->may_retry,
    };
    r->reused = x->conn->exchanges > 0;
    r->output = r->sent.len + (x->body == NULL ? 0 : (uint64_t)PyBytes_GET_SIZE(x->body));
    x->phase = HOP_HEAD;
    if (conn_begin(x->conn, &r->user, &request) < 0) {
        PyObject *exc = PyErr_GetRaisedException();
        if (was_stale(x, exc, 0)) {
            Py_DECREF(exc);
            response_restart(r);
            x->fresh = 1;
            return acquire(x, c);
        }
        PyErr_SetRaisedException(exc);
        return CORO_ERROR;
    }
    if (UNLIKELY(r->times != NULL) && x->upload == NULL) {
        r->times->sent = clock_now();
    }
    if (UNLIKELY(x->upload != NULL) && start_upload(x) < 0) {
        return CORO_ERROR;
    }
    if (UNLIKELY(r->started || r->failure != NULL)) { /* from within what we called: nobody is going to wake us */
        return coro_await(c, x->loop->st->noop) < 0 ? CORO_ERROR : CORO_WAIT;
    }
    return coro_wait(c, &r->answered_by) < 0 ? CORO_ERROR : CORO_WAIT;
}

/* A slot: `conn`, which is stolen, may have to be connected first. */
static coro_outcome
use(hop *x, CoroObject *c, ConnectionObject *conn)
{
    Py_XSETREF(x->conn, conn);
    if (UNLIKELY(x->response->times != NULL)) {
        x->response->times->granted = clock_now();
    }
    if (conn->state == CONN_NEW) {
        return open_connection(x, c);
    }
    return send_request(x, c);
}

static coro_outcome
acquire(hop *x, CoroObject *c)
{
    ConnectionObject *conn;
    if (UNLIKELY(x->connect != NULL)) {
        return delegate(x, c);
    }
    for (;;) {
        int got = pool_acquire(x->route, &x->waiter, &conn);
        if (got < 0) {
            return CORO_ERROR;
        }
        if (got == 0) {
            return wait_for_slot(x, c);
        }
        if (LIKELY(!x->fresh || conn->state == CONN_NEW)) {
            return use(x, c, conn);
        }
        conn_close(conn); /* what failed once is not tried again with another old one */
        Py_DECREF(conn);
    }
}

/* ---- after a wait -------------------------------------------------------------------------- */

static coro_outcome
slot_came(hop *x, CoroObject *c)
{
    deadline_clear(x->loop, &x->slot_by);
    Py_CLEAR(x->response->slot);
    if (x->response->failure != NULL) {
        return raise_failure(x);
    }
    ConnectionObject *conn = pool_taken(&x->waiter);
    x->phase = HOP_START;
    if (conn == NULL) {
        return CORO_ERROR;
    }
    if (UNLIKELY(x->fresh && conn->state != CONN_NEW)) {
        conn_close(conn);
        Py_DECREF(conn);
        return acquire(x, c);
    }
    return use(x, c, conn);
}

static coro_outcome
connected(hop *x, CoroObject *c)
{
    if (x->response->failure != NULL) {
        return raise_failure(x);
    }
    return send_request(x, c);
}

static coro_outcome
dial_over(hop *x, CoroObject *c)
{
    deadline_clear(x->loop, &x->slot_by);
    if (x->response->failure != NULL) {
        return raise_failure(x);
    }
    if (x->conn->state == CONN_CLOSED) {
        http_raise(x->loop->st, "connector_closed");
        return CORO_ERROR;
    }
    x->phase = HOP_CONNECTING;
    return dial_finish(&x->dial) == DIAL_MADE ? send_request(x, c) : CORO_ERROR;
}

static coro_outcome
delegated(hop *x, CoroObject *c, PyObject *given)
{
    int err = take_delegated(x, given);
    if (err == 0 && x->response->failure == NULL) {
        return send_request(x, c);
    }
    if (x->conn != NULL) {
        PyObject *exc = PyErr_GetRaisedException();
        conn_close(x->conn);
        PyErr_SetRaisedException(exc);
    }
    return err < 0 ? CORO_ERROR : raise_failure(x);
}

static coro_outcome
answered(hop *x, CoroObject *c)
{
    ResponseObject *r = x->response;
    if (LIKELY(r->started)) {
        x->phase = HOP_OVER;
        Py_CLEAR(x->conn);
        return CORO_DONE;
    }
    if (r->failure == NULL) { /* woken by somebody else */
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return CORO_ERROR;
    }
    if (was_stale(x, r->failure, 1)) {
        response_restart(r);
        x->fresh = 1;
        return acquire(x, c);
    }
    return raise_failure(x);
}

coro_outcome
hop_step(hop *x, CoroObject *c, PyObject *value)
{
    if (UNLIKELY(value == NULL && x->phase != HOP_START)) {
        return CORO_ERROR; /* cancelled, or not connected: hop_end() */
    }
    switch (x->phase) {
    case HOP_START:
        return acquire(x, c);
    case HOP_QUEUED:
        return slot_came(x, c);
    case HOP_DIALING:
        return dial_over(x, c);
    case HOP_CONNECTING:
        return connected(x, c);
    case HOP_DELEGATED:
        return delegated(x, c, value);
    default:
        return answered(x, c);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

void
hop_init(hop *x)
{
    memset(x, 0, sizeof *x);
    deadline_init(&x->slot_by, slot_expired);
}

/* What has not come to an answer is cut off. */
static void
give_up(hop *x)
{
    if (x->phase == HOP_QUEUED) {
        deadline_clear(x->loop, &x->slot_by);
        pool_cancel(&x->waiter);
    }
    else if (x->phase == HOP_DIALING || x->phase == HOP_CONNECTING) {
        deadline_clear(x->loop, &x->slot_by);
        dial_cancel(&x->dial);
        conn_close(x->conn);
    }
    if (x->response != NULL) {
        response_release(x->response);
    }
    x->phase = HOP_OVER;
}

void
hop_end(hop *x)
{
    if (UNLIKELY(x->phase != HOP_OVER)) {
        PyObject *exc = PyErr_GetRaisedException();
        give_up(x);
        PyErr_SetRaisedException(exc);
    }
    Py_CLEAR(x->session);
    Py_CLEAR(x->connector);
    Py_CLEAR(x->response);
    Py_CLEAR(x->route);
    Py_CLEAR(x->conn);
    Py_CLEAR(x->body);
    Py_CLEAR(x->upload);
    Py_CLEAR(x->connect);
    Py_CLEAR(x->timeout);
}

int
hop_traverse(hop *x, visitproc visit, void *arg)
{
    Py_VISIT(x->session);
    Py_VISIT(x->connector);
    Py_VISIT(x->response);
    Py_VISIT(x->route);
    Py_VISIT(x->conn);
    Py_VISIT(x->body);
    Py_VISIT(x->upload);
    Py_VISIT(x->connect);
    Py_VISIT(x->timeout);
    Py_VISIT(x->waiter.route);
    Py_VISIT(x->waiter.future);
    Py_VISIT(x->waiter.conn);
    return 0;
}
