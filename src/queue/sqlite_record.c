/* Results and events of the SQLite store. */

#include <assert.h>

#include "sqlite_int.h"

#define EVENTS_KEPT_MS (24LL * 3600 * 1000)

int
guaco__sqlite_result(struct sqlite_store *self, int64_t queue,
                     const struct guaco_result *result, uint32_t ttl_s)
{
    int64_t ends_ms = self->now_ms + (int64_t)ttl_s * 1000;
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RESULT_SET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)result->id);
    (void)sqlite3_bind_int64(stmt, 2, queue);
    (void)sqlite3_bind_int(stmt, 3, (int)result->state);
    (void)sqlite3_bind_int64(stmt, 4, result->attempt);
    (void)sqlite3_bind_int64(stmt, 5, result->finished_ms);
    (void)sqlite3_bind_int64(stmt, 6, ends_ms);
    guaco__sql_bind_blob(stmt, 7, result->body);
    guaco__sql_bind_blob(stmt, 8, result->reason);
    guaco__touched_due(&self->base.touched, ends_ms);
    return guaco__sql_done(stmt);
}

int
guaco__sqlite_event(struct sqlite_store *self,
                    const struct guaco__op_event *event)
{
    const int64_t held[3] = {(int64_t)event->id, (int64_t)event->owner,
                             event->attempt};
    int64_t rank, number, ends_ms = self->now_ms + EVENTS_KEPT_MS;
    int rc = guaco__sql_number(self, SQL_RUNNING_RANK, 3, held, 0, &rank);

    if (rc == GUACO_OK && rank == 0)
        return GUACO_E_LOST;
    if (rc == GUACO_OK)
        rc = guaco__sql_number(self, SQL_EVENT_LAST, 1, held, 0, &number);
    if (rc != GUACO_OK)
        return rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_EVENT_ADD, &rc);
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, held[0]);
    (void)sqlite3_bind_int64(stmt, 2, number + 1);
    (void)sqlite3_bind_int64(stmt, 3, ends_ms);
    guaco__sql_bind_blob(stmt, 4, event->body);
    rc = guaco__sql_done(stmt);
    guaco__touched_due(&self->base.touched, ends_ms);

    const int64_t trim[2] = {held[0], number + 1 - (int64_t)GUACO_EVENTS_MAX};
    if (rc == GUACO_OK && trim[1] > 0)
        rc = guaco__sql_exec(self, SQL_EVENT_TRIM, 2, trim);
    return rc;
}

/* ---- reading ---- */

static int
read_events(struct sqlite_store *self, struct guaco__op_read *read)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_EVENT_AFTER, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)read->id);
    (void)sqlite3_bind_int64(stmt, 2, read->after);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        rc = guaco__news_event(read->news,
                               (uint32_t)sqlite3_column_int64(stmt, 0),
                               guaco__sql_blob(stmt, 1));
        if (rc != GUACO_OK)
            break;
    }
    (void)sqlite3_reset(stmt);
    return rc;
}

static int
drop_result(struct sqlite_store *self, uint64_t id)
{
    const int64_t values[2] = {(int64_t)id, INT64_MAX};
    int rc = guaco__sql_exec(self, SQL_RESULT_DROP, 1, values);

    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_EVENT_TRIM, 2, values);
}

static bool
is_sound(const struct guaco_result *result)
{
    return result->state >= GUACO_TASK_DONE && result->state <= GUACO_TASK_DEAD;
}

int
guaco__sqlite_read(struct sqlite_store *self, struct guaco__op_read *read)
{
    if (read->members)
        return guaco__sqlite_members(self, read->id, read->news);
    int rc = read_events(self, read);
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_RESULT_GET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)read->id);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    struct guaco_result result = {
        .id = read->id,
        .state = (enum guaco_task_state)sqlite3_column_int(stmt, 0),
        .attempt = (uint32_t)sqlite3_column_int64(stmt, 1),
        .finished_ms = sqlite3_column_int64(stmt, 2),
        .body = guaco__sql_blob(stmt, 3),
        .reason = guaco__sql_blob(stmt, 4),
    };
    rc = is_sound(&result) ? guaco__news_result(read->news, &result)
                           : GUACO_E_IO;
    (void)sqlite3_reset(stmt);
    return rc == GUACO_OK && read->take ? drop_result(self, read->id) : rc;
}

/* ---- expiry ---- */

int
guaco__sqlite_sweep(struct sqlite_store *self, struct guaco__op_sweep *sweep)
{
    static const struct {
        enum sqlite_statement drop;
        enum sqlite_statement next;
    } kinds[] = {
        {SQL_RESULT_ENDED, SQL_RESULT_NEXT},
        {SQL_EVENT_ENDED, SQL_EVENT_NEXT},
        {SQL_UNIQUE_ENDED, SQL_UNIQUE_NEXT},
        {SQL_KEY_ENDED, SQL_KEY_NEXT},
    };
    const int64_t values[2] = {self->now_ms, sweep->limit};
    int rc = GUACO_OK;

    sweep->next_end_ms = INT64_MAX;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && rc == GUACO_OK;
         i++) {
        int64_t next_ms = INT64_MAX;
        rc = guaco__sql_exec(self, kinds[i].drop, 2, values);
        if (rc != GUACO_OK)
            break;
        uint32_t count = (uint32_t)sqlite3_changes(self->db);
        if (count > sweep->count)
            sweep->count = count;
        rc = guaco__sql_number(self, kinds[i].next, 0, NULL, INT64_MAX,
                               &next_ms);
        if (next_ms < sweep->next_end_ms)
            sweep->next_end_ms = next_ms;
    }
    return rc;
}
