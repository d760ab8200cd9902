#ifndef GUACO_PROFILE_TEXT_H
#define GUACO_PROFILE_TEXT_H

/*
 * str and bytes objects of the profiled process.
 */

#include <stdint.h>

#include "base/arena.h"
#include "guaco/slice.h"
#include "layout.h"
#include "memory.h"

/* Longer ones are not believed (bytes there). */
#define GUACO__TEXT_BYTES_MAX  ((uint64_t)1 << 16)
#define GUACO__BYTES_BYTES_MAX ((uint64_t)1 << 26)

/*
 * The str at `address` as UTF-8, allocated in `arena`; lone surrogates become
 * U+FFFD.  Returns 0; GUACO_E_AGAIN: no such str there; GUACO_E_NOMEM; or as
 * guaco__vmem_read().
 */
int guaco__text_read(struct guaco__vmem *memory,
                     const struct guaco__layout *layout, uint64_t address,
                     struct guaco__arena *arena, struct guaco_slice *text);

/* The bytes object at `address`, copied into `arena`.  Returns as above. */
int guaco__bytes_read(struct guaco__vmem *memory,
                      const struct guaco__layout *layout, uint64_t address,
                      struct guaco__arena *arena, struct guaco_slice *bytes);

#endif
