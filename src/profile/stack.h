#ifndef GUACO_PROFILE_STACK_H
#define GUACO_PROFILE_STACK_H

/*
 * The Python stack of one thread of a process that runs on.
 *
 * From 3.11 frames lie one behind the other in chunks of 16 KiB that belong to the
 * thread.  One copy of the used part of a chunk is nearly a moment's picture;
 * anything fetched a system call later is from another moment.  So the chunk
 * alone gives the stack, and all else in the same read is a hint:
 *
 *     plan    which ranges to read, from what the last sample showed
 *     (the caller reads the ranges of all its threads in one call)
 *     decode  walk the chunk up by frame sizes, find the leaf, then check each
 *             caller and callee: could this instruction have pushed that frame?
 *
 * Frames of generators and coroutines live in their objects, entry frames on
 * the C stack: those are read as ranges of their own, the ones of the last
 * sample in the same call.  When decode finds one that it was not given it
 * answers GUACO_E_AGAIN and has it in its next plan.
 *
 * To 3.10 each frame is an object on the heap, and each function keeps the
 * object of its last frame for its next one, so that the addresses of the last
 * samples are those of the next: they are the plan, and a stack is taken only
 * when one read holds its whole chain.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "code.h"
#include "guaco/error.h"
#include "layout.h"
#include "memory.h"

#define GUACO__STACK_DEPTH_MAX \
    4096 /* frames; deeper ones are cut at the root */
#define GUACO__STACK_CHUNKS_MAX  64
#define GUACO__STACK_OUTSIDE_MAX 128

struct guaco__frame {
    const struct guaco__code *code;
    int32_t offset;   /* of the instruction in the bytecode, bytes; -1: none */
    uint64_t address; /* of the frame, over there */
    /* C called the interpreter's loop for it: where that keeps its own frame,
     * on the C stack (from 3.12 on), else GUACO__ENTRY_ANYWHERE; 0: Python
     * called it.  To 3.10 C called all of them. */
    uint64_t entry;
};

#define GUACO__ENTRY_ANYWHERE 1u

struct guaco__stack {
    struct guaco__frame frames[GUACO__STACK_DEPTH_MAX]; /* the leaf first */
    size_t count;
};

/* What all threads of a process share: code objects, and what was learned of
 * functions and of call sites. */
struct guaco__stack_world;

/* Returns 0 or GUACO_E_NOMEM.  `memory` and `layout` outlive it. */
int guaco__stack_world_new(struct guaco__stack_world **world,
                           struct guaco__vmem *memory,
                           const struct guaco__layout *layout);
void guaco__stack_world_free(struct guaco__stack_world *world);

struct guaco__codes *guaco__stack_world_codes(struct guaco__stack_world *world);

/* One thread's reader. */
struct guaco__stack_reader;

/* Returns 0 or GUACO_E_NOMEM.  `thread` is the address of its
 * PyThreadState; world outlives it. */
int guaco__stack_reader_new(struct guaco__stack_reader **reader,
                            struct guaco__stack_world *world, uint64_t thread);
void guaco__stack_reader_free(struct guaco__stack_reader *reader);

/*
 * Append the ranges that the next decode wants to spans[*count..most).
 *
 * Returns 0, GUACO_E_LIMIT (they do not fit, *count is as before) or
 * GUACO_E_NOMEM.
 */
int guaco__stack_plan(struct guaco__stack_reader *reader,
                      struct guaco__span *spans, size_t *count, size_t most);

/*
 * Decode what was read.
 *
 * Returns 0 and the stack, perhaps of no frames; GUACO_E_AGAIN: something else
 * must be read (plan again; nothing is wrong); GUACO_E_LOST: the copy is torn
 * (plan and read again); or the failure of reading a new code object.
 */
int guaco__stack_decode(struct guaco__stack_reader *reader,
                        struct guaco__stack *stack);

/* Tell the reader that a range of its plan could not be read: it begins with
 * its thread alone again. */
void guaco__stack_unreadable(struct guaco__stack_reader *reader);

/* The bytes of the PyThreadState as last read, thread.size of them. */
const char *guaco__stack_thread_bytes(const struct guaco__stack_reader *reader);

#endif
