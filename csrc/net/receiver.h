/* receiver.h - receiver: how the bytes of a stream reach a protocol. Part of a transport (TCP, TLS).
 *
 * Four ways, chosen when the protocol is set: bytes for data_received, straight into the buffer of a
 * BufferedProtocol, straight into the bytearray of a stock asyncio.StreamReader, which saves two Python
 * frames per read, and by a C call to a protocol of our own that is written in C (core_state.native_type). */
#ifndef UVOLT_NET_RECEIVER_H
#define UVOLT_NET_RECEIVER_H

#include "core/loop.h"

typedef struct receiver receiver;

struct receiver {
    LoopObject *loop;     /* borrowed: the transport keeps it */
    PyObject *protocol;   /* strong; NULL after connection_lost */
    PyObject *on_data;    /* strong: data_received or its function, or buffer_updated, or the weak
                           * reference to a stock StreamReader; NULL for a protocol in C */
    PyObject *get_buffer; /* strong: bound get_buffer of a BufferedProtocol, NULL for others */
    PyObject *context;    /* strong: what protocol callbacks run in */
    Py_buffer *view;      /* raw: what get_buffer gave, during one read; made on first use */
    int (*deliver)(receiver *r, const char *base, Py_ssize_t n);
};

/* The next bytes go to `protocol`. 0, or -1 with an exception and nothing changed. PYCALL. */
int receiver_set(receiver *r, PyObject *protocol);

/* A BufferedProtocol: get_buffer(hint). -1 with an exception. The buffer is held until
 * receiver_deliver() or receiver_drop_buffer(). PYCALL. */
int receiver_take_buffer(receiver *r, Py_ssize_t hint, char **base, size_t *len);
void receiver_drop_buffer(receiver *r);

/* n > 0 bytes at base; those of a BufferedProtocol lie in its buffer. 0, or -1 with an exception. PYCALL. */
static inline int
receiver_deliver(receiver *r, const char *base, Py_ssize_t n)
{
    return r->deliver(r, base, n);
}

static inline int
receiver_is_buffered(const receiver *r)
{
    return r->get_buffer != NULL;
}

/* A protocol in C? Then where its bytes go: 1 into *base, 0 anywhere, -1 nowhere in this poll. */
int receiver_is_native(const receiver *r);
static inline int
receiver_native_room(const receiver *r, char **base, size_t *room)
{
    return r->loop->st->native_room(r->protocol, base, room);
}

/* reader.feed_data(bytes), without its Python frame where nobody has replaced it. -1 with an exception. PYCALL. */
int receiver_feed(core_state *st, PyObject *reader, const char *base, Py_ssize_t n);

/* protocol.method() in the context of the transport. New reference. PYCALL. */
PyObject *receiver_call(receiver *r, PyObject *method);

int receiver_traverse(receiver *r, visitproc visit, void *arg);
void receiver_clear(receiver *r);  /* everything; for tp_clear */
void receiver_detach(receiver *r); /* the protocol: nothing is delivered any more */

#endif
