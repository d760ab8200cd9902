#ifndef GUACO__RUN_ENVIRONMENT_H
#define GUACO__RUN_ENVIRONMENT_H

/*
 * The environment of the children: ours, without what was said to us alone
 * (the service manager's variables), with those of --env and --env-file.
 * Highest first: --env, what was set already, --env-file.
 *
 * Threads: none.
 */

#include "base/arena.h"
#include "guaco/error.h"
#include "run/options.h"

struct guaco__environment {
    const char **list; /* "NAME=VALUE", ends with NULL; NULL before the first
                          make */
    struct guaco__arena arena; /* private */
};

void guaco__environment_init(struct guaco__environment *environment);

/*
 * Make the list; when called again it is made anew (a reload reads the file
 * again).  `more` are added on top, borrowed; both end with NULL.
 *
 * Returns 0; GUACO_E_INVALID: --env or the file's content; GUACO_E_MISSING and
 * GUACO_E_IO: the file; GUACO_E_NOMEM; GUACO_E_LIMIT.  After a failure the list
 * is as before.
 */
int guaco__environment_make(struct guaco__environment *environment,
                            const struct guaco__options *options,
                            const char *const *envp, const char *const *more,
                            struct guaco_error *err);

void guaco__environment_release(struct guaco__environment *environment);

/* The value of a variable, or NULL when it is not set. */
const char *guaco__environment_find(const char *const *envp, const char *name);

#endif
