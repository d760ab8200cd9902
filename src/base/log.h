#ifndef GUACO_BASE_LOG_H
#define GUACO_BASE_LOG_H

/*
 * Where log lines go.  The library prints nothing by itself: whoever makes a
 * server, a store or a supervisor hands in a struct guaco_log, and each line
 * is given to its `write`, formatted, without a newline.
 *
 * A line is `area: text key=value ...`; time and level are the sink's to add,
 * since `logging` in Python adds its own.
 *
 * Threads: as `write` says; os/log_fd.h has a sink for any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "guaco/error.h"

enum guaco_log_level {
    GUACO_LOG_DEBUG,
    GUACO_LOG_INFO,
    GUACO_LOG_WARNING,
    GUACO_LOG_ERROR,
    GUACO_LOG_OFF, /* as a threshold only */
};

#define GUACO_LOG_LINE_MAX 2048 /* bytes; longer lines are cut, ending in ... */

struct guaco_log {
    int level; /* least level that is written, of enum guaco_log_level */
    void (*write)(void *ctx, int level, const char *line, size_t len);
    void *ctx;
};

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
