#ifndef GUACO_PROFILE_UNWIND_H
#define GUACO_PROFILE_UNWIND_H

/*
 * The C frames of a thread from a copy of its registers and its stack, by
 * elfutils' libdw, which is loaded when it is first needed.  The thread runs on
 * meanwhile.
 *
 * Frames are found by the call frame information of the mapped files
 * (.eh_frame), which every library has, stripped or not.  Names are those of
 * their symbol tables, or of the debug files below /usr/lib/debug; a function
 * that has none there is named by where it begins.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freeze.h"
#include "guaco/error.h"
#include "memory.h"
#include "native_merge.h"

struct guaco__unwinder;

/* A copy of a thread's stack: `len` bytes that were at `address`.  What is left
 * of it up to `end` (0: not known) was not copied and is not read later. */
struct guaco__stack_copy {
    uint64_t address;
    const char *at;
    size_t len;
    uint64_t end;
};

struct guaco__native_stack {
    struct guaco__native_frame at[GUACO__NATIVE_DEPTH_MAX];
    size_t count;  /* the leaf first */
    bool is_whole; /* down to where the thread began */
};

/*
 * For process `pid`; `runtime` is an address in the interpreter's module.
 *
 * Returns 0; GUACO_E_MISSING: libdw is not installed, or too old;
 * GUACO_E_UNSUPPORTED: it does not know this kind of processor; GUACO_E_NOMEM;
 * or as guaco__maps_read().
 */
int guaco__unwinder_new(struct guaco__unwinder **unwinder, int pid,
                        struct guaco__vmem *memory, uint64_t runtime,
                        struct guaco_error *err);
void guaco__unwinder_free(struct guaco__unwinder *unwinder);

/* The end of the mapping that holds this stack pointer, as last looked at; 0:
 * not known. */
uint64_t
guaco__unwinder_stack_end(const struct guaco__unwinder *unwinder, uint64_t sp);

/*
 * Unwind.  What could not be found is left out at the root.  Symbols live until
 * the next call, which may look at the process's mappings again, and find other
 * ones.
 *
 * Returns 0 or GUACO_E_NOMEM.
 */
int guaco__unwind(struct guaco__unwinder *unwinder,
                  const struct guaco__registers *registers,
                  const struct guaco__stack_copy *copy,
                  struct guaco__native_stack *stack);

#endif
