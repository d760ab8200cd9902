/*
 * guaco-profile: the profiler alone, for containers and for sudo.  It needs the
 * C library and nothing else.
 */

#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct guaco__command profile = {
    "profile", "-p PID | -t COMMAND ...",
    "sample the Python stacks of a process", guaco__command_profile, 0};
static const struct guaco__command flamegraph = {"flamegraph", "FOLDED",
                                                 "draw folded stacks as an SVG",
                                                 guaco__command_flamegraph, 0};

int
main(int argc, char **argv)
{
    const char *const *args = (const char *const *)(argv + 1);
    size_t count = argc > 0 ? (size_t)argc - 1 : 0;

    if (count > 0 && strcmp(args[0], "--version") == 0) {
        printf("guaco-profile %s\n", GUACO_VERSION);
        return 0;
    }
    if (count > 0 && strcmp(args[0], "flamegraph") == 0)
        return guaco__command_flamegraph(&flamegraph, args + 1, count - 1);
    if (count > 0 && strcmp(args[0], "profile") == 0) /* as guaco has it */
        return guaco__command_profile(&profile, args + 1, count - 1);
    return guaco__command_profile(&profile, args, count);
}
