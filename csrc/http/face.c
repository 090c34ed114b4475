/* face.c - a method in C that looks like a function of Python: what stands in the place of aiohttp's methods (uvolt.swap).
 *
 * Called, it is the method, by way of vectorcall. Looked at (__class__, __code__, __doc__, a signature), it is the function:
 * tools that make mocks or wrap functions ask whether something is a function, and whether it is `async def`.
 * Owns: both. Kept by: the class it is in. Threads: any. PYCALL: a call, and a look at an attribute. */
#include "http/state.h"

typedef struct FaceObject {
    PyObject_HEAD
    PyObject *method; /* strong: called */
    PyObject *looks;  /* strong: looked at */
    vectorcallfunc call;
    vectorcallfunc call_method; /* of method */
} FaceObject;

static PyObject *
face_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    FaceObject *f = (FaceObject *)self;
    return f->call_method(f->method, args, nargsf, kwnames);
}

static PyObject *
face_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *method, *looks;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "MethodFace() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OO:MethodFace", &method, &looks)) {
        return NULL;
    }
    vectorcallfunc call = PyVectorcall_Function(method);
    if (call == NULL) {
        PyErr_SetString(PyExc_TypeError, "MethodFace() needs a method that has vectorcall");
        return NULL;
    }
    FaceObject *f = (FaceObject *)type->tp_alloc(type, 0);
    if (f != NULL) {
        f->method = Py_NewRef(method);
        f->looks = Py_NewRef(looks);
        f->call = face_call;
        f->call_method = call;
    }
    return (PyObject *)f;
}

static int
face_traverse(PyObject *self, visitproc visit, void *arg)
{
    FaceObject *f = (FaceObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->method);
    Py_VISIT(f->looks);
    return 0;
}

/* No tp_clear: what it holds is set once and a call may always come; a cycle goes through the class, which has one. */
static void
face_dealloc(PyObject *self)
{
    FaceObject *f = (FaceObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(f->method);
    Py_DECREF(f->looks);
    type->tp_free(self);
    Py_DECREF(type);
}

/* As a function binds. */
static PyObject *
face_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object == NULL ? Py_NewRef(self) : PyMethod_New(self, object);
}

/* What calls, binds or pickles is its own; all else is the function's. */
static PyObject *
face_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__get__", "__call__", "__reduce__", "__reduce_ex__"};
    for (size_t i = 0; PyUnicode_Check(name) && i < sizeof own / sizeof *own; i++) {
        if (PyUnicode_CompareWithASCIIString(name, own[i]) == 0) {
            return PyObject_GenericGetAttr(self, name);
        }
    }
    return PyObject_GetAttr(((FaceObject *)self)->looks, name);
}

static PyObject *
face_repr(PyObject *self)
{
    return PyObject_Repr(((FaceObject *)self)->looks);
}

/* By its qualified name, as functions are pickled; copies are itself. */
static PyObject *
face_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyObject_GetAttrString(((FaceObject *)self)->looks, "__qualname__");
}

static PyMethodDef face_methods[] = {
    {"__reduce__", face_reduce, METH_NOARGS, "__reduce__($self, /)\n--\n\nIts qualified name."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef face_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FaceObject, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot face_slots[] = {
    {Py_tp_doc, "MethodFace(method, looks, /)\n--\n\nA method that is called as method and looked at as looks, a function."},
    {Py_tp_new, face_new},
    {Py_tp_dealloc, face_dealloc},
    {Py_tp_traverse, face_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, face_get},
    {Py_tp_getattro, face_getattro},
    {Py_tp_repr, face_repr},
    {Py_tp_methods, face_methods},
    {Py_tp_members, face_members},
    {0, NULL},
};

/* METHOD_DESCRIPTOR: `object.name()` calls it without an object in between. */
PyType_Spec http_face_spec = {
    .name = "uvolt._core.MethodFace",
    .basicsize = sizeof(FaceObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = face_slots,
};
