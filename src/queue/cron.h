#ifndef GUACO_QUEUE_CRON_H
#define GUACO_QUEUE_CRON_H

/*
 * Cron expressions as sets of bits, and the next local time that matches.
 *
 * There are no time zones here: a local time is seconds since 1970-01-01
 * 00:00 on a clock that never jumps.  The search goes from month to month with
 * the days of one month in one word, so that it costs tens of steps even where
 * years lie between two matches.
 *
 * Threads: no shared state.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

struct guaco__cron {
    uint64_t second;  /* bits 0 to 59 */
    uint64_t minute;  /* bits 0 to 59 */
    uint32_t hour;    /* bits 0 to 23 */
    uint32_t day;     /* bits 1 to 31 */
    uint32_t month;   /* bits 1 to 12 */
    uint32_t weekday; /* bits 0 to 6, 0 is Sunday */
    bool needs_both;  /* day and weekday, not either */
    bool is_wildcard; /* second, minute or hour begins with * */
};

/*
 * Read the cron forms of guaco/schedule.h, without "every".  Returns 0, or
 * GUACO_E_INVALID with a text that names the field; *cron is then not
 * specified.
 */
int guaco__cron_parse(struct guaco__cron *cron, struct guaco_slice text,
                      struct guaco_error *err);

/*
 * The first matching local time at or after from_s.  Returns 0, or
 * GUACO_E_MISSING when there is none up to the end of the year 9999.  from_s
 * is at least GUACO__DATE_MIN_S.
 */
int guaco__cron_next(const struct guaco__cron *cron, int64_t from_s,
                     int64_t *local_s);

#endif
