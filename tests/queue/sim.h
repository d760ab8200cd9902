#ifndef GUACO_TEST_QUEUE_SIM_H
#define GUACO_TEST_QUEUE_SIM_H

/*
 * The simulator of the engine: a store that is run by random ops of several
 * owners, keepers and producers, and a model that says what each must answer.
 *
 *     test_sim.c     what happens next, and how the store is run
 *     sim_tasks.c    the life of tasks: puts, claims, ends
 *     sim_time.c     owners, clocks, schedules, locks
 *     sim_model.c    what must be true
 *
 * All that is random comes of one seed, and both clocks are ours; so a failure
 * comes again with `test_sim --seed N` (and --store, --steps as before).
 *
 * The model keeps no order and no heaps: it is a table of tasks that is looked
 * through.  What it checks:
 *
 *  1. No task that was acknowledged is lost: it ends once, or is there.
 *  2. A completion counts only for the (owner, attempt) that holds the task.
 *  3. Each tick of a schedule is enqueued once.
 *  4. A task that waits for others begins after the last of them, once.
 *  5. No more of a limit's key run, and none start faster, than it says.
 *  6. A unique key has one holder.
 *  7. What may run is given to who asks: nothing hangs.
 *  8. A lock has no more holders than slots, and tokens grow.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "queue/broker_int.h"

#define SIM_PUTS    8
#define SIM_CLAIM   8
#define SIM_TASKS   512 /* of the model's table */
#define SIM_LIVE    300 /* no more puts above so many */
#define SIM_OWNERS  4
#define SIM_KEYS    5
#define SIM_LANES   5
#define SIM_KEEPERS 2
#define SIM_STALE   32
#define SIM_LOCKS   2
#define SIM_HOLDERS 4
#define SIM_WINDOW  (1u << 22) /* ids of live tasks are no farther apart */

enum model_state {
    MODEL_FREE,
    MODEL_WAITING,
    MODEL_DELAYED,
    MODEL_HELD,
    MODEL_RUNNING,
};

struct model_task {
    enum model_state state;
    uint64_t id;
    int64_t due_ms;
    int32_t priority;
    uint32_t attempt, deaths;
    int owner;
    bool is_suspect, is_alone, is_canceled, has_rules;
    int key; /* -1: none */
    enum guaco_unique_until until;
    int lanes[GUACO_LIMITS_MAX]; /* -1: none */
    uint32_t costs[GUACO_LIMITS_MAX];
    uint64_t joins;
    uint32_t member;
    uint32_t hold, left;
    bool must_succeed;
    bool members[8]; /* have ended */
};

struct model_lane {
    uint32_t running_max;
    uint32_t rate_count; /* 0: none */
    uint64_t period_ms;
    uint32_t burst;
    uint32_t running;
    double tokens;
    int64_t at_ms;    /* of tokens */
    int64_t start_ms; /* the last one */
};

struct model_key {
    uint64_t holder; /* 0: none */
    int64_t end_ms;  /* INT64_MAX: none */
};

struct model_lock {
    uint32_t slots;
    struct {
        uint64_t token;
        uint64_t owner;
        uint64_t end_ms; /* boot */
    } holders[SIM_HOLDERS];
    uint64_t last_token;
};

struct model {
    struct model_task tasks[SIM_TASKS];
    int16_t slot_of[SIM_WINDOW]; /* by id; -1: none */
    int live;
    struct model_lane lanes[SIM_LANES];
    struct model_key keys[SIM_KEYS];
    struct model_lock locks[SIM_LOCKS];
    int64_t now_ms;
    uint64_t boot_ms;
    bool is_paused;
    int64_t sure_ms; /* rates are known again after the clock was set back */
    uint64_t acked, ended, dead, starts, completions, ticks;
};

/* Says what is wrong, with the seed, and ends the program. */
void sim_fail(const char *format, ...) GUACO_PRINTF(1, 2);
#define MUST(what, ...)            \
    do {                           \
        if (!(what))               \
            sim_fail(__VA_ARGS__); \
    } while (0)

void model_init(struct model *model);
struct model_task *model_find(struct model *model, uint64_t id);
struct model_task *model_add(struct model *model, uint64_t id);
/* A free random number below `n` of tasks in `state`; NULL: there is none. */
struct model_task *model_pick(struct model *model, struct guaco__rand *rand,
                              enum model_state state);

/* What happened. */
void model_put(struct model *model, const struct guaco__put *puts, size_t n);
void model_claimed(struct model *model, const struct guaco__op_claim *claim,
                   int owner);
void model_end(struct model *model, struct model_task *task,
               enum guaco_task_state state);
void model_release(struct model *model, struct model_task *task,
                   uint64_t delay_ms, bool failed);
/* The wall clock moves. */
void model_clock(struct model *model, int64_t by_ms);
/* Rates may have less to give than the model thinks, for a while. */
void model_unsure(struct model *model);
void model_reap(struct model *model, int owner, bool died);
uint32_t model_promote(struct model *model);
/* After a promote, and claims until nothing came: nothing hangs. */
void model_check_idle(struct model *model, bool suspects_too);
void model_check_stats(const struct model *model,
                       const struct guaco_queue_stats *stats);

/* ---- what is going on; test_sim.c ---- */

/* An outcome of a former holder, to be refused. */
struct stale {
    uint64_t owner, id;
    uint32_t attempt;
};

struct keeper {
    uint64_t generation;
    int64_t last_ms;
};

struct sim {
    struct guaco__store *store;
    const char *kind;
    struct guaco__rand rand;
    struct model model;
    uint64_t owners[SIM_OWNERS];
    struct stale stale[SIM_STALE];
    size_t stale_count;
    struct keeper keepers[SIM_KEEPERS];
    uint64_t generation; /* of the schedule, and when it fired last */
    int64_t last_ms;
    uint64_t reserved;
    uint64_t steps;
    uint64_t refused, faults;
    bool will_fail; /* the next commit */
    bool is_calm;   /* no faults now */
};

extern struct sim sim;

/* Have the store do `op` and give its own rc; GUACO_E_IO when a commit was torn
 * and nothing of it happened. */
int sim_run(struct guaco__op *op);
/* The same with a fault now and then: no memory, or a torn commit. */
int sim_run_faulty(struct guaco__op *op);
bool sim_is_fault(int rc);
uint64_t sim_below(uint64_t n);
bool sim_one_in(uint64_t n);
bool sim_is_sqlite(void);

extern const struct guaco_slice sim_queue, sim_envelope;
extern const char sim_digits[];

/* ---- steps; sim_tasks.c ---- */

void sim_put_plain(void);
void sim_put_ruled(void);
void sim_put_chord(void);
void sim_claim_some(void);
void sim_finish_one(void);
void sim_release(void);
void sim_stale_finish(void);
void sim_cancel(void);
void sim_purge(void);
uint32_t sim_claim(int owner, uint32_t max, bool alone);
bool sim_runs_nothing(int owner);
struct guaco__op sim_finish_of(const struct model_task *task);
/* That holder's end will be refused from now on. */
void sim_remember(uint64_t owner, uint64_t id, uint32_t attempt);

/* ---- steps; sim_time.c ---- */

void sim_open_owner(int owner);
void sim_reap(void);
void sim_renew(void);
void sim_clock(void);
void sim_promote(void);
void sim_sweep(void);
void sim_pause(void);
void sim_deploy(void);
void sim_tick(void);
void sim_lock(void);

#endif
