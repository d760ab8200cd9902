/* A worker's turns: all its traffic with the store. */

#include <assert.h>
#include <stdlib.h>

#include "envelope.h"
#include "os/clock.h"
#include "using.h"
#include "worker_int.h"

/* ---- what is to be stored ---- */

struct guaco__outcome *
guaco__outcome_new(size_t bytes)
{
    struct guaco__outcome *outcome = malloc(sizeof *outcome + bytes);

    if (outcome != NULL) {
        guaco__list_init(&outcome->link);
        outcome->op = (struct guaco__op){0};
        outcome->has_puts = false;
        outcome->passes_on = false;
        outcome->is_check = false;
    }
    return outcome;
}

void
guaco__outcome_free(struct guaco__outcome *outcome)
{
    if (outcome->has_puts)
        guaco__puts_release(&outcome->puts);
    free(outcome);
}

void
guaco__worker_add(struct guaco_worker *worker, struct guaco__outcome *outcome)
{
    if (worker->flush_ns == UINT64_MAX)
        worker->flush_ns = guaco__clock_mono_ns() + WORKER_FLUSH_NS;
    guaco__list_push(&worker->outcomes, &outcome->link);
    worker->outcome_count++;
    worker->event_count += outcome->op.kind == GUACO__OP_EVENT;
}

void
guaco__run_free(struct guaco_run *run)
{
    guaco__receipt_unref(run->receipt);
    free(run->envelope);
    free(run);
}

void
guaco__worker_give_up(struct guaco_worker *worker, struct guaco_run *run,
                      const struct guaco__verdict *verdict)
{
    struct guaco__outcome *outcome = guaco__outcome_new(0);

    if (outcome == NULL)
        return; /* the keeper gives it back when this process has ended */
    if (verdict->ends) {
        outcome->op.kind = GUACO__OP_FINISH;
        outcome->op.finish = (struct guaco__op_finish){
            .owner = worker->owner,
            .id = run->id,
            .attempt = run->attempt,
            .state = verdict->state,
            .keep = verdict->keep,
            .has_rules = run->has_rules,
            .ttl_s = run->task.result_ttl_s == 0 ? GUACO__RESULT_TTL_S
                                                 : run->task.result_ttl_s,
        };
        if (verdict->reason != NULL)
            outcome->op.finish.reason =
                (struct guaco_slice){verdict->reason, strlen(verdict->reason)};
    } else {
        outcome->op.kind = GUACO__OP_RELEASE;
        outcome->op.release = (struct guaco__op_release){
            .owner = worker->owner,
            .id = run->id,
            .attempt = run->attempt,
            .delay_ms = verdict->delay_ms,
            .failed = verdict->failed,
        };
    }
    guaco__worker_add(worker, outcome);
}

struct guaco__verdict
guaco__worker_judge(struct guaco_worker *worker, const struct guaco_run *run,
                    const struct guaco_outcome *outcome,
                    size_t result_bytes_max)
{
    const struct guaco__case about = {
        .task = &run->task,
        .failures = run->failures,
        .dice = run->task.retry_jitter_percent == 0
                    ? 0
                    : (uint32_t)guaco__rand_next(&worker->rand),
        .is_canceled = run->life.is_canceled,
        .has_rules = run->has_rules,
        .result_bytes_max = result_bytes_max,
    };

    return guaco__verdict(&about, outcome);
}

/* ---- registration ---- */

int
guaco__worker_register(struct guaco_worker *worker, struct guaco_error *err)
{
    uint64_t owner = 0;
    int rc = guaco__front_owner(worker->broker, worker->options.lease_ms,
                                &owner, err);

    if (rc != GUACO_OK)
        return rc;
    if (worker->cancels.topic.id != 0)
        guaco__front_unlisten(worker->broker, &worker->cancels);
    worker->cancels.topic.id = guaco__topic_owner(owner);
    rc = guaco__front_listen(worker->broker, &worker->cancels, err);
    if (rc == GUACO_OK)
        worker->owner = owner;
    else
        guaco__front_disown(worker->broker, owner);
    return rc;
}

/* ---- a turn ---- */

enum fate {
    FATE_RUN,
    FATE_REVOKED,
    FATE_UNKNOWN, /* the store did not say: back */
};

struct turn {
    struct guaco__op ops[WORKER_TURN_OPS + 2];
    struct guaco__outcome *outcomes[WORKER_TURN_OPS];
    size_t stored; /* ops[0..stored) are of outcomes */
    size_t n;
    struct guaco__op *renew; /* or NULL */
    struct guaco__op *claim;
    enum fate fates[GUACO__CLAIM_MAX]; /* of what was claimed */
};

uint32_t
guaco__worker_free_slots(const struct guaco_worker *worker)
{
    uint32_t taken = worker->running_count + worker->fresh_count;

    if (worker->is_draining || worker->has_exclusive ||
        taken >= worker->options.slots)
        return 0;
    if (worker->is_quiet && taken > 0)
        return 0;
    return worker->options.slots - taken;
}

/* How many to claim: for the free slots, and ahead. */
static uint32_t
claim_max(const struct guaco_worker *worker)
{
    uint32_t max = guaco__worker_free_slots(worker);

    if (max > 0 && worker->options.calls.on_ready == NULL)
        max += guaco__pace_ahead(&worker->pace, worker->options.prefetch);
    return max < GUACO__CLAIM_MAX ? max : GUACO__CLAIM_MAX;
}

static void
take_outcomes(struct guaco_worker *worker, struct turn *turn)
{
    struct guaco__list *link;

    while (turn->stored < WORKER_TURN_OPS &&
           (link = guaco__list_shift(&worker->outcomes)) != NULL) {
        struct guaco__outcome *outcome =
            GUACO__OF(link, struct guaco__outcome, link);
        turn->outcomes[turn->stored] = outcome;
        turn->ops[turn->stored++] = outcome->op;
    }
    turn->n = turn->stored;
    worker->flush_ns = guaco__list_is_empty(&worker->outcomes)
                           ? UINT64_MAX
                           : guaco__clock_mono_ns();
}

static struct guaco__op *
add_renewal(struct guaco_worker *worker, struct turn *turn)
{
    struct guaco__op *op = &turn->ops[turn->n++];

    *op = (struct guaco__op){.kind = GUACO__OP_OWNER_RENEW,
                             .owner = {.owner = {.id = worker->owner},
                                       .lease_ms = worker->options.lease_ms}};
    return op;
}

/* Nothing else runs, and it is the suspects' turn. */
static bool
is_alone(const struct guaco_worker *worker)
{
    return worker->running_count + worker->fresh_count == 0 &&
           (worker->options.slots == 1 ||
            guaco__clock_mono_ns() >= worker->open_until_ns);
}

static struct guaco__op *
add_claim(struct guaco_worker *worker, struct turn *turn,
          struct guaco__row *rows, uint32_t max)
{
    struct guaco__op *op = &turn->ops[turn->n++];

    *op = (struct guaco__op){.kind = GUACO__OP_CLAIM,
                             .claim = {.queue = worker->options.queue,
                                       .owner = worker->owner,
                                       .max = max,
                                       .alone = max > 0 && is_alone(worker),
                                       .rows = rows}};
    return op;
}

static void
plan(struct guaco_worker *worker, struct turn *turn, bool claim,
     struct guaco__row *rows, uint32_t max)
{
    bool holds = worker->running_count + worker->fresh_count > 0;

    turn->stored = turn->n = 0;
    turn->renew = turn->claim = NULL;
    take_outcomes(worker, turn);
    memset(turn->fates, 0, sizeof turn->fates);
    if ((guaco__clock_mono_ns() >= worker->lease_ns && (claim || holds)) ||
        (worker->is_told && holds))
        turn->renew = add_renewal(worker, turn);
    worker->is_told = false;
    if (claim)
        turn->claim = add_claim(worker, turn, rows, max);
}

/* ---- what came of it ---- */

/* A finish whose follow-ups have no room ends its task in any case: as failed,
 * without them. */
static void
strip_finish(struct guaco__outcome *outcome)
{
    static const char reason[] =
        "its follow-up tasks were refused: the store has no room for another "
        "queue, or they have ids that were not reserved";
    struct guaco__op_finish *finish = &outcome->op.finish;

    finish->state = GUACO_TASK_FAILED;
    finish->keep = true;
    finish->body = (struct guaco_slice){0};
    finish->reason = (struct guaco_slice){reason, sizeof reason - 1};
    finish->follow = NULL;
    finish->follow_count = 0;
    finish->pass_on = false;
}

/* Whether an outcome must be stored again, perhaps as another. */
static bool
is_to_repeat(struct guaco__outcome *outcome, const struct guaco__op *op)
{
    if ((op->rc == GUACO_E_LIMIT || op->rc == GUACO_E_EXISTS ||
         op->rc == GUACO_E_INVALID) &&
        op->kind == GUACO__OP_FINISH && op->finish.follow_count > 0) {
        strip_finish(outcome);
        return true;
    }
    /* Not what the store thinks of it: it did not get there. */
    return op->rc == GUACO_E_IO || op->rc == GUACO_E_TIMEOUT ||
           op->rc == GUACO_E_NOMEM || op->rc == GUACO_E_PROTO;
}

/* Returns what kept any of them from the store. */
static int
settle_outcomes(struct guaco_worker *worker, struct turn *turn, int rc)
{
    int failed = rc;

    for (size_t i = turn->stored; i-- > 0;) {
        struct guaco__outcome *outcome = turn->outcomes[i];
        const struct guaco__op *op = &turn->ops[i];
        if (rc != GUACO_OK || is_to_repeat(outcome, op)) {
            guaco__list_push_front(&worker->outcomes, &outcome->link);
            worker->flush_ns = guaco__clock_mono_ns();
            if (rc == GUACO_OK && op->rc != GUACO_E_LIMIT &&
                op->rc != GUACO_E_EXISTS && op->rc != GUACO_E_INVALID)
                failed = op->rc;
            continue;
        }
        worker->outcome_count--;
        worker->event_count -= op->kind == GUACO__OP_EVENT;
        worker->stats.lost += op->rc != GUACO_OK &&
                              op->kind != GUACO__OP_EVENT && !outcome->is_check;
        worker->stats.finished += op->rc == GUACO_OK
                                      ? op->kind == GUACO__OP_FINISH
                                      : outcome->is_check;
        worker->stats.retried +=
            op->rc == GUACO_OK && op->kind == GUACO__OP_RELEASE;
        guaco__outcome_free(outcome);
    }
    return failed;
}

/* A claimed row becomes a run; one that cannot be read is ended as failed. */
static void
add_run(struct guaco_worker *worker, const struct guaco__row *row,
        enum fate fate)
{
    struct guaco_run *run = calloc(1, sizeof *run);
    const struct guaco__verdict unreadable = {
        .ends = true,
        .state = GUACO_TASK_FAILED,
        .keep = true,
        .reason = "the stored task cannot be read by this version",
    };
    const struct guaco__verdict revoked = {
        .ends = true,
        .state = GUACO_TASK_CANCELED,
        .keep = true,
        .reason = "its task was revoked",
    };
    const struct guaco__verdict back = {0};

    if (run == NULL) { /* goes back when we close or die */
        free((void *)(uintptr_t)row->envelope.at);
        return;
    }
    guaco__list_init(&run->link);
    run->worker = worker;
    run->id = row->id;
    run->attempt = row->attempt;
    run->failures = row->failures;
    run->is_exclusive = row->is_suspect;
    run->has_rules = row->has_rules;
    run->members = row->members;
    run->envelope = (char *)(uintptr_t)row->envelope.at;
    run->life.state = GUACO__LIFE_CLAIMED;
    run->life.limit_ns = UINT64_MAX;
    int rc = guaco__envelope_read(row->envelope, &run->task);
    if (rc != GUACO_OK || fate != FATE_RUN) {
        guaco__worker_give_up(worker, run,
                              rc != GUACO_OK         ? &unreadable
                              : fate == FATE_REVOKED ? &revoked
                                                     : &back);
        guaco__run_free(run);
        return;
    }
    run->task.queue = worker->options.queue;
    worker->has_exclusive = worker->has_exclusive || run->is_exclusive;
    guaco__list_push(&worker->fresh, &run->link);
    worker->fresh_count++;
}

/* Our lease had ended: all that we hold is another's now. */
static void
lose_all(struct guaco_worker *worker)
{
    struct guaco__list *link;
    const struct guaco__life_terms terms = {
        .now_ns = guaco__clock_mono_ns(),
        .kill_grace_ms = worker->options.kill_grace_ms,
    };

    while ((link = guaco__list_shift(&worker->fresh)) != NULL)
        guaco__run_free(GUACO__OF(link, struct guaco_run, link));
    worker->stats.lost += worker->fresh_count;
    worker->fresh_count = 0;
    worker->has_exclusive = false;
    for (link = worker->running.next; link != &worker->running;
         link = link->next) {
        struct guaco_run *run = GUACO__OF(link, struct guaco_run, link);
        worker->has_exclusive |= run->is_exclusive;
        if (guaco__life_step(&run->life, GUACO__LIFE_LOST, &terms) ==
            GUACO__LIFE_INTERRUPT)
            run->is_to_interrupt = true;
    }
    worker->owner = 0;
    guaco__worker_stir(worker, 0);
}

void
guaco__worker_open_up(struct guaco_worker *worker)
{
    uint64_t now_ns = guaco__clock_mono_ns();

    worker->has_exclusive = false;
    worker->is_quiet = false;
    worker->is_woken = true;
    worker->open_until_ns = now_ns + (now_ns - worker->quiet_since_ns);
    worker->patience_ns = WORKER_QUIET_NS;
}

/* Whether to run dry for suspects that wait. */
static void
settle_suspects(struct guaco_worker *worker,
                const struct guaco__op_claim *claim)
{
    uint64_t now_ns = guaco__clock_mono_ns();
    bool is_idle = worker->running_count + worker->fresh_count == 0;

    worker->look_ns = claim->suspects ? now_ns + WORKER_LOOK_NS : UINT64_MAX;
    if (worker->has_exclusive && !claim->alone)
        return; /* open_up decides */
    if (claim->alone || !claim->suspects) {
        if (!worker->is_quiet && worker->has_exclusive)
            worker->quiet_since_ns = now_ns;
        worker->is_quiet = false;
    } else if (is_idle && claim->max > 0) {
        worker->open_until_ns = 0; /* nothing else waits: theirs at once */
        worker->is_woken = true;
    } else if (now_ns < worker->open_until_ns) {
        worker->is_quiet = false;
    } else if (!worker->is_quiet) {
        worker->is_quiet = true;
        worker->quiet_since_ns = now_ns;
    } else if (now_ns - worker->quiet_since_ns >= worker->patience_ns) {
        worker->is_quiet = false;
        worker->is_woken = true;
        worker->open_until_ns = now_ns + (now_ns - worker->quiet_since_ns);
        if (worker->patience_ns < WORKER_QUIET_MAX_NS)
            worker->patience_ns *= 2;
    }
}

static void
settle_claim(struct guaco_worker *worker, const struct guaco__op *op,
             const enum fate *fates)
{
    for (uint32_t i = 0; i < op->claim.count; i++)
        add_run(worker, &op->claim.rows[i], fates[i]);
    worker->claimed_ns = guaco__clock_mono_ns();
    settle_suspects(worker, &op->claim);
    worker->is_woken = worker->is_woken || op->claim.more ||
                       (op->claim.alone && op->claim.suspects);
    if (op->claim.count > 0)
        pthread_cond_broadcast(&worker->changed);
}

static void
cancel_run(struct guaco_worker *worker, uint64_t id)
{
    const struct guaco__life_terms terms = {
        .now_ns = guaco__clock_mono_ns(),
        .kill_grace_ms = worker->options.kill_grace_ms,
    };
    struct guaco__list *const heads[] = {&worker->fresh, &worker->running};

    for (size_t i = 0; i < 2; i++)
        for (struct guaco__list *l = heads[i]->next; l != heads[i];
             l = l->next) {
            struct guaco_run *run = GUACO__OF(l, struct guaco_run, link);
            if (run->id == id &&
                guaco__life_step(&run->life, GUACO__LIFE_CANCEL, &terms) ==
                    GUACO__LIFE_INTERRUPT)
                run->is_to_interrupt = true;
        }
}

static void
settle_canceled(struct guaco_worker *worker, struct guaco__op_owner *renewal)
{
    for (size_t i = 0; i < renewal->canceled_count; i++)
        cancel_run(worker, renewal->canceled[i]);
    if (renewal->canceled_count > 0)
        guaco__worker_stir(worker, 0);
    free(renewal->canceled);
    renewal->canceled = NULL;
}

/* Which of those claimed are revoked.  No lock is held. */
static void
ask_revoked(struct guaco_worker *worker, struct turn *turn)
{
    const struct guaco__op_claim *claim = &turn->claim->claim;
    struct guaco__op *ops = calloc(claim->count, sizeof *ops);
    int rc = ops == NULL ? GUACO_E_NOMEM : GUACO_OK;

    for (uint32_t i = 0; i < claim->count && rc == GUACO_OK; i++) {
        struct guaco_task task = {0};
        (void)guaco__envelope_read(claim->rows[i].envelope, &task);
        ops[i] = (struct guaco__op){
            .kind = GUACO__OP_REVOKE,
            .revoke = {.verb = GUACO__REVOKE_TAKE,
                       .queue = worker->options.queue,
                       .key = task.name.len > 0 ? task.name : GUACO_SLICE("?")},
        };
    }
    if (rc == GUACO_OK)
        rc = guaco__front_run(worker->broker, ops, claim->count, NULL);
    for (uint32_t i = 0; i < claim->count; i++)
        turn->fates[i] = rc != GUACO_OK || ops[i].rc != GUACO_OK ? FATE_UNKNOWN
                         : ops[i].revoke.was                     ? FATE_REVOKED
                                                                 : FATE_RUN;
    free(ops);
}

static int
settle(struct guaco_worker *worker, struct turn *turn, int rc)
{
    uint64_t now_ns = guaco__clock_mono_ns();
    int failed = settle_outcomes(worker, turn, rc);

    worker->retry_ns = failed == GUACO_OK ? 0 : now_ns + WORKER_RETRY_NS;
    if (rc != GUACO_OK)
        return rc;
    bool is_lost = false;
    if (turn->renew != NULL) {
        is_lost = turn->renew->rc == GUACO_E_LOST;
        settle_canceled(worker, &turn->renew->owner);
        worker->lease_ns =
            now_ns + (uint64_t)worker->options.lease_ms * 1000000u / 3;
    }
    if (turn->claim != NULL && turn->claim->rc == GUACO_E_LOST)
        is_lost = true;
    if (is_lost)
        lose_all(worker);
    else if (turn->claim != NULL && turn->claim->rc == GUACO_OK)
        settle_claim(worker, turn->claim, turn->fates);
    /* A claim that was on its way when the drain began: nobody will take it,
     * and a worker that is never closed would keep it. */
    if (worker->is_draining && worker->fresh_count > 0)
        guaco__worker_give_back(worker);
    return failed;
}

/* After a loss a worker comes back as another owner. */
static int
ensure_owner(struct guaco_worker *worker, struct guaco_error *err)
{
    if (worker->owner != 0)
        return GUACO_OK;
    pthread_mutex_unlock(&worker->lock);
    int rc = guaco__worker_register(worker, err);
    pthread_mutex_lock(&worker->lock);
    worker->lease_ns = guaco__clock_mono_ns() +
                       (uint64_t)worker->options.lease_ms * 1000000u / 3;
    return rc;
}

int
guaco__worker_turn(struct guaco_worker *worker, bool claim,
                   struct guaco_error *err)
{
    assert(!worker->is_turning);
    struct turn turn;
    struct guaco__row *rows = NULL;
    uint32_t max = claim ? claim_max(worker) : 0;

    worker->is_turning = true;
    if (claim) {
        rows = malloc((max + 1) * sizeof *rows);
        claim = rows != NULL;
        worker->is_woken = false;
    }
    int rc = ensure_owner(worker, err);
    if (rc == GUACO_OK) {
        plan(worker, &turn, claim, rows, max);
        if (turn.n > 0) {
            pthread_mutex_unlock(&worker->lock);
            uint64_t begun_ns = guaco__clock_mono_ns();
            rc = guaco__front_run(worker->broker, turn.ops, turn.n, err);
            uint64_t took_ns = guaco__clock_mono_ns() - begun_ns;
            if (rc == GUACO_OK && claim && turn.claim->rc == GUACO_OK &&
                turn.claim->claim.count > 0 && turn.claim->claim.revokes)
                ask_revoked(worker, &turn);
            pthread_mutex_lock(&worker->lock);
            if (claim)
                guaco__pace_claimed(&worker->pace, took_ns);
            int failed = settle(worker, &turn, rc);
            if (rc == GUACO_OK && failed != GUACO_OK)
                rc = guaco_fail(err, failed, 0, "%s", guaco_strerror(failed));
        }
    }
    free(rows);
    worker->is_turning = false;
    pthread_cond_broadcast(&worker->changed);
    return rc;
}

int
guaco__worker_look(struct guaco_worker *worker, struct guaco_error *err)
{
    int rc = guaco__worker_turn(worker, true, err);

    if (rc != GUACO_OK || worker->fresh_count > 0 || worker->is_listening ||
        worker->is_draining)
        return rc;
    /* Nothing: list as idle, and look again, lest a put came between. */
    worker->is_turning = true;
    worker->is_listening = true;
    pthread_mutex_unlock(&worker->lock);
    rc = guaco__front_listen(worker->broker, &worker->listener, err);
    pthread_mutex_lock(&worker->lock);
    worker->is_turning = false;
    if (rc != GUACO_OK) {
        worker->is_listening = false;
        return rc;
    }
    return guaco__worker_turn(worker, true, err);
}
