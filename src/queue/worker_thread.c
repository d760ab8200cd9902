/* The worker's own thread: what must be done whether or not a caller comes by
 * (leases, deadlines, outcomes that lie too long), and all traffic with the
 * store for callers that are event loops. */

#include <sys/prctl.h>

#include "os/clock.h"
#include "worker_int.h"

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool
is_pushed(const struct guaco_worker *worker)
{
    return worker->options.calls.on_ready != NULL;
}

/* For loops: whether a claim would make sense. */
static bool
wants_claim(const struct guaco_worker *worker)
{
    return is_pushed(worker) && guaco__worker_free_slots(worker) > 0 &&
           (worker->is_woken || !worker->is_listening);
}

static uint64_t
next_deadline(const struct guaco_worker *worker)
{
    uint64_t end_ns = UINT64_MAX;
    const struct guaco__list *head = &worker->running;

    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        const struct guaco_run *run = GUACO__OF(l, struct guaco_run, link);
        if (run->is_to_interrupt)
            return 0;
        end_ns = earlier(end_ns, guaco__life_next_ns(&run->life));
    }
    return end_ns;
}

static uint64_t
next_wake(const struct guaco_worker *worker, uint64_t now_ns)
{
    uint64_t end_ns =
        earlier(next_deadline(worker), guaco__worker_return_ns(worker));

    if (worker->is_turning)
        return end_ns;
    uint64_t turn_ns = worker->flush_ns;
    if (wants_claim(worker))
        turn_ns = now_ns;
    if (worker->running_count + worker->fresh_count > 0) {
        if (worker->is_told)
            turn_ns = now_ns;
        turn_ns = earlier(turn_ns, worker->lease_ns);
        turn_ns = earlier(turn_ns, worker->look_ns);
    }
    if (turn_ns < worker->retry_ns)
        turn_ns = worker->retry_ns;
    return earlier(end_ns, turn_ns);
}

/* ---- deadlines ---- */

/* The calls are made without the lock; so the run is kept from being freed by
 * marking it, and looked for again from the start afterwards. */
static void
call_interrupt(struct guaco_worker *worker, struct guaco_run *run)
{
    int why = guaco__run_why(run);

    run->is_to_interrupt = false;
    if (worker->options.calls.on_interrupt == NULL)
        return;
    run->is_in_call = true;
    pthread_mutex_unlock(&worker->lock);
    worker->options.calls.on_interrupt(worker->options.ctx, run, why);
    pthread_mutex_lock(&worker->lock);
    run->is_in_call = false;
    pthread_cond_broadcast(&worker->changed);
}

/* Store the stuck one's failure, give all else back, and have the process
 * replaced. */
static void
call_stuck(struct guaco_worker *worker, struct guaco_run *stuck)
{
    const struct guaco_outcome failure = {
        .kind = GUACO_OUTCOME_FAILED, .keep = true, .retry_delay_ms = -1};
    struct guaco__verdict failed =
        guaco__worker_judge(worker, stuck, &failure, SIZE_MAX);
    const struct guaco__verdict back = {0};
    struct guaco__list *head = &worker->running;

    failed.reason = stuck->life.is_canceled
                        ? "it went on after it was canceled and its process "
                          "was replaced"
                        : "it went on after its timeout and its process was "
                          "replaced";
    worker->is_draining = true;
    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct guaco_run *run = GUACO__OF(l, struct guaco_run, link);
        if (guaco__life_step(&run->life, GUACO__LIFE_GIVE_UP, NULL) ==
            GUACO__LIFE_STORE)
            guaco__worker_give_up(worker, run, run == stuck ? &failed : &back);
    }
    while (worker->is_turning)
        pthread_cond_wait(&worker->changed, &worker->lock);
    (void)guaco__worker_turn(worker, false, NULL);
    if (worker->options.calls.on_stuck == NULL)
        return;
    stuck->is_in_call = true;
    pthread_mutex_unlock(&worker->lock);
    worker->options.calls.on_stuck(worker->options.ctx, stuck);
    pthread_mutex_lock(&worker->lock);
    stuck->is_in_call = false;
    pthread_cond_broadcast(&worker->changed);
}

/* One run at a time, since the list may change during a call. */
static bool
tick_one(struct guaco_worker *worker, uint64_t now_ns)
{
    const struct guaco__life_terms terms = {
        .now_ns = now_ns, .kill_grace_ms = worker->options.kill_grace_ms};
    struct guaco__list *head = &worker->running;

    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        struct guaco_run *run = GUACO__OF(l, struct guaco_run, link);
        enum guaco__life_action action =
            guaco__life_step(&run->life, GUACO__LIFE_TICK, &terms);
        if (action == GUACO__LIFE_KILL)
            call_stuck(worker, run);
        else if (action == GUACO__LIFE_INTERRUPT || run->is_to_interrupt)
            call_interrupt(worker, run);
        else
            continue;
        return true;
    }
    return false;
}

/* ---- the thread ---- */

static void
turn(struct guaco_worker *worker, uint64_t now_ns)
{
    if (worker->is_turning || now_ns < worker->retry_ns)
        return;
    if (wants_claim(worker))
        (void)guaco__worker_look(worker, NULL);
    else if (now_ns >= worker->flush_ns || now_ns >= worker->lease_ns ||
             now_ns >= worker->look_ns || worker->is_told)
        (void)guaco__worker_turn(worker, now_ns >= worker->look_ns, NULL);
    /* Not only when there are more than before: the loop may have taken one
     * while the turn was out, for which another came. */
    if (worker->fresh_count > 0 && is_pushed(worker)) {
        pthread_mutex_unlock(&worker->lock);
        worker->options.calls.on_ready(worker->options.ctx);
        pthread_mutex_lock(&worker->lock);
    }
}

void
guaco__worker_stir(struct guaco_worker *worker, uint64_t by_ns)
{
    if (by_ns < worker->asleep_until_ns)
        pthread_cond_signal(&worker->stirred);
}

void *
guaco__worker_main(void *arg)
{
    struct guaco_worker *worker = arg;
    uint32_t laps = 0;

    (void)prctl(PR_SET_NAME, "guaco-worker");
    pthread_mutex_lock(&worker->lock);
    while (!worker->is_stopping) {
        uint64_t now_ns = guaco__clock_mono_ns();
        uint64_t wake_ns = next_wake(worker, now_ns);

        if (wake_ns > now_ns) {
            /* While there is traffic, wait in short laps: then nobody has to
             * wake us for each outcome. */
            bool is_busy = laps > 0;
            laps -= is_busy;
            uint64_t lap_ns = now_ns + WORKER_FLUSH_NS;
            if (is_busy && lap_ns < wake_ns)
                wake_ns = lap_ns;
            worker->asleep_until_ns = wake_ns;
            (void)guaco__cond_wait(&worker->stirred, &worker->lock, wake_ns);
            worker->asleep_until_ns = 0;
            if (worker->flush_ns != UINT64_MAX)
                laps = WORKER_IDLE_LAPS;
            continue;
        }
        while (tick_one(worker, now_ns))
            continue;
        if (now_ns >= guaco__worker_return_ns(worker)) {
            guaco__worker_return_ahead(worker);
            laps = WORKER_IDLE_LAPS; /* lest a turn be out just now */
        }
        turn(worker, now_ns);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}
