#ifndef GUACO_PROFILE_FREEZE_H
#define GUACO_PROFILE_FREEZE_H

/*
 * One thread of another process, stopped for some microseconds.
 *
 * It is traced (ptrace(2), PTRACE_SEIZE) only while it is stopped: between two
 * stops its signals, forks and exits are nobody's business, and when this
 * process ends, however it ends, the kernel lets go of it.
 *
 *     begin    seize, interrupt, wait until it stands, read its registers
 *     end      let it run on, with the signal that came meanwhile, if any
 *
 * Threads: all calls by one, as ptrace wants it.
 */

#include <signal.h>
#include <stdint.h>

#include "guaco/error.h"

#define GUACO__REGISTERS 33

/* DWARF's number of the stack pointer. */
#if defined(__aarch64__)
#define GUACO__REGISTER_SP 31
#else
#define GUACO__REGISTER_SP 7
#endif

/* The general registers by their DWARF numbers, as many as there are. */
struct guaco__registers {
    uint64_t at[GUACO__REGISTERS];
    uint64_t pc, sp;
    uint32_t count; /* of `at` */
};

/* Threads that did not stand in time: they are let go when they do. */
#define GUACO__LATE_MAX 16

struct guaco__freezer {
    int child; /* its end is its parent's to learn: ours; 0: no child of ours */
    int thread; /* that stands; 0: none */
    int signal; /* that it is to be given */
    int late[GUACO__LATE_MAX];
    uint32_t late_count;
    sigset_t before;   /* what its thread blocks without it */
    uint64_t begin_ns; /* of the wait */
    uint64_t moved_ns; /* when the thread was last seen to run */
    uint64_t stops, total_ns, most_ns; /* how long they stood, at most */
};

/* To stop threads of process `pid`.  Changes nothing there; blocks SIGCHLD in
 * the calling thread, by which it learns of stops. */
void guaco__freezer_init(struct guaco__freezer *freezer, int pid);

/* Whether threads can be stopped at all, as far as it shows without stopping
 * one.  Returns 0; GUACO_E_IO: ptrace is forbidden, *sys says how;
 * GUACO_E_UNSUPPORTED: not on this kind of processor. */
int guaco__freezer_check(int *sys);

/* Let go of threads that were late, as far as they stand by now. */
void guaco__freezer_release(struct guaco__freezer *freezer);

/*
 * Stop thread `tid` and read its registers.
 *
 * Returns 0: it stands, end must follow; GUACO_E_MISSING: there is no such
 * thread (any more); GUACO_E_AGAIN: it does not stop, in a system call that
 * cannot be interrupted; GUACO_E_IO: not permitted, or another tool traces it.
 */
int guaco__freeze_begin(struct guaco__freezer *freezer, int tid,
                        struct guaco__registers *registers);
void guaco__freeze_end(struct guaco__freezer *freezer);

#endif
