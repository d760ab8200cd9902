/* Keys with values, revocations and locks of the SQLite store. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "sqlite_int.h"

/* ---- keys ---- */

/* Step to the key's row: 1, 0 or GUACO_E_*; reset it after 1. */
static int
find_key(struct sqlite_store *self, struct guaco_slice key, sqlite3_stmt **out)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_KEY_GET, &rc);

    *out = stmt;
    if (stmt == NULL)
        return rc;
    guaco__sql_bind_blob(stmt, 1, key);
    (void)sqlite3_bind_int64(stmt, 2, self->now_ms);
    return guaco__sql_row(stmt);
}

static int
set_key(struct sqlite_store *self, struct guaco_slice key,
        struct guaco_slice value, int64_t ends_ms)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_KEY_SET, &rc);

    if (stmt == NULL)
        return rc;
    guaco__sql_bind_blob(stmt, 1, key);
    (void)sqlite3_bind_int64(stmt, 2, ends_ms);
    guaco__sql_bind_blob(stmt, 3, value);
    guaco__touched_due(&self->base.touched, ends_ms);
    guaco__touched_topic(&self->base.touched, guaco__topic_key(key));
    return guaco__sql_done(stmt);
}

static int
drop_key(struct sqlite_store *self, struct guaco_slice key)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_KEY_DROP, &rc);

    if (stmt == NULL)
        return rc;
    guaco__sql_bind_blob(stmt, 1, key);
    return guaco__sql_done(stmt);
}

static int
give_value(struct sqlite_store *self, struct guaco__op_key *op)
{
    sqlite3_stmt *stmt;
    int rc = find_key(self, op->key, &stmt);

    if (rc != 1)
        return rc == 0 ? GUACO_E_MISSING : rc;
    struct guaco_slice value = guaco__sql_blob(stmt, 0);
    char *copy = op->verb == GUACO__KEY_DROP ? NULL : malloc(value.len + 1);
    if (copy != NULL && value.len > 0)
        memcpy(copy, value.at, value.len);
    if (op->verb != GUACO__KEY_DROP)
        op->value = (struct guaco_slice){copy, copy == NULL ? 0 : value.len};
    (void)sqlite3_reset(stmt);
    if (op->verb != GUACO__KEY_DROP && copy == NULL)
        return GUACO_E_NOMEM;
    return op->verb == GUACO__KEY_GET ? GUACO_OK : drop_key(self, op->key);
}

static int
add(struct sqlite_store *self, struct guaco__op_key *op, int64_t ends_ms)
{
    char text[24];
    int64_t before = 0;
    bool is_number = true;
    sqlite3_stmt *stmt;
    int rc = find_key(self, op->key, &stmt);

    if (rc < 0)
        return rc;
    if (rc == 1) {
        is_number = guaco__key_number(guaco__sql_blob(stmt, 0), &before);
        ends_ms = sqlite3_column_type(stmt, 1) == SQLITE_NULL
                      ? INT64_MAX
                      : sqlite3_column_int64(stmt, 1);
        (void)sqlite3_reset(stmt);
    }
    if (!is_number || __builtin_add_overflow(before, op->amount, &op->sum))
        return GUACO_E_STATE;
    int len = snprintf(text, sizeof text, "%lld", (long long)op->sum);
    return set_key(self, op->key, (struct guaco_slice){text, (size_t)len},
                   ends_ms);
}

static int
set_if_empty(struct sqlite_store *self, const struct guaco__op_key *op,
             int64_t ends_ms)
{
    sqlite3_stmt *stmt;
    int rc = find_key(self, op->key, &stmt);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return set_key(self, op->key, op->value, ends_ms);
    (void)sqlite3_reset(stmt);
    return GUACO_E_EXISTS;
}

int
guaco__sqlite_key(struct sqlite_store *self, struct guaco__op_key *op)
{
    int64_t ends_ms =
        op->ttl_ms == 0 ? INT64_MAX : self->now_ms + (int64_t)op->ttl_ms;

    switch (op->verb) {
    case GUACO__KEY_PUT: return set_key(self, op->key, op->value, ends_ms);
    case GUACO__KEY_PUT_IF_EMPTY: return set_if_empty(self, op, ends_ms);
    case GUACO__KEY_ADD: return add(self, op, ends_ms);
    case GUACO__KEY_GET:
    case GUACO__KEY_TAKE:
    case GUACO__KEY_DROP: break;
    }
    return give_value(self, op);
}

int
guaco__sqlite_key_list(struct sqlite_store *self,
                       const struct guaco__op_key_list *op)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_KEY_LIST, &rc);

    if (stmt == NULL)
        return rc;
    guaco__sql_bind_blob(stmt, 1, op->after);
    guaco__sql_bind_blob(stmt, 2, op->prefix);
    (void)sqlite3_bind_int64(stmt, 3, self->now_ms);
    for (uint32_t n = 0; n < op->limit && (rc = guaco__sql_row(stmt)) == 1;
         n++) {
        struct guaco_slice key = guaco__sql_blob(stmt, 0);
        if (key.len < op->prefix.len ||
            (op->prefix.len > 0 &&
             memcmp(key.at, op->prefix.at, op->prefix.len) != 0))
            break;
        op->fn(op->ctx, key, guaco__sql_blob(stmt, 1));
    }
    (void)sqlite3_reset(stmt);
    return rc < 0 ? rc : GUACO_OK;
}

/* ---- revocations ---- */

static int
named_revoke(struct sqlite_store *self, enum sqlite_statement which,
             int64_t queue, const struct guaco__op_revoke *op,
             sqlite3_stmt **out)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, which, &rc);

    *out = stmt;
    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, queue);
    guaco__sql_bind_blob(stmt, 2, op->key);
    if (which == SQL_REVOKE_SET) {
        (void)sqlite3_bind_int64(stmt, 3, op->until_ms);
        (void)sqlite3_bind_int(stmt, 4, op->once);
    }
    return GUACO_OK;
}

static int
look_revoke(struct sqlite_store *self, int64_t queue,
            struct guaco__op_revoke *op)
{
    sqlite3_stmt *stmt;
    int rc = named_revoke(self, SQL_REVOKE_GET, queue, op, &stmt);

    if (rc == GUACO_OK)
        rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    op->was = true;
    op->once = sqlite3_column_int(stmt, 0) != 0;
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

int
guaco__sqlite_revoke(struct sqlite_store *self, struct guaco__op_revoke *op)
{
    bool sets = op->verb == GUACO__REVOKE_SET;
    int64_t values[2] = {0, self->now_ms};
    sqlite3_stmt *stmt;
    int rc = guaco__sqlite_queue(self, op->queue, sets, &values[0]);

    op->was = false;
    if (rc != GUACO_OK || values[0] == 0)
        return rc;
    rc = guaco__sql_exec(self, SQL_REVOKE_ENDED, 2, values);
    if (rc == GUACO_OK && !sets)
        rc = look_revoke(self, values[0], op);
    if (rc != GUACO_OK || (!sets && !op->was) ||
        op->verb == GUACO__REVOKE_LOOK ||
        (op->verb == GUACO__REVOKE_TAKE && !op->once))
        return rc;
    rc = named_revoke(self, sets ? SQL_REVOKE_SET : SQL_REVOKE_DROP, values[0],
                      op, &stmt);
    if (rc == GUACO_OK)
        rc = guaco__sql_done(stmt);
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_REVOKE_COUNT, 1, values);
}

/* ---- locks ---- */

static int
named_lock(struct sqlite_store *self, enum sqlite_statement which,
           struct guaco_slice name, int n, const int64_t *values,
           sqlite3_stmt **out)
{
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, which, &rc);

    *out = stmt;
    if (stmt == NULL)
        return rc;
    guaco__sql_bind_blob(stmt, 1, name);
    for (int i = 0; i < n; i++)
        (void)sqlite3_bind_int64(stmt, i + 2, values[i]);
    return GUACO_OK;
}

static int
do_lock(struct sqlite_store *self, enum sqlite_statement which,
        struct guaco_slice name, int n, const int64_t *values)
{
    sqlite3_stmt *stmt;
    int rc = named_lock(self, which, name, n, values, &stmt);

    return rc != GUACO_OK ? rc : guaco__sql_done(stmt);
}

/* Drop those whose lease has ended; count the others. */
static int
look_lock(struct sqlite_store *self, struct guaco__op_lock *op, int64_t now_ms)
{
    sqlite3_stmt *stmt;
    int rc = named_lock(self, SQL_LOCK_ENDED, op->name, 1, &now_ms, &stmt);

    if (rc != GUACO_OK)
        return rc;
    (void)sqlite3_bind_text(stmt, 3, self->boot_id, -1, SQLITE_STATIC);
    rc = guaco__sql_done(stmt);
    if (rc == GUACO_OK)
        rc = named_lock(self, SQL_LOCK_LOOK, op->name, 0, NULL, &stmt);
    if (rc == GUACO_OK)
        rc = guaco__sql_row(stmt);
    if (rc != 1)
        return rc;
    op->holders = (uint32_t)sqlite3_column_int64(stmt, 0);
    op->free_ms = (uint64_t)(sqlite3_column_int64(stmt, 1) - now_ms);
    (void)sqlite3_reset(stmt);
    return GUACO_OK;
}

static int
take_lock(struct sqlite_store *self, struct guaco__op_lock *op, int64_t now_ms)
{
    int64_t owner = (int64_t)op->owner, is_known = 0;
    sqlite3_stmt *stmt;
    int rc = guaco__sql_number(self, SQL_OWNER_HAS, 1, &owner, 0, &is_known);

    if (rc == GUACO_OK && !is_known)
        return GUACO_E_LOST;
    if (rc == GUACO_OK && op->holders >= op->slots)
        return GUACO_E_AGAIN;
    if (rc == GUACO_OK)
        rc = guaco__sqlite_id(self, &op->token);
    const int64_t values[2] = {(int64_t)op->token, owner};
    if (rc == GUACO_OK)
        rc = named_lock(self, SQL_LOCK_ADD, op->name, 2, values, &stmt);
    if (rc != GUACO_OK)
        return rc;
    (void)sqlite3_bind_text(stmt, 4, self->boot_id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(stmt, 5, now_ms + (int64_t)op->lease_ms);
    op->holders++;
    return guaco__sql_done(stmt);
}

static int
use_token(struct sqlite_store *self, const struct guaco__op_lock *op,
          int64_t now_ms)
{
    const int64_t values[2] = {(int64_t)op->token,
                               now_ms + (int64_t)op->lease_ms};
    bool frees = op->verb == GUACO__LOCK_FREE;
    int rc = frees ? do_lock(self, SQL_LOCK_DROP, op->name, 1, values)
                   : do_lock(self, SQL_LOCK_RENEW, op->name, 2, values);

    if (rc == GUACO_OK && sqlite3_changes(self->db) == 0)
        return GUACO_E_LOST;
    if (frees)
        guaco__touched_topic(&self->base.touched, guaco__topic_key(op->name));
    return rc;
}

int
guaco__sqlite_lock(struct sqlite_store *self, struct guaco__op_lock *op)
{
    int64_t now_ms = (int64_t)guaco__clock_boot_ms();
    int rc = look_lock(self, op, now_ms);

    if (rc != GUACO_OK)
        return rc;
    switch (op->verb) {
    case GUACO__LOCK_TAKE: return take_lock(self, op, now_ms);
    case GUACO__LOCK_RENEW:
    case GUACO__LOCK_FREE: return use_token(self, op, now_ms);
    case GUACO__LOCK_LOOK: return GUACO_OK;
    case GUACO__LOCK_CLEAR: break;
    }
    guaco__touched_topic(&self->base.touched, guaco__topic_key(op->name));
    return do_lock(self, SQL_LOCK_CLEAR, op->name, 0, NULL);
}

/* Of an owner that is gone. */
int
guaco__sqlite_unlock_owner(struct sqlite_store *self, uint64_t owner)
{
    const int64_t id = (int64_t)owner;
    int rc;
    sqlite3_stmt *stmt = guaco__sql(self, SQL_LOCK_OF, &rc);

    if (stmt == NULL)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, id);
    while ((rc = guaco__sql_row(stmt)) == 1)
        guaco__touched_topic(&self->base.touched,
                             guaco__topic_key(guaco__sql_blob(stmt, 0)));
    return rc != GUACO_OK ? rc
                          : guaco__sql_exec(self, SQL_LOCK_DROP_OF, 1, &id);
}
