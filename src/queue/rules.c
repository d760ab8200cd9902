/* What all stores do with rules, keys and limits. */

#include <stdio.h>

#include "broker_int.h"

/* The same in every process, so no secret key: who makes two names meet only
 * has somebody look in vain. */
uint64_t
guaco__topic_key(struct guaco_slice key)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.at[i]) * 0x100000001b3u;
    return hash | 1ULL << 63;
}

struct guaco__rate
guaco__rate_of(const struct guaco_limit *limit)
{
    if (limit->rate_count == 0)
        return (struct guaco__rate){0};
    int64_t period_us = (int64_t)limit->rate_period_ms * 1000;
    return (struct guaco__rate){
        /* Up, so that it is never faster than was said. */
        .interval_us = (period_us + limit->rate_count - 1) / limit->rate_count,
        .burst = limit->rate_burst != 0 ? limit->rate_burst : limit->rate_count,
    };
}

int64_t
guaco__rate_clamp(const struct guaco__rate *rate, int64_t now_us,
                  int64_t full_us)
{
    int64_t most_us = now_us + rate->burst * rate->interval_us;

    return full_us < most_us ? full_us : most_us;
}

int64_t
guaco__rate_take(const struct guaco__rate *rate, uint32_t cost, int64_t now_us,
                 int64_t *full_us)
{
    int64_t bucket_us = rate->burst * rate->interval_us;

    if (rate->interval_us == 0)
        return now_us;
    int64_t full = guaco__rate_clamp(rate, now_us, *full_us);
    if (full < now_us)
        full = now_us;
    if (cost > rate->burst) /* the limit was narrowed since */
        cost = (uint32_t)rate->burst;
    full += (int64_t)cost * rate->interval_us;
    if (full - now_us > bucket_us)
        return full - bucket_us;
    *full_us = full;
    return now_us;
}

static const char *
word_of(enum guaco_task_state state)
{
    switch (state) {
    case GUACO_TASK_FAILED: return "failed";
    case GUACO_TASK_EXPIRED: return "expired";
    case GUACO_TASK_CANCELED: return "was canceled";
    case GUACO_TASK_DEAD: return "killed its process too often";
    case GUACO_TASK_WAITING:
    case GUACO_TASK_DELAYED:
    case GUACO_TASK_RUNNING:
    case GUACO_TASK_DONE:
    case GUACO_TASK_HELD: break;
    }
    return "ended";
}

struct guaco_slice
guaco__joined_reason(char *text, uint32_t member, enum guaco_task_state state)
{
    int len = snprintf(text, GUACO_REASON_MAX,
                       "number %u of the tasks that it waited for %s", member,
                       word_of(state));

    return (struct guaco_slice){text, (size_t)len};
}

bool
guaco__key_number(struct guaco_slice text, int64_t *number)
{
    bool is_negative = text.len > 0 && text.at[0] == '-';
    int64_t value = 0;

    if (text.len == (size_t)is_negative || text.len > 20)
        return false;
    for (size_t i = is_negative; i < text.len; i++) {
        int64_t digit = text.at[i] - '0';
        if (digit < 0 || digit > 9 ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, is_negative ? -digit : digit, &value))
            return false;
    }
    *number = value;
    return true;
}

int
guaco__recur_order(const struct guaco__recur *a, const struct guaco__recur *b)
{
    size_t least = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.at, b->name.at, least);

    return order != 0
               ? order
               : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

/* Of one that was removed nobody knows; but it was made earlier, and a clock
 * set back far and to the very millisecond is let pass. */
uint64_t
guaco__recur_generation(int64_t now_ms, const struct guaco__recur *old)
{
    uint64_t now = now_ms < 1 ? 1 : (uint64_t)now_ms;

    return old != NULL && old->generation >= now ? old->generation + 1 : now;
}
