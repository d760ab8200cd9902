/*
 * A flame graph of a Python process, from C:
 *
 *     profile PID SECONDS OUT.svg
 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "guaco/profile.h"

static int
fail(const struct guaco_error *err)
{
    fprintf(stderr, "profile: %s\n", err->text);
    return 1;
}

int
main(int argc, char **argv)
{
    struct guaco_profile_options options = {
        .threads = GUACO_PROFILE_ALL,
        .period_us = 2000,
        .title = "From C",
    };
    struct guaco_profile_counts counts;
    struct guaco_profile *profile;
    struct guaco_error err = {0};

    if (argc != 4) {
        fputs("usage: profile PID SECONDS OUT.svg\n", stderr);
        return 2;
    }
    int pid = (int)strtol(argv[1], NULL, 10);
    int milliseconds = (int)(strtod(argv[2], NULL) * 1000);

    if (guaco_profile_open(&profile, pid, &options, &err) != GUACO_OK)
        return fail(&err);
    int rc = guaco_profile_start(profile, &err);
    if (rc == GUACO_OK) {
        poll(NULL, 0, milliseconds); /* whatever the program does meanwhile */
        guaco_profile_stop(profile);
        rc = guaco_profile_save(profile, GUACO_PROFILE_SVG, argv[3], &err);
    }
    guaco_profile_counts(profile, &counts);
    guaco_profile_close(profile);
    if (rc != GUACO_OK)
        return fail(&err);
    printf("%llu stacks in %s\n", (unsigned long long)counts.stacks, argv[3]);
    return 0;
}
