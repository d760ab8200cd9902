#ifndef GUACO_BASE_HEAP_H
#define GUACO_BASE_HEAP_H

/*
 * An intrusive priority queue: a pairing heap.  Nodes are embedded, nothing
 * is allocated, so that arming a timer cannot fail.  insert and min are O(1),
 * remove is O(log n) amortised; moving a node is remove and insert.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>

struct guaco__heap_node {
    struct guaco__heap_node *child; /* private: first child */
    struct guaco__heap_node *next;  /* private: next sibling */
    struct guaco__heap_node *prev;  /* private: previous sibling or parent */
};

/* Whether `a` comes before `b`; for equal ones the answer is false both ways,
 * and their order is not defined: compare a sequence number where it counts. */
typedef bool guaco__heap_less_fn(const struct guaco__heap_node *a,
                                 const struct guaco__heap_node *b);

struct guaco__heap {
    struct guaco__heap_node *root; /* private: see guaco__heap_min() */
    guaco__heap_less_fn *less;
    size_t count; /* nodes */
};

/* Begin empty. */
void guaco__heap_init(struct guaco__heap *heap, guaco__heap_less_fn *less);

/* The first node, or NULL. */
static inline struct guaco__heap_node *
guaco__heap_min(const struct guaco__heap *heap)
{
    return heap->root;
}

/* Add a node that is in no heap; what it is compared by must not change while
 * it is in one. */
void
guaco__heap_insert(struct guaco__heap *heap, struct guaco__heap_node *node);

/* Remove a node that is in this heap. */
void
guaco__heap_remove(struct guaco__heap *heap, struct guaco__heap_node *node);

#endif
