/* session.h - SessionObject: `_core.ClientSession`, the settings of a session and what it keeps between requests. */
#ifndef UVOLT_HTTP_SESSION_H
#define UVOLT_HTTP_SESSION_H

#include "http/response.h"

#define SESSION_HEAD_MAX (1 << 20) /* bytes of a request's head */

struct SessionObject {
    PyObject_HEAD
    PyObject *weakrefs;
    core_state *st;             /* raw: kept by the type's module */
    /* What Python sets; strong, NULL until then. */
    PyObject *loop, *connector, *timeout, *default_headers, *skip_auto_headers;
    PyObject *json_serialize, *json_serialize_bytes, *raise_for_status;
    PyObject *cookie_jar, *cookies_kept, *base_url, *response_class, *resolve_charset;
    PyObject *user_agent;       /* what User-Agent says; NULL: that it is uvolt's */
    Py_ssize_t read_bufsize;
    http1_limits limits;
    char auto_decompress, retry_connection, plain, connector_owner, timings;
    char lazy;                  /* made without arguments: headers and cookie jar are made when they are asked for */
    /* What is kept. */
    target_cache targets;
    PyObject *timeout_seen;     /* strong: the ClientTimeout that `timeouts` was read from */
    http_timeouts timeouts;
};

extern PyType_Spec http_session_spec;

LoopObject *session_loop(SessionObject *s); /* borrowed, running; or NULL with RuntimeError */
/* The numbers of a ClientTimeout, of a number (total) or None. -1 with an exception. PYCALL. */
int session_timeouts(SessionObject *s, PyObject *timeout, http_timeouts *out);
int session_is_closed(SessionObject *s);
/* Accept and so on: what is sent if no header is the user's own. NULL with an exception. */
const buf *session_automatic(SessionObject *s);
/* The heads of requests are written into buffers that all sessions share. */
buf session_take_buffer(SessionObject *s);
void session_give_buffer(SessionObject *s, buf *b);

/* ---- session_make.c */
void session_quicken(PyTypeObject *type); /* instances without arguments are made by C */
PyObject *session_enter(PyObject *, PyObject *);
PyObject *session_close(PyObject *, PyObject *);
PyObject *session_exit(PyObject *, PyObject *const *, Py_ssize_t);
extern PyGetSetDef session_getset[];

#endif
