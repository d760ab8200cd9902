/* Looking after the SQLite store: counts, listings, purge, replay. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"

int
guaco__sqlite_stats(struct sqlite_store *self, const struct guaco__op_stats *op)
{
    int64_t queue, range[2];
    int rc = guaco__sqlite_queue(self, op->queue, false, &queue);
    if (rc != GUACO_OK || queue == 0)
        return rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_STATS, &rc);
    if (stmt == NULL)
        return rc;

    rank_range(queue, range);
    (void)sqlite3_bind_int64(stmt, 1, range[0]);
    (void)sqlite3_bind_int64(stmt, 2, range[1]);
    (void)sqlite3_bind_int64(stmt, 3, queue);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    *op->stats = (struct guaco_queue_stats){
        .waiting = (uint64_t)sqlite3_column_int64(stmt, 0),
        .delayed = (uint64_t)sqlite3_column_int64(stmt, 1),
        .running = (uint64_t)sqlite3_column_int64(stmt, 2),
        .dead = (uint64_t)sqlite3_column_int64(stmt, 3),
        .results = (uint64_t)sqlite3_column_int64(stmt, 4),
        .recurring = (uint64_t)sqlite3_column_int64(stmt, 5),
        .held = (uint64_t)sqlite3_column_int64(stmt, 6),
        .is_paused = sqlite3_column_int(stmt, 7) != 0,
    };
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

/* ---- listing ---- */

static enum sqlite_statement
listing_of(enum guaco_task_state state)
{
    switch (state) {
    case GUACO_TASK_DELAYED: return SQL_LIST_DELAYED;
    case GUACO_TASK_RUNNING: return SQL_LIST_RUNNING;
    case GUACO_TASK_DEAD: return SQL_LIST_DEAD;
    case GUACO_TASK_HELD: return SQL_LIST_HELD;
    case GUACO_TASK_WAITING:
    case GUACO_TASK_DONE:
    case GUACO_TASK_FAILED:
    case GUACO_TASK_EXPIRED:
    case GUACO_TASK_CANCELED: break;
    }
    return SQL_LIST_WAITING;
}

static void
call_row(const struct guaco__op_list *op, sqlite3_stmt *stmt)
{
    struct sqlite_task task = guaco__sqlite_task(stmt);
    struct guaco__row row = {
        .id = rank_id(task.rank),
        .attempt = task.attempt,
        .failures = task.failures,
        .deaths = task.deaths,
        .since_ms = sqlite3_column_int64(stmt, 6),
        .envelope = task.envelope,
        .reason = guaco__sql_blob(stmt, 7),
    };

    op->fn(op->ctx, &row);
}

int
guaco__sqlite_list(struct sqlite_store *self, const struct guaco__op_list *op)
{
    int64_t queue, range[2];
    int rc = guaco__sqlite_queue(self, op->queue, false, &queue);
    if (rc != GUACO_OK || queue == 0)
        return rc;
    sqlite3_stmt *stmt = guaco__sql(self, listing_of(op->state), &rc);
    if (stmt == NULL)
        return rc;

    rank_range(queue, range);
    (void)sqlite3_bind_int64(stmt, 1, range[0]);
    (void)sqlite3_bind_int64(stmt, 2, range[1]);
    (void)sqlite3_bind_int64(stmt, 3, op->limit);
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)op->offset);
    while ((rc = guaco__sql_row(stmt)) == 1)
        call_row(op, stmt);
    return rc;
}

/* ---- replay ---- */

static int
revive(struct sqlite_store *self, sqlite3_stmt *stmt)
{
    struct sqlite_task task = guaco__sqlite_task(stmt);
    int64_t id = (int64_t)rank_id(task.rank);

    task.failures = 0;
    task.deaths = 0;
    task.suspect = true; /* it still runs alone */
    int rc = guaco__sqlite_ready(self, &task);
    return rc != GUACO_OK ? rc : guaco__sql_exec(self, SQL_RESULT_DROP, 1, &id);
}

int
guaco__sqlite_replay(struct sqlite_store *self, struct guaco__op_replay *op)
{
    int64_t queue, values[3] = {0};
    int rc = guaco__sqlite_queue(self, op->queue, false, &queue);
    if (rc == GUACO_OK && queue == 0)
        return op->id != 0 ? GUACO_E_MISSING : GUACO_OK;
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_DEAD_GET, &rc);
    if (stmt == NULL)
        return rc;

    rank_range(queue, values);
    values[2] = (int64_t)op->id;
    for (int i = 0; i < 3; i++)
        (void)sqlite3_bind_int64(stmt, i + 1, values[i]);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        rc = revive(self, stmt);
        if (rc != GUACO_OK)
            break;
        op->count++;
    }
    (void)sqlite3_reset(stmt);
    if (rc != GUACO_OK)
        return rc;
    if (op->id != 0 && op->count == 0)
        return GUACO_E_MISSING;
    return guaco__sql_exec(self, SQL_DEAD_DROP, 3, values);
}

/* ---- pause ---- */

int
guaco__sqlite_pause(struct sqlite_store *self, const struct guaco__op_pause *op)
{
    struct guaco_queue_stats stats = {0};
    const struct guaco__op_stats look = {.queue = op->queue, .stats = &stats};
    int64_t values[2] = {0, op->pause};
    int rc = guaco__sqlite_queue(self, op->queue, true, &values[0]);

    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_QUEUE_PAUSE, 2, values);
    if (rc == GUACO_OK && !op->pause)
        rc = guaco__sqlite_stats(self, &look);
    if (rc == GUACO_OK && !op->pause && stats.waiting > 0)
        guaco__touched_ready(
            &self->base.touched, op->queue,
            stats.waiting > UINT32_MAX ? UINT32_MAX : (uint32_t)stats.waiting);
    return rc;
}
