/* list.h - intrusive circular doubly linked list. A node out of any list points to itself. */
#ifndef UVOLT_BASE_LIST_H
#define UVOLT_BASE_LIST_H

typedef struct list_node {
    struct list_node *prev, *next;
} list_node;

static inline void
list_init(list_node *n)
{
    n->prev = n->next = n;
}

static inline int
list_empty(const list_node *head)
{
    return head->next == head;
}

static inline void
list_append(list_node *head, list_node *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static inline void
list_remove(list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

#endif
