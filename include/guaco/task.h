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
 * A task that waits for others (struct guaco_rules, joins) is HELD from its put
 * until they have ended, and then goes the same way.
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
#define GUACO_LIMITS_MAX        2u          /* limits of a task */
#define GUACO_KEY_MAX           255u        /* bytes: of unique keys, limits */

enum guaco_task_state {
    GUACO_TASK_WAITING = 1,
    GUACO_TASK_DELAYED,
    GUACO_TASK_RUNNING,
    GUACO_TASK_DONE,
    GUACO_TASK_FAILED,
    GUACO_TASK_EXPIRED,
    GUACO_TASK_CANCELED,
    GUACO_TASK_DEAD,
    GUACO_TASK_HELD, /* until the tasks that join it have ended */
};

/*
 * At most running_max tasks of `key` run at a time, and they are started at
 * most rate_count times in rate_period_ms: a bucket of rate_burst starts that
 * refills evenly.  Counted in the store, for all who claim from the queue.  A
 * task that may not run yet keeps its place before later ones of its key, and
 * keeps no others waiting.  What is said of a key last holds for all its
 * tasks.  Every run counts, retries too.
 */
struct guaco_limit {
    struct guaco_slice key;  /* of the queue; empty: no limit */
    uint32_t running_max;    /* 0: any number */
    uint32_t rate_count;     /* 0: at any rate; else up to a million */
    uint64_t rate_period_ms; /* up to 366 days */
    uint32_t rate_burst;     /* 0: rate_count */
    uint32_t cost; /* of this task, in starts; 0: 1; up to the burst */
};

enum guaco_unique_until {
    GUACO_UNIQUE_DONE = 1, /* it ended, in whatever way */
    GUACO_UNIQUE_STARTED,  /* its first run began, or it ended */
    GUACO_UNIQUE_TIME,     /* unique_ms passed */
};

/*
 * Rules that bind a task to others.  Zeroed it is no rule.  Rules end with the
 * task; one that is replayed from the dead set has none.
 */
struct guaco_rules {
    /* While a task of the queue holds this key another with it is not put: the
     * put gives the id of the one that holds it, and sets *existed.  With
     * `unique_replace`, if that one does not run (and no process died under
     * it), it is also given the new one's body, due time, priority and limits (and keeps its id). */
    struct guaco_slice unique;            /* empty: none */
    enum guaco_unique_until unique_until; /* 0: DONE */
    uint64_t unique_ms; /* at most so long after its put; 0: without end */
    bool unique_replace;
    bool *existed; /* out, or NULL; until the put has returned or called back */

    struct guaco_limit limits[GUACO_LIMITS_MAX]; /* all must let it run */

    /* The task waits for this one: 1 plus its place in the same put, where it
     * must stand before.  It is HELD until all that join it have ended in
     * whatever way, and the end of the last and its own becoming ready are one
     * step of the store.  What they ended with: guaco_broker_read. */
    uint32_t joins;
    /* Of the task that waits: it ends as FAILED without a run when one that
     * joins it ends in another way than DONE. */
    bool joins_must_succeed;

    uint64_t id; /* of guaco_broker_reserve, used here for the first time; 0:
                    the store gives one */
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
    uint32_t retry_backoff_percent;  /* each delay is so much of the last; 0 or
                                       100: all alike */
    uint32_t retry_delay_max_ms;     /* no delay is longer; 0: a year */
    uint32_t retry_jitter_percent;   /* so much of each delay is random: 100 is
                                       anything from 0 to the delay */
    uint32_t timeout_ms;             /* a run's limit; 0: none */
    uint32_t result_ttl_s;           /* 0: the store's default (a day) */
    const struct guaco_rules *rules; /* NULL: none; not with a task that is
                                        given back by the store */
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

/* How one ended that joined a task.  The slices live as long as the struct
 * says. */
struct guaco_member {
    uint32_t number; /* 0, 1, ... in the order of the put */
    uint64_t id;     /* of the task that ended, the last one of a pipeline */
    enum guaco_task_state state; /* DONE .. DEAD */
    struct guaco_slice body;
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
    bool is_paused;   /* listed: it does not fire */
    bool is_run_time; /* listed: defined by guaco_broker_recurring_put */
    struct guaco_task task;
};

#ifdef __cplusplus
}
#endif

#endif
