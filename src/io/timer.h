#ifndef GUACO__IO_TIMER_H
#define GUACO__IO_TIMER_H

/*
 * A timer, embedded in what waits for it.  All timers of a loop share one heap
 * and one timer of libuv's, so that arming one allocates nothing and makes no
 * system call.
 *
 * Deadlines are nanoseconds of the monotonic clock.  A timer is never early;
 * it is late by what the kernel's millisecond wait and the callbacks before it
 * take.  Timers of one deadline fire in the order in which they were armed.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"

struct guaco__loop;

struct guaco__timer {
    struct guaco__heap_node node; /* private, as all of it */
    struct guaco__loop *loop;
    void (*fn)(struct guaco__timer *timer);
    uint64_t due_ns;      /* when it fires */
    uint64_t serial;      /* order among equals */
    uint64_t heap_ns;     /* its place in the heap, which is behind the two */
    uint64_t heap_serial; /* above while a postponed timer is not yet moved */
    bool is_armed;
};

/* Not armed.  The memory must stay where it is while it is. */
void guaco__timer_init(struct guaco__timer *timer, struct guaco__loop *loop,
                       void (*fn)(struct guaco__timer *timer));

/*
 * Fire once, at due_ns (below UINT64_MAX); an armed timer is moved.  A deadline that is past fires
 * in the next turn, also when it is set from a timer's callback.  Postponing
 * is O(1), the rest O(log n).
 */
void guaco__timer_start(struct guaco__timer *timer, uint64_t due_ns);

/* The same, `delay_ms` after the instant of the last wake-up. */
void guaco__timer_start_ms(struct guaco__timer *timer, uint64_t delay_ms);

/* Disarm; harmless when it is not armed.  O(log n). */
void guaco__timer_stop(struct guaco__timer *timer);

/* In the interval from start to stop or to the call of fn. */
static inline bool
guaco__timer_is_armed(const struct guaco__timer *timer)
{
    return timer->is_armed;
}

#endif
