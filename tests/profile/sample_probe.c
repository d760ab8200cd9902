/*
 * sample_probe PID COUNT [PERIOD_US]: sample all threads and print a line for
 * each, asked by tests/python/test_profile_threads.py:
 *
 *     STATE NATIVE_ID THREAD_ID NAME|TASK, TASK|function;function
 *
 * STATE is holds, waits, runs, idle or unknown; the leaf comes last.  A line
 * "--" ends a sample; the last one has the counts.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "profile/target.h"

static const char *const states[] = {"unknown", "holds", "waits", "runs",
                                     "idle"};

static void
on_thread(void *ctx, const struct guaco__thread_sample *s)
{
    (void)ctx;
    printf("%s %d %llu %.*s|", states[s->state], (int)s->native_id,
           (unsigned long long)s->thread_id, (int)s->name.len, s->name.at);
    for (size_t i = 0; i < s->task_count; i++)
        printf("%s%.*s", i > 0 ? ", " : "", (int)s->tasks[i].len,
               s->tasks[i].at);
    printf("|");
    for (size_t i = s->stack->count; i-- > 0;)
        printf("%.*s%s", (int)s->stack->frames[i].code->name.len,
               s->stack->frames[i].code->name.at, i > 0 ? ";" : "");
    printf("\n");
}

int
main(int argc, char **argv)
{
    struct guaco__target *target = NULL;
    struct guaco_error err = {0};

    if (argc < 3)
        return 2;
    long count = strtol(argv[2], NULL, 10);
    long us = argc > 3 ? strtol(argv[3], NULL, 10) : 1000;
    int rc =
        guaco__target_attach(&target, (int)strtol(argv[1], NULL, 10), &err);
    if (rc == GUACO_OK)
        guaco__target_want(target, GUACO__WANT_STATES | GUACO__WANT_NAMES |
                                       GUACO__WANT_TASKS);
    for (long i = 0; i < count && rc == GUACO_OK; i++) {
        struct timespec period = {us / 1000000, us % 1000000 * 1000};
        nanosleep(&period, NULL);
        rc = guaco__target_sample(target, GUACO__SAMPLE_THREADS, on_thread,
                                  NULL);
        puts("--");
    }
    if (rc != GUACO_OK)
        fprintf(stderr, "sample_probe: %s\n",
                err.text[0] != '\0' ? err.text : guaco_strerror(rc));
    else
        printf("%llu samples, %llu torn, %llu dropped\n",
               (unsigned long long)guaco__target_counts(target)->samples,
               (unsigned long long)guaco__target_counts(target)->torn,
               (unsigned long long)guaco__target_counts(target)->dropped);
    guaco__target_free(target);
    return rc == GUACO_OK ? 0 : 1;
}
