#ifndef GUACO_BASE_MAP_H
#define GUACO_BASE_MAP_H

/*
 * A hash map from byte strings to pointers.  Open addressing with linear
 * probing and a keyed hash; removal moves later entries back, so that there
 * are no tombstones and a table never slows down with age.
 *
 * Keys are borrowed until their entry is taken out: usually they are a part
 * of the value.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "guaco/slice.h"

struct guaco__map_entry;

struct guaco__map {
    struct guaco__map_entry *table; /* private: NULL before the first put */
    size_t room;                    /* private: slots, a power of two, or 0 */
    size_t count;                   /* entries */
    size_t cap;                     /* most entries */
    struct guaco__hash_key key;     /* private: chosen at the first put */
};

/* Begin empty with room for at most `cap` entries.  Allocates nothing. */
void guaco__map_init(struct guaco__map *map, size_t cap);

/* Free the table; keys and values are the caller's. */
void guaco__map_release(struct guaco__map *map);

/* The value of `key`, or NULL. */
void *guaco__map_get(const struct guaco__map *map, struct guaco_slice key);

/* Add an entry; `value` is not NULL.  Returns 0, GUACO_E_EXISTS (nothing was
 * changed), GUACO_E_LIMIT, GUACO_E_NOMEM or GUACO_E_IO (no random bytes). */
int guaco__map_put(struct guaco__map *map, struct guaco_slice key, void *value);

/* Remove the entry of `key` and give its value, or NULL. */
void *guaco__map_take(struct guaco__map *map, struct guaco_slice key);

/*
 * Visit all entries in no order: start with *at 0, call until it answers
 * false.  `key` may be NULL.  The map must not change meanwhile.
 */
bool guaco__map_next(const struct guaco__map *map, size_t *at,
                     struct guaco_slice *key, void **value);

#endif
