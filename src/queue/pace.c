#include "pace.h"

#define PACE_BUDGET_NS     500000u   /* of runs claimed ahead */
#define PACE_BUDGET_MAX_NS 50000000u /* of those on a slow store */
#define PACE_SLOW_NS       10000000u /* no claims ahead until it is better */

static uint64_t
blend(uint64_t mean, uint64_t sample)
{
    return mean - mean / 8 + sample / 8;
}

static uint64_t
budget_ns(const struct guaco__pace *pace)
{
    uint64_t two_turns = 2 * pace->turn_ns;

    if (two_turns < PACE_BUDGET_NS)
        return PACE_BUDGET_NS;
    return two_turns < PACE_BUDGET_MAX_NS ? two_turns : PACE_BUDGET_MAX_NS;
}

void
guaco__pace_init(struct guaco__pace *pace)
{
    *pace = (struct guaco__pace){.gap_ns = PACE_SLOW_NS};
}

void
guaco__pace_ended(struct guaco__pace *pace, uint64_t begun_ns, uint64_t now_ns)
{
    uint64_t from_ns = begun_ns > pace->ended_ns ? begun_ns : pace->ended_ns;

    pace->gap_ns = blend(pace->gap_ns, now_ns > from_ns ? now_ns - from_ns : 0);
    pace->ended_ns = now_ns;
}

void
guaco__pace_claimed(struct guaco__pace *pace, uint64_t took_ns)
{
    pace->turn_ns =
        pace->turn_ns == 0 ? took_ns : blend(pace->turn_ns, took_ns);
}

void
guaco__pace_stalled(struct guaco__pace *pace)
{
    uint64_t hold_ns = guaco__pace_hold_ns(pace);

    if (pace->gap_ns < hold_ns)
        pace->gap_ns = hold_ns;
}

uint32_t
guaco__pace_ahead(const struct guaco__pace *pace, uint32_t most)
{
    uint64_t n = budget_ns(pace) / (pace->gap_ns + 1);

    return n < most ? (uint32_t)n : most;
}

uint64_t
guaco__pace_hold_ns(const struct guaco__pace *pace)
{
    uint64_t hold_ns = 4 * budget_ns(pace);

    return hold_ns > PACE_SLOW_NS ? hold_ns : PACE_SLOW_NS;
}
