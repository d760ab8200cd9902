/*
 * Fuzz the reader of TZif files.  Of whatever it accepts:
 *
 * - the span at a moment holds it, and the next span begins where it ends;
 * - every offset is within RFC 9636's bounds;
 * - schedules of both kinds fire at ascending times, and a wildcard fires only
 *   when the local clock shows what it wants.
 */

#include "fuzz.h"

#include "guaco/schedule.h"
#include "queue/schedule_int.h"
#include "queue/tz.h"

static const int64_t moments_s[] = {
    -62000000000, -5000000000, -2147483648, -1,         0,
    951782400,    1711846799,  2147483647,  4102444800, 253000000000,
};

static void
check_spans(const struct guaco__tz *tz, int64_t at_s)
{
    for (int i = 0; i < 6; i++) {
        struct guaco__tz_span span = guaco__tz_at(tz, at_s);
        MUST(span.start_s <= at_s && at_s < span.end_s);
        MUST(span.offset_s >= -GUACO__TZ_WEST_MAX_S);
        MUST(span.offset_s <= GUACO__TZ_EAST_MAX_S);
        if (span.end_s >= INT64_C(253300000000))
            break;
        MUST(guaco__tz_at(tz, span.end_s).start_s == span.end_s);
        MUST(guaco__tz_at(tz, span.end_s - 1).end_s == span.end_s);
        at_s = span.end_s;
    }
}

/* Takes tz. */
static void
check_schedule(struct guaco__tz *tz, struct guaco_slice spec, int64_t minute)
{
    struct guaco_schedule *schedule = NULL;

    if (guaco__schedule_new_in(&schedule, spec, tz, NULL) != GUACO_OK) {
        guaco__tz_free(tz);
        return;
    }
    for (size_t i = 0; i < sizeof moments_s / sizeof moments_s[0]; i++) {
        int64_t at_ms = moments_s[i] * 1000, fire_ms = 0;
        for (int n = 0; n < 5; n++) {
            if (guaco_schedule_next(schedule, at_ms, &fire_ms) != GUACO_OK)
                break;
            MUST(fire_ms > at_ms);
            int64_t fire_s = fire_ms / 1000;
            if (minute >= 0) {
                int64_t local_s = fire_s + guaco__tz_at(tz, fire_s).offset_s;
                MUST((local_s % 3600 + 3600) % 3600 == minute * 60);
            }
            at_ms = fire_ms;
        }
    }
    guaco_schedule_free(schedule);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__tz *tz = NULL;
    int rc = guaco__tz_parse(&tz, data, size, NULL);

    MUST(rc == GUACO_OK || rc == GUACO_E_PROTO || rc == GUACO_E_UNSUPPORTED ||
         rc == GUACO_E_LIMIT);
    if (rc != GUACO_OK)
        return 0;
    for (size_t i = 0; i < sizeof moments_s / sizeof moments_s[0]; i++)
        check_spans(tz, moments_s[i]);
    check_schedule(tz, GUACO_SLICE("17 * * * *"), 17);

    MUST(guaco__tz_parse(&tz, data, size, NULL) == GUACO_OK);
    check_schedule(tz, GUACO_SLICE("30 2,3 * * *"), -1);
    return 0;
}
