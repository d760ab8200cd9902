/* Rules of the SQLite store's tasks: unique keys, and tasks that wait for
 * others. */

#include <assert.h>

#include "sqlite_int.h"

/* ---- the row ---- */

int
guaco__sqlite_rule_get(struct sqlite_store *self, uint64_t id,
                       struct sqlite_rule *rule)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RULE_GET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)id);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc == 0 ? GUACO_E_IO : rc;
    struct guaco_slice key = guaco__sql_blob(stmt, 2);
    *rule = (struct sqlite_rule){
        .id = id,
        .rank = sqlite3_column_int64(stmt, 0),
        .until = sqlite3_column_int64(stmt, 1),
        .lanes = {sqlite3_column_int64(stmt, 3), sqlite3_column_int64(stmt, 5)},
        .costs = {sqlite3_column_int64(stmt, 4), sqlite3_column_int64(stmt, 6)},
        .counted = sqlite3_column_int(stmt, 7) != 0,
        .aside = sqlite3_column_int64(stmt, 8),
        .joins = sqlite3_column_int64(stmt, 9),
        .member = (uint32_t)sqlite3_column_int64(stmt, 10),
        .members = (uint32_t)sqlite3_column_int64(stmt, 11),
        .key_len = key.len > GUACO_KEY_MAX ? GUACO_KEY_MAX : key.len,
    };
    if (rule->key_len > 0)
        memcpy(rule->key, key.at, rule->key_len);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

static int
add_rule(struct sqlite_store *self, const struct sqlite_rule *rule)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RULE_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)rule->id);
    (void)sqlite3_bind_int64(stmt, 2, rule->rank);
    (void)sqlite3_bind_int64(stmt, 3, rule->until);
    guaco__sql_bind_blob(stmt, 4,
                         (struct guaco_slice){rule->key, rule->key_len});
    for (int i = 0; i < (int)GUACO_LIMITS_MAX; i++) {
        (void)sqlite3_bind_int64(stmt, 5 + 2 * i, rule->lanes[i]);
        (void)sqlite3_bind_int64(stmt, 6 + 2 * i, rule->costs[i]);
    }
    (void)sqlite3_bind_int64(stmt, 9, rule->joins);
    (void)sqlite3_bind_int64(stmt, 10, rule->member);
    (void)sqlite3_bind_int64(stmt, 11, rule->members);
    return guaco__sql_done(stmt);
}

/* ---- unique keys ---- */

static int
look_up(struct sqlite_store *self, int64_t queue, struct guaco_slice key,
        uint64_t *holder)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_UNIQUE_GET, &rc);

    *holder = 0;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, key);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    if (sqlite3_column_type(stmt, 1) == SQLITE_NULL ||
        sqlite3_column_int64(stmt, 1) > self->now_ms)
        *holder = (uint64_t)sqlite3_column_int64(stmt, 0);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

static int
hold_key(struct sqlite_store *self, int64_t queue,
         const struct guaco_rules *rules, uint64_t id)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_UNIQUE_SET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, rules->unique);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)id);
    if (rules->unique_ms == 0) {
        (void)sqlite3_bind_null(stmt, 4);
    } else {
        int64_t ends_ms = self->now_ms + (int64_t)rules->unique_ms;
        (void)sqlite3_bind_int64(stmt, 4, ends_ms);
        guaco__touched_due(&self->base.touched, ends_ms);
    }
    return guaco__sql_done(stmt);
}

static int
free_key(struct sqlite_store *self, const struct sqlite_rule *rule)
{
    int rc = GUACO_OK;
    sqlite3_stmt *stmt =
        rule->key_len == 0 ? NULL : guaco__sql(self, SQL_UNIQUE_DROP, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, rank_queue(rule->rank));
    guaco__sql_bind_blob(stmt, 2,
                         (struct guaco_slice){rule->key, rule->key_len});
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)rule->id);
    return guaco__sql_done(stmt);
}

int
guaco__sqlite_rule_begin(struct sqlite_store *self,
                         const struct sqlite_rule *rule)
{
    const int64_t id = (int64_t)rule->id;

    if (rule->until != GUACO_UNIQUE_STARTED || rule->key_len == 0)
        return GUACO_OK;
    int rc = free_key(self, rule);
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_RULE_KEYLESS, 1, &id);
}

/* ---- making ---- */

static int
make(struct sqlite_store *self, struct guaco__put *puts, size_t at,
     int64_t queue, const struct sqlite_rule *old)
{
    static const struct guaco_rules none;
    struct guaco__put *put = &puts[at];
    const struct guaco_rules *wanted = put->rules == NULL ? &none : put->rules;
    struct sqlite_rule rule = {
        .id = put->id,
        .rank = guaco__rank(queue, put->priority, put->id),
        .until = wanted->unique_until,
        .member = put->member,
        .members = put->hold,
        .key_len = wanted->unique.len,
    };
    int rc = GUACO_OK;

    assert(rule.key_len <= GUACO_KEY_MAX);
    if (rule.key_len > 0)
        memcpy(rule.key, wanted->unique.at, rule.key_len);
    if (wanted->joins != 0) {
        assert(wanted->joins <= at);
        rule.joins = (int64_t)puts[wanted->joins - 1].id;
    }
    if (old != NULL) {
        rule.joins = old->joins;
        rule.member = old->member;
    }
    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++) {
        const struct guaco_limit *limit = &wanted->limits[i];
        rule.costs[i] = limit->cost == 0 ? 1 : limit->cost;
        if (limit->key.len > 0)
            rc = guaco__sqlite_lane_get(self, queue, limit, &rule.lanes[i]);
    }
    if (rc == GUACO_OK && rule.key_len > 0)
        rc = hold_key(self, queue, wanted, put->id);
    return rc != GUACO_OK ? rc : add_rule(self, &rule);
}

static int
leave_lanes(struct sqlite_store *self, const struct sqlite_rule *rule)
{
    int rc = GUACO_OK;

    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++)
        if (rule->lanes[i] != 0)
            rc = guaco__sqlite_lane_put(self, rule->lanes[i]);
    return rc;
}

/* `put` in the place of who holds its key, if that one waits. */
static int
replace(struct sqlite_store *self, struct guaco__put *puts, size_t at,
        int64_t queue)
{
    struct guaco__put *put = &puts[at];
    struct sqlite_found found;
    struct sqlite_rule old;
    const int64_t id = (int64_t)put->id;
    int rc = guaco__sqlite_find(self, put->id, &found);

    if (rc != GUACO_OK || found.suspect ||
        (found.place != PLACE_READY && found.place != PLACE_DELAYED &&
         found.place != PLACE_ASIDE))
        return rc;
    rc = guaco__sqlite_rule_get(self, put->id, &old);
    if (rc == GUACO_OK)
        rc = guaco__sqlite_take(self, &found);
    if (rc == GUACO_OK) /* it may have had a turn */
        rc = guaco__sqlite_lanes_kick(self, old.lanes, GUACO_LIMITS_MAX);
    if (rc == GUACO_OK)
        rc = leave_lanes(self, &old);
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RULE_DROP, 1, &id);
    if (rc == GUACO_OK)
        rc = make(self, puts, at, queue, &old);
    if (rc != GUACO_OK)
        return rc;
    struct sqlite_task task = {
        .rank = guaco__rank(queue, put->priority, put->id),
        .ruled = true,
        .envelope = put->envelope,
        .attempt = found.attempt,
        .failures = found.failures,
        .deaths = found.deaths,
    };
    return put->due_ms > self->now_ms
               ? guaco__sqlite_delay(self, &task, put->due_ms)
               : guaco__sqlite_ready(self, &task);
}

int
guaco__sqlite_rules_make(struct sqlite_store *self, struct guaco__put *puts,
                         size_t at, int64_t queue)
{
    struct guaco__put *put = &puts[at];
    const struct guaco_rules *rules = put->rules;
    const struct guaco_slice nothing = {0};
    uint64_t holder = 0;
    int rc = GUACO_OK;

    if (rules != NULL && rules->unique.len > 0)
        rc = look_up(self, queue, rules->unique, &holder);
    if (rc != GUACO_OK)
        return rc;
    put->existed = holder != 0;
    if (!put->existed) {
        if (put->id == 0)
            rc = guaco__sqlite_id(self, &put->id);
        return rc != GUACO_OK ? rc : make(self, puts, at, queue, NULL);
    }
    put->id = holder;
    if (rules->unique_replace)
        rc = replace(self, puts, at, queue);
    if (rc == GUACO_OK && rules->joins != 0)
        rc = guaco__sqlite_joined(self, (int64_t)puts[rules->joins - 1].id,
                                  put->member, holder, GUACO_TASK_CANCELED,
                                  nothing);
    return rc;
}

int
guaco__sqlite_hold(struct sqlite_store *self, const struct guaco__put *put,
                   int64_t rank)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_HELD_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)put->id);
    (void)sqlite3_bind_int64(stmt, 2, rank);
    (void)sqlite3_bind_int64(stmt, 3, put->due_ms);
    (void)sqlite3_bind_int64(stmt, 4, put->hold);
    (void)sqlite3_bind_int(
        stmt, 5, put->rules != NULL && put->rules->joins_must_succeed);
    guaco__sql_bind_blob(stmt, 6, put->envelope);
    return guaco__sql_done(stmt);
}

/* ---- ending ---- */

static int
add_member(struct sqlite_store *self, int64_t held, uint32_t number,
           const struct guaco_member *how, bool *is_new)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_MEMBER_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, held);
    (void)sqlite3_bind_int64(stmt, 2, number);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)how->id);
    (void)sqlite3_bind_int(stmt, 4, (int)how->state);
    guaco__sql_bind_blob(stmt, 5, how->body);
    rc = guaco__sql_done(stmt);
    *is_new = sqlite3_changes(self->db) > 0;
    return rc;
}

/* A task that waited has failed with one that it waited for. */
static int
fail_held(struct sqlite_store *self, int64_t rank, uint32_t number,
          enum guaco_task_state state)
{
    char text[GUACO_REASON_MAX];
    const int64_t id = (int64_t)rank_id(rank);
    struct guaco_result result = {
        .id = (uint64_t)id,
        .state = GUACO_TASK_FAILED,
        .finished_ms = self->now_ms,
        .reason = guaco__joined_reason(text, number, state),
    };
    int rc = guaco__sqlite_result(self, rank_queue(rank), &result,
                                  GUACO__RESULT_TTL_S);

    guaco__touched_topic(&self->base.touched, result.id);
    return rc != GUACO_OK ? rc : guaco__sql_exec(self, SQL_HELD_DROP, 1, &id);
}

static int
let_go(struct sqlite_store *self, sqlite3_stmt *stmt, int64_t due_ms)
{
    struct sqlite_task task = guaco__sqlite_task(stmt);
    const int64_t id = (int64_t)rank_id(task.rank);
    int rc = due_ms > self->now_ms ? guaco__sqlite_delay(self, &task, due_ms)
                                   : guaco__sqlite_ready(self, &task);

    (void)sqlite3_reset(stmt);
    return rc != GUACO_OK ? rc : guaco__sql_exec(self, SQL_HELD_DROP, 1, &id);
}

/* What the end of a member means to the one that waits: *next is what that
 * joins in its turn, if it ended too; else its joins is 0. */
static int
tell_held(struct sqlite_store *self, int64_t held, uint32_t number,
          const struct guaco_member *how, struct sqlite_rule *next)
{
    bool is_new = false;
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_HELD_GET, &rc);

    next->joins = 0;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, held);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc; /* it has failed, or was canceled */
    int64_t rank = sqlite3_column_int64(stmt, 0);
    int64_t due_ms = sqlite3_column_int64(stmt, 6);
    bool is_last = sqlite3_column_int64(stmt, 7) <= 1;
    bool must = sqlite3_column_int(stmt, 8) != 0;
    rc = add_member(self, held, number, how, &is_new);
    if (rc == GUACO_OK && is_new && is_last &&
        !(must && how->state != GUACO_TASK_DONE))
        return let_go(self, stmt, due_ms);
    (void)sqlite3_reset(stmt);
    if (rc != GUACO_OK || !is_new)
        return rc;
    if (!must || how->state == GUACO_TASK_DONE)
        return guaco__sql_exec(self, SQL_HELD_LESS, 1, &held);
    rc = fail_held(self, rank, number, how->state);
    return rc != GUACO_OK ? rc
                          : guaco__sqlite_rule_get(self, (uint64_t)held, next);
}

/* All that a rule bound is free; what it joins is the caller's. */
static int
drop_rule(struct sqlite_store *self, const struct sqlite_rule *rule)
{
    const int64_t id = (int64_t)rule->id;
    int rc = rule->counted ? guaco__sqlite_lanes_leave(self, rule)
                           : guaco__sqlite_lanes_kick(self, rule->lanes,
                                                      GUACO_LIMITS_MAX);

    if (rc == GUACO_OK && rule->until != GUACO_UNIQUE_TIME)
        rc = free_key(self, rule);
    if (rc == GUACO_OK)
        rc = leave_lanes(self, rule);
    if (rc == GUACO_OK && rule->members > 0)
        rc = guaco__sql_exec(self, SQL_MEMBER_DROP, 1, &id);
    return rc != GUACO_OK ? rc : guaco__sql_exec(self, SQL_RULE_DROP, 1, &id);
}

/* Upwards through all that end by it. */
int
guaco__sqlite_joined(struct sqlite_store *self, int64_t held, uint32_t number,
                     uint64_t id, enum guaco_task_state state,
                     struct guaco_slice body)
{
    struct guaco_member how = {.id = id, .state = state, .body = body};
    int rc = GUACO_OK;

    while (held != 0 && rc == GUACO_OK) {
        struct sqlite_rule next = {0};
        rc = tell_held(self, held, number, &how, &next);
        if (rc != GUACO_OK || next.id == 0)
            break;
        how = (struct guaco_member){.id = next.id, .state = GUACO_TASK_FAILED};
        held = next.joins;
        number = next.member;
        rc = drop_rule(self, &next);
    }
    return rc;
}

int
guaco__sqlite_rules_end(struct sqlite_store *self, uint64_t id,
                        enum guaco_task_state state, struct guaco_slice body)
{
    struct sqlite_rule rule;
    int rc = guaco__sqlite_rule_get(self, id, &rule);

    if (rc == GUACO_OK)
        rc = drop_rule(self, &rule);
    if (rc == GUACO_OK)
        rc = guaco__sqlite_joined(self, rule.joins, rule.member, id, state,
                                  body);
    return rc;
}

int
guaco__sqlite_pass_on(struct sqlite_store *self, uint64_t from, uint64_t to)
{
    struct sqlite_rule rule;
    int rc = guaco__sqlite_rule_get(self, from, &rule);
    const int64_t give[3] = {(int64_t)to, rule.joins, rule.member};
    const int64_t none[3] = {(int64_t)from, 0, 0};

    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RULE_JOINS, 3, give);
    return rc != GUACO_OK ? rc : guaco__sql_exec(self, SQL_RULE_JOINS, 3, none);
}

int
guaco__sqlite_members(struct sqlite_store *self, uint64_t id,
                      struct guaco_news *news)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_MEMBER_ALL, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, (int64_t)id);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        const struct guaco_member member = {
            .number = (uint32_t)sqlite3_column_int64(stmt, 0),
            .id = (uint64_t)sqlite3_column_int64(stmt, 1),
            .state = (enum guaco_task_state)sqlite3_column_int(stmt, 2),
            .body = guaco__sql_blob(stmt, 3),
        };
        rc = guaco__news_member(news, &member);
        if (rc != GUACO_OK)
            break;
    }
    (void)sqlite3_reset(stmt);
    return rc;
}
