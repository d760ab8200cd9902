#ifndef GUACO_OS_PROC_H
#define GUACO_OS_PROC_H

/*
 * What /proc tells about a process.  A pid is reused after its process ended;
 * pid and start time together name one process of one boot for ever.
 *
 * Threads: from any.
 */

#include <stdint.h>
#include <sys/types.h>

#include "guaco/error.h"

struct guaco__proc_stat {
    pid_t parent;
    char state;           /* R, S, D, Z, T, ... of proc(5) */
    char comm[16];        /* at most 15 bytes and a NUL */
    uint64_t start_ticks; /* since boot, in clock ticks */
    uint64_t cpu_ms;      /* user and system time */
    uint64_t rss_bytes;
    int exit_status; /* of a zombie, as of wait(2); 0 where it is not ours */
};

/* Read /proc/PID/stat.  Returns 0, GUACO_E_MISSING (no such process),
 * GUACO_E_PROTO (not in the known form), GUACO_E_IO. */
int guaco__proc_stat(pid_t pid, struct guaco__proc_stat *stat,
                     struct guaco_error *err);

/* Read the text of /proc/PID/stat, len bytes; sans I/O, for the above. */
int guaco__proc_parse_stat(const char *text, size_t len,
                           struct guaco__proc_stat *stat);

#define GUACO__BOOT_ID_BYTES 37

/* The random id of this boot, 36 characters and a NUL. */
int
guaco__proc_boot_id(char out[GUACO__BOOT_ID_BYTES], struct guaco_error *err);

#endif
