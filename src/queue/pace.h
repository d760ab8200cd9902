#ifndef GUACO_QUEUE_PACE_H
#define GUACO_QUEUE_PACE_H

/*
 * How far a worker claims ahead, from what was measured; without I/O.
 *
 * Claiming one task at a time costs a turn of the store (a commit, or a round
 * trip) for each.  A worker that ends a run each `gap` may claim as many more
 * tasks as it begins within the budget: PACE_BUDGET_NS, or the time of two
 * turns where these are slow.  So long runs claim nothing ahead, and what is
 * claimed ahead of short ones waits about half a millisecond.
 *
 * The next run may be a long one all the same: what was claimed ahead and is
 * not begun after `hold` is to be given back, for others may be idle.
 */

#include <stdint.h>

struct guaco__pace {
    uint64_t gap_ns;   /* between the ends of two runs while there is work */
    uint64_t turn_ns;  /* a claim */
    uint64_t ended_ns; /* the last run, monotonic */
};

void guaco__pace_init(struct guaco__pace *pace);
/* A run that was handed out at begun_ns ended. */
void
guaco__pace_ended(struct guaco__pace *pace, uint64_t begun_ns, uint64_t now_ns);
/* A claim took so long. */
void guaco__pace_claimed(struct guaco__pace *pace, uint64_t took_ns);
/* Something was given back: until runs are short again nothing is claimed
 * ahead. */
void guaco__pace_stalled(struct guaco__pace *pace);
/* How many to claim beyond the free slots, at most `most`. */
uint32_t guaco__pace_ahead(const struct guaco__pace *pace, uint32_t most);
/* How long they may lie. */
uint64_t guaco__pace_hold_ns(const struct guaco__pace *pace);

#endif
