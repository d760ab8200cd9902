#ifndef GUACO_BASE_ARENA_H
#define GUACO_BASE_ARENA_H

/*
 * An arena: many small allocations with one life (a request, a parsed
 * document).  Allocating moves a pointer; there is no free of one piece; reset
 * gives all back at once and keeps the first block, so that an arena in steady
 * use allocates nothing.
 *
 * Threads: none; one owner at a time.
 */

#include <stddef.h>

#include "guaco/slice.h"

struct guaco__arena_block;

struct guaco__arena {
    struct guaco__arena_block *first; /* private: kept by reset */
    struct guaco__arena_block *last;  /* private: allocations come from here */
    char *at;                         /* private: next free byte of last */
    char *end;                        /* private: its end */
    size_t block_bytes;               /* private: size of a usual block */
    size_t used;                      /* bytes of all blocks */
    size_t cap;                       /* most bytes of all blocks */
};

/* Begin empty.  Blocks are block_bytes long (at least 64), together at most
 * `cap` bytes.  Allocates nothing. */
void
guaco__arena_init(struct guaco__arena *arena, size_t block_bytes, size_t cap);

/* Free everything; the arena is as after init. */
void guaco__arena_release(struct guaco__arena *arena);

/* Forget everything allocated and keep the first block. */
void guaco__arena_reset(struct guaco__arena *arena);

/* `size` bytes (0 counts as 1), aligned as malloc aligns, not zeroed, alive
 * until reset or release.  Returns NULL when out of memory or past the cap. */
void *guaco__arena_alloc(struct guaco__arena *arena, size_t size);

/* The same, zeroed, for `count` items of `size` bytes. */
void *
guaco__arena_calloc(struct guaco__arena *arena, size_t count, size_t size);

/* A NUL-terminated copy of data[0..len) (the NUL comes on top), or NULL. */
char *
guaco__arena_dup(struct guaco__arena *arena, const void *data, size_t len);

#endif
