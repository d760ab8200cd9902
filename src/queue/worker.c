/* The worker's face: opening, handing out, taking back. */

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "envelope.h"
#include "os/clock.h"
#include "using.h"
#include "worker_int.h"

#define SLOTS_MAX    4096u
#define PREFETCH_MAX 256u
#define FOLLOW_MAX   1000u

/* ---- life ---- */

static uint32_t
wake(struct guaco__listener *listener, const struct guaco__notice *notice)
{
    struct guaco_worker *worker =
        GUACO__OF(listener, struct guaco_worker, listener);

    (void)notice;
    pthread_mutex_lock(&worker->lock);
    worker->is_woken = true;
    worker->is_listening = false; /* used up */
    pthread_cond_signal(&worker->changed);
    if (worker->options.calls.on_ready != NULL)
        guaco__worker_stir(worker, 0);
    uint32_t taken = guaco__worker_free_slots(worker);
    pthread_mutex_unlock(&worker->lock);
    return taken;
}

static uint32_t
wake_canceled(struct guaco__listener *listener,
              const struct guaco__notice *notice)
{
    struct guaco_worker *worker =
        GUACO__OF(listener, struct guaco_worker, cancels);

    (void)notice;
    pthread_mutex_lock(&worker->lock);
    worker->is_told = true;
    guaco__worker_stir(worker, 0);
    pthread_mutex_unlock(&worker->lock);
    return 0;
}

static int
check_options(const struct guaco_worker_options *options,
              struct guaco_error *err)
{
    int rc = guaco__queue_check(options->queue, err);

    if (rc == GUACO_OK && (options->slots < 1 || options->slots > SLOTS_MAX))
        rc = guaco_fail(err, GUACO_E_INVALID, 0, "%u slots, not 1 to %u",
                        options->slots, SLOTS_MAX);
    if (rc == GUACO_OK && options->prefetch > PREFETCH_MAX)
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "%u tasks claimed ahead, most %u", options->prefetch,
                        PREFETCH_MAX);
    if (rc == GUACO_OK && options->result_bytes_max > GUACO_RESULT_BODY_MAX)
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "result_bytes_max of %u, most %u",
                        options->result_bytes_max, GUACO_RESULT_BODY_MAX);
    if (rc == GUACO_OK && options->lease_ms != 0 && options->lease_ms < 1000)
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "lease_ms of %u, at least 1000", options->lease_ms);
    return rc;
}

static void
set_options(struct guaco_worker *worker,
            const struct guaco_worker_options *options)
{
    struct guaco_worker_options *own = &worker->options;

    *own = *options;
    memcpy(worker->queue_name, options->queue.at, options->queue.len);
    own->queue.at = worker->queue_name;
    if (own->lease_ms == 0)
        own->lease_ms = 15000;
    if (own->kill_grace_ms == 0)
        own->kill_grace_ms = 5000;
    if (own->result_bytes_max == 0)
        own->result_bytes_max = GUACO_RESULT_BODY_MAX;
    worker->listener.topic.kind = GUACO__NOTICE_TASKS;
    memcpy(worker->listener.topic.queue, worker->queue_name,
           sizeof worker->queue_name);
    worker->listener.wake = wake;
    worker->cancels.topic.kind = GUACO__NOTICE_TASK;
    worker->cancels.wake = wake_canceled;
    guaco__list_init(&worker->cancels.link);
    guaco__list_init(&worker->listener.link);
    guaco__list_init(&worker->fresh);
    guaco__list_init(&worker->running);
    guaco__list_init(&worker->outcomes);
    worker->flush_ns = UINT64_MAX;
    worker->look_ns = UINT64_MAX;
    worker->patience_ns = WORKER_QUIET_NS;
    guaco__pace_init(&worker->pace);
    worker->lease_ns =
        guaco__clock_mono_ns() + (uint64_t)own->lease_ms * 1000000u / 3;
}

static int
start_thread(struct guaco_worker *worker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&worker->thread, NULL, guaco__worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void
leave(struct guaco_worker *worker)
{
    if (worker->cancels.topic.id != 0)
        guaco__front_unlisten(worker->broker, &worker->cancels);
    guaco__front_disown(worker->broker, worker->owner);
}

static void
free_contents(struct guaco_worker *worker)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&worker->fresh)) != NULL)
        guaco__run_free(GUACO__OF(link, struct guaco_run, link));
    while ((link = guaco__list_shift(&worker->running)) != NULL)
        guaco__run_free(GUACO__OF(link, struct guaco_run, link));
    while ((link = guaco__list_shift(&worker->outcomes)) != NULL)
        guaco__outcome_free(GUACO__OF(link, struct guaco__outcome, link));
    pthread_cond_destroy(&worker->changed);
    pthread_cond_destroy(&worker->stirred);
    pthread_mutex_destroy(&worker->lock);
}

int
guaco_worker_open(struct guaco_worker **out, struct guaco_broker *broker,
                  const struct guaco_worker_options *options,
                  struct guaco_error *err)
{
    *out = NULL;
    int rc = check_options(options, err);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a worker");

    worker->broker = broker;
    set_options(worker, options);
    guaco__rand_init(&worker->rand, guaco__clock_mono_ns());
    pthread_mutex_init(&worker->lock, NULL);
    guaco__cond_init(&worker->changed);
    guaco__cond_init(&worker->stirred);
    rc = guaco__worker_register(worker, err);
    if (rc == GUACO_OK) {
        int sys = start_thread(worker);
        if (sys != 0)
            rc = guaco_fail(err, GUACO_E_IO, sys, "the worker's thread");
    }
    if (rc != GUACO_OK) {
        leave(worker);
        free_contents(worker);
        free(worker);
        return rc;
    }
    *out = worker;
    return GUACO_OK;
}

void
guaco__worker_give_back(struct guaco_worker *worker)
{
    const struct guaco__verdict back = {0};
    struct guaco__list *link;

    while ((link = guaco__list_shift(&worker->fresh)) != NULL) {
        struct guaco_run *run = GUACO__OF(link, struct guaco_run, link);
        guaco__worker_give_up(worker, run, &back);
        guaco__run_free(run);
        worker->fresh_count--;
    }
    guaco__worker_stir(worker, 0);
}

uint32_t
guaco__worker_ahead(const struct guaco_worker *worker)
{
    uint32_t taken = worker->running_count + worker->fresh_count;
    uint32_t over =
        taken > worker->options.slots ? taken - worker->options.slots : 0;

    return over < worker->fresh_count ? over : worker->fresh_count;
}

uint64_t
guaco__worker_return_ns(const struct guaco_worker *worker)
{
    if (guaco__worker_ahead(worker) == 0)
        return UINT64_MAX;
    return worker->claimed_ns + guaco__pace_hold_ns(&worker->pace);
}

void
guaco__worker_return_ahead(struct guaco_worker *worker)
{
    const struct guaco__verdict back = {0};

    for (uint32_t n = guaco__worker_ahead(worker); n > 0; n--) {
        struct guaco_run *run =
            GUACO__OF(worker->fresh.prev, struct guaco_run, link);
        guaco__list_remove(&run->link);
        guaco__worker_give_up(worker, run, &back);
        guaco__run_free(run);
        worker->fresh_count--;
    }
    guaco__pace_stalled(&worker->pace);
    worker->flush_ns = 0;
}

void
guaco_worker_drain(struct guaco_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->is_draining = true;
    guaco__worker_give_back(worker);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

int
guaco_worker_join(struct guaco_worker *worker, int64_t timeout_ms)
{
    uint64_t end_ns = guaco__end_ns(timeout_ms);
    bool in_time = true;

    pthread_mutex_lock(&worker->lock);
    while (worker->running_count + worker->outcome_count > 0 && in_time)
        in_time = guaco__cond_wait(&worker->changed, &worker->lock, end_ns);
    bool is_empty = worker->running_count + worker->outcome_count == 0;
    pthread_mutex_unlock(&worker->lock);
    return is_empty ? GUACO_OK : GUACO_E_TIMEOUT;
}

void
guaco_worker_close(struct guaco_worker *worker)
{
    if (worker == NULL)
        return;
    guaco_worker_drain(worker);
    pthread_mutex_lock(&worker->lock);
    worker->is_stopping = true;
    pthread_cond_signal(&worker->stirred);
    pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    guaco__front_unlisten(worker->broker, &worker->listener);

    pthread_mutex_lock(&worker->lock);
    int rc = GUACO_OK;
    while (rc == GUACO_OK && !guaco__list_is_empty(&worker->outcomes))
        rc = guaco__worker_turn(worker, false, NULL);
    pthread_mutex_unlock(&worker->lock);
    leave(worker);
    free_contents(worker);
    free(worker);
}

void
guaco_worker_stats(struct guaco_worker *worker,
                   struct guaco_worker_stats *stats)
{
    pthread_mutex_lock(&worker->lock);
    *stats = worker->stats;
    stats->running = worker->running_count;
    stats->prefetched = worker->fresh_count;
    pthread_mutex_unlock(&worker->lock);
}

/* ---- handing out ---- */

/* The first that nobody runs yet; of the task `like`, if it is not NULL. */
static struct guaco_run *
take_fresh(struct guaco_worker *worker, const struct guaco_slice *like)
{
    struct guaco__list *head = &worker->fresh;

    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct guaco_run *run = GUACO__OF(l, struct guaco_run, link);
        if (like != NULL && !guaco_slice_equals(run->task.name, *like))
            continue;
        guaco__list_remove(l);
        return run;
    }
    return NULL;
}

static struct guaco_run *
hand_out(struct guaco_worker *worker, const struct guaco_slice *like)
{
    const struct guaco__verdict expired = {
        .ends = true, .state = GUACO_TASK_EXPIRED, .keep = true};
    const struct guaco__verdict back = {0}; /* the store ends it */
    struct guaco_run *run;

    while (worker->running_count < worker->options.slots &&
           (run = take_fresh(worker, like)) != NULL) {
        const struct guaco__life_terms terms = {
            .task = &run->task,
            .wall_ms = run->task.expires_ms == 0
                           ? 0
                           : guaco_broker_now_ms(worker->broker),
            .now_ns = guaco__clock_mono_ns(),
        };
        worker->fresh_count--;
        enum guaco__life_action action =
            guaco__life_step(&run->life, GUACO__LIFE_HAND_OUT, &terms);
        if (action != GUACO__LIFE_RUN) {
            guaco__worker_give_up(
                worker, run, action == GUACO__LIFE_EXPIRE ? &expired : &back);
            worker->has_exclusive = worker->has_exclusive && !run->is_exclusive;
            guaco__run_free(run);
            continue;
        }
        guaco__list_push(&worker->running, &run->link);
        worker->running_count++;
        run->begun_ns = terms.now_ns;
        /* Our thread has deadlines to keep from now on. */
        uint64_t by_ns = run->life.limit_ns < worker->lease_ns
                             ? run->life.limit_ns
                             : worker->lease_ns;
        uint64_t return_ns = guaco__worker_return_ns(worker);
        guaco__worker_stir(worker, by_ns < return_ns ? by_ns : return_ns);
        return run;
    }
    return NULL;
}

/* Whether a thread in next should make a turn: it can claim, and has not
 * learnt that there is nothing. */
static bool
should_look(const struct guaco_worker *worker)
{
    return worker->options.calls.on_ready == NULL && !worker->is_turning &&
           guaco__worker_free_slots(worker) > 0 &&
           (worker->is_woken || !worker->is_listening ||
            !guaco__list_is_empty(&worker->outcomes));
}

int
guaco_worker_next(struct guaco_worker *worker, int64_t timeout_ms,
                  struct guaco_run **run, struct guaco_error *err)
{
    uint64_t end_ns = guaco__end_ns(timeout_ms);
    int rc = GUACO_OK;

    *run = NULL;
    pthread_mutex_lock(&worker->lock);
    while (rc == GUACO_OK) {
        if (worker->is_draining) {
            rc = GUACO_E_CLOSED;
            break;
        }
        *run = hand_out(worker, NULL);
        if (*run != NULL)
            break;
        if (should_look(worker))
            rc = guaco__worker_look(worker, err);
        else if (!guaco__cond_wait(&worker->changed, &worker->lock, end_ns))
            rc = GUACO_E_AGAIN;
    }
    pthread_mutex_unlock(&worker->lock);
    return rc;
}

int
guaco_worker_next_batch(struct guaco_worker *worker, int64_t timeout_ms,
                        size_t max, struct guaco_run **runs, size_t *n,
                        struct guaco_error *err)
{
    *n = 0;
    if (max < 1)
        return guaco_fail(err, GUACO_E_INVALID, 0, "a batch of none");
    int rc = guaco_worker_next(worker, timeout_ms, &runs[0], err);
    if (rc != GUACO_OK)
        return rc;

    const struct guaco_slice like = runs[0]->task.name;
    *n = 1;
    pthread_mutex_lock(&worker->lock);
    while (*n < max && (runs[*n] = hand_out(worker, &like)) != NULL)
        (*n)++;
    pthread_mutex_unlock(&worker->lock);
    return GUACO_OK;
}

/* ---- a run ---- */

const struct guaco_task *
guaco_run_task(const struct guaco_run *run)
{
    return &run->task;
}

uint64_t
guaco_run_id(const struct guaco_run *run)
{
    return run->id;
}

uint32_t
guaco_run_attempt(const struct guaco_run *run)
{
    return run->attempt;
}

uint32_t
guaco_run_failures(const struct guaco_run *run)
{
    return run->failures;
}

uint32_t
guaco_run_retries_left(const struct guaco_run *run)
{
    return run->failures < run->task.retries ? run->task.retries - run->failures
                                             : 0;
}

static bool
is_interrupted(const struct guaco_run *run)
{
    return run->life.state == GUACO__LIFE_INTERRUPTED ||
           run->life.state == GUACO__LIFE_STUCK;
}

bool
guaco_run_interrupted(const struct guaco_run *run)
{
    struct guaco_worker *worker = run->worker;

    pthread_mutex_lock(&worker->lock);
    bool yes = is_interrupted(run);
    pthread_mutex_unlock(&worker->lock);
    return yes;
}

int
guaco__run_why(const struct guaco_run *run)
{
    return run->life.is_lost       ? GUACO_E_LOST
           : run->life.is_canceled ? GUACO_E_STATE
                                   : GUACO_E_TIMEOUT;
}

int
guaco_run_why(const struct guaco_run *run)
{
    struct guaco_worker *worker = run->worker;

    pthread_mutex_lock(&worker->lock);
    int why = is_interrupted(run) ? guaco__run_why(run) : 0;
    pthread_mutex_unlock(&worker->lock);
    return why;
}

uint32_t
guaco_run_members(const struct guaco_run *run)
{
    return run->members;
}

int64_t
guaco_run_remaining_ms(const struct guaco_run *run)
{
    uint64_t limit_ns = run->life.limit_ns; /* set before it was handed out */
    uint64_t now_ns = guaco__clock_mono_ns();

    if (limit_ns == UINT64_MAX)
        return INT64_MAX;
    return limit_ns > now_ns ? (int64_t)((limit_ns - now_ns) / 1000000u) : 0;
}

void
guaco_run_set_data(struct guaco_run *run, void *data)
{
    run->data = data;
}

void *
guaco_run_data(const struct guaco_run *run)
{
    return run->data;
}

int
guaco_run_event(struct guaco_run *run, struct guaco_slice body,
                struct guaco_error *err)
{
    struct guaco_worker *worker = run->worker;

    if (body.len > GUACO_EVENT_BODY_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "event of %zu bytes, most %u", body.len,
                          GUACO_EVENT_BODY_MAX);
    struct guaco__outcome *outcome = guaco__outcome_new(body.len);
    if (outcome == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "an event");
    if (body.len > 0)
        memcpy(outcome->bytes, body.at, body.len);

    int rc = GUACO_OK;
    pthread_mutex_lock(&worker->lock);
    outcome->op.kind = GUACO__OP_EVENT;
    outcome->op.event = (struct guaco__op_event){
        .owner = worker->owner,
        .id = run->id,
        .attempt = run->attempt,
        .body = {outcome->bytes, body.len},
    };
    if (worker->event_count < WORKER_EVENTS) {
        guaco__worker_add(worker, outcome);
        guaco__worker_stir(worker, worker->flush_ns);
    } else {
        rc = guaco_fail(err, GUACO_E_LIMIT, 0, "%u events wait to be stored",
                        worker->event_count);
        guaco__outcome_free(outcome);
    }
    pthread_mutex_unlock(&worker->lock);
    return rc;
}

/* ---- taking back ---- */

int
guaco__outcome_check(const struct guaco_outcome *outcome,
                     struct guaco_error *err)
{
    if (outcome->kind < GUACO_OUTCOME_DONE ||
        outcome->kind > GUACO_OUTCOME_RELEASED)
        return guaco_fail(err, GUACO_E_INVALID, 0, "outcome of kind %d",
                          (int)outcome->kind);
    if (outcome->follow_count > FOLLOW_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%zu follow-ups, most %u",
                          outcome->follow_count, FOLLOW_MAX);
    if (outcome->pass_on && outcome->follow_count == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "pass_on without a follow-up");
    return GUACO_OK;
}

static void
fill_finish(struct guaco__op *op, const struct guaco_run *run,
            const struct guaco__verdict *verdict, struct guaco__outcome *record)
{
    op->kind = GUACO__OP_FINISH;
    op->finish = (struct guaco__op_finish){
        .id = run->id,
        .attempt = run->attempt,
        .state = verdict->state,
        .keep = verdict->keep,
        .has_rules = run->has_rules,
        .ttl_s = run->task.result_ttl_s == 0 ? GUACO__RESULT_TTL_S
                                             : run->task.result_ttl_s,
    };
    if (verdict->reason != NULL)
        op->finish.reason =
            (struct guaco_slice){verdict->reason, strlen(verdict->reason)};
    if (record->has_puts) {
        op->finish.follow = record->puts.items;
        op->finish.follow_count = record->puts.n;
    }
}

/* The first follow-up may have to join something, so it has rules. */
static void
pass_on(struct guaco__outcome *record, const struct guaco_outcome *outcome,
        const struct guaco__verdict *verdict)
{
    static const struct guaco_rules none;
    struct guaco__put *first = &record->puts.items[0];

    record->passes_on = outcome->pass_on && verdict->state == GUACO_TASK_DONE;
    if (record->passes_on && first->rules == NULL)
        first->rules = &none;
}

int
guaco__outcome_of(const struct guaco_run *run,
                  const struct guaco_outcome *outcome,
                  const struct guaco__verdict *verdict,
                  struct guaco__outcome **out, struct guaco_error *err)
{
    size_t bytes = verdict->ends && verdict->keep_body ? outcome->body.len : 0;
    struct guaco__outcome *record = guaco__outcome_new(bytes);

    if (record == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "an outcome");
    if (verdict->ends && outcome->follow_count > 0) {
        int rc = guaco__puts_init(&record->puts, outcome->follow,
                                  outcome->follow_count, true, err);
        if (rc != GUACO_OK) {
            guaco__outcome_free(record);
            return rc;
        }
        record->has_puts = true;
        rc = guaco__front_allows_puts(run->worker->broker, &record->puts, err);
        if (rc != GUACO_OK) {
            guaco__outcome_free(record);
            return rc;
        }
        pass_on(record, outcome, verdict);
    }
    if (verdict->ends) {
        fill_finish(&record->op, run, verdict, record);
        if (bytes > 0)
            memcpy(record->bytes, outcome->body.at, bytes);
        record->op.finish.body = (struct guaco_slice){record->bytes, bytes};
        record->op.finish.pass_on = record->passes_on;
    } else {
        record->op.kind = GUACO__OP_RELEASE;
        record->op.release =
            (struct guaco__op_release){.id = run->id,
                                       .attempt = run->attempt,
                                       .delay_ms = verdict->delay_ms,
                                       .failed = verdict->failed};
    }
    *out = record;
    return GUACO_OK;
}

/* Store it, or drop it if the run was lost. The lock is held. */
static void
keep_record(struct guaco_worker *worker, struct guaco_run *run,
            struct guaco__outcome *record)
{
    if (guaco__life_step(&run->life, GUACO__LIFE_FINISH, NULL) ==
        GUACO__LIFE_DISCARD) {
        worker->stats.lost += run->life.is_lost;
        guaco__outcome_free(record);
        return;
    }
    if (record->op.kind == GUACO__OP_FINISH)
        record->op.finish.owner = worker->owner;
    else
        record->op.release.owner = worker->owner;
    guaco__worker_add(worker, record);
    /* With nothing at hand the next call of next makes a turn anyway. */
    uint32_t most = worker->fresh_count > 0 ? WORKER_FLUSH_AT : WORKER_TURN_OPS;
    if (worker->outcome_count >= most && !worker->is_turning)
        (void)guaco__worker_turn(worker, false, NULL);
    else if (worker->options.calls.on_ready != NULL && worker->fresh_count == 0)
        guaco__worker_stir(worker, 0);
    else
        guaco__worker_stir(worker, worker->flush_ns);
}

int
guaco_run_finish(struct guaco_run *run, const struct guaco_outcome *outcome,
                 enum guaco_run_end *end, struct guaco_error *err)
{
    struct guaco_worker *worker = run->worker;
    struct guaco__outcome *record = NULL;
    int rc = guaco__outcome_check(outcome, err);

    if (rc != GUACO_OK)
        return rc;
    pthread_mutex_lock(&worker->lock);
    struct guaco__verdict verdict = guaco__worker_judge(
        worker, run, outcome, worker->options.result_bytes_max);
    pthread_mutex_unlock(&worker->lock);
    rc = guaco__outcome_of(run, outcome, &verdict, &record, err);
    if (rc != GUACO_OK)
        return rc;
    record->is_check = guaco_using_state(run) == GUACO_USING_COMMITTED;
    if (end != NULL)
        *end = verdict.ends ? GUACO_RUN_ENDED : GUACO_RUN_RETRIED;

    pthread_mutex_lock(&worker->lock);
    while (run->is_in_call)
        pthread_cond_wait(&worker->changed, &worker->lock);
    guaco__list_remove(&run->link);
    worker->running_count--;
    guaco__pace_ended(&worker->pace, run->begun_ns, guaco__clock_mono_ns());
    if (run->is_exclusive)
        guaco__worker_open_up(worker);
    keep_record(worker, run, record);
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    guaco__run_free(run);
    return GUACO_OK;
}
