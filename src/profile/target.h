#ifndef GUACO_PROFILE_TARGET_H
#define GUACO_PROFILE_TARGET_H

/*
 * A profiled process: its interpreters, their threads, and one sample of them.
 *
 * A sample reads, in one system call where possible, the head of each
 * interpreter with its lock (the GIL) and the stack of the thread that holds
 * it.  A thread that does not hold the lock cannot move its Python stack, so
 * while the lock has not changed hands since the last sample (its
 * switch_number) the other threads' stacks are those of the last sample.
 *
 * Threads: none; one owner at a time.  A target takes some 200 KiB a thread
 * of the process.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "runtime.h"
#include "stack.h"

#define GUACO__TARGET_THREADS_MAX      4096
#define GUACO__TARGET_INTERPRETERS_MAX 64

/* What a thread does at the moment of a sample. */
enum guaco__thread_state {
    GUACO__THREAD_UNKNOWN, /* not asked for, or not permitted */
    GUACO__THREAD_HOLDS,   /* holds the GIL: Python runs */
    GUACO__THREAD_WAITS,   /* wants the GIL */
    GUACO__THREAD_RUNS,    /* on a CPU, or about to be, without the GIL */
    GUACO__THREAD_IDLE,    /* sleeps, or waits for something else */
};

/* All is borrowed until the next sample. */
struct guaco__thread_sample {
    uint64_t thread_id;   /* pthread_t */
    int32_t native_id;    /* in its own pid namespace; 0: not known */
    int32_t host_id;      /* in ours, when asked for; 0: not known */
    uint32_t interpreter; /* 0, 1 ... */
    bool holds_gil;
    enum guaco__thread_state state;
    struct guaco_slice name; /* Python's, else the kernel's; may be empty */
    /* asyncio's running task and those that wait for it, the nearest first */
    const struct guaco_slice *tasks;
    size_t task_count;
    const struct guaco__stack *stack;
};

typedef void
guaco__sample_fn(void *ctx, const struct guaco__thread_sample *sample);

enum guaco__sample_what {
    GUACO__SAMPLE_HOLDERS, /* threads that hold a GIL: pyflame's default */
    GUACO__SAMPLE_THREADS, /* all that have a Python stack */
};

/* Counts since attach. */
struct guaco__target_counts {
    uint64_t samples; /* rounds */
    uint64_t retried; /* reads beyond the first of their round */
    uint64_t torn;    /* copies that could not be true, and were read again */
    uint64_t dropped; /* thread stacks given up after several */
};

struct guaco__target;

/*
 * Attach to process `pid`: find its interpreter and its layout.  Nothing is
 * stopped or written there.
 *
 * Returns 0 and a target to be freed, or what guaco__runtime_find() answers.
 */
int guaco__target_attach(struct guaco__target **target, int pid,
                         struct guaco_error *err);

/* The same on memory that is already at hand (takes it), with the interpreter
 * found: for fixtures. */
int guaco__target_of_memory(struct guaco__target **target,
                            struct guaco__vmem *memory,
                            const struct guaco__runtime *runtime,
                            struct guaco_error *err);

/* What more is told of each thread, besides its stack. */
enum guaco__target_want {
    GUACO__WANT_STATES = 1,   /* one more system call a thread and sample */
    GUACO__WANT_NAMES = 2,    /* nothing, while no thread begins */
    GUACO__WANT_TASKS = 4,    /* three or more a sample in which a task runs */
    GUACO__WANT_HOST_IDS = 8, /* nothing, while no thread begins */
};

/* Ask for a set of them from the next sample on. */
void guaco__target_want(struct guaco__target *target, unsigned what);

/* NULL is ignored. */
void guaco__target_free(struct guaco__target *target);

/*
 * Take one sample and tell `fn` each thread that was asked for.  With HOLDERS
 * nothing is told when nobody holds the lock: the process is idle.
 *
 * Returns 0; GUACO_E_CLOSED: the process has ended, or runs another program;
 * GUACO_E_IO: not permitted; GUACO_E_NOMEM; GUACO_E_LIMIT.
 */
int
guaco__target_sample(struct guaco__target *target, enum guaco__sample_what what,
                     guaco__sample_fn *fn, void *ctx);

/*
 * Read the stack of the thread that is being told once more, in place, from
 * inside `fn`: it has been stopped meanwhile.
 *
 * Returns 0; GUACO_E_LOST: it could not be read consistently, which is counted
 * as dropped; or as above.
 */
int guaco__target_again(struct guaco__target *target,
                        const struct guaco__thread_sample *sample);

const struct guaco__runtime *
guaco__target_runtime(const struct guaco__target *target);
const struct guaco__target_counts *
guaco__target_counts(const struct guaco__target *target);

/* Its memory, to read more of, borrowed until the target is freed. */
struct guaco__vmem *guaco__target_memory(struct guaco__target *target);

/* System calls that read the process's memory so far. */
uint64_t guaco__target_reads(const struct guaco__target *target);

#endif
