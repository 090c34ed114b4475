/* pieces.h - bytes that wait to be taken: a queue of bytes objects.
 *
 * What is appended is copied, into an object of its own while the pieces are few: then taking it costs no copy. Many
 * small ones share objects, so that memory stays within a small multiple of the bytes. Plain data of whoever embeds
 * it; no Python code runs. Threads: the owner's. */
#ifndef UVOLT_HTTP_PIECES_H
#define UVOLT_HTTP_PIECES_H

#include "base/compat.h"
#include "base/ring.h"

typedef struct pieces {
    PyObject *first;   /* strong: bytes, or NULL if there are none */
    ring rest;         /* strong: the others, in order */
    size_t offset;     /* bytes of the first that are taken */
    size_t tail_room;  /* bytes at the end of the last one that are not written yet */
    size_t size;       /* bytes in all */
} pieces;

/* All 0 is an empty queue. */
void pieces_clear(pieces *p);
void pieces_free(pieces *p);

static inline size_t
pieces_count(const pieces *p)
{
    return (p->first != NULL) + p->rest.count;
}

/* Each 0, or -1 with MemoryError; then nothing is appended, or the first part of it. */
int pieces_append(pieces *p, const char *base, size_t n);
int pieces_push(pieces *p, PyObject *bytes);    /* the object itself (a new reference is taken) while they are few */
int pieces_unshift(pieces *p, PyObject *bytes); /* the object itself, in front */

/* Room for at least one byte behind the last one, `hint` if it has to be made; the caller writes n <= *room bytes
 * there and says so. With `grow` all stays one piece as far as that goes. */
int pieces_reserve(pieces *p, size_t hint, int grow, char **base, size_t *room);
void pieces_commit(pieces *p, size_t n);
/* The queue is empty, and nobody else has `bytes`, which is stolen: it is the room. */
void pieces_give_room(pieces *p, PyObject *bytes);

/* At most n bytes from the front as one object, b"" if there are none. New reference, or NULL with MemoryError. No copy
 * where they are one whole piece. */
PyObject *pieces_take(pieces *p, size_t n);
size_t pieces_first_len(const pieces *p); /* bytes left of the first piece, 0 if there is none */

/* The bytes of piece i, 0 <= i < count. */
const char *pieces_at(const pieces *p, size_t i, size_t *n);

/* Up to n bytes from the front copied to `out`, and left. How many. */
size_t pieces_peek(const pieces *p, char *out, size_t n);

/* n <= size bytes from the front are gone. */
void pieces_drop(pieces *p, size_t n);

#endif
