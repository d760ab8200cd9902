#ifndef GUACO_OS_LOG_FD_H
#define GUACO_OS_LOG_FD_H

/* Where log lines leave the process: a sink for struct guaco_log. */

#include <stddef.h>

/*
 * The `write` of a log whose ctx is a file descriptor cast by
 * (void *)(intptr_t)fd: writes "LEVEL  line\n" by one write(2), so that lines
 * of processes do not mix.  A failing write is not reported.  From any thread.
 */
void guaco__log_fd(void *ctx, int level, const char *line, size_t len);

#endif
