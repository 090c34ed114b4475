/* session.c - libFuzzer target: a whole session of uvolt.http against a scripted peer, in an embedded Python.
 *
 * fuzz/session.py makes the session and the peer of an input, and says what must hold; whatever it raises is a
 * finding. The C core is compiled in, so that libFuzzer sees its edges; Python's memory is malloc's, so that the
 * sanitizer sees what is done with it. UVOLT_FUZZ_PYTHON names the interpreter whose packages are used.
 *
 * fuzz-build: @core */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <signal.h>

#include "fuzz.h"

PyMODINIT_FUNC PyInit__core(void);

const char *__asan_default_options(void);

/* Python keeps many objects to the end by design; ours are counted by session.py. */
const char *
__asan_default_options(void)
{
    return "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1";
}

static PyObject *one; /* Target().one */

static void
finding(void)
{
    PyErr_PrintEx(0);
    fflush(stderr);
    abort();
}

static PyObject *
make_target(void)
{
    PyObject *path = PySys_GetObject("path");
    for (int i = 0; i < 2; i++) {
        PyObject *folder = PyUnicode_FromString(i == 0 ? "python" : "fuzz");
        CHECK(path != NULL && folder != NULL && PyList_Insert(path, 0, folder) == 0);
        Py_DECREF(folder);
    }
    PyObject *module = PyImport_ImportModule("session");
    PyObject *target = module == NULL ? NULL : PyObject_CallMethod(module, "Target", NULL);
    PyObject *method = target == NULL ? NULL : PyObject_GetAttrString(target, "one");
    if (method == NULL) {
        finding();
    }
    Py_DECREF(target);
    Py_DECREF(module);
    return method;
}

static void
start(void)
{
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    before.utf8_mode = 1;
    CHECK(!PyStatus_Exception(Py_PreInitialize(&before)));
    CHECK(PyImport_AppendInittab("uvolt._core", PyInit__core) == 0);
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0; /* they are libFuzzer's; but */
    signal(SIGPIPE, SIG_IGN);
    config.write_bytecode = 0;
    const char *python = getenv("UVOLT_FUZZ_PYTHON");
    if (python != NULL) {
        CHECK(!PyStatus_Exception(PyConfig_SetBytesString(&config, &config.program_name, python)));
    }
    CHECK(!PyStatus_Exception(Py_InitializeFromConfig(&config)));
    PyConfig_Clear(&config);
    one = make_target();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (one == NULL) {
        start();
    }
    PyObject *r = PyObject_CallFunction(one, "y#", (const char *)data, (Py_ssize_t)size);
    if (r == NULL) {
        finding();
    }
    Py_DECREF(r);
    return 0;
}
