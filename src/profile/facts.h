#ifndef GUACO_PROFILE_FACTS_H
#define GUACO_PROFILE_FACTS_H

/*
 * What is told of a thread besides its stack: whether it runs, its name, its
 * asyncio tasks.  private to target.c.
 *
 * The kernel says whether a thread runs, and else in which system call it
 * waits: one that waits for a futex inside the lock of its interpreter waits
 * for the GIL.  The names are those of the dict threading._active.
 *
 * Threads: none; one owner at a time.
 */

#include "asyncio.h"
#include "runtime.h"
#include "target.h"

/* Of one thread; released by guaco__fact_release(). */
struct guaco__fact {
    int32_t native_id;  /* in its own pid namespace; 0: not known */
    uint64_t thread_id; /* of which thread the rest is told */
    int32_t host_id;    /* in ours; 0: not known */
    bool has_id;        /* or that was looked for in vain */
    bool is_opened;     /* the same of what follows */
    int call_fd;        /* its /proc/PID/task/TID/syscall; -1: none */
    char comm[17];      /* the kernel's name for it, with a newline at first */
    bool is_named;      /* by Python */
    uint32_t name_tries;
    struct guaco_slice name;
};

struct guaco__facts {
    int pid; /* 0: memory without a process */
    const struct guaco__runtime *runtime;
    struct guaco__objects objects;
    struct guaco__asyncio asyncio;
    bool knows_asyncio;
    uint32_t asyncio_tries;
    struct guaco__arena names;   /* until the next listing */
    struct guaco__arena moments; /* of one sample */
    struct guaco_slice tasks[GUACO__TASKS_CHAIN_MAX];
};

/* `runtime` and `memory` are borrowed. */
void guaco__facts_init(struct guaco__facts *facts, int pid,
                       const struct guaco__runtime *runtime,
                       struct guaco__vmem *memory);
void guaco__facts_release(struct guaco__facts *facts);

void guaco__fact_init(struct guaco__fact *fact);
void guaco__fact_release(struct guaco__fact *fact);

/* The thread's id in its own pid namespace, as its state says or, to 3.10, the
 * C library's thread object. */
void guaco__fact_native_id(struct guaco__facts *facts, struct guaco__fact *fact,
                           uint64_t thread_id, const char *state_bytes);

/* The thread's id in our pid namespace; 0: not known. */
int32_t
guaco__fact_host_id(struct guaco__facts *facts, struct guaco__fact *fact);

/* Whether it runs; `gil` is the address of its interpreter's lock. */
enum guaco__thread_state
guaco__fact_state(struct guaco__facts *facts, struct guaco__fact *fact,
                  uint64_t gil);

/* Forget all names, then ask for the one of each thread. */
void guaco__facts_forget_names(struct guaco__facts *facts);
int guaco__fact_name(struct guaco__facts *facts, struct guaco__fact *fact,
                     uint64_t interpreter, uint64_t thread_id);

/* The tasks of a thread into facts->tasks; what was told before is void. */
int
guaco__fact_tasks(struct guaco__facts *facts,
                  const struct guaco__asyncio_thread *thread, size_t *count);

#endif
