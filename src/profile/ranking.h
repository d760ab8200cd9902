#ifndef GUACO_PROFILE_RANKING_H
#define GUACO_PROFILE_RANKING_H

/*
 * A recording as a list of places: how many samples each was the leaf of (own),
 * and how many it was anywhere in (total), each once however often a
 * recursive function is in the stack; since the beginning, and since the last
 * look.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "tally.h"

struct guaco__rank {
    const struct guaco__place *place; /* by function: any of its lines */
    uint64_t own, total;              /* since the beginning or the reset */
    uint64_t own_now, total_now;      /* since the look before */
};

enum guaco__rank_order {
    GUACO__RANK_OWN_NOW,
    GUACO__RANK_TOTAL_NOW,
    GUACO__RANK_OWN,
    GUACO__RANK_TOTAL,
};

struct guaco__ranking;

/* `tally` outlives it.  Returns 0 or GUACO_E_NOMEM. */
int guaco__ranking_new(struct guaco__ranking **ranking,
                       struct guaco__tally *tally, bool by_line);
void guaco__ranking_free(struct guaco__ranking *ranking);

/*
 * Look at the tally as it is now.  Gives the places with any sample, the first
 * in `order` first, borrowed until the next look; and the samples since the
 * look before.
 *
 * Returns 0 or GUACO_E_NOMEM, GUACO_E_LIMIT.  Cost: the whole tree.
 */
int guaco__ranking_look(struct guaco__ranking *ranking,
                        enum guaco__rank_order order,
                        const struct guaco__rank **ranks, size_t *count,
                        uint64_t *samples_now);

/* Put the places of the last look into another order. */
void guaco__ranking_sort(struct guaco__ranking *ranking,
                         enum guaco__rank_order order);

/* Forget what was before: samples count from here on. */
void guaco__ranking_reset(struct guaco__ranking *ranking);

#endif
