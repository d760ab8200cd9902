#ifndef GUACO_PROFILE_ACTIVITY_H
#define GUACO_PROFILE_ACTIVITY_H

/* What the kernel says of a thread: whether it runs. */

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "target.h"

/* The kernel's id of a sampled thread; where the interpreter does not keep it
 * (to 3.10), it is looked for in the C library's thread object.  0: not
 * known. */
int32_t guaco__thread_native_id(struct guaco__vmem *memory,
                                const struct guaco__thread_sample *sample);

/* Whether thread `native_id` of process `pid` is on a CPU or waits for one; one
 * that is not known is taken to run only while it holds the GIL. */
bool guaco__thread_is_running(int32_t pid, int32_t native_id, bool holds_gil);

#endif
