/* An allocator in a block: the contract is in block.h. */

#include "block.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 48 };

struct piece {
    size_t from;
    size_t to;
};

struct guaco__block {
    size_t bytes;
    size_t count;
    struct piece pieces[PIECES_MAX]; /* live ones, in order */
    alignas(max_align_t) char at[];
};

struct guaco__block *
guaco__block_new(size_t bytes)
{
    struct guaco__block *block = malloc(sizeof(*block) + bytes);

    if (block == NULL)
        return NULL;
    block->bytes = bytes;
    block->count = 0;
    return block;
}

void
guaco__block_delete(struct guaco__block *block)
{
    assert(block == NULL || block->count == 0);
    free(block);
}

void *
guaco__block_alloc(struct guaco__block *block, size_t size)
{
    size_t step = alignof(max_align_t);
    size_t from = 0;

    if (size > SIZE_MAX - step)
        return NULL;
    size = (size + step - 1) / step * step;
    for (size_t i = 0; i <= block->count && block->count < PIECES_MAX; i++) {
        size_t to = i < block->count ? block->pieces[i].from : block->bytes;

        if (to >= from && to - from >= size) {
            memmove(&block->pieces[i + 1], &block->pieces[i],
                    (block->count - i) * sizeof(block->pieces[0]));
            block->pieces[i] = (struct piece){from, from + size};
            block->count++;
            return block->at + from;
        }
        if (i < block->count)
            from = block->pieces[i].to;
    }
    return malloc(size);
}

void
guaco__block_free(struct guaco__block *block, void *at)
{
    uintptr_t start = (uintptr_t)block->at;
    uintptr_t address = (uintptr_t)at;

    if (address < start || address >= start + block->bytes) {
        free(at);
        return;
    }
    size_t i = 0;
    while (i < block->count && block->pieces[i].from != address - start)
        i++;
    assert(i < block->count); /* a piece that is live */
    block->count--;
    memmove(&block->pieces[i], &block->pieces[i + 1],
            (block->count - i) * sizeof(block->pieces[0]));
}
