/*
 * list.h: an intrusive, circular, doubly linked list. A head and a node are the same struct; a node that is in no list
 * points to itself. A list owns nothing and allocates nothing. One thread.
 *
 * A node is in one list at a time. To link a linked node again would join two lists into a loop without an end, so the
 * insert functions assert that the node is not linked. A node that serves several lists, one after the other, says so
 * where it is declared.
 */
#ifndef CHITCHAT_BASE_LIST_H
#define CHITCHAT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct list {
    struct list *prev;
    struct list *next;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Whether `node`, which is no head, is in a list. */
static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

/* Puts `node`, which is in no list (asserted), before `position`. Before a head means at the end. */
static inline void list_insert_before(struct list *position, struct list *node)
{
    ASSERT(!list_is_linked(node));
    node->prev = position->prev;
    node->next = position;
    position->prev->next = node;
    position->prev = node;
}

static inline void list_append(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_prepend(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Takes `node` out of its list, if it is in one. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Takes the first node out and returns it, NULL if the list is empty. */
static inline struct list *list_shift(struct list *head)
{
    if (list_is_empty(head))
        return NULL;
    struct list *first = head->next;
    list_remove(first);
    return first;
}

#endif
