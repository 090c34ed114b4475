/* state.h - what uvolt.http keeps for the module: types, names, what it asks of Python.
 *
 * One per core_state (`st->http`), made with the module. `import uvolt` imports nothing of uvolt.http: what comes
 * from Python is imported by http_load(), when a pool or a session is made. */
#ifndef UVOLT_HTTP_STATE_H
#define UVOLT_HTTP_STATE_H

#include "base/buf.h"
#include "runtime/state.h"

#define HTTP_SPARES 64 /* buffers of requests' heads that are kept */

/* Seconds; 0: none. */
typedef struct http_timeouts {
    double total, connect, pool, sock_connect, sock_read, write;
} http_timeouts;

/* Of sessions, requests and responses, each as what follows; their imports are done by http_load_client(). */
#define HTTP_CLIENT_TYPES(X) X(http_target) X(http_response) X(http_request) X(http_session)
#define HTTP_CLIENT_NAMES(X)                                                                       \
    X(_request) X(_target_of) X(_cookie_header) X(_store_cookies) X(_follow) X(_open) X(_connect)  \
    X(_resolve_host) X(_known_address) X(_build_url) X(_make_cookie_jar) X(loop) X(limit) X(limit_per_host) X(ssl) X(_ssl) X(connector)  \
    X(json_serialize) X(connector_owner)                                                  \
    X(_resolve_charset) X(create_task) X(raise_for_status) X(get_encoding) X(__aexit__)            \
    X(with_fragment) X(raw_fragment) X(headers) X(data) X(json) X(timeout) X(allow_redirects)      \
    X(GET) X(OPTIONS) X(HEAD) X(POST) X(PUT) X(PATCH) X(DELETE)
#define HTTP_CLIENT_IMPORTS(X)                                                                     \
    X(ClientResponse, "uvolt.http.response", "ClientResponse")                                     \
    X(stock_get_encoding, "uvolt.http.response", "_stock_get_encoding")                            \
    X(stock_request, "uvolt.http.client", "_stock_request")                                        \
    X(stock_hooks, "uvolt.http.connector", "_stock_hooks")                                         \
    X(socket_module, "socket", NULL)                                                               \
    X(auto_headers, "uvolt.http.client", "_auto_headers")                                          \
    X(ServerDisconnectedError, "uvolt.http.exceptions", "ServerDisconnectedError")                 \
    X(ClientOSError, "uvolt.http.exceptions", "ClientOSError")                                     \
    X(HttpProcessingError, "uvolt.http.exceptions", "HttpProcessingError")                         \
    X(CIMultiDict, "multidict", "CIMultiDict")                                                     \
    X(CIMultiDictProxy, "multidict", "CIMultiDictProxy")                                           \
    X(ClientTimeout, "uvolt.http.timeouts", "ClientTimeout")                                       \
    X(URL, "yarl", "URL")                                                                          \
    X(json_loads, "json", "loads")                                                                 \
    X(json_scan, "uvolt.http._support", "json_scan")                                               \
    X(json_dumps, "json", "dumps")                                                                 \
    X(get_running_loop, "asyncio", "get_running_loop")                                             \
    X(default_timeout, "uvolt.http.timeouts", "DEFAULT_TIMEOUT")                                   \
    X(TCPConnector, "uvolt.http.connector", "TCPConnector")                                        \
    X(stock_close, "uvolt.http.connector", "_stock_close")                                         \
    X(stock_session_close, "uvolt.http.client", "_stock_close")                                    \
    X(stock_target_of, "uvolt.http.client", "_stock_target_of")                                    \
    X(stock_build_url, "uvolt.http.client", "_stock_build_url")

/* Types: http_state member <name>_type, spec <name>_spec, in the order of their making. */
#define HTTP_TYPES(X)                                                                              \
    X(http_route) X(http_pool) X(http_acquire) X(http_connection) X(http_exchange)                 \
    X(http_connector)                                                                              \
    X(body) X(body_iter) X(http_face)

/* Interned strings, members n_<text>. */
#define HTTP_NAMES(X)                                                                              \
    X(abort) X(close) X(write) X(is_closing) X(pause_reading) X(resume_reading)                    \
    X(set_write_buffer_limits) X(get_write_buffer_size) X(high) X(low) X(connected)

/* What http_load() imports: X(member, module, attribute or NULL for the module). */
#define HTTP_IMPORTS(X)                                                                            \
    X(support, "uvolt.http._support", NULL)                                                        \
    X(streams, "uvolt.http.streams", NULL)                                                         \
    X(IncompleteReadError, "asyncio.exceptions", "IncompleteReadError")

struct http_state {
#define X(name) PyTypeObject *name##_type;
    HTTP_TYPES(X)
    HTTP_CLIENT_TYPES(X)
#undef X
#define X(name) PyObject *n_##name;
    HTTP_NAMES(X)
    HTTP_CLIENT_NAMES(X)
#undef X
#define X(name, module, attr) PyObject *name; /* strong; NULL before http_load() */
    HTTP_IMPORTS(X)
    HTTP_CLIENT_IMPORTS(X)
#undef X
    PyObject *origins;      /* strong: dict, "http://host:port" -> (connection key, value of Host), see target.c; or NULL */
    buf automatic;          /* Accept and so on, as sent; empty until needed */
    PyObject *automatic_agent; /* strong: the User-Agent in it; NULL: uvolt's */
    buf spares[HTTP_SPARES]; /* of the heads of requests */
    int nspares;
    http_timeouts default_times; /* of default_timeout */
    char default_times_read;
    pool body_pool;
    pool request_pool;
    char loaded;
    char client_loaded;
};

typedef struct http_state http_state;

extern PyType_Spec http_face_spec; /* _core.MethodFace: see face.c */

int http_init(PyObject *module, core_state *st); /* st->http and the types; -1 with an exception */
int http_load(core_state *st);                   /* imports, once; -1 with an exception. PYCALL */

/* What support.maker(*args) makes, as Py_BuildValue has them ("(...)", NULL: none). New reference, never NULL: where it
 * cannot be made, what went wrong. No exception is set. PYCALL. */
PyObject *http_error(core_state *st, const char *maker, const char *format, ...);
void http_raise(core_state *st, const char *maker); /* ... and set. PYCALL */
void http_raise_closing(core_state *st);            /* "Cannot write to closing transport" */

int http_load_client(core_state *st);            /* the same, and what sessions need */
int http_traverse(core_state *st, visitproc visit, void *arg);
void http_free(core_state *st);

#endif
