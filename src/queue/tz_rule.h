#ifndef GUACO_QUEUE_TZ_RULE_H
#define GUACO_QUEUE_TZ_RULE_H

/*
 * The rule in the footer of a TZif file, which holds after its last listed
 * change: the TZ string of POSIX (IEEE 1003.1-2017, 8.3) with the extension of
 * RFC 9636, 3.3.1: the hour of a change goes from -167 to 167.
 *
 *   CET-1CEST,M3.5.0,M10.5.0/3
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

struct guaco__tz_span;

enum guaco__tz_day_kind {
    GUACO__TZ_DAY_JULIAN, /* Jn: 1 to 365, 29 February is never counted */
    GUACO__TZ_DAY_ZERO,   /* n: 0 to 365, 29 February is counted */
    GUACO__TZ_DAY_MONTH,  /* Mm.w.d: weekday d of week w (5: the last) of m */
};

struct guaco__tz_day {
    enum guaco__tz_day_kind kind;
    int day; /* JULIAN, ZERO: of the year; MONTH: weekday, 0 is Sunday */
    int month;
    int week;
    int32_t time_s; /* after local midnight, may be negative */
};

struct guaco__tz_rule {
    int32_t standard_s; /* east of UTC */
    int32_t summer_s;
    bool has_summer;
    struct guaco__tz_day summer_start; /* on the clock of standard time */
    struct guaco__tz_day summer_end;   /* on the clock of summer time */
};

/* Returns 0 or GUACO_E_PROTO; *rule is then not specified. */
int guaco__tz_rule_parse(struct guaco__tz_rule *rule, struct guaco_slice text,
                         struct guaco_error *err);

/* The span that holds utc_s, within the years -1 to 10000. */
struct guaco__tz_span
guaco__tz_rule_at(const struct guaco__tz_rule *rule, int64_t utc_s);

#endif
