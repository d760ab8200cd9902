/*
 * The footer rule: parsed to two days of the year, asked for one moment.
 *
 * Asked, it lists the changes of the year around the moment and of two years
 * on either side, in order, and takes the pair that the moment lies between.
 * (One year is not enough: a change may lie nine days outside of its year, and
 * both of a year may.)  A rule whose two changes fall together, as summer time
 * all year is written, gives an empty span, which no moment is in.
 */

#include "tz_rule.h"

#include <assert.h>
#include <stddef.h>

#include "base/date.h"
#include "base/scan.h"
#include "tz.h"

#define HOUR_S             3600
#define DAY_S              86400
#define OFFSET_HOURS_MAX   24
#define CHANGE_HOURS_MAX   167
#define DEFAULT_CHANGE_S   (2 * HOUR_S)
#define YEARS_BESIDE       2
#define CHANGES            (2 * (2 * YEARS_BESIDE + 1))
#define NAME_LETTERS_LEAST 3

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
    bool is_summer;
};

/* ---- reading ---- */

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_quoted_letter(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-';
}

/* An abbreviation, CET or <+03>: checked, not kept. */
static bool
take_name(struct guaco__scan *scan)
{
    bool is_quoted = guaco__scan_take(scan, '<');
    const char *start = scan->at;

    while (!guaco__scan_done(scan) &&
           (is_quoted ? is_quoted_letter(*scan->at) : is_letter(*scan->at)))
        scan->at++;
    if (scan->at - start < NAME_LETTERS_LEAST)
        return false;
    return !is_quoted || guaco__scan_take(scan, '>');
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool
take_time(struct guaco__scan *scan, int hours_max, int32_t *seconds)
{
    bool is_negative = guaco__scan_take(scan, '-');
    int64_t h = 0, m = 0, s = 0;

    if (!is_negative)
        guaco__scan_take(scan, '+');
    if (!guaco__scan_number(scan, hours_max, &h))
        return false;
    if (guaco__scan_take(scan, ':')) {
        if (!guaco__scan_number(scan, 59, &m))
            return false;
        if (guaco__scan_take(scan, ':') && !guaco__scan_number(scan, 59, &s))
            return false;
    }
    *seconds = (int32_t)(h * HOUR_S + m * 60 + s);
    if (is_negative)
        *seconds = -*seconds;
    return true;
}

/* A number from least to max. */
static bool
take_between(struct guaco__scan *scan, int least, int max, int *number)
{
    int64_t value = 0;

    if (!guaco__scan_number(scan, max, &value) || value < least)
        return false;
    *number = (int)value;
    return true;
}

static bool
take_month_day(struct guaco__scan *scan, struct guaco__tz_day *day)
{
    day->kind = GUACO__TZ_DAY_MONTH;
    return take_between(scan, 1, 12, &day->month) &&
           guaco__scan_take(scan, '.') &&
           take_between(scan, 1, 5, &day->week) &&
           guaco__scan_take(scan, '.') && take_between(scan, 0, 6, &day->day);
}

/* ,date[/time] */
static bool
take_change(struct guaco__scan *scan, struct guaco__tz_day *day)
{
    bool is_read = false;

    if (!guaco__scan_take(scan, ','))
        return false;
    if (guaco__scan_take(scan, 'M')) {
        is_read = take_month_day(scan, day);
    } else if (guaco__scan_take(scan, 'J')) {
        day->kind = GUACO__TZ_DAY_JULIAN;
        is_read = take_between(scan, 1, 365, &day->day);
    } else {
        day->kind = GUACO__TZ_DAY_ZERO;
        is_read = take_between(scan, 0, 365, &day->day);
    }
    if (!is_read)
        return false;
    day->time_s = DEFAULT_CHANGE_S;
    return !guaco__scan_take(scan, '/') ||
           take_time(scan, CHANGE_HOURS_MAX, &day->time_s);
}

/* What follows the standard offset: dst[offset],start,end. */
static bool
take_summer(struct guaco__scan *scan, struct guaco__tz_rule *rule)
{
    rule->has_summer = true;
    rule->summer_s = rule->standard_s + HOUR_S;
    if (!take_name(scan))
        return false;
    if (guaco__scan_peek(scan) != ',') {
        if (!take_time(scan, OFFSET_HOURS_MAX, &rule->summer_s))
            return false;
        rule->summer_s = -rule->summer_s;
    }
    return take_change(scan, &rule->summer_start) &&
           take_change(scan, &rule->summer_end);
}

int
guaco__tz_rule_parse(struct guaco__tz_rule *rule, struct guaco_slice text,
                     struct guaco_error *err)
{
    struct guaco__scan scan = guaco__scan_of(text);
    bool is_read = false;

    *rule = (struct guaco__tz_rule){0};
    if (take_name(&scan) &&
        take_time(&scan, OFFSET_HOURS_MAX, &rule->standard_s)) {
        rule->standard_s = -rule->standard_s; /* POSIX counts west */
        is_read = guaco__scan_done(&scan) || take_summer(&scan, rule);
    }
    if (!is_read || !guaco__scan_done(&scan))
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "time zone file: cannot read the rule '%.*s'",
                          (int)(text.len < 64 ? text.len : 64), text.at);
    return GUACO_OK;
}

/* ---- asking ---- */

static bool
is_leap(int64_t year)
{
    return guaco__date_month_days(year, 2) == 29;
}

/* Days since 1970 of weekday `weekday` in week `week` of a month. */
static int64_t
month_day(int64_t year, int month, int week, int weekday)
{
    int64_t first = guaco__date_days(year, month, 1);
    /* 1970-01-01 was a Thursday. */
    int64_t first_weekday = ((first + 4) % 7 + 7) % 7;
    int64_t day = (weekday - first_weekday + 7) % 7 + 7 * (week - 1);

    while (day >= guaco__date_month_days(year, month))
        day -= 7;
    return first + day;
}

/* Seconds since 1970 on the local clock that counts before the change. */
static int64_t
change_local(const struct guaco__tz_day *day, int64_t year)
{
    int64_t days = 0;

    switch (day->kind) {
    case GUACO__TZ_DAY_JULIAN:
        days = guaco__date_days(year, 1, 1) + day->day - 1;
        if (day->day >= 60 && is_leap(year))
            days++;
        break;
    case GUACO__TZ_DAY_ZERO:
        days = guaco__date_days(year, 1, 1) + day->day;
        break;
    case GUACO__TZ_DAY_MONTH:
        days = month_day(year, day->month, day->week, day->day);
        break;
    }
    return days * DAY_S + day->time_s;
}

static void
insert_change(struct change *changes, size_t count, struct change change)
{
    size_t i = count;

    /* Of two at one moment the end of summer time comes first, so that
     * summer time all year has no gap. */
    while (i > 0 && (changes[i - 1].at_s > change.at_s ||
                     (changes[i - 1].at_s == change.at_s &&
                      changes[i - 1].is_summer && !change.is_summer))) {
        changes[i] = changes[i - 1];
        i--;
    }
    changes[i] = change;
}

struct guaco__tz_span
guaco__tz_rule_at(const struct guaco__tz_rule *rule, int64_t utc_s)
{
    if (!rule->has_summer)
        return (struct guaco__tz_span){INT64_MIN, INT64_MAX, rule->standard_s};

    struct change changes[CHANGES];
    size_t count = 0;
    int64_t year = guaco__date_of(utc_s + rule->standard_s).year;

    for (int64_t y = year - YEARS_BESIDE; y <= year + YEARS_BESIDE; y++) {
        int64_t start = change_local(&rule->summer_start, y) - rule->standard_s;
        int64_t end = change_local(&rule->summer_end, y) - rule->summer_s;
        insert_change(changes, count++,
                      (struct change){start, rule->summer_s, true});
        insert_change(changes, count++,
                      (struct change){end, rule->standard_s, false});
    }
    assert(count == CHANGES);
    assert(changes[0].at_s <= utc_s);
    assert(utc_s < changes[CHANGES - 1].at_s);

    size_t i = 1;
    while (changes[i].at_s <= utc_s)
        i++;
    return (struct guaco__tz_span){changes[i - 1].at_s, changes[i].at_s,
                                   changes[i - 1].offset_s};
}
