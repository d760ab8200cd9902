/*
 * Random cron expressions around every jump of a zone's clock, held against an
 * oracle that shares nothing with the code under test: the C library says what
 * the local clock shows at each minute, and the rule of guaco/schedule.h is
 * applied to one minute after another.
 *
 *     cron_oracle [EXPRESSIONS [SEED]]        (200, 1)
 *
 * Each expression meets each of 20 zones and each jump from 1990 to 2040: all
 * fire times from three hours before it to four hours after.  The expression is
 * made from sets of values, so that the oracle needs no parser.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guaco/schedule.h"

#define MINUTE    60
#define HOUR      3600
#define BEFORE    (3 * HOUR)
#define AFTER     (4 * HOUR)
#define STEP      (3 * HOUR)          /* jumps are further apart */
#define FROM      INT64_C(631152000)  /* 1990 */
#define UNTIL     INT64_C(2240524800) /* 2041 */
#define MOMENTS   ((BEFORE + AFTER) / MINUTE + 1)
#define READINGS  (MOMENTS + 26 * 60) /* Apia left a day out */
#define FIRES_MAX (2 * MOMENTS)
#define ZONES     20
#define JUMPS_MAX 256

static const char *const zone_names[ZONES] = {
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Moscow",
    "Europe/Istanbul",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "America/Nuuk",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Antarctica/Troll",
};

/* What the local clock shows in one of its minutes. */
struct reading {
    uint8_t minute, hour, day, month, weekday;
};

/* The time around one jump. */
struct window {
    int64_t start;          /* Unix time */
    int32_t shows[MOMENTS]; /* at each minute, an index of readings */
    struct reading readings[READINGS];
    size_t reading_count;
};

struct zone {
    const char *name;
    struct window *windows;
    size_t count;
};

struct expression {
    uint64_t sets[5]; /* minute hour day month weekday */
    bool both;        /* day AND weekday */
    bool is_wildcard;
    char text[256];
};

/* ---- what the C library says ---- */

static int64_t
local_minute(int64_t at)
{
    time_t t = (time_t)at;
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL)
        abort();
    return (at + tm.tm_gmtoff) / MINUTE;
}

static int64_t
offset(int64_t at)
{
    return local_minute(at) * MINUTE - at;
}

static struct reading
reading_of(int64_t minute)
{
    time_t t = (time_t)(minute * MINUTE);
    struct tm tm;

    gmtime_r(&t, &tm);
    return (struct reading){(uint8_t)tm.tm_min, (uint8_t)tm.tm_hour,
                            (uint8_t)tm.tm_mday, (uint8_t)(tm.tm_mon + 1),
                            (uint8_t)tm.tm_wday};
}

static void
fill_window(struct window *w, int64_t jump)
{
    int64_t low = INT64_MAX;
    int64_t high = INT64_MIN;

    w->start = jump - BEFORE;
    for (int i = 0; i < MOMENTS; i++) {
        int64_t shown = local_minute(w->start + (int64_t)i * MINUTE);
        low = shown < low ? shown : low;
        high = shown > high ? shown : high;
    }
    w->reading_count = (size_t)(high - low + 1);
    if (w->reading_count > READINGS)
        abort();
    for (size_t i = 0; i < w->reading_count; i++)
        w->readings[i] = reading_of(low + (int64_t)i);
    for (int i = 0; i < MOMENTS; i++)
        w->shows[i] =
            (int32_t)(local_minute(w->start + (int64_t)i * MINUTE) - low);
}

/* The minute at which the offset of `at` gives way to that of at + STEP. */
static int64_t
find_jump(int64_t at)
{
    int64_t low = at;
    int64_t high = at + STEP;

    while (high - low > MINUTE) {
        int64_t middle = low + (high - low) / 2 / MINUTE * MINUTE;
        if (offset(middle) == offset(at))
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void
open_zone(struct zone *zone, const char *name)
{
    zone->name = name;
    zone->windows = malloc(JUMPS_MAX * sizeof *zone->windows);
    if (zone->windows == NULL || setenv("TZ", name, 1) != 0)
        abort();
    tzset();
    for (int64_t at = FROM; at < UNTIL; at += STEP) {
        if (offset(at) == offset(at + STEP))
            continue;
        if (zone->count == JUMPS_MAX)
            abort();
        fill_window(&zone->windows[zone->count++], find_jump(at));
    }
    if (zone->count == 0) /* one that never jumps: an ordinary day */
        fill_window(&zone->windows[zone->count++], FROM + 5 * HOUR);
}

/* ---- expressions ---- */

static unsigned
random_below(uint64_t *state, unsigned n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)((*state >> 11) % n);
}

static const int field_low[5] = {0, 0, 1, 1, 0};
static const int field_high[5] = {59, 23, 31, 12, 6};

static void
add_value(uint64_t *set, int value)
{
    *set |= UINT64_C(1) << value;
}

/* One piece: a number, a range that may wrap, either with a step. */
static int
add_piece(struct expression *e, int field, uint64_t *random, char *out,
          size_t cap)
{
    int low = field_low[field];
    int size = field_high[field] - low + 1;
    int first = low + (int)random_below(random, (unsigned)size);
    int last = low + (int)random_below(random, (unsigned)size);
    int step = 1 + (int)random_below(random, (unsigned)size);
    unsigned form = random_below(random, 6);

    if (form < 4) {
        add_value(&e->sets[field], first);
        bool is_sunday = field == 4 && first == 0 && form == 0;
        return snprintf(out, cap, "%d", is_sunday ? 7 : first);
    }
    if (form == 4)
        step = 1;
    for (int i = 0, at = first;; i++, at++) {
        if (at > field_high[field])
            at = low;
        if (i % step == 0)
            add_value(&e->sets[field], at);
        if (at == last)
            break;
    }
    return form == 4 ? snprintf(out, cap, "%d-%d", first, last)
                     : snprintf(out, cap, "%d-%d/%d", first, last, step);
}

static int
add_star(struct expression *e, int field, uint64_t *random, char *out,
         size_t cap)
{
    bool has_step = random_below(random, 3) == 0;
    int step = has_step ? 1 + (int)random_below(random, 20) : 1;

    for (int at = field_low[field]; at <= field_high[field]; at += step)
        add_value(&e->sets[field], at);
    return has_step ? snprintf(out, cap, "*/%d", step)
                    : snprintf(out, cap, "*");
}

static void
make_expression(struct expression *e, uint64_t *random)
{
    /* In how many of 10 a field begins with a star: few minutes, or there
     * would be little else than fire times. */
    static const unsigned stars[5] = {2, 4, 6, 8, 6};
    bool is_star[5];
    size_t len = 0;

    *e = (struct expression){.both = random_below(random, 3) == 0};
    if (e->both)
        len = (size_t)snprintf(e->text, sizeof e->text, "all ");
    for (int field = 0; field < 5; field++) {
        is_star[field] = random_below(random, 10) < stars[field];
        unsigned pieces = is_star[field] ? 1 : 1 + random_below(random, 3);
        for (unsigned i = 0; i < pieces; i++) {
            char *out = e->text + len;
            size_t cap = sizeof e->text - len;
            len += (size_t)(is_star[field]
                                ? add_star(e, field, random, out, cap)
                                : add_piece(e, field, random, out, cap));
            e->text[len++] = i + 1 < pieces ? ',' : ' ';
        }
    }
    e->text[len - 1] = '\0';
    e->both = e->both || is_star[2] || is_star[4];
    e->is_wildcard = is_star[0] || is_star[1];
}

/* ---- the oracle ---- */

static bool
has(uint64_t set, unsigned value)
{
    return (set >> value & 1) != 0;
}

static bool
matches(const struct expression *e, const struct reading *r)
{
    if (!has(e->sets[0], r->minute) || !has(e->sets[1], r->hour) ||
        !has(e->sets[3], r->month))
        return false;
    bool day = has(e->sets[2], r->day);
    bool weekday = has(e->sets[4], r->weekday);
    return e->both ? day && weekday : day || weekday;
}

static size_t
oracle_fires(const struct expression *e, const struct window *w, int64_t *out)
{
    int32_t shown = w->shows[0]; /* the greatest reading so far */
    size_t n = 0;

    for (int i = 1; i < MOMENTS; i++) {
        bool fires = e->is_wildcard && matches(e, &w->readings[w->shows[i]]);
        while (shown < w->shows[i]) { /* all that is passed or reached now */
            shown++;
            fires =
                fires || (!e->is_wildcard && matches(e, &w->readings[shown]));
        }
        if (fires)
            out[n++] = w->start + (int64_t)i * MINUTE;
    }
    return n;
}

/* ---- the code under test ---- */

static size_t
our_fires(const struct guaco_schedule *schedule, const struct window *w,
          int64_t *out)
{
    int64_t end_ms = (w->start + (MOMENTS - 1) * MINUTE) * 1000;
    int64_t at_ms = w->start * 1000;
    size_t n = 0;

    while (n < FIRES_MAX &&
           guaco_schedule_next(schedule, at_ms, &at_ms) == GUACO_OK &&
           at_ms <= end_ms)
        out[n++] = at_ms / 1000;
    return n;
}

struct tally {
    uint64_t windows;
    uint64_t fires;
    uint64_t impossible; /* refused: it can never fire */
    uint64_t wrong;
};

static void
report(const struct expression *e, const struct zone *zone,
       const struct window *w, const int64_t *ours, size_t our_count,
       const int64_t *theirs, size_t their_count)
{
    printf("%s in %s after %lld:\n  ours  ", e->text, zone->name,
           (long long)w->start);
    for (size_t i = 0; i < our_count && i < 8; i++)
        printf(" %lld", (long long)ours[i]);
    printf("\n  oracle");
    for (size_t i = 0; i < their_count && i < 8; i++)
        printf(" %lld", (long long)theirs[i]);
    printf("\n");
}

static void
compare(const struct expression *e, const struct zone *zone,
        struct tally *tally)
{
    int64_t ours[FIRES_MAX];
    int64_t theirs[FIRES_MAX];
    struct guaco_error err = {0};
    struct guaco_schedule *schedule;
    int rc = guaco_schedule_new(
        &schedule, (struct guaco_slice){e->text, strlen(e->text)},
        (struct guaco_slice){zone->name, strlen(zone->name)}, NULL, &err);

    tally->impossible += rc == GUACO_E_INVALID;
    if (rc != GUACO_OK && rc != GUACO_E_INVALID) {
        printf("%s in %s: %s\n", e->text, zone->name, err.text);
        tally->wrong++;
    }
    for (size_t i = 0; i < zone->count; i++) {
        const struct window *w = &zone->windows[i];
        size_t their_count = oracle_fires(e, w, theirs);
        size_t our_count = rc == GUACO_OK ? our_fires(schedule, w, ours) : 0;
        tally->windows++;
        tally->fires += their_count;
        if (our_count == their_count &&
            memcmp(ours, theirs, our_count * sizeof *ours) == 0)
            continue;
        if (tally->wrong++ < 10)
            report(e, zone, w, ours, our_count, theirs, their_count);
    }
    if (rc == GUACO_OK)
        guaco_schedule_free(schedule);
}

int
main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct zone zones[ZONES] = {0};
    struct expression e;
    struct tally tally = {0};

    for (int i = 0; i < ZONES; i++)
        open_zone(&zones[i], zone_names[i]);
    for (long n = 0; n < count; n++) {
        make_expression(&e, &random);
        for (int i = 0; i < ZONES; i++)
            compare(&e, &zones[i], &tally);
    }
    for (int i = 0; i < ZONES; i++)
        free(zones[i].windows);
    printf("seed %llu: %ld expressions, %d zones, %llu windows around jumps, "
           "%llu fire times, %llu refused, %llu wrong\n",
           (unsigned long long)seed, count, ZONES,
           (unsigned long long)tally.windows, (unsigned long long)tally.fires,
           (unsigned long long)tally.impossible,
           (unsigned long long)tally.wrong);
    return tally.wrong == 0 && tally.fires > 0 ? 0 : 1;
}
