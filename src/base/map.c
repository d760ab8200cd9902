/* The hash map: the contract is in base/map.h. */

#include "base/map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/rand.h"
#include "guaco/error.h"

#define MAP_ROOM_MIN 16u

struct guaco__map_entry {
    struct guaco_slice key;
    uint64_t hash;
    void *value; /* NULL: the slot is free */
};

void
guaco__map_init(struct guaco__map *map, size_t cap)
{
    assert(cap > 0);
    assert(cap <= SIZE_MAX / sizeof(struct guaco__map_entry) / 4);
    *map = (struct guaco__map){.cap = cap};
}

void
guaco__map_release(struct guaco__map *map)
{
    free(map->table);
    guaco__map_init(map, map->cap);
}

/* The slot of `key`, or the free one where it would go. */
static size_t
probe(const struct guaco__map *map, struct guaco_slice key, uint64_t hash)
{
    size_t mask = map->room - 1;
    size_t i = (size_t)hash & mask;

    assert(map->count < map->room); /* so that the loop ends */
    for (; map->table[i].value != NULL; i = (i + 1) & mask)
        if (map->table[i].hash == hash &&
            guaco_slice_equals(map->table[i].key, key))
            break;
    return i;
}

void *
guaco__map_get(const struct guaco__map *map, struct guaco_slice key)
{
    if (map->count == 0)
        return NULL;
    return map->table[probe(map, key, guaco__hash(map->key, key.at, key.len))]
        .value;
}

/* Make room for one more; the load stays at or under three quarters. */
static int
grow(struct guaco__map *map)
{
    if (map->count + 1 <= map->room / 4 * 3)
        return GUACO_OK;
    if (map->room == 0 &&
        guaco__rand_bytes(&map->key, sizeof map->key) != GUACO_OK)
        return GUACO_E_IO;

    struct guaco__map next = *map;
    next.room = map->room == 0 ? MAP_ROOM_MIN : map->room * 2;
    next.table = calloc(next.room, sizeof *next.table);
    if (next.table == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 0; i < map->room; i++) {
        const struct guaco__map_entry *e = &map->table[i];
        if (e->value != NULL)
            next.table[probe(&next, e->key, e->hash)] = *e;
    }
    free(map->table);
    *map = next;
    return GUACO_OK;
}

int
guaco__map_put(struct guaco__map *map, struct guaco_slice key, void *value)
{
    assert(value != NULL);
    assert(map->count <= map->cap);

    if (guaco__map_get(map, key) != NULL)
        return GUACO_E_EXISTS;
    if (map->count == map->cap)
        return GUACO_E_LIMIT;
    int rc = grow(map);
    if (rc != GUACO_OK)
        return rc;

    uint64_t hash = guaco__hash(map->key, key.at, key.len);
    map->table[probe(map, key, hash)] =
        (struct guaco__map_entry){.key = key, .hash = hash, .value = value};
    map->count++;
    return GUACO_OK;
}

/* Free slot i: move back whatever would no longer be found past the gap. */
static void
close_gap(struct guaco__map *map, size_t i)
{
    size_t mask = map->room - 1;

    for (size_t j = (i + 1) & mask; map->table[j].value != NULL;
         j = (j + 1) & mask) {
        size_t home = (size_t)map->table[j].hash & mask;
        if (((j - home) & mask) < ((j - i) & mask))
            continue; /* its home is behind the gap */
        map->table[i] = map->table[j];
        i = j;
    }
    map->table[i] = (struct guaco__map_entry){0};
}

void *
guaco__map_take(struct guaco__map *map, struct guaco_slice key)
{
    if (map->count == 0)
        return NULL;

    size_t i = probe(map, key, guaco__hash(map->key, key.at, key.len));
    void *value = map->table[i].value;
    if (value == NULL)
        return NULL;
    close_gap(map, i);
    map->count--;
    return value;
}

bool
guaco__map_next(const struct guaco__map *map, size_t *at,
                struct guaco_slice *key, void **value)
{
    assert(*at <= map->room);

    for (; *at < map->room; (*at)++) {
        const struct guaco__map_entry *e = &map->table[*at];
        if (e->value == NULL)
            continue;
        if (key != NULL)
            *key = e->key;
        *value = e->value;
        (*at)++;
        return true;
    }
    return false;
}
