#ifndef GUACO_PROFILE_TALLY_LIST_H
#define GUACO_PROFILE_TALLY_LIST_H

/* A tally laid out flat: its places by their numbers, its distinct stacks one
 * after the other. */

#include "tally.h"

/* Deeper stacks are not sampled and not read. */
#define GUACO__TALLY_DEPTH_MAX 4096

struct guaco__tally_list {
    const struct guaco__place **places; /* by id */
    uint32_t place_count;
    const struct guaco__tally_node **stacks; /* by leaf; self is not 0 */
    size_t stack_count;
};

/* Returns 0 or GUACO_E_NOMEM; the list is to be released in both cases, before
 * the tally. */
int guaco__tally_list(const struct guaco__tally *tally,
                      struct guaco__tally_list *list);
void guaco__tally_list_release(struct guaco__tally_list *list);

/* The node after `node`, callers first; NULL at the end.  Start with
 * tally->root.first_child. */
const struct guaco__tally_node *
guaco__tally_next(const struct guaco__tally_node *node);

/* The places from the outermost to `leaf`'s; their number. */
size_t guaco__tally_path(const struct guaco__tally_node *leaf,
                         const struct guaco__place **places);

#endif
