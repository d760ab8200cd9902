/* Owners of leases in the SQLite store. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"

int
guaco__sqlite_owner_open(struct sqlite_store *self, struct guaco__op_owner *op)
{
    struct guaco__owner *who = &op->owner;
    int rc = guaco__sqlite_id(self, &who->id);
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_OWNER_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)who->id);
    (void)sqlite3_bind_int64(stmt, 2, who->pid);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)who->pid_start);
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)who->pid_space);
    (void)sqlite3_bind_text(stmt, 5, self->boot_id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(
        stmt, 6, (int64_t)guaco__clock_boot_ms() + (int64_t)op->lease_ms);
    guaco__touched_due(&self->base.touched, 0); /* keepers watch the new one */
    return guaco__sql_done(stmt);
}

static int
give_canceled(struct sqlite_store *self, struct guaco__op_owner *op)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_OWNER_CANCELED, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)op->owner.id);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        uint64_t *ids =
            realloc(op->canceled, (op->canceled_count + 1) * sizeof *ids);
        if (ids == NULL) {
            rc = GUACO_E_NOMEM;
            break;
        }
        op->canceled = ids;
        ids[op->canceled_count++] = (uint64_t)sqlite3_column_int64(stmt, 0);
    }
    (void)sqlite3_reset(stmt);
    return rc;
}

int
guaco__sqlite_owner_renew(struct sqlite_store *self, struct guaco__op_owner *op)
{
    const int64_t values[2] = {(int64_t)op->owner.id,
                               (int64_t)guaco__clock_boot_ms() +
                                   (int64_t)op->lease_ms};
    int rc = guaco__sql_exec(self, SQL_OWNER_RENEW, 2, values);

    op->canceled = NULL;
    op->canceled_count = 0;
    if (rc == GUACO_OK && sqlite3_changes(self->db) == 0)
        return GUACO_E_LOST;
    return rc != GUACO_OK ? rc : give_canceled(self, op);
}

/* ---- reaping ---- */

static int
bury(struct sqlite_store *self, const struct sqlite_task *task,
     struct guaco__op_reap *op)
{
    struct guaco_result result = {
        .id = rank_id(task->rank),
        .state = GUACO_TASK_DEAD,
        .attempt = task->attempt,
        .finished_ms = self->now_ms,
        .reason = op->reason,
    };
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_DEAD_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)result.id);
    (void)sqlite3_bind_int64(stmt, 2, task->rank);
    (void)sqlite3_bind_int64(stmt, 3, task->attempt);
    (void)sqlite3_bind_int64(stmt, 4, task->failures);
    (void)sqlite3_bind_int64(stmt, 5, task->deaths);
    (void)sqlite3_bind_int64(stmt, 6, self->now_ms);
    guaco__sql_bind_blob(stmt, 7, op->reason);
    guaco__sql_bind_blob(stmt, 8, task->envelope);
    rc = guaco__sql_done(stmt);
    if (rc != GUACO_OK)
        return rc;
    uint64_t *dead = realloc(op->dead, (op->dead_count + 1) * sizeof *dead);
    if (dead == NULL)
        return GUACO_E_NOMEM;
    op->dead = dead;
    op->dead[op->dead_count++] = result.id;
    rc = guaco__sqlite_result(self, rank_queue(task->rank), &result,
                              GUACO__DEAD_TTL_S);
    if (rc == GUACO_OK && task->ruled)
        rc = guaco__sqlite_rules_end(self, result.id, GUACO_TASK_DEAD,
                                     (struct guaco_slice){0});
    return rc;
}

static int
leave_lanes(struct sqlite_store *self, const struct sqlite_task *task)
{
    struct sqlite_rule rule;
    int rc = guaco__sqlite_rule_get(self, rank_id(task->rank), &rule);

    return rc != GUACO_OK ? rc : guaco__sqlite_lanes_leave(self, &rule);
}

static int
give_back(struct sqlite_store *self, struct guaco__op_reap *op,
          sqlite3_stmt *stmt)
{
    struct sqlite_task task = guaco__sqlite_task(stmt);
    bool is_alone = sqlite3_column_int(stmt, 7) != 0;

    if (sqlite3_column_type(stmt, 8) != SQLITE_NULL)
        return guaco__sqlite_end_canceled(
            self, task.rank, task.ruled, task.attempt, guaco__sql_blob(stmt, 8),
            GUACO__RESULT_TTL_S);
    task.suspect = op->died || sqlite3_column_int(stmt, 6) != 0;
    task.deaths += op->died && is_alone;
    if (op->died && task.deaths >= GUACO_TASK_DEATHS_MAX)
        return bury(self, &task, op);
    op->returned++;
    int rc = guaco__sqlite_ready(self, &task);
    return rc != GUACO_OK || !task.ruled ? rc : leave_lanes(self, &task);
}

int
guaco__sqlite_owner_reap(struct sqlite_store *self, struct guaco__op_reap *op)
{
    int64_t owner = (int64_t)op->owner;
    int rc = guaco__sql_exec(self, SQL_OWNER_DROP, 1, &owner);

    if (rc != GUACO_OK)
        return rc;
    if (sqlite3_changes(self->db) == 0)
        return GUACO_E_MISSING;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RUNNING_OF, &rc);
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, owner);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        rc = give_back(self, op, stmt);
        if (rc != GUACO_OK)
            break;
    }
    (void)sqlite3_reset(stmt);
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RUNNING_DROP_OF, 1, &owner);
    return rc != GUACO_OK ? rc : guaco__sqlite_unlock_owner(self, op->owner);
}

/* ---- listing ---- */

static int
add_owner(struct guaco__op_owners *op, const struct guaco__owner *who)
{
    struct guaco__owner *owners =
        realloc(op->owners, (op->n + 1) * sizeof *owners);

    if (owners == NULL)
        return GUACO_E_NOMEM;
    op->owners = owners;
    op->owners[op->n++] = *who;
    return GUACO_OK;
}

int
guaco__sqlite_owner_list(struct sqlite_store *self, struct guaco__op_owners *op)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_OWNER_ALL, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_text(stmt, 1, self->boot_id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(stmt, 2, (int64_t)guaco__clock_boot_ms());
    while ((rc = guaco__sql_row(stmt)) == 1) {
        struct guaco__owner who = {
            .id = (uint64_t)sqlite3_column_int64(stmt, 0),
            .pid = sqlite3_column_int(stmt, 1),
            .pid_start = (uint64_t)sqlite3_column_int64(stmt, 2),
            .pid_space = (uint64_t)sqlite3_column_int64(stmt, 3),
            .boot_is_ours = sqlite3_column_int(stmt, 4) != 0,
            .is_expired = sqlite3_column_int(stmt, 5) != 0,
            .holds = sqlite3_column_int(stmt, 6) != 0,
        };
        rc = add_owner(op, &who);
        if (rc != GUACO_OK)
            break;
    }
    (void)sqlite3_reset(stmt);
    return rc;
}
