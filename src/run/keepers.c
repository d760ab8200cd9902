/* The keepers of a tree: one for each store that the workers have queues in.
 * What a keeper does is in queue/keeper.h; here it is a slot like any other. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "supervisor_int.h"

#define KEEPERS_MAX 16

/* Whether the store has its keeper; counts them on the way. */
static bool
is_kept(const struct tree *tree, const char *url, size_t *count)
{
    *count = 0;
    for (const struct guaco__list *l = tree->slots.next; l != &tree->slots;
         l = l->next) {
        const struct slot *slot = GUACO__OF(l, struct slot, link);
        if (slot->role != ROLE_KEEPER)
            continue;
        (*count)++;
        if (strcmp(slot->url, url) == 0)
            return true;
    }
    return false;
}

static void
add_one(struct tree *tree, const char *url)
{
    size_t count;

    if (*url == '\0' || is_kept(tree, url, &count))
        return;
    struct slot *slot = NULL;
    char *copy = count < KEEPERS_MAX ? strdup(url) : NULL;
    if (copy != NULL)
        slot = guaco__tree_add_slot(tree, ROLE_KEEPER, count, 0);
    if (slot == NULL) {
        free(copy);
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "no keeper for %s: %s", url,
                   count < KEEPERS_MAX ? "out of memory" : "too many stores");
        return;
    }
    slot->url = copy;
    assert(slot->now == NULL);
    guaco__slot_start(slot);
}

void
guaco__keepers_add(struct tree *tree, const struct guaco__json *queues)
{
    if (queues == NULL || queues->type != GUACO__JSON_ARRAY ||
        tree->state == TREE_STOPPING)
        return;
    for (const struct guaco__json *q = queues->as.items.first; q != NULL;
         q = q->next)
        add_one(tree, guaco__json_text(q, "url", ""));
}
