/*
 * The SQLite store through a connection of the caller's.
 *
 * The code that puts and ends tasks is the store's own: it runs on a second
 * struct sqlite_store (a part) whose db is the caller's.  What a connection
 * carries for us hangs on itself, as the user data of an SQL function, so that
 * it lives exactly as long:
 *
 *     sqlite3 --> visitor --> part (of one broker) --> desk --> broker
 *                         --> part (of another)
 *
 * How a transaction ends is told by SQLite's hooks: the one that follows a
 * commit to the log (which is why there is no other to checkpoint it), and the
 * one of a rollback.
 *
 * The bell's commit lock is held while a transaction of the caller's is begun
 * by us, so that this waits in turn, but not until its end: that may come on
 * another thread, which could not release it; and a caller who has written
 * holds SQLite's lock already, so that the two would be taken in the wrong
 * order.  SQLite's lock alone keeps the other writers out meanwhile; they wait
 * for it, one of them holding the bell's.
 */

#include <assert.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sqlite_int.h"
#include "using.h"

#define VISITOR     "guaco visitor"
#define LOG_PAGES   1000 /* as SQLite itself would do */
#define ADDRESS_SQL "guaco_address"

struct part {
    struct guaco__list link;
    struct guaco__desk *desk;
    struct guaco__visit visit;
    struct guaco__receipt *receipts;
    struct sqlite_store view;
};

struct visitor {
    struct guaco__list parts;
};

/* ---- the end of a transaction ---- */

static void
part_end(struct part *part, bool is_committed)
{
    struct guaco__receipt *receipt = part->receipts;

    if (!part->visit.is_open)
        return;
    part->receipts = NULL;
    while (receipt != NULL) {
        struct guaco__receipt *next = receipt->next;
        atomic_store(&receipt->state,
                     is_committed ? GUACO_USING_COMMITTED : GUACO_USING_UNDONE);
        guaco__receipt_unref(receipt);
        receipt = next;
    }
    guaco__desk_leave(part->desk, &part->visit,
                      is_committed ? &part->view.base.touched : NULL);
    guaco__touched_reset(&part->view.base.touched);
}

static void
part_free(struct part *part)
{
    assert(!part->visit.is_open);
    guaco__list_remove(&part->link);
    guaco__desk_unref(part->desk);
    free(part->view.base.touched.topics);
    free(part);
}

static void
end_parts(struct visitor *visitor, bool is_committed)
{
    for (struct guaco__list *l = visitor->parts.next; l != &visitor->parts;
         l = l->next)
        part_end(GUACO__OF(l, struct part, link), is_committed);
}

/* After the commit; also what the log's checkpoints hang on. */
static int
on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
    if (strcmp(name, "main") == 0)
        end_parts(ctx, true);
    if (pages >= LOG_PAGES)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE,
                                        NULL, NULL);
    return SQLITE_OK;
}

static void
on_rollback(void *ctx)
{
    end_parts(ctx, false);
}

/* ---- what hangs on a connection ---- */

/* Its connection is closed, and rolled back if there was something. */
static void
visitor_free(void *ctx)
{
    struct visitor *visitor = ctx;
    struct guaco__list *link;

    end_parts(visitor, false);
    while ((link = guaco__list_first(&visitor->parts)) != NULL)
        part_free(GUACO__OF(link, struct part, link));
    free(visitor);
}

/* guaco_visitor(pointer): SQL cannot make such a pointer, only we can. */
static void
tell_visitor(sqlite3_context *context, int argc, sqlite3_value **values)
{
    struct visitor **out = sqlite3_value_pointer(values[0], VISITOR);

    assert(argc == 1);
    (void)argc;
    if (out != NULL)
        *out = sqlite3_user_data(context);
}

static struct visitor *
find_visitor(sqlite3 *db)
{
    struct visitor *visitor = NULL;
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db, "SELECT guaco_visitor(?)", -1, &stmt, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_pointer(stmt, 1, &visitor, VISITOR, NULL) == SQLITE_OK)
        (void)sqlite3_step(stmt);
    (void)sqlite3_finalize(stmt);
    return visitor;
}

static int
make_visitor(sqlite3 *db, struct visitor **out)
{
    struct visitor *visitor = calloc(1, sizeof *visitor);

    if (visitor == NULL)
        return GUACO_E_NOMEM;
    guaco__list_init(&visitor->parts);
    /* When it fails it has freed the visitor. */
    int rc =
        sqlite3_create_function_v2(db, "guaco_visitor", 1, SQLITE_UTF8, visitor,
                                   tell_visitor, NULL, NULL, visitor_free);
    if (rc == SQLITE_OK)
        *out = visitor;
    return guaco__sql_code(rc);
}

static struct part *
find_part(struct visitor *visitor, const struct guaco__desk *desk)
{
    struct part *found = NULL;

    for (struct guaco__list *l = visitor->parts.next, *next;
         l != &visitor->parts; l = next) {
        struct part *part = GUACO__OF(l, struct part, link);
        next = l->next;
        if (part->desk == desk)
            found = part;
        else if (!part->visit.is_open && guaco__desk_is_closed(part->desk))
            part_free(part);
    }
    return found;
}

static int
make_part(struct visitor *visitor, struct guaco__desk *desk, sqlite3 *db,
          struct part **out)
{
    struct part *part = calloc(1, sizeof *part);

    if (part == NULL)
        return GUACO_E_NOMEM;
    part->desk = guaco__desk_ref(desk);
    part->view.base.ops = &guaco__store_sqlite;
    part->view.db = db;
    guaco__touched_reset(&part->view.base.touched);
    guaco__list_init(&part->visit.link);
    guaco__list_init(&part->link);
    guaco__list_push(&visitor->parts, &part->link);
    *out = part;
    return GUACO_OK;
}

static int
part_of(sqlite3 *db, struct sqlite_store *host, struct guaco__desk *desk,
        struct part **out)
{
    struct visitor *visitor = find_visitor(db);
    int rc = visitor != NULL ? GUACO_OK : make_visitor(db, &visitor);

    if (rc != GUACO_OK)
        return rc;
    /* Each time: PRAGMA wal_autocheckpoint would have taken its place. */
    (void)sqlite3_wal_hook(db, on_commit, visitor);
    (void)sqlite3_rollback_hook(db, on_rollback, visitor);
    *out = find_part(visitor, desk);
    if (*out == NULL)
        rc = make_part(visitor, desk, db, out);
    if (rc != GUACO_OK)
        return rc;
    struct sqlite_store *view = &(*out)->view;
    view->host = host;
    memcpy(view->boot_id, host->boot_id, sizeof view->boot_id);
    view->now_ms = guaco__clock_wall_ms(&host->clock);
    view->queues_known = false;
    view->next_id = view->limit_id = 0;
    view->kick_count = 0;
    return GUACO_OK;
}

/* ---- running ---- */

/* One line of SQL of the store's. */
static int
say(struct sqlite_store *view, enum sqlite_statement which)
{
    return guaco__sql_exec(view, which, 0, NULL);
}

static int
tell_error(sqlite3 *db, int rc, struct guaco_error *err)
{
    if (sqlite3_extended_errcode(db) == SQLITE_BUSY_SNAPSHOT)
        return guaco_fail(err, GUACO_E_STATE, 0,
                          "the transaction began by reading, and another one "
                          "has written since: begin it with BEGIN IMMEDIATE");
    return guaco_fail(err, rc, 0, "your connection: %s",
                      rc == GUACO_E_NOMEM ? "out of memory"
                                          : sqlite3_errmsg(db));
}

/* Undo what this call did: all of it when it began the transaction. */
static void
undo(struct sqlite_store *view, bool begins)
{
    if (sqlite3_get_autocommit(view->db))
        return; /* SQLite itself has rolled back */
    if (begins) {
        (void)say(view, SQL_ROLLBACK);
        return;
    }
    (void)say(view, SQL_SAVEPOINT_BACK);
    (void)say(view, SQL_SAVEPOINT_END);
}

static int
run_op(struct part *part, struct guaco__op *op, bool begins, bool commits,
       struct guaco_error *err)
{
    struct sqlite_store *view = &part->view;
    int rc = GUACO_OK;

    if (begins)
        rc = say(view, SQL_BEGIN_WRITE);
    else if (sqlite3_txn_state(view->db, "main") != SQLITE_TXN_WRITE)
        rc = say(view, SQL_SEQUENCE_TOUCH);
    if (rc == GUACO_OK && !begins)
        rc = say(view, SQL_SAVEPOINT);
    if (rc != GUACO_OK) {
        rc = tell_error(view->db, rc, err);
        if (begins)
            undo(view, true);
        return rc;
    }
    if (!part->visit.is_open)
        guaco__desk_enter(part->desk, &part->visit);
    op->rc = rc = guaco__sqlite_run_op(view, op);
    if (rc == GUACO_OK && op->kind == GUACO__OP_FINISH)
        guaco__touched_topic(&view->base.touched, op->finish.id);
    if (rc == GUACO_OK && !begins)
        rc = say(view, SQL_SAVEPOINT_END);
    if (rc == GUACO_OK && commits)
        rc = say(view, SQL_COMMIT);
    if (rc == GUACO_OK)
        return GUACO_OK;
    if (op->rc == rc && rc != GUACO_E_IO && rc != GUACO_E_NOMEM &&
        rc != GUACO_E_TIMEOUT)
        (void)guaco_fail(err, rc, 0, "%s", guaco_strerror(rc));
    else
        (void)tell_error(view->db, rc, err);
    undo(view, begins);
    guaco__op_take_back(op);
    return rc;
}

static void
keep_receipt(struct part *part, struct guaco__receipt *receipt)
{
    if (receipt == NULL)
        return;
    atomic_fetch_add(&receipt->refs, 1);
    receipt->next = part->receipts;
    part->receipts = receipt;
}

/* The connection is ours alone: its mutex is held. */
static int
run_here(struct sqlite_store *host, const struct guaco__use *use, sqlite3 *db,
         struct guaco__op *op, struct guaco_error *err)
{
    int64_t last_rowid = sqlite3_last_insert_rowid(db);
    bool begins = sqlite3_get_autocommit(db) != 0;
    bool commits = begins && use->how->commits;
    struct part *part;
    int rc = part_of(db, host, use->desk, &part);

    if (rc != GUACO_OK)
        return tell_error(db, rc, err);
    struct guaco__receipt *before = part->receipts;
    keep_receipt(part, use->receipt);
    rc = run_op(part, op, begins, commits, err);
    /* Statements of ours would keep the connection from being closed. */
    guaco__sqlite_close_statements(&part->view);
    part->view.host = NULL;
    if (rc != GUACO_OK && use->receipt != NULL &&
        part->receipts == use->receipt) {
        part->receipts = before;
        guaco__receipt_unref(use->receipt);
    }
    sqlite3_set_last_insert_rowid(db, last_rowid);
    return rc;
}

/* The file must be the queue's: only what is in one file is committed as one. */
static int
check_file(const struct sqlite_store *host, sqlite3 *db,
           struct guaco_error *err)
{
    const char *path = sqlite3_db_filename(db, "main");
    struct stat theirs, ours;

    if (path == NULL || path[0] == '\0')
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "your connection is to a database in memory, the "
                          "queue is in %s",
                          host->path);
    if (stat(path, &theirs) != 0 || stat(host->path, &ours) != 0 ||
        theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a transaction holds in one file, not in an attached "
                          "one: your connection is to %s, the queue is in %s",
                          path, host->path);
    if (sqlite3_db_readonly(db, "main") == 1)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "your connection to %s is read-only", path);
    return GUACO_OK;
}

int
guaco__sqlite_run_using(struct guaco__store *store,
                        const struct guaco__use *use, struct guaco__op *op,
                        uint64_t deadline_ns, struct guaco_error *err)
{
    struct sqlite_store *host = (struct sqlite_store *)store;
    sqlite3 *db = use->how->connection;
    sqlite3_stmt *open = NULL; /* so that it stays, whoever closes it now */

    assert(store->ops == &guaco__store_sqlite);
    if (sqlite3_prepare_v2(db, "SELECT 1", -1, &open, NULL) != SQLITE_OK)
        return tell_error(db, guaco__sql_code(sqlite3_errcode(db)), err);
    int rc = check_file(host, db, err);
    bool is_writing = sqlite3_txn_state(db, "main") == SQLITE_TXN_WRITE;
    if (rc == GUACO_OK && !is_writing)
        rc = guaco__bell_lock(&host->bell, deadline_ns, err);
    if (rc == GUACO_OK) {
        sqlite3_mutex *mutex = sqlite3_db_mutex(db);
        sqlite3_mutex_enter(mutex);
        rc = run_here(host, use, db, op, err);
        sqlite3_mutex_leave(mutex);
        if (!is_writing)
            guaco__bell_unlock(&host->bell);
    }
    (void)sqlite3_finalize(open);
    return rc;
}

/* ---- whose library ---- */

static void
tell_address(sqlite3_context *context, int argc, sqlite3_value **values)
{
    (void)argc;
    (void)values;
    sqlite3_result_int64(
        context, (sqlite3_int64)(intptr_t)sqlite3_context_db_handle(context));
}

static int
on_open(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    (void)sqlite3_create_function(db, ADDRESS_SQL, 0, SQLITE_UTF8, NULL,
                                  tell_address, NULL, NULL);
    return SQLITE_OK;
}

int
guaco__sqlite_addresses(bool on)
{
    void (*entry)(void) = (void (*)(void))on_open;

    if (!on) {
        (void)sqlite3_cancel_auto_extension(entry);
        return GUACO_OK;
    }
    return guaco__sql_code(sqlite3_auto_extension(entry));
}
