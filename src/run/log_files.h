#ifndef GUACO__RUN_LOG_FILES_H
#define GUACO__RUN_LOG_FILES_H

/*
 * --access-logfile and --error-logfile: opened by the supervisor, which hands
 * the descriptors to the workers, and opened again when a rotator has renamed
 * them (SIGUSR1).  The error log is standard error itself of the whole tree.
 *
 * Threads: none.
 */

#include <limits.h>

#include "guaco/error.h"

enum guaco__log_file {
    GUACO__ERROR_LOG,
    GUACO__ACCESS_LOG,
    GUACO__LOG_FILES,
};

struct guaco__log_files {
    char paths[GUACO__LOG_FILES][PATH_MAX]; /* private; "": not a file */
    int fds[GUACO__LOG_FILES];
};

/* No files: standard error and standard output. */
void guaco__log_files_init(struct guaco__log_files *logs);

/*
 * Open the file `path` for one of them ("-" or NULL: none), for appending, made
 * when missing.  The error log replaces descriptor 2 at once.  Returns 0,
 * GUACO_E_LIMIT (a path too long) or GUACO_E_IO.
 */
int
guaco__log_files_set(struct guaco__log_files *logs, enum guaco__log_file which,
                     const char *path, struct guaco_error *err);

/* Open all again by their names.  Returns 0, or the failure of one, after which
 * all are as they were. */
int
guaco__log_files_reopen(struct guaco__log_files *logs, struct guaco_error *err);

/* Where each goes at present, by enum guaco__log_file; borrowed. */
void guaco__log_files_fds(const struct guaco__log_files *logs, int *fds);

void guaco__log_files_close(struct guaco__log_files *logs);

#endif
