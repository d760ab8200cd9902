#ifndef GUACO_HTTP_BLOCK_H
#define GUACO_HTTP_BLOCK_H

/*
 * A block of memory with a small allocator in it: for a library that cannot
 * bear an allocation that fails.  First fit over at most a few dozen live
 * pieces; what does not fit comes from malloc().
 */

#include <stddef.h>

struct guaco__block;

/* NULL when out of memory. */
struct guaco__block *guaco__block_new(size_t bytes);

/* All that was allocated from it must have been freed. */
void guaco__block_delete(struct guaco__block *block);

/* `size` bytes, aligned as malloc aligns; NULL when neither the block nor
 * malloc() has them. */
void *guaco__block_alloc(struct guaco__block *block, size_t size);

/* NULL is ignored. */
void guaco__block_free(struct guaco__block *block, void *at);

#endif
