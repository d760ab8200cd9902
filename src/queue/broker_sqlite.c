/* The SQLite store's table of operations and its transactions; see
 * sqlite_int.h. */

#include <assert.h>
#include <stdlib.h>

#include "sqlite_int.h"
#include "using.h"

/* Pages in the log at which the one who holds the lock checkpoints: a longer
 * log is slower to search, a shorter one is synced more often. */
#define WAL_PAGES 2000
/* A log of so many pages has readers that never leave it at the same time, so
 * that it cannot begin anew: then wait for them a little, and cut it. */
#define WAL_LARGE    (8 * WAL_PAGES)
#define WAL_PAUSE_MS 50

static struct sqlite_store *
self_of(struct guaco__store *store)
{
    assert(store->ops == &guaco__store_sqlite);
    return (struct sqlite_store *)store;
}

/* ---- life ---- */

static int
note_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_store *self = ctx;

    (void)db;
    (void)name;
    if (pages < self->wal_pages) /* it began anew */
        self->next_checkpoint = WAL_PAGES;
    self->wal_pages = pages;
    return SQLITE_OK;
}

static int
sqlite_open(struct guaco__store *store, const char *rest,
            struct guaco_error *err)
{
    struct sqlite_store *self = self_of(store);
    int rc = guaco__proc_boot_id(self->boot_id, err);

    if (rc == GUACO_OK)
        rc = guaco__clock_open(&self->clock, NULL, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__sqlite_connect(self, rest, err);
    if (rc != GUACO_OK) {
        guaco__clock_close(&self->clock);
        return rc;
    }
    self->next_checkpoint = WAL_PAGES;
    (void)sqlite3_wal_hook(self->db, note_log, self);
    return GUACO_OK;
}

void
guaco__sqlite_close_statements(struct sqlite_store *self)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(self->statements[i]);
        self->statements[i] = NULL;
    }
}

/* Without the checkpoint of a last close: it would need the lock. */
static void
sqlite_pause(struct guaco__store *store)
{
    struct sqlite_store *self = self_of(store);

    if (self->db == NULL)
        return;
    guaco__sqlite_close_statements(self);
    (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                            NULL);
    (void)sqlite3_close(self->db);
    self->db = NULL;
}

static int
resume(struct sqlite_store *self, struct guaco_error *err)
{
    if (self->db != NULL)
        return GUACO_OK;
    int rc = guaco__sqlite_open_db(self, err);
    if (rc == GUACO_OK)
        (void)sqlite3_wal_hook(self->db, note_log, self);
    return rc;
}

static void
sqlite_close(struct guaco__store *store)
{
    struct sqlite_store *self = self_of(store);
    uint64_t deadline_ns = guaco__clock_mono_ns() + 2000000000u;

    guaco__sqlite_close_statements(self);
    /* The last one to close checkpoints, which needs the lock; if it cannot be
     * had, the log stays for the next one. */
    bool is_locked =
        guaco__bell_lock(&self->bell, deadline_ns, NULL) == GUACO_OK;
    if (!is_locked && self->db != NULL)
        (void)sqlite3_db_config(self->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                                NULL);
    (void)sqlite3_close(self->db);
    if (is_locked)
        guaco__bell_unlock(&self->bell);
    guaco__bell_close(&self->bell);
    guaco__clock_close(&self->clock);
    free(self->path);
}

/* ---- ops ---- */

/* Side by side: by a block of their own, if the present one is too short. */
static int
give_ids(struct sqlite_store *self, struct guaco__op_ids *ids)
{
    int rc = guaco__sqlite_id_block(self, ids->n);

    for (uint32_t i = 0; i < ids->n && rc == GUACO_OK; i++) {
        uint64_t id;
        rc = guaco__sqlite_id(self, &id);
        if (i == 0)
            ids->first = id;
    }
    return rc;
}

int
guaco__sqlite_run_op(struct sqlite_store *self, struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_PUT:
        return guaco__sqlite_put(self, op->put.tasks, op->put.n);
    case GUACO__OP_CLAIM: return guaco__sqlite_claim(self, &op->claim);
    case GUACO__OP_FINISH: return guaco__sqlite_finish(self, &op->finish);
    case GUACO__OP_RELEASE: return guaco__sqlite_release(self, &op->release);
    case GUACO__OP_EVENT: return guaco__sqlite_event(self, &op->event);
    case GUACO__OP_OWNER_OPEN:
        return guaco__sqlite_owner_open(self, &op->owner);
    case GUACO__OP_OWNER_RENEW:
        return guaco__sqlite_owner_renew(self, &op->owner);
    case GUACO__OP_OWNER_REAP: return guaco__sqlite_owner_reap(self, &op->reap);
    case GUACO__OP_OWNER_LIST:
        return guaco__sqlite_owner_list(self, &op->owners);
    case GUACO__OP_READ: return guaco__sqlite_read(self, &op->read);
    case GUACO__OP_PROMOTE: return guaco__sqlite_promote(self, &op->promote);
    case GUACO__OP_SWEEP: return guaco__sqlite_sweep(self, &op->sweep);
    case GUACO__OP_RECUR_SET:
        return guaco__sqlite_recur_set(self, &op->recur_set);
    case GUACO__OP_RECUR_LIST:
        return guaco__sqlite_recur_list(self, &op->recur_list);
    case GUACO__OP_TICK: return guaco__sqlite_tick(self, &op->tick);
    case GUACO__OP_STATS: return guaco__sqlite_stats(self, &op->stats);
    case GUACO__OP_LIST: return guaco__sqlite_list(self, &op->list);
    case GUACO__OP_PURGE: return guaco__sqlite_purge(self, &op->purge);
    case GUACO__OP_REPLAY: return guaco__sqlite_replay(self, &op->replay);
    case GUACO__OP_IDS: return give_ids(self, &op->ids);
    case GUACO__OP_CANCEL: return guaco__sqlite_cancel(self, &op->cancel);
    case GUACO__OP_PAUSE: return guaco__sqlite_pause(self, &op->pause);
    case GUACO__OP_REVOKE: return guaco__sqlite_revoke(self, &op->revoke);
    case GUACO__OP_KEY: return guaco__sqlite_key(self, &op->key);
    case GUACO__OP_KEY_LIST: return guaco__sqlite_key_list(self, &op->key_list);
    case GUACO__OP_LOCK: return guaco__sqlite_lock(self, &op->lock);
    case GUACO__OP_RECUR_PUT:
        return guaco__sqlite_recur_put(self, &op->recur_put);
    case GUACO__OP_RECUR_DROP:
        return guaco__sqlite_recur_drop(self, &op->recur_name);
    case GUACO__OP_RECUR_PAUSE:
        return guaco__sqlite_recur_pause(self, &op->recur_name);
    }
    return GUACO_E_STATE;
}

/* What concerns one op alone; it changed nothing then. */
static bool
is_own(int rc)
{
    return rc == GUACO_E_LOST || rc == GUACO_E_MISSING || rc == GUACO_E_STATE ||
           rc == GUACO_E_LIMIT || rc == GUACO_E_EXISTS || rc == GUACO_E_AGAIN ||
           rc == GUACO_E_INVALID;
}

/* ---- transactions ---- */

static int
run_ops(struct sqlite_store *self, struct guaco__op **ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = guaco__sqlite_run_op(self, ops[i]);
        ops[i]->rc = rc;
        if (rc != GUACO_OK && !is_own(rc))
            return rc;
    }
    return GUACO_OK;
}

static int
run_transaction(struct sqlite_store *self, bool writes, struct guaco__op **ops,
                size_t n, struct guaco_error *err)
{
    int rc = guaco__sql_exec(self, writes ? SQL_BEGIN_WRITE : SQL_BEGIN_READ, 0,
                             NULL);

    if (rc == GUACO_OK)
        rc = run_ops(self, ops, n);
    if (rc == GUACO_OK)
        rc = guaco__sql_exec(self, SQL_COMMIT, 0, NULL);
    if (rc == GUACO_OK)
        return GUACO_OK;

    const char *text =
        rc == GUACO_E_NOMEM ? "out of memory" : sqlite3_errmsg(self->db);
    (void)guaco_fail(err, rc, 0, "sqlite: %s", text);
    if (!sqlite3_get_autocommit(self->db))
        (void)guaco__sql_exec(self, SQL_ROLLBACK, 0, NULL);
    self->queues_known = false;
    for (size_t i = 0; i < n; i++)
        guaco__op_take_back(ops[i]);
    return rc;
}

/* By the holder of the lock.  While a reader keeps the log from beginning anew
 * this is tried again only when it has grown as much once more. */
static void
checkpoint(struct sqlite_store *self)
{
    bool is_large = self->wal_pages >= WAL_LARGE;

    if (is_large)
        (void)sqlite3_busy_timeout(self->db, WAL_PAUSE_MS);
    int rc = sqlite3_wal_checkpoint_v2(self->db, NULL,
                                       is_large ? SQLITE_CHECKPOINT_TRUNCATE
                                                : SQLITE_CHECKPOINT_PASSIVE,
                                       NULL, NULL);
    if (is_large)
        (void)sqlite3_busy_timeout(self->db, (int)self->base.wait_ms);
    bool is_cut = is_large && rc == SQLITE_OK;
    self->next_checkpoint = is_cut ? WAL_PAGES : self->wal_pages + WAL_PAGES;
}

static int
sqlite_run(struct guaco__store *store, struct guaco__op **ops, size_t n,
           uint64_t deadline_ns, struct guaco_error *err)
{
    struct sqlite_store *self = self_of(store);
    bool writes = false;

    for (size_t i = 0; i < n; i++)
        writes = guaco__op_is_write(ops[i]) || writes;
    int rc = resume(self, err);
    if (rc != GUACO_OK)
        return rc;
    self->now_ms = guaco__clock_wall_ms(&self->clock);
    if (self->now_ms > self->latest_ms && self->latest_ms != 0)
        self->latest_ms = self->now_ms;
    if (!writes)
        return run_transaction(self, false, ops, n, err);

    rc = guaco__bell_lock(&self->bell, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    rc = run_transaction(self, true, ops, n, err);
    /* Ids that the file does not know of must not be given out: read it again. */
    if (rc != GUACO_OK)
        *guaco__bell_limit_id(&self->bell) = 0;
    else if (self->wal_pages >= self->next_checkpoint)
        checkpoint(self);
    guaco__bell_unlock(&self->bell);
    return rc;
}

static void
sqlite_resume(struct guaco__store *store)
{
    (void)store; /* the next run opens it */
}

static int64_t
sqlite_now_ms(const struct guaco__store *store)
{
    return guaco__clock_wall_ms(&((const struct sqlite_store *)store)->clock);
}

/* ---- wake-ups ---- */

static int
sqlite_listen(struct guaco__store *store, const struct guaco__notice *notice,
              bool on, struct guaco_error *err)
{
    return guaco__bell_listen(&self_of(store)->bell, notice, on, err);
}

static void
sqlite_ring(struct guaco__store *store, const struct guaco__notice *notice)
{
    guaco__bell_ring(&self_of(store)->bell, notice);
}

static int
sqlite_wait_fd(struct guaco__store *store)
{
    return guaco__bell_fd(&self_of(store)->bell);
}

static size_t
sqlite_hear(struct guaco__store *store, struct guaco__notice *out, size_t max)
{
    return guaco__bell_hear(&self_of(store)->bell, out, max);
}

const struct guaco__store_ops guaco__store_sqlite = {
    .has_rules = true,
    .scheme = "sqlite",
    .size = sizeof(struct sqlite_store),
    .open = sqlite_open,
    .close = sqlite_close,
    .pause = sqlite_pause,
    .resume = sqlite_resume,
    .run = sqlite_run,
    .run_using = guaco__sqlite_run_using,
    .now_ms = sqlite_now_ms,
    .listen = sqlite_listen,
    .ring = sqlite_ring,
    .wait_fd = sqlite_wait_fd,
    .hear = sqlite_hear,
};
