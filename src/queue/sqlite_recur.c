/* Recurring tasks of the SQLite store. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"

/* ---- defining ---- */

/* When an unchanged definition fired last; a new or changed one: now. */
static int
last_of(struct sqlite_store *self, int64_t queue,
        const struct guaco__recur *def, int64_t *last_ms)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RECUR_LAST, &rc);

    *last_ms = self->now_ms;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, def->name);
    guaco__sql_bind_blob(stmt, 3, def->spec);
    guaco__sql_bind_blob(stmt, 4, def->zone);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    *last_ms = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

static int
add_recur(struct sqlite_store *self, int64_t queue,
          const struct guaco__recur *def, int64_t last_ms)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RECUR_SET, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, def->name);
    guaco__sql_bind_blob(stmt, 3, def->spec);
    guaco__sql_bind_blob(stmt, 4, def->zone);
    (void)sqlite3_bind_int(stmt, 5, (int)def->catch_up);
    (void)sqlite3_bind_int64(stmt, 6, (int64_t)def->generation);
    (void)sqlite3_bind_int64(stmt, 7, def->priority);
    (void)sqlite3_bind_int64(stmt, 8, last_ms);
    guaco__sql_bind_blob(stmt, 9, def->envelope);
    (void)sqlite3_bind_int(stmt, 10, def->is_paused);
    (void)sqlite3_bind_int(stmt, 11, def->is_run_time);
    return guaco__sql_done(stmt);
}

/* What is there of the name; generation 0: nothing. */
static int
get_named(struct sqlite_store *self, int64_t queue, struct guaco_slice name,
          struct guaco__recur *old)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RECUR_GET, &rc);

    *old = (struct guaco__recur){0};
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, name);
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    old->generation = (uint64_t)sqlite3_column_int64(stmt, 0);
    old->is_paused = sqlite3_column_int(stmt, 1) != 0;
    old->is_run_time = sqlite3_column_int(stmt, 2) != 0;
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

/* What an entry keeps of its former self. */
struct kept {
    int64_t last_ms;
    bool is_paused;
    bool is_run_time;
};

static int
replace_all(struct sqlite_store *self, int64_t queue,
            const struct guaco__op_recur_set *set, struct kept *kept)
{
    const int64_t generation[2] = {queue, (int64_t)set->generation};
    int rc = GUACO_OK;

    for (size_t i = 0; i < set->n && rc == GUACO_OK; i++) {
        struct guaco__recur old = {0};
        rc = last_of(self, queue, &set->all[i], &kept[i].last_ms);
        if (rc == GUACO_OK)
            rc = get_named(self, queue, set->all[i].name, &old);
        kept[i].is_paused = old.is_paused;
        kept[i].is_run_time = old.is_run_time;
    }
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_RECUR_CLEAR, 1, &queue);
    for (size_t i = 0; i < set->n && rc == GUACO_OK; i++) {
        struct guaco__recur def = set->all[i];
        if (kept[i].is_run_time)
            continue;
        def.is_paused = def.is_paused || kept[i].is_paused;
        rc = add_recur(self, queue, &def, kept[i].last_ms);
    }
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_QUEUE_GENERATION, 2, generation);
    return rc;
}

int
guaco__sqlite_recur_set(struct sqlite_store *self,
                        struct guaco__op_recur_set *set)
{
    int64_t queue;

    self->queues_known = false; /* the generation may be another's */
    int rc = guaco__sqlite_queue(self, set->queue, true, &queue);
    if (rc != GUACO_OK)
        return rc;
    set->stale = set->generation < self->queues[queue].generation;
    if (set->stale)
        return GUACO_OK;

    struct kept *kept = calloc(set->n + 1, sizeof *kept);
    if (kept == NULL)
        return GUACO_E_NOMEM;
    rc = replace_all(self, queue, set, kept);
    free(kept);
    self->queues_known = false;
    guaco__touched_due(&self->base.touched, 0);
    return rc;
}

/* ---- listing ---- */

/* Rows whose slices are offsets until the block stops moving. */
struct rows {
    struct guaco__recur *all;
    size_t n;
    char *bytes;
    size_t len;
};

static int
keep_bytes(struct rows *rows, struct guaco_slice *slice)
{
    char *bytes = realloc(rows->bytes, rows->len + slice->len + 1);

    if (bytes == NULL)
        return GUACO_E_NOMEM;
    rows->bytes = bytes;
    if (slice->len > 0)
        memcpy(bytes + rows->len, slice->at, slice->len);
    slice->at = NULL; /* set by join_rows, in the same order */
    rows->len += slice->len;
    return GUACO_OK;
}

static int
add_row(struct sqlite_store *self, struct rows *rows, sqlite3_stmt *stmt)
{
    struct guaco__recur def = {
        .queue = guaco__sqlite_queue_name(self, sqlite3_column_int64(stmt, 0)),
        .name = guaco__sql_blob(stmt, 1),
        .spec = guaco__sql_blob(stmt, 2),
        .zone = guaco__sql_blob(stmt, 3),
        .envelope = guaco__sql_blob(stmt, 4),
        .catch_up = (enum guaco_catch_up)sqlite3_column_int(stmt, 5),
        .generation = (uint64_t)sqlite3_column_int64(stmt, 6),
        .priority = sqlite3_column_int(stmt, 7),
        .last_ms = sqlite3_column_int64(stmt, 8),
        .is_paused = sqlite3_column_int(stmt, 9) != 0,
        .is_run_time = sqlite3_column_int(stmt, 10) != 0,
    };
    if (def.queue.len == 0)
        return GUACO_OK;

    struct guaco_slice *slices[] = {&def.queue, &def.name, &def.spec, &def.zone,
                                    &def.envelope};
    for (size_t i = 0; i < 5; i++)
        if (keep_bytes(rows, slices[i]) != GUACO_OK)
            return GUACO_E_NOMEM;
    struct guaco__recur *all = realloc(rows->all, (rows->n + 1) * sizeof *all);
    if (all == NULL)
        return GUACO_E_NOMEM;
    rows->all = all;
    rows->all[rows->n++] = def;
    return GUACO_OK;
}

/* One block of rows and their bytes. */
static int
join_rows(const struct rows *rows, struct guaco__op_recur_list *list)
{
    size_t head = rows->n * sizeof *list->all;

    list->all = malloc(head + rows->len + 1);
    if (list->all == NULL)
        return GUACO_E_NOMEM;
    char *at = (char *)list->all + head;
    if (rows->len > 0)
        memcpy(at, rows->bytes, rows->len);
    for (size_t i = 0; i < rows->n; i++) {
        struct guaco__recur *def = &list->all[i];
        *def = rows->all[i];
        struct guaco_slice *slices[] = {&def->queue, &def->name, &def->spec,
                                        &def->zone, &def->envelope};
        for (size_t j = 0; j < 5; j++) {
            slices[j]->at = at;
            at += slices[j]->len;
        }
    }
    list->n = rows->n;
    return GUACO_OK;
}

int
guaco__sqlite_recur_list(struct sqlite_store *self,
                         struct guaco__op_recur_list *list)
{
    struct rows rows = {0};
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RECUR_ALL, &rc);

    if (stmt == NULL)
        return rc;
    while ((rc = guaco__sql_row(stmt)) == 1) {
        rc = add_row(self, &rows, stmt);
        if (rc != GUACO_OK)
            break;
    }
    (void)sqlite3_reset(stmt);
    if (rc == GUACO_OK)
        rc = join_rows(&rows, list);
    free(rows.all);
    free(rows.bytes);
    return rc;
}

/* ---- ticking ---- */

static int
move_last(struct sqlite_store *self, int64_t queue,
          const struct guaco__op_tick *tick)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_RECUR_TICK, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, tick->name);
    (void)sqlite3_bind_int64(stmt, 3, (int64_t)tick->generation);
    (void)sqlite3_bind_int64(stmt, 4, tick->expect_ms);
    (void)sqlite3_bind_int64(stmt, 5, tick->last_ms);
    rc = guaco__sql_done(stmt);
    if (rc != GUACO_OK || sqlite3_changes(self->db) > 0)
        return rc;

    stmt = guaco__sql(self, SQL_RECUR_HAS, &rc);
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, tick->name);
    rc = guaco__sql_row(stmt);
    if (rc == 1)
        (void)sqlite3_reset(stmt);
    return rc == 1 ? GUACO_E_STATE : rc == 0 ? GUACO_E_MISSING : rc;
}

int
guaco__sqlite_tick(struct sqlite_store *self, struct guaco__op_tick *tick)
{
    int64_t queue;
    int rc = guaco__sqlite_queue(self, tick->queue, false, &queue);

    if (rc == GUACO_OK && queue == 0)
        return GUACO_E_MISSING;
    if (rc == GUACO_OK)
        rc = guaco__sqlite_prepare_puts(self, tick->tasks, tick->n);
    if (rc == GUACO_OK)
        rc = move_last(self, queue, tick);
    if (rc == GUACO_OK && tick->n > 0)
        rc = guaco__sqlite_put(self, tick->tasks, tick->n);
    return rc;
}

/* ---- at run time ---- */

int
guaco__sqlite_recur_put(struct sqlite_store *self,
                        const struct guaco__op_recur_put *put)
{
    struct guaco__recur def = *put->def, old = {0};
    int64_t queue, last_ms = 0;
    int rc = guaco__sqlite_queue(self, def.queue, true, &queue);

    if (rc == GUACO_OK)
        rc = last_of(self, queue, &def, &last_ms);
    if (rc == GUACO_OK)
        rc = get_named(self, queue, def.name, &old);
    if (rc != GUACO_OK)
        return rc;
    def.is_run_time = true;
    def.generation = guaco__recur_generation(self->now_ms, &old);
    guaco__touched_due(&self->base.touched, 0);
    return add_recur(self, queue, &def, last_ms);
}

/* `which` of the entry: GUACO_E_MISSING when it changed nothing. */
static int
change_named(struct sqlite_store *self, enum sqlite_statement which,
             const struct guaco__op_recur_name *op)
{
    int64_t queue;
    int rc = guaco__sqlite_queue(self, op->queue, false, &queue);
    sqlite3_stmt *stmt = rc != GUACO_OK ? NULL : guaco__sql(self, which, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, op->name);
    if (which == SQL_RECUR_PAUSE) {
        (void)sqlite3_bind_int(stmt, 3, op->pause);
        (void)sqlite3_bind_int64(stmt, 4, self->now_ms);
    }
    rc = guaco__sql_done(stmt);
    if (rc == GUACO_OK && sqlite3_changes(self->db) == 0)
        return GUACO_E_MISSING;
    guaco__touched_due(&self->base.touched, 0);
    return rc;
}

int
guaco__sqlite_recur_drop(struct sqlite_store *self,
                         const struct guaco__op_recur_name *op)
{
    return change_named(self, SQL_RECUR_DROP, op);
}

int
guaco__sqlite_recur_pause(struct sqlite_store *self,
                          const struct guaco__op_recur_name *op)
{
    return change_named(self, SQL_RECUR_PAUSE, op);
}
