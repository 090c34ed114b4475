/* engine.h - tls_engine: one TLS session over buffers, without a socket.
 *
 * Two ways behind one interface. Direct: SSL_read and SSL_write of the interpreter's OpenSSL, with a BIO that
 * reads from a span of the caller's memory and writes into a buffer borrowed from the loop. MemoryBIO: the
 * methods of ssl.SSLObject, by Python's public interface. Handshake and shutdown go through the SSLObject in
 * both, so that verification, callbacks and errors are Python's own.
 *
 * Threads: the loop's. An engine belongs to one transport, which keeps loop and state alive. */
#ifndef UVOLT_TLS_ENGINE_H
#define UVOLT_TLS_ENGINE_H

#include "core/loop.h"
#include "tls/openssl.h"

typedef struct tls_engine {
    LoopObject *loop;       /* borrowed */
    const openssl_api *api; /* NULL: MemoryBIO */
    PyObject *sslobj;       /* strong: the ssl.SSLObject */
    SSL *ssl;               /* raw: of sslobj; direct only */
    BIO *bio;               /* raw: a reference of our own; direct only */
    const char *in;         /* raw: ciphertext not yet read; the caller's memory */
    size_t in_len;
    char *out;              /* raw: ciphertext to be sent; borrowed from the loop, or NULL */
    size_t out_len, out_room;
    char ended;             /* close_notify of the peer was read */
    char no_memory;         /* the BIO could not grow `out` */
    PyObject *incoming;     /* strong: ssl.MemoryBIO, or NULL in the direct way */
    PyObject *outgoing;
} tls_engine;

enum { ENGINE_EOF = 0, ENGINE_AGAIN = -1, ENGINE_ERROR = -2 };

/* `hostname` may be None. -1 with what wrap_bio() raised. PYCALL. */
int engine_init(tls_engine *e, LoopObject *loop, PyObject *context, int server_side, PyObject *hostname);

/* 1 done, 0 more bytes of the peer are needed, -1 with an exception. PYCALL. */
int engine_handshake(tls_engine *e);
int engine_unwrap(tls_engine *e);

/* Ciphertext of the peer. Direct: read from where it lies by the calls that follow, engine_unread() tells
 * what is left. -1 with MemoryError. PYCALL. */
int engine_feed(tls_engine *e, const char *base, size_t len);
size_t engine_unread(const tls_engine *e); /* bytes of the span that was fed */
Py_ssize_t engine_pending(tls_engine *e);  /* bytes that wait within the engine; -1 with an exception */

/* Plaintext into buf: its number, ENGINE_EOF (close_notify), ENGINE_AGAIN, or ENGINE_ERROR with an
 * exception. PYCALL. */
Py_ssize_t engine_read(tls_engine *e, char *buf, size_t room);

/* Plaintext to be sent: the number taken, ENGINE_AGAIN or ENGINE_ERROR. PYCALL. */
Py_ssize_t engine_write(tls_engine *e, const char *base, size_t len);

/* What is to be sent: given to `send` and forgotten. 0, or -1 with what it raised. PYCALL. */
typedef int (*engine_sender)(void *arg, const char *base, size_t len);
int engine_flush(tls_engine *e, engine_sender send, void *arg);
Py_ssize_t engine_unsent(tls_engine *e); /* bytes; -1 with an exception */
void engine_drop_output(tls_engine *e);

int engine_traverse(tls_engine *e, visitproc visit, void *arg);
void engine_clear(tls_engine *e);

#endif
