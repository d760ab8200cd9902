/* Log lines: the contract is in base/log.h. */

#include "base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* A client chooses paths and names that end up in lines. */
static void
mask_controls(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
}

void
guaco__log(const struct guaco_log *log, int level, const char *area,
           const char *fmt, ...)
{
    assert(level >= GUACO_LOG_DEBUG);
    assert(level <= GUACO_LOG_ERROR);

    if (!guaco__log_wants(log, level))
        return;

    char line[GUACO_LOG_LINE_MAX];
    int used = snprintf(line, sizeof line, "%s: ", area);
    if (used < 0 || (size_t)used >= sizeof line)
        return;

    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + used, sizeof line - (size_t)used, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;

    size_t len = (size_t)used + (size_t)n;
    if (len >= sizeof line) {
        len = sizeof line - 1;
        memcpy(line + len - 3, "...", 3);
    }
    mask_controls(line, len);
    log->write(log->ctx, level, line, len);
}

const char *
guaco__log_level_name(int level)
{
    assert(level >= GUACO_LOG_DEBUG);
    assert(level <= GUACO_LOG_ERROR);
    return level_names[level];
}

int
guaco__log_level_find(const char *name)
{
    if (strcmp(name, "critical") == 0)
        return GUACO_LOG_ERROR;
    if (strcmp(name, "trace") == 0)
        return GUACO_LOG_DEBUG;
    for (int i = GUACO_LOG_DEBUG; i <= GUACO_LOG_ERROR; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}
