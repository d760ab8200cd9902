#ifndef GUACO_OS_PROCESS_H
#define GUACO_OS_PROCESS_H

/*
 * Child processes, started without copying the address space (posix_spawn) and
 * held by pidfd, so that a signal can never reach a process that took over the
 * pid and nobody needs SIGCHLD: a pidfd becomes readable when its process ends
 * (Linux 5.3).
 *
 * Threads: from any; one pidfd has one owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guaco/error.h"

#define GUACO__PROCESS_FDS_MAX 16

/* The child gets `from` under the number `to`. */
struct guaco__process_fd {
    int from;
    int to;
};

struct guaco__process_spec {
    const char *path;                    /* of the executable; not searched */
    const char *const *argv;             /* ends with NULL */
    const char *const *envp;             /* ends with NULL */
    const struct guaco__process_fd *fds; /* besides 0, 1 and 2, which are
                                            shared unless listed */
    size_t fd_count;                     /* at most GUACO__PROCESS_FDS_MAX */
    const char *folder;                  /* to work in; NULL: ours */
    int held_signal; /* stays blocked in the child; 0: none */
};

/*
 * Start a child with no other blocked signal and no changed disposition.
 * Gives its pid and a pidfd, which the caller closes after the end was taken by
 * guaco__process_wait().  Descriptors of ours that are not listed reach the
 * child only if they lack FD_CLOEXEC.
 *
 * Returns 0; GUACO_E_MISSING when path does not exist; GUACO_E_IO;
 * GUACO_E_UNSUPPORTED (no pidfd); GUACO_E_NOMEM.
 */
int guaco__process_spawn(const struct guaco__process_spec *spec, pid_t *pid,
                         int *pidfd, struct guaco_error *err);

/* A pidfd of a process that is not necessarily a child.  Returns 0,
 * GUACO_E_MISSING (no such process), GUACO_E_UNSUPPORTED or GUACO_E_IO. */
int guaco__process_open(pid_t pid, int *pidfd, struct guaco_error *err);

/* Send a signal.  Returns 0, GUACO_E_MISSING (it ended already) or
 * GUACO_E_IO. */
int guaco__process_signal(int pidfd, int signal);

struct guaco__process_end {
    bool exited; /* by exit; otherwise by a signal */
    int code;    /* the exit code, or the signal */
};

/*
 * Take the end of a child, without waiting.  Returns 0 and *end,
 * GUACO_E_AGAIN while it runs, or GUACO_E_MISSING when it is not a child of
 * ours or was taken already.
 */
int guaco__process_wait(int pidfd, struct guaco__process_end *end);

/* As guaco__process_wait(), but the process stays a zombie, to be waited for
 * later: until then others can see how it ended. */
int guaco__process_peek(int pidfd, struct guaco__process_end *end);

/*
 * How a process ended that need not be a child; `pidfd` was opened while it
 * lived and is readable.  While it is a zombie /proc tells; afterwards a kernel
 * from 6.15 on.  Returns 0 and *end, GUACO_E_AGAIN while it runs, or
 * GUACO_E_MISSING when that cannot be known any more, or is not ours to know.
 */
int guaco__process_end_of(pid_t pid, int pidfd, struct guaco__process_end *end);

/* "exit code 3" or "signal 9 (Killed)" into out, which has at least 64 bytes.
 */
void guaco__process_describe(const struct guaco__process_end *end, char *out,
                             size_t len);

#endif
