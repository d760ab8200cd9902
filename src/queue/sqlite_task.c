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
        .ruled = sqlite3_column_int(stmt, 5) != 0,
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
    (void)sqlite3_bind_int(stmt, 6, task->ruled);
    rc = guaco__sql_done(stmt);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_slice name =
        guaco__sqlite_queue_name(self, rank_queue(task->rank));
    if (name.len > 0)
        guaco__touched_ready(&self->base.touched, name, 1);
    return GUACO_OK;
}

int
guaco__sqlite_delay(struct sqlite_store *self, const struct sqlite_task *task,
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
    (void)sqlite3_bind_int(stmt, 8, task->ruled);
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
put_one(struct sqlite_store *self, struct guaco__put *puts, size_t at)
{
    struct guaco__put *put = &puts[at];
    bool ruled = put->rules != NULL || put->hold > 0;
    int64_t queue;
    int rc = guaco__sqlite_queue(self, put->queue, true, &queue);

    if (rc == GUACO_OK)
        rc = ruled ? guaco__sqlite_rules_make(self, puts, at, queue)
                   : guaco__sqlite_id(self, &put->id);
    if (rc != GUACO_OK || (ruled && put->existed))
        return rc;
    struct sqlite_task task = {
        .rank = guaco__rank(queue, put->priority, put->id),
        .ruled = ruled,
        .envelope = put->envelope,
    };
    if (put->hold > 0)
        return guaco__sqlite_hold(self, put, task.rank);
    return put->due_ms > self->now_ms
               ? guaco__sqlite_delay(self, &task, put->due_ms)
               : guaco__sqlite_ready(self, &task);
}

/* An id that was set aside may be used once; of one that was used before and
 * has ended nobody knows. */
static int
check_id(struct sqlite_store *self, uint64_t id)
{
    struct sqlite_found found;
    bool was_given;
    int rc = guaco__sqlite_id_was_given(self, id, &was_given);

    if (rc == GUACO_OK && !was_given)
        return GUACO_E_INVALID;
    if (rc == GUACO_OK)
        rc = guaco__sqlite_find(self, id, &found);
    return rc != GUACO_OK || found.place == PLACE_NOWHERE ? rc : GUACO_E_EXISTS;
}

static int
put_all(struct sqlite_store *self, struct guaco__put *puts, size_t n)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        if (puts[i].id != 0)
            rc = check_id(self, puts[i].id);
        if (rc == GUACO_OK)
            rc = put_one(self, puts, i);
    }
    return rc;
}

/* One of its ids may be refused after others were put. */
static int
put_reserved(struct sqlite_store *self, struct guaco__put *puts, size_t n)
{
    int rc = guaco__sql_exec(self, SQL_SAVEPOINT, 0, NULL);

    if (rc != GUACO_OK)
        return rc;
    int put_rc = put_all(self, puts, n);
    if (put_rc != GUACO_OK)
        rc = guaco__sql_exec(self, SQL_SAVEPOINT_BACK, 0, NULL);
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_SAVEPOINT_END, 0, NULL);
    return put_rc != GUACO_OK ? put_rc : rc;
}

int
guaco__sqlite_put(struct sqlite_store *self, struct guaco__put *puts, size_t n)
{
    int rc = guaco__sqlite_prepare_puts(self, puts, n);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        if (puts[i].id != 0)
            return put_reserved(self, puts, n);
    return rc != GUACO_OK ? rc : put_all(self, puts, n);
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
    (void)sqlite3_bind_int(stmt, 11, task->ruled);
    return guaco__sql_done(stmt);
}

static int
give_row(struct sqlite_store *self, struct guaco__op_claim *claim,
         struct sqlite_task *task, uint32_t members)
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
        .has_rules = task->ruled,
        .members = members,
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

/* Give a task, unless its rules have it set aside. */
static int
give_task(struct sqlite_store *self, struct guaco__op_claim *claim,
          struct sqlite_task *task, bool *given)
{
    struct sqlite_rule rule = {0};
    int rc = GUACO_OK;

    *given = true;
    if (task->ruled)
        rc = guaco__sqlite_rule_get(self, rank_id(task->rank), &rule);
    if (rc == GUACO_OK && task->ruled)
        rc = guaco__sqlite_lanes_enter(self, task, &rule, given);
    if (rc != GUACO_OK || !*given)
        return rc;
    if (task->ruled)
        rc = guaco__sqlite_rule_begin(self, &rule);
    return rc != GUACO_OK ? rc : give_row(self, claim, task, rule.members);
}

/*
 * Claim from the left end of a queue's range; the rows lie side by side, and
 * whether they were given or set aside, they are dropped as one range.  Nothing
 * may be made ready before that.  One more is read, to know of it.
 */
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
    (void)sqlite3_bind_int64(stmt, 3,
                             (int64_t)head->max + 1 + GUACO__ASIDE_MAX);
    dropped[0] = range[0];
    uint32_t given = 0, aside = 0;
    while ((rc = guaco__sql_row(stmt)) == 1) {
        if (given == head->max || aside == GUACO__ASIDE_MAX ||
            self->kick_count + GUACO_LIMITS_MAX > SQLITE_KICKS_MAX) {
            *more = true;
            rc = GUACO_OK;
            break;
        }
        struct sqlite_task task = guaco__sqlite_task(stmt);
        task.suspect = head->suspect;
        dropped[1] = task.rank;
        bool is_given;
        rc = give_task(self, claim, &task, &is_given);
        if (rc != GUACO_OK)
            break;
        given += is_given;
        aside += !is_given;
    }
    (void)sqlite3_reset(stmt);
    if (rc != GUACO_OK || given + aside == 0)
        return rc;
    rc = guaco__sql_exec(self, head->drop, 2, dropped);
    if (rc == GUACO_OK && self->kick_count > 0)
        rc = guaco__sqlite_lanes_kick(self, self->kicks, self->kick_count);
    return rc;
}

static int
claim_from(struct sqlite_store *self, struct guaco__op_claim *claim,
           int64_t queue)
{
    const struct head suspects = {SQL_SUSPECT_HEAD, SQL_SUSPECT_DROP, true,
                                  claim->alone ? 1 : 0};
    const struct head ready = {SQL_READY_HEAD, SQL_READY_DROP, false,
                               claim->max};

    self->kick_count = 0;
    int rc = claim_head(self, claim, &suspects, queue, &claim->suspects);
    if (rc != GUACO_OK || claim->count > 0)
        return rc;
    self->kick_count = 0;
    rc = claim_head(self, claim, &ready, queue, &claim->more);
    if (rc == GUACO_OK && claim->more && claim->count > 0)
        guaco__touched_ready(&self->base.touched, claim->queue, 1);
    return rc;
}

static int
look(struct sqlite_store *self, struct guaco__op_claim *claim, int64_t queue,
     bool *is_known, bool *is_paused)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_CLAIM_LOOK, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)claim->owner);
    (void)sqlite3_bind_int64(stmt, 2, queue);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    *is_known = sqlite3_column_int(stmt, 0) != 0;
    *is_paused = (sqlite3_column_int(stmt, 1) & 2) != 0;
    claim->revokes = (sqlite3_column_int(stmt, 1) & 1) != 0;
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

int
guaco__sqlite_claim(struct sqlite_store *self, struct guaco__op_claim *claim)
{
    bool is_known = false, is_paused = false;
    int64_t queue;
    int rc = guaco__sqlite_queue(self, claim->queue, false, &queue);

    if (rc == GUACO_OK)
        rc = look(self, claim, queue, &is_known, &is_paused);
    if (rc == GUACO_OK && !is_known)
        return GUACO_E_LOST;
    if (rc == GUACO_OK && queue != 0 && !is_paused)
        rc = claim_from(self, claim, queue);
    if (claim->count > 0)
        guaco__touched_due(&self->base.touched,
                           self->now_ms + GUACO__LEASE_LOOK_MS);
    return rc;
}

/* ---- the end of a run ---- */

/* The reason of its cancel, if it ends by that; *stmt is to be reset. */
static int
why_canceled(struct sqlite_store *self, const struct guaco__op_finish *finish,
             struct guaco_slice *reason, sqlite3_stmt **stmt)
{
    int rc = GUACO_OK;

    *stmt = NULL;
    if (finish->state != GUACO_TASK_CANCELED || finish->reason.len > 0)
        return GUACO_OK;
    *stmt = guaco__sql(self, SQL_RUNNING_WHY, &rc);
    if (*stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(*stmt, 1, (int64_t)finish->id);
    rc = guaco__sql_row(*stmt);
    if (rc == 1)
        *reason = guaco__sql_blob(*stmt, 0);
    return rc < 0 ? rc : GUACO_OK;
}

static int
store_result(struct sqlite_store *self, const struct guaco__op_finish *finish,
             int64_t rank)
{
    struct guaco_result result = {
        .id = finish->id,
        .state = finish->state,
        .attempt = finish->attempt,
        .finished_ms = self->now_ms,
        .body = finish->body,
        .reason = finish->reason,
    };
    sqlite3_stmt *why = NULL;
    int rc = why_canceled(self, finish, &result.reason, &why);

    if (rc == GUACO_OK)
        rc = guaco__sqlite_result(self, rank_queue(rank), &result,
                                  finish->ttl_s);
    (void)sqlite3_reset(why);
    return rc;
}

static int
end_rules(struct sqlite_store *self, const struct guaco__op_finish *finish)
{
    int rc = GUACO_OK;

    if (finish->pass_on && finish->state == GUACO_TASK_DONE &&
        finish->follow_count > 0 && !finish->follow[0].existed)
        rc = guaco__sqlite_pass_on(self, finish->id, finish->follow[0].id);
    return rc != GUACO_OK ? rc
                          : guaco__sqlite_rules_end(
                                self, finish->id, finish->state, finish->body);
}

/* Whether (owner, attempt) holds the task, and its rank; only as much as the
 * finish needs, which is to be cheap. */
static int
look_up(struct sqlite_store *self, const struct guaco__op_finish *finish,
        const int64_t held[3], int64_t *rank)
{
    *rank = 1;
    if (!finish->keep && finish->follow_count == 0)
        return GUACO_OK;
    return guaco__sql_number(self, SQL_RUNNING_RANK, 3, held, 0, rank);
}

int
guaco__sqlite_finish(struct sqlite_store *self,
                     const struct guaco__op_finish *finish)
{
    const int64_t held[3] = {(int64_t)finish->id, (int64_t)finish->owner,
                             finish->attempt};
    int64_t rank;
    int rc =
        guaco__sqlite_prepare_puts(self, finish->follow, finish->follow_count);

    if (rc == GUACO_OK)
        rc = look_up(self, finish, held, &rank);
    if (rc == GUACO_OK && rank == 0)
        return GUACO_E_LOST;
    /* What may be refused comes first. */
    if (rc == GUACO_OK && finish->follow_count > 0)
        rc = guaco__sqlite_put(self, finish->follow, finish->follow_count);
    if (rc == GUACO_OK && finish->keep)
        rc = store_result(self, finish, rank);
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RUNNING_DROP, 3, held);
    if (rc != GUACO_OK)
        return rc;
    if (sqlite3_changes(self->db) == 0)
        return GUACO_E_LOST;
    return finish->has_rules ? end_rules(self, finish) : GUACO_OK;
}

static int
give_back(struct sqlite_store *self, const struct guaco__op_release *release,
          struct sqlite_task *task)
{
    task->failures += release->failed;
    return release->delay_ms > 0
               ? guaco__sqlite_delay(self, task,
                                     self->now_ms + (int64_t)release->delay_ms)
               : guaco__sqlite_ready(self, task);
}

static int
leave_lanes(struct sqlite_store *self, uint64_t id)
{
    struct sqlite_rule rule;
    int rc = guaco__sqlite_rule_get(self, id, &rule);

    return rc != GUACO_OK ? rc : guaco__sqlite_lanes_leave(self, &rule);
}

int
guaco__sqlite_release(struct sqlite_store *self,
                      struct guaco__op_release *release)
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
    release->ended = sqlite3_column_type(stmt, 8) != SQLITE_NULL;
    /* One that failed came to an end of its own: not what kills processes. */
    task.suspect = !release->failed && sqlite3_column_int(stmt, 6) != 0;
    rc = release->ended ? guaco__sqlite_end_canceled(
                              self, task.rank, task.ruled, task.attempt,
                              guaco__sql_blob(stmt, 8), GUACO__RESULT_TTL_S)
                        : give_back(self, release, &task);
    (void)sqlite3_reset(stmt);
    if (rc == GUACO_OK && task.ruled && !release->ended)
        rc = leave_lanes(self, release->id);
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_RUNNING_DROP, 3, held);
}

/* ---- due ---- */

int
guaco__sqlite_promote(struct sqlite_store *self,
                      struct guaco__op_promote *promote)
{
    int64_t last[2] = {0}, next_ms;

    promote->next_due_ms = INT64_MAX;
    int rc = guaco__sqlite_lanes_promote(self, promote);
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_DELAYED_DUE, &rc);
    if (stmt == NULL)
        return rc;
    uint32_t before = promote->count;
    (void)sqlite3_bind_int64(stmt, 1, self->now_ms);
    (void)sqlite3_bind_int64(
        stmt, 2, promote->limit > before ? promote->limit - before : 0);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        struct sqlite_task task = guaco__sqlite_task(stmt);
        task.suspect = sqlite3_column_int(stmt, 6) != 0;
        last[0] = sqlite3_column_int64(stmt, 7);
        last[1] = task.rank;
        rc = guaco__sqlite_ready(self, &task);
        if (rc != GUACO_OK)
            break;
        promote->count++;
    }
    (void)sqlite3_reset(stmt);
    if (rc == GUACO_OK && promote->count > before)
        rc = guaco__sql_exec(self, SQL_DELAYED_DROP, 2, last);
    if (rc == GUACO_OK)
        rc = guaco__sql_number(self, SQL_DELAYED_NEXT, 0, NULL, INT64_MAX,
                               &next_ms);
    if (rc == GUACO_OK && next_ms < promote->next_due_ms)
        promote->next_due_ms = next_ms;
    return rc;
}
