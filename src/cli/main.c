/* guaco: one table entry a command; each command is its own file. */

#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct guaco__command commands[] = {
    {"serve", "MODULE:APP | GUEST.so", "serve an ASGI or WSGI application",
     guaco__command_tree},
    {"work", "MODULE:QUEUE", "run the tasks and schedules of a queue",
     guaco__command_tree},
    {"up", "MODULE:APP", "serve an application and run its queues",
     guaco__command_tree},
    {"queue", "stats|ls|retry|purge MODULE:QUEUE ...",
     "look into a queue and mend it", guaco__command_tree},
    {"profile", "-p PID | -t COMMAND ...",
     "sample the Python stacks of a process", guaco__command_profile},
    {"flamegraph", "FOLDED", "draw folded stacks as an SVG",
     guaco__command_flamegraph},
    {"_guest", "", "the worker of an application in C", guaco__command_guest},
    {"_keeper", "URL", "the keeper of one store", guaco__command_keeper},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static int
usage(FILE *to, int code)
{
    fputs("usage: guaco COMMAND ...\n\n", to);
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].name[0] != '_')
            fprintf(to, "  guaco %s %s\n      %s\n", commands[i].name,
                    commands[i].operands, commands[i].summary);
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
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(&commands[i],
                                   (const char *const *)(argv + 2),
                                   (size_t)argc - 2);
    if (*name != '\0')
        fprintf(stderr, "guaco: unknown command %s\n", name);
    return usage(stderr, 2);
}
