/* Recurring tasks: when they fire, and the tick that enqueues them. */

#include <stdlib.h>

#include "keeper_int.h"

void
guaco__keeper_drop_recurs(struct guaco_keeper *keeper)
{
    for (size_t i = 0; i < keeper->recur_count; i++)
        guaco_schedule_free(keeper->recurs[i].schedule);
    free(keeper->recurs);
    free(keeper->defs);
    keeper->recurs = NULL;
    keeper->recur_count = 0;
    keeper->defs = NULL;
}

int
guaco__keeper_load_recurs(struct guaco_keeper *keeper)
{
    struct guaco__op op = {.kind = GUACO__OP_RECUR_LIST};
    int rc = guaco__front_run_one(keeper->broker, &op, NULL);

    if (rc != GUACO_OK)
        return rc;
    guaco__keeper_drop_recurs(keeper);
    keeper->defs = op.recur_list.all;
    keeper->recurs = calloc(op.recur_list.n + 1, sizeof *keeper->recurs);
    if (keeper->recurs == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 0; i < op.recur_list.n; i++) {
        struct keeper_recur *recur = &keeper->recurs[keeper->recur_count];
        recur->def = keeper->defs[i];
        if (recur->def.is_paused)
            continue;
        /* One whose zone is missing on this machine is another keeper's. */
        if (guaco_schedule_new(&recur->schedule, recur->def.spec,
                               recur->def.zone, NULL, NULL) == GUACO_OK)
            keeper->recur_count++;
    }
    return GUACO_OK;
}

/* Put the tasks of `n` fire times and move last_ms, if nobody did so before. */
static int
tick(struct guaco_keeper *keeper, struct guaco__recur *def,
     const int64_t *fires, size_t n, int64_t last_ms)
{
    struct guaco__put puts[GUACO_SCHEDULE_CATCH_UP_MAX];
    struct guaco__op op = {.kind = GUACO__OP_TICK,
                           .tick = {.queue = def->queue,
                                    .name = def->name,
                                    .generation = def->generation,
                                    .expect_ms = def->last_ms,
                                    .last_ms = last_ms,
                                    .tasks = puts,
                                    .n = n}};

    for (size_t i = 0; i < n; i++)
        puts[i] = (struct guaco__put){.queue = def->queue,
                                      .envelope = def->envelope,
                                      .due_ms = fires[i],
                                      .priority = def->priority};
    int rc = guaco__front_run_one(keeper->broker, &op, NULL);
    if (rc == GUACO_OK)
        def->last_ms = last_ms;
    return rc;
}

static int
fire_one(struct guaco_keeper *keeper, struct keeper_recur *recur,
         int64_t now_ms)
{
    int64_t fires[GUACO_SCHEDULE_CATCH_UP_MAX];
    int64_t last_ms;
    size_t n = guaco_schedule_due(recur->schedule, recur->def.catch_up,
                                  recur->def.last_ms, now_ms, fires);

    if (n > 0)
        return tick(keeper, &recur->def, fires, n, fires[n - 1]);
    /* Missed and skipped: do not look at it again. */
    if (guaco_schedule_last(recur->schedule, recur->def.last_ms, now_ms,
                            &last_ms) == GUACO_OK)
        return tick(keeper, &recur->def, NULL, 0, last_ms);
    return GUACO_OK;
}

int
guaco__keeper_fire(struct guaco_keeper *keeper, int64_t *next_ms)
{
    int64_t now_ms = guaco_broker_now_ms(keeper->broker);
    bool is_stale = false;

    for (size_t i = 0; i < keeper->recur_count; i++) {
        struct keeper_recur *recur = &keeper->recurs[i];
        int64_t fire_ms;
        int rc = fire_one(keeper, recur, now_ms);
        if (rc == GUACO_E_STATE || rc == GUACO_E_MISSING)
            is_stale = true; /* another keeper was faster, or it changed */
        else if (rc != GUACO_OK)
            return rc;
        if (guaco_schedule_next(recur->schedule, now_ms, &fire_ms) ==
                GUACO_OK &&
            fire_ms < *next_ms)
            *next_ms = fire_ms;
    }
    return is_stale ? guaco__keeper_load_recurs(keeper) : GUACO_OK;
}
