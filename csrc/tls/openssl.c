/* openssl.c - finding and verifying the interpreter's OpenSSL; see openssl.h.
 * Owns:    st->openssl.
 * Threads: any, with the GIL. PYCALL: openssl_get(), openssl_ssl_of(). */
#include "tls/openssl.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_FIELD sizeof(PyObject) /* of a struct that begins with PyObject_HEAD */

/* ---- the functions ------------------------------------------------------------------------- */

/* A handle on the loaded _ssl, through which dlsym() sees the libraries it is bound to. NULL without an
 * exception if it is not a library of its own and not in the global scope either. */
static void *
loaded_library(PyObject *module)
{
    PyObject *file = PyObject_GetAttrString(module, "__file__");
    if (file == NULL) { /* compiled into the interpreter */
        PyErr_Clear();
        return dlopen(NULL, RTLD_LAZY);
    }
    PyObject *path;
    void *library = NULL;
    if (PyUnicode_FSConverter(file, &path)) {
        library = dlopen(PyBytes_AS_STRING(path), RTLD_LAZY | RTLD_NOLOAD);
        Py_DECREF(path);
    }
    Py_DECREF(file);
    return library;
}

static const char *
find_functions(openssl_api *api, PyObject *module)
{
    void *library = loaded_library(module);
    if (library == NULL) {
        return "the library of _ssl cannot be reached";
    }
    int complete = 1;
#define X(name, result, args)                                                                      \
    *(void **)&api->name = dlsym(library, #name);                                                  \
    complete &= api->name != NULL;
    OPENSSL_FUNCTIONS(X)
#undef X
    dlclose(library); /* _ssl itself keeps it loaded */
    return complete ? NULL : "the functions of OpenSSL are not exported (a static build?)";
}

/* Is it the OpenSSL that _ssl says it uses? */
static const char *
check_version(const openssl_api *api, PyObject *module)
{
    PyObject *number = PyObject_GetAttrString(module, "OPENSSL_VERSION_NUMBER");
    unsigned long version = number == NULL ? 0 : PyLong_AsUnsignedLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    if (version != api->OpenSSL_version_num()) {
        return "another OpenSSL than _ssl's was found";
    }
    return version >= 0x10101000UL ? NULL : "OpenSSL is older than 1.1.1";
}

/* ---- the place of the pointer -------------------------------------------------------------- */

static void *
pointer_at(const void *object, Py_ssize_t offset)
{
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof(value));
    return value;
}

/* Can `size` bytes from `address` be read? Asks the kernel, so that a wrong guess cannot crash. */
static int
is_mapped(const void *address, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)address & ~(page - 1);
    unsigned char there[4];
    size_t length = (uintptr_t)address + size - from;
    return address != NULL && (uintptr_t)address % sizeof(void *) == 0
           && length <= sizeof(there) * page && mincore((void *)from, length, there) == 0;
}

/* _SSLSocket is {HEAD, Socket, SSL *ssl, SSLContext *ctx, ...} since 3.6: find ctx, which is known, and take what
 * is before it. Then four pointers must agree: the SSL's context, its owner, and both its BIOs. */
static const char *
verify_layout(openssl_api *api, PyObject *ssl, PyObject *context, PyObject *in, PyObject *out)
{
    Py_ssize_t size = Py_TYPE(ssl)->tp_basicsize, offset = FIRST_FIELD + sizeof(void *);
    while (offset + (Py_ssize_t)sizeof(void *) <= size && pointer_at(ssl, offset) != context) {
        offset += sizeof(void *);
    }
    if (offset + (Py_ssize_t)sizeof(void *) > size) {
        return "_ssl._SSLSocket has an unknown layout";
    }
    offset -= sizeof(void *);
    SSL *candidate = pointer_at(ssl, offset);
    if (!is_mapped(candidate, 2048) || api->SSL_get_SSL_CTX(candidate) != pointer_at(context, FIRST_FIELD)
        || api->SSL_get_rbio(candidate) != pointer_at(in, FIRST_FIELD)
        || api->SSL_get_wbio(candidate) != pointer_at(out, FIRST_FIELD)
        || api->SSL_get_ex_data(candidate, 0) != ssl) {
        return "the SSL of an _ssl._SSLSocket is not where it was expected";
    }
    api->ssl_offset = offset;
    return NULL;
}

/* With what the support module has for it: (the type ssl.SSLObject, an _SSLSocket, its context, in, out). */
static const char *
verify(openssl_api *api, PyObject *specimen)
{
    PyObject *object, *ssl, *context, *in, *out;
    if (!PyArg_ParseTuple(specimen, "OOOOO", &object, &ssl, &context, &in, &out)) {
        return "";
    }
    const char *why = verify_layout(api, ssl, context, in, out);
    if (why == NULL) {
        api->ssl_type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(ssl));
        api->object_type = Py_NewRef(object);
        api->incoming = Py_NewRef(in);
        api->outgoing = Py_NewRef(out);
    }
    return why;
}

/* ---- at first use -------------------------------------------------------------------------- */

static const char *
load(core_state *st, openssl_api *api)
{
    PyObject *module = PyImport_ImportModule("_ssl");
    if (module == NULL) {
        return "";
    }
    const char *why = find_functions(api, module);
    if (why == NULL) {
        why = check_version(api, module);
    }
    Py_DECREF(module);
    PyObject *specimen =
        why != NULL ? NULL : PyObject_CallMethod(st->tls_support, "specimen", NULL);
    if (specimen != NULL) {
        why = verify(api, specimen);
        Py_DECREF(specimen);
    }
    else if (why == NULL) {
        why = "";
    }
    return why;
}

openssl_api *
openssl_get(core_state *st, const char **why)
{
    if (st->openssl == NULL && st->openssl_why == NULL) {
        openssl_api *api = calloc(1, sizeof(*api));
        if (api == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        const char *problem = load(st, api);
        if (problem != NULL) {
            free(api);
            if (PyErr_Occurred()) {
                return NULL;
            }
            st->openssl_why = problem;
        }
        else {
            st->openssl = api;
        }
    }
    *why = st->openssl_why;
    return st->openssl;
}

void
openssl_release(core_state *st)
{
    openssl_api *api = st->openssl;
    st->openssl = NULL;
    if (api != NULL) {
        Py_DECREF(api->ssl_type);
        Py_DECREF(api->object_type);
        Py_DECREF(api->incoming);
        Py_DECREF(api->outgoing);
        /* Not api->method: an SSLObject that somebody keeps has a BIO made with it. */
        free(api);
    }
}

SSL *
openssl_ssl_of(const openssl_api *api, PyObject *sslobj)
{
    if ((PyObject *)Py_TYPE(sslobj) != api->object_type) {
        return NULL;
    }
    PyObject *inner = PyObject_GetAttrString(sslobj, "_sslobj");
    SSL *ssl = NULL;
    if (inner != NULL && Py_TYPE(inner) == api->ssl_type) {
        ssl = pointer_at(inner, api->ssl_offset);
        if (api->SSL_get_ex_data(ssl, 0) != inner) {
            ssl = NULL;
        }
    }
    PyErr_Clear();
    Py_XDECREF(inner);
    return ssl;
}
