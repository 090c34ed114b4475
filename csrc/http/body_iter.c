/* body_iter.c - what iter_chunked() and its kin return: an asynchronous iterator whose steps are reads of a body.
 *
 * Owns: a reference to the body. Kept by: the `async for`. Threads: the loop's. No PYCALL: a step makes a coroutine. */
#include "http/body_impl.h"
#include "http/state.h"

typedef struct BodyIter {
    PyObject_HEAD
    BodyObject *body;   /* strong */
    body_method method; /* of one step, with this */
    Py_ssize_t n;
} BodyIter;

PyObject *
body_iter_new(PyObject *self, body_method method, Py_ssize_t n)
{
    core_state *st = uvolt_state_of_type(Py_TYPE(self));
    BodyIter *it = st == NULL ? NULL : PyObject_GC_New(BodyIter, st->http->body_iter_type);
    if (it == NULL) {
        return NULL;
    }
    it->body = (BodyObject *)Py_NewRef(self);
    it->method = method;
    it->n = n;
    PyObject_GC_Track(it);
    return (PyObject *)it;
}

static int
body_iter_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((BodyIter *)self)->body);
    return 0;
}

static int
body_iter_clear(PyObject *self)
{
    Py_CLEAR(((BodyIter *)self)->body);
    return 0;
}

static void
body_iter_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    body_iter_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *
body_iter_next(PyObject *self)
{
    BodyIter *it = (BodyIter *)self;
    return body_call(it->body, it->method, NULL, it->n);
}

static PyType_Slot body_iter_slots[] = {
    {Py_tp_doc, "What iter_chunked() and its kin return: an asynchronous iterator."},
    {Py_tp_dealloc, body_iter_dealloc},
    {Py_tp_traverse, body_iter_traverse},
    {Py_tp_clear, body_iter_clear},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, body_iter_next},
    {0, NULL},
};

PyType_Spec body_iter_spec = {
    .name = "uvolt._core.StreamIterator",
    .basicsize = sizeof(BodyIter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = body_iter_slots,
};
