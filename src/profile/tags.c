/* Reading another process's board: the contract is in tags.h. */

#include "tags.h"

#include <stdlib.h>
#include <string.h>

#include "map_file.h"

struct guaco__tags {
    struct guaco__vmem *memory;
    uint64_t address; /* of the board over there */
    size_t names_end; /* bytes from its beginning on that are copied */
    void *copy;       /* guaco__board_bytes(), aligned as it is */
};

/* Where the board is mapped; 0: nowhere. */
static int
find_map(int pid, uint64_t *address, struct guaco_error *err)
{
    struct guaco__mappings maps;

    int rc = guaco__maps_read(&maps, pid, err);
    if (rc != GUACO_OK)
        return rc;
    *address = 0;
    for (size_t i = 0; i < maps.count && *address == 0; i++)
        if (guaco_slice_equals(maps.at[i].path,
                               GUACO_SLICE(GUACO__BOARD_MAP)) &&
            maps.at[i].offset == 0 &&
            maps.at[i].end - maps.at[i].start >= guaco__board_bytes())
            *address = maps.at[i].start;
    guaco__mappings_release(&maps);
    return GUACO_OK;
}

/* The first look, by which a board of another version is told. */
static int
first_look(struct guaco__tags *tags, struct guaco_error *err)
{
    struct guaco__board_view view;

    int rc = guaco__tags_look(tags);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "read the board");
    if (guaco__board_look(tags->copy, guaco__board_bytes(), 0, &view) ==
            GUACO_E_PROTO &&
        guaco__board_ask(tags->copy, guaco__board_bytes(), 1, view.name) ==
            GUACO_E_PROTO)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "its board is of another version of guaco");
    return GUACO_OK;
}

int
guaco__tags_open(struct guaco__tags **tags, int pid, struct guaco__vmem *memory,
                 struct guaco_error *err)
{
    uint64_t address;

    int rc = find_map(pid, &address, err);
    if (rc != GUACO_OK)
        return rc;
    if (address == 0)
        return guaco_fail(err, GUACO_E_MISSING, 0,
                          "process %d does not say which requests and tasks "
                          "it runs: start it with --profile-socket",
                          pid);
    struct guaco__tags *self = calloc(1, sizeof *self);
    size_t bytes = (guaco__board_bytes() + 63) / 64 * 64;
    if (self != NULL)
        self->copy = aligned_alloc(64, bytes);
    if (self == NULL || self->copy == NULL) {
        guaco__tags_close(self);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "tags");
    }
    memset(self->copy, 0, bytes);
    self->memory = memory;
    self->address = address;
    self->names_end = guaco__board_head_bytes();
    rc = first_look(self, err);
    if (rc != GUACO_OK) {
        guaco__tags_close(self);
        return rc;
    }
    *tags = self;
    return GUACO_OK;
}

void
guaco__tags_close(struct guaco__tags *tags)
{
    if (tags == NULL)
        return;
    free(tags->copy);
    free(tags);
}

/* Names are never changed: only new ones are fetched. */
static int
fetch_names(struct guaco__tags *tags)
{
    size_t used = guaco__board_used_bytes(tags->copy);

    if (used <= tags->names_end)
        return GUACO_OK;
    int rc = guaco__vmem_get(tags->memory, tags->address + tags->names_end,
                             (char *)tags->copy + tags->names_end,
                             used - tags->names_end);
    if (rc == GUACO_OK)
        tags->names_end = used;
    return rc;
}

int
guaco__tags_look(struct guaco__tags *tags)
{
    int rc = guaco__vmem_get(tags->memory, tags->address, tags->copy,
                             guaco__board_head_bytes());

    return rc == GUACO_OK ? fetch_names(tags) : rc;
}

int
guaco__tags_find(const struct guaco__tags *tags, int32_t native_id,
                 struct guaco__board_view *view, size_t *slot)
{
    for (size_t i = 0; native_id > 0 && i < GUACO__BOARD_SLOTS; i++) {
        if (guaco__board_look(tags->copy, guaco__board_bytes(), i, view) !=
                GUACO_OK ||
            view->tid != (uint32_t)native_id)
            continue;
        *slot = i;
        return view->kind == GUACO__BOARD_IDLE ? GUACO_E_MISSING : GUACO_OK;
    }
    *slot = GUACO__BOARD_SLOTS;
    return GUACO_E_MISSING;
}

bool
guaco__tags_still_hold(const struct guaco__tags *tags, size_t slot)
{
    struct guaco__board_slot now;

    if (slot >= GUACO__BOARD_SLOTS)
        return true; /* a thread without a slot */
    size_t at = guaco__board_slot_at(slot);
    return guaco__vmem_get(tags->memory, tags->address + at, &now,
                           sizeof now) == GUACO_OK &&
           guaco__board_slot_is_same((const char *)tags->copy + at, &now);
}

int
guaco__tags_ask(const struct guaco__tags *tags, uint64_t id,
                char name[GUACO__BOARD_NAME_BYTES])
{
    return guaco__board_ask(tags->copy, guaco__board_bytes(), id, name);
}
