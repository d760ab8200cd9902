/* Statements of the SQLite store. */

#include <assert.h>

#include "sqlite_int.h"

static const char *const texts[SQL_COUNT] = {
#define X(name, sql) sql,
    SQLITE_STATEMENTS(X)
#undef X
};

int
guaco__sql_code(int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return GUACO_OK;
    case SQLITE_NOMEM: return GUACO_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return GUACO_E_TIMEOUT;
    default: return GUACO_E_IO;
    }
}

sqlite3_stmt *
guaco__sql(struct sqlite_store *self, enum sqlite_statement which, int *rc)
{
    sqlite3_stmt **stmt = &self->statements[which];

    *rc = GUACO_OK;
    if (*stmt == NULL)
        *rc = guaco__sql_code(sqlite3_prepare_v3(
            self->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL));
    return *stmt;
}

void
guaco__sql_bind_blob(sqlite3_stmt *stmt, int at, struct guaco_slice value)
{
    /* A NULL pointer would bind NULL, and our blobs are NOT NULL. */
    int rc = sqlite3_bind_blob64(stmt, at, value.len == 0 ? "" : value.at,
                                 value.len, SQLITE_STATIC);
    assert(rc == SQLITE_OK);
    (void)rc;
}

struct guaco_slice
guaco__sql_blob(sqlite3_stmt *stmt, int column)
{
    /* In this order: asking for the blob may change what bytes says. */
    const char *at = sqlite3_column_blob(stmt, column);
    int len = sqlite3_column_bytes(stmt, column);

    return (struct guaco_slice){at, at == NULL ? 0 : (size_t)len};
}

int
guaco__sql_done(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? GUACO_OK
                                                 : guaco__sql_code(rc);
}

int
guaco__sql_row(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        return 1;
    (void)sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? 0 : guaco__sql_code(rc);
}

static sqlite3_stmt *
bound(struct sqlite_store *self, enum sqlite_statement which, int n,
      const int64_t *values, int *rc)
{
    sqlite3_stmt *stmt = guaco__sql(self, which, rc);

    for (int i = 0; stmt != NULL && i < n; i++)
        (void)sqlite3_bind_int64(stmt, i + 1, values[i]);
    return stmt;
}

int
guaco__sql_exec(struct sqlite_store *self, enum sqlite_statement which, int n,
                const int64_t *values)
{
    int rc;
    sqlite3_stmt *stmt = bound(self, which, n, values, &rc);

    return stmt == NULL ? rc : guaco__sql_done(stmt);
}

int
guaco__sql_number(struct sqlite_store *self, enum sqlite_statement which, int n,
                  const int64_t *values, int64_t none, int64_t *out)
{
    int rc;
    sqlite3_stmt *stmt = bound(self, which, n, values, &rc);

    *out = none;
    if (stmt == NULL)
        return rc;
    rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    *out = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

/* Ids are given out from the board, which forgets at a reboot; so the file
 * says up to where they may have been used, a block at a time. */
#define ID_BLOCK 4096

static uint64_t *
next_of(struct sqlite_store *self)
{
    return self->host != NULL ? &self->next_id
                              : guaco__bell_next_id(&self->bell);
}

static uint64_t *
limit_of(struct sqlite_store *self)
{
    return self->host != NULL ? &self->limit_id
                              : guaco__bell_limit_id(&self->bell);
}

/*
 * Within a caller's transaction the board is not guarded by the commit lock but
 * by SQLite's, since ids are only used by who holds that.  Nothing may be put
 * on the board that a rollback would take out of the file.  So these come from
 * the board's block, if the file knows of it, and else are for us alone.
 */
static bool
take_from_board(struct sqlite_store *self, uint32_t n, uint64_t used)
{
    uint64_t *next = guaco__bell_next_id(&self->host->bell);
    uint64_t limit = *guaco__bell_limit_id(&self->host->bell);

    if (limit != used || *next < 1 || *next > limit || limit - *next < n)
        return false;
    self->next_id = *next;
    self->limit_id = *next += n;
    return true;
}

int
guaco__sqlite_id_block(struct sqlite_store *self, uint32_t n)
{
    uint64_t *next = next_of(self);
    uint64_t *limit = limit_of(self);
    uint64_t most = n > ID_BLOCK || self->host != NULL ? n : ID_BLOCK;
    int64_t used, fresh;

    if (*next <= *limit && *limit - *next >= n)
        return GUACO_OK;
    int rc = guaco__sql_number(self, SQL_SEQUENCE_GET, 0, NULL, 0, &used);
    if (rc != GUACO_OK)
        return rc;
    if (used < 1 || (uint64_t)used > RANK_ID_MAX - most)
        return GUACO_E_IO; /* five years at 100,000 a second, or damage */
    if (self->host != NULL && take_from_board(self, n, (uint64_t)used))
        return GUACO_OK;
    fresh = used + (int64_t)most;
    rc = guaco__sql_exec(self, SQL_SEQUENCE_SET, 1, &fresh);
    if (rc != GUACO_OK)
        return rc;
    *next = (uint64_t)used;
    *limit = (uint64_t)fresh;
    return GUACO_OK;
}

int
guaco__sqlite_id(struct sqlite_store *self, uint64_t *id)
{
    uint64_t *next = next_of(self);
    int rc = guaco__sqlite_id_block(self, 1);

    if (rc != GUACO_OK)
        return rc;
    if (*next < 1 || *next > RANK_ID_MAX)
        return GUACO_E_IO; /* the board is damaged */
    *id = (*next)++;
    return GUACO_OK;
}

int
guaco__sqlite_id_was_given(struct sqlite_store *self, uint64_t id,
                           bool *was_given)
{
    struct sqlite_store *host = self->host != NULL ? self->host : self;
    uint64_t next = *guaco__bell_next_id(&host->bell);
    uint64_t limit = *guaco__bell_limit_id(&host->bell);
    int64_t used = 0;
    int rc = guaco__sql_number(self, SQL_SEQUENCE_GET, 0, NULL, 0, &used);

    /* All of the file's but what is left of the board's block. */
    *was_given = id < (uint64_t)used && !(id >= next && id < limit);
    return rc;
}

/* ---- queues ---- */

static int
load_queues(struct sqlite_store *self)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_QUEUE_ALL, &rc);

    if (stmt == NULL)
        return rc;
    memset(self->queues, 0, sizeof self->queues);
    while ((rc = guaco__sql_row(stmt)) == 1) {
        int64_t number = sqlite3_column_int64(stmt, 0);
        struct guaco_slice name = guaco__sql_blob(stmt, 1);
        if (number < 1 || number > GUACO__QUEUES_MAX || name.len == 0 ||
            name.len > GUACO_QUEUE_NAME_MAX)
            continue;
        struct sqlite_queue *queue = &self->queues[number];
        memcpy(queue->name, name.at, name.len);
        queue->generation = (uint64_t)sqlite3_column_int64(stmt, 2);
    }
    self->queues_known = rc == GUACO_OK;
    return rc;
}

static int64_t
find_queue(const struct sqlite_store *self, struct guaco_slice name)
{
    for (int64_t i = 1; i <= GUACO__QUEUES_MAX; i++) {
        const char *known = self->queues[i].name;
        if (known[0] == name.at[0] && strlen(known) == name.len &&
            memcmp(known, name.at, name.len) == 0)
            return i;
    }
    return 0;
}

static int
add_queue(struct sqlite_store *self, struct guaco_slice name)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_QUEUE_ADD, &rc);

    for (int64_t i = 1; i <= GUACO__QUEUES_MAX; i++)
        if (self->queues[i].name[0] == '\0') {
            if (stmt == NULL)
                return rc;
            (void)sqlite3_bind_int64(stmt, 1, i);
            (void)sqlite3_bind_text(stmt, 2, name.at, (int)name.len,
                                    SQLITE_STATIC);
            rc = guaco__sql_done(stmt);
            return rc != GUACO_OK ? rc : load_queues(self);
        }
    return GUACO_E_LIMIT;
}

int
guaco__sqlite_queue(struct sqlite_store *self, struct guaco_slice name,
                    bool make, int64_t *number)
{
    assert(name.len > 0);
    *number = self->queues_known ? find_queue(self, name) : 0;
    if (*number != 0)
        return GUACO_OK;

    int rc = load_queues(self);
    if (rc == GUACO_OK)
        *number = find_queue(self, name);
    if (rc == GUACO_OK && *number == 0 && make) {
        rc = add_queue(self, name);
        if (rc == GUACO_OK)
            *number = find_queue(self, name);
    }
    return rc;
}

struct guaco_slice
guaco__sqlite_queue_name(struct sqlite_store *self, int64_t number)
{
    if (number < 1 || number > GUACO__QUEUES_MAX)
        return (struct guaco_slice){0};
    if (self->queues[number].name[0] == '\0')
        (void)load_queues(self);
    const char *name = self->queues[number].name;
    return (struct guaco_slice){name, strlen(name)};
}

int64_t
guaco__rank(int64_t queue, int32_t priority, uint64_t id)
{
    assert(queue >= 1);
    assert(queue <= GUACO__QUEUES_MAX);
    assert(id <= RANK_ID_MAX);
    _Static_assert(GUACO_TASK_PRIORITY_MAX < (1 << RANK_PRIORITY_BITS) / 2,
                   "priorities fit their bits");
    int64_t turn = GUACO_TASK_PRIORITY_MAX - (int64_t)priority;
    return queue << RANK_QUEUE_SHIFT | turn << RANK_ID_BITS | (int64_t)id;
}
