/* state.h - the module state: types, interned names, what we import from asyncio, counters.
 *
 * One per module object, so one per interpreter. Objects reach it through their loop (`loop->st`),
 * which holds the module strongly. */
#ifndef UVOLT_RUNTIME_STATE_H
#define UVOLT_RUNTIME_STATE_H

#include "base/compat.h"
#include "base/compiler.h"
#include "runtime/pool.h"

/* Interned strings, as members of core_state named n_<text>. */
#define UVOLT_NAMES(X)                                                                             \
    X(context) X(name) X(loop) X(data_received) X(eof_received) X(connection_made)                 \
    X(connection_lost) X(pause_writing) X(resume_writing) X(get_buffer) X(buffer_updated)          \
    X(set_result) X(set_name) X(detach) X(_io_refs) X(_attach) X(_detach) X(_buffer) X(_eof)       \
    X(_waiter) X(_limit) X(_stream_reader_wr) X(feed_data) X(Task) X(coro) X(socket)               \
    X(sockname) X(peername) X(datagram_received) X(error_received) X(sendto) X(do_handshake)       \
    X(unwrap) X(data) X(done) X(connect) X(setblocking) X(submit) X(cancelled) X(cancel)           \
    X(add_done_callback) X(remove_done_callback) X(_callbacks) X(call_soon) X(_state) X(_result) X(_exception) X(_getaddrinfo) X(close) X(throw)

/* What C needs from asyncio and from our own Python side (uvolt._support). Strong references. */
#define UVOLT_IMPORTS(X)                                                                           \
    X(AioHandle, "asyncio.events", "Handle")                                                       \
    X(AioTimerHandle, "asyncio.events", "TimerHandle")                                             \
    X(AioReadTransport, "asyncio.transports", "ReadTransport")                                     \
    X(AioTransport, "asyncio.transports", "_FlowControlMixin")                                     \
    X(AioDatagramTransport, "asyncio.transports", "DatagramTransport")                             \
    X(BufferedProtocol, "asyncio.protocols", "BufferedProtocol")                                   \
    X(StreamReaderProtocol, "asyncio.streams", "StreamReaderProtocol")                             \
    X(StreamReader, "asyncio.streams", "StreamReader")                                             \
    X(Future, "asyncio.futures", "Future")                                                         \
    X(InvalidStateError, "asyncio.exceptions", "InvalidStateError")                                \
    X(SSLCertVerificationError, "uvolt._tls", "CertificateError")                                  \
    X(TLSAgain, "uvolt._tls", "AGAIN")                                                             \
    X(tls_support, "uvolt._tls", NULL)                                                             \
    X(futures, "asyncio.futures", NULL)                                                            \
    X(SendfileNotAvailableError, "asyncio.exceptions", "SendfileNotAvailableError")                \
    X(ConcurrentFuture, "concurrent.futures", "Future")                                            \
    X(InetFamily, "socket", "AF_INET")                                                             \
    X(Inet6Family, "socket", "AF_INET6")                                                           \
    X(StreamKind, "socket", "SOCK_STREAM")                                                         \
    X(DatagramKind, "socket", "SOCK_DGRAM")                                                        \
    X(AioLoop, "asyncio.selector_events", "BaseSelectorEventLoop")                                 \
    X(Socket, "socket", "socket")                                                                  \
    X(RawSocket, "_socket", "socket")                                                              \
    X(support, "uvolt._support", NULL)                                                             \
    X(tasks, "asyncio.tasks", NULL)

/* Counters that tests check after every test; see counters() in module.c. */
#define UVOLT_COUNTERS(X)                                                                          \
    X(loops_alive)                                                                                 \
    X(uv_handles_opened)                                                                           \
    X(uv_handles_closed)                                                                           \
    X(handles_alive)                                                                               \
    X(transports_alive)                                                                            \
    X(http_connections_alive)                                                                      \
    X(writes_pending)

typedef struct core_state {
    PyObject *module; /* borrowed: it owns this state */
    PyTypeObject *loop_type;
    PyTypeObject *handle_type;
    PyTypeObject *timer_type;
    PyTypeObject *sockop_type;
    PyTypeObject *call_type;
    PyTypeObject *noop_type;
    PyTypeObject *relay_type;
    PyTypeObject *stream_type;
    PyTypeObject *listener_type;
    PyTypeObject *pipe_read_type;
    PyTypeObject *pipe_write_type;
    PyTypeObject *udp_type;
    PyTypeObject *tls_type;
#define X(name) PyObject *n_##name;
    UVOLT_NAMES(X)
#undef X
#define X(name, module, attr) PyObject *name;
    UVOLT_IMPORTS(X)
#undef X
    PyObject *kw_context;    /* ("context",): the keyword names of call_soon */
    PyObject *kw_loop;       /* ("loop",) */
    PyObject *kw_seen;       /* the ("context",) that was seen last, of somebody else's making; or NULL */
    PyObject *no_args;       /* () */
    PyObject *noop;          /* an awaitable that is done */
    PyObject *stock_feed;    /* the original StreamReader.feed_data */
    PyObject *stock_receive; /* the original StreamReaderProtocol.data_received */
    PyObject *any_fileno;      /* the method fileno() of some socket, and its C function, which takes a socket */
    PyCFunction sock_fileno;   /* and NULL: a third of the instructions of calling the method */
    PyObject *future_done;     /* methods of asyncio.Future, and its list of callbacks, unbound; NULL if it */
    PyObject *future_remove;   /* is not CPython's own in C */
    PyObject *future_callbacks;
    PyCFunction task_wakeup;   /* what a task in C adds to the future that it awaits; NULL until one is seen */
    PyObject *sock_gettimeout; /* a method and members of _socket.socket, unbound */
    PyObject *sock_family;
    PyObject *sock_type;
    PyObject *sock_proto;
#define X(name) Py_ssize_t c_##name;
    UVOLT_COUNTERS(X)
#undef X
    /* Protocols of exactly this type, of our own, get their bytes by this call and no object: 0, or -1 with an
     * exception. The bytes may be changed where they lie. See net/receiver.h; a layer above fills them in. */
    PyTypeObject *native_type;   /* borrowed, or NULL */
    int (*native_data)(PyObject *protocol, char *base, Py_ssize_t n);
    /* Where its next bytes go: 1 into *base; 0 anywhere; -1 nowhere in this poll. */
    int (*native_room)(PyObject *protocol, char **base, size_t *room);
    struct http_state *http;     /* raw: http/state.c makes and frees it */
    struct openssl_api *openssl; /* raw: tls/openssl.c makes it at first use and frees it */
    const char *openssl_why;     /* raw, a literal: why there is none */
    int handle_deallocs;         /* of handles, under way, one within another */
    PyObject *handles_deferred;  /* raw: dead ones that wait for those to end, linked by their `repr` */
    pool handle_pool;
    pool timer_pool;
    pool sockop_pool;
    pool call_pool;
} core_state;

/* module.c owns the definition of the module. */
core_state *uvolt_state_of(PyObject *module);
core_state *uvolt_state_of_type(PyTypeObject *type);

int uvolt_state_init(core_state *st);
int uvolt_state_traverse(core_state *st, visitproc visit, void *arg);
void uvolt_state_clear(core_state *st);

/* module.attr, or the module itself if `attr` is NULL. New reference. PYCALL. */
PyObject *uvolt_import(const char *module, const char *attr);

/* Add a heap type to the module: `*slot` gets a strong reference. */
int uvolt_add_type(PyObject *module, PyTypeObject **slot, PyType_Spec *spec, PyObject *base);

#endif
