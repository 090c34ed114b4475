/* dns.c - getaddrinfo of addresses: which names need no name service. Owns nothing. PYCALL: audit hooks.
 * What a connection asks for (an address as inet_ntop() writes it, a stream or datagram, no odd flags) is answered
 * here. Other numbers are left to the resolver of the C library, called at once in the loop's thread: it does
 * nothing but parse, and its answer is right for every flag, family and scope id. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/loop.h"
#include "core/sock.h"

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
dns_is_address(PyObject *host, int family)
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
dns_is_numeric(PyObject *Py_UNUSED(op), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "_is_numeric(host, port)");
        return NULL;
    }
    return PyBool_FromLong(host_is_numeric(args[0]) && port_is_numeric(args[1]));
}

/* ---- getaddrinfo --------------------------------------------------------------------------- */

typedef struct query {
    PyObject *host;
    PyObject *port;
    long family, type, proto, flags;
} query;

/* Flags that change nothing about the answer for an address. */
#define PLAIN_FLAGS (AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV)

/* 1 if the arguments are all of the common kinds, else 0. */
static int
read_query(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, query *q)
{
    static const char *const names[] = {"family", "type", "proto", "flags"};
    long *const values[] = {&q->family, &q->type, &q->proto, &q->flags};
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs != 2 || !PyUnicode_CheckExact(args[0])) {
        return 0;
    }
    *q = (query){.host = args[0], .port = args[1]};
    for (Py_ssize_t i = 0; i < nkw; i++) {
        size_t n = 0;
        while (n < 4 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, i), names[n]) != 0) {
            n++;
        }
        int overflow;
        if (n == 4 || !PyLong_Check(args[nargs + i])) {
            return 0;
        }
        *values[n] = PyLong_AsLongAndOverflow(args[nargs + i], &overflow);
        if (overflow) {
            return 0;
        }
    }
    return 1;
}

/* 0 to 65535, or -1 for all that is not plainly that. */
static long
plain_port(PyObject *port)
{
    Py_ssize_t len;
    int overflow;
    if (PyLong_CheckExact(port)) {
        long number = PyLong_AsLongAndOverflow(port, &overflow);
        return !overflow && number >= 0 && number <= 65535 ? number : -1;
    }
    const char *text = text_of(port, &len);
    if (text == NULL || len == 0 || len > 5 || strspn(text, "0123456789") != (size_t)len) {
        return -1;
    }
    long number = strtol(text, NULL, 10);
    return number <= 65535 ? number : -1;
}

/* The last part of an answer: (host, port) or (host, port, 0, 0), in *sockaddr; its family, or 0 if this is not a
 * plain address and port, or -1 with an exception. */
static int
plain_sockaddr(const query *q, PyObject **sockaddr)
{
    unsigned char addr[sizeof(struct in6_addr)];
    char canonical[INET6_ADDRSTRLEN];
    Py_ssize_t len;
    long port = plain_port(q->port);
    const char *text = text_of(q->host, &len);
    if (port < 0 || text == NULL) {
        return 0;
    }
    if ((q->family == AF_UNSPEC || q->family == AF_INET) && inet_pton(AF_INET, text, addr) == 1) {
        *sockaddr = Py_BuildValue("(Ol)", q->host, port);
        return *sockaddr == NULL ? -1 : AF_INET;
    }
    if ((q->family == AF_UNSPEC || q->family == AF_INET6) && inet_pton(AF_INET6, text, addr) == 1) {
        inet_ntop(AF_INET6, addr, canonical, sizeof(canonical));
        *sockaddr = Py_BuildValue("(slii)", canonical, port, 0, 0);
        return *sockaddr == NULL ? -1 : AF_INET6;
    }
    return 0;
}

/* What socket.getaddrinfo() returns, for plain questions: a list of one. NULL, without an exception for others. */
static PyObject *
answer(core_state *st, const query *q)
{
    PyObject *sockaddr = NULL;
    int is_stream = q->type == SOCK_STREAM, proto = is_stream ? IPPROTO_TCP : IPPROTO_UDP;
    if ((!is_stream && q->type != SOCK_DGRAM) || (q->proto != 0 && q->proto != proto) || q->flags & ~PLAIN_FLAGS) {
        return NULL;
    }
    int family = plain_sockaddr(q, &sockaddr);
    if (family <= 0) {
        return NULL;
    }
    if (PySys_Audit("socket.getaddrinfo", "OOlll", q->host, q->port, q->family, q->type, q->proto) < 0) {
        Py_DECREF(sockaddr);
        return NULL;
    }
    return Py_BuildValue("[(OOisN)]", family == AF_INET ? st->InetFamily : st->Inet6Family,
                         is_stream ? st->StreamKind : st->DatagramKind, proto, "", sockaddr);
}

static PyObject *
give_answer(SockOp *op)
{
    return Py_NewRef(op->arg);
}

static const sockop_kind kind_getaddrinfo = {SOCKOP("getaddrinfo"), 0, give_answer, NULL, NULL};

PyObject *
dns_getaddrinfo(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *loop = (LoopObject *)self;
    query q;
    PyObject *list = NULL;
    if (!loop->debug && read_query(args, nargs, kwnames, &q)) {
        list = answer(loop->st, &q);
        if (list == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (list == NULL) {
        PyObject *method = PyObject_GetAttr(self, loop->st->n__getaddrinfo);
        PyObject *coro = method == NULL ? NULL : PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
        Py_XDECREF(method);
        return coro;
    }
    PyObject *op = sockop_new(loop, &kind_getaddrinfo, NULL, list, NULL);
    Py_DECREF(list);
    return op;
}
