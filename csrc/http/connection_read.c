/* connection_read.c - from the bytes of a transport to the user of an exchange; see connection.h.
 * Owns:    c->held, a head that came in pieces.
 * Threads: the loop's. PYCALL: all, by the user's functions, after which the exchange may be over: conn_is_on() tells.
 * A head that comes in one read is parsed where it lies. What comes while no exchange is on ends the connection:
 * it could be taken for the answer to the next request. */
#include "http/connection.h"
#include "http/wire.h"
#include "net/stream.h"

#define MAX_INTERIM 8        /* 1xx responses to one request */
#define HEAD_PIECE 4096      /* bytes added to a held head at a time */
#define DIRECT_MIN 32768     /* bytes of a body left, to be read into their place */
#define MAX_ERROR_BYTES 4096 /* of a head, for the text of an error */

/* ---- errors -------------------------------------------------------------------------------- */

static COLD void
fail_head(ConnectionObject *c, int code, const char *base, size_t len)
{
    char text[HTTP1_ERROR_ROOM];
    if (code == HTTP1_E_NOMEM) {
        PyErr_NoMemory();
        conn_raised(c);
        return;
    }
    http1_head_error_text(&c->head, code, c->limits, base, len, text, sizeof(text));
    conn_fail(c, http_error(c->loop->st, "bad_head", "(ss)", text, http1_error_kind(code)));
}

static const char *
body_kind(int code)
{
    switch (code) {
    case HTTP1_E_SHORT_LENGTH:
        return "length";
    case HTTP1_E_SHORT_CHUNKED:
    case HTTP1_E_CHUNK:
        return "chunked";
    default:
        return "other";
    }
}

static COLD void
fail_body(ConnectionObject *c, int code, const char *base, size_t len)
{
    char text[HTTP1_ERROR_ROOM];
    http1_body_error_text(&c->body, code, base, len, text, sizeof(text));
    conn_fail(c, http_error(c->loop->st, "short_body", "(ss)", body_kind(code), text));
}

/* ---- the head ------------------------------------------------------------------------------ */

/* All the limits allow, with what they do not count. */
static size_t
head_ceiling(const http1_limits *l)
{
    return (size_t)l->max_line + 64 + (size_t)l->max_headers * ((size_t)l->max_field + 64);
}

/* 0, -1 with MemoryError. */
static int
hold(ConnectionObject *c, const char *base, size_t n)
{
    size_t need = c->held_len + n;
    if (need > c->held_room) {
        size_t room = need < 1024 ? 1024 : need + need / 2;
        char *held = realloc(c->held, room);
        if (held == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        c->held = held;
        c->held_room = room;
    }
    memcpy(c->held + c->held_len, base, n);
    c->held_len = need;
    return 0;
}

/* A whole final head is at `base`. */
static void
take_final(ConnectionObject *c, char *base)
{
    http_user *u = c->user;
    uint64_t exchange = c->exchanges;
    const http1_head *h = &c->head;
    http1_body_init(&c->body, h, c->limits, c->head_only ? HTTP1_TO_HEAD : 0);
    int switched = h->status == 101;
    c->phase = switched && c->upgrade ? READ_RAW : READ_BODY;
    c->keep = h->keep_alive && !switched && !c->no_reuse && http1_body_delimited(&c->body);
    if (UNLIKELY(u->ops->head(u, c, base, h) < 0)) {
        conn_raised_in(c, exchange);
    }
}

/* A whole head of `n` bytes is at `base`. */
static void
take_head(ConnectionObject *c, char *base)
{
    uint64_t exchange = c->exchanges;
    int status = c->head.status;
    if (LIKELY(status >= 200 || status == 101)) {
        take_final(c, base);
        return;
    }
    if (++c->interim > MAX_INTERIM) {
        conn_fail(c, http_error(c->loop->st, "bad_head", "(s)", "Too many interim responses"));
        return;
    }
    if (status == 100 && c->user->ops->expect != NULL) {
        c->user->ops->expect(c->user);
    }
    if (conn_is_on(c, exchange)) {
        http1_head_reset(&c->head);
    }
}

/* The held head is whole; it goes away once it has been told. */
static void
take_held(ConnectionObject *c)
{
    char *held = c->held;
    c->held = NULL;
    c->held_len = c->held_room = 0;
    take_head(c, held);
    free(held);
}

/* Add to the held head until it is whole. The number of bytes used. */
static COLD size_t
read_pieces(ConnectionObject *c, const char *base, size_t n)
{
    size_t at = 0, ceiling = head_ceiling(c->limits);
    int rc = 0;
    while (rc == 0 && at < n) {
        size_t piece = n - at < HEAD_PIECE ? n - at : HEAD_PIECE;
        if (hold(c, base + at, piece) < 0) {
            conn_raised(c);
            return n;
        }
        at += piece;
        rc = http1_head_parse(&c->head, c->limits, c->held, c->held_len);
        if (rc == 0 && c->held_len > ceiling) {
            rc = HTTP1_E_TOO_LONG;
        }
    }
    if (rc > 0) {
        at -= c->held_len - (size_t)rc; /* what is behind it is read from where it lies */
        take_held(c);
    }
    else if (rc < 0) {
        fail_head(c, rc, c->held, c->held_len);
    }
    return at;
}

/* The number of bytes used. */
static size_t
read_head(ConnectionObject *c, char *base, size_t n)
{
    if (UNLIKELY(c->held_len > 0)) {
        return read_pieces(c, base, n);
    }
    int rc = http1_head_parse(&c->head, c->limits, base, n);
    if (LIKELY(rc > 0)) {
        take_head(c, base);
        return (size_t)rc;
    }
    if (rc < 0) {
        fail_head(c, rc, base, n);
    }
    else if (n > head_ceiling(c->limits)) {
        fail_head(c, HTTP1_E_TOO_LONG, base, MAX_ERROR_BYTES);
    }
    else if (hold(c, base, n) < 0) {
        conn_raised(c);
    }
    return n;
}

/* ---- the body ------------------------------------------------------------------------------ */

/* 1: go on, 0: it failed or the exchange is over. */
static inline int
tell_body(ConnectionObject *c, uint64_t exchange, const char *data, size_t n)
{
    if (UNLIKELY(c->user->ops->body(c->user, data, n) < 0)) {
        conn_raised_in(c, exchange);
        return 0;
    }
    return conn_is_on(c, exchange);
}

static inline int
tell_chunk_end(ConnectionObject *c, uint64_t exchange)
{
    http_user *u = c->user;
    if (u->ops->chunk_end != NULL && UNLIKELY(u->ops->chunk_end(u) < 0)) {
        conn_raised_in(c, exchange);
        return 0;
    }
    return conn_is_on(c, exchange);
}

static COLD int
tell_trailers(ConnectionObject *c, uint64_t exchange)
{
    http_user *u = c->user;
    if (u->ops->trailers != NULL && u->ops->trailers(u, c->body.trailer, c->body.ntrailer) < 0) {
        conn_raised_in(c, exchange);
        return 0;
    }
    return conn_is_on(c, exchange);
}

static void
read_body(ConnectionObject *c, const char *base, size_t n)
{
    uint64_t exchange = c->exchanges;
    for (;;) {
        size_t used = 0, len = 0;
        const char *data = NULL;
        int event = http1_body_next(&c->body, base, n, &used, &data, &len);
        if (UNLIKELY(event < 0)) {
            fail_body(c, event, base, n);
            return;
        }
        base += used;
        n -= used;
        if (UNLIKELY(c->body.ntrailer != 0) && !tell_trailers(c, exchange)) {
            return;
        }
        if (event == HTTP1_DONE) {
            conn_finish(c, n);
            return;
        }
        if (event == HTTP1_MORE || (event == HTTP1_DATA && !tell_body(c, exchange, data, len))
            || (event == HTTP1_CHUNK_END && !tell_chunk_end(c, exchange))) {
            return;
        }
    }
}

/* A large body of known length goes straight to where its reader wants it. */
int
conn_room(PyObject *self, char **base, size_t *room)
{
    const ConnectionObject *c = (ConnectionObject *)self;
    if (c->state != CONN_BUSY || c->phase != READ_BODY || c->body.kind != HTTP1_BODY_LENGTH
        || c->body.left < DIRECT_MIN || c->user->ops->room == NULL) {
        return 0;
    }
    return c->user->ops->room(c->user, c->body.left, base, room);
}

/* ---- what came ----------------------------------------------------------------------------- */

static void
feed(ConnectionObject *c, char *base, size_t n)
{
    uint64_t exchange = c->exchanges;
    while (n > 0 && conn_is_on(c, exchange) && c->phase == READ_HEAD) {
        size_t used = read_head(c, base, n);
        base += used;
        n -= used;
    }
    if (!conn_is_on(c, exchange)) {
        return;
    }
    if (LIKELY(c->phase == READ_BODY)) {
        read_body(c, base, n); /* also with nothing: there may be no body */
    }
    else if (c->phase == READ_RAW && n > 0) {
        tell_body(c, exchange, base, n);
    }
}

int
conn_data(PyObject *self, char *base, Py_ssize_t n)
{
    ConnectionObject *c = (ConnectionObject *)self;
    Py_INCREF(c);
    if (LIKELY(c->state == CONN_BUSY)) {
        PyObject *user = Py_NewRef(c->user->self); /* the collector may run, and find that nobody has it */
        c->last_heard = uv_now(&c->loop->uv);
        if (UNLIKELY(c->user->heard != NULL) && !c->answered) {
            *c->user->heard = clock_now();
        }
        c->answered = 1;
        feed(c, base, (size_t)n);
        Py_DECREF(user);
    }
    else if (c->state != CONN_CLOSED) {
        conn_abort(c);
    }
    Py_DECREF(c);
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* The connection failed in the middle: `exc` by the transport. */
static COLD void
fail_lost(ConnectionObject *c, PyObject *exc)
{
    const char *maker = c->phase == READ_BODY ? "body_reset" : "os_error";
    PyObject *error = PyErr_GivenExceptionMatches(exc, PyExc_OSError)
                          ? http_error(c->loop->st, maker, "(O)", exc)
                          : Py_NewRef(exc);
    conn_fail(c, error);
}

static void
end_exchange(ConnectionObject *c)
{
    if (c->phase == READ_HEAD) {
        conn_fail(c, http_error(c->loop->st, "disconnected", NULL));
        return;
    }
    int rc = c->phase == READ_RAW ? 1 : http1_body_eof(&c->body);
    if (rc > 0) {
        conn_finish(c, 0);
    }
    else {
        fail_body(c, rc, NULL, 0);
    }
}

void
conn_ended(ConnectionObject *c, PyObject *exc)
{
    Py_INCREF(c);
    c->eof = 1;
    if (c->state != CONN_BUSY) {
        conn_close(c);
    }
    else if (exc != NULL && exc != Py_None) {
        fail_lost(c, exc);
    }
    else {
        end_exchange(c);
    }
    Py_DECREF(c);
}

/* A server that refuses an upload answers and closes, and the next write fails before the answer is read: it is
 * still in the socket. */
COLD void
conn_read_left(ConnectionObject *c)
{
    if (c->state != CONN_BUSY || c->wire != &wire_stream) {
        return;
    }
    char *buffer = malloc(LOOP_RECV_SIZE);
    ssize_t n = 1;
    while (buffer != NULL && n > 0 && c->state == CONN_BUSY) {
        n = stream_read_left((StreamObject *)c->transport, buffer, LOOP_RECV_SIZE);
        if (n > 0) {
            conn_data((PyObject *)c, buffer, n);
        }
    }
    free(buffer);
}
