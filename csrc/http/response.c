/* response.c - a response: its life, and what the connection tells of it.
 *
 * Owns:    the copied head, the body, the request's head. Kept by: the exchange until the head is there, then the
 *          caller. The connection has a borrowed pointer into it, which is taken back before it goes.
 * Threads: the loop's. PYCALL: waking futures, feeding `content`, release. */
#include "http/response.h"

#include "http/session.h"

static ResponseObject *
response_of(http_user *u)
{
    return (ResponseObject *)(void *)((char *)u - offsetof(ResponseObject, user));
}

/* ---- waking -------------------------------------------------------------------------------- */

/* The future is let go. */
static void
wake(ResponseObject *r, PyObject **slot)
{
    PyObject *future = *slot;
    if (future == NULL) {
        return;
    }
    core_state *st = r->loop->st;
    *slot = NULL;
    PyObject *done = PyObject_CallMethodOneArg(future, st->n_set_result, Py_None);
    if (UNLIKELY(done == NULL)) {
        if (PyErr_ExceptionMatches(st->InvalidStateError)) {
            PyErr_Clear(); /* cancelled */
        }
        else {
            loop_error(r->loop, "Error while waking a request", NULL, NULL);
        }
    }
    Py_XDECREF(done);
    Py_DECREF(future);
}

/* All that wait for room: a payload may write from several tasks. */
static void
wake_writers(ResponseObject *r)
{
    PyObject *futures = r->drained;
    r->drained = NULL;
    for (Py_ssize_t i = 0; futures != NULL && i < PyList_GET_SIZE(futures); i++) {
        PyObject *future = Py_NewRef(PyList_GET_ITEM(futures, i));
        wake(r, &future);
    }
    Py_XDECREF(futures);
}

/* The head has come, or will not come. */
void
response_wake_caller(ResponseObject *r)
{
    wake(r, &r->slot);
    if (r->answered_by.future != NULL && !r->answered_by.detached
        && UNLIKELY(waiter_wake(&r->answered_by, r->loop, 1) < 0)) {
        loop_error(r->loop, "Error while waking a request", NULL, NULL);
    }
}

/* No more of the request's body is wanted. */
static void
stop_upload(ResponseObject *r)
{
    r->uploading = 0;
    wake_writers(r);
    wake(r, &r->continued);
    PyObject *task = r->upload;
    r->upload = NULL;
    if (task != NULL) {
        PyObject *done = PyObject_CallMethodNoArgs(task, r->loop->st->n_cancel);
        if (done == NULL) {
            loop_error(r->loop, "Error while ending an upload", NULL, NULL);
        }
        Py_XDECREF(done);
        Py_DECREF(task);
    }
}

/* ---- the body ------------------------------------------------------------------------------ */

/* Nobody can read what is still to come: as aiohttp, the connection is given up, and debug mode says so. */
static void
give_up_unread(ResponseObject *r)
{
    PyObject *saved = PyErr_GetRaisedException();
    int told = r->user.conn != NULL && r->started && r->loop->debug;
    response_release(r);
    if (told) {
        PyObject *self = (PyObject *)r;
        PyObject *done = PyObject_CallMethod(r->loop->st->http->support, "unclosed_response", "OO", self, r->loop);
        if (done == NULL) {
            PyErr_WriteUnraisable(NULL);
        }
        Py_XDECREF(done);
    }
    PyErr_SetRaisedException(saved);
}

static void
control_flow(void *source, body_signal signal)
{
    ResponseObject *r = source;
    if (signal == BODY_GONE) {
        r->content = NULL;
        r->kept = 0;
        give_up_unread(r);
        return;
    }
    if (r->user.conn == NULL) {
        return;
    }
    switch (signal) {
    case BODY_AWAITED:
        conn_keep_user(&r->user, r->kept ? (PyObject *)r->content : (PyObject *)r);
        break;
    case BODY_NOT_AWAITED:
        conn_let_user_go(&r->user);
        break;
    default:
        conn_pause(r->user.conn, signal == BODY_PAUSE);
    }
}

/* Readers get the exception of a response that was released. */
static void
close_content(ResponseObject *r)
{
    PyObject *exc = http_error(r->loop->st, "connection_closed", NULL);
    body_fail(r->content, exc);
    Py_DECREF(exc);
}

/* A reader, with the decoder if there is one (which it owns from now on, also on failure). */
static BodyObject *
open_content(ResponseObject *r, decoder *d)
{
    BodyObject *b = r->content = body_new(r->loop, r->read_bufsize, r, control_flow);
    if (b == NULL) {
        decoder_free(d);
        return NULL;
    }
    if (d != NULL) {
        body_set_decoder(b, d);
    }
    if (r->chunked) {
        body_begin_chunks(b);
    }
    if (r->content_length > 0) {
        body_expect(b, r->content_length);
    }
    return b;
}

/* What has come so far goes into a reader that was opened late. */
static int
move_piece(ResponseObject *r)
{
    PyObject *piece = r->piece;
    r->piece = NULL;
    if (piece == NULL) {
        return 0;
    }
    int err = body_feed(r->content, PyBytes_AS_STRING(piece), (size_t)PyBytes_GET_SIZE(piece));
    Py_DECREF(piece);
    return err < 0 || !r->piece_ended ? err : body_chunk_end(r->content);
}

BodyObject *
response_content(ResponseObject *r)
{
    if (r->content != NULL) {
        return r->content;
    }
    if (r->empty) {
        return r->content = (BodyObject *)body_empty(r->loop->st);
    }
    BodyObject *b = open_content(r, NULL);
    if (b == NULL || move_piece(r) < 0 || (r->complete && body_feed_eof(b) < 0)) {
        return NULL;
    }
    if (r->released) {
        close_content(r);
    }
    return b;
}

/* ---- what the connection tells ------------------------------------------------------------- */

static int
copy_head(ResponseObject *r, const char *base, const http1_head *h)
{
    size_t fields = h->nfields * sizeof(http1_field);
    char *memory = PyMem_Malloc(fields + h->head_len);
    if (memory == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(memory, h->fields, fields);
    memcpy(memory + fields, base, h->head_len);
    PyMem_Free(r->head.fields);
    r->head.fields = (http1_field *)(void *)memory;
    r->head.base = memory + fields;
    r->head.nfields = h->nfields;
    r->head.reason = h->reason;
    r->head.reason_len = h->reason_len;
    r->head.content_type = h->content_type;
    return 0;
}

/* Opens the reader if the body is encoded. -1 with an exception. */
static int
decode_body(ResponseObject *r, const char *base, const http1_head *h)
{
    static const char name[] = "content-encoding";
    decoder *d = NULL;
    decode_status status = DECODE_MORE;
    const http1_field *f = http1_head_find(h, base, name, sizeof name - 1, 0);
    while (f != NULL && status == DECODE_MORE) {
        status = decoder_add(&d, base + f->value, f->value_len);
        f = http1_head_find(h, base, name, sizeof name - 1, (uint32_t)(f - h->fields) + 1);
    }
    if (status != DECODE_MORE) {
        if (status == DECODE_ERROR) {
            PyErr_SetRaisedException(http_error(r->loop->st, "content_encoding", "(s)", decoder_error(d)));
        }
        else {
            PyErr_NoMemory();
        }
        decoder_free(d);
        return -1;
    }
    d = decoder_ready(d);
    return d == NULL || open_content(r, d) != NULL ? 0 : -1;
}

/* What comes behind a 101 is the user's, whatever was asked for. */
static int
has_no_body(const ResponseObject *r, const http1_head *h)
{
    if (h->status == 101) {
        return 0;
    }
    if (UNLIKELY(r->limits.no_eof) && h->content_length < 0 && !h->chunked) {
        return 1;
    }
    return r->head_only || h->status == 204 || h->status == 304 || (h->content_length == 0 && !h->chunked);
}

static void
drop_trailers(ResponseObject *r)
{
    if (r->trailers != NULL) {
        buf_free(r->trailers);
        PyMem_Free(r->trailers);
        r->trailers = NULL;
    }
}

static int
on_trailers(http_user *u, const char *base, size_t n)
{
    ResponseObject *r = response_of(u);
    if (r->trailers == NULL) {
        r->trailers = PyMem_Malloc(sizeof *r->trailers);
        if (r->trailers == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        buf_init(r->trailers, SIZE_MAX / 2); /* the parser keeps the limits */
    }
    if (buf_append(r->trailers, base, n) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
on_head(http_user *u, ConnectionObject *Py_UNUSED(c), char *base, const http1_head *h)
{
    ResponseObject *r = response_of(u);
    if (copy_head(r, base, h) < 0) {
        return -1;
    }
    r->status = h->status;
    r->version_major = h->version_major;
    r->version_minor = h->version_minor;
    r->content_length = h->content_length;
    r->chunked = h->chunked;
    r->has_set_cookie = h->has_set_cookie;
    r->has_location = h->has_location;
    r->empty = has_no_body(r, h);
    int coded = h->ncontent_encoding != 0 && r->decompress;
    if (UNLIKELY(coded) && (!r->empty || h->content_length == 0) && !r->head_only && decode_body(r, base, h) < 0) {
        return -1;
    }
    r->started = r->answered = 1;
    conn_let_user_go(u); /* the request has it, still */
    response_wake_caller(r);
    return 0;
}

static int
on_body(http_user *u, const char *base, size_t n)
{
    ResponseObject *r = response_of(u);
    if (LIKELY(r->content == NULL)) {
        int only = r->piece == NULL && (r->content_length < 0 || (uint64_t)r->content_length == n);
        if (LIKELY(only)) {
            r->piece = PyBytes_FromStringAndSize(base, (Py_ssize_t)n);
            return r->piece == NULL ? -1 : 0;
        }
        if (open_content(r, NULL) == NULL || move_piece(r) < 0) {
            return -1;
        }
    }
    BodyObject *b = (BodyObject *)Py_NewRef((PyObject *)r->content);
    int err = body_feed(b, base, n);
    Py_DECREF(b);
    return err;
}

static int
on_room(http_user *u, uint64_t left, char **base, size_t *room)
{
    ResponseObject *r = response_of(u);
    return r->content == NULL ? 0 : body_room(r->content, left, base, room);
}

static int
on_chunk_end(http_user *u)
{
    ResponseObject *r = response_of(u);
    if (r->content == NULL) {
        r->piece_ended = 1;
        return 0;
    }
    BodyObject *b = (BodyObject *)Py_NewRef((PyObject *)r->content);
    int err = body_chunk_end(b);
    Py_DECREF(b);
    return err;
}

/* The exchange is over: its reader, if it kept this response, does so no longer. */
static void
leave_to_itself(ResponseObject *r)
{
    if (UNLIKELY(r->kept)) {
        r->kept = 0;
        Py_INCREF(r->content);
        body_keep(r->content, NULL);
    }
}

/* It is dropped, but its content is read on: that keeps it until the exchange is over. 0: it does not. */
static int
leave_to_reader(ResponseObject *r)
{
    int is_read = r->content != NULL && Py_REFCNT(r->content) > 1 && r->started && !r->released && !r->empty && !r->kept;
    if (!is_read || !body_keep(r->content, (PyObject *)r)) {
        return 0;
    }
    r->kept = 1;
    Py_DECREF(r->content);
    return 1;
}

static void
on_done(http_user *u)
{
    ResponseObject *r = response_of(u);
    r->complete = r->closed = 1;
    if (UNLIKELY(r->times != NULL)) {
        r->times->done = clock_now();
    }
    deadline_clear(r->loop, &r->total);
    Py_INCREF(r);
    if (r->uploading || r->upload != NULL) {
        stop_upload(r);
    }
    if (r->content != NULL && body_feed_eof(r->content) < 0) {
        loop_error(r->loop, "Error at the end of a response", NULL, NULL);
    }
    leave_to_itself(r);
    Py_DECREF(r);
}

static void
on_failed(http_user *u, PyObject *exc)
{
    ResponseObject *r = response_of(u);
    Py_INCREF(r);
    deadline_clear(r->loop, &r->total);
    if (!r->started) {
        Py_XSETREF(r->failure, Py_NewRef(exc));
        response_wake_caller(r);
    }
    else if (response_content(r) == NULL) {
        loop_error(r->loop, "Error at the end of a response", NULL, NULL);
    }
    else {
        body_fail(r->content, exc);
    }
    stop_upload(r);
    leave_to_itself(r);
    Py_DECREF(r);
}

static void
on_expect(http_user *u)
{
    ResponseObject *r = response_of(u);
    r->may_continue = 1;
    wake(r, &r->continued);
}

static void
on_writable(http_user *u)
{
    ResponseObject *r = response_of(u);
    wake_writers(r);
}

static const http_user_ops response_ops = {
    .head = on_head,
    .body = on_body,
    .room = on_room,
    .chunk_end = on_chunk_end,
    .trailers = on_trailers,
    .done = on_done,
    .failed = on_failed,
    .expect = on_expect,
    .writable = on_writable,
};

/* ---- from our side ------------------------------------------------------------------------- */

void
response_fail(ResponseObject *r, PyObject *exc)
{
    Py_INCREF(r);
    conn_abandon(&r->user);
    if (!r->complete) {
        on_failed(&r->user, exc);
    }
    Py_DECREF(r);
}

static void
total_expired(deadline *d)
{
    ResponseObject *r = (ResponseObject *)(void *)((char *)d - offsetof(ResponseObject, total));
    Py_INCREF(r); /* the collector may run */
    PyObject *exc = http_error(r->loop->st, "total_timeout", NULL);
    response_fail(r, exc);
    Py_DECREF(exc);
    Py_DECREF(r);
}

void
response_release(ResponseObject *r)
{
    r->closed = 1;
    if (r->released) {
        return;
    }
    r->released = 1;
    if (r->loop == NULL) {
        return;
    }
    deadline_clear(r->loop, &r->total);
    conn_abandon(&r->user);
    if (UNLIKELY(r->uploading || r->upload != NULL)) {
        stop_upload(r);
    }
    if (UNLIKELY(r->content != NULL && !r->empty && r->body == NULL && body_exception(r->content) == NULL)) {
        close_content(r);
    }
    leave_to_itself(r);
}

void
response_restart(ResponseObject *r)
{
    Py_CLEAR(r->failure);
    drop_trailers(r);
    r->answered = r->may_continue = 0;
    if (r->times != NULL) {
        r->times->granted = r->times->sent = r->times->heard = 0;
        Py_CLEAR(r->steps);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static COLD int
take_times(ResponseObject *r)
{
    r->times = PyMem_Calloc(1, sizeof *r->times);
    if (r->times == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    r->times->started = clock_now();
    r->user.heard = &r->times->heard;
    return 0;
}

ResponseObject *
response_new(SessionObject *session, PyTypeObject *type, PyObject *method, TargetObject *target)
{
    ResponseObject *r = (ResponseObject *)type->tp_alloc(type, 0);
    if (UNLIKELY(r == NULL)) {
        return NULL;
    }
    r->user.ops = &response_ops;
    r->user.self = (PyObject *)r;
    r->loop = (LoopObject *)Py_NewRef(session->loop);
    r->session = Py_NewRef((PyObject *)session);
    r->target = (TargetObject *)Py_XNewRef((PyObject *)target);
    r->method = Py_NewRef(method);
    r->read_bufsize = session->read_bufsize;
    r->limits = session->limits;
    r->decompress = session->auto_decompress != 0;
    r->content_length = -1;
    deadline_init(&r->total, total_expired);
    if (UNLIKELY(session->timings) && take_times(r) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

/* By hand, from Python: whoever makes one sets what it has. */
static PyObject *
response_tp_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    ResponseObject *r = (ResponseObject *)type->tp_alloc(type, 0);
    if (r != NULL) {
        r->user.ops = &response_ops;
        r->user.self = (PyObject *)r;
        r->content_length = -1;
        r->read_bufsize = 1 << 16;
        r->closed = 1;
        deadline_init(&r->total, total_expired);
    }
    return (PyObject *)r;
}

static int
response_traverse(PyObject *self, visitproc visit, void *arg)
{
    ResponseObject *r = (ResponseObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(r->loop);
    Py_VISIT(r->session);
    Py_VISIT(r->resolve_charset);
    Py_VISIT(r->target);
    Py_VISIT(r->method);
    Py_VISIT(r->url);
    Py_VISIT(r->real_url);
    Py_VISIT(r->status_obj);
    Py_VISIT(r->reason);
    Py_VISIT(r->version);
    Py_VISIT(r->headers);
    Py_VISIT(r->raw_headers);
    Py_VISIT(r->history);
    Py_VISIT(r->request_info);
    Py_VISIT(r->piece);
    Py_VISIT(r->body);
    if (!r->kept) {
        Py_VISIT(r->content);
    }
    Py_VISIT(r->foreign);
    Py_VISIT(r->on_read);
    Py_VISIT(r->steps);
    Py_VISIT(r->slot);
    Py_VISIT(r->failure);
    Py_VISIT(r->upload);
    Py_VISIT(r->drained);
    Py_VISIT(r->continued);
    return waiter_visit(&r->answered_by, visit, arg);
}

/* `loop` stays until dealloc: it has the state. */
static int
response_clear(PyObject *self)
{
    ResponseObject *r = (ResponseObject *)self;
    if (r->content != NULL) {
        body_detach(r->content);
    }
    Py_CLEAR(r->session);
    Py_CLEAR(r->resolve_charset);
    Py_CLEAR(r->target);
    Py_CLEAR(r->method);
    Py_CLEAR(r->url);
    Py_CLEAR(r->real_url);
    Py_CLEAR(r->status_obj);
    Py_CLEAR(r->reason);
    Py_CLEAR(r->version);
    Py_CLEAR(r->headers);
    Py_CLEAR(r->raw_headers);
    Py_CLEAR(r->history);
    Py_CLEAR(r->request_info);
    Py_CLEAR(r->piece);
    Py_CLEAR(r->body);
    if (r->kept) {
        r->kept = 0;
        r->content = NULL;
    }
    Py_CLEAR(r->content);
    Py_CLEAR(r->foreign);
    Py_CLEAR(r->on_read);
    Py_CLEAR(r->steps);
    Py_CLEAR(r->slot);
    waiter_clear(&r->answered_by);
    Py_CLEAR(r->failure);
    Py_CLEAR(r->upload);
    Py_CLEAR(r->drained);
    Py_CLEAR(r->continued);
    return 0;
}

/* Dropped with its body unread. One whose `content` is read on lives until that is over, or dropped as well. */
static void
response_finalize(PyObject *self)
{
    ResponseObject *r = (ResponseObject *)self;
    if (LIKELY(r->user.conn == NULL)) {
        return;
    }
    if (!leave_to_reader(r)) {
        give_up_unread(r);
    }
}

static void
response_dealloc(PyObject *self)
{
    ResponseObject *r = (ResponseObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (UNLIKELY(r->user.conn != NULL) && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    LoopObject *loop = r->loop;
    if (loop != NULL) {
        conn_abandon(&r->user);
        deadline_clear(loop, &r->total);
    }
    if (r->sent.data != NULL) {
        int ours = loop != NULL && r->session != NULL && PyObject_TypeCheck(r->session, loop->st->http->http_session_type);
        session_give_buffer(ours ? (SessionObject *)r->session : NULL, &r->sent);
    }
    response_clear(self);
    drop_trailers(r);
    PyMem_Free(r->head.fields);
    PyMem_Free(r->times);
    type->tp_free(self);
    Py_XDECREF(loop);
    Py_DECREF(type);
}

/* ---- the type ------------------------------------------------------------------------------ */

static PyObject *
response_release_method(PyObject *self, PyObject *Py_UNUSED(unused))
{
    ResponseObject *r = (ResponseObject *)self;
    response_release(r);
    return coro_noop(uvolt_state_of_type(Py_TYPE(self)));
}

static PyObject *
response_close_method(PyObject *self, PyObject *Py_UNUSED(unused))
{
    response_release((ResponseObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
response_aexit(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t nargs)
{
    if (nargs != 3) {
        return PyErr_Format(PyExc_TypeError, "__aexit__() takes 3 arguments, got %zd", nargs);
    }
    ((ResponseObject *)self)->in_context = 0;
    return response_release_method(self, NULL);
}

static coro_outcome
enter_step(CoroObject *c, PyObject *Py_UNUSED(value), PyObject **result)
{
    ResponseObject *r = (ResponseObject *)((CallObject *)c)->owner;
    r->in_context = 1;
    *result = Py_NewRef((PyObject *)r);
    return CORO_DONE;
}

static PyObject *
response_aenter(PyObject *self, PyObject *Py_UNUSED(unused))
{
    static const coro_kind kind = {"ClientResponse.__aenter__", enter_step, NULL};
    LoopObject *loop = ((ResponseObject *)self)->loop;
    if (loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this response has no loop");
        return NULL;
    }
    return call_new(loop, &kind, self, NULL, NULL, 0);
}

static PyMethodDef response_methods[] = {
    {"read", response_read, METH_NOARGS, "read($self, /)\n--\n\nThe whole body, decoded, as bytes."},
    {"text", FAST(response_text), METH_FASTCALL | METH_KEYWORDS,
     "text($self, /, encoding=None, errors='strict')\n--\n\nThe whole body as str."},
    {"json", FAST(response_json), METH_FASTCALL | METH_KEYWORDS,
     "json($self, /, *, encoding=None, loads=None, content_type='application/json')\n--\n\n"
     "The whole body, parsed by loads (json.loads); None if it is empty."},
    {"release", response_release_method, METH_NOARGS,
     "release($self, /)\n--\n\nGive the connection back, or up if the body is not read. May be awaited."},
    {"close", response_close_method, METH_NOARGS, "close($self, /)\n--\n\nGive the connection up."},
    {"wait_for_close", response_release_method, METH_NOARGS,
     "wait_for_close($self, /)\n--\n\nrelease(), to be awaited."},
    {"__aenter__", response_aenter, METH_NOARGS, "__aenter__($self, /)\n--\n\nThe response."},
    {"__aexit__", FAST(response_aexit), METH_FASTCALL,
     "__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\nrelease()."},
    {"_make", FAST(response_make), METH_FASTCALL,
     "_make($self, method, url, request_info, loop, session, /)\n--\n\nSet the members of a response that was made by hand."},
    {"_write", response_write, METH_O, "_write($self, data, /)\n--\n\nSend the next bytes of the body; await it."},
    {"_write_eof", response_write_eof, METH_NOARGS, "_write_eof($self, /)\n--\n\nThe body has been sent."},
    {"_continued", response_wait_continued, METH_NOARGS,
     "_continued($self, /)\n--\n\nAwait it: the server wants the body (100 Continue)."},
    {"_upload_failed", response_upload_failed, METH_O,
     "_upload_failed($self, exc, /)\n--\n\nThe body cannot be sent: end the exchange."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot response_slots[] = {
    {Py_tp_doc, "What a server answered."},
    {Py_tp_new, response_tp_new},
    {Py_tp_dealloc, response_dealloc},
    {Py_tp_finalize, response_finalize},
    {Py_tp_traverse, response_traverse},
    {Py_tp_clear, response_clear},
    {Py_tp_methods, response_methods},
    {Py_tp_getset, response_getset},
    {0, NULL},
};

PyType_Spec http_response_spec = {
    .name = "uvolt._core.ClientResponse",
    .basicsize = sizeof(ResponseObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = response_slots,
};
