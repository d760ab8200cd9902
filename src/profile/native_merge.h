#ifndef GUACO_PROFILE_NATIVE_MERGE_H
#define GUACO_PROFILE_NATIVE_MERGE_H

/*
 * A thread's C frames and its Python frames as one stack.
 *
 * The frames of the interpreter's loop stand for Python frames.  One of them may
 * run many, since a call from Python to Python needs no C call from 3.11 on:
 * those up to the next one that C entered (guaco__frame's entry).  They are
 * known by their name or, where that is stripped or the compiler has cut the
 * function in pieces, by the frame that the loop keeps on the C stack.
 *
 *     C, the leaf first                  Python             together
 *     clock_nanosleep   libc.so.6                           clock_nanosleep
 *     time_sleep        libpython                           time_sleep
 *     _PyEval_EvalFrameDefault           key  (entry)       key
 *     list_sort         libpython                           list_sort
 *     _PyEval_EvalFrameDefault           work               work
 *                                        main (entry)       main
 *     Py_RunMain        libpython
 *
 * What the interpreter does to get from one to the next (vectorcalls) is left
 * out, and so is its own start; a program that embeds it is not.
 *
 * Pure: no I/O, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/slice.h"
#include "stack.h"

#define GUACO__NATIVE_DEPTH_MAX 4096 /* C frames; deeper ones are cut */

enum guaco__native_role {
    GUACO__NATIVE_CODE,     /* any other function */
    GUACO__NATIVE_LOOP,     /* the interpreter's loop */
    GUACO__NATIVE_PLUMBING, /* how the interpreter calls */
    GUACO__NATIVE_START,    /* shown, but not below the first Python frame */
};

/* A function of a library or of the executable. */
struct guaco__native_symbol {
    struct guaco_slice file; /* "libz.so.1.2.13", "[python3.11]" */
    struct guaco_slice name; /* "deflate" */
    enum guaco__native_role role;
};

/* The role of function `name` (without a compiler's suffix) of a module that
 * is the interpreter's, the C library's, or another's. */
enum guaco__native_role
guaco__native_role(struct guaco_slice name, struct guaco_slice module,
                   bool is_interpreter);

/* `name` without what a compiler or linker appended: ".cold", "@@GLIBC_2.34". */
struct guaco_slice guaco__native_name(const char *name);

/* A C frame: what is in it lies from its stack pointer up to its caller's. */
struct guaco__native_frame {
    const struct guaco__native_symbol *symbol;
    uint64_t sp;
};

/* One frame of the two together: the one that is not NULL. */
struct guaco__mixed_frame {
    const struct guaco__frame *python;
    const struct guaco__native_symbol *native;
};

/*
 * Merge natives[0..count), the leaf first, with the Python stack into
 * mixed[0..most), the leaf first.  `is_whole`: the C frames go down to the
 * thread's beginning; else the two are matched from the leaf on.
 *
 * Returns how many frames there are; those that do not fit are cut at the root.
 */
size_t
guaco__native_merge(const struct guaco__native_frame *natives, size_t count,
                    bool is_whole, const struct guaco__stack *stack,
                    struct guaco__mixed_frame *mixed, size_t most);

#endif
