#ifndef GUACO_OS_OWN_PID_H
#define GUACO_OS_OWN_PID_H

/*
 * getpid() without the system call, for what is asked for each task: who
 * opened this, we or the process that we are a fork of?  The number stands in a
 * page that the kernel empties in each forked child (MADV_WIPEONFORK), however
 * it was forked.  Where there is no such page each call is a getpid().
 *
 * Threads: get may be called from any.
 */

#include <stdatomic.h>
#include <sys/types.h>

struct guaco__own_pid {
    _Atomic(pid_t) *page; /* NULL: none; 0 in it: not known */
};

void guaco__own_pid_open(struct guaco__own_pid *own);
void guaco__own_pid_close(struct guaco__own_pid *own);
pid_t guaco__own_pid_get(const struct guaco__own_pid *own);

#endif
