#ifndef GUACO__RUN_SUPERVISOR_H
#define GUACO__RUN_SUPERVISOR_H

/*
 * The supervisor: one process that owns the listening sockets, starts the
 * workers and keepers, replaces those that die, and takes the tree down.  It
 * never imports the application, opens no store and makes no thread.
 *
 * The tree:
 *
 *   STARTING --(all slots ready)--> RUNNING --(SIGTERM, SIGINT)--> STOPPING
 *      |                               |  ^                            |
 *      |                            SIGHUP: each slot gets a           |
 *      |                            successor, one after the other     |
 *      +--(a worker fails)------------------------------------------> ended
 *
 * A slot, the place of one worker:
 *
 *   EMPTY -> STARTING -> READY -> (its worker ends) -> EMPTY, then again after
 *   a pause that grows while workers die young
 *   READY -> REPLACING (a successor starts on the same sockets) -> READY; the
 *   predecessor drains outside of the slot
 *
 * A second SIGTERM or SIGINT kills what is left at once.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "guaco/error.h"
#include "run/options.h"

/* All borrowed until guaco__supervisor_run() returns. */
struct guaco__supervisor_setup {
    const struct guaco__options *options; /* of serve, work, up or queue */
    const char *command;                  /* as it was called: "cron", ... */
    const char *target;                   /* "module:attribute" or a .so */
    const char *exe;                      /* the path of this executable */
    const char *const *argv;              /* what started it; ends with NULL */
    const char *folder;                   /* in which; absolute */
    const char *const *envp;              /* ends with NULL */
    const struct guaco_log *log;
    /* A text of several lines for a person: a traceback. */
    void (*tell)(void *ctx, const char *text, size_t len);
    void *ctx;
};

/* Exit codes of the tree, which are those of its workers. */
enum guaco__exit {
    GUACO__EXIT_OK = 0,
    GUACO__EXIT_CRASH = 1,
    GUACO__EXIT_USAGE = 2,
    GUACO__EXIT_START = 3, /* the application or a worker did not start */
};

/*
 * Run a tree until it has ended.  Blocks SIGTERM, SIGINT, SIGHUP and ignores
 * SIGPIPE in this process, for good; the caller has no other thread.
 *
 * Returns 0 and *exit_code, or the failure that kept it from starting, after
 * which nothing runs.
 */
int guaco__supervisor_run(const struct guaco__supervisor_setup *setup,
                          int *exit_code, struct guaco_error *err);

/* Whether a target names a shared object: "./hello.so" or "./hello.so:arg". */
bool guaco__target_is_guest(const char *target);

#endif
