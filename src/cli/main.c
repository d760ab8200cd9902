/* guaco: one table entry a command; each command is its own file. */

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "run/options.h"

const struct guaco__command guaco__commands[] = {
    {"serve", "MODULE:APP | GUEST.so", "serve an ASGI or WSGI application",
     guaco__command_tree, GUACO__SERVE},
    {"work", "MODULE:QUEUE", "run the tasks and schedules of a queue",
     guaco__command_tree, GUACO__WORK},
    {"up", "MODULE:APP", "serve an application and run its queues",
     guaco__command_tree, GUACO__UP},
    {"queue", "stats|ls|retry|purge|cancel|pause|resume MODULE:QUEUE ...",
     "look into a queue and mend it", guaco__command_tree, GUACO__QUEUE},
    {"cron", "ls|next|run|pause|resume MODULE:QUEUE ...",
     "look into the schedules of a queue and steer them", guaco__command_tree,
     GUACO__QUEUE},
    {"profile", "-p PID | -t COMMAND ...",
     "sample the Python stacks of a process", guaco__command_profile, 0},
    {"top", "[--once] [--interval SECONDS] [ADDRESS]",
     "show the workers and requests of a tree by its --admin socket",
     guaco__command_top, 0},
    {"flamegraph", "FOLDED", "draw folded stacks as an SVG",
     guaco__command_flamegraph, 0},
    {"import-uwsgi", "UWSGI.INI", "print its options as [tool.guaco]",
     guaco__command_import_uwsgi, 0},
    {"completion", "bash|zsh|fish", "print what a shell completes",
     guaco__command_completion, 0},
    {"_page", "man|markdown", "a page made of the option table",
     guaco__command_page, 0},
    {"_guest", "", "the worker of an application in C", guaco__command_guest,
     0},
    {"_taskguest", "", "the worker of tasks in C", guaco__command_taskguest, 0},
    {"_keeper", "URL", "the keeper of one store", guaco__command_keeper, 0},
    {"_profiler", "", "the profiler of a supervisor's processes",
     guaco__command_profiler, 0},
};

const size_t guaco__command_count =
    sizeof guaco__commands / sizeof guaco__commands[0];

static int
usage(FILE *to, int code)
{
    fputs("usage: guaco COMMAND ...\n\n", to);
    for (size_t i = 0; i < guaco__command_count; i++)
        if (guaco__commands[i].name[0] != '_')
            fprintf(to, "  guaco %s %s\n      %s\n", guaco__commands[i].name,
                    guaco__commands[i].operands, guaco__commands[i].summary);
    fputs("\n  guaco COMMAND --help, guaco --version\n", to);
    return code;
}

int
main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];

    if (strcmp(name, "--version") == 0) {
        printf("guaco %s\n", GUACO_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0)
        return usage(stdout, 0);
    for (size_t i = 0; i < guaco__command_count; i++)
        if (strcmp(name, guaco__commands[i].name) == 0)
            return guaco__commands[i].run(&guaco__commands[i],
                                          (const char *const *)(argv + 2),
                                          (size_t)argc - 2);
    if (*name != '\0')
        fprintf(stderr, "guaco: unknown command %s\n", name);
    return usage(stderr, 2);
}
