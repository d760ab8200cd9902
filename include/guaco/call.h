#ifndef GUACO_CALL_H
#define GUACO_CALL_H

/*
 * Tasks written in C.  A shared object that exports guaco_tasks_open is run by
 *
 *     guaco work ./tasks.so -w 4
 *
 * without any interpreter in the process.  It links to nothing: what it calls
 * is handed to it with each call.
 *
 *     static int
 *     add(struct guaco_call *call)
 *     {
 *         struct guaco_value a, b;
 *
 *         if (guaco_call_argument(call, 0, &a) != GUACO_OK ||
 *             guaco_call_argument(call, 1, &b) != GUACO_OK)
 *             return guaco_call_fail(call, "add(a, b) takes two numbers");
 *         return guaco_call_return(call, guaco_value_int(a.integer +
 *                                                        b.integer));
 *     }
 *
 *     static const struct guaco_task_entry tasks[] = {
 *         {.name = "tasks.add", .run = add}, {.name = NULL}};
 *
 * Threads: `run` is called by as many threads at a time as -w says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/payload.h"
#include "guaco/slice.h"
#include "guaco/task.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GUACO_TASKS_ABI 1

struct guaco_call;

/* What a worker implements for the calls below. */
struct guaco_call_ops {
    int (*argument)(struct guaco_call *call, size_t index,
                    struct guaco_value *value);
    int (*keyword)(struct guaco_call *call, const char *name,
                   struct guaco_value *value);
    int (*give)(struct guaco_call *call, const struct guaco_value *value);
    int (*give_raw)(struct guaco_call *call, struct guaco_slice body);
    int (*fail)(struct guaco_call *call, const char *why);
    int (*event)(struct guaco_call *call, const char *kind,
                 const struct guaco_value *value);
    int64_t (*remaining_ms)(struct guaco_call *call);
    bool (*is_interrupted)(struct guaco_call *call);
};

/* One run of a task; good until `run` returns. */
struct guaco_call {
    const struct guaco_call_ops *ops; /* private */
    const struct guaco_task *task;
    uint64_t id;
    uint32_t attempt; /* from 1 */
};

/* Argument `index`, or the keyword argument `name`.  Returns 0,
 * GUACO_E_MISSING, or GUACO_E_PROTO (the body is not as guaco/payload.h says:
 * call->task->body is there to be read otherwise). */
static inline int
guaco_call_argument(struct guaco_call *call, size_t index,
                    struct guaco_value *value)
{
    return call->ops->argument(call, index, value);
}

static inline int
guaco_call_keyword(struct guaco_call *call, const char *name,
                   struct guaco_value *value)
{
    return call->ops->keyword(call, name, value);
}

/* Make this the result; copies.  Without it the result is None.  Returns 0,
 * GUACO_E_INVALID or GUACO_E_NOMEM: to be returned from `run`. */
static inline int
guaco_call_return(struct guaco_call *call, struct guaco_value value)
{
    return call->ops->give(call, &value);
}

/* The same with bytes that are not what guaco/payload.h writes. */
static inline int
guaco_call_return_raw(struct guaco_call *call, struct guaco_slice body)
{
    return call->ops->give_raw(call, body);
}

/* Say why the run fails; copies.  Returns what `run` is to return. */
static inline int
guaco_call_fail(struct guaco_call *call, const char *why)
{
    return call->ops->fail(call, why);
}

/* Tell those who follow the task; `kind` is yours to choose.  Returns as
 * guaco_run_event(). */
static inline int
guaco_call_event(struct guaco_call *call, const char *kind,
                 struct guaco_value value)
{
    return call->ops->event(call, kind, &value);
}

/* How far it is, from 0 to 1. */
static inline int
guaco_call_progress(struct guaco_call *call, double done)
{
    return guaco_call_event(call, "progress", guaco_value_real(done));
}

/* Milliseconds to the task's timeout; INT64_MAX without one. */
static inline int64_t
guaco_call_remaining_ms(struct guaco_call *call)
{
    return call->ops->remaining_ms(call);
}

/* Whether it was canceled, is over its timeout, or was lost: give up.  One
 * that goes on has its process replaced. */
static inline bool
guaco_call_is_interrupted(struct guaco_call *call)
{
    return call->ops->is_interrupted(call);
}

/* ---- what a shared object gives ---- */

struct guaco_task_entry {
    const char *name; /* NULL ends the table */
    /* Returns 0, or a negative GUACO_E_*: the run failed, and is tried again as
     * the task's retries say. */
    int (*run)(struct guaco_call *call);

    /* A task that comes by itself as well; `spec` as in guaco/schedule.h,
     * NULL: it does not. */
    const char *spec;
    const char *zone; /* NULL: UTC */
    enum guaco_catch_up catch_up;
};

struct guaco_tasks {
    uint32_t abi;      /* GUACO_TASKS_ABI */
    const char *url;   /* of the store, as guaco_broker_open takes it */
    const char *queue; /* name */
    const struct guaco_task_entry *entries;
};

/*
 * The one symbol that it exports.  Called once a process; `arg` is what follows
 * the colon in "./tasks.so:arg", or "".  Gives *tasks, which lives until the
 * process ends.  A failure ends the process with err's text.
 */
typedef int guaco_tasks_open_fn(const struct guaco_tasks **tasks,
                                const char *arg, struct guaco_error *err);
#define GUACO_TASKS_SYMBOL "guaco_tasks_open"

#ifdef __cplusplus
}
#endif

#endif
