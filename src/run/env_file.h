#ifndef GUACO__RUN_ENV_FILE_H
#define GUACO__RUN_ENV_FILE_H

/*
 * --env-file: a file of variables, as dotenv has it.
 *
 *     # a comment
 *     NAME=value          trimmed; " #" begins a comment
 *     export NAME=value
 *     NAME='as it is'
 *     NAME="\\n \\r \\t \\\" \\\\ \\$ are escapes, lines may
 *     follow"
 *
 * Nothing is expanded.  Sans I/O.  Threads: from any.
 */

#include <stddef.h>

#include "base/arena.h"
#include "guaco/error.h"

#define GUACO__ENV_BYTES_MAX (1u << 20) /* of the file */

/* A variable, "NAME=VALUE" with a NUL, allocated in the arena.  What it
 * returns, if not 0, ends the reading. */
typedef int guaco__env_fn(void *ctx, char *variable, size_t name_len);

/*
 * Read text[0..len).  Returns 0, GUACO_E_INVALID with the number of the line,
 * GUACO_E_NOMEM, or what fn returned.
 */
int guaco__env_read(const char *text, size_t len, struct guaco__arena *arena,
                    guaco__env_fn *fn, void *ctx, struct guaco_error *err);

#endif
