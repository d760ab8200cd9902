/*
 * Fire times: cron in local time, mapped to moments by the zone's spans.
 *
 * Let f(t) be the local clock at moment t.  A wildcard spec fires at each t for
 * which f(t) matches: span by span, local time is UTC plus a constant there.
 *
 * A fixed spec fires, for each matching local time m, at the first t with
 * f(t) >= m.  Let M(t) be the greatest value f has shown up to t.  Then m fires
 * after t exactly if m > M(t), so that the next fire time is that of the first
 * match after M(t): no case for gaps, none for repeated hours.  An offset is
 * less than 26 hours, so only f of the last 52 hours can be M(t).
 */

#include "guaco/schedule.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "cron.h"
#include "base/scan.h"
#include "schedule_int.h"
#include "tz.h"

#define DAY_MS    86400000
#define DAY_S     86400
#define EVERY_MAX (INT64_C(1) << 53) /* what a double holds exactly */

/* What is asked for lies inside; a day is left for the offset. */
#define LEAST_S (GUACO__DATE_MIN_S + 366 * DAY_S)
#define MOST_S  (GUACO__DATE_MAX_S - 2 * DAY_S)

#define EAST_S (GUACO__TZ_EAST_MAX_S + 1)
#define WEST_S (GUACO__TZ_WEST_MAX_S + 1)

enum kind { KIND_CRON, KIND_EVERY };

struct guaco_schedule {
    enum kind kind;
    struct guaco__tz *tz;
    struct guaco__cron cron;
    int64_t every_ms;
    int64_t anchor_ms;
};

/* ---- reading a spec ---- */

static const struct {
    const char *name;
    int64_t ms;
} units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS},
};

static void
skip_blanks(struct guaco__scan *scan)
{
    while (guaco__scan_take(scan, ' ') || guaco__scan_take(scan, '\t'))
        continue;
}

static bool
take_word(struct guaco__scan *scan, const char *word)
{
    size_t len = strlen(word);
    struct guaco__scan after = *scan;

    if ((size_t)(scan->end - scan->at) < len ||
        memcmp(scan->at, word, len) != 0)
        return false;
    after.at += len;
    char next = guaco__scan_peek(&after);
    if (next != '\0' && next != ' ' && next != '\t')
        return false;
    *scan = after;
    skip_blanks(scan);
    return true;
}

/* N UNIT, in milliseconds. */
static bool
take_interval(struct guaco__scan *scan, int64_t *every_ms)
{
    int64_t number = 0;

    if (!guaco__scan_number(scan, EVERY_MAX, &number) || number == 0)
        return false;
    skip_blanks(scan);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (take_word(scan, units[i].name)) {
            if (number > EVERY_MAX / units[i].ms)
                return false;
            *every_ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

/* What follows "every". */
static int
parse_every(struct guaco_schedule *schedule, struct guaco__scan *scan,
            struct guaco_error *err)
{
    schedule->kind = KIND_EVERY;
    if (!take_interval(scan, &schedule->every_ms))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "every: not a number above 0 and one of ms, s, m, "
                          "h, d, or too long");
    if (take_word(scan, "from")) {
        bool is_negative = guaco__scan_take(scan, '-');
        if (!guaco__scan_number(scan, EVERY_MAX, &schedule->anchor_ms))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "every: 'from' wants Unix time in milliseconds");
        if (is_negative)
            schedule->anchor_ms = -schedule->anchor_ms;
        skip_blanks(scan);
    }
    if (!guaco__scan_done(scan))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "every: something follows the interval");
    return GUACO_OK;
}

static int
parse_spec(struct guaco_schedule *schedule, struct guaco_slice spec,
           struct guaco_error *err)
{
    struct guaco__scan scan = guaco__scan_of(spec);

    if (spec.len > GUACO_SCHEDULE_SPEC_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a schedule has at most %d bytes",
                          GUACO_SCHEDULE_SPEC_MAX);
    skip_blanks(&scan);
    if (take_word(&scan, "every"))
        return parse_every(schedule, &scan, err);
    schedule->kind = KIND_CRON;
    return guaco__cron_parse(&schedule->cron, spec, err);
}

int
guaco__schedule_new_in(struct guaco_schedule **schedule,
                       struct guaco_slice spec, struct guaco__tz *tz,
                       struct guaco_error *err)
{
    struct guaco_schedule made = {.tz = tz};

    int rc = parse_spec(&made, spec, err);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_schedule *kept = malloc(sizeof *kept);
    if (kept == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "schedule");
    *kept = made;
    *schedule = kept;
    return GUACO_OK;
}

int
guaco_schedule_new(struct guaco_schedule **schedule, struct guaco_slice spec,
                   struct guaco_slice zone, const char *zone_dirs,
                   struct guaco_error *err)
{
    struct guaco__tz *tz = NULL;

    if (zone.len == 0)
        zone = GUACO_SLICE("UTC");
    if (zone_dirs == NULL)
        zone_dirs = GUACO_SCHEDULE_ZONE_DIRS;
    int rc = guaco__tz_open(&tz, zone, zone_dirs, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__schedule_new_in(schedule, spec, tz, err);
    if (rc != GUACO_OK)
        guaco__tz_free(tz);
    return rc;
}

void
guaco_schedule_free(struct guaco_schedule *schedule)
{
    if (schedule == NULL)
        return;
    guaco__tz_free(schedule->tz);
    free(schedule);
}

/* ---- the next moment, in seconds ---- */

/* M(t) of the comment at the top: the greatest local time shown up to utc_s. */
static int64_t
greatest_shown(const struct guaco__tz *tz, int64_t utc_s)
{
    struct guaco__tz_span span = guaco__tz_at(tz, utc_s);
    int64_t greatest = utc_s + span.offset_s;

    while (span.start_s > utc_s - EAST_S - WEST_S) {
        int64_t last = span.start_s - 1;
        span = guaco__tz_at(tz, last);
        if (last + span.offset_s > greatest)
            greatest = last + span.offset_s;
    }
    return greatest;
}

/* The first moment at which the local clock shows local_s or later. */
static int64_t
first_showing(const struct guaco__tz *tz, int64_t local_s)
{
    int64_t at_s = local_s - EAST_S;

    for (;;) {
        struct guaco__tz_span span = guaco__tz_at(tz, at_s);
        if (at_s + span.offset_s >= local_s)
            return at_s;
        if (local_s - span.offset_s < span.end_s)
            return local_s - span.offset_s;
        at_s = span.end_s;
    }
}

static int
next_fixed(const struct guaco_schedule *schedule, int64_t after_s,
           int64_t *fire_s)
{
    int64_t local_s = greatest_shown(schedule->tz, after_s) + 1;

    int rc = guaco__cron_next(&schedule->cron, local_s, &local_s);
    if (rc != GUACO_OK)
        return rc;
    *fire_s = first_showing(schedule->tz, local_s);
    assert(*fire_s > after_s);
    return GUACO_OK;
}

static int
next_wildcard(const struct guaco_schedule *schedule, int64_t after_s,
              int64_t *fire_s)
{
    for (int64_t at_s = after_s + 1; at_s <= MOST_S;) {
        struct guaco__tz_span span = guaco__tz_at(schedule->tz, at_s);
        int64_t local_s = 0;
        int rc =
            guaco__cron_next(&schedule->cron, at_s + span.offset_s, &local_s);
        if (rc != GUACO_OK)
            return rc;
        if (local_s - span.offset_s < span.end_s) {
            *fire_s = local_s - span.offset_s;
            return GUACO_OK;
        }
        /* A clock that is set back shows times before the match again, but
         * only within 52 hours; after that no moment can show the match that
         * is not near it. */
        int64_t skip_s = local_s - EAST_S;
        bool is_far = span.end_s - at_s > EAST_S + WEST_S;
        at_s = is_far && skip_s > span.end_s ? skip_s : span.end_s;
    }
    return GUACO_E_MISSING;
}

/* ---- the next moment, in milliseconds ---- */

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int
next_every(const struct guaco_schedule *schedule, int64_t after_ms,
           int64_t *fire_ms)
{
    int64_t at_ms = schedule->anchor_ms;

    if (after_ms >= at_ms) {
        int64_t periods = (after_ms - at_ms) / schedule->every_ms;
        at_ms += (periods + 1) * schedule->every_ms;
    }
    if (at_ms > MOST_S * 1000)
        return GUACO_E_MISSING;
    *fire_ms = at_ms;
    return GUACO_OK;
}

int
guaco_schedule_next(const struct guaco_schedule *schedule, int64_t after_ms,
                    int64_t *fire_ms)
{
    if (after_ms < LEAST_S * 1000 || after_ms > MOST_S * 1000)
        return GUACO_E_MISSING;
    if (schedule->kind == KIND_EVERY)
        return next_every(schedule, after_ms, fire_ms);

    int64_t after_s = floor_div(after_ms, 1000);
    int64_t fire_s = 0;
    int rc = schedule->cron.is_wildcard
                 ? next_wildcard(schedule, after_s, &fire_s)
                 : next_fixed(schedule, after_s, &fire_s);
    if (rc == GUACO_OK)
        *fire_ms = fire_s * 1000;
    return rc;
}

/* ---- looking back ---- */

/* Whether something fires in (since_ms, at_ms]; *fire_ms is then the first. */
static bool
fires_between(const struct guaco_schedule *schedule, int64_t since_ms,
              int64_t at_ms, int64_t *fire_ms)
{
    int64_t first_ms = 0;

    if (guaco_schedule_next(schedule, since_ms, &first_ms) != GUACO_OK ||
        first_ms > at_ms)
        return false;
    *fire_ms = first_ms;
    return true;
}

/*
 * There is no search backwards: whether something fires in (x, at] is true up
 * to the last fire time and false from there on, so that x can be found by
 * halving.  The window is first grown from a second, since what is asked for is
 * mostly near.
 */
int
guaco_schedule_last(const struct guaco_schedule *schedule, int64_t since_ms,
                    int64_t at_ms, int64_t *fire_ms)
{
    int64_t floor_ms = since_ms > LEAST_S * 1000 ? since_ms : LEAST_S * 1000;
    int64_t found_ms = 0;
    int64_t width_ms = 1000;

    if (at_ms > MOST_S * 1000)
        at_ms = MOST_S * 1000;
    if (at_ms <= floor_ms)
        return GUACO_E_MISSING;
    while (width_ms < at_ms - floor_ms &&
           !fires_between(schedule, at_ms - width_ms, at_ms, &found_ms))
        width_ms *= 2;
    int64_t low_ms = width_ms < at_ms - floor_ms ? at_ms - width_ms : floor_ms;
    if (!fires_between(schedule, low_ms, at_ms, &found_ms))
        return GUACO_E_MISSING;

    /* Something fires after low, found is the first of it; nothing after
     * high. */
    low_ms = found_ms;
    int64_t high_ms = at_ms;
    while (low_ms < high_ms) {
        int64_t middle_ms = low_ms + (high_ms - low_ms) / 2;
        if (fires_between(schedule, middle_ms, at_ms, &found_ms))
            low_ms = found_ms;
        else
            high_ms = middle_ms;
    }
    *fire_ms = low_ms;
    return GUACO_OK;
}

static void
reverse(int64_t *values, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        int64_t other = values[i];
        values[i] = values[count - 1 - i];
        values[count - 1 - i] = other;
    }
}

size_t
guaco_schedule_due(const struct guaco_schedule *schedule,
                   enum guaco_catch_up catch_up, int64_t last_ms,
                   int64_t now_ms, int64_t fire_ms[GUACO_SCHEDULE_CATCH_UP_MAX])
{
    size_t max = 1, count = 0;
    int64_t at_ms = now_ms;

    if (now_ms < LEAST_S * 1000)
        return 0;
    switch (catch_up) {
    case GUACO_CATCH_UP_SKIP:
        if (last_ms < now_ms - GUACO_SCHEDULE_GRACE_MS - 1)
            last_ms = now_ms - GUACO_SCHEDULE_GRACE_MS - 1;
        break;
    case GUACO_CATCH_UP_ONCE: break;
    case GUACO_CATCH_UP_ALL: max = GUACO_SCHEDULE_CATCH_UP_MAX; break;
    }
    while (count < max && guaco_schedule_last(schedule, last_ms, at_ms,
                                              &fire_ms[count]) == GUACO_OK)
        at_ms = fire_ms[count++] - 1;
    reverse(fire_ms, count);
    return count;
}
