/* sockaddr.h - socket addresses as the tuples Python's socket module makes. */
#ifndef UVOLT_RUNTIME_SOCKADDR_H
#define UVOLT_RUNTIME_SOCKADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "runtime/state.h"

/* Room for what a TCP connection has; longer addresses (AF_UNIX paths) are asked again when needed. */
typedef union small_addr {
    struct sockaddr sa;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
} small_addr;

/* (host, port), (host, port, flowinfo, scope_id), a path (str or bytes if abstract), or None. */
PyObject *uvolt_sockaddr_to_py(const struct sockaddr *sa, socklen_t len);

/* Is it of a family that uvolt_sockaddr_to_py() knows? */
static inline int
uvolt_sockaddr_known(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET || sa->sa_family == AF_INET6 || sa->sa_family == AF_UNIX;
}

#endif
