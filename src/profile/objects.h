#ifndef GUACO_PROFILE_OBJECTS_H
#define GUACO_PROFILE_OBJECTS_H

/*
 * Python objects of the profiled process, as far as the profiler follows them
 * itself: modules, dicts, attributes, sets and small numbers.
 *
 * The process runs on meanwhile: what is found may be of two moments, and is
 * checked before it is believed.  No walk is longer than its cap.  All of this
 * holds for builds with the GIL, whose objects begin with two words.
 *
 * All of them return 0; GUACO_E_MISSING: there is no such thing;
 * GUACO_E_AGAIN: what is there makes no sense (now); GUACO_E_UNSUPPORTED: a
 * build without the GIL; or what the memory answers.
 */

#include <stdint.h>

#include "guaco/error.h"
#include "layout.h"
#include "memory.h"

/* Larger dicts and sets are not walked. */
#define GUACO__OBJECTS_ENTRIES_MAX 65536u

struct guaco__objects {
    struct guaco__vmem *memory;         /* borrowed */
    const struct guaco__layout *layout; /* borrowed */
};

/* The value of key `name`, all ASCII, in a dict. */
int guaco__dict_find(const struct guaco__objects *objects, uint64_t dict,
                     const char *name, uint64_t *value);

/* Tell `fn` each entry; it ends the walk by not returning 0. */
typedef int guaco__entry_fn(void *ctx, uint64_t key, uint64_t value);
int guaco__dict_each(const struct guaco__objects *objects, uint64_t dict,
                     guaco__entry_fn *fn, void *ctx);

/* The same for a set; value is 0. */
int guaco__set_each(const struct guaco__objects *objects, uint64_t set,
                    guaco__entry_fn *fn, void *ctx);

/* The instance attribute `name` of an object of a Python class. */
int guaco__attribute_find(const struct guaco__objects *objects, uint64_t object,
                          const char *name, uint64_t *value);

/* The global `name` of an imported module, in an interpreter. */
int
guaco__global_find(const struct guaco__objects *objects, uint64_t interpreter,
                   const char *module, const char *name, uint64_t *value);

/* An int that is not negative; of one over 64 bits the low ones. */
int guaco__int_read(const struct guaco__objects *objects, uint64_t address,
                    uint64_t *value);

#endif
