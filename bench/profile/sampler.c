/*
 * sampler PID COUNT PERIOD_US [stop|off|all]: sample a target as fast as asked
 * (0: flat out) and print one line of JSON: system calls and CPU time a sample,
 * torn and dropped ones, impossible stacks, the samples a second that were
 * reached, and how often each function was the leaf.
 *
 * A stack is impossible when it holds functions of both halves of target.py,
 * told apart by the last character of their names.
 *
 * stop  the target is stopped for each sample: the truth that the shares of the
 *       other way are held against
 * off   nothing is read: what the ticks alone cost
 * all   all threads, not only the holder of the GIL
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "profile/target.h"

enum { NAMES_MAX = 64, NAME_BYTES = 48 };

static struct {
    char name[NAME_BYTES];
    long count;
} leaves[NAMES_MAX];
static long told, impossible;

static void
count_leaf(struct guaco_slice name)
{
    int i = 0;

    while (i < NAMES_MAX - 1 && leaves[i].count > 0 &&
           (strlen(leaves[i].name) != name.len ||
            memcmp(leaves[i].name, name.at, name.len) != 0))
        i++;
    if (name.len < NAME_BYTES)
        memcpy(leaves[i].name, name.at, name.len);
    leaves[i].count++;
}

static void
on_thread(void *ctx, const struct guaco__thread_sample *sample)
{
    bool half[2] = {false, false};

    (void)ctx;
    if (sample->stack->count == 0)
        return;
    told++;
    count_leaf(sample->stack->frames[0].code->name);
    for (size_t i = 0; i < sample->stack->count; i++) {
        struct guaco_slice name = sample->stack->frames[i].code->name;
        char last = name.len == 2 || name.len == 3 ? name.at[name.len - 1] : 0;
        if (last == '1' || last == '2')
            half[last - '1'] = true;
    }
    impossible += half[0] && half[1];
}

static double
us_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* SIGSTOP takes effect when the target's thread next leaves the kernel. */
static void
wait_stopped(int pid)
{
    char path[64], text[512];

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (;;) {
        FILE *file = fopen(path, "r");
        if (file == NULL)
            return;
        size_t len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[len] = '\0';
        const char *state = strrchr(text, ')');
        if (state != NULL && state[2] == 'T')
            return;
    }
}

static int
sample_all(struct guaco__target *target, int pid, long count, long period_us,
           const char *mode)
{
    struct timespec period = {period_us / 1000000, period_us % 1000000 * 1000};
    bool stop = strcmp(mode, "stop") == 0, off = strcmp(mode, "off") == 0;
    enum guaco__sample_what what = strcmp(mode, "all") == 0
                                       ? GUACO__SAMPLE_THREADS
                                       : GUACO__SAMPLE_HOLDERS;
    int rc = GUACO_OK;

    for (long i = 0; i < count && rc == GUACO_OK; i++) {
        if (period_us > 0)
            nanosleep(&period, NULL);
        if (off)
            continue;
        if (stop) {
            kill(pid, SIGSTOP);
            wait_stopped(pid);
        }
        rc = guaco__target_sample(target, what, on_thread, NULL);
        if (stop)
            kill(pid, SIGCONT);
    }
    return rc;
}

static void
print_result(const struct guaco__target *target, long count, double used_us,
             double wall_us)
{
    const struct guaco__target_counts *c = guaco__target_counts(target);

    printf("{\"samples\":%ld,\"told\":%ld,\"calls\":%.4f,\"cpu_us\":%.3f,"
           "\"torn\":%llu,\"dropped\":%llu,\"impossible\":%ld,\"rate\":%.0f,"
           "\"leaves\":{",
           count, told, (double)guaco__target_reads(target) / (double)count,
           used_us / (double)count, (unsigned long long)c->torn,
           (unsigned long long)c->dropped, impossible,
           (double)count * 1e6 / wall_us);
    for (int i = 0; i < NAMES_MAX && leaves[i].count > 0; i++)
        printf("%s\"%s\":%ld", i > 0 ? "," : "", leaves[i].name,
               leaves[i].count);
    puts("}}");
}

int
main(int argc, char **argv)
{
    struct guaco__target *target = NULL;
    struct guaco_error err = {0};

    if (argc < 4) {
        fprintf(stderr, "usage: sampler PID COUNT PERIOD_US [stop|off|all]\n");
        return 2;
    }
    int pid = (int)strtol(argv[1], NULL, 10);
    long count = strtol(argv[2], NULL, 10);
    int rc = guaco__target_attach(&target, pid, &err);
    double cpu = us_of(CLOCK_PROCESS_CPUTIME_ID);
    double wall = us_of(CLOCK_MONOTONIC);
    if (rc == GUACO_OK)
        rc = sample_all(target, pid, count, strtol(argv[3], NULL, 10),
                        argc > 4 ? argv[4] : "");
    if (rc == GUACO_OK)
        print_result(target, count, us_of(CLOCK_PROCESS_CPUTIME_ID) - cpu,
                     us_of(CLOCK_MONOTONIC) - wall);
    else
        fprintf(stderr, "sampler: %s\n",
                err.text[0] != '\0' ? err.text : guaco_strerror(rc));
    guaco__target_free(target);
    return rc == GUACO_OK ? 0 : 1;
}
