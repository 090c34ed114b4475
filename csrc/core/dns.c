/* dns.c - which names need no name service. Owns nothing, runs no Python code.
 * For those the resolver of the C library is called at once, in the loop's thread: it does nothing but
 * parse, and its answer is right for every flag, family and scope id. */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "core/loop.h"

/* The characters of a str or bytes; NULL (no exception) for anything else or with NUL inside. */
static const char *
text_of(PyObject *o, Py_ssize_t *len)
{
    const char *s = NULL;
    if (PyUnicode_Check(o)) {
        s = PyUnicode_AsUTF8AndSize(o, len);
        if (s == NULL) {
            PyErr_Clear();
        }
    }
    else if (PyBytes_Check(o)) {
        s = PyBytes_AS_STRING(o);
        *len = PyBytes_GET_SIZE(o);
    }
    return s != NULL && strlen(s) == (size_t)*len ? s : NULL;
}

static int
host_is_numeric(PyObject *host)
{
    char buf[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    unsigned char addr[sizeof(struct in6_addr)];
    Py_ssize_t len;
    if (host == Py_None) {
        return 1;
    }
    const char *text = text_of(host, &len);
    if (text == NULL || len == 0 || (size_t)len >= sizeof(buf)) {
        return 0;
    }
    memcpy(buf, text, (size_t)len + 1);
    char *scope = strchr(buf, '%');
    if (scope != NULL) {
        *scope = '\0';
        return inet_pton(AF_INET6, buf, addr) == 1;
    }
    return inet_pton(AF_INET, buf, addr) == 1 || inet_pton(AF_INET6, buf, addr) == 1;
}

int
loop_is_address(PyObject *host, int family)
{
    unsigned char addr[sizeof(struct in6_addr)];
    Py_ssize_t len;
    const char *text = text_of(host, &len);
    return text != NULL && inet_pton(family, text, addr) == 1;
}

static int
port_is_numeric(PyObject *port)
{
    Py_ssize_t len;
    if (port == Py_None || PyLong_Check(port)) {
        return 1;
    }
    const char *text = text_of(port, &len);
    return text != NULL && len > 0 && len < 20 && strspn(text, "0123456789") == (size_t)len;
}

PyObject *
loop_is_numeric(PyObject *Py_UNUSED(op), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "_is_numeric(host, port)");
        return NULL;
    }
    return PyBool_FromLong(host_is_numeric(args[0]) && port_is_numeric(args[1]));
}
