/*
 * Fuzz the text of schedules.  The input is a spec, or, when its first byte is
 * '!', the five arguments of crontab() on lines of their own ('?': strict).
 *
 * - Whatever is accepted gives fire times that ascend, and looking back from one
 *   finds it.
 * - What crontab() accepts is a spec.
 */

#include "fuzz.h"

#include <string.h>

#include "guaco/schedule.h"

#define START_MS INT64_C(1709164800000) /* 2024-02-29 */

static void
check_fires(const struct guaco_schedule *schedule)
{
    int64_t at_ms = START_MS, fire_ms = 0, last_ms = 0;

    for (int i = 0; i < 8; i++) {
        int rc = guaco_schedule_next(schedule, at_ms, &fire_ms);
        MUST(rc == GUACO_OK || rc == GUACO_E_MISSING);
        if (rc == GUACO_E_MISSING)
            break;
        MUST(fire_ms > at_ms);
        MUST(guaco_schedule_last(schedule, at_ms, fire_ms, &last_ms) ==
             GUACO_OK);
        MUST(last_ms == fire_ms);
        MUST(guaco_schedule_last(schedule, at_ms, fire_ms - 1, &last_ms) ==
             GUACO_E_MISSING);
        at_ms = fire_ms;
    }
}

static void
check_due(const struct guaco_schedule *schedule)
{
    int64_t fire_ms[GUACO_SCHEDULE_CATCH_UP_MAX];
    size_t count = guaco_schedule_due(schedule, GUACO_CATCH_UP_ALL, START_MS,
                                      START_MS + 86400000, fire_ms);

    MUST(count <= GUACO_SCHEDULE_CATCH_UP_MAX);
    for (size_t i = 0; i < count; i++) {
        MUST(fire_ms[i] > (i > 0 ? fire_ms[i - 1] : START_MS));
        MUST(fire_ms[i] <= START_MS + 86400000);
    }
}

static int
check_spec(struct guaco_slice spec)
{
    struct guaco_schedule *schedule = NULL;
    struct guaco_error err = {0};
    int rc = guaco_schedule_new(&schedule, spec, GUACO_SLICE("UTC"), "", &err);

    MUST(rc == GUACO_OK || rc == GUACO_E_INVALID);
    MUST((rc == GUACO_OK) == (err.text[0] == '\0'));
    if (rc == GUACO_OK) {
        check_fires(schedule);
        check_due(schedule);
        guaco_schedule_free(schedule);
    }
    return rc;
}

static struct guaco_slice
take_line(struct guaco_slice *rest)
{
    const char *nl = rest->len > 0 ? memchr(rest->at, '\n', rest->len) : NULL;
    struct guaco_slice line = {rest->at, nl != NULL ? (size_t)(nl - rest->at)
                                                    : rest->len};
    size_t step = line.len + (nl != NULL);

    if (step > 0)
        *rest = (struct guaco_slice){rest->at + step, rest->len - step};
    return line;
}

static void
check_crontab(struct guaco_slice rest, bool is_strict)
{
    char spec[GUACO_SCHEDULE_SPEC_MAX + 1];
    struct guaco_crontab fields;
    struct guaco_error err = {0};

    fields.minute = take_line(&rest);
    fields.hour = take_line(&rest);
    fields.day = take_line(&rest);
    fields.month = take_line(&rest);
    fields.day_of_week = take_line(&rest);
    int rc = guaco_crontab_spec(&fields, is_strict, spec, sizeof spec, &err);
    MUST(rc == GUACO_OK || rc == GUACO_E_INVALID || rc == GUACO_E_LIMIT);
    if (rc == GUACO_OK)
        MUST(check_spec((struct guaco_slice){spec, strlen(spec)}) == GUACO_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_slice text = {(const char *)data, size};

    if (size > 0 && (data[0] == '!' || data[0] == '?')) {
        text.at++;
        text.len--;
        check_crontab(text, data[0] == '?');
    } else {
        check_spec(text);
    }
    return 0;
}
