/* Stacks in the order of time: what is kept is in timeline.h. */

#include "timeline.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tally_list.h"

#define ARENA_BYTES ((size_t)16 << 10)
#define ARENA_CAP   ((size_t)64 << 20)
#define KEY_BYTES   12

void
guaco__timeline_init(struct guaco__timeline *timeline)
{
    memset(timeline, 0, sizeof *timeline);
    guaco__buf_init(&timeline->moments,
                    GUACO__TIMELINE_MOMENTS_MAX * sizeof(struct guaco__moment));
    guaco__arena_init(&timeline->arena, ARENA_BYTES, ARENA_CAP);
    guaco__map_init(&timeline->by_key, GUACO__TIMELINE_THREADS_MAX);
}

void
guaco__timeline_release(struct guaco__timeline *timeline)
{
    guaco__map_release(&timeline->by_key);
    guaco__arena_release(&timeline->arena);
    guaco__buf_release(&timeline->moments);
    timeline->first = NULL;
    timeline->last = NULL;
    timeline->track_count = 0;
}

static int
track_add(struct guaco__timeline *timeline, struct guaco__track *track,
          struct guaco_slice name)
{
    char *copy = guaco__arena_dup(&timeline->arena, name.at, name.len);

    if (copy == NULL)
        return GUACO_E_NOMEM;
    track->name = (struct guaco_slice){copy, name.len};
    track->index = timeline->track_count;
    int rc = guaco__map_put(&timeline->by_key,
                            (struct guaco_slice){track->key, KEY_BYTES}, track);
    if (rc != GUACO_OK)
        return rc;
    if (timeline->last == NULL)
        timeline->first = track;
    else
        timeline->last->next = track;
    timeline->last = track;
    timeline->track_count++;
    return GUACO_OK;
}

int
guaco__timeline_track(struct guaco__timeline *timeline, int32_t pid,
                      uint64_t thread_id, int32_t native_id,
                      struct guaco_slice name,
                      const struct guaco__track **track)
{
    char key[KEY_BYTES];

    memcpy(key, &pid, 4);
    memcpy(key + 4, &thread_id, 8);
    *track =
        guaco__map_get(&timeline->by_key, (struct guaco_slice){key, KEY_BYTES});
    if (*track != NULL)
        return GUACO_OK;

    struct guaco__track *made =
        guaco__arena_calloc(&timeline->arena, 1, sizeof *made);
    if (made == NULL)
        return GUACO_E_NOMEM;
    made->pid = pid;
    made->thread_id = thread_id;
    made->native_id = native_id;
    memcpy(made->key, key, KEY_BYTES);
    *track = made;
    return track_add(timeline, made, name);
}

int
guaco__timeline_add(struct guaco__timeline *timeline, uint64_t at_ns,
                    const struct guaco__tally_node *leaf,
                    const struct guaco__track *track)
{
    struct guaco__moment moment = {at_ns, leaf, track};

    int rc = guaco__buf_append(&timeline->moments, &moment, sizeof moment);
    if (rc != GUACO_E_LIMIT)
        return rc;
    timeline->lost++;
    return GUACO_OK;
}

static int
compare_moments(const void *left, const void *right)
{
    const struct guaco__moment *a = left, *b = right;

    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return (a->track->index > b->track->index) -
           (a->track->index < b->track->index);
}

void
guaco__timeline_sort(struct guaco__timeline *timeline)
{
    size_t count = guaco__timeline_count(timeline);

    if (count > 1)
        qsort(guaco__buf_data(&timeline->moments), count,
              sizeof(struct guaco__moment), compare_moments);
}

size_t
guaco__timeline_count(const struct guaco__timeline *timeline)
{
    return timeline->moments.len / sizeof(struct guaco__moment);
}

const struct guaco__moment *
guaco__timeline_moments(const struct guaco__timeline *timeline)
{
    /* Nothing is dropped from the front: the first byte is malloc's. */
    return (const void *)guaco__buf_data(&timeline->moments);
}

int
guaco__track_write(const struct guaco__track *track, struct guaco__buf *out)
{
    if (track->name.len > 0)
        return guaco__buf_append(out, track->name.at, track->name.len);
    if (track->thread_id == 0)
        return guaco__buf_printf(out, "process %d", (int)track->pid);
    if (track->native_id != 0)
        return guaco__buf_printf(out, "thread %d", (int)track->native_id);
    return guaco__buf_printf(out, "thread 0x%llx",
                             (unsigned long long)track->thread_id);
}

/* ---- the tree in the order of time ---------------------------------------------- */

/* A child goes first: lists are turned round at the end. */
static int
child_add(struct guaco__arena *arena, struct guaco__tally_node *parent,
          const struct guaco__place *place, struct guaco__tally_node **child)
{
    struct guaco__tally_node *node =
        guaco__arena_calloc(arena, 1, sizeof *node);

    if (node == NULL)
        return GUACO_E_NOMEM;
    node->place = place;
    node->parent = parent;
    node->next_sibling = parent->first_child;
    parent->first_child = node;
    *child = node;
    return GUACO_OK;
}

/* One stack under `node`, merged with the one before as far as they agree. */
static int
stack_add(struct guaco__arena *arena, struct guaco__tally_node *node,
          const struct guaco__tally_node *leaf)
{
    const struct guaco__place *places[GUACO__TALLY_DEPTH_MAX];
    size_t count = guaco__tally_path(leaf, places);
    bool goes_on = true;

    for (size_t i = 0; i < count; i++) {
        struct guaco__tally_node *last = node->first_child;
        if (goes_on && last != NULL && last->place == places[i]) {
            node = last;
            continue;
        }
        goes_on = false; /* what is deeper is another call */
        int rc = child_add(arena, node, places[i], &node);
        if (rc != GUACO_OK)
            return rc;
    }
    node->self++;
    return GUACO_OK;
}

/* A node of the tree for each track that has moments, by the track's index. */
static int
roots_add(const struct guaco__timeline *timeline, struct guaco__arena *arena,
          struct guaco__tally_node *root, struct guaco__tally_node **roots)
{
    struct guaco__buf name;
    int rc = GUACO_OK;

    guaco__buf_init(&name, 4096);
    for (const struct guaco__track *track = timeline->first;
         track != NULL && rc == GUACO_OK; track = track->next) {
        struct guaco__place *place =
            guaco__arena_calloc(arena, 1, sizeof *place);
        guaco__buf_reset(&name);
        rc = place == NULL ? GUACO_E_NOMEM : guaco__track_write(track, &name);
        if (rc != GUACO_OK)
            break;
        char *copy = guaco__arena_dup(arena, guaco__buf_data(&name), name.len);
        rc = copy == NULL ? GUACO_E_NOMEM
                          : child_add(arena, root, place, &roots[track->index]);
        place->name = (struct guaco_slice){copy, name.len};
    }
    guaco__buf_release(&name);
    return rc;
}

/* Turn the lists of children round, and drop tracks without a sample. */
static void
turn(struct guaco__tally_node *root)
{
    for (struct guaco__tally_node *node = root; node != NULL;) {
        struct guaco__tally_node *turned = NULL;
        for (struct guaco__tally_node *c = node->first_child; c != NULL;) {
            struct guaco__tally_node *next = c->next_sibling;
            bool is_empty = c->self == 0 && c->first_child == NULL;
            c->next_sibling = turned;
            turned = is_empty ? turned : c;
            c = next;
        }
        node->first_child = turned;
        node = (struct guaco__tally_node *)(uintptr_t)guaco__tally_next(node);
    }
}

int
guaco__timeline_tree(const struct guaco__timeline *timeline,
                     struct guaco__arena *arena,
                     struct guaco__tally_node **root)
{
    const struct guaco__moment *moments = guaco__timeline_moments(timeline);
    size_t count = guaco__timeline_count(timeline);
    bool is_split = timeline->track_count > 1;
    int rc = GUACO_OK;

    struct guaco__tally_node **roots = guaco__arena_calloc(
        arena, timeline->track_count + 1u, sizeof(struct guaco__tally_node *));
    *root = guaco__arena_calloc(arena, 1, sizeof **root);
    if (roots == NULL || *root == NULL)
        return GUACO_E_NOMEM;
    if (is_split)
        rc = roots_add(timeline, arena, *root, roots);
    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        struct guaco__tally_node *at =
            is_split ? roots[moments[i].track->index] : *root;
        rc = stack_add(arena, at, moments[i].leaf);
    }
    turn(*root);
    guaco__tally_sum(*root);
    return rc;
}
