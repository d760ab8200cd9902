#include "life.h"

#include <assert.h>

#define DELAY_MS_MAX (365ULL * 24 * 3600 * 1000) /* of a retry */

static uint64_t
after_ms(uint64_t now_ns, uint64_t ms)
{
    return now_ns + ms * 1000000u;
}

static enum guaco__life_action
hand_out(struct guaco__life *life, const struct guaco__life_terms *terms)
{
    const struct guaco_task *task = terms->task;

    assert(life->state == GUACO__LIFE_CLAIMED);
    if (life->is_canceled) {
        life->state = GUACO__LIFE_ENDED;
        return GUACO__LIFE_CANCELED;
    }
    if (task->expires_ms != 0 && task->expires_ms < terms->wall_ms) {
        life->state = GUACO__LIFE_ENDED;
        return GUACO__LIFE_EXPIRE;
    }
    life->state = GUACO__LIFE_RUNNING;
    life->limit_ns = task->timeout_ms == 0
                         ? UINT64_MAX
                         : after_ms(terms->now_ns, task->timeout_ms);
    return GUACO__LIFE_RUN;
}

static enum guaco__life_action
interrupt(struct guaco__life *life, const struct guaco__life_terms *terms)
{
    life->state = GUACO__LIFE_INTERRUPTED;
    life->kill_ns = after_ms(terms->now_ns, terms->kill_grace_ms);
    return GUACO__LIFE_INTERRUPT;
}

static enum guaco__life_action
tick(struct guaco__life *life, const struct guaco__life_terms *terms)
{
    if (terms->now_ns < guaco__life_next_ns(life))
        return GUACO__LIFE_NOTHING;
    if (life->state == GUACO__LIFE_RUNNING)
        return interrupt(life, terms);
    assert(life->state == GUACO__LIFE_INTERRUPTED);
    life->state = GUACO__LIFE_STUCK;
    return GUACO__LIFE_KILL;
}

/* Its runner is told at once, also one that is over its timeout already: the
 * grace is the first cause's. */
static enum guaco__life_action
cancel(struct guaco__life *life, const struct guaco__life_terms *terms)
{
    bool is_new = !life->is_canceled && !life->is_lost;

    life->is_canceled = true;
    if (is_new && life->state == GUACO__LIFE_RUNNING)
        return interrupt(life, terms);
    return is_new && life->state == GUACO__LIFE_INTERRUPTED
               ? GUACO__LIFE_INTERRUPT
               : GUACO__LIFE_NOTHING;
}

static enum guaco__life_action
lose(struct guaco__life *life, const struct guaco__life_terms *terms)
{
    bool is_new = !life->is_lost;

    life->is_lost = true;
    if (life->state == GUACO__LIFE_CLAIMED) {
        life->state = GUACO__LIFE_ENDED;
        return GUACO__LIFE_DISCARD;
    }
    if (is_new && life->state == GUACO__LIFE_RUNNING)
        return interrupt(life, terms);
    return is_new && life->state == GUACO__LIFE_INTERRUPTED
               ? GUACO__LIFE_INTERRUPT
               : GUACO__LIFE_NOTHING;
}

enum guaco__life_action
guaco__life_step(struct guaco__life *life, enum guaco__life_event event,
                 const struct guaco__life_terms *terms)
{
    assert(life->state != GUACO__LIFE_ENDED);
    switch (event) {
    case GUACO__LIFE_HAND_OUT: return hand_out(life, terms);
    case GUACO__LIFE_TICK: return tick(life, terms);
    case GUACO__LIFE_LOST: return lose(life, terms);
    case GUACO__LIFE_CANCEL: return cancel(life, terms);
    case GUACO__LIFE_GIVE_UP:
        if (life->is_lost || life->is_given_up)
            return GUACO__LIFE_NOTHING;
        life->is_given_up = true;
        return GUACO__LIFE_STORE;
    case GUACO__LIFE_FINISH: break;
    }
    life->state = GUACO__LIFE_ENDED;
    return life->is_lost || life->is_given_up ? GUACO__LIFE_DISCARD
                                              : GUACO__LIFE_STORE;
}

uint64_t
guaco__life_next_ns(const struct guaco__life *life)
{
    if (life->state == GUACO__LIFE_RUNNING)
        return life->limit_ns;
    /* One that was lost may end when it likes, unless it is over its time. */
    if (life->state == GUACO__LIFE_INTERRUPTED && !life->is_given_up)
        return life->kill_ns;
    return UINT64_MAX;
}

/* ---- outcomes ---- */

/* The delay before the run that follows `failures` failed ones. */
/* The delay by the task's rules: backed off, capped, and a part of it at
 * random, lest all that failed together come again together. */
static uint64_t
retry_delay_ms(const struct guaco__case *about)
{
    const struct guaco_task *task = about->task;
    uint64_t most =
        task->retry_delay_max_ms == 0 ? DELAY_MS_MAX : task->retry_delay_max_ms;
    double delay = task->retry_delay_ms;
    double factor = task->retry_backoff_percent == 0
                        ? 1.0
                        : task->retry_backoff_percent / 100.0;

    for (uint32_t i = 0; i < about->failures && delay < (double)most &&
                         delay > 0 && factor != 1.0;
         i++)
        delay *= factor;
    if (delay > (double)most)
        delay = (double)most;
    double random = delay * task->retry_jitter_percent / 100.0;
    return (uint64_t)(delay - random * (about->dice / 4294967296.0));
}

static struct guaco__verdict
retried(const struct guaco__case *about, const struct guaco_outcome *outcome,
        bool failed)
{
    uint64_t delay_ms = outcome->retry_delay_ms >= 0
                            ? (uint64_t)outcome->retry_delay_ms
                            : retry_delay_ms(about);

    return (struct guaco__verdict){
        .failed = failed,
        .delay_ms = delay_ms < DELAY_MS_MAX ? delay_ms : DELAY_MS_MAX,
    };
}

static struct guaco__verdict
ended(const struct guaco__case *about, enum guaco_task_state state,
      const struct guaco_outcome *outcome)
{
    struct guaco__verdict verdict = {
        .ends = true,
        .state = state,
        .keep = outcome->keep || about->is_canceled,
        .keep_body = outcome->keep || about->has_rules,
    };

    if (outcome->body.len <= about->result_bytes_max || !verdict.keep_body)
        return verdict;
    verdict.keep_body = false;
    verdict.state = GUACO_TASK_FAILED;
    verdict.reason = "the result is larger than result_bytes_max";
    return verdict;
}

struct guaco__verdict
guaco__verdict(const struct guaco__case *about,
               const struct guaco_outcome *outcome)
{
    if (about->is_canceled && outcome->kind != GUACO_OUTCOME_DONE)
        return ended(about, GUACO_TASK_CANCELED, outcome);
    switch (outcome->kind) {
    case GUACO_OUTCOME_DONE: return ended(about, GUACO_TASK_DONE, outcome);
    case GUACO_OUTCOME_FAILED:
        if (about->failures < about->task->retries)
            return retried(about, outcome, true);
        return ended(about, GUACO_TASK_FAILED, outcome);
    case GUACO_OUTCOME_RETRY: return retried(about, outcome, false);
    case GUACO_OUTCOME_CANCELED:
        return ended(about, GUACO_TASK_CANCELED, outcome);
    case GUACO_OUTCOME_RELEASED: break;
    }
    return (struct guaco__verdict){0};
}
