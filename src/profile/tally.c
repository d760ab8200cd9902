/* Counting stacks: the shape of the tree is in tally.h. */

#include "tally.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES ((size_t)256 << 10)
#define ARENA_CAP   ((size_t)1 << 30)
#define PLACES_MAX  1000000u
#define NODES_MAX   20000000u

void
guaco__tally_init(struct guaco__tally *tally)
{
    memset(tally, 0, sizeof *tally);
    guaco__arena_init(&tally->arena, ARENA_BYTES, ARENA_CAP);
    guaco__map_init(&tally->places, PLACES_MAX);
    guaco__map_init(&tally->children, NODES_MAX);
}

void
guaco__tally_release(struct guaco__tally *tally)
{
    guaco__map_release(&tally->children);
    guaco__map_release(&tally->places);
    guaco__arena_release(&tally->arena);
}

/* ---- places ----------------------------------------------------------------- */

/* The key of a place: line, length of the file's name, both texts. */
static struct guaco_slice
place_key(char *to, struct guaco_slice file, struct guaco_slice name,
          int32_t line)
{
    uint32_t len = (uint32_t)file.len;

    memcpy(to, &line, 4);
    memcpy(to + 4, &len, 4);
    if (file.len > 0)
        memcpy(to + 8, file.at, file.len);
    if (name.len > 0)
        memcpy(to + 8 + file.len, name.at, name.len);
    return (struct guaco_slice){to, 8 + file.len + name.len};
}

static int
place_add(struct guaco__tally *tally, struct guaco_slice key, size_t file_len,
          int32_t line, const struct guaco__place **out)
{
    char *copy = guaco__arena_alloc(&tally->arena, key.len);
    struct guaco__place *place =
        guaco__arena_alloc(&tally->arena, sizeof *place);

    if (copy == NULL || place == NULL)
        return GUACO_E_NOMEM;
    memcpy(copy, key.at, key.len);
    *place = (struct guaco__place){
        .file = {copy + 8, file_len},
        .name = {copy + 8 + file_len, key.len - 8 - file_len},
        .line = line,
        .id = tally->place_count,
    };
    int rc = guaco__map_put(&tally->places, (struct guaco_slice){copy, key.len},
                            place);
    if (rc != GUACO_OK)
        return rc;
    tally->place_count++;
    *out = place;
    return GUACO_OK;
}

int
guaco__tally_place(struct guaco__tally *tally, struct guaco_slice file,
                   struct guaco_slice name, int32_t line,
                   const struct guaco__place **place)
{
    char short_key[512];
    char *to = short_key;
    size_t bytes = 8 + file.len + name.len;

    if (bytes > sizeof short_key) {
        to = guaco__arena_alloc(&tally->arena, bytes);
        if (to == NULL)
            return GUACO_E_NOMEM;
    }
    struct guaco_slice key = place_key(to, file, name, line);
    *place = guaco__map_get(&tally->places, key);
    if (*place != NULL)
        return GUACO_OK;
    return place_add(tally, key, file.len, line, place);
}

/* ---- the tree ---------------------------------------------------------------- */

struct node_entry {
    struct guaco__tally_node node;
    char key[16]; /* of the parent's and the place's addresses */
};

static void
node_key(char key[16], const struct guaco__tally_node *parent,
         const struct guaco__place *place)
{
    uint64_t words[2] = {(uint64_t)(uintptr_t)parent,
                         (uint64_t)(uintptr_t)place};
    memcpy(key, words, 16);
}

static int
child_get(struct guaco__tally *tally, struct guaco__tally_node *parent,
          const struct guaco__place *place, struct guaco__tally_node **child)
{
    char key[16];

    node_key(key, parent, place);
    struct node_entry *entry =
        guaco__map_get(&tally->children, (struct guaco_slice){key, sizeof key});
    if (entry == NULL) {
        entry = guaco__arena_calloc(&tally->arena, 1, sizeof *entry);
        if (entry == NULL)
            return GUACO_E_NOMEM;
        memcpy(entry->key, key, sizeof key);
        int rc = guaco__map_put(
            &tally->children,
            (struct guaco_slice){entry->key, sizeof entry->key}, entry);
        if (rc != GUACO_OK)
            return rc;
        entry->node.place = place;
        entry->node.parent = parent;
        entry->node.next_sibling = parent->first_child;
        parent->first_child = &entry->node;
    }
    *child = &entry->node;
    return GUACO_OK;
}

int
guaco__tally_find(struct guaco__tally *tally,
                  const struct guaco__place *const *places, size_t count,
                  struct guaco__tally_node **leaf)
{
    struct guaco__tally_node *node = &tally->root;

    for (size_t i = 0; i < count; i++) {
        assert(places[i] != NULL);
        int rc = child_get(tally, node, places[i], &node);
        if (rc != GUACO_OK)
            return rc;
    }
    *leaf = node;
    return GUACO_OK;
}

int
guaco__tally_add(struct guaco__tally *tally,
                 const struct guaco__place *const *places, size_t count,
                 uint64_t times)
{
    struct guaco__tally_node *leaf;

    int rc = guaco__tally_find(tally, places, count, &leaf);
    if (rc != GUACO_OK)
        return rc;
    leaf->self += times;
    tally->samples += times;
    return GUACO_OK;
}

/* The next node in an order that visits children before their parent. */
static struct guaco__tally_node *
deepest_first(struct guaco__tally_node *node)
{
    while (node->first_child != NULL)
        node = node->first_child;
    return node;
}

void
guaco__tally_sum(struct guaco__tally_node *root)
{
    struct guaco__tally_node *node = deepest_first(root);

    for (;;) {
        node->total = node->self;
        node->total_before = node->self_before;
        for (const struct guaco__tally_node *child = node->first_child;
             child != NULL; child = child->next_sibling) {
            node->total += child->total;
            node->total_before += child->total_before;
        }
        if (node == root)
            break;
        node = node->next_sibling != NULL ? deepest_first(node->next_sibling)
                                          : node->parent;
    }
}

/* The next node in an order that visits callers first; *depth follows. */
static struct guaco__tally_node *
next_node(struct guaco__tally_node *node, uint32_t *depth)
{
    if (node->first_child != NULL) {
        (*depth)++;
        return node->first_child;
    }
    while (node->next_sibling == NULL && node->parent != NULL) {
        node = node->parent;
        (*depth)--;
    }
    return node->next_sibling;
}

uint32_t
guaco__tally_depth(const struct guaco__tally_node *root)
{
    struct guaco__tally_node *node =
        (struct guaco__tally_node *)(uintptr_t)root;
    uint32_t depth = 1, deepest = 1;

    while ((node = next_node(node, &depth)) != NULL)
        deepest = depth > deepest ? depth : deepest;
    return deepest;
}

/* ---- order ------------------------------------------------------------------- */

static int
compare_slices(struct guaco_slice a, struct guaco_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.at, b.at, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_nodes(const void *left, const void *right)
{
    const struct guaco__place *a =
        (*(struct guaco__tally_node *const *)left)->place;
    const struct guaco__place *b =
        (*(struct guaco__tally_node *const *)right)->place;
    int order = compare_slices(a->file, b->file);

    if (order == 0)
        order = compare_slices(a->name, b->name);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

static int
sort_children(struct guaco__tally_node *node)
{
    size_t count = 0;

    for (struct guaco__tally_node *c = node->first_child; c != NULL;
         c = c->next_sibling)
        count++;
    if (count < 2)
        return GUACO_OK;
    struct guaco__tally_node **at =
        malloc(count * sizeof(struct guaco__tally_node *));
    if (at == NULL)
        return GUACO_E_NOMEM;
    count = 0;
    for (struct guaco__tally_node *c = node->first_child; c != NULL;
         c = c->next_sibling)
        at[count++] = c;
    qsort(at, count, sizeof(struct guaco__tally_node *), compare_nodes);
    node->first_child = at[0];
    for (size_t i = 0; i < count; i++)
        at[i]->next_sibling = i + 1 < count ? at[i + 1] : NULL;
    free(at);
    return GUACO_OK;
}

int
guaco__tally_sort(struct guaco__tally *tally)
{
    struct guaco__tally_node *node = &tally->root;
    uint32_t depth = 1;
    int rc = GUACO_OK;

    for (; rc == GUACO_OK && node != NULL; node = next_node(node, &depth))
        rc = sort_children(node);
    return rc;
}
