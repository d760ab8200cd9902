/* Finding a task of the SQLite store by its id, and ending it where it is. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"

/* ---- finding ---- */

/* The row that `which` gives for `key`, if any. */
static int
ask(struct sqlite_store *self, enum sqlite_statement which, int64_t key,
    enum sqlite_place place, struct sqlite_found *found)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, which, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, key);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    found->place = place;
    found->rank = sqlite3_column_int64(stmt, 0);
    found->attempt = (uint32_t)sqlite3_column_int64(stmt, 1);
    found->failures = (uint32_t)sqlite3_column_int64(stmt, 2);
    found->deaths = (uint32_t)sqlite3_column_int64(stmt, 3);
    found->ruled = sqlite3_column_int(stmt, 4) != 0;
    found->other = sqlite3_column_int64(stmt, 5);
    found->suspect = sqlite3_column_int(stmt, 6) != 0;
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

/*
 * The rank of `id` among ready or suspect tasks, 0 if it is not there.  They
 * have no index by id, but within one queue and priority they are ordered by
 * it: so look at the one place where it would be in each of those that there
 * are, which costs as many steps as there are priorities in use.
 */
static int
seek(struct sqlite_store *self, enum sqlite_statement which, uint64_t id,
     int64_t *rank)
{
    int64_t at = 0, first;

    *rank = 0;
    for (;;) {
        int rc = guaco__sql_number(self, which, 1, &at, 0, &first);
        if (rc != GUACO_OK || first == 0)
            return rc;
        int64_t here = (first & ~(int64_t)RANK_ID_MAX) | (int64_t)id;
        if (first < here) {
            rc = guaco__sql_number(self, which, 1, &here, 0, &first);
            if (rc != GUACO_OK)
                return rc;
        }
        if (first == here) {
            *rank = here;
            return GUACO_OK;
        }
        if (here > INT64_MAX - (int64_t)RANK_ID_MAX)
            return GUACO_OK;
        at = (here | (int64_t)RANK_ID_MAX) + 1;
    }
}

static int
find_waiting(struct sqlite_store *self, uint64_t id, struct sqlite_found *found)
{
    int64_t rank;
    int rc = seek(self, SQL_READY_SEEK, id, &rank);

    if (rc == GUACO_OK && rank != 0)
        return ask(self, SQL_READY_FIND, rank, PLACE_READY, found);
    if (rc == GUACO_OK)
        rc = seek(self, SQL_SUSPECT_SEEK, id, &rank);
    if (rc == GUACO_OK && rank != 0)
        return ask(self, SQL_SUSPECT_FIND, rank, PLACE_SUSPECT, found);
    return rc;
}

int
guaco__sqlite_find(struct sqlite_store *self, uint64_t id,
                   struct sqlite_found *found)
{
    static const struct {
        enum sqlite_statement which;
        enum sqlite_place place;
    } by_id[] = {
        {SQL_RUNNING_FIND, PLACE_RUNNING},
        {SQL_HELD_FIND, PLACE_HELD},
        {SQL_DELAYED_FIND, PLACE_DELAYED},
        {SQL_ASIDE_FIND, PLACE_ASIDE},
    };
    int rc = GUACO_OK;

    *found = (struct sqlite_found){.id = id};
    if (id == 0 || id > RANK_ID_MAX)
        return GUACO_OK;
    for (size_t i = 0; i < sizeof by_id / sizeof by_id[0] && rc == GUACO_OK &&
                       found->place == PLACE_NOWHERE;
         i++)
        rc = ask(self, by_id[i].which, (int64_t)id, by_id[i].place, found);
    if (rc == GUACO_OK && found->place == PLACE_NOWHERE)
        rc = find_waiting(self, id, found);
    return rc;
}

int
guaco__sqlite_take(struct sqlite_store *self, const struct sqlite_found *found)
{
    const int64_t one[2] = {found->rank, found->rank};
    const int64_t two[2] = {found->other, found->rank};
    const int64_t id = (int64_t)found->id;

    switch (found->place) {
    case PLACE_READY: return guaco__sql_exec(self, SQL_READY_DROP, 2, one);
    case PLACE_SUSPECT: return guaco__sql_exec(self, SQL_SUSPECT_DROP, 2, one);
    case PLACE_ASIDE: return guaco__sql_exec(self, SQL_ASIDE_DROP, 2, two);
    case PLACE_DELAYED: return guaco__sql_exec(self, SQL_DELAYED_TAKE, 2, two);
    case PLACE_HELD: return guaco__sql_exec(self, SQL_HELD_DROP, 1, &id);
    case PLACE_RUNNING:
    case PLACE_NOWHERE: break;
    }
    return GUACO_E_STATE;
}

/* ---- canceling ---- */

int
guaco__sqlite_end_canceled(struct sqlite_store *self, int64_t rank, bool ruled,
                           uint32_t attempt, struct guaco_slice reason,
                           uint32_t ttl_s)
{
    const struct guaco_slice nothing = {0};
    const struct guaco_result result = {
        .id = rank_id(rank),
        .state = GUACO_TASK_CANCELED,
        .attempt = attempt,
        .finished_ms = self->now_ms,
        .reason = reason,
    };
    int rc = guaco__sqlite_result(self, rank_queue(rank), &result, ttl_s);

    if (rc == GUACO_OK && ruled)
        rc = guaco__sqlite_rules_end(self, result.id, GUACO_TASK_CANCELED,
                                     nothing);
    return rc;
}

static int
mark(struct sqlite_store *self, const struct sqlite_found *found,
     struct guaco__op_cancel *cancel)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RUNNING_CANCEL, &rc);

    if (stmt == NULL)
        return rc;
    cancel->owner = (uint64_t)found->other;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)found->id);
    guaco__sql_bind_blob(stmt, 2, cancel->reason);
    return guaco__sql_done(stmt);
}

static enum guaco_task_state
state_of(enum sqlite_place place)
{
    switch (place) {
    case PLACE_READY:
    case PLACE_SUSPECT:
    case PLACE_ASIDE: return GUACO_TASK_WAITING;
    case PLACE_DELAYED: return GUACO_TASK_DELAYED;
    case PLACE_HELD: return GUACO_TASK_HELD;
    case PLACE_RUNNING:
    case PLACE_NOWHERE: break;
    }
    return GUACO_TASK_RUNNING;
}

int
guaco__sqlite_cancel(struct sqlite_store *self, struct guaco__op_cancel *cancel)
{
    struct sqlite_found found;
    int rc = guaco__sqlite_find(self, cancel->id, &found);

    if (rc == GUACO_OK && found.place == PLACE_NOWHERE)
        return GUACO_E_MISSING;
    if (rc != GUACO_OK)
        return rc;
    cancel->was = state_of(found.place);
    if (found.place == PLACE_RUNNING)
        return mark(self, &found, cancel);
    rc = guaco__sqlite_take(self, &found);
    if (rc == GUACO_OK)
        rc = guaco__sqlite_end_canceled(self, found.rank, found.ruled,
                                        found.attempt, cancel->reason,
                                        cancel->ttl_s);
    guaco__touched_topic(&self->base.touched, cancel->id);
    return rc;
}

/* ---- purging ---- */

static int
count_purged(struct sqlite_store *self, enum sqlite_statement which, int n,
             const int64_t *values, uint64_t *count)
{
    int rc = guaco__sql_exec(self, which, n, values);

    if (rc == GUACO_OK)
        *count += (uint64_t)sqlite3_changes(self->db);
    return rc;
}

/* The ids that `which` gives; of the caller, free(). */
static int
collect(struct sqlite_store *self, enum sqlite_statement which,
        const int64_t range[2], uint64_t **ids, size_t *n)
{
    size_t room = 0;
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, which, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, range[0]);
    (void)sqlite3_bind_int64(stmt, 2, range[1]);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        if (*n == room) {
            room = room == 0 ? 64 : room * 2;
            uint64_t *more = realloc(*ids, room * sizeof *more);
            if (more == NULL) {
                rc = GUACO_E_NOMEM;
                break;
            }
            *ids = more;
        }
        (*ids)[(*n)++] = rank_id(sqlite3_column_int64(stmt, 0));
    }
    (void)sqlite3_reset(stmt);
    return rc;
}

/* Those with rules, one by one.  What ends or is made ready by it is where it
 * was not when they were collected. */
static int
purge_ruled(struct sqlite_store *self, enum sqlite_statement which,
            const int64_t range[2], uint64_t *count)
{
    const struct guaco_slice nothing = {0};
    uint64_t *ids = NULL;
    size_t n = 0;
    int rc = collect(self, which, range, &ids, &n);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        struct sqlite_found found;
        rc = guaco__sqlite_find(self, ids[i], &found);
        if (rc != GUACO_OK || found.place == PLACE_NOWHERE)
            continue;
        rc = guaco__sqlite_take(self, &found);
        if (rc == GUACO_OK)
            rc = guaco__sqlite_rules_end(self, ids[i], GUACO_TASK_CANCELED,
                                         nothing);
        (*count)++;
    }
    free(ids);
    return rc;
}

static int
purge_waiting(struct sqlite_store *self, const int64_t range[2],
              uint64_t *count)
{
    int rc = purge_ruled(self, SQL_RULED_WAITING, range, count);

    if (rc == GUACO_OK)
        rc = count_purged(self, SQL_PURGE_WAITING, 2, range, count);
    return rc != GUACO_OK
               ? rc
               : count_purged(self, SQL_PURGE_SUSPECT, 2, range, count);
}

int
guaco__sqlite_purge(struct sqlite_store *self, struct guaco__op_purge *op)
{
    int64_t queue, values[3] = {0};
    int rc = guaco__sqlite_queue(self, op->queue, false, &queue);

    if (rc != GUACO_OK || queue == 0)
        return rc;
    if (op->state == GUACO_TASK_DONE)
        return count_purged(self, SQL_PURGE_RESULT, 1, &queue, &op->count);
    rank_range(queue, values);
    if (op->state == GUACO_TASK_DEAD)
        return count_purged(self, SQL_DEAD_DROP, 3, values, &op->count);
    if (op->state == GUACO_TASK_HELD)
        return purge_ruled(self, SQL_RULED_HELD, values, &op->count);
    if (op->state == GUACO_TASK_WAITING)
        return purge_waiting(self, values, &op->count);
    assert(op->state == GUACO_TASK_DELAYED);
    rc = purge_ruled(self, SQL_RULED_DELAYED, values, &op->count);
    return rc != GUACO_OK
               ? rc
               : count_purged(self, SQL_PURGE_DELAYED, 2, values, &op->count);
}
