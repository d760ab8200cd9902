#ifndef GUACO_TEST_QUEUE_STEPS_H
#define GUACO_TEST_QUEUE_STEPS_H

/* The steps of which tests of rules are made. */

#include "store.h"

static inline uint64_t
put_ruled(struct fixture *f, const char *body, struct guaco_rules *rules)
{
    return fixture_put_task(
        f, (struct guaco_task){.body = TEXT(body), .rules = rules});
}

static inline struct guaco__row
claim_one(struct fixture *f)
{
    struct guaco__row row;

    if (fixture_claim(f, f->owner, false, &row) != 1)
        fail_msg("nothing to claim");
    fixture_free_row(&row);
    return row;
}

static inline void
claim_none(struct fixture *f)
{
    struct guaco__row row;

    assert_int_equal(fixture_claim(f, f->owner, false, &row), 0);
}

static inline void
end_as(struct fixture *f, uint64_t id, uint32_t attempt,
       enum guaco_task_state state, const char *body)
{
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = f->owner,
                                      .id = id,
                                      .attempt = attempt,
                                      .state = state,
                                      .keep = true,
                                      .has_rules = true,
                                      .ttl_s = 3600,
                                      .body = TEXT(body)}};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
}

static inline void
finish(struct fixture *f, uint64_t id)
{
    end_as(f, id, 1, GUACO_TASK_DONE, "ok");
}

static inline enum guaco_task_state
state_of(struct fixture *f, uint64_t id)
{
    struct guaco_news news;
    enum guaco_task_state state = (enum guaco_task_state)0;

    assert_int_equal(guaco_broker_read(f->broker, id, 0, false, &news, NULL),
                     GUACO_OK);
    if (news.result != NULL)
        state = news.result->state;
    guaco_news_release(&news);
    return state;
}

static inline uint32_t
promote(struct fixture *f)
{
    struct guaco__op_promote op;

    assert_int_equal(fixture_promote(f, &op), GUACO_OK);
    return op.count;
}

static inline void
cancel(struct fixture *f, uint64_t id, enum guaco_task_state was)
{
    enum guaco_task_state found;

    assert_int_equal(
        guaco_broker_cancel(f->broker, id, TEXT("enough"), &found, NULL),
        GUACO_OK);
    assert_int_equal(found, was);
}

/* One that waits, and three that join it. */
static inline void
put_chord(struct fixture *f, bool must_succeed, uint64_t ids[4])
{
    struct guaco_rules held = {.joins_must_succeed = must_succeed};
    struct guaco_rules member = {.joins = 1};
    struct guaco_task tasks[4];

    for (int i = 0; i < 4; i++)
        tasks[i] = (struct guaco_task){.queue = TEXT("q"),
                                       .name = TEXT("n"),
                                       .rules = i == 0 ? &held : &member};
    assert_int_equal(guaco_broker_put(f->broker, tasks, 4, ids, NULL),
                     GUACO_OK);
    assert_int_equal(fixture_stats(f).held, 1);
    assert_int_equal(fixture_stats(f).waiting, 3);
}

#endif
