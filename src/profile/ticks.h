#ifndef GUACO_PROFILE_TICKS_H
#define GUACO_PROFILE_TICKS_H

/*
 * When the next sample is due, and how many were not taken in time.
 *
 * Ticks stand on a grid, so that a late one does not move those that follow; a
 * tick whose moment has passed before the one before it was over is missed, not
 * made up for.  With jitter each tick is moved at random inside its cell of the
 * grid: what the process does periodically is then not always met, or never, at
 * the same place.
 *
 * No clock in it: the caller passes the time.  Threads: none.
 */

#include <stdbool.h>
#include <stdint.h>

struct guaco__ticks {
    uint64_t period_ns;
    bool is_jittered;
    uint64_t begin_ns;
    uint64_t cell;   /* of the grid, of the tick that is due next */
    uint64_t due_ns; /* when it is */
    uint64_t random;
    uint64_t taken, missed;
    uint64_t late;         /* taken over half a period after they were due */
    uint64_t late_most_ns; /* the latest of all */
};

/* The first tick is due at now_ns.  period_ns is at least 1; `seed` is any
 * number. */
void guaco__ticks_init(struct guaco__ticks *ticks, uint64_t period_ns,
                       bool is_jittered, uint64_t seed, uint64_t now_ns);

/* Count the tick that was due as taken, at now_ns, and find the next: due_ns
 * is never before now_ns. */
void guaco__ticks_take(struct guaco__ticks *ticks, uint64_t now_ns);

#endif
