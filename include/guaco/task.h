#ifndef GUACO_TASK_H
#define GUACO_TASK_H

/*
 * A task: a name, a payload and the rules by which it is run.
 *
 *              put                 claim                finish
 *   (none) ---------> WAITING ---------------> RUNNING ---------> DONE
 *      |                 ^  ^                   |   |   |         FAILED
 *      | due_ms ahead    |  | released, or its  |   |   |         EXPIRED
 *      v       due       |  | worker died       |   |   |         CANCELED
 *   DELAYED -------------+  +-------------------+   |   |
 *      ^                                            |   | its process died
 *      +--------------------------------------------+   v 3 times under it
 *                        retry after a delay           DEAD
 *
 * The store keeps a task from the put until the finish was committed: a claim
 * marks it, it does not take it out.  So a task is run at least once, and of
 * several runs exactly one finish is accepted (the attempt number decides).
 *
 * The library never looks into `headers`, `body` and a result's body: they
 * belong to whoever enqueues and whoever runs.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GUACO_QUEUE_NAME_MAX    64u         /* bytes: A-Z a-z 0-9 _ . - */
#define GUACO_TASK_NAME_MAX     255u        /* bytes, no NUL */
#define GUACO_TASK_HEADERS_MAX  (8u << 10)  /* bytes */
#define GUACO_TASK_BODY_MAX     (1u << 20)  /* bytes */
#define GUACO_TASK_PRIORITY_MAX 1000        /* from minus this to this */
#define GUACO_RESULT_BODY_MAX   (16u << 20) /* bytes */
#define GUACO_REASON_MAX        1024u       /* bytes */
#define GUACO_EVENT_BODY_MAX    (64u << 10) /* bytes */
#define GUACO_EVENTS_MAX        256u        /* kept a task; the oldest go */
#define GUACO_TASK_DEATHS_MAX   3u          /* then the task is DEAD */

enum guaco_task_state {
    GUACO_TASK_WAITING = 1,
    GUACO_TASK_DELAYED,
    GUACO_TASK_RUNNING,
    GUACO_TASK_DONE,
    GUACO_TASK_FAILED,
    GUACO_TASK_EXPIRED,
    GUACO_TASK_CANCELED,
    GUACO_TASK_DEAD,
};

/* What is put.  Zeroed but for queue and name it is a valid task: due now,
 * priority 0, no retry, no limit, its result kept for the store's default. */
struct guaco_task {
    struct guaco_slice queue;
    struct guaco_slice name;
    struct guaco_slice headers;
    struct guaco_slice body;
    int64_t due_ms;     /* Unix time; 0, or past: now */
    int64_t expires_ms; /* Unix time; not started after it; 0: never */
    int32_t priority;   /* higher first; first in, first out inside one */
    uint32_t retries;   /* runs after the first that failed */
    uint32_t retry_delay_ms;
    uint32_t retry_backoff_percent; /* each delay is so much of the last; 0 or
                                       100: all alike */
    uint32_t timeout_ms;            /* a run's limit; 0: none */
    uint32_t result_ttl_s;          /* 0: the store's default (a day) */
};

/* A finished task's result.  The slices live as long as the struct says. */
struct guaco_result {
    uint64_t id;
    enum guaco_task_state state; /* DONE .. DEAD */
    uint32_t attempt;            /* of the run that ended it */
    int64_t finished_ms;         /* Unix time of the store */
    struct guaco_slice body;     /* what the runner gave */
    struct guaco_slice reason;   /* the library's own words, when it was the
                                    library that ended the task; else empty */
};

/* Something a running task said, for those who watch it. */
struct guaco_event {
    uint32_t number; /* 1, 2, ... for each task */
    struct guaco_slice body;
};

/*
 * A task that comes again by the clock.  `spec` and `zone` are those of
 * guaco/schedule.h.  `task.due_ms` is ignored: the tick sets it to the fire
 * time.  A definition with an older `generation` never replaces a newer one.
 */
enum guaco_catch_up {
    GUACO_CATCH_UP_SKIP = 1, /* what was missed is gone */
    GUACO_CATCH_UP_ONCE,     /* one run for all that was missed */
    GUACO_CATCH_UP_ALL,      /* one run each, at most 100 a tick */
};

struct guaco_recurring {
    struct guaco_slice name; /* unique in its queue */
    struct guaco_slice spec;
    struct guaco_slice zone; /* empty: UTC */
    enum guaco_catch_up catch_up;
    uint64_t generation;
    struct guaco_task task;
};

#ifdef __cplusplus
}
#endif

#endif
