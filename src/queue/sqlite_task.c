/* Tasks of the SQLite store: put, claim, finish, release, promote. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"

/* ---- rows ---- */

struct sqlite_task
guaco__sqlite_task(sqlite3_stmt *stmt)
{
    return (struct sqlite_task){
        .rank = sqlite3_column_int64(stmt, 0),
        .attempt = (uint32_t)sqlite3_column_int64(stmt, 1),
        .failures = (uint32_t)sqlite3_column_int64(stmt, 2),
        .deaths = (uint32_t)sqlite3_column_int64(stmt, 3),
        .envelope = guaco__sql_blob(stmt, 4),
    };
}

static void
bind_counts(sqlite3_stmt *stmt, int at, const struct sqlite_task *task)
{
    (void)sqlite3_bind_int64(stmt, at, task->attempt);
    (void)sqlite3_bind_int64(stmt, at + 1, task->failures);
    (void)sqlite3_bind_int64(stmt, at + 2, task->deaths);
}

int
guaco__sqlite_ready(struct sqlite_store *self, const struct sqlite_task *task)
{
    int rc;
    sqlite3_stmt *stmt =
        guaco__sql(self, task->suspect ? SQL_SUSPECT_ADD : SQL_READY_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, task->rank);
    bind_counts(stmt, 2, task);
    guaco__sql_bind_blob(stmt, 5, task->envelope);
    rc = guaco__sql_done(stmt);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_slice name =
        guaco__sqlite_queue_name(self, rank_queue(task->rank));
    if (name.len > 0)
        guaco__touched_ready(&self->base.touched, name, 1);
    return GUACO_OK;
}

static int
make_delayed(struct sqlite_store *self, const struct sqlite_task *task,
             int64_t due_ms)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_DELAYED_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, due_ms);
    (void)sqlite3_bind_int64(stmt, 2, task->rank);
    bind_counts(stmt, 3, task);
    (void)sqlite3_bind_int(stmt, 6, task->suspect);
    guaco__sql_bind_blob(stmt, 7, task->envelope);
    guaco__touched_due(&self->base.touched, due_ms);
    return guaco__sql_done(stmt);
}

/* ---- put ---- */

int
guaco__sqlite_prepare_puts(struct sqlite_store *self,
                           const struct guaco__put *puts, size_t n)
{
    int64_t number;
    int rc = GUACO_OK;

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = guaco__sqlite_queue(self, puts[i].queue, true, &number);
    return rc;
}

static int
put_one(struct sqlite_store *self, struct guaco__put *put)
{
    int64_t queue;
    int rc = guaco__sqlite_queue(self, put->queue, true, &queue);

    if (rc == GUACO_OK)
        rc = guaco__sqlite_id(self, &put->id);
    if (rc != GUACO_OK)
        return rc;
    struct sqlite_task task = {
        .rank = guaco__rank(queue, put->priority, put->id),
        .envelope = put->envelope,
    };
    return put->due_ms > self->now_ms ? make_delayed(self, &task, put->due_ms)
                                      : guaco__sqlite_ready(self, &task);
}

int
guaco__sqlite_put(struct sqlite_store *self, struct guaco__put *puts, size_t n)
{
    int rc = guaco__sqlite_prepare_puts(self, puts, n);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = put_one(self, &puts[i]);
    return rc;
}

/* ---- claim ---- */

static int
mark_running(struct sqlite_store *self, const struct guaco__op_claim *claim,
             const struct sqlite_task *task, bool is_alone)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RUNNING_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)rank_id(task->rank));
    (void)sqlite3_bind_int64(stmt, 2, task->rank);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)claim->owner);
    bind_counts(stmt, 4, task);
    (void)sqlite3_bind_int(stmt, 7, task->suspect);
    (void)sqlite3_bind_int(stmt, 8, is_alone);
    (void)sqlite3_bind_int64(stmt, 9, self->now_ms);
    guaco__sql_bind_blob(stmt, 10, task->envelope);
    return guaco__sql_done(stmt);
}

static int
give_row(struct sqlite_store *self, struct guaco__op_claim *claim,
         struct sqlite_task *task)
{
    task->attempt++;
    int rc = mark_running(self, claim, task,
                          claim->alone && (task->suspect || claim->max == 1));
    if (rc != GUACO_OK)
        return rc;
    char *copy = malloc(task->envelope.len + 1);
    if (copy == NULL)
        return GUACO_E_NOMEM;
    if (task->envelope.len > 0)
        memcpy(copy, task->envelope.at, task->envelope.len);
    int64_t turn = task->rank >> RANK_ID_BITS & ((1 << RANK_PRIORITY_BITS) - 1);
    claim->rows[claim->count++] = (struct guaco__row){
        .id = rank_id(task->rank),
        .attempt = task->attempt,
        .failures = task->failures,
        .deaths = task->deaths,
        .is_suspect = task->suspect,
        .since_ms = self->now_ms,
        .priority = GUACO_TASK_PRIORITY_MAX - (int32_t)turn,
        .envelope = {copy, task->envelope.len},
    };
    return GUACO_OK;
}

struct head {
    enum sqlite_statement read;
    enum sqlite_statement drop;
    bool suspect;
    uint32_t max;
};

/* Claim from the left end of a queue's range; the rows lie side by side, so
 * they are dropped as one range.  One more is read, to know of it. */
static int
claim_head(struct sqlite_store *self, struct guaco__op_claim *claim,
           const struct head *head, int64_t queue, bool *more)
{
    int64_t range[2], dropped[2];
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, head->read, &rc);

    *more = false;
    if (stmt == NULL)
        return rc;
    rank_range(queue, range);
    (void)sqlite3_bind_int64(stmt, 1, range[0]);
    (void)sqlite3_bind_int64(stmt, 2, range[1]);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)head->max + 1);
    dropped[0] = range[0];
    uint32_t given = 0;
    while ((rc = guaco__sql_row(stmt)) == 1) {
        if (given == head->max) {
            *more = true;
            rc = GUACO_OK;
            break;
        }
        struct sqlite_task task = guaco__sqlite_task(stmt);
        task.suspect = head->suspect;
        dropped[1] = task.rank;
        rc = give_row(self, claim, &task);
        if (rc != GUACO_OK)
            break;
        given++;
    }
    (void)sqlite3_reset(stmt);
    if (rc != GUACO_OK || given == 0)
        return rc;
    return guaco__sql_exec(self, head->drop, 2, dropped);
}

static int
claim_from(struct sqlite_store *self, struct guaco__op_claim *claim,
           int64_t queue)
{
    const struct head suspects = {SQL_SUSPECT_HEAD, SQL_SUSPECT_DROP, true,
                                  claim->alone ? 1 : 0};
    const struct head ready = {SQL_READY_HEAD, SQL_READY_DROP, false,
                               claim->max};

    int rc = claim_head(self, claim, &suspects, queue, &claim->suspects);
    if (rc != GUACO_OK || claim->count > 0)
        return rc;
    rc = claim_head(self, claim, &ready, queue, &claim->more);
    if (rc == GUACO_OK && claim->more && claim->count > 0)
        guaco__touched_ready(&self->base.touched, claim->queue, 1);
    return rc;
}

int
guaco__sqlite_claim(struct sqlite_store *self, struct guaco__op_claim *claim)
{
    int64_t queue, owner = (int64_t)claim->owner, is_known;
    int rc = guaco__sql_number(self, SQL_OWNER_HAS, 1, &owner, 0, &is_known);

    if (rc != GUACO_OK)
        return rc;
    if (!is_known)
        return GUACO_E_LOST;
    rc = guaco__sqlite_queue(self, claim->queue, false, &queue);
    if (rc == GUACO_OK && queue != 0)
        rc = claim_from(self, claim, queue);
    if (claim->count > 0)
        guaco__touched_due(&self->base.touched,
                           self->now_ms + GUACO__LEASE_LOOK_MS);
    return rc;
}

/* ---- the end of a run ---- */

int
guaco__sqlite_finish(struct sqlite_store *self,
                     const struct guaco__op_finish *finish)
{
    const int64_t held[3] = {(int64_t)finish->id, (int64_t)finish->owner,
                             finish->attempt};
    struct guaco_result result = {
        .id = finish->id,
        .state = finish->state,
        .attempt = finish->attempt,
        .finished_ms = self->now_ms,
        .body = finish->body,
        .reason = finish->reason,
    };
    int64_t rank = 1;
    int rc =
        guaco__sqlite_prepare_puts(self, finish->follow, finish->follow_count);

    if (rc == GUACO_OK && finish->keep)
        rc = guaco__sql_number(self, SQL_RUNNING_RANK, 3, held, 0, &rank);
    if (rc == GUACO_OK && rank != 0)
        rc = guaco__sql_exec(self, SQL_RUNNING_DROP, 3, held);
    if (rc != GUACO_OK)
        return rc;
    if (rank == 0 || sqlite3_changes(self->db) == 0)
        return GUACO_E_LOST;
    if (finish->keep)
        rc = guaco__sqlite_result(self, rank_queue(rank), &result,
                                  finish->ttl_s);
    if (rc == GUACO_OK && finish->follow_count > 0)
        rc = guaco__sqlite_put(self, finish->follow, finish->follow_count);
    return rc;
}

int
guaco__sqlite_release(struct sqlite_store *self,
                      const struct guaco__op_release *release)
{
    const int64_t held[3] = {(int64_t)release->id, (int64_t)release->owner,
                             release->attempt};
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RUNNING_GET, &rc);

    if (stmt == NULL)
        return rc;
    for (int i = 0; i < 3; i++)
        (void)sqlite3_bind_int64(stmt, i + 1, held[i]);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc == GUACO_OK ? GUACO_E_LOST : rc;

    struct sqlite_task task = guaco__sqlite_task(stmt);
    /* One that failed came to an end of its own: not what kills processes. */
    task.suspect = !release->failed && sqlite3_column_int(stmt, 5) != 0;
    task.failures += release->failed;
    rc = release->delay_ms > 0
             ? make_delayed(self, &task,
                            self->now_ms + (int64_t)release->delay_ms)
             : guaco__sqlite_ready(self, &task);
    (void)sqlite3_reset(stmt);
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_RUNNING_DROP, 3, held);
}

/* ---- due ---- */

int
guaco__sqlite_promote(struct sqlite_store *self,
                      struct guaco__op_promote *promote)
{
    int64_t last[2] = {0};
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_DELAYED_DUE, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, self->now_ms);
    (void)sqlite3_bind_int64(stmt, 2, promote->limit);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        struct sqlite_task task = guaco__sqlite_task(stmt);
        task.suspect = sqlite3_column_int(stmt, 5) != 0;
        last[0] = sqlite3_column_int64(stmt, 6);
        last[1] = task.rank;
        rc = guaco__sqlite_ready(self, &task);
        if (rc != GUACO_OK)
            break;
        promote->count++;
    }
    (void)sqlite3_reset(stmt);
    if (rc == GUACO_OK && promote->count > 0)
        rc = guaco__sql_exec(self, SQL_DELAYED_DROP, 2, last);
    if (rc != GUACO_OK)
        return rc;
    return guaco__sql_number(self, SQL_DELAYED_NEXT, 0, NULL, INT64_MAX,
                             &promote->next_due_ms);
}
