/* transport.h - TlsObject: a TLS transport over another transport.
 *
 * To the program it is the transport; to the transport below it is the protocol. Over a StreamObject the bytes go
 * by C calls both ways; over any other transport by the methods of asyncio.Protocol and asyncio.Transport.
 * Split by role: transport.c life and handshake; transport_close.c shutdown; transport_io.c reading and
 * writing; transport_info.c what it tells of itself. Follows asyncio.sslproto of Python 3.13 on all versions. */
#ifndef UVOLT_TLS_TRANSPORT_H
#define UVOLT_TLS_TRANSPORT_H

#include "net/stream.h"
#include "tls/engine.h"

typedef enum tls_state {
    TLS_UNWRAPPED, /* not begun yet, or over */
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FLUSHING,  /* the peer's TCP end has closed: what it sent is still being delivered */
    TLS_SHUTDOWN,  /* close_notify is sent, the peer's awaited */
} tls_state;

typedef enum tls_app {
    APP_INIT, /* connection_made() is to be called */
    APP_MADE,
    APP_EOF,  /* eof_received() was called */
    APP_LOST, /* connection_lost() is called or scheduled */
} tls_app;

typedef struct TlsObject {
    PyObject_HEAD
    PyObject *base_slots[5]; /* room for the slots of asyncio's base class (five so far), unused */
    PyObject *dict;          /* strong */
    PyObject *weakrefs;
    LoopObject *loop;        /* strong */
    receiver to;             /* the program's protocol */
    PyObject *lower;         /* strong: the transport below, NULL before connection_made() */
    StreamObject *stream;    /* borrowed: `lower`, if it is one and still ours */
    tls_engine engine;
    PyObject *ssl_context;   /* strong: ssl.SSLContext */
    PyObject *waiter;        /* strong: future of who waits for the handshake, or NULL */
    PyObject *extra;         /* strong: dict behind get_extra_info, or NULL */
    PyObject *timer;         /* strong: TimerHandle of handshake or shutdown, or NULL */
    PyObject *handshake_timeout; /* strong: seconds */
    PyObject *shutdown_timeout;  /* strong: seconds */
    PyObject *backlog;       /* strong: list of bytes that OpenSSL does not take yet, or NULL */
    size_t backlog_bytes;
    char *held;              /* raw: ciphertext that waits for resume_reading(), or NULL */
    size_t held_len, held_room;
    size_t high, low;           /* write buffer limits, bytes */
    size_t read_high, read_low; /* read buffer limits, bytes */
    double began;            /* when the handshake did, seconds */
    unsigned conn_lost;      /* the connection is lost; counts later writes */
    tls_state state;
    tls_app app;
    unsigned server_side : 1;
    unsigned shaken : 1;         /* the handshake was completed */
    unsigned closed : 1;         /* is_closing() */
    unsigned let_go : 1;         /* close() was called when it was closed already */
    unsigned notified : 1;       /* close_notify was made */
    unsigned lost : 1;           /* the transport below has gone */
    unsigned eof_received : 1;   /* from below: no close_notify will come */
    unsigned app_paused : 1;     /* pause_reading() by the program */
    unsigned upgraded : 1;       /* start_tls() is done, and its caller does not know yet: nothing is delivered */
    unsigned reading_paused : 1; /* we paused the transport below */
    unsigned writing_paused : 1; /* the transport below has paused us */
    unsigned protocol_paused : 1; /* we have paused the program */
    unsigned busy : 1;           /* the engine is at work on a span */
    unsigned more : 1;           /* something came meanwhile */
    unsigned in_context : 1;     /* a callback of the program runs, in to.context */
} TlsObject;

extern PyType_Spec tls_spec;

/* ---- transport.c */
PyObject *tls_make(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
/* Report the exception that is set and force the connection closed with it. PYCALL. */
void tls_fatal(TlsObject *t, const char *message);
void tls_continue_handshake(TlsObject *t);  /* PYCALL */
/* protocol.method([arg]) in the context of the transport. New reference. PYCALL. */
PyObject *tls_call_app(TlsObject *t, PyObject *method, PyObject *arg);
void tls_force_close_below(TlsObject *t, PyObject *exc); /* borrowed, may be None. PYCALL */
int tls_start_timer(TlsObject *t, PyObject *seconds, const char *method); /* -1 with an exception */
void tls_stop_timer(TlsObject *t);
PyObject *tls_timeout_error(TlsObject *t, const char *which, PyObject *seconds); /* new exception, or NULL */

/* ---- transport_close.c */
void tls_begin_shutdown(TlsObject *t);      /* PYCALL */
void tls_continue_shutdown(TlsObject *t);   /* PYCALL */
void tls_finish_reading(TlsObject *t);      /* the end of TLS_FLUSHING. PYCALL */
/* eof_received() of the program. 1: it is a TLS transport that will close this one when it has delivered what it
 * holds; else 0. PYCALL. */
int tls_tell_eof(TlsObject *t);
void tls_abort_below(TlsObject *t, PyObject *exc); /* the end, at once. PYCALL */
PyObject *tls_shutdown_timed_out(PyObject *, PyObject *);

/* ---- transport_io.c */
extern const stream_sink tls_sink;
/* `n` bytes of ciphertext from below. PYCALL. */
void tls_incoming(TlsObject *t, const char *base, size_t n);
void tls_read(TlsObject *t);                /* deliver what there is. PYCALL */
/* Go on with what is held, unless that is going on already: then it is seen to at its end. PYCALL. */
void tls_work(TlsObject *t);
void tls_flush(TlsObject *t);               /* send what the engine has, tell the program. PYCALL */
size_t tls_unsent(TlsObject *t);            /* bytes */
size_t tls_unread(TlsObject *t);            /* bytes of ciphertext that wait for resume_reading() */
void tls_limit_below(TlsObject *t);         /* when `stream` tells of its room. PYCALL */
void tls_drop_buffers(TlsObject *t);
int tls_encrypt_backlog(TlsObject *t);      /* what had to wait; -1 with an exception. PYCALL */
/* write() for a user in C: a span, and exact bytes behind it or NULL. -1 only with an exception that is not the
 * connection's (MemoryError). PYCALL. */
int tls_send(TlsObject *t, const char *base, size_t len, PyObject *bytes);
/* set_write_buffer_limits() for a user in C, bytes. PYCALL. */
void tls_limit_writing(TlsObject *t, size_t high, size_t low);
int tls_is_quiet(const TlsObject *t); /* is it open and nothing there to be read? One system call */
PyObject *tls_append_backlog(PyObject *, PyObject *);
PyObject *tls_write(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *tls_writelines(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *tls_set_write_limits(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *tls_set_read_limits(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
int tls_schedule_resume(TlsObject *t);      /* _resume() in the next batch; -1 with an exception */
PyObject *tls_pause_reading(PyObject *, PyObject *);
PyObject *tls_resume_reading(PyObject *, PyObject *);
PyObject *tls_resume_soon(PyObject *, PyObject *);
PyObject *tls_pause_writing(PyObject *, PyObject *);
PyObject *tls_resume_writing(PyObject *, PyObject *);

/* ---- transport_info.c */
PyObject *tls_get_extra_info(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *tls_repr(PyObject *);
PyObject *tls_is_closing(PyObject *, PyObject *);
PyObject *tls_is_reading(PyObject *, PyObject *);
PyObject *tls_can_write_eof(PyObject *, PyObject *);
PyObject *tls_get_protocol(PyObject *, PyObject *);
PyObject *tls_get_write_buffer_size(PyObject *, PyObject *);
PyObject *tls_get_write_buffer_limits(PyObject *, PyObject *);
PyObject *tls_get_read_buffer_size(PyObject *, PyObject *);
PyObject *tls_get_read_buffer_limits(PyObject *, PyObject *);
extern PyGetSetDef tls_getset[];

#endif
