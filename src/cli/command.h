#ifndef GUACO__CLI_COMMAND_H
#define GUACO__CLI_COMMAND_H

/*
 * A command of the executable.  Each is a file of its own; main.c has the
 * table.  args[0..count) are the words behind the command's name, which is
 * args[-1]; args[-2] is the executable's, args[count] NULL; the result
 * is the exit code (enum guaco__exit of run/supervisor.h).
 */

#include <stddef.h>

#include "run/options.h"

struct guaco__command {
    const char *name;     /* one that begins with '_' is not listed */
    const char *operands; /* for the usage line */
    const char *summary;
    int (*run)(const struct guaco__command *command, const char *const *args,
               size_t count);
    unsigned options; /* of enum guaco__option_command; 0: none of the table */
};

/* main.c: all of them, in the order of the help. */
extern const struct guaco__command guaco__commands[];
extern const size_t guaco__command_count;

/* tree.c: serve, work, up and queue, which all run a tree of processes. */
int guaco__command_tree(const struct guaco__command *command,
                        const char *const *args, size_t count);

/* cmd_page.c: `completion SHELL` and `_page KIND` print what is made of the
 * option table.  0, 1 when it could not be written, 2 for another word. */
int guaco__command_completion(const struct guaco__command *command,
                              const char *const *args, size_t count);
int guaco__command_page(const struct guaco__command *command,
                        const char *const *args, size_t count);

/* cmd_import_uwsgi.c: prints [tool.guaco] for a uwsgi.ini.  0, 1 when it could
 * not be read or written, 2 for a wrong word. */
int guaco__command_import_uwsgi(const struct guaco__command *command,
                                const char *const *args, size_t count);

/* cmd_profile.c: 0, 1 when it could not attach or write, 2 for a wrong flag;
 * with -t the exit code of the command. */
int guaco__command_profile(const struct guaco__command *command,
                           const char *const *args, size_t count);

/* Resolve the options of a tree's command, with the pyproject.toml of the
 * working directory: as guaco__options_resolve(). */
int
guaco__cli_resolve(struct guaco__options *options,
                   enum guaco__option_command command, const char *const *args,
                   size_t count, struct guaco_error *err);

/* cmd_top.c: 0, 1 when there is no answer, 2. */
int guaco__command_top(const struct guaco__command *command,
                       const char *const *args, size_t count);

/* cmd_profiler.c: what the supervisor starts for who asks at
 * --profile-socket. */
int guaco__command_profiler(const struct guaco__command *command,
                            const char *const *args, size_t count);

/* cmd_flamegraph.c: 0, 1 or 2. */
int guaco__command_flamegraph(const struct guaco__command *command,
                              const char *const *args, size_t count);

/* cmd_guest.c: the worker of an application in C, started by the supervisor.
 * 0 drained, 2 not started by a supervisor, 3 the application could not be
 * loaded or started. */
int guaco__command_guest(const struct guaco__command *command,
                         const char *const *args, size_t count);

/* cmd_taskguest.c: the same for tasks in C. */
int guaco__command_taskguest(const struct guaco__command *command,
                             const char *const *args, size_t count);

/* cmd_keeper.c: keeps one store; started by the supervisor.  0 when told to
 * end, 2, or 3: the store could not be opened. */
int guaco__command_keeper(const struct guaco__command *command,
                          const char *const *args, size_t count);

#endif
