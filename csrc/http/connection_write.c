/* connection_write.c - the request of an exchange, flow control both ways, and the timeouts; see connection.h.
 * Owns:    c->timer while an exchange is on.
 * Threads: the loop's. PYCALL: all.
 * While an upload is held up the timer is that of writing; the time to read begins when the kernel has taken the last
 * byte of the request. A timer is set once and looked at when it expires: a byte that comes costs nothing. */
#include "http/connection.h"
#include "http/wire.h"

#define TIMER_SLACK 0.002 /* seconds: uv_now() has milliseconds */

static const http1_limits default_limits = HTTP1_LIMITS_DEFAULT;

/* ---- timeouts ------------------------------------------------------------------------------ */

void
conn_stop_timer(ConnectionObject *c)
{
    deadline_clear(c->loop, &c->timer);
}

static void
set_timer(ConnectionObject *c, double seconds)
{
    if (deadline_set_in(c->loop, &c->timer, seconds) < 0) {
        conn_raised(c);
    }
}

static void
start_reading_timer(ConnectionObject *c)
{
    c->last_heard = uv_now(&c->loop->uv);
    if (c->read_timeout > 0 && !c->reading_paused) {
        set_timer(c, c->read_timeout);
    }
}

/* Bytes that the transport still has; 0 also if it does not tell. One that is not ours may end the exchange. */
static size_t
unsent(ConnectionObject *c)
{
    Py_ssize_t n = c->transport == NULL || c->lost ? 0 : c->wire->unsent(c);
    if (UNLIKELY(n < 0)) {
        loop_error(c->loop, "The transport of an HTTP connection has failed", c->transport, (PyObject *)c);
        n = 0;
    }
    return (size_t)n;
}

static void
set_writing_timer(ConnectionObject *c, size_t left)
{
    c->unsent = left;
    if (c->write_timeout > 0) {
        set_timer(c, c->write_timeout);
    }
}

/* A transport that is not ours may have taken all while it was asked. */
static int
is_held_up(const ConnectionObject *c, uint64_t exchange)
{
    return conn_is_on(c, exchange) && c->writing_paused;
}

static void
start_writing_timer(ConnectionObject *c)
{
    uint64_t exchange = c->exchanges;
    size_t left = unsent(c);
    if (is_held_up(c, exchange)) {
        set_writing_timer(c, left);
    }
}

static void
check_writing(ConnectionObject *c)
{
    uint64_t exchange = c->exchanges;
    size_t before = c->unsent, left = unsent(c);
    if (!is_held_up(c, exchange)) {
        return;
    }
    if (left >= before) {
        conn_fail(c, http_error(c->loop->st, "write_timeout", NULL));
    }
    else {
        set_writing_timer(c, left);
    }
}

static void
check_reading(ConnectionObject *c)
{
    double silent = clock_now() - (double)c->last_heard / 1e3;
    if (c->reading_paused || c->read_timeout <= 0) {
        return; /* set again when the user goes on; or it was of a write that has been taken since */
    }
    if (silent + TIMER_SLACK < c->read_timeout) {
        set_timer(c, c->read_timeout - silent);
    }
    else {
        conn_fail(c, http_error(c->loop->st, "read_timeout", NULL));
    }
}

void
conn_expired(deadline *d)
{
    ConnectionObject *c = CONTAINER_OF(d, ConnectionObject, timer);
    if (c->state != CONN_BUSY) {
        return;
    }
    Py_INCREF(c);
    if (c->writing_paused) {
        check_writing(c);
    }
    else if (!c->uploading) {
        check_reading(c);
    }
    Py_DECREF(c);
}

/* ---- the request --------------------------------------------------------------------------- */

/* The kernel has all of it. */
static void
request_out(ConnectionObject *c)
{
    c->draining = 0;
    start_reading_timer(c);
}

/* The transport has all of it. */
static void
request_given(ConnectionObject *c)
{
    uint64_t exchange = c->exchanges;
    c->uploading = 0;
    size_t left = unsent(c);
    if (UNLIKELY(!conn_is_on(c, exchange))) {
        return;
    }
    if (LIKELY(left == 0)) {
        request_out(c);
        return;
    }
    c->draining = 1;
    if (c->wire->limit(c, 1) < 0) { /* calls conn_set_writing() */
        conn_raised_in(c, exchange);
    }
    else if (conn_is_on(c, exchange) && c->draining && c->writing_paused) {
        start_writing_timer(c); /* also where it was paused before */
    }
    else if (conn_is_on(c, exchange) && c->draining) { /* gone meanwhile */
        request_out(c);
    }
}

void
conn_set_writing(ConnectionObject *c, int paused)
{
    c->writing_paused = paused != 0;
    if (c->state != CONN_BUSY) {
        return;
    }
    uint64_t exchange = c->exchanges;
    Py_INCREF(c);
    if (paused) {
        start_writing_timer(c);
    }
    else if (c->draining) {
        conn_stop_timer(c);
        if (c->wire->limit(c, 0) < 0) {
            conn_raised_in(c, exchange);
        }
        else if (conn_is_on(c, exchange)) {
            request_out(c);
        }
    }
    else if (c->uploading) {
        conn_stop_timer(c);
        if (c->user->ops->writable != NULL) {
            c->user->ops->writable(c->user);
        }
    }
    Py_DECREF(c);
}

static COLD int
refuse(ConnectionObject *c)
{
    if (c->state == CONN_CLOSED) {
        c->exchanges++;
        http_raise(c->loop->st, "disconnected");
    }
    else {
        PyErr_SetString(PyExc_RuntimeError, c->state == CONN_BUSY ? "the connection has an exchange already"
                                            : c->state == CONN_NEW  ? "the connection is not connected"
                                                                    : "the connection was not acquired");
    }
    return -1;
}

int
conn_begin(ConnectionObject *c, http_user *u, const conn_request *r)
{
    if (UNLIKELY(c->state != CONN_TAKEN)) {
        return refuse(c);
    }
    if (UNLIKELY(r->once) && c->exchanges > 0 && !c->wire->is_quiet(c)) {
        conn_abort(c);
        return refuse(c);
    }
    c->exchanges++;
    if (UNLIKELY(c->wire->send(c, r->head, r->head_len, r->body) < 0)) {
        PyObject *exc = PyErr_GetRaisedException();
        conn_abort(c);
        PyErr_SetRaisedException(exc);
        return -1;
    }
    if (UNLIKELY(c->state != CONN_TAKEN)) { /* a transport that is not ours has closed within write() */
        c->exchanges -= c->state == CONN_CLOSED; /* it is counted there */
        return refuse(c);
    }
    c->user = u;
    c->user_object = Py_NewRef(u->self);
    u->conn = c;
    c->state = CONN_BUSY;
    c->phase = READ_HEAD;
    c->interim = 0;
    c->limits = r->limits != NULL ? r->limits : &default_limits;
    c->read_timeout = r->read_timeout;
    c->write_timeout = r->write_timeout;
    c->head_only = r->head_only;
    c->upgrade = r->upgrade;
    c->no_reuse = r->no_reuse;
    c->uploading = r->body_follows;
    c->draining = c->answered = c->keep = 0;
    http1_head_reset(&c->head);
    if (!c->uploading) {
        request_given(c);
    }
    else if (c->writing_paused) {
        start_writing_timer(c);
    }
    return 0;
}

/* ---- a body that follows ------------------------------------------------------------------- */

static COLD int
refuse_write(ConnectionObject *c)
{
    if (c->state == CONN_BUSY && !c->lost) {
        PyErr_SetString(PyExc_RuntimeError, "the request is complete");
    }
    else {
        http_raise_closing(c->loop->st);
    }
    return -1;
}

static int
write_out(ConnectionObject *c, const char *base, size_t n, PyObject *bytes)
{
    if (UNLIKELY(c->state != CONN_BUSY || !c->uploading || c->lost)) {
        return refuse_write(c);
    }
    Py_INCREF(c); /* a transport that is not ours may end it within */
    int sent = c->wire->send(c, base, n, bytes), more = !c->writing_paused;
    Py_DECREF(c);
    return sent < 0 ? -1 : more;
}

int
conn_write(ConnectionObject *c, const char *base, size_t n)
{
    return write_out(c, base, n, NULL);
}

int
conn_write_with(ConnectionObject *c, const char *base, size_t n, PyObject *bytes)
{
    return write_out(c, base, n, bytes);
}

int
conn_finish_upload(ConnectionObject *c)
{
    if (UNLIKELY(c->state != CONN_BUSY || !c->uploading || c->lost)) {
        return refuse_write(c);
    }
    Py_INCREF(c);
    conn_stop_timer(c);
    request_given(c);
    Py_DECREF(c);
    return 0;
}

/* ---- back-pressure ------------------------------------------------------------------------- */

void
conn_pause(ConnectionObject *c, int pause)
{
    if (c->reading_paused == (pause != 0) || c->state != CONN_BUSY || c->lost) {
        return;
    }
    c->reading_paused = pause != 0;
    Py_INCREF(c);
    http_state *http = c->loop->st->http;
    wire_call(c, pause ? http->n_pause_reading : http->n_resume_reading);
    if (!pause && c->state == CONN_BUSY && !c->uploading && !c->draining) {
        start_reading_timer(c); /* the time that the user took is not the peer's */
    }
    Py_DECREF(c);
}
