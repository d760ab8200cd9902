/* A grid of moments: see ticks.h. */

#include "ticks.h"

#include <assert.h>

static uint64_t
random_below(struct guaco__ticks *ticks, uint64_t most)
{
    ticks->random = ticks->random * 6364136223846793005u + 1442695040888963407u;
    return (ticks->random >> 16) % most;
}

static void
place(struct guaco__ticks *ticks)
{
    ticks->due_ns = ticks->begin_ns + ticks->cell * ticks->period_ns;
    if (ticks->is_jittered)
        ticks->due_ns += random_below(ticks, ticks->period_ns);
}

void
guaco__ticks_init(struct guaco__ticks *ticks, uint64_t period_ns,
                  bool is_jittered, uint64_t seed, uint64_t now_ns)
{
    assert(period_ns > 0);
    *ticks = (struct guaco__ticks){
        .period_ns = period_ns,
        .is_jittered = is_jittered,
        .begin_ns = now_ns,
        .due_ns = now_ns,
        .random = seed,
    };
}

void
guaco__ticks_take(struct guaco__ticks *ticks, uint64_t now_ns)
{
    uint64_t late_ns = now_ns > ticks->due_ns ? now_ns - ticks->due_ns : 0;
    uint64_t at = (now_ns - ticks->begin_ns) / ticks->period_ns;

    ticks->taken++;
    ticks->late += late_ns > ticks->period_ns / 2;
    if (late_ns > ticks->late_most_ns)
        ticks->late_most_ns = late_ns;
    ticks->cell++;
    if (now_ns > ticks->begin_ns && at > ticks->cell) {
        ticks->missed += at - ticks->cell;
        ticks->cell = at;
    }
    place(ticks);
    if (ticks->due_ns < now_ns) /* its moment in this cell has passed */
        ticks->due_ns = now_ns;
}
