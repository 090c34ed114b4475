/* buf.h - a byte buffer that grows up to a ceiling, which it takes when it is made. C only.
 *
 * The caller owns the struct; the buffer owns its memory until buf_free() or buf_take(). What is
 * appended must not point into the buffer itself. */
#ifndef UVOLT_BASE_BUF_H
#define UVOLT_BASE_BUF_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

typedef struct buf {
    char *data; /* NULL until something is appended */
    size_t len, room;
    size_t max; /* the ceiling of len */
} buf;

enum { BUF_OK = 0, BUF_NOMEM = -1, BUF_FULL = -2 };

#define BUF_MIN 512

static inline void
buf_init(buf *b, size_t max)
{
    b->data = NULL;
    b->len = b->room = 0;
    b->max = max;
}

static inline void
buf_free(buf *b)
{
    free(b->data);
    b->data = NULL;
    b->len = b->room = 0;
}

static COLD int
buf_grow(buf *b, size_t need)
{
    size_t room = b->room > BUF_MIN ? b->room : BUF_MIN;
    while (room < need) {
        room = room > b->max / 2 ? b->max : room * 2;
    }
    char *data = realloc(b->data, room);
    if (data == NULL) {
        return BUF_NOMEM;
    }
    b->data = data;
    b->room = room;
    return BUF_OK;
}

/* Room for n bytes more behind data + len. On failure the buffer is unchanged. */
static inline int
buf_reserve(buf *b, size_t n)
{
    if (UNLIKELY(n > b->max - b->len)) {
        return BUF_FULL;
    }
    return LIKELY(b->room - b->len >= n && b->data != NULL) ? BUF_OK : buf_grow(b, b->len + n);
}

/* Behind a buf_reserve() that counted these bytes. */
static inline void
buf_put(buf *b, const char *base, size_t n)
{
    if (n != 0) {
        memcpy(b->data + b->len, base, n);
        b->len += n;
    }
}

static inline int
buf_append(buf *b, const char *base, size_t n)
{
    int err = buf_reserve(b, n);
    if (LIKELY(err == BUF_OK)) {
        buf_put(b, base, n);
    }
    return err;
}

#endif
