#ifndef GUACO__SERVER_SPOOL_H
#define GUACO__SERVER_SPOOL_H

/*
 * A request body on its way to an application that wants it whole: in memory
 * up to a limit, then in an unlinked temporary file, so that nothing is left
 * behind by a crash.
 */

#include <stdint.h>

#include "base/buf.h"

struct guaco__spool {
    struct guaco__buf memory;
    int fd; /* -1 while it is in memory */
    uint64_t bytes;
};

/* Empty; at most memory_bytes stay in memory.  Allocates nothing. */
void guaco__spool_init(struct guaco__spool *spool, size_t memory_bytes);

/* Free the memory and close the file. */
void guaco__spool_release(struct guaco__spool *spool);

/* Append a copy.  Returns 0, GUACO_E_NOMEM, or GUACO_E_IO: no file could be
 * made in TMPDIR or /tmp, or the disk is full.  Blocks as writing to the page
 * cache does. */
int guaco__spool_add(struct guaco__spool *spool, struct guaco_slice data);

#endif
