/* /proc: the contract is in os/proc.h. */

#include "os/proc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"

#define STAT_BYTES_MAX 4096u

/* The name is in parentheses and may itself hold blanks and parentheses, so
 * the fields are counted from the last ')'. */
int
guaco__proc_parse_stat(const char *text, size_t len,
                       struct guaco__proc_stat *stat)
{
    const char *open = memchr(text, '(', len);
    const char *close = memrchr(text, ')', len);
    char rest[1024];

    if (open == NULL || close == NULL || close < open)
        return GUACO_E_PROTO;
    size_t rest_len = (size_t)(text + len - close - 1);
    if (rest_len >= sizeof rest)
        return GUACO_E_PROTO;
    memcpy(rest, close + 1, rest_len);
    rest[rest_len] = '\0';

    int parent;
    unsigned long utime;
    unsigned long stime;
    unsigned long long start;
    long rss;
    int n = sscanf(rest,
                   " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu"
                   " %*d %*d %*d %*d %*d %*d %llu %*u %ld",
                   &stat->state, &parent, &utime, &stime, &start, &rss);
    if (n != 6 || parent < 0 || rss < 0)
        return GUACO_E_PROTO;

    size_t comm_len = (size_t)(close - open - 1);
    if (comm_len >= sizeof stat->comm)
        comm_len = sizeof stat->comm - 1;
    memcpy(stat->comm, open + 1, comm_len);
    stat->comm[comm_len] = '\0';
    uint64_t ticks = (uint64_t)sysconf(_SC_CLK_TCK);
    assert(ticks > 0);
    stat->parent = parent;
    stat->start_ticks = start;
    stat->cpu_ms = ((uint64_t)utime + stime) * 1000 / ticks;
    stat->rss_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
    return GUACO_OK;
}

int
guaco__proc_stat(pid_t pid, struct guaco__proc_stat *stat,
                 struct guaco_error *err)
{
    char path[48];
    struct guaco__buf text;

    assert(pid > 0);
    guaco__buf_init(&text, STAT_BYTES_MAX);
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int rc = guaco__file_read(path, &text, err);
    /* Between open and read the process may go: ESRCH or an empty file. */
    if (rc == GUACO_OK && text.len == 0)
        rc =
            guaco_fail(err, GUACO_E_MISSING, 0, "process %ld ended", (long)pid);
    if (rc == GUACO_OK) {
        rc = guaco__proc_parse_stat(guaco__buf_data(&text), text.len, stat);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%s has an unknown form", path);
    }
    guaco__buf_release(&text);
    return rc;
}

int
guaco__proc_boot_id(char out[GUACO__BOOT_ID_BYTES], struct guaco_error *err)
{
    struct guaco__buf text;

    guaco__buf_init(&text, 64);
    int rc = guaco__file_read("/proc/sys/kernel/random/boot_id", &text, err);
    if (rc == GUACO_OK && text.len < GUACO__BOOT_ID_BYTES - 1)
        rc = guaco_fail(err, GUACO_E_PROTO, 0, "the boot id is too short");
    if (rc == GUACO_OK) {
        memcpy(out, guaco__buf_data(&text), GUACO__BOOT_ID_BYTES - 1);
        out[GUACO__BOOT_ID_BYTES - 1] = '\0';
    }
    guaco__buf_release(&text);
    return rc;
}
