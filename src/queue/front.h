#ifndef GUACO_QUEUE_FRONT_H
#define GUACO_QUEUE_FRONT_H

/*
 * The front: what stands between the callers' threads and a store that is used
 * by one thread at a time.
 *
 * Group commit by leader and follower: a caller appends its batch to the line.
 * If nobody leads it leads: takes what is in the line, has the store do it in
 * one transaction in its own thread, tells the others, and hands the lead to
 * the first of those who came meanwhile.  So a lone producer pays no thread
 * switch, and many pay one commit together.
 *
 * Listeners are who must be told after a commit: a worker that found nothing,
 * somebody who waits for a result, a keeper.  Those of this process are woken
 * directly, others through the store's ring.
 *
 * The hub is the store's thread.  It does what must not be done in the
 * caller's: puts and reads for event loops, and it hears the ring.
 */

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "broker_int.h"

#define GUACO__ASYNC_PUTS_MAX 100000u
#define GUACO__PUTS_MAX       10000u      /* tasks of one put call */
#define GUACO__PUT_BYTES_MAX  (64u << 20) /* of one put call */
#define GUACO__CLAIM_MAX      256u        /* tasks of one claim */
#define GUACO__BUCKETS        256u        /* of listeners by task id */

struct guaco__listener {
    struct guaco__list link;    /* private */
    struct guaco__notice topic; /* kind, and queue or id */
    /* A commit, here or elsewhere, concerns the topic.  Called with the
     * front's lock held: flag it, signal, and return.  Of TASKS it says how
     * many it will take, 0 if it is busy; then the next one is asked. */
    uint32_t (*wake)(struct guaco__listener *listener,
                     const struct guaco__notice *notice);
};

struct guaco__batch;
struct guaco__desk;
struct guaco_using;
struct guaco_watch;

struct guaco__hub {
    pthread_t thread;
    pthread_cond_t idle; /* calling has changed */
    bool is_started;
    bool is_stopping;
    bool is_asleep;
    int event_fd;
    struct guaco__list requests; /* async puts */
    size_t request_tasks;        /* in them */
    struct guaco__list pending;  /* watches to look after */
    struct guaco_watch *calling; /* its fn is running */
};

struct guaco_broker {
    struct guaco__store *store;
    pthread_mutex_t lock; /* guards all below; not held while the store runs */
    bool is_led;
    bool is_forking;             /* the lead is wanted for a fork */
    pthread_cond_t lead_is_free; /* for it */
    struct guaco__batch *first;  /* the line */
    struct guaco__batch *last;
    size_t line_count;                        /* batches in the line */
    struct guaco__list queues;                /* listeners for TASKS */
    struct guaco__list keepers;               /* ... for KEEPER */
    struct guaco__list tasks[GUACO__BUCKETS]; /* ... for TASK, by id */
    struct guaco__hub hub;
    struct guaco__desk *desk;     /* of transactions that are their callers' */
    pthread_mutex_t session_lock; /* guards session; taken before lock */
    uint64_t session; /* this process as an owner of locks; 0: not yet */
};

/* ---- running ---- */

/*
 * Do ops[0..n), n in 1..GUACO__BATCH_OPS_MAX, all in one transaction; see each
 * op's rc afterwards.  Returns 0, or what kept the store from committing (then
 * nothing of it happened).  Any thread; blocks at most store->wait_ms or so.
 */
int guaco__front_run(struct guaco_broker *broker, struct guaco__op *ops,
                     size_t n, struct guaco_error *err);

/* As above for one op; also returns that op's own rc. */
int guaco__front_run_one(struct guaco_broker *broker, struct guaco__op *op,
                         struct guaco_error *err);

/* As above; `how`, if it is not NULL, is the connection that it goes through. */
int
guaco__front_run_by(struct guaco_broker *broker, const struct guaco_using *how,
                    struct guaco__op *op, struct guaco_error *err);

/* What was touched is committed: wake whom it concerns, and forget it. */
void guaco__front_announce(struct guaco_broker *broker,
                           struct guaco__touched *touched);

/* Whether ops that failed so may be run once more: surely nothing of them
 * happened, and it need not be the store that is at fault. */
bool guaco__front_may_repeat(int rc);

/* GUACO_E_UNSUPPORTED for an op, or tasks (with rules), that the store of this
 * broker does not have. */
struct guaco__puts;
int guaco__front_allows(const struct guaco_broker *broker,
                        enum guaco__op_kind kind, struct guaco_error *err);
int guaco__front_allows_puts(const struct guaco_broker *broker,
                             const struct guaco__puts *puts,
                             struct guaco_error *err);

/* Register this process as an owner; end one that did not die. */
int guaco__front_owner(struct guaco_broker *broker, uint32_t lease_ms,
                       uint64_t *owner, struct guaco_error *err);
void guaco__front_disown(struct guaco_broker *broker, uint64_t owner);

/* guaco_broker_put and guaco_broker_reserve, by guaco__front_run_by. */
int
guaco__broker_put(struct guaco_broker *broker, const struct guaco_using *how,
                  const struct guaco_task *tasks, size_t n, uint64_t *ids,
                  struct guaco_error *err);
int guaco__broker_reserve(struct guaco_broker *broker,
                          const struct guaco_using *how, uint32_t n,
                          uint64_t *first, struct guaco_error *err);

/* 1 to GUACO_KEY_MAX bytes, or GUACO_E_INVALID. */
int guaco__key_check(struct guaco_slice key, struct guaco_error *err);

/* ---- listening ---- */

/* Tell `listener` from now on.  Also tells the store's ring.  For TASKS the
 * ring's interest is used up by a notice: call it again before looking again.
 * Returns 0, GUACO_E_NOMEM, GUACO_E_LIMIT or GUACO_E_IO; then it is not
 * listed. */
int
guaco__front_listen(struct guaco_broker *broker,
                    struct guaco__listener *listener, struct guaco_error *err);

/* No more; it is not being called when this returns.  Not listed is fine. */
void guaco__front_unlisten(struct guaco_broker *broker,
                           struct guaco__listener *listener);

/* A notice came, from the ring or from a commit here: wake the local
 * listeners.  The lock is held.  Returns how many TASKS nobody here wanted. */
uint32_t guaco__front_tell(struct guaco_broker *broker,
                           const struct guaco__notice *notice);

/* A condition variable on the monotonic clock, and a wait on it with the front
 * locked until `end_ns` of that clock; UINT64_MAX: without end.  The wait
 * returns false at the end of the time. */
void guaco__cond_init(pthread_cond_t *cond);
bool
guaco__cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t end_ns);

/* mono now plus timeout_ms, UINT64_MAX for a negative one. */
uint64_t guaco__end_ns(int64_t timeout_ms);

/* ---- puts on their way ---- */

/* Tasks encoded for a store. */
struct guaco__puts {
    struct guaco__put *items;
    size_t n;
    struct guaco__put one;   /* private: items of a single put */
    struct guaco__buf bytes; /* private */
};

/* Check and encode.  Returns 0 (then release it) or GUACO_E_INVALID,
 * GUACO_E_NOMEM.  `copy_queues`: the queue names are copied too. */
int guaco__puts_init(struct guaco__puts *puts, const struct guaco_task *tasks,
                     size_t n, bool copy_queues, struct guaco_error *err);
void guaco__puts_release(struct guaco__puts *puts);
/* They were stored: fill what rules->existed points to. */
void guaco__puts_tell(const struct guaco__puts *puts);

/* ---- the hub ---- */

/* The lock is held for these. */
void guaco__hub_init(struct guaco__hub *hub);
int guaco__hub_start(struct guaco_broker *broker, struct guaco_error *err);
void guaco__hub_kick(struct guaco_broker *broker);
/* The lock is not held; ends the thread and answers what is left. */
void guaco__hub_stop(struct guaco_broker *broker);

#endif
