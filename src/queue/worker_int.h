#ifndef GUACO_QUEUE_WORKER_INT_H
#define GUACO_QUEUE_WORKER_INT_H

/*
 * The worker's insides.
 *
 *   fresh      claimed, nobody runs it yet; ahead: more of them than free slots
 *   running    handed out
 *   outcomes   to be stored with the next turn
 *
 * A turn is one call of the store that does all that is due: events, outcomes,
 * the lease, and a claim for the free slots. One turn at a time (is_turning);
 * the lock is not held meanwhile. Whoever needs one makes it: a thread in
 * guaco_worker_next, since the lone worker should not pay for a thread switch,
 * or the worker's own thread for what is left lying (FLUSH_NS), and for all of
 * it if the caller is an event loop (on_ready is set).
 *
 * Suspects run alone, so for their sake a worker of several slots claims nothing
 * until it has run dry (is_quiet). That and the suspect's own run take slots
 * from all other tasks; so the same time again belongs to these (open_until_ns)
 * before the next suspect, unless nothing else waits. One long run must not
 * keep the other slots empty either: when running dry takes longer than
 * patience_ns it is given up, for as long as it took, and then tried with twice
 * the patience.
 *
 * Locks: the front calls wake() with its lock held and that takes ours; so
 * nothing of the front is called with ours held.
 */

#include <pthread.h>

#include "base/rand.h"
#include "front.h"
#include "life.h"
#include "pace.h"

#define WORKER_TURN_OPS     200u     /* outcomes and events of one turn */
#define WORKER_FLUSH_AT     64u      /* outcomes that a finish stores itself */
#define WORKER_FLUSH_NS     1000000u /* what waits longer is stored */
#define WORKER_EVENTS       1000u
#define WORKER_RETRY_NS     100000000u  /* after the store failed */
#define WORKER_LOOK_NS      500000000u  /* while suspects wait */
#define WORKER_QUIET_NS     1000000000u /* to run dry for them; doubled... */
#define WORKER_QUIET_MAX_NS (WORKER_QUIET_NS << 6) /* ... up to this */
#define WORKER_IDLE_LAPS    8u /* short waits before a long one */

struct guaco_run {
    struct guaco__list link; /* worker->fresh or ->running */
    struct guaco_worker *worker;
    struct guaco_task task; /* slices into envelope */
    struct guaco__life life;
    uint64_t id;
    uint32_t attempt;
    uint32_t failures;
    bool is_to_interrupt; /* on_interrupt is owed */
    bool is_in_call;      /* of our thread: it must not be freed */
    bool is_exclusive;    /* a suspect: nothing else may run beside it */
    bool has_rules;
    uint32_t members;
    uint64_t begun_ns; /* handed out */
    void *data;
    char *envelope;
    struct guaco__receipt *receipt; /* of guaco_using_finish, or NULL */
};

/* Something to store: an outcome, or an event. */
struct guaco__outcome {
    struct guaco__list link;
    struct guaco__op op;
    struct guaco__puts puts; /* of follow-ups */
    bool has_puts;
    bool passes_on;
    bool is_check; /* the run was completed: this is to be refused */
    char bytes[];
};

struct guaco_worker {
    struct guaco_broker *broker;
    struct guaco_worker_options options; /* queue points to queue_name */
    char queue_name[GUACO_QUEUE_NAME_MAX + 1];
    struct guaco__listener listener;
    struct guaco__listener cancels; /* of our runs */
    struct guaco__rand rand;
    uint64_t owner; /* changes when our lease was lost */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* for those in next and join */
    pthread_cond_t stirred; /* for our own thread */
    pthread_t thread;

    struct guaco__list fresh;
    struct guaco__list running;
    struct guaco__list outcomes;
    uint32_t fresh_count;
    uint32_t running_count;
    uint32_t outcome_count; /* in outcomes, and in the present turn */
    uint32_t event_count;   /* of those */

    bool is_turning;
    bool is_draining;
    bool is_stopping;
    bool is_told;      /* one of our runs was canceled: ask which */
    bool is_woken;     /* there may be tasks: claim before you wait */
    bool is_listening; /* the listener is listed and was not used up */
    bool is_quiet;     /* suspects wait: run dry before claiming more */
    bool has_exclusive;
    uint64_t quiet_since_ns; /* is_quiet, or has_exclusive */
    uint64_t patience_ns;    /* with running dry */
    uint64_t open_until_ns;  /* others have their turn before suspects */
    uint64_t look_ns;  /* whether suspects wait still; UINT64_MAX: none did */
    uint64_t flush_ns; /* when outcomes must be stored; UINT64_MAX: none */
    uint64_t lease_ns; /* when the lease is renewed */
    uint64_t retry_ns; /* not before this: the store failed */
    struct guaco__pace pace;
    uint64_t claimed_ns;      /* the last of `fresh` */
    uint64_t asleep_until_ns; /* our own thread */
    struct guaco_worker_stats stats;
};

/* worker_turn.c; the lock is held, and let go meanwhile. */

/* How many more could be claimed now. */
uint32_t guaco__worker_free_slots(const struct guaco_worker *worker);
/* What an outcome of `run` comes to. */
struct guaco__verdict
guaco__worker_judge(struct guaco_worker *worker, const struct guaco_run *run,
                    const struct guaco_outcome *outcome,
                    size_t result_bytes_max);
/* Make a turn; is_turning must be false. Claims if `claim`. Returns 0 or the
 * store's error. */
int guaco__worker_turn(struct guaco_worker *worker, bool claim,
                       struct guaco_error *err);
/* A turn that claims; when there is nothing, list as idle and look again. */
int guaco__worker_look(struct guaco_worker *worker, struct guaco_error *err);
/* Append something to store. */
void
guaco__worker_add(struct guaco_worker *worker, struct guaco__outcome *outcome);
struct guaco__outcome *guaco__outcome_new(size_t bytes);
void guaco__outcome_free(struct guaco__outcome *outcome);

/* worker.c: what the caller says, or GUACO_E_INVALID; and all that can fail of
 * ending a run with it, as something to store (but for its owner). */
int guaco__outcome_check(const struct guaco_outcome *outcome,
                         struct guaco_error *err);
int guaco__outcome_of(const struct guaco_run *run,
                      const struct guaco_outcome *outcome,
                      const struct guaco__verdict *verdict,
                      struct guaco__outcome **out, struct guaco_error *err);
/* Put `run` back, or store its failure, without its runner. */
void guaco__worker_give_up(struct guaco_worker *worker, struct guaco_run *run,
                           const struct guaco__verdict *verdict);
void guaco__run_free(struct guaco_run *run);
/* The cause of its interruption. */
int guaco__run_why(const struct guaco_run *run);
/* Give back what was claimed and not handed out. */
void guaco__worker_give_back(struct guaco_worker *worker);
/* How many of them were claimed ahead, and when they are to be given back. */
uint32_t guaco__worker_ahead(const struct guaco_worker *worker);
uint64_t guaco__worker_return_ns(const struct guaco_worker *worker);
void guaco__worker_return_ahead(struct guaco_worker *worker);
/* The suspect's run is over: the others' turn. */
void guaco__worker_open_up(struct guaco_worker *worker);
int
guaco__worker_register(struct guaco_worker *worker, struct guaco_error *err);

/* worker_thread.c */
void *guaco__worker_main(void *arg);
void guaco__worker_stir(struct guaco_worker *worker, uint64_t by_ns);

#endif
