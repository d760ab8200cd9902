#ifndef GUACO_BASE_LIST_H
#define GUACO_BASE_LIST_H

/*
 * An intrusive, circular, doubly linked list.  A link is embedded in what is
 * listed; the head is a link of its own.  Nothing is allocated and every
 * operation is O(1).
 *
 *     struct conn { struct guaco__list idle_link; ... };
 *
 *     guaco__list_push(&server->idle, &conn->idle_link);
 *     for (struct guaco__list *l = head.next, *n; n = l->next, l != &head;
 *          l = n)
 *         use(GUACO__OF(l, struct conn, idle_link));   (l may be removed)
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

/* The struct of type `type` whose member `member` is at `ptr`. */
#define GUACO__OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct guaco__list {
    struct guaco__list *next; /* itself when alone */
    struct guaco__list *prev;
};

/* An empty head, or a link that is in no list. */
static inline void
guaco__list_init(struct guaco__list *list)
{
    list->next = list;
    list->prev = list;
}

/* Of a head: nothing is listed.  Of a link: it is in no list. */
static inline bool
guaco__list_is_empty(const struct guaco__list *list)
{
    return list->next == list;
}

/* Put `link`, which is in no list, before `at`. */
static inline void
guaco__list_insert(struct guaco__list *at, struct guaco__list *link)
{
    assert(guaco__list_is_empty(link));
    assert(at->prev->next == at);
    link->next = at;
    link->prev = at->prev;
    at->prev->next = link;
    at->prev = link;
}

/* Add `link` as the last. */
static inline void
guaco__list_push(struct guaco__list *head, struct guaco__list *link)
{
    guaco__list_insert(head, link);
}

/* Add `link` as the first. */
static inline void
guaco__list_push_front(struct guaco__list *head, struct guaco__list *link)
{
    guaco__list_insert(head->next, link);
}

/* Take `link` out of whatever list it is in; none is fine too. */
static inline void
guaco__list_remove(struct guaco__list *link)
{
    assert(link->prev->next == link);
    assert(link->next->prev == link);
    link->prev->next = link->next;
    link->next->prev = link->prev;
    guaco__list_init(link);
}

/* The first link, or NULL. */
static inline struct guaco__list *
guaco__list_first(const struct guaco__list *head)
{
    return head->next == head ? NULL : head->next;
}

/* Remove and give the first link, or NULL. */
static inline struct guaco__list *
guaco__list_shift(struct guaco__list *head)
{
    struct guaco__list *first = guaco__list_first(head);

    if (first != NULL)
        guaco__list_remove(first);
    return first;
}

/* Move all links of `from` behind those of `to`; `from` is empty then. */
static inline void
guaco__list_splice(struct guaco__list *to, struct guaco__list *from)
{
    if (guaco__list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    guaco__list_init(from);
}

#endif
