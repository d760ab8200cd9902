#ifndef GUACO_OS_FILE_H
#define GUACO_OS_FILE_H

/* Whole files.  Threads: from any.  All of it blocks. */

#include <stddef.h>

#include "base/buf.h"
#include "guaco/error.h"

/*
 * Append all of the file to `out`.  Returns 0; GUACO_E_MISSING when there is no
 * such file; GUACO_E_LIMIT when it does not fit under the cap of `out`;
 * GUACO_E_NOMEM; GUACO_E_IO.  On failure `out` holds what it held before.
 */
int guaco__file_read(const char *path, struct guaco__buf *out,
                     struct guaco_error *err);

/*
 * Make the file hold data[0..len), or leave it as it was: written beside it
 * under another name, synced, and renamed.  `mode` as for open(2), without
 * the umask.  Returns 0, GUACO_E_LIMIT (the path is too long) or GUACO_E_IO.
 */
int guaco__file_write(const char *path, const void *data, size_t len,
                      unsigned mode, struct guaco_error *err);

#endif
