/* body_type.c - the Python type of a body: _core.StreamReader, with the interface of aiohttp's.
 *
 * Made in Python (for tests and hand-made responses) it is fed by a protocol with pause_reading() and
 * resume_reading(); made in C by whoever calls body_new(). Threads: the loop's. PYCALL: what feeds, reads or calls
 * back. */
#include "http/body_impl.h"
#include "http/state.h"
#include "runtime/args.h"

/* ---- arguments ----------------------------------------------------------------------------- */

/* The parameters of a method, of which the first `npos` may come by position, and `need` must be given. */
typedef struct params {
    const char *method;
    const char *names[4]; /* NULL at the end */
    Py_ssize_t npos, need;
} params;

static int
bind_keyword(const params *p, PyObject *name, PyObject *value, PyObject **out)
{
    for (int i = 0; p->names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(name, p->names[i]) == 0) {
            if (out[i] != NULL) {
                PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", p->method, p->names[i]);
                return -1;
            }
            out[i] = value;
            return 0;
        }
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", p->method, name);
    return -1;
}

/* out[i]: borrowed, NULL where nothing was given. 0, or -1 with TypeError. */
static int
bind_args(const params *p, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, PyObject **out)
{
    for (int i = 0; p->names[i] != NULL; i++) {
        out[i] = i < nargs && i < p->npos ? args[i] : NULL;
    }
    if (nargs > p->npos) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments (%zd given)", p->method, p->npos,
                     nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (bind_keyword(p, PyTuple_GET_ITEM(kwnames, i), args[nargs + i], out) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < p->need; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", p->method, p->names[i]);
            return -1;
        }
    }
    return 0;
}

/* A number of bytes; beyond what fits it is as large as can be. None, or none at all: `otherwise`. -2 with an exception
 * that is set: never what a caller gave. */
static Py_ssize_t
size_arg(PyObject *o, Py_ssize_t otherwise)
{
    if (o == NULL || o == Py_None) {
        return otherwise;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(o, NULL);
    return n >= 0 ? n : n == -1 && PyErr_Occurred() ? -2 : -1;
}

static BodyObject *
get_body(PyObject *self)
{
    BodyObject *b = (BodyObject *)self;
    if (UNLIKELY(b->loop == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "StreamReader.__init__() was not called");
        return NULL;
    }
    return b;
}

/* ---- reading ------------------------------------------------------------------------------- */

static const params read_params = {"read", {"n", NULL}, 1, 0};

static PyObject *
reader_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *arg;
    Py_ssize_t n;
    if (bind_args(&read_params, args, nargs, kwnames, &arg) < 0 || (n = size_arg(arg, -1)) == -2) {
        return NULL;
    }
    return body_call((BodyObject *)self, BODY_READ, NULL, n);
}

static PyObject *
reader_readany(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_call((BodyObject *)self, BODY_READANY, NULL, 0);
}

static const params readline_params = {"readline", {"max_line_length", NULL}, 0, 0};

static PyObject *
reader_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *arg;
    Py_ssize_t n;
    if (bind_args(&readline_params, args, nargs, kwnames, &arg) < 0 || (n = size_arg(arg, 0)) == -2) {
        return NULL;
    }
    return body_call((BodyObject *)self, BODY_READUNTIL, NULL, n);
}

static const params readuntil_params = {"readuntil", {"separator", "max_size", NULL}, 1, 0};

static PyObject *
reader_readuntil(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *arg[2];
    Py_ssize_t n;
    if (bind_args(&readuntil_params, args, nargs, kwnames, arg) < 0 || (n = size_arg(arg[1], 0)) == -2) {
        return NULL;
    }
    if (arg[0] == NULL) {
        return body_call((BodyObject *)self, BODY_READUNTIL, NULL, n);
    }
    PyObject *separator = PyBytes_FromObject(arg[0]), *call = NULL;
    if (separator != NULL && PyBytes_GET_SIZE(separator) == 0) {
        PyErr_SetString(PyExc_ValueError, "Separator should be at least one-byte string");
    }
    else if (separator != NULL) {
        call = body_call((BodyObject *)self, BODY_READUNTIL, separator, n);
    }
    Py_XDECREF(separator);
    return call;
}

static PyObject *
reader_readchunk(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_call((BodyObject *)self, BODY_READCHUNK, NULL, 0);
}

static const params readexactly_params = {"readexactly", {"n", NULL}, 1, 1};

static PyObject *
reader_readexactly(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *arg;
    if (bind_args(&readexactly_params, args, nargs, kwnames, &arg) < 0) {
        return NULL;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(arg, NULL);
    return n == -1 && PyErr_Occurred() ? NULL : body_call((BodyObject *)self, BODY_READEXACTLY, NULL, n);
}

static PyObject *
reader_wait_eof(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_call((BodyObject *)self, BODY_WAIT_EOF, NULL, 0);
}

static const params read_nowait_params = {"read_nowait", {"n", NULL}, 1, 0};

static PyObject *
reader_read_nowait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    BodyObject *b = get_body(self);
    PyObject *arg;
    Py_ssize_t n;
    if (b == NULL || bind_args(&read_nowait_params, args, nargs, kwnames, &arg) < 0 || (n = size_arg(arg, -1)) == -2) {
        return NULL;
    }
    if (body_check(b) < 0) {
        return NULL;
    }
    if (b->waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Called while some coroutine is waiting for incoming data.");
        return NULL;
    }
    size_t most = n < 0 ? BODY_ALL : (size_t)n;
    if (body_fill(b, n < 0 ? b->low : most) < 0 || body_check(b) < 0) {
        return NULL;
    }
    return body_take(b, most);
}

/* ---- the end ------------------------------------------------------------------------------- */

static PyObject *
reader_is_eof(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyBool_FromLong(((BodyObject *)self)->eof);
}

/* What is not decoded yet may turn out to be nothing. */
static PyObject *
reader_at_eof(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = (BodyObject *)self;
    if (b->eof && b->data.size == 0 && b->decoder != NULL && body_fill(b, 1) < 0) {
        return NULL;
    }
    return PyBool_FromLong(b->eof && b->data.size == 0 && b->decoder == NULL);
}

static PyObject *
reader_on_eof(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    BodyObject *b = get_body(self);
    PyObject *callback = b == NULL ? NULL : uvolt_args_one("on_eof", "callback", args, nargs, kwnames);
    if (callback == NULL) {
        return NULL;
    }
    if (b->eof) {
        return body_call_back(b, callback) < 0 ? NULL : Py_NewRef(Py_None);
    }
    if (b->callbacks == NULL && (b->callbacks = PyList_New(0)) == NULL) {
        return NULL;
    }
    return PyList_Append(b->callbacks, callback) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_exception(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = (BodyObject *)self;
    return Py_NewRef(b->exception != NULL ? b->exception : Py_None);
}

static const params set_exception_params = {"set_exception", {"exc", "exc_cause", NULL}, 2, 1};

static PyObject *
reader_set_exception(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    BodyObject *b = get_body(self);
    PyObject *arg[2];
    if (b == NULL || bind_args(&set_exception_params, args, nargs, kwnames, arg) < 0) {
        return NULL;
    }
    if (arg[1] != NULL && arg[1] != arg[0] && PyExceptionInstance_Check(arg[0])) {
        PyException_SetCause(arg[0], arg[1] == Py_None ? NULL : Py_NewRef(arg[1]));
    }
    body_fail(b, arg[0]);
    Py_RETURN_NONE;
}

/* ---- feeding ------------------------------------------------------------------------------- */

static const params feed_data_params = {"feed_data", {"data", "size", NULL}, 2, 1};

static PyObject *
reader_feed_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    BodyObject *b = get_body(self);
    PyObject *arg[2];
    if (b == NULL || bind_args(&feed_data_params, args, nargs, kwnames, arg) < 0) {
        return NULL;
    }
    PyObject *bytes = PyBytes_CheckExact(arg[0]) ? Py_NewRef(arg[0]) : PyBytes_FromObject(arg[0]);
    int rc = bytes == NULL ? -1 : body_feed_object(b, bytes);
    Py_XDECREF(bytes);
    return rc < 0 ? NULL : Py_NewRef(Py_False);
}

static PyObject *
reader_feed_eof(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = get_body(self);
    return b == NULL || body_feed_eof(b) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_unread(PyObject *self, PyObject *data)
{
    BodyObject *b = get_body(self);
    if (b == NULL) {
        return NULL;
    }
    PyObject *bytes = PyBytes_FromObject(data);
    int rc = bytes == NULL ? -1 : PyBytes_GET_SIZE(bytes) == 0 ? 0 : body_unread(b, bytes);
    Py_XDECREF(bytes);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_unread_data(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *data = uvolt_args_one("unread_data", "data", args, nargs, kwnames);
    const char *text = "unread_data() is deprecated and will be removed in future releases (#3260)";
    if (data == NULL || PyErr_WarnEx(PyExc_DeprecationWarning, text, 1) < 0) {
        return NULL;
    }
    return reader_unread(self, data);
}

static PyObject *
reader_begin_chunk(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = (BodyObject *)self;
    if (!b->chunked && b->wire_total > 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Called begin_http_chunk_receiving when some data was already fed");
        return NULL;
    }
    body_begin_chunks(b);
    Py_RETURN_NONE;
}

static PyObject *
reader_end_chunk(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = get_body(self);
    if (b != NULL && !b->chunked) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Called end_chunk_receiving without calling begin_chunk_receiving first");
        return NULL;
    }
    return b == NULL || body_chunk_end(b) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_get_limits(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = (BodyObject *)self;
    return Py_BuildValue("(nK)", (Py_ssize_t)b->low, (unsigned long long)b->high);
}

static PyObject *
reader_set_chunk_size(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *n = uvolt_args_one("set_read_chunk_size", "n", args, nargs, kwnames);
    Py_ssize_t size = n == NULL ? -2 : size_arg(n, 0);
    if (size == -2) {
        return NULL;
    }
    if (size > 0) {
        body_raise_marks((BodyObject *)self, (size_t)size);
    }
    Py_RETURN_NONE;
}

/* For tests: what responses do in C. */
static PyObject *
reader_set_coding(PyObject *self, PyObject *value)
{
    BodyObject *b = get_body(self);
    Py_ssize_t n;
    const char *text = b == NULL ? NULL : PyUnicode_AsUTF8AndSize(value, &n);
    decoder *d = NULL;
    if (text == NULL) {
        return NULL;
    }
    if (decoder_add(&d, text, (size_t)n) < 0) {
        PyErr_SetString(PyExc_ValueError, d == NULL ? "out of memory" : decoder_error(d));
        decoder_free(d);
        return NULL;
    }
    body_set_decoder(b, decoder_ready(d));
    Py_RETURN_NONE;
}

static PyObject *
reader_set_cap(PyObject *self, PyObject *n)
{
    body_set_cap((BodyObject *)self, size_arg(n, 0));
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_expect(PyObject *self, PyObject *n)
{
    body_expect((BodyObject *)self, size_arg(n, 0));
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *
reader_drain(PyObject *self, PyObject *Py_UNUSED(unused))
{
    BodyObject *b = get_body(self);
    if (b == NULL) {
        return NULL;
    }
    body_drain(b);
    Py_RETURN_NONE;
}

static PyObject *
reader_take_all(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_take_all((BodyObject *)self);
}

static PyObject *
reader_iter_chunked(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *size = uvolt_args_one("iter_chunked", "n", args, nargs, kwnames);
    Py_ssize_t n = size == NULL ? -2 : size_arg(size, -1);
    if (n == -2) {
        return NULL;
    }
    if (n > 0) {
        body_raise_marks((BodyObject *)self, (size_t)n);
    }
    return body_iter_new(self, BODY_NEXT, n);
}

static PyObject *
reader_iter_any(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_iter_new(self, BODY_NEXT_ANY, 0);
}

static PyObject *
reader_iter_chunks(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return body_iter_new(self, BODY_NEXT_CHUNK, 0);
}

static PyObject *
reader_aiter(PyObject *self)
{
    return body_iter_new(self, BODY_NEXT_LINE, 0);
}

/* ---- the type ------------------------------------------------------------------------------ */

/* The loop that was given, or the one that runs. Borrowed, or NULL with an exception. */
static LoopObject *
get_loop(core_state *st, PyObject *given)
{
    PyObject *loop = NULL;
    if (given == NULL || given == Py_None) {
        PyObject *asyncio = PyImport_ImportModule("asyncio");
        loop = asyncio == NULL ? NULL : PyObject_CallMethod(asyncio, "get_running_loop", NULL);
        Py_XDECREF(asyncio);
    }
    else {
        loop = Py_NewRef(given);
    }
    if (loop == NULL) {
        return NULL;
    }
    Py_DECREF(loop); /* whoever gave it keeps it, as who runs it does */
    if (!PyObject_TypeCheck(loop, st->loop_type)) {
        if (http_load(st) == 0) {
            http_raise(st, "wrong_loop");
        }
        return NULL;
    }
    return (LoopObject *)loop;
}

static int
reader_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"protocol", "limit", "timer", "loop", NULL};
    PyObject *protocol, *timer = Py_None, *given = NULL;
    Py_ssize_t limit;
    core_state *st = uvolt_state_of_type(Py_TYPE(self));
    if (st == NULL
        || !PyArg_ParseTupleAndKeywords(args, kwargs, "On|$OO:StreamReader", (char **)(uintptr_t)names, &protocol,
                                        &limit, &timer, &given)) {
        return -1;
    }
    LoopObject *loop = get_loop(st, given);
    return loop == NULL ? -1 : body_init(self, loop, protocol, timer, limit < 0 ? 0 : limit);
}

static int
add_text(PyObject *list, PyObject *text)
{
    int rc = text == NULL ? -1 : PyList_Append(list, text);
    Py_XDECREF(text);
    return rc;
}

#define DEFAULT_LIMIT (1 << 18)

static PyObject *
reader_repr(PyObject *self)
{
    BodyObject *b = (BodyObject *)self;
    PyObject *list = PyList_New(0), *name = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__");
    PyObject *space = PyUnicode_FromString(" "), *joined = NULL, *repr = NULL;
    size_t size = b->data.size + b->wire.size;
    if (list != NULL && name != NULL && space != NULL && PyList_Append(list, name) == 0
        && (size == 0 || add_text(list, PyUnicode_FromFormat("%zu bytes", size)) == 0)
        && (!b->eof || add_text(list, PyUnicode_FromString("eof")) == 0)
        && (b->low == DEFAULT_LIMIT
            || add_text(list, PyUnicode_FromFormat("low=%zu high=%zu", b->low, b->high)) == 0)
        && (b->waiter == NULL || add_text(list, PyUnicode_FromFormat("w=%R", b->waiter)) == 0)
        && (b->exception == NULL || add_text(list, PyUnicode_FromFormat("e=%R", b->exception)) == 0)) {
        joined = PyUnicode_Join(space, list);
        repr = joined == NULL ? NULL : PyUnicode_FromFormat("<%U>", joined);
    }
    Py_XDECREF(list);
    Py_XDECREF(name);
    Py_XDECREF(space);
    Py_XDECREF(joined);
    return repr;
}

static PyObject *
reader_get_total(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((BodyObject *)self)->total);
}

static PyObject *
reader_get_wire(PyObject *self, void *Py_UNUSED(closure))
{
    BodyObject *b = (BodyObject *)self;
    return PyLong_FromUnsignedLongLong(b->encoded ? b->wire_total : b->total);
}

static PyObject *
reader_get_compressed(PyObject *self, void *Py_UNUSED(closure))
{
    BodyObject *b = (BodyObject *)self;
    return b->encoded ? PyLong_FromUnsignedLongLong(b->wire_total) : Py_NewRef(Py_None);
}

static PyGetSetDef reader_getset[] = {
    {"total_bytes", reader_get_total, NULL, "Bytes that were to be read so far, decoded.", NULL},
    {"total_raw_bytes", reader_get_wire, NULL, "Bytes that came.", NULL},
    {"total_compressed_bytes", reader_get_compressed, NULL, "The same, None without a coding.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define KW (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef reader_methods[] = {
    {"read", FAST(reader_read), KW,
     "read($self, n=-1)\n--\n\nA coroutine: at most n bytes, all that come if n is negative; b'' at the end."},
    {"readany", reader_readany, METH_NOARGS, "readany($self, /)\n--\n\nA coroutine: what is there, or comes next."},
    {"readline", FAST(reader_readline), KW,
     "readline($self, *, max_line_length=None)\n--\n\nA coroutine: the next line with its end."},
    {"readuntil", FAST(reader_readuntil), KW,
     "readuntil($self, separator=b'\\n', *, max_size=None)\n--\n\nA coroutine: up to the separator and with it."},
    {"readchunk", reader_readchunk, METH_NOARGS,
     "readchunk($self, /)\n--\n\nA coroutine: (bytes, whether a chunk of the chunked coding ends there)."},
    {"readexactly", FAST(reader_readexactly), KW,
     "readexactly($self, n)\n--\n\nA coroutine: n bytes, or IncompleteReadError."},
    {"read_nowait", FAST(reader_read_nowait), KW,
     "read_nowait($self, n=-1)\n--\n\nWhat is there, at most n bytes."},
    {"iter_chunked", FAST(reader_iter_chunked), KW,
     "iter_chunked($self, n)\n--\n\nAn asynchronous iterator of at most n bytes each."},
    {"iter_any", reader_iter_any, METH_NOARGS, "iter_any($self, /)\n--\n\nAn asynchronous iterator of what comes."},
    {"iter_chunks", reader_iter_chunks, METH_NOARGS,
     "iter_chunks($self, /)\n--\n\nAn asynchronous iterator of what readchunk() gives."},
    {"at_eof", reader_at_eof, METH_NOARGS, "at_eof($self, /)\n--\n\nWhether all came and was read."},
    {"is_eof", reader_is_eof, METH_NOARGS, "is_eof($self, /)\n--\n\nWhether all came."},
    {"wait_eof", reader_wait_eof, METH_NOARGS, "wait_eof($self, /)\n--\n\nA coroutine: until all came."},
    {"on_eof", FAST(reader_on_eof), KW, "on_eof($self, callback)\n--\n\nCall it when all came."},
    {"exception", reader_exception, METH_NOARGS, "exception($self, /)\n--\n\nWhat reads raise, or None."},
    {"set_exception", FAST(reader_set_exception), KW,
     "set_exception($self, exc, exc_cause=None)\n--\n\nReads raise it from now on."},
    {"feed_data", FAST(reader_feed_data), KW, "feed_data($self, data, size=0)\n--\n\nMore came. False."},
    {"feed_eof", reader_feed_eof, METH_NOARGS, "feed_eof($self, /)\n--\n\nAll came."},
    {"unread_data", FAST(reader_unread_data), KW, "unread_data($self, data)\n--\n\nPut back what was read (deprecated)."},
    {"_unread", reader_unread, METH_O, "_unread($self, data, /)\n--\n\nunread_data() for multipart readers: no warning."},
    {"begin_http_chunk_receiving", reader_begin_chunk, METH_NOARGS,
     "begin_http_chunk_receiving($self, /)\n--\n\nA chunk begins."},
    {"end_http_chunk_receiving", reader_end_chunk, METH_NOARGS,
     "end_http_chunk_receiving($self, /)\n--\n\nA chunk ends."},
    {"get_read_buffer_limits", reader_get_limits, METH_NOARGS,
     "get_read_buffer_limits($self, /)\n--\n\nThe low and the high water mark, in bytes."},
    {"set_read_chunk_size", FAST(reader_set_chunk_size), KW,
     "set_read_chunk_size($self, n)\n--\n\nReads of n bytes come: the marks rise to n and 2 n."},
    {"_set_coding", reader_set_coding, METH_O, "_set_coding($self, value, /)\n--\n\nFor tests: its Content-Encoding."},
    {"_set_cap", reader_set_cap, METH_O, "_set_cap($self, n, /)\n--\n\nFor tests: more bytes are an error."},
    {"_expect", reader_expect, METH_O, "_expect($self, n, /)\n--\n\nFor tests: its Content-Length."},
    {"_drain", reader_drain, METH_NOARGS, "_drain($self, /)\n--\n\nFor tests: nobody reads."},
    {"_take_all", reader_take_all, METH_NOARGS, "_take_all($self, /)\n--\n\nFor tests: all of a complete body."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot body_slots[] = {
    {Py_tp_doc, "StreamReader(protocol, limit, *, timer=None, loop=None)\n--\n\n"
                "The body of a response as a stream: aiohttp's StreamReader."},
    {Py_tp_init, reader_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, body_dealloc},
    {Py_tp_finalize, body_finalize},
    {Py_tp_traverse, body_traverse},
    {Py_tp_clear, body_clear},
    {Py_tp_repr, reader_repr},
    {Py_am_aiter, reader_aiter},
    {Py_tp_methods, reader_methods},
    {Py_tp_getset, reader_getset},
    {0, NULL},
};

PyType_Spec body_spec = {
    .name = "uvolt._core.StreamReader",
    .basicsize = sizeof(BodyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = body_slots,
};
