/*
 * The pairing heap: the contract is in base/heap.h.
 *
 * A node's children form a list by next; prev points to the sibling before,
 * or, of the first child, to the parent; the root's is NULL.  Every node comes
 * no later than its children.
 */

#include "base/heap.h"

#include <assert.h>

void
guaco__heap_init(struct guaco__heap *heap, guaco__heap_less_fn *less)
{
    assert(less != NULL);
    *heap = (struct guaco__heap){.less = less};
}

/* One tree of two roots: the later becomes first child of the earlier. */
static struct guaco__heap_node *
meld(const struct guaco__heap *heap, struct guaco__heap_node *a,
     struct guaco__heap_node *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    assert(a != b);

    if (heap->less(b, a)) {
        struct guaco__heap_node *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    b->prev = a;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    a->next = NULL;
    a->prev = NULL;
    return a;
}

/* One tree of a list of siblings: melded in pairs from the left, the pairs
 * then from the right, which is what gives the amortised bound. */
static struct guaco__heap_node *
meld_all(const struct guaco__heap *heap, struct guaco__heap_node *first)
{
    struct guaco__heap_node *pairs = NULL;
    struct guaco__heap_node *root = NULL;

    while (first != NULL) {
        struct guaco__heap_node *a = first;
        struct guaco__heap_node *b = a->next;
        first = b == NULL ? NULL : b->next;

        a = meld(heap, a, b);
        a->next = pairs; /* a stack, through next */
        pairs = a;
    }
    while (pairs != NULL) {
        struct guaco__heap_node *rest = pairs->next;
        root = meld(heap, root, pairs);
        pairs = rest;
    }
    if (root != NULL) {
        root->next = NULL;
        root->prev = NULL;
    }
    return root;
}

void
guaco__heap_insert(struct guaco__heap *heap, struct guaco__heap_node *node)
{
    *node = (struct guaco__heap_node){0};
    heap->root = meld(heap, heap->root, node);
    heap->count++;
    assert(heap->root->prev == NULL);
}

/* Take a node that is not the root out of its list of siblings. */
static void
cut(struct guaco__heap_node *node)
{
    assert(node->prev != NULL);

    if (node->prev->child == node)
        node->prev->child = node->next;
    else
        node->prev->next = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
}

void
guaco__heap_remove(struct guaco__heap *heap, struct guaco__heap_node *node)
{
    assert(heap->count > 0);
    assert(node == heap->root || node->prev != NULL);

    struct guaco__heap_node *below = meld_all(heap, node->child);
    if (node == heap->root) {
        heap->root = below;
    } else {
        cut(node);
        heap->root = meld(heap, heap->root, below);
    }
    *node = (struct guaco__heap_node){0};
    heap->count--;
    assert((heap->root == NULL) == (heap->count == 0));
}
