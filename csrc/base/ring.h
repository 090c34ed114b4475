/* ring.h - FIFO of pointers in a power-of-two ring that grows. The caller owns what it points to. */
#ifndef UVOLT_BASE_RING_H
#define UVOLT_BASE_RING_H

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

typedef struct ring {
    void **slots;
    size_t mask;  /* room - 1 */
    size_t head;  /* index of the oldest, not reduced */
    size_t count;
} ring;

#define RING_MIN 64

static COLD int
ring_resize(ring *r, size_t room)
{
    void **slots = malloc(room * sizeof(*slots));
    if (slots == NULL) {
        return -1;
    }
    for (size_t i = 0; i < r->count; i++) {
        slots[i] = r->slots[(r->head + i) & r->mask];
    }
    free(r->slots);
    r->slots = slots;
    r->mask = room - 1;
    r->head = 0;
    return 0;
}

/* 0, or -1 when out of memory (the ring is unchanged). */
static inline int
ring_push(ring *r, void *p)
{
    if (UNLIKELY(r->slots == NULL || r->count > r->mask)) {
        if (ring_resize(r, r->slots == NULL ? RING_MIN : 2 * (r->mask + 1)) < 0) {
            return -1;
        }
    }
    r->slots[(r->head + r->count++) & r->mask] = p;
    return 0;
}

/* The same in front: it is the next to be popped. */
static inline int
ring_unshift(ring *r, void *p)
{
    if (UNLIKELY(r->slots == NULL || r->count > r->mask)) {
        if (ring_resize(r, r->slots == NULL ? RING_MIN : 2 * (r->mask + 1)) < 0) {
            return -1;
        }
    }
    r->slots[--r->head & r->mask] = p;
    r->count++;
    return 0;
}

/* The ring must not be empty. */
static inline void *
ring_pop(ring *r)
{
    void *p = r->slots[r->head++ & r->mask];
    r->count--;
    return p;
}

/* After a storm: back to a small ring once it is empty. */
static inline void
ring_trim(ring *r)
{
    if (UNLIKELY(r->count == 0 && r->mask >= 64 * RING_MIN)) {
        (void)ring_resize(r, RING_MIN);
    }
}

#endif
