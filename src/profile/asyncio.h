#ifndef GUACO_PROFILE_ASYNCIO_H
#define GUACO_PROFILE_ASYNCIO_H

/*
 * asyncio's tasks in the profiled process: which one a thread runs, what it is
 * called, and which tasks wait for it.
 *
 * From 3.14 on the module _asyncio publishes its layout and knows who awaits
 * whom.  Before, the running task is looked up in asyncio.tasks, and awaiters
 * are found the other way round: by what each task waits for.  gather() and
 * task groups do not show that way.
 *
 * Threads: none; one owner at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "objects.h"

#define GUACO__TASKS_CHAIN_MAX 16  /* the task, and those that wait for it */
#define GUACO__TASKS_MAX       512 /* looked through for one that waits */

struct guaco__asyncio {
    struct guaco__objects objects;
    bool is_known; /* the offsets below hold */
    struct {
        uint32_t name, awaited_by, awaited_by_is_set, is_task;
        uint32_t waits_for; /* to 3.13 */
    } task;
    uint32_t running_task; /* in PyThreadState, from 3.14 */
    uint32_t current_tasks_tries;
    uint64_t current_tasks; /* the dict, to 3.13; 0: not found yet */
    uint64_t all_tasks;     /* the WeakSet, to 3.13 */
};

/*
 * Get ready.  `published` is the address of the structure that _asyncio
 * publishes, 0 where it was not found (then only the tasks of versions to 3.13
 * can be told).  Returns 0, or GUACO_E_PROTO: what is there makes no sense.
 */
int
guaco__asyncio_init(struct guaco__asyncio *asyncio, struct guaco__vmem *memory,
                    const struct guaco__layout *layout, uint64_t published);

/* A thread whose task is asked for. */
struct guaco__asyncio_thread {
    uint64_t interpreter, state; /* addresses */
    uint64_t id;                 /* pthread_t */
    bool is_only;                /* the process has no other */
};

/*
 * The names of the task that the thread runs, and of those that wait for it,
 * the nearest first, into names[0..*count); allocated in `arena`.  *count is 0
 * when it runs none.  Returns 0, GUACO_E_CLOSED, GUACO_E_IO or GUACO_E_NOMEM;
 * a chain that changes meanwhile ends where it broke.
 */
int guaco__asyncio_chain(struct guaco__asyncio *asyncio,
                         const struct guaco__asyncio_thread *thread,
                         struct guaco__arena *arena,
                         struct guaco_slice names[GUACO__TASKS_CHAIN_MAX],
                         size_t *count);

#endif
