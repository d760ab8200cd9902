#ifndef GUACO__RUN_INTERPRETER_H
#define GUACO__RUN_INTERPRETER_H

/* Which Python runs the workers. */

#include <limits.h>
#include <stddef.h>

#include "guaco/error.h"

/*
 * Give the path of the interpreter in out, of PATH_MAX bytes: `wanted` when it
 * is not NULL (a path, or a name looked up in PATH), else python3 beside the
 * executable `exe`, else in VIRTUAL_ENV/bin, else in PATH.  *why says which, for
 * a person.  Symbolic links are not resolved: a virtual environment is known by
 * the path it is called by.
 *
 * Returns 0 or GUACO_E_MISSING.
 */
int guaco__interpreter_find(const char *wanted, const char *exe,
                            const char *const *envp, char out[PATH_MAX],
                            const char **why, struct guaco_error *err);

#endif
