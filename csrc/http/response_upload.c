/* response_upload.c - the body of a request that is sent piece by piece: what the task that sends it calls.
 * Owns: nothing. Threads: the loop's. PYCALL: all. */
#include "http/response.h"

static COLD PyObject *
refuse_write(ResponseObject *r)
{
    if (r->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this response has no connection");
    }
    else {
        http_raise_closing(r->loop->st);
    }
    return NULL;
}

static PyObject *
wait_for_room(ResponseObject *r)
{
    PyObject *future = loop_create_future((PyObject *)r->loop, NULL);
    if (r->drained == NULL && future != NULL) {
        r->drained = PyList_New(0);
    }
    if (r->drained == NULL || future == NULL || PyList_Append(r->drained, future) < 0) {
        Py_CLEAR(future);
    }
    return future;
}

/* An awaitable: done when there is room for more. */
PyObject *
response_write(PyObject *self, PyObject *data)
{
    ResponseObject *r = (ResponseObject *)self;
    Py_buffer view;
    int more;
    if (r->user.conn == NULL || !r->uploading) {
        return refuse_write(r);
    }
    Py_INCREF(self);
    if (PyBytes_CheckExact(data)) {
        r->output += (uint64_t)PyBytes_GET_SIZE(data);
        more = conn_write_with(r->user.conn, NULL, 0, data);
    }
    else if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        more = -1;
    }
    else if (UNLIKELY(r->user.conn == NULL)) { /* ended by __buffer__() */
        PyBuffer_Release(&view);
        refuse_write(r);
        more = -1;
    }
    else {
        r->output += (uint64_t)view.len;
        more = conn_write(r->user.conn, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
    }
    PyObject *answer = more < 0                             ? NULL
                       : more > 0 || r->user.conn == NULL   ? coro_noop(r->loop->st)
                                                            : wait_for_room(r);
    Py_DECREF(self);
    return answer;
}

PyObject *
response_write_eof(PyObject *self, PyObject *Py_UNUSED(unused))
{
    ResponseObject *r = (ResponseObject *)self;
    if (r->user.conn == NULL || !r->uploading) {
        return refuse_write(r);
    }
    PyObject *task = r->upload;
    r->uploading = 0;
    r->upload = NULL;
    if (UNLIKELY(r->times != NULL)) {
        r->times->sent = clock_now();
    }
    int err = conn_finish_upload(r->user.conn);
    Py_XDECREF(task);
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *
response_wait_continued(PyObject *self, PyObject *Py_UNUSED(unused))
{
    ResponseObject *r = (ResponseObject *)self;
    if (r->may_continue) {
        return coro_noop(r->loop->st);
    }
    if (r->user.conn == NULL) {
        return refuse_write(r);
    }
    PyObject *future = loop_create_future((PyObject *)r->loop, NULL);
    if (future != NULL) {
        Py_XSETREF(r->continued, Py_NewRef(future));
    }
    return future;
}

PyObject *
response_upload_failed(PyObject *self, PyObject *exc)
{
    ResponseObject *r = (ResponseObject *)self;
    if (!PyExceptionInstance_Check(exc)) {
        PyErr_SetString(PyExc_TypeError, "_upload_failed() takes an exception");
        return NULL;
    }
    r->uploading = 0;
    Py_CLEAR(r->upload);
    if (r->user.conn != NULL) {
        response_fail(r, exc);
    }
    Py_RETURN_NONE;
}
