/* Transactions of callers; see using.h. */

#include "using.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "worker_int.h"

/* ---- the desk ---- */

struct guaco__desk {
    pthread_mutex_t lock;        /* taken before the front's */
    struct guaco_broker *broker; /* NULL: closed */
    struct guaco__list visits;
    _Atomic unsigned visit_count;
    unsigned refs;
};

struct guaco__desk *
guaco__desk_new(struct guaco_broker *broker)
{
    struct guaco__desk *desk = calloc(1, sizeof *desk);

    if (desk == NULL)
        return NULL;
    pthread_mutex_init(&desk->lock, NULL);
    desk->broker = broker;
    desk->refs = 1;
    guaco__list_init(&desk->visits);
    return desk;
}

struct guaco__desk *
guaco__desk_ref(struct guaco__desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->refs++;
    pthread_mutex_unlock(&desk->lock);
    return desk;
}

void
guaco__desk_unref(struct guaco__desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    assert(desk->refs > 0);
    bool is_last = --desk->refs == 0;
    pthread_mutex_unlock(&desk->lock);
    if (!is_last)
        return;
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

void
guaco__desk_close(struct guaco__desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->broker = NULL;
    pthread_mutex_unlock(&desk->lock);
    guaco__desk_unref(desk);
}

bool
guaco__desk_is_closed(struct guaco__desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    bool is_closed = desk->broker == NULL;
    pthread_mutex_unlock(&desk->lock);
    return is_closed;
}

void
guaco__desk_enter(struct guaco__desk *desk, struct guaco__visit *visit)
{
    assert(!visit->is_open);
    visit->is_open = true;
    visit->thread = pthread_self();
    pthread_mutex_lock(&desk->lock);
    guaco__list_push(&desk->visits, &visit->link);
    atomic_fetch_add(&desk->visit_count, 1);
    pthread_mutex_unlock(&desk->lock);
}

void
guaco__desk_leave(struct guaco__desk *desk, struct guaco__visit *visit,
                  struct guaco__touched *touched)
{
    assert(visit->is_open);
    visit->is_open = false;
    pthread_mutex_lock(&desk->lock);
    guaco__list_remove(&visit->link);
    atomic_fetch_sub(&desk->visit_count, 1);
    if (touched != NULL && desk->broker != NULL)
        guaco__front_announce(desk->broker, touched);
    pthread_mutex_unlock(&desk->lock);
}

bool
guaco__desk_is_here(struct guaco__desk *desk)
{
    bool is_here = false;

    if (atomic_load(&desk->visit_count) == 0)
        return false;
    pthread_mutex_lock(&desk->lock);
    for (struct guaco__list *l = desk->visits.next; l != &desk->visits;
         l = l->next)
        if (pthread_equal(GUACO__OF(l, struct guaco__visit, link)->thread,
                          pthread_self()))
            is_here = true;
    pthread_mutex_unlock(&desk->lock);
    return is_here;
}

/* ---- receipts ---- */

struct guaco__receipt *
guaco__receipt_new(void)
{
    struct guaco__receipt *receipt = calloc(1, sizeof *receipt);

    if (receipt != NULL) {
        receipt->refs = 1;
        receipt->state = GUACO_USING_OPEN;
    }
    return receipt;
}

void
guaco__receipt_unref(struct guaco__receipt *receipt)
{
    if (receipt != NULL && atomic_fetch_sub(&receipt->refs, 1) == 1)
        free(receipt);
}

/* ---- running ---- */

int
guaco__store_no_using(struct guaco__store *store, const struct guaco__use *use,
                      struct guaco__op *op, uint64_t deadline_ns,
                      struct guaco_error *err)
{
    (void)use;
    (void)op;
    (void)deadline_ns;
    return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                      "%s: no connection of yours leads to this store; it "
                      "cannot take part in your transaction",
                      store->scheme);
}

/* As guaco__front_run_one, through a connection. */
static int
run_using(struct guaco_broker *broker, const struct guaco__use *use,
          struct guaco__op *op, struct guaco_error *err)
{
    struct guaco__store *store = broker->store;
    uint64_t deadline_ns =
        guaco__clock_mono_ns() + (uint64_t)store->wait_ms * 1000000u;
    int rc = guaco__front_allows(broker, op->kind, err);

    return rc != GUACO_OK
               ? rc
               : store->ops->run_using(store, use, op, deadline_ns, err);
}

int
guaco__front_run_by(struct guaco_broker *broker, const struct guaco_using *how,
                    struct guaco__op *op, struct guaco_error *err)
{
    const struct guaco__use use = {.how = how, .desk = broker->desk};

    return how == NULL ? guaco__front_run_one(broker, op, err)
                       : run_using(broker, &use, op, err);
}

int
guaco_using_put(struct guaco_broker *broker, const struct guaco_using *use,
                const struct guaco_task *tasks, size_t n, uint64_t *ids,
                struct guaco_error *err)
{
    return guaco__broker_put(broker, use, tasks, n, ids, err);
}

int
guaco_using_reserve(struct guaco_broker *broker, const struct guaco_using *use,
                    uint32_t n, uint64_t *first, struct guaco_error *err)
{
    return guaco__broker_reserve(broker, use, n, first, err);
}

/* ---- a task's own end ---- */

static int
check_done(struct guaco_run *run, const struct guaco_outcome *outcome,
           struct guaco__verdict *verdict, uint64_t *owner,
           struct guaco_error *err)
{
    struct guaco_worker *worker = run->worker;
    int rc = guaco__outcome_check(outcome, err);

    if (rc != GUACO_OK)
        return rc;
    if (outcome->kind != GUACO_OUTCOME_DONE)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "only that a run is done can be said so");
    if (guaco_using_state(run) == GUACO_USING_OPEN ||
        guaco_using_state(run) == GUACO_USING_COMMITTED)
        return guaco_fail(err, GUACO_E_EXISTS, 0,
                          "this run has been completed before");
    pthread_mutex_lock(&worker->lock);
    *owner = worker->owner;
    bool is_lost = run->life.is_lost || run->life.is_given_up;
    *verdict = guaco__worker_judge(worker, run, outcome,
                                   worker->options.result_bytes_max);
    pthread_mutex_unlock(&worker->lock);
    if (is_lost)
        return guaco_fail(err, GUACO_E_LOST, 0,
                          "this run is no longer ours: its lease had ended, or "
                          "it was given up");
    if (verdict->state != GUACO_TASK_DONE)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "%s",
                          verdict->reason == NULL ? "it cannot be done"
                                                  : verdict->reason);
    return GUACO_OK;
}

int
guaco_using_finish(struct guaco_run *run, const struct guaco_using *use,
                   const struct guaco_outcome *outcome, struct guaco_error *err)
{
    struct guaco_broker *broker = run->worker->broker;
    struct guaco__verdict verdict;
    struct guaco__outcome *record;
    uint64_t owner = 0;
    int rc = check_done(run, outcome, &verdict, &owner, err);

    if (rc == GUACO_OK)
        rc = guaco__outcome_of(run, outcome, &verdict, &record, err);
    if (rc != GUACO_OK)
        return rc;
    record->op.finish.owner = owner;
    struct guaco__receipt *receipt = guaco__receipt_new();
    const struct guaco__use with = {use, broker->desk, receipt};
    rc = receipt == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "a receipt")
                         : run_using(broker, &with, &record->op, err);
    guaco__outcome_free(record);
    if (rc != GUACO_OK) {
        guaco__receipt_unref(receipt);
        return rc == GUACO_E_LOST
                   ? guaco_fail(err, rc, 0,
                                "this run is no longer ours: another attempt "
                                "has taken its place; roll back")
                   : rc;
    }
    guaco__receipt_unref(run->receipt);
    run->receipt = receipt;
    return GUACO_OK;
}

enum guaco_using_state
guaco_using_state(const struct guaco_run *run)
{
    return run->receipt == NULL
               ? GUACO_USING_NONE
               : (enum guaco_using_state)atomic_load(&run->receipt->state);
}
