#ifndef GUACO_LOG_H
#define GUACO_LOG_H

/*
 * Where log lines go.  The library prints nothing by itself: whoever opens
 * something that has things to say hands in a struct guaco_log, and each line
 * is given to its `write`, formatted, without a newline.
 *
 * A line is `area: text key=value ...`; time and level are the sink's to add.
 */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

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
    /* `line` is borrowed until it returns.  On which threads it is called
     * stands where the log is handed in. */
    void (*write)(void *ctx, int level, const char *line, size_t len);
    void *ctx;
};

#ifdef __cplusplus
}
#endif

#endif
