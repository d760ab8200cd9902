#ifndef GUACO__CLI_PROFILE_OUTPUT_H
#define GUACO__CLI_PROFILE_OUTPUT_H

/* Where a profile goes: standard output, a device or pipe, or a file that is
 * replaced when the new one is complete. */

#include "base/buf.h"
#include "guaco/error.h"

/* Most bytes of one output. */
#define GUACO__OUTPUT_BYTES_MAX ((size_t)1 << 30)

/* Whether guaco__output_write() will be able to create `path`, as far as can be
 * told before; NULL is standard output.  Returns 0 or GUACO_E_IO. */
int guaco__output_check(const char *path, struct guaco_error *err);

/* Write all of it.  Returns 0 or GUACO_E_IO: a full disk, a closed pipe; a file
 * is then as it was. */
int guaco__output_write(const char *path, const struct guaco__buf *out,
                        struct guaco_error *err);

/* Write all of it to a descriptor, called `name` in a failure.  Returns 0 or
 * GUACO_E_IO. */
int guaco__output_send(int fd, const struct guaco__buf *out, const char *name,
                       struct guaco_error *err);

/* Print "guaco COMMAND: ..." on standard error: err's text, else the code's.
 * Gives the exit code 1. */
int
guaco__complain(const char *command, int code, const struct guaco_error *err);

#endif
