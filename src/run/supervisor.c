/*
 * The tree and its slots: the contract and the states are in run/supervisor.h.
 */

#include "run/supervisor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "os/clock.h"
#include "supervisor_int.h"

#define YOUNG_NS     5000000000u /* a worker that dies before is a young one */
#define PAUSE_MS     100u        /* before the second restart in a row */
#define PAUSE_MAX_MS 10000u
#define REST_MS      5000u /* of renewals, after one has failed */

bool
guaco__target_is_guest(const char *target)
{
    size_t len = strlen(target);

    /* "./tasks.so:sqlite:///x": what follows the first colon is the guest's */
    return strstr(target, ".so:") != NULL ||
           (len > 3 && memcmp(target + len - 3, ".so", 3) == 0);
}

/* ---- the whole tree ---- */

void
guaco__tree_count(struct tree *tree, enum renewal why)
{
    if (tree->meters.restarts != NULL)
        atomic_fetch_add(&tree->meters.restarts[why], 1);
}

static size_t
count_workers(const struct tree *tree, bool keepers)
{
    const struct worker *w;
    size_t n = 0;

    EACH_WORKER(tree, w)
    n += (w->slot->role == ROLE_KEEPER) == keepers;
    return n;
}

/* Keepers go last: they give back what the workers leave behind. */
static void
stop_more(struct tree *tree)
{
    struct worker *w;

    assert(tree->state == TREE_STOPPING);
    if (count_workers(tree, false) > 0)
        return;
    if (count_workers(tree, true) == 0) {
        guaco__loop_stop(tree->loop);
        return;
    }
    EACH_WORKER(tree, w)
    guaco__worker_drain(w);
}

void
guaco__tree_stop(struct tree *tree, int exit_code)
{
    struct slot *slot;
    struct worker *w;

    if (tree->state == TREE_STOPPING)
        return;
    tree->state = TREE_STOPPING;
    tree->exit_code = exit_code;
    guaco__notify_stopping(&tree->notify);
    guaco__upgrade_stop(tree);
    guaco__timer_stop(&tree->renewals);
    EACH_SLOT(tree, slot)
    guaco__timer_stop(&slot->again);
    EACH_WORKER(tree, w)
    if (w->slot->role != ROLE_KEEPER)
        guaco__worker_drain(w);
    stop_more(tree);
}

/* All slots have come up: say once where the tree listens. */
static void
check_started(struct tree *tree)
{
    const struct slot *slot;

    if (tree->state != TREE_STARTING)
        return;
    EACH_SLOT(tree, slot)
    if (slot->role != ROLE_KEEPER && !slot->is_parked &&
        (slot->now == NULL || slot->now->state != WORKER_READY))
        return;
    tree->state = TREE_RUNNING;
    if (!guaco__upgrade_say_ready(tree))
        guaco__notify_ready(&tree->notify);
    for (size_t i = 0; i < tree->binds.count; i++)
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "listening on %s",
                   tree->binds.items[i].url);
    if (tree->binds.count == 0 && tree->setup->options->command != GUACO__QUEUE)
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "workers ready");
}

/* ---- slots ---- */

static uint64_t
pause_ms(const struct slot *slot)
{
    uint64_t ms = PAUSE_MS;

    if (slot->young_deaths < 2)
        return 0; /* the first time at once */
    for (unsigned i = 2; i < slot->young_deaths && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

/* The slot of --preload is the first, where there is one. */
static struct slot *
preload_slot(const struct tree *tree)
{
    struct slot *first = guaco__list_is_empty(&tree->slots)
                             ? NULL
                             : GUACO__OF(tree->slots.next, struct slot, link);

    return first != NULL && first->role == ROLE_PRELOAD ? first : NULL;
}

struct worker *
guaco__tree_preload(const struct tree *tree)
{
    const struct slot *slot = preload_slot(tree);

    return slot == NULL || slot->now == NULL || slot->now->state != WORKER_READY
               ? NULL
               : slot->now;
}

/* Start what is empty; web workers are forked once there is something to fork
 * them from. */
static void
start_empty(struct tree *tree)
{
    bool must_wait =
        preload_slot(tree) != NULL && guaco__tree_preload(tree) == NULL;
    struct slot *slot;

    EACH_SLOT(tree, slot)
    if (tree->state == TREE_STARTING && slot->now == NULL && !slot->is_parked &&
        (slot->role != ROLE_WEB || !must_wait))
        guaco__slot_start(slot);
}

void
guaco__slot_start(struct slot *slot)
{
    struct guaco_error err;

    assert(slot->now == NULL);
    guaco__timer_stop(&slot->again);
    slot->is_parked = false;
    slot->wants_renewal = false;
    if (guaco__worker_start(slot, &slot->now, &err) == GUACO_OK)
        return;
    guaco__log(slot->tree->log, GUACO_LOG_ERROR, "supervisor", "%s", err.text);
    if (slot->tree->state == TREE_STARTING) {
        guaco__tree_stop(slot->tree, GUACO__EXIT_START);
        return;
    }
    slot->young_deaths += slot->young_deaths < 100;
    guaco__timer_start_ms(&slot->again, PAUSE_MS + pause_ms(slot));
}

/* Whether a successor is to be started in the slot: of a reload, or because its
 * worker has served its time. */
static bool
wants_next(const struct slot *slot)
{
    const struct tree *tree = slot->tree;

    if (slot->role == ROLE_KEEPER || slot->is_parked)
        return false;
    if (tree->is_reloading && slot->tried != tree->generation)
        return true;
    return slot->wants_renewal && slot->now != NULL &&
           slot->now->state == WORKER_READY &&
           !guaco__timer_is_armed(&tree->renewals);
}

static void
end_reload(struct tree *tree, const char *why)
{
    tree->is_reloading = false;
    if (tree->state == TREE_RUNNING)
        guaco__notify_ready(&tree->notify);
    if (why == NULL)
        guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "reloaded");
    else
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "reload stopped%s; the workers before it go on", why);
}

/* A successor could not be started, or ended before it was ready. */
static void
next_failed(struct slot *slot, const char *why)
{
    struct tree *tree = slot->tree;

    if (tree->is_reloading) {
        end_reload(tree, why);
        return;
    }
    guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
               "a successor failed%s; the worker before it goes on", why);
    guaco__timer_start_ms(&tree->renewals, REST_MS);
}

/* Whether a predecessor that was told to drain has not yet said that it does. */
static bool
old_ones_take_work(const struct tree *tree)
{
    const struct worker *w;

    EACH_WORKER(tree, w)
    if ((w->slot->role == ROLE_WEB || w->slot->role == ROLE_TASKS) &&
        w->state == WORKER_DRAINING && !w->has_stopped &&
        w->generation != tree->generation)
        return true;
    return false;
}

/* Start the successor in the next slot that wants one; one at a time, so that a
 * broken version costs one worker, not all. */
void
guaco__tree_replace(struct tree *tree)
{
    struct slot *slot;
    struct guaco_error err;
    char why[sizeof err.text + 2];

    if (tree->state == TREE_STOPPING)
        return;
    EACH_SLOT(tree, slot)
    if (slot->next != NULL)
        return; /* it goes on when this one is ready */
    EACH_SLOT(tree, slot)
    {
        if (!wants_next(slot))
            continue;
        if (slot->now == NULL) {
            guaco__slot_start(slot);
        } else if (guaco__worker_start(slot, &slot->next, &err) != GUACO_OK) {
            snprintf(why, sizeof why, ": %s", err.text);
            next_failed(slot, why);
        }
        return;
    }
    if (tree->is_reloading && !old_ones_take_work(tree))
        end_reload(tree, NULL);
}

void
guaco__tree_reload(struct tree *tree)
{
    if (tree->state == TREE_STOPPING)
        return;
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "reloading");
    if (!guaco__tree_renew_environment(tree)) {
        end_reload(tree, "");
        return;
    }
    guaco__notify_reloading(&tree->notify);
    tree->generation++;
    tree->is_reloading = true;
    guaco__tree_replace(tree);
}

void
guaco__slot_renew(struct slot *slot, enum renewal why)
{
    static const char *const reasons[RENEWALS] = {
        [RENEWAL_REQUESTS] = "served its number of requests",
        [RENEWAL_RSS] = "has grown over --worker-max-rss",
        [RENEWAL_LIFETIME] = "is as old as --worker-lifetime",
    };
    char name[64];
    const char *reason = why == RENEWAL_REQUESTS && slot->role == ROLE_TASKS
                             ? "has run its number of tasks"
                             : reasons[why];

    assert(reason != NULL);
    if (slot->now == NULL || slot->wants_renewal)
        return;
    guaco__worker_name(slot->now, name);
    guaco__log(slot->tree->log, GUACO_LOG_INFO, "supervisor",
               "%s %s; it is replaced", name, reason);
    slot->wants_renewal = true;
    slot->renewal = why;
    guaco__tree_replace(slot->tree);
}

void
guaco__slot_park(struct slot *slot)
{
    assert(slot->role != ROLE_KEEPER);
    slot->is_parked = true;
    slot->wants_renewal = false;
    guaco__timer_stop(&slot->again);
    /* Both end outside of the slot, which may be started again meanwhile. */
    struct worker *leaving[] = {slot->next, slot->now};
    slot->next = NULL;
    slot->now = NULL;
    for (size_t i = 0; i < 2; i++)
        if (leaving[i] != NULL)
            guaco__worker_drain(leaving[i]);
    guaco__tree_replace(slot->tree);
}

/* The worker is ready: the slot's first, or a successor. */
static void
slot_ready(struct slot *slot, struct worker *worker)
{
    struct tree *tree = slot->tree;
    char name[64];

    guaco__worker_name(worker, name);
    guaco__log(tree->log, GUACO_LOG_DEBUG, "supervisor", "%s is ready", name);
    assert(worker->state == WORKER_READY);
    if (worker == slot->next) {
        struct worker *before = slot->now;
        guaco__tree_count(tree,
                          slot->wants_renewal ? slot->renewal : RENEWAL_RELOAD);
        slot->now = worker;
        slot->next = NULL;
        slot->wants_renewal = false;
        if (before != NULL)
            guaco__worker_drain(before);
    }
    if (slot->role == ROLE_PRELOAD)
        start_empty(tree);
    check_started(tree);
    guaco__tree_replace(tree);
}

/* Say how a worker ended that was not asked to. */
static void
log_death(const struct worker *worker, const struct guaco__process_end *end)
{
    char name[64];
    char how[64];

    guaco__worker_name(worker, name);
    guaco__process_describe(end, how, sizeof how);
    guaco__log(worker->tree->log, GUACO_LOG_ERROR, "supervisor",
               "%s ended unexpectedly: %s", name, how);
}

/* The worker in the slot has ended, and nobody asked it to. */
static void
slot_died(struct slot *slot, struct worker *worker,
          const struct guaco__process_end *end)
{
    struct tree *tree = slot->tree;
    uint64_t age_ns = guaco__clock_mono_ns() - worker->start_ns;

    assert(slot->now == NULL);
    assert(tree->state != TREE_STOPPING);
    if (!worker->has_told)
        log_death(worker, end);
    if (tree->state == TREE_STARTING && slot->role != ROLE_KEEPER) {
        if (tree->reload != NULL) {
            guaco__log(tree->log, GUACO_LOG_INFO, "supervisor",
                       "waiting for a change of a file");
            return; /* the next reload starts it */
        }
        bool is_usage = end->exited && end->code == GUACO__EXIT_USAGE;
        guaco__tree_stop(tree,
                         is_usage ? GUACO__EXIT_USAGE : GUACO__EXIT_START);
        return;
    }
    guaco__tree_count(tree, worker->state == WORKER_ABORTED ? RENEWAL_STUCK
                                                            : RENEWAL_DIED);
    if (age_ns >= YOUNG_NS)
        slot->young_deaths = 0;
    slot->young_deaths += slot->young_deaths < 100;
    guaco__timer_start_ms(&slot->again, pause_ms(slot));
}

static void
slot_ended(struct slot *slot, struct worker *worker,
           const struct guaco__process_end *end)
{
    struct tree *tree = slot->tree;
    bool is_now = worker == slot->now;
    bool is_next = worker == slot->next;

    if (is_now)
        slot->now = NULL;
    if (is_next)
        slot->next = NULL;
    /* It is still listed; what follows counts only the others. */
    guaco__list_remove(&worker->link);
    if (slot->role == ROLE_ADMIN && tree->state != TREE_STOPPING) {
        guaco__tree_stop(tree, end->exited ? end->code : GUACO__EXIT_CRASH);
    } else if (tree->state == TREE_STOPPING) {
        stop_more(tree);
    } else if (is_next) {
        if (!worker->has_told)
            log_death(worker, end);
        next_failed(slot, "");
    } else if (is_now && slot->next != NULL) {
        slot->now = slot->next; /* the successor is on its way already */
        slot->next = NULL;
    } else if (is_now) {
        slot_died(slot, worker, end);
    }
    if (tree->is_reloading)
        guaco__tree_replace(tree);
}

/* A worker drains by itself (--limit-max-requests): its successor starts on
 * the same sockets at once. */
static void
slot_leaves(struct slot *slot, struct worker *worker)
{
    if (worker != slot->now || slot->tree->state == TREE_STOPPING)
        return;
    slot->now = slot->next;
    slot->next = NULL;
    slot->young_deaths = 0;
    slot->wants_renewal = false;
    if (slot->now == NULL && !slot->is_parked)
        guaco__slot_start(slot);
}

/* What holds of a slot between two events. */
static void
check_slot(const struct slot *slot)
{
    const struct worker *now = slot->now;
    const struct worker *next = slot->next;

    assert(now == NULL || now->slot == slot);
    assert(now == NULL || !guaco__timer_is_armed(&slot->again));
    assert(next == NULL || next->slot == slot);
    assert(next == NULL || next != now);
    assert(next == NULL || next->state != WORKER_READY);
    assert((slot->role == ROLE_KEEPER) == (slot->url != NULL));
    assert(slot->role != ROLE_KEEPER || next == NULL);
    assert(slot->tried <= slot->tree->generation);
    assert(!slot->is_parked || (now == NULL && next == NULL));
    assert(!slot->is_parked || !guaco__timer_is_armed(&slot->again));
}

void
guaco__slot_event(struct slot *slot, struct worker *worker,
                  enum worker_event event, const struct guaco__process_end *end)
{
    assert(worker->slot == slot);
    assert((event == WORKER_ENDED) == (end != NULL));
    switch (event) {
    case WORKER_IS_READY: slot_ready(slot, worker); break;
    case WORKER_LEAVES: slot_leaves(slot, worker); break;
    case WORKER_ENDED: slot_ended(slot, worker, end); break;
    }
    check_slot(slot);
}

/* ---- running ---- */

int
guaco__supervisor_run(const struct guaco__supervisor_setup *setup,
                      int *exit_code, struct guaco_error *err)
{
    struct tree tree = {
        .setup = setup,
        .log = setup->log,
        .generation = 1,
        .start_ns = guaco__clock_mono_ns(),
        .signal_fd = -1,
        .memory_fd = -1,
    };

    guaco__list_init(&tree.slots);
    guaco__list_init(&tree.workers);
    guaco__log_files_init(&tree.logs);
    guaco__environment_init(&tree.environment);
    int rc = guaco__tree_open(&tree, err);
    if (rc == GUACO_OK) {
        start_empty(&tree);
        check_started(&tree);
        rc = guaco__loop_run(tree.loop, GUACO__LOOP_UNTIL_STOPPED);
        *exit_code = tree.exit_code;
    }
    guaco__tree_close(&tree);
    return rc;
}
