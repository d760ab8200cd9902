#ifndef GUACO_PROFILE_NATIVE_H
#define GUACO_PROFILE_NATIVE_H

/*
 * A thread's stack with its C frames in it.
 *
 * The thread is stopped, its Python stack is read once more, its registers and
 * the used part of its C stack are copied, and it runs on: 80 to 100 us later,
 * most of them for the two switches, and 360 us with 800 KiB of stack.  All else
 * is done with the copies: 200 us of CPU a sample, 1.3 ms with 1000 C frames.
 * Other threads are not stopped.
 *
 * Threads: none; all calls by the thread that made it.
 */

#include <stdint.h>

#include "freeze.h"
#include "guaco/error.h"
#include "native_merge.h"
#include "target.h"

struct guaco__native;

/*
 * For the threads of `target`, which is process `pid`; borrowed.
 *
 * Returns 0; GUACO_E_IO: ptrace is forbidden, or another tool traces it;
 * GUACO_E_UNSUPPORTED; or as guaco__unwinder_new().
 */
int
guaco__native_new(struct guaco__native **native, struct guaco__target *target,
                  int pid, struct guaco_error *err);
void guaco__native_free(struct guaco__native *native);

/*
 * Take the stack of the thread that is being told (guaco__target_sample), and
 * give mixed[0..*count), the leaf first, borrowed until the next call.
 *
 * Returns 0; GUACO_E_MISSING: the thread has ended; GUACO_E_LOST: its Python
 * stack could not be read; GUACO_E_NOMEM; or as guaco__target_again().  A thread
 * that cannot be stopped now, or whose C frames are not known, has its Python
 * frames only: guaco__native_bare() counts those.
 */
int guaco__native_take(struct guaco__native *native,
                       const struct guaco__thread_sample *sample,
                       const struct guaco__mixed_frame **mixed, size_t *count);

uint64_t guaco__native_bare(const struct guaco__native *native);

/* How often threads were stopped, and for how long. */
const struct guaco__freezer *
guaco__native_stops(const struct guaco__native *native);

#endif
