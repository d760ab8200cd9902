#ifndef GUACO_WORKER_H
#define GUACO_WORKER_H

/*
 * The worker: takes tasks of one queue from a broker and has them run.
 *
 * It is pulled.  A thread that is ready to run something calls
 * guaco_worker_next, runs what it gets, and says how that went with
 * guaco_run_finish:
 *
 *     while (guaco_worker_next(worker, -1, &run, &err) == GUACO_OK) {
 *         struct guaco_outcome outcome = call_it(guaco_run_task(run));
 *         guaco_run_finish(run, &outcome, &err);
 *     }
 *
 * An event loop calls guaco_worker_next with timeout 0 whenever `on_ready`
 * was called.  Retries, expiry, the timeout's clock, the size of results, the
 * renewal of the lease and the batching of acknowledgements are done here;
 * one thread of the worker's own does what must not depend on the caller's.
 *
 * Threads: every function may be called from every thread, without the
 * interpreter lock.  One run belongs to one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/broker.h"
#include "guaco/error.h"
#include "guaco/task.h"

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_worker;
struct guaco_run;

/* Calls from the worker's own thread; each may be NULL.  They must not block
 * and must not call this header's blocking functions. */
struct guaco_worker_calls {
    /* guaco_worker_next has something now. */
    void (*on_ready)(void *ctx);

    /* `run` is over its timeout (GUACO_E_TIMEOUT), was canceled
     * (GUACO_E_STATE), or was taken away from us because our lease had ended
     * (GUACO_E_LOST): interrupt it.  Called once
     * for each cause; the run must still be finished.  `run` is good during
     * the call. */
    void (*on_interrupt)(void *ctx, struct guaco_run *run, int why);

    /* `run` went on for kill_grace_ms after its interruption.  Its failure is
     * stored and what else this worker had claimed was given back uncounted:
     * replace the process now. */
    void (*on_stuck)(void *ctx, struct guaco_run *run);
};

/*
 * `prefetch`: while runs are short beside what a claim costs, more tasks are
 * claimed than there are free slots, so many as begin within half a
 * millisecond (on a store with slow round trips, within two of these), at most
 * `prefetch`.  They are not hoarded: what was not begun in time, since a run
 * before it is long, goes back within some 10 ms, at draining at once.  Not for
 * event loops (on_ready): these have a slot for each task that they begin.
 */
struct guaco_worker_options {
    struct guaco_slice queue;
    uint32_t slots;            /* runs at a time, 1..4096 */
    uint32_t prefetch;         /* claimed ahead at most, 0..256; see below */
    uint32_t lease_ms;         /* 0: 15000; renewed each third of it */
    uint32_t kill_grace_ms;    /* 0: 5000 */
    uint32_t result_bytes_max; /* 0: GUACO_RESULT_BODY_MAX */
    struct guaco_worker_calls calls;
    void *ctx;
};

/* ---- life ---- */

/* Register with the store as an owner of leases and start.  `broker` must
 * live longer than the worker; `options` is copied.  Returns 0 and *out. */
GUACO_API int
guaco_worker_open(struct guaco_worker **out, struct guaco_broker *broker,
                  const struct guaco_worker_options *options,
                  struct guaco_error *err);

/* Claim no more; guaco_worker_next answers GUACO_E_CLOSED from now on.  What
 * runs may go on; what was claimed and not yet begun goes back.  Returns at
 * once, may be called again, and is safe from every thread. */
GUACO_API void guaco_worker_drain(struct guaco_worker *worker);

/* Wait until nothing runs; at most timeout_ms (< 0: without limit).  Returns 0
 * or GUACO_E_TIMEOUT. */
GUACO_API int
guaco_worker_join(struct guaco_worker *worker, int64_t timeout_ms);

/* Store the outcomes not yet stored, give back what is still claimed
 * (uncounted; it can run again at once), and free the worker.  No other call
 * may be running; runs that were not finished are gone.  NULL is allowed. */
GUACO_API void guaco_worker_close(struct guaco_worker *worker);

struct guaco_worker_stats {
    uint32_t running;    /* handed out, not finished */
    uint32_t prefetched; /* claimed, not handed out */
    uint64_t finished;
    uint64_t retried;
    uint64_t lost; /* outcomes refused: the lease had ended */
};

GUACO_API void guaco_worker_stats(struct guaco_worker *worker,
                                  struct guaco_worker_stats *stats);

/* ---- a run ---- */

/*
 * Get the next task to run; wait for it at most timeout_ms (< 0: without
 * limit, 0: not at all).
 *
 * Returns 0 and *run, to be ended with guaco_run_finish; GUACO_E_AGAIN when
 * none came in time or all slots are taken; GUACO_E_CLOSED while draining; or
 * the store's error (the worker goes on: call again).
 */
GUACO_API int
guaco_worker_next(struct guaco_worker *worker, int64_t timeout_ms,
                  struct guaco_run **run, struct guaco_error *err);

/*
 * As guaco_worker_next, but get up to `max` (at least 1) tasks of one name, as
 * many as were claimed together; each is to be ended for itself.  Claims are
 * of as many tasks as slots are free, so a worker for batches needs as many
 * slots as a batch may have.  Returns as above; *n is 0 unless it is 0.
 */
GUACO_API int
guaco_worker_next_batch(struct guaco_worker *worker, int64_t timeout_ms,
                        size_t max, struct guaco_run **runs, size_t *n,
                        struct guaco_error *err);

/* What is to be run; lives until the run is finished. */
GUACO_API const struct guaco_task *guaco_run_task(const struct guaco_run *run);
GUACO_API uint64_t guaco_run_id(const struct guaco_run *run);
GUACO_API uint32_t guaco_run_attempt(const struct guaco_run *run); /* from 1 */
/* Runs that failed before this one, and how many may still follow it. */
GUACO_API uint32_t guaco_run_failures(const struct guaco_run *run);
GUACO_API uint32_t guaco_run_retries_left(const struct guaco_run *run);
/* True once the run was interrupted (see on_interrupt). */
GUACO_API bool guaco_run_interrupted(const struct guaco_run *run);
/* Why it was interrupted: GUACO_E_TIMEOUT, GUACO_E_STATE (canceled) or
 * GUACO_E_LOST; 0: it was not. */
GUACO_API int guaco_run_why(const struct guaco_run *run);
/* How many tasks joined this one; guaco_broker_members has their results. */
GUACO_API uint32_t guaco_run_members(const struct guaco_run *run);
/* Milliseconds to its timeout: INT64_MAX without one, never below 0. */
GUACO_API int64_t guaco_run_remaining_ms(const struct guaco_run *run);

/* A place for the caller's own pointer; NULL at first. */
GUACO_API void guaco_run_set_data(struct guaco_run *run, void *data);
GUACO_API void *guaco_run_data(const struct guaco_run *run);

/*
 * Tell those who watch this task something (progress).  It is stored and sent
 * with the next batch, within a millisecond or two.  Copies.
 *
 * Returns 0, GUACO_E_INVALID (over GUACO_EVENT_BODY_MAX), GUACO_E_NOMEM, or
 * GUACO_E_LIMIT when 1000 wait to be stored.
 */
GUACO_API int guaco_run_event(struct guaco_run *run, struct guaco_slice body,
                              struct guaco_error *err);

enum guaco_outcome_kind {
    GUACO_OUTCOME_DONE = 1,
    GUACO_OUTCOME_FAILED, /* retried by the task's rules, while any are left */
    GUACO_OUTCOME_RETRY,  /* retried in any case; no retry is used up */
    GUACO_OUTCOME_CANCELED, /* ended, not retried */
    GUACO_OUTCOME_RELEASED, /* as if it had never been claimed */
};

struct guaco_outcome {
    enum guaco_outcome_kind kind;
    bool keep;               /* store `body` as the task's result */
    struct guaco_slice body; /* the result, or the error */
    int64_t retry_delay_ms;  /* FAILED and RETRY; < 0: by the task's rules */
    const struct guaco_task *follow; /* put in the same transaction, when this
                                        outcome ends the task */
    size_t follow_count;             /* 0..1000 */
    bool pass_on; /* DONE: who waits for this task waits for follow[0] instead
                     (the next stage of a pipeline) */
};

/* What became of a run. */
enum guaco_run_end {
    GUACO_RUN_ENDED = 1, /* the task is over */
    GUACO_RUN_RETRIED,   /* it will run again */
};

/*
 * End the run.  Copies what it needs and returns without waiting for the
 * store, unless the outcomes that wait are 64 already; they are stored within
 * about a millisecond, result and acknowledgement in one step.  `end` (may be
 * NULL) says what the outcome led to.  A result over result_bytes_max fails
 * the task with that reason.
 *
 * Returns 0 (also when the lease was lost: the outcome is then refused and
 * counted), GUACO_E_INVALID or GUACO_E_NOMEM (the run is then not finished).
 */
GUACO_API int
guaco_run_finish(struct guaco_run *run, const struct guaco_outcome *outcome,
                 enum guaco_run_end *end, struct guaco_error *err);

#ifdef __cplusplus
}
#endif

#endif
