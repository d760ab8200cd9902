/* The keepers of a tree: one for each store that the workers have queues in.
 * What a keeper does is in queue/keeper.h; here it is a slot like any other. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "queue/memory_server.h"
#include "queue/remote_link.h"
#include "queue/url.h"
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

    bool is_memory = strcmp(url, GUACO__MEMORY_URL) == 0;

    if (*url == '\0' || (is_memory && tree->memory_fd < 0) ||
        is_kept(tree, url, &count))
        return;
    struct slot *slot = NULL;
    char *copy = count < KEEPERS_MAX ? strdup(url) : NULL;
    if (copy != NULL)
        slot = guaco__tree_add_slot(tree, ROLE_KEEPER, count, 0);
    if (slot == NULL) {
        char shown[120];
        free(copy);
        guaco__url_redact(url, shown, sizeof shown);
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "no keeper for %s: %s", shown,
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

/* ---- memory: ---- */

static void
on_memory_watch(struct guaco__watch *watch, unsigned events)
{
    struct tree *tree = GUACO__OF(watch, struct tree, memory_watch);

    (void)events;
    guaco__watch_stop(watch); /* from now on the keeper accepts */
    if (tree->state != TREE_STOPPING)
        add_one(tree, GUACO__MEMORY_URL);
}

int
guaco__keepers_open(struct tree *tree, struct guaco_error *err)
{
    static const char variable[] = GUACO__MEMORY_SOCKET "=";

    memcpy(tree->memory, variable, sizeof variable);
    int rc = guaco__memory_socket(
        &tree->memory_fd, tree->memory + sizeof variable - 1,
        sizeof tree->memory - sizeof variable + 1, err);
    return rc != GUACO_OK ? rc
                          : guaco__watch_start(&tree->memory_watch, tree->loop,
                                               tree->memory_fd, GUACO__READABLE,
                                               on_memory_watch, err);
}

void
guaco__keepers_close(struct tree *tree)
{
    guaco__watch_stop(&tree->memory_watch);
    if (tree->memory_fd >= 0)
        close(tree->memory_fd);
}
