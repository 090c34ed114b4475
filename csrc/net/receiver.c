/* receiver.c - from bytes to a protocol; see receiver.h.
 * Owns:    rx->view during one read; the bytes objects it makes.
 * Threads: the loop's. PYCALL: all but the garbage functions. */
#include "net/receiver.h"

#include "core/clock.h"
#include "core/handle.h"
#include "core/spare.h"

/* ---- calling the protocol ------------------------------------------------------------------ */

static COLD int
note_slow(receiver *rx, PyObject *callback, PyObject *arg, double took)
{
    HandleObject *h = handle_new(rx->loop, callback, &arg, 1, rx->context);
    PyObject *r = h == NULL ? NULL
                            : PyObject_CallMethod(rx->loop->st->support, "slow_callback", "Od",
                                                  (PyObject *)h, took);
    Py_XDECREF(h);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* callback(arg), or callback(self, arg), in the context of the transport. New reference. */
static inline PyObject *
call_in_context(receiver *rx, PyObject *callback, PyObject *self, PyObject *arg)
{
    PyObject *context = rx->context, *args[3] = {NULL, self, arg};
    PyObject **first = self != NULL ? args + 1 : args + 2;
    size_t nargs = self != NULL ? 2 : 1;
    int debug = rx->loop->debug;
    double start = UNLIKELY(debug) ? clock_now() : 0;
    if (UNLIKELY(PyContext_Enter(context) < 0)) {
        return NULL;
    }
    PyObject *r =
        PyObject_Vectorcall(callback, first, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (UNLIKELY(PyContext_Exit(context) < 0)) {
        Py_CLEAR(r);
    }
    if (UNLIKELY(debug) && r != NULL) {
        double took = clock_now() - start;
        if (took >= rx->loop->slow_callback_duration && note_slow(rx, callback, arg, took) < 0) {
            Py_CLEAR(r);
        }
    }
    return r;
}

/* ---- data_received(bytes) ------------------------------------------------------------ */

static inline int
deliver_bytes_to(receiver *rx, PyObject *self, const char *base, Py_ssize_t n)
{
    PyObject *bytes = spare_bytes(rx->loop, base, n);
    if (UNLIKELY(bytes == NULL)) {
        return -1;
    }
    PyObject *callback = Py_NewRef(rx->on_data);
    Py_XINCREF(self);
    PyObject *r = call_in_context(rx, callback, self, bytes);
    Py_XDECREF(self);
    Py_DECREF(callback);
    spare_release(rx->loop, bytes);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
deliver_bytes(receiver *rx, const char *base, Py_ssize_t n)
{
    return deliver_bytes_to(rx, NULL, base, n);
}

/* on_data is the function of a method: a bound one would be 64 bytes a connection, and copy its arguments. */
static int
deliver_bytes_to_method(receiver *rx, const char *base, Py_ssize_t n)
{
    return deliver_bytes_to(rx, rx->protocol, base, n);
}

/* A protocol that has no data_received, or had none when it was set: the AttributeError is what asyncio tells, too. */
static COLD int
deliver_unnamed(receiver *rx, const char *base, Py_ssize_t n)
{
    PyObject *callback = PyObject_GetAttr(rx->protocol, rx->loop->st->n_data_received);
    if (callback == NULL) {
        return -1;
    }
    Py_XSETREF(rx->on_data, callback);
    return deliver_bytes(rx, base, n);
}

/* ---- BufferedProtocol ---------------------------------------------------------------- */

/* An empty buffer has its own error, also where it is empty and read-only. */
static COLD void
explain_refusal(PyObject *obj)
{
    PyObject *refused = PyErr_GetRaisedException();
    if (PyObject_Size(obj) == 0) {
        Py_XDECREF(refused);
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return;
    }
    PyErr_Clear();
    if (refused == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
        return;
    }
    PyErr_SetRaisedException(refused);
}

static int
take_view(receiver *rx, PyObject *obj)
{
    if (rx->view == NULL && (rx->view = calloc(1, sizeof(*rx->view))) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (PyObject_GetBuffer(obj, rx->view, PyBUF_WRITABLE) < 0) {
        rx->view->obj = NULL;
        explain_refusal(obj);
        return -1;
    }
    if (rx->view->len == 0) {
        PyBuffer_Release(rx->view);
        explain_refusal(obj);
        return -1;
    }
    return 0;
}

void
receiver_drop_buffer(receiver *rx)
{
    if (rx->view != NULL && rx->view->obj != NULL) {
        PyBuffer_Release(rx->view);
    }
}

int
receiver_take_buffer(receiver *rx, Py_ssize_t size, char **base, size_t *len)
{
    PyObject *hint = PyLong_FromSsize_t(size);
    PyObject *callback = Py_NewRef(rx->get_buffer);
    PyObject *obj = hint == NULL ? NULL : call_in_context(rx, callback, NULL, hint);
    Py_DECREF(callback);
    Py_XDECREF(hint);
    int rc = obj == NULL ? -1 : take_view(rx, obj);
    Py_XDECREF(obj);
    if (rc < 0) {
        return -1;
    }
    *base = rx->view->buf;
    *len = (size_t)rx->view->len;
    return 0;
}

static int
deliver_buffer(receiver *rx, const char *Py_UNUSED(base), Py_ssize_t n)
{
    receiver_drop_buffer(rx);
    PyObject *count = PyLong_FromSsize_t(n);
    if (count == NULL) {
        return -1;
    }
    PyObject *callback = Py_NewRef(rx->on_data);
    PyObject *r = call_in_context(rx, callback, NULL, count);
    Py_DECREF(callback);
    Py_DECREF(count);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* ---- a stock StreamReader ------------------------------------------------------------ */

/* reader.feed_data(bytes), for whatever the quick way does not do. */
static COLD int
feed_slow(core_state *st, PyObject *reader, const char *base, Py_ssize_t n)
{
    PyObject *bytes = PyBytes_FromStringAndSize(base, n);
    PyObject *r =
        bytes == NULL ? NULL : PyObject_CallMethodOneArg(reader, st->n_feed_data, bytes);
    Py_XDECREF(bytes);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

static int
append(PyObject *bytearray, const char *base, Py_ssize_t n)
{
    Py_ssize_t old = PyByteArray_GET_SIZE(bytearray);
    if (PyByteArray_Resize(bytearray, old + n) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(bytearray) + old, base, (size_t)n);
    return 0;
}

/* As StreamReader._wakeup_waiter(). */
static int
wake_waiter(core_state *st, PyObject *reader)
{
    PyObject *waiter = PyObject_GetAttr(reader, st->n__waiter);
    if (waiter == NULL || waiter == Py_None) {
        Py_XDECREF(waiter);
        return waiter == NULL ? -1 : 0;
    }
    PyObject *r = NULL;
    if (PyObject_SetAttr(reader, st->n__waiter, Py_None) == 0) {
        r = PyObject_CallMethodOneArg(waiter, st->n_set_result, Py_None);
        if (UNLIKELY(r == NULL) && PyErr_ExceptionMatches(st->InvalidStateError)) {
            PyErr_Clear(); /* it was cancelled meanwhile */
            r = Py_NewRef(Py_None);
        }
    }
    Py_XDECREF(r);
    Py_DECREF(waiter);
    return r == NULL ? -1 : 0;
}

/* The reader holds more than twice its limit: it pauses the transport, in its own Python code, fed
 * with nothing more. */
static int
check_limit(core_state *st, PyObject *reader, Py_ssize_t size)
{
    PyObject *limit = PyObject_GetAttr(reader, st->n__limit);
    if (limit == NULL) {
        return -1;
    }
    Py_ssize_t most = PyLong_Check(limit) ? PyLong_AsSsize_t(limit) : 0;
    Py_DECREF(limit);
    if (most == -1 && PyErr_Occurred()) {
        PyErr_Clear(); /* larger than any buffer */
        return 0;
    }
    if ((size + 1) / 2 <= most) { /* size <= 2 * most, without its overflow */
        return 0;
    }
    PyObject *r = PyObject_CallMethod(st->support, "pause_reader", "O", reader);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* A stock StreamReader whose feed_data nobody replaced, on the class or on the instance: 1, 0, or -1
 * with an exception. */
static int
feeds_itself(core_state *st, PyObject *reader)
{
    if ((PyObject *)Py_TYPE(reader) != st->StreamReader) {
        return 0;
    }
    PyObject *feed_data;
    int found = PyObject_GetOptionalAttr(reader, st->n_feed_data, &feed_data);
    if (found <= 0) {
        return found;
    }
    int own = PyMethod_Check(feed_data) && PyMethod_GET_FUNCTION(feed_data) == st->stock_feed;
    Py_DECREF(feed_data);
    return own;
}

int
receiver_feed(core_state *st, PyObject *reader, const char *base, Py_ssize_t n)
{
    PyObject *eof = PyObject_GetAttr(reader, st->n__eof);
    PyObject *buffer = eof == NULL ? NULL : PyObject_GetAttr(reader, st->n__buffer);
    int rc = -1;
    if (buffer != NULL) {
        int quick = 0;
        if (LIKELY(eof == Py_False && PyByteArray_CheckExact(buffer))) {
            quick = feeds_itself(st, reader);
        }
        if (LIKELY(quick > 0)) {
            rc = append(buffer, base, n);
            if (rc == 0) {
                rc = wake_waiter(st, reader);
            }
            if (rc == 0) {
                rc = check_limit(st, reader, PyByteArray_GET_SIZE(buffer));
            }
        }
        else if (quick == 0) {
            rc = feed_slow(st, reader, base, n);
        }
    }
    Py_XDECREF(eof);
    Py_XDECREF(buffer);
    return rc;
}

static int
deliver_reader(receiver *rx, const char *base, Py_ssize_t n)
{
    PyObject *reader;
    int rc = PyWeakref_GetRef(rx->on_data, &reader);
    if (rc <= 0) { /* nobody reads any more: asyncio drops the bytes as well */
        return rc;
    }
    rc = receiver_feed(rx->loop->st, reader, base, n);
    Py_DECREF(reader);
    return rc;
}

/* Is this asyncio's own pair of StreamReaderProtocol and StreamReader, with nothing replaced? Then the
 * weak reference that the protocol has to its reader (new reference). Py_None if not, NULL on error. */
static PyObject *
stock_reader(receiver *rx)
{
    core_state *st = rx->loop->st;
    PyObject *ref = NULL, *reader = NULL, *attr = NULL;
    int stock = 0;
    if ((PyObject *)Py_TYPE(rx->protocol) != st->StreamReaderProtocol) {
        Py_RETURN_NONE;
    }
    attr = PyObject_GetAttr(st->StreamReaderProtocol, st->n_data_received);
    stock = attr == st->stock_receive;
    Py_XDECREF(attr);
    if (!stock || PyObject_GetOptionalAttr(rx->protocol, st->n__stream_reader_wr, &ref) <= 0) {
        goto plain;
    }
    if (PyWeakref_Check(ref) && PyWeakref_GetRef(ref, &reader) > 0) {
        stock = feeds_itself(st, reader);
        Py_DECREF(reader);
        if (stock > 0) {
            return ref;
        }
    }
plain:
    Py_XDECREF(ref);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- a protocol in C ----------------------------------------------------------------------- */

static int
deliver_native(receiver *rx, const char *base, Py_ssize_t n)
{
    /* The bytes lie in a receive buffer of ours, whose contents are nobody else's. */
    return rx->loop->st->native_data(rx->protocol, (char *)base, n);
}

int
receiver_is_native(const receiver *rx)
{
    return rx->deliver == deliver_native;
}

/* ---- choosing ------------------------------------------------------------------------------ */

/* A protocol without data_received that is no BufferedProtocol, but has its get_buffer, is taken for one, as
 * uvloop does. One with neither fails when data comes, as on asyncio. The on_data, or NULL. */
static COLD PyObject *
choose_unnamed(receiver *rx, PyObject **get_buffer)
{
    core_state *st = rx->loop->st;
    int found = PyObject_GetOptionalAttr(rx->protocol, st->n_get_buffer, get_buffer);
    if (found <= 0) {
        return found < 0 ? NULL : Py_NewRef(Py_None);
    }
    return PyObject_GetAttr(rx->protocol, st->n_buffer_updated);
}

/* on_data, get_buffer and deliver for rx->protocol. -1 with an exception and nothing changed. */
static int
choose(receiver *rx)
{
    core_state *st = rx->loop->st;
    PyObject *get_buffer = NULL, *on_data;
    if (Py_TYPE(rx->protocol) == st->native_type) {
        rx->deliver = deliver_native;
        Py_CLEAR(rx->get_buffer);
        Py_CLEAR(rx->on_data);
        return 0;
    }
    int buffered = PyObject_IsInstance(rx->protocol, st->BufferedProtocol);
    if (buffered < 0) {
        return -1;
    }
    int (*deliver)(receiver *, const char *, Py_ssize_t) = deliver_bytes;
    if (buffered) {
        deliver = deliver_buffer;
        get_buffer = PyObject_GetAttr(rx->protocol, st->n_get_buffer);
        on_data = get_buffer == NULL ? NULL : PyObject_GetAttr(rx->protocol, st->n_buffer_updated);
    }
    else {
        on_data = stock_reader(rx);
        if (on_data != Py_None) {
            deliver = deliver_reader;
        }
        else {
            Py_DECREF(on_data);
            if (PyObject_GetOptionalAttr(rx->protocol, st->n_data_received, &on_data) == 0) {
                on_data = choose_unnamed(rx, &get_buffer);
                deliver = get_buffer != NULL ? deliver_buffer : deliver_unnamed;
            }
            if (get_buffer == NULL && on_data != NULL && PyMethod_Check(on_data)
                && PyMethod_GET_SELF(on_data) == rx->protocol) {
                Py_SETREF(on_data, Py_NewRef(PyMethod_GET_FUNCTION(on_data)));
                deliver = deliver_bytes_to_method;
            }
        }
    }
    if (on_data == NULL) {
        Py_XDECREF(get_buffer);
        return -1;
    }
    rx->deliver = deliver;
    Py_XSETREF(rx->get_buffer, get_buffer);
    Py_XSETREF(rx->on_data, on_data);
    return 0;
}

int
receiver_set(receiver *rx, PyObject *protocol)
{
    PyObject *old = rx->protocol;
    rx->protocol = Py_NewRef(protocol);
    if (choose(rx) < 0) {
        Py_SETREF(rx->protocol, old);
        return -1;
    }
    Py_XDECREF(old);
    return 0;
}

PyObject *
receiver_call(receiver *rx, PyObject *method)
{
    if (PyContext_Enter(rx->context) < 0) {
        return NULL;
    }
    PyObject *protocol = Py_NewRef(rx->protocol); /* set_protocol() may drop it meanwhile */
    PyObject *r = PyObject_CallMethodNoArgs(protocol, method);
    Py_DECREF(protocol);
    if (PyContext_Exit(rx->context) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

/* ---- garbage ------------------------------------------------------------------------------- */

int
receiver_traverse(receiver *rx, visitproc visit, void *arg)
{
    Py_VISIT(rx->protocol);
    Py_VISIT(rx->on_data);
    Py_VISIT(rx->get_buffer);
    Py_VISIT(rx->context);
    return 0;
}

void
receiver_clear(receiver *rx)
{
    Py_CLEAR(rx->protocol);
    Py_CLEAR(rx->on_data);
    Py_CLEAR(rx->get_buffer);
    Py_CLEAR(rx->context);
}

void
receiver_detach(receiver *rx)
{
    Py_CLEAR(rx->protocol);
    Py_CLEAR(rx->on_data);
    Py_CLEAR(rx->get_buffer);
}
