/* A tally laid out flat. */

#include "tally_list.h"

#include <assert.h>
#include <stdlib.h>

const struct guaco__tally_node *
guaco__tally_next(const struct guaco__tally_node *node)
{
    if (node->first_child != NULL)
        return node->first_child;
    while (node != NULL && node->next_sibling == NULL)
        node = node->parent;
    return node != NULL ? node->next_sibling : NULL;
}

size_t
guaco__tally_path(const struct guaco__tally_node *leaf,
                  const struct guaco__place **places)
{
    size_t count = 0;

    for (const struct guaco__tally_node *n = leaf; n->place != NULL;
         n = n->parent)
        count++;
    assert(count <= GUACO__TALLY_DEPTH_MAX);
    for (size_t i = count; i-- > 0; leaf = leaf->parent)
        places[i] = leaf->place;
    return count;
}

static void
fill_places(const struct guaco__tally *tally, struct guaco__tally_list *list)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(&tally->places, &at, NULL, &value)) {
        const struct guaco__place *place = value;
        list->places[place->id] = place;
    }
}

int
guaco__tally_list(const struct guaco__tally *tally,
                  struct guaco__tally_list *list)
{
    const struct guaco__tally_node *node = tally->root.first_child;
    size_t stacks = 0;

    for (; node != NULL; node = guaco__tally_next(node))
        stacks += node->self > 0;
    *list = (struct guaco__tally_list){.place_count = tally->place_count};
    list->places =
        calloc(tally->place_count + 1u, sizeof(struct guaco__place *));
    list->stacks = calloc(stacks + 1, sizeof(struct guaco__tally_node *));
    if (list->places == NULL || list->stacks == NULL)
        return GUACO_E_NOMEM;
    fill_places(tally, list);
    for (node = tally->root.first_child; node != NULL;
         node = guaco__tally_next(node))
        if (node->self > 0)
            list->stacks[list->stack_count++] = node;
    return GUACO_OK;
}

void
guaco__tally_list_release(struct guaco__tally_list *list)
{
    free(list->places);
    free(list->stacks);
    *list = (struct guaco__tally_list){0};
}
