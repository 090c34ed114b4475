/* session.h - SessionObject: `_core.ClientSession`, the settings of a session and what it keeps between requests. */
#ifndef UVOLT_HTTP_SESSION_H
#define UVOLT_HTTP_SESSION_H

#include "http/response.h"

#define SESSION_SPARES 64 /* buffers of request heads that are kept */
#define SESSION_HEAD_MAX (1 << 20) /* bytes of a request's head */

/* Seconds; 0: none. */
typedef struct http_timeouts {
    double total, connect, pool, sock_connect, sock_read, write;
} http_timeouts;

struct SessionObject {
    PyObject_HEAD
    PyObject *weakrefs;
    core_state *st;             /* raw: kept by the type's module */
    /* What Python sets; strong, NULL until then. */
    PyObject *loop, *connector, *timeout, *default_headers, *skip_auto_headers;
    PyObject *json_serialize, *json_serialize_bytes, *raise_for_status;
    PyObject *cookie_jar, *cookies_kept, *base_url, *response_class, *resolve_charset;
    Py_ssize_t read_bufsize;
    http1_limits limits;
    char auto_decompress, retry_connection, plain;
    /* What is kept. */
    target_cache targets;
    PyObject *timeout_seen;     /* strong: the ClientTimeout that `timeouts` was read from */
    http_timeouts timeouts;
    buf automatic;              /* Accept and so on: what is sent if no header is the user's own */
    buf spares[SESSION_SPARES];
    int nspares;
};

extern PyType_Spec http_session_spec;

LoopObject *session_loop(SessionObject *s); /* borrowed, running; or NULL with RuntimeError */
/* The numbers of a ClientTimeout, of a number (total) or None. -1 with an exception. PYCALL. */
int session_timeouts(SessionObject *s, PyObject *timeout, http_timeouts *out);
int session_is_closed(SessionObject *s);
int session_automatic(SessionObject *s); /* fills it if it is not; -1 with an exception */
buf session_take_buffer(SessionObject *s);
void session_give_buffer(SessionObject *s, buf *b);

#endif
