/* Log lines to a descriptor: the contract is in os/log_fd.h. */

#include "log_fd.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

void
guaco__log_fd(void *ctx, int level, const char *line, size_t len)
{
    char out[GUACO_LOG_LINE_MAX + 16];
    int n = snprintf(out, sizeof out, "%-7s %.*s\n",
                     guaco__log_level_name(level), (int)len, line);
    assert(n > 0);

    size_t total = (size_t)n < sizeof out ? (size_t)n : sizeof out - 1;
    ssize_t done;
    do
        done = write((int)(intptr_t)ctx, out, total);
    while (done < 0 && errno == EINTR);
}
