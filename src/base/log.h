#ifndef GUACO_BASE_LOG_H
#define GUACO_BASE_LOG_H

/*
 * Writing to a struct guaco_log (guaco/log.h).
 *
 * Threads: as its `write` says; os/log_fd.h has a sink for any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"
#include "guaco/log.h"

/* Whether a line of `level` would be written: ask before costly arguments. */
static inline bool
guaco__log_wants(const struct guaco_log *log, int level)
{
    return log != NULL && log->write != NULL && level >= log->level;
}

/*
 * Write one line, "area: text".  Controls, which could forge a second line or
 * drive a terminal, are replaced by `?`.  `log` may be NULL: nothing happens.
 */
void guaco__log(const struct guaco_log *log, int level, const char *area,
                const char *fmt, ...) GUACO_PRINTF(4, 5);

/* "debug", "info", "warning" or "error". */
const char *guaco__log_level_name(int level);

/* The level of such a name ("critical" counts as error, "trace" as debug),
 * or -1. */
int guaco__log_level_find(const char *name);

#endif
