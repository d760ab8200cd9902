#ifndef GUACO_QUEUE_LIFE_H
#define GUACO_QUEUE_LIFE_H

/*
 * The life of one claimed task in a worker, without I/O: an event and the time
 * go in, what is to be done comes out.
 *
 *              HAND_OUT          TICK past        TICK past
 *   CLAIMED --------> RUNNING ------------> INTERRUPTED ------> STUCK
 *      |  \              |    its timeout,       |   kill_grace   |
 *      |   +-- expired, -+      CANCEL or LOST   |                |
 *      |      canceled   |                       |                |
 *      v                 v                       v                v
 *    ENDED <-------------+------ FINISH ---------+----------------+
 */

#include <stdbool.h>
#include <stdint.h>

#include "broker_int.h"
#include "guaco/worker.h"

enum guaco__life_state {
    GUACO__LIFE_CLAIMED = 1,
    GUACO__LIFE_RUNNING,
    GUACO__LIFE_INTERRUPTED,
    GUACO__LIFE_STUCK,
    GUACO__LIFE_ENDED,
};

struct guaco__life {
    enum guaco__life_state state;
    bool is_lost;      /* our lease had ended: nothing is stored any more */
    bool is_canceled;  /* it is not to be retried */
    bool is_given_up;  /* stored without its runner (STUCK), or given back */
    uint64_t limit_ns; /* monotonic; UINT64_MAX: none */
    uint64_t kill_ns;
};

enum guaco__life_event {
    GUACO__LIFE_HAND_OUT = 1,
    GUACO__LIFE_TICK,
    GUACO__LIFE_LOST,
    GUACO__LIFE_CANCEL,
    GUACO__LIFE_GIVE_UP,
    GUACO__LIFE_FINISH,
};

enum guaco__life_action {
    GUACO__LIFE_NOTHING,
    GUACO__LIFE_RUN,       /* give it to the caller */
    GUACO__LIFE_EXPIRE,    /* store EXPIRED, do not run it */
    GUACO__LIFE_CANCELED,  /* store CANCELED, do not run it */
    GUACO__LIFE_INTERRUPT, /* on_interrupt: timeout, canceled or lost */
    GUACO__LIFE_KILL,      /* on_stuck */
    GUACO__LIFE_STORE,     /* store what guaco__verdict says */
    GUACO__LIFE_DISCARD,   /* the outcome is refused */
};

/* What the life needs to know of the task and the worker. */
struct guaco__life_terms {
    const struct guaco_task *task;
    int64_t wall_ms; /* of the store */
    uint64_t now_ns; /* monotonic */
    uint32_t kill_grace_ms;
};

/* The next step; changes *life. */
enum guaco__life_action
guaco__life_step(struct guaco__life *life, enum guaco__life_event event,
                 const struct guaco__life_terms *terms);

/* When a TICK has something to do; UINT64_MAX: never. */
uint64_t guaco__life_next_ns(const struct guaco__life *life);

/* What an outcome comes to in the store. */
struct guaco__verdict {
    bool ends; /* FINISH with `state`; else RELEASE */
    enum guaco_task_state state;
    bool keep;
    bool keep_body;     /* also for whom it joins; else only the reason */
    bool failed;        /* RELEASE: counts as a failure */
    uint64_t delay_ms;  /* RELEASE */
    const char *reason; /* NULL: none; of static duration */
};

/* What the verdict depends on beside the outcome. */
struct guaco__case {
    const struct guaco_task *task;
    uint32_t failures;
    uint32_t dice; /* random, for the jitter of a delay */
    bool is_canceled;
    bool has_rules; /* its body is wanted even if it is not kept */
    size_t result_bytes_max;
};

struct guaco__verdict guaco__verdict(const struct guaco__case *about,
                                     const struct guaco_outcome *outcome);

#endif
