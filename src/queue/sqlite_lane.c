/* Limits of the SQLite store; how they work is said in memory_lane.c. */

#include <assert.h>

#include "sqlite_int.h"

struct lane {
    int64_t id;
    int64_t refs;
    int64_t running;
    int64_t most;
    struct guaco__rate rate;
    int64_t full_us;
    int64_t wake_ms; /* INT64_MAX: none */
    bool has_aside;
};

static int
load(struct sqlite_store *self, int64_t id, struct lane *lane)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_LANE_GET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, id);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc == 0 ? GUACO_E_IO : rc;
    bool has_wake = sqlite3_column_type(stmt, 6) != SQLITE_NULL;
    *lane = (struct lane){
        .id = id,
        .refs = sqlite3_column_int64(stmt, 0),
        .running = sqlite3_column_int64(stmt, 1),
        .most = sqlite3_column_int64(stmt, 2),
        .rate = {sqlite3_column_int64(stmt, 3), sqlite3_column_int64(stmt, 4)},
        .full_us = sqlite3_column_int64(stmt, 5),
        .wake_ms = has_wake ? sqlite3_column_int64(stmt, 6) : INT64_MAX,
        .has_aside = sqlite3_column_int(stmt, 7) != 0,
    };
    lane->full_us =
        guaco__rate_clamp(&lane->rate, self->now_ms * 1000, lane->full_us);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

/* Or drop it, when nothing needs it any more. */
static int
save(struct sqlite_store *self, const struct lane *lane)
{
    const int64_t values[5] = {lane->id, lane->refs, lane->running,
                               lane->full_us, lane->wake_ms};
    bool is_full =
        lane->rate.interval_us == 0 || lane->full_us <= self->now_ms * 1000;

    if (lane->refs <= 0 && is_full)
        return guaco__sql_exec(self, SQL_LANE_DROP, 1, values);
    guaco__touched_due(&self->base.touched, lane->wake_ms);
    return guaco__sql_exec(self, SQL_LANE_SET, 5, values);
}

/* ---- life ---- */

static int
find(struct sqlite_store *self, int64_t queue, struct guaco_slice name,
     int64_t *id, int64_t *most)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_LANE_FIND, &rc);

    *id = 0;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, name);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    *id = sqlite3_column_int64(stmt, 0);
    *most = sqlite3_column_int64(stmt, 1);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

static int
add(struct sqlite_store *self, int64_t queue, struct guaco_slice name,
    int64_t *id)
{
    uint64_t fresh;
    int rc = guaco__sqlite_id(self, &fresh);
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_LANE_ADD, &rc);

    if (stmt == NULL)
        return rc;
    *id = (int64_t)fresh;
    (void)sqlite3_bind_int64(stmt, 1, *id);
    (void)sqlite3_bind_int64(stmt, 2, queue);
    guaco__sql_bind_blob(stmt, 3, name);
    return guaco__sql_done(stmt);
}

int
guaco__sqlite_lane_get(struct sqlite_store *self, int64_t queue,
                       const struct guaco_limit *limit, int64_t *id)
{
    struct guaco__rate rate = guaco__rate_of(limit);
    int64_t most = 0;
    struct lane lane;
    int rc = find(self, queue, limit->key, id, &most);

    if (rc == GUACO_OK && *id == 0)
        rc = add(self, queue, limit->key, id);
    const int64_t values[4] = {*id, limit->running_max, rate.interval_us,
                               rate.burst};
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_LANE_USE, 4, values);
    if (rc != GUACO_OK || most == 0 ||
        (limit->running_max != 0 && limit->running_max <= most))
        return rc;
    /* It is wider than it was: others may be let run now. */
    rc = load(self, *id, &lane);
    if (rc != GUACO_OK || !lane.has_aside)
        return rc;
    lane.wake_ms = self->now_ms;
    return save(self, &lane);
}

int
guaco__sqlite_lane_put(struct sqlite_store *self, int64_t id)
{
    struct lane lane;
    int rc = load(self, id, &lane);

    if (rc != GUACO_OK)
        return rc;
    lane.refs--;
    if (lane.refs <= 0)
        lane.wake_ms = lane.full_us / 1000 + 1;
    return save(self, &lane);
}

/* ---- aside and back ---- */

static bool
has_room(const struct lane *lane)
{
    return lane->most == 0 || lane->running < lane->most;
}

static int
set_aside(struct sqlite_store *self, const struct sqlite_task *task,
          int64_t lane)
{
    const int64_t values[2] = {(int64_t)rank_id(task->rank), lane};
    int rc = guaco__sql_exec(self, SQL_RULE_ASIDE, 2, values);
    sqlite3_stmt *stmt =
        rc != GUACO_OK ? NULL : guaco__sql(self, SQL_ASIDE_ADD, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, lane);
    (void)sqlite3_bind_int64(stmt, 2, task->rank);
    (void)sqlite3_bind_int64(stmt, 3, task->attempt);
    (void)sqlite3_bind_int64(stmt, 4, task->failures);
    (void)sqlite3_bind_int64(stmt, 5, task->deaths);
    (void)sqlite3_bind_int(stmt, 6, task->suspect);
    guaco__sql_bind_blob(stmt, 7, task->envelope);
    return guaco__sql_done(stmt);
}

/* The first one aside, if the lane lets it run; see bring_back. */
static int
bring_one(struct sqlite_store *self, const struct lane *lane, int64_t *full_us,
          int64_t *at_ms, bool *came, bool *is_suspect)
{
    int64_t now_us = self->now_ms * 1000;
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_ASIDE_FIRST, &rc);

    *came = *is_suspect = false;
    *at_ms = self->now_ms;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, lane->id);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    struct sqlite_task task = guaco__sqlite_task(stmt);
    *is_suspect = task.suspect = sqlite3_column_int(stmt, 6) != 0;
    int64_t after_us = *full_us;
    int64_t at_us =
        guaco__rate_take(&lane->rate, (uint32_t)sqlite3_column_int64(stmt, 7),
                         now_us, &after_us);
    if (!*is_suspect)
        *full_us = after_us;
    *came = has_room(lane) && at_us <= now_us;
    *at_ms = !has_room(lane)   ? INT64_MAX
             : at_us <= now_us ? self->now_ms
                               : (at_us + 999) / 1000;
    rc = *came ? guaco__sqlite_ready(self, &task) : GUACO_OK;
    (void)sqlite3_reset(stmt);
    const int64_t place[2] = {lane->id, task.rank};
    const int64_t rule[2] = {(int64_t)rank_id(task.rank), 0};
    if (rc == GUACO_OK && *came)
        rc = guaco__sql_exec(self, SQL_ASIDE_DROP, 2, place);
    if (rc == GUACO_OK && *came)
        rc = guaco__sql_exec(self, SQL_RULE_ASIDE, 2, rule);
    return rc;
}

/* As in memory_lane.c: *count grows by those that came; *at_ms says when the
 * next may. */
static int
bring_back(struct sqlite_store *self, const struct lane *lane, int64_t *full_us,
           uint32_t *count, int64_t *at_ms)
{
    bool came = true, is_suspect = true;
    int rc = GUACO_OK;

    while (rc == GUACO_OK && came && is_suspect) {
        rc = bring_one(self, lane, full_us, at_ms, &came, &is_suspect);
        *count += came;
    }
    return rc;
}

int
guaco__sqlite_lanes_kick(struct sqlite_store *self, const int64_t *lanes,
                         size_t n)
{
    struct lane lane;
    int rc = GUACO_OK;

    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        int64_t at_ms = 0, full_us;
        uint32_t count = 0;
        if (lanes[i] == 0)
            continue;
        rc = load(self, lanes[i], &lane);
        if (rc != GUACO_OK || !lane.has_aside)
            continue;
        full_us = lane.full_us;
        rc = bring_back(self, &lane, &full_us, &count, &at_ms);
        if (rc != GUACO_OK || at_ms <= self->now_ms || at_ms >= lane.wake_ms)
            continue;
        lane.wake_ms = at_ms;
        rc = save(self, &lane);
    }
    return rc;
}

/* ---- entering and leaving ---- */

static int64_t
ask(const struct sqlite_store *self, const struct lane *lane, int64_t cost,
    int64_t *full_us)
{
    int64_t now_us = self->now_ms * 1000;

    *full_us = lane->full_us;
    if (!has_room(lane))
        return INT64_MAX;
    int64_t at_us =
        guaco__rate_take(&lane->rate, (uint32_t)cost, now_us, full_us);
    return at_us > now_us ? (at_us + 999) / 1000 : self->now_ms;
}

/* Refused by `lane` until at_ms.  The other lanes' turns go to others, but only
 * after the claim has dropped what it read. */
static int
refuse(struct sqlite_store *self, const struct sqlite_task *task,
       const struct sqlite_rule *rule, struct lane *lane, int64_t at_ms)
{
    int rc = set_aside(self, task, lane->id);

    if (at_ms < lane->wake_ms)
        lane->wake_ms = at_ms;
    if (rc == GUACO_OK)
        rc = save(self, lane);
    for (unsigned i = 0; i < GUACO_LIMITS_MAX; i++) {
        if (rule->lanes[i] == 0 || rule->lanes[i] == lane->id)
            continue;
        assert(self->kick_count < SQLITE_KICKS_MAX);
        self->kicks[self->kick_count++] = rule->lanes[i];
    }
    return rc;
}

int
guaco__sqlite_lanes_enter(struct sqlite_store *self,
                          const struct sqlite_task *task,
                          const struct sqlite_rule *rule, bool *may)
{
    const int64_t counted[2] = {(int64_t)rule->id, 1};
    struct lane lanes[GUACO_LIMITS_MAX];
    int64_t fulls[GUACO_LIMITS_MAX];
    int rc = GUACO_OK;

    *may = false;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++) {
        if (rule->lanes[i] == 0)
            continue;
        rc = load(self, rule->lanes[i], &lanes[i]);
        if (rc != GUACO_OK)
            break;
        int64_t at_ms = ask(self, &lanes[i], rule->costs[i], &fulls[i]);
        if (at_ms > self->now_ms)
            return refuse(self, task, rule, &lanes[i], at_ms);
    }
    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++) {
        if (rule->lanes[i] == 0)
            continue;
        lanes[i].running++;
        lanes[i].full_us = fulls[i];
        rc = save(self, &lanes[i]);
    }
    *may = rc == GUACO_OK;
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_RULE_COUNTED, 2, counted);
}

int
guaco__sqlite_lanes_leave(struct sqlite_store *self,
                          const struct sqlite_rule *rule)
{
    const int64_t counted[2] = {(int64_t)rule->id, 0};
    struct lane lane;
    int rc = GUACO_OK;

    if (!rule->counted)
        return GUACO_OK;
    for (unsigned i = 0; i < GUACO_LIMITS_MAX && rc == GUACO_OK; i++) {
        if (rule->lanes[i] == 0)
            continue;
        rc = load(self, rule->lanes[i], &lane);
        lane.running -= lane.running > 0;
        if (rc == GUACO_OK)
            rc = save(self, &lane);
    }
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RULE_COUNTED, 2, counted);
    return rc != GUACO_OK
               ? rc
               : guaco__sqlite_lanes_kick(self, rule->lanes, GUACO_LIMITS_MAX);
}

/* ---- by the clock ---- */

/* Those that may run by now, and when the next one may. */
static int
wake_lane(struct sqlite_store *self, int64_t id, uint32_t limit,
          uint32_t *count)
{
    struct lane lane;
    int rc = load(self, id, &lane);
    int64_t at_ms = self->now_ms, full_us = lane.full_us;
    int64_t room = lane.most == 0 ? INT64_MAX : lane.most - lane.running;

    if (rc != GUACO_OK)
        return rc;
    lane.wake_ms = INT64_MAX;
    if (lane.refs <= 0)
        lane.wake_ms = lane.full_us / 1000 + 1;
    for (uint32_t before = UINT32_MAX;
         rc == GUACO_OK && lane.has_aside && room-- > 0 && *count < limit &&
         *count != before && at_ms <= self->now_ms;) {
        before = *count;
        rc = bring_back(self, &lane, &full_us, count, &at_ms);
    }
    /* Without room one that ends lets the next come back. */
    if (lane.has_aside && at_ms > self->now_ms)
        lane.wake_ms = at_ms;
    else if (lane.has_aside && *count >= limit)
        lane.wake_ms = self->now_ms;
    return rc != GUACO_OK ? rc : save(self, &lane);
}

int
guaco__sqlite_lanes_promote(struct sqlite_store *self,
                            struct guaco__op_promote *promote)
{
    const int64_t now_ms = self->now_ms;

    /* What was to be looked at by a clock that was set back since. */
    if (now_ms < self->latest_ms || self->latest_ms == 0) {
        int rc = guaco__sql_exec(self, SQL_LANE_PULL, 1, &now_ms);
        if (rc != GUACO_OK)
            return rc;
    }
    self->latest_ms = now_ms;
    for (;;) {
        int rc;
        sqlite3_stmt *stmt = guaco__sql(self, SQL_LANE_WAKE, &rc);
        if (stmt == NULL)
            return rc;
        rc = guaco__sql_row(stmt);
        if (rc != 1)
            return rc;
        int64_t id = sqlite3_column_int64(stmt, 0);
        int64_t wake_ms = sqlite3_column_int64(stmt, 1);
        (void)sqlite3_reset(stmt);
        if (wake_ms > self->now_ms || promote->count >= promote->limit) {
            promote->next_due_ms = wake_ms;
            return GUACO_OK;
        }
        rc = wake_lane(self, id, promote->limit, &promote->count);
        if (rc != GUACO_OK)
            return rc;
    }
}
