#ifndef GUACO_SCHEDULE_H
#define GUACO_SCHEDULE_H

/*
 * When a recurring task fires: cron expressions and intervals, in a time zone.
 *
 * Everything here is arithmetic: no clock is read, no state is kept, the
 * process's TZ is not looked at.  Times are Unix time in milliseconds.
 *
 * A spec is one line of text, at most GUACO_SCHEDULE_SPEC_MAX bytes:
 *
 *   "M H D m w"        crontab(5): minute, hour, day of month, month, weekday
 *   "S M H D m w"      six fields: seconds first
 *   "@hourly"          also @daily @midnight @weekly @monthly @yearly @annually
 *   "all M H D m w"    as above, but day AND weekday must match, as in Huey
 *   "every N UNIT"     UNIT: ms s m h d; fires at multiples of it since 1970
 *   "every N UNIT from T"   at T, Unix time in milliseconds, and so on from
 *                      there; never before it
 *
 * A field is a list of pieces with commas: *, a, a-b, and * / n or a-b / n
 * without the blanks.  A range may wrap (22-2).  Months and weekdays have names
 * (jan, mon); Sunday is 0 or 7.  When day and weekday are both restricted
 * (neither begins with *), a day that matches either fires, unless "all"
 * stands before.  Not taken: L, W, #, ?, @reboot.
 *
 * Where the zone's clock jumps:
 *
 * - A spec whose second, minute or hour begins with * ("wildcard") follows the
 *   clock on the wall: it fires at each moment whose local time matches.  A
 *   skipped hour has none, a repeated hour has them twice.
 * - Any other spec ("fixed") fires once for each local time: at the first
 *   moment at which the local clock shows it or a later time.  So a skipped
 *   time fires at the jump (several of one jump together, once), and a repeated
 *   one the first time only.
 *
 * This is the rule of Vixie's cron, without its limit of three hours.
 *
 * Threads: a schedule never changes after guaco_schedule_new(); any number may
 * use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "guaco/task.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GUACO_SCHEDULE_SPEC_MAX 1024
#define GUACO_SCHEDULE_ZONE_MAX 128

/* Where zones are looked for when nobody says otherwise. */
#define GUACO_SCHEDULE_ZONE_DIRS \
    "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"

/* How late a fire time may be handled before SKIP calls it missed. */
#define GUACO_SCHEDULE_GRACE_MS 60000

/* At most so many fire times are caught up at once. */
#define GUACO_SCHEDULE_CATCH_UP_MAX 100

struct guaco_schedule;

/*
 * Read a spec and the rules of its zone.
 *
 * `zone` is a name like Europe/Berlin; empty or "UTC" needs no file.  It is
 * looked for in `zone_dirs`, folders separated by colons (NULL:
 * GUACO_SCHEDULE_ZONE_DIRS; the folder `zoneinfo` of the Python package tzdata
 * serves too), as a TZif file (RFC 9636).  Intervals ignore the zone, but it
 * must exist.
 *
 * Gives *schedule, freed with guaco_schedule_free().  Returns 0;
 * GUACO_E_INVALID with a text that names the field, when the spec cannot be
 * read or can never fire; GUACO_E_MISSING (no such zone); GUACO_E_PROTO (the
 * zone's file is damaged); GUACO_E_UNSUPPORTED (it counts leap seconds);
 * GUACO_E_LIMIT; GUACO_E_NOMEM; GUACO_E_IO.  Reads a file: may block.
 */
GUACO_API int
guaco_schedule_new(struct guaco_schedule **schedule, struct guaco_slice spec,
                   struct guaco_slice zone, const char *zone_dirs,
                   struct guaco_error *err);

/* NULL is let pass. */
GUACO_API void guaco_schedule_free(struct guaco_schedule *schedule);

/*
 * The first fire time strictly after after_ms.  Cost: it grows with the months
 * and years that are passed over; on x86-64, 50 to 60 ns for a time of most
 * days, 300 ns for one day of the year in a zone with daylight saving.
 * Returns 0, or GUACO_E_MISSING when there is none before the year 10000 or
 * after_ms lies outside of the years 1 to 9999.
 */
GUACO_API int guaco_schedule_next(const struct guaco_schedule *schedule,
                                  int64_t after_ms, int64_t *fire_ms);

/*
 * The last fire time that is not after at_ms and strictly after since_ms.
 * Returns 0, or GUACO_E_MISSING when there is none.
 */
GUACO_API int
guaco_schedule_last(const struct guaco_schedule *schedule, int64_t since_ms,
                    int64_t at_ms, int64_t *fire_ms);

/*
 * The fire times in (last_ms, now_ms] that are to be run, in ascending order:
 *
 *   GUACO_CATCH_UP_SKIP   the last one, if it is at most GUACO_SCHEDULE_GRACE_MS
 *                         old; what is older was missed and is gone
 *   GUACO_CATCH_UP_ONCE   the last one, however old
 *   GUACO_CATCH_UP_ALL    each; of more than GUACO_SCHEDULE_CATCH_UP_MAX the
 *                         latest so many
 *
 * last_ms is the fire time handled last, or when the schedule was made.
 * Returns how many were written to fire_ms; 0 when nothing is due, which
 * includes a clock that was set back.
 */
GUACO_API size_t guaco_schedule_due(
    const struct guaco_schedule *schedule, enum guaco_catch_up catch_up,
    int64_t last_ms, int64_t now_ms,
    int64_t fire_ms[GUACO_SCHEDULE_CATCH_UP_MAX]);

/* The arguments of Huey's crontab(), as text. */
struct guaco_crontab {
    struct guaco_slice minute;
    struct guaco_slice hour;
    struct guaco_slice day;
    struct guaco_slice month;
    struct guaco_slice day_of_week;
};

/*
 * Write the spec ("all ...") that means what Huey 3.5.4 reads from `fields`
 * and a NUL to spec[0..cap).  As there, a piece that is neither *, a number, a
 * range nor * / n is ignored unless is_strict; a field that is left with nothing
 * is an error, and so is * / n in day_of_week.  Unlike there, fields that can
 * never match (the 30th of February) are an error too.
 *
 * Returns 0, GUACO_E_INVALID with a text that names the argument, or
 * GUACO_E_LIMIT when it does not fit.  On failure the contents of spec are
 * not specified.
 */
GUACO_API int
guaco_crontab_spec(const struct guaco_crontab *fields, bool is_strict,
                   char *spec, size_t cap, struct guaco_error *err);

#ifdef __cplusplus
}
#endif

#endif
