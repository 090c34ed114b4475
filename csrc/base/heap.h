/* heap.h - binary min-heap of timer nodes, intrusive by index.
 *
 * Each node knows its slot, so removal is O(log n) and leaves nothing behind (a million cancelled
 * timers cost no memory). Ties on `when` go by `seq`: equal deadlines fire in order of creation.
 * The caller owns the nodes; the heap owns the slot array only. */
#ifndef UVOLT_BASE_HEAP_H
#define UVOLT_BASE_HEAP_H

#include <stdint.h>
#include <stdlib.h>

#define HEAP_OUT ((size_t)-1)

typedef struct heap_node {
    double when;  /* seconds on CLOCK_MONOTONIC */
    uint64_t seq; /* order of creation */
    size_t index; /* slot, HEAP_OUT while in no heap */
} heap_node;

typedef struct heap {
    heap_node **slots;
    size_t count, room;
} heap;

static inline int
heap_before(const heap_node *a, const heap_node *b)
{
    return a->when < b->when || (a->when == b->when && a->seq < b->seq);
}

static inline void
heap_put(heap *h, size_t i, heap_node *n)
{
    h->slots[i] = n;
    n->index = i;
}

static inline void
heap_up(heap *h, size_t i, heap_node *n)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!heap_before(n, h->slots[parent])) {
            break;
        }
        heap_put(h, i, h->slots[parent]);
        i = parent;
    }
    heap_put(h, i, n);
}

static inline void
heap_down(heap *h, size_t i, heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && heap_before(h->slots[child + 1], h->slots[child])) {
            child++;
        }
        if (!heap_before(h->slots[child], n)) {
            break;
        }
        heap_put(h, i, h->slots[child]);
        i = child;
    }
    heap_put(h, i, n);
}

/* 0, or -1 when out of memory (the heap is unchanged). */
static inline int
heap_insert(heap *h, heap_node *n)
{
    if (h->count == h->room) {
        size_t room = h->room ? h->room * 2 : 32;
        heap_node **slots = realloc(h->slots, room * sizeof(*slots));
        if (slots == NULL) {
            return -1;
        }
        h->slots = slots;
        h->room = room;
    }
    heap_up(h, h->count++, n);
    return 0;
}

static inline void
heap_remove(heap *h, heap_node *n)
{
    size_t i = n->index;
    heap_node *last = h->slots[--h->count];
    n->index = HEAP_OUT;
    if (last != n) {
        if (i > 0 && heap_before(last, h->slots[(i - 1) / 2])) {
            heap_up(h, i, last);
        }
        else {
            heap_down(h, i, last);
        }
    }
    if (h->room > 1024 && h->count < h->room / 4) { /* give memory back after a storm */
        heap_node **slots = realloc(h->slots, h->room / 2 * sizeof(*slots));
        if (slots != NULL) {
            h->slots = slots;
            h->room /= 2;
        }
    }
}

static inline heap_node *
heap_top(const heap *h)
{
    return h->count ? h->slots[0] : NULL;
}

#endif
