/*
 * Answers questions about schedules, one a line, for tests/python/test_schedule.py,
 * which holds the answers against an oracle of its own.  Fields are separated
 * by '|':
 *
 *     next|ZONE|SPEC|AFTER|COUNT        -> fire times, in ms
 *     last|ZONE|SPEC|SINCE|AT           -> a fire time or "none"
 *     due|ZONE|SPEC|POLICY|LAST|NOW     -> fire times; POLICY is 1, 2 or 3
 *     crontab|STRICT|MINUTE|HOUR|DAY|MONTH|WEEKDAY  -> the spec
 *
 * A failure is "!CODE TEXT".  The one argument is the folders of the zones.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guaco/schedule.h"

#define FIELDS_MAX 8

static struct guaco_slice
slice_of(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

static void
print_times(const int64_t *fire_ms, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s%lld", i ? " " : "", (long long)fire_ms[i]);
    printf("\n");
}

static void
answer_next(const struct guaco_schedule *schedule, char **field)
{
    int64_t at_ms = strtoll(field[3], NULL, 10);
    long count = strtol(field[4], NULL, 10);

    for (long i = 0; i < count; i++) {
        if (guaco_schedule_next(schedule, at_ms, &at_ms) != GUACO_OK)
            break;
        printf("%s%lld", i ? " " : "", (long long)at_ms);
    }
    printf("\n");
}

static void
answer_last(const struct guaco_schedule *schedule, char **field)
{
    int64_t fire_ms = 0;

    if (guaco_schedule_last(schedule, strtoll(field[3], NULL, 10),
                            strtoll(field[4], NULL, 10), &fire_ms) == GUACO_OK)
        print_times(&fire_ms, 1);
    else
        printf("none\n");
}

static void
answer_due(const struct guaco_schedule *schedule, char **field)
{
    int64_t fire_ms[GUACO_SCHEDULE_CATCH_UP_MAX];
    size_t count = guaco_schedule_due(
        schedule, (enum guaco_catch_up)strtol(field[3], NULL, 10),
        strtoll(field[4], NULL, 10), strtoll(field[5], NULL, 10), fire_ms);

    print_times(fire_ms, count);
}

static void
answer_crontab(char **field)
{
    struct guaco_error err = {0};
    char spec[GUACO_SCHEDULE_SPEC_MAX + 1];
    struct guaco_crontab crontab = {slice_of(field[2]), slice_of(field[3]),
                                    slice_of(field[4]), slice_of(field[5]),
                                    slice_of(field[6])};

    int rc = guaco_crontab_spec(&crontab, field[1][0] == '1', spec, sizeof spec,
                                &err);
    if (rc == GUACO_OK)
        printf("%s\n", spec);
    else
        printf("!%d %s\n", rc, err.text);
}

static void
answer(char **field, const char *dirs)
{
    struct guaco_error err = {0};
    struct guaco_schedule *schedule = NULL;

    if (strcmp(field[0], "crontab") == 0) {
        answer_crontab(field);
        return;
    }
    int rc = guaco_schedule_new(&schedule, slice_of(field[2]),
                                slice_of(field[1]), dirs, &err);
    if (rc != GUACO_OK)
        printf("!%d %s\n", rc, err.text);
    else if (strcmp(field[0], "next") == 0)
        answer_next(schedule, field);
    else if (strcmp(field[0], "last") == 0)
        answer_last(schedule, field);
    else
        answer_due(schedule, field);
    guaco_schedule_free(schedule);
}

int
main(int argc, char **argv)
{
    static char none[] = "";
    char line[4096];

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *field[FIELDS_MAX];
        char *at = line;
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < FIELDS_MAX; i++) {
            field[i] = at ? at : none;
            if (at && (at = strchr(at, '|')) != NULL)
                *at++ = '\0';
        }
        answer(field, argc > 1 ? argv[1] : NULL);
    }
    return 0;
}
