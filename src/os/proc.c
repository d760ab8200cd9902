/* /proc: the contract is in os/proc.h. */

#include "os/proc.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scan.h"
#include "os/file.h"

#define STAT_BYTES_MAX 4096u
#define NUMBER_MAX     (INT64_C(1) << 50)

/* The fields of proc(5) behind the name, by their numbers there. */
enum {
    FIELD_PARENT = 4,
    FIELD_UTIME = 14,
    FIELD_STIME = 15,
    FIELD_START = 22,
    FIELD_RSS = 24,
    FIELD_EXIT = 52, /* since Linux 3.5 */
    FIELDS,
};

/* Read the fields from the fourth on; negative ones, which are none of ours,
 * count as 0. */
static bool
read_fields(struct guaco__scan *scan, int64_t fields[FIELDS])
{
    for (int i = FIELD_PARENT; i < FIELDS; i++) {
        if (!guaco__scan_take(scan, ' '))
            return i > FIELD_RSS;
        bool negative = guaco__scan_take(scan, '-');
        if (!guaco__scan_number(scan, NUMBER_MAX, &fields[i])) {
            while (guaco__scan_peek(scan) >= '0' &&
                   guaco__scan_peek(scan) <= '9')
                scan->at++; /* an address or limit of 64 bits */
            fields[i] = 0;
            if (i == FIELD_PARENT || i == FIELD_START)
                return false;
        }
        if (negative)
            fields[i] = 0;
    }
    return true;
}

/* The name is in parentheses and may itself hold blanks and parentheses, so
 * the fields are counted from the last ')'. */
int
guaco__proc_parse_stat(const char *text, size_t len,
                       struct guaco__proc_stat *stat)
{
    const char *open = memchr(text, '(', len);
    const char *close = memrchr(text, ')', len);
    int64_t fields[FIELDS] = {0};

    if (open == NULL || close == NULL || close < open ||
        text + len - close < 3 || close[1] != ' ')
        return GUACO_E_PROTO;
    struct guaco__scan scan = {close + 3, text + len};
    if (!read_fields(&scan, fields))
        return GUACO_E_PROTO;

    size_t comm_len = (size_t)(close - open - 1);
    if (comm_len >= sizeof stat->comm)
        comm_len = sizeof stat->comm - 1;
    memcpy(stat->comm, open + 1, comm_len);
    stat->comm[comm_len] = '\0';
    int64_t ticks = sysconf(_SC_CLK_TCK);
    assert(ticks > 0);
    stat->state = close[2];
    stat->parent = (pid_t)fields[FIELD_PARENT];
    stat->start_ticks = (uint64_t)fields[FIELD_START];
    stat->cpu_ms = (uint64_t)(fields[FIELD_UTIME] + fields[FIELD_STIME]) *
                   1000 / (uint64_t)ticks;
    stat->rss_bytes =
        (uint64_t)fields[FIELD_RSS] * (uint64_t)sysconf(_SC_PAGESIZE);
    stat->exit_status = (int)(fields[FIELD_EXIT] & 0xffff);
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
