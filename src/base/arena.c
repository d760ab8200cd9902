/* The arena: the contract is in base/arena.h. */

#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN alignof(max_align_t)

struct guaco__arena_block {
    struct guaco__arena_block *next;
    size_t size; /* of data */
    alignas(max_align_t) char data[];
};

void
guaco__arena_init(struct guaco__arena *arena, size_t block_bytes, size_t cap)
{
    assert(block_bytes >= 64);
    assert(cap >= block_bytes);
    *arena = (struct guaco__arena){.block_bytes = block_bytes, .cap = cap};
}

static void
free_blocks(struct guaco__arena_block *block)
{
    while (block != NULL) {
        struct guaco__arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void
guaco__arena_release(struct guaco__arena *arena)
{
    free_blocks(arena->first);
    guaco__arena_init(arena, arena->block_bytes, arena->cap);
}

void
guaco__arena_reset(struct guaco__arena *arena)
{
    struct guaco__arena_block *first = arena->first;

    if (first == NULL)
        return;
    if (first->size > arena->block_bytes) { /* one huge piece came first */
        guaco__arena_release(arena);
        return;
    }
    free_blocks(first->next);
    first->next = NULL;
    arena->last = first;
    arena->at = first->data;
    arena->end = first->data + first->size;
    arena->used = first->size;
}

/* Put a block that holds `size` bytes at the end of the chain. */
static bool
add_block(struct guaco__arena *arena, size_t size)
{
    size_t bytes = size > arena->block_bytes ? size : arena->block_bytes;

    assert(arena->used <= arena->cap);
    if (bytes > arena->cap - arena->used)
        bytes = size; /* the last block may be a short one */
    if (bytes > arena->cap - arena->used)
        return false;

    struct guaco__arena_block *block = malloc(sizeof *block + bytes);
    if (block == NULL)
        return false;
    block->next = NULL;
    block->size = bytes;
    if (arena->last != NULL)
        arena->last->next = block;
    else
        arena->first = block;
    arena->last = block;
    arena->at = block->data;
    arena->end = block->data + bytes;
    arena->used += bytes;
    return true;
}

void *
guaco__arena_alloc(struct guaco__arena *arena, size_t size)
{
    assert(arena->block_bytes > 0); /* init was called */

    if (size == 0)
        size = 1;
    if (size > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (size > (size_t)(arena->end - arena->at) && !add_block(arena, size))
        return NULL;

    void *piece = arena->at;
    arena->at += size;
    assert(arena->at <= arena->end);
    assert((uintptr_t)piece % ARENA_ALIGN == 0);
    return piece;
}

void *
guaco__arena_calloc(struct guaco__arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        return NULL;

    void *piece = guaco__arena_alloc(arena, count * size);
    if (piece != NULL)
        memset(piece, 0, count * size);
    return piece;
}

char *
guaco__arena_dup(struct guaco__arena *arena, const void *data, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;

    char *copy = guaco__arena_alloc(arena, len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}
