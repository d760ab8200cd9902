#ifndef GUACO__RUN_PID_FILE_H
#define GUACO__RUN_PID_FILE_H

/*
 * --pid-file: a file that holds the supervisor's pid and a newline while it
 * runs.  During a binary upgrade the newcomer's is PATH.2, and takes the place
 * of PATH when its predecessor has gone.
 *
 * Threads: none.
 */

#include <limits.h>
#include <stdbool.h>

#include "guaco/error.h"

struct guaco__pid_file {
    char path[PATH_MAX]; /* private; absolute; "": none */
    bool is_second;      /* private */
};

/*
 * Write it; `path` NULL: nothing.  Returns 0; GUACO_E_EXISTS: another process
 * that runs stands in it (not asked when is_second); GUACO_E_LIMIT: the path is
 * too long; GUACO_E_IO.
 */
int guaco__pid_file_open(struct guaco__pid_file *file, const char *path,
                         bool is_second, struct guaco_error *err);

/* Rename PATH.2 to PATH.  Returns 0 or GUACO_E_IO. */
int guaco__pid_file_take_over(struct guaco__pid_file *file,
                              struct guaco_error *err);

/* Remove it, if it still is this process's. */
void guaco__pid_file_close(struct guaco__pid_file *file);

#endif
