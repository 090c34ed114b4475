/* wire.h - how a connection uses its transport: ours by C calls, any other by its methods. */
#ifndef UVOLT_HTTP_WIRE_H
#define UVOLT_HTTP_WIRE_H

#include "http/connection.h"

/* All PYCALL. */
struct wire_ops {
    /* A span, and exact bytes behind it or NULL. Errors of the socket come by connection_lost(). -1: another one. */
    int (*send)(ConnectionObject *c, const char *base, size_t n, PyObject *bytes);
    Py_ssize_t (*unsent)(ConnectionObject *c); /* bytes; -1 with an exception */
    /* resume_writing() comes when all is sent, or with room for more, as it is by default. -1 with an exception. */
    int (*limit)(ConnectionObject *c, int all);
    int (*is_quiet)(ConnectionObject *c);      /* open, and nothing has come? */
};

extern const wire_ops wire_stream, wire_tls, wire_foreign;

const wire_ops *wire_choose(core_state *st, PyObject *transport);
/* transport.name(); an exception is reported. PYCALL. */
void wire_call(ConnectionObject *c, PyObject *name);

#endif
