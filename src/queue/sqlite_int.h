#ifndef GUACO_QUEUE_SQLITE_INT_H
#define GUACO_QUEUE_SQLITE_INT_H

/*
 * The SQLite store.
 *
 * One table a place, so that what is hot stays small:
 *
 *     guaco_ready     rank -> task      the head is claimed, the tail is put
 *     guaco_suspect   rank -> task      their process died; for one alone
 *     guaco_delayed   (due, rank) -> task
 *     guaco_running   id -> task, owner, attempt
 *     guaco_dead      id -> task, reason
 *     guaco_result    id -> result      guaco_event  (id, number) -> event
 *     guaco_owner, guaco_queue, guaco_recur, guaco_meta
 *
 * A task with rules says so in its row (ruled), and only then these are looked
 * at:
 *
 *     guaco_rule      id -> what it is bound to
 *     guaco_held      id -> task        until those that join it have ended
 *     guaco_member    (held, number) -> what they ended with
 *     guaco_unique    (queue, key) -> id
 *     guaco_lane      a limit's key     guaco_aside  (lane, rank) -> task
 *
 * A rank is the key of the one B-tree that orders ready tasks, without any
 * other index: queue (8 bits), 1023 - priority (11 bits), id (44 bits), so
 * the claim of a queue is one range from its left end. 44 bits of ids last five
 * years at 100,000 tasks a second.
 *
 * Every write transaction and checkpoint runs under the bell's commit lock,
 * so SQLite's own locks are never contended but by foreign programs;
 * busy_timeout is for those. A checkpoint is made by whoever holds the lock
 * when the log has grown over WAL_PAGES, and by keepers.
 */

#include <sqlite3.h>

#include "bell.h"
#include "broker_int.h"
#include "os/clock.h"
#include "os/proc.h"
#include "sqlite_statements.h"

#define SQLITE_SCHEMA_VERSION 2

#define SQLITE_KICKS_MAX 64u

#define RANK_ID_BITS       44
#define RANK_PRIORITY_BITS 11
#define RANK_QUEUE_SHIFT   (RANK_ID_BITS + RANK_PRIORITY_BITS)
#define RANK_ID_MAX        ((1ULL << RANK_ID_BITS) - 1)

enum sqlite_statement {
#define X(name, sql) SQL_##name,
    SQLITE_STATEMENTS(X)
#undef X
        SQL_COUNT
};

struct sqlite_queue {
    char name[GUACO_QUEUE_NAME_MAX + 1]; /* empty: no such queue */
    uint64_t generation;
};

struct sqlite_store {
    struct guaco__store base; /* first, so that the cast holds */
    struct guaco_clock clock;
    struct guaco__bell bell;
    char *path;
    sqlite3 *db; /* NULL while paused for a fork */
    sqlite3_stmt *statements[SQL_COUNT];
    char boot_id[GUACO__BOOT_ID_BYTES];
    struct sqlite_queue queues[GUACO__QUEUES_MAX + 1]; /* by id, from 1 */
    bool queues_known;   /* as of the last look; others may add */
    int wal_pages;       /* of the log, by the last commit */
    int next_checkpoint; /* at so many pages */
    int64_t now_ms;      /* of the present run */
    int64_t latest_ms;   /* that now_ms has been here; 0: pull wakes */
    int64_t kicks[SQLITE_KICKS_MAX]; /* lanes to let others run, see _claim */
    size_t kick_count;
    bool is_full;               /* synchronous=full */
    struct sqlite_store *host;  /* NULL, or this is a caller's connection and
                                  the store is that: see sqlite_using.c */
    uint64_t next_id, limit_id; /* ids of a caller's connection */
};

/* A task's row as it moves from table to table; the envelope points into the
 * statement it was read by. */
struct sqlite_task {
    int64_t rank;
    uint32_t attempt, failures, deaths;
    bool suspect;
    bool ruled;
    struct guaco_slice envelope;
};

/* Where a task was found by its id. */
enum sqlite_place {
    PLACE_NOWHERE,
    PLACE_READY,
    PLACE_SUSPECT,
    PLACE_ASIDE,
    PLACE_DELAYED,
    PLACE_HELD,
    PLACE_RUNNING,
};

struct sqlite_found {
    enum sqlite_place place;
    uint64_t id;
    int64_t rank;
    int64_t other; /* DELAYED: due; ASIDE: the lane; RUNNING: the owner */
    uint32_t attempt, failures, deaths;
    bool ruled;
    bool suspect; /* DELAYED, ASIDE */
};

/* ---- broker_sqlite.c ---- */
/* Within a transaction: the op's own result, or what the file is ill with. */
int guaco__sqlite_run_op(struct sqlite_store *self, struct guaco__op *op);
void guaco__sqlite_close_statements(struct sqlite_store *self);

/* ---- sqlite_base.c: statements and transactions ---- */

/* The prepared statement, reset and without bindings; NULL: see the rc. */
sqlite3_stmt *
guaco__sql(struct sqlite_store *self, enum sqlite_statement which, int *rc);
void guaco__sql_bind_blob(sqlite3_stmt *stmt, int at, struct guaco_slice value);
struct guaco_slice guaco__sql_blob(sqlite3_stmt *stmt, int column);
/* Step a statement that gives no row, and reset it.  0 or GUACO_E_*. */
int guaco__sql_done(sqlite3_stmt *stmt);
/* Step once: 1 a row (reset it yourself), 0 none (it is reset), or GUACO_E_*. */
int guaco__sql_row(sqlite3_stmt *stmt);
/* As GUACO_E_*: of an SQLite result code. */
int guaco__sql_code(int sqlite_rc);
/* Bind up to six integers at 1.., do it, done. */
int guaco__sql_exec(struct sqlite_store *self, enum sqlite_statement which,
                    int n, const int64_t *values);
/* As above, of a statement that gives one number; `none` if no row. */
int guaco__sql_number(struct sqlite_store *self, enum sqlite_statement which,
                      int n, const int64_t *values, int64_t none, int64_t *out);
/* A fresh id, inside a write transaction. */
int guaco__sqlite_id(struct sqlite_store *self, uint64_t *id);
/* The next n (up to 10000) ids follow each other. */
int guaco__sqlite_id_block(struct sqlite_store *self, uint32_t n);

/* ---- sqlite_schema.c ---- */
int guaco__sqlite_connect(struct sqlite_store *self, const char *rest,
                          struct guaco_error *err);
/* The connection and its pragmas; on failure self->db is NULL. */
int guaco__sqlite_open_db(struct sqlite_store *self, struct guaco_error *err);

/* ---- sqlite_queue.c: names and numbers of queues ---- */

/* The number of a queue (1..255), 0 if there is none. `make`: add it, then
 * GUACO_E_LIMIT may be answered. */
int guaco__sqlite_queue(struct sqlite_store *self, struct guaco_slice name,
                        bool make, int64_t *number);
/* Whether an id came of guaco__sqlite_id, once. */
int guaco__sqlite_id_was_given(struct sqlite_store *self, uint64_t id,
                               bool *was_given);
struct guaco_slice
guaco__sqlite_queue_name(struct sqlite_store *self, int64_t number);
int64_t guaco__rank(int64_t queue, int32_t priority, uint64_t id);
static inline int64_t
rank_queue(int64_t rank)
{
    return rank >> RANK_QUEUE_SHIFT;
}
static inline uint64_t
rank_id(int64_t rank)
{
    return (uint64_t)rank & RANK_ID_MAX;
}
/* The range of a queue's ranks: from [0] to below [1]. */
static inline void
rank_range(int64_t queue, int64_t range[2])
{
    range[0] = queue << RANK_QUEUE_SHIFT;
    range[1] = queue == GUACO__QUEUES_MAX ? INT64_MAX
                                          : (queue + 1) << RANK_QUEUE_SHIFT;
}

/* ---- sqlite_task.c ---- */
/* Add the queues of puts that are new, so that putting can no longer fail for
 * its own reasons. */
int guaco__sqlite_prepare_puts(struct sqlite_store *self,
                               const struct guaco__put *puts, size_t n);
int
guaco__sqlite_put(struct sqlite_store *self, struct guaco__put *puts, size_t n);
int
guaco__sqlite_claim(struct sqlite_store *self, struct guaco__op_claim *claim);
int guaco__sqlite_finish(struct sqlite_store *self,
                         const struct guaco__op_finish *finish);
int guaco__sqlite_release(struct sqlite_store *self,
                          struct guaco__op_release *release);
int guaco__sqlite_promote(struct sqlite_store *self,
                          struct guaco__op_promote *promote);
struct sqlite_task guaco__sqlite_task(sqlite3_stmt *stmt);
int guaco__sqlite_delay(struct sqlite_store *self,
                        const struct sqlite_task *task, int64_t due_ms);
/* To ready, or suspect; touches the queue. */
int
guaco__sqlite_ready(struct sqlite_store *self, const struct sqlite_task *task);

/* ---- sqlite_place.c ---- */
int guaco__sqlite_find(struct sqlite_store *self, uint64_t id,
                       struct sqlite_found *found);
/* Drop its row, which is not in RUNNING. */
int
guaco__sqlite_take(struct sqlite_store *self, const struct sqlite_found *found);
int guaco__sqlite_cancel(struct sqlite_store *self,
                         struct guaco__op_cancel *cancel);
/* Its row is gone: store CANCELED, end its rules. */
int guaco__sqlite_end_canceled(struct sqlite_store *self, int64_t rank,
                               bool ruled, uint32_t attempt,
                               struct guaco_slice reason, uint32_t ttl_s);
int guaco__sqlite_purge(struct sqlite_store *self, struct guaco__op_purge *op);

/* ---- sqlite_rules.c ---- */

/* What becomes of a put with rules: GUACO_OK and existed (its id is that of
 * who holds the key, and it took its place if it can), or it is new and has an
 * id. */
int guaco__sqlite_rules_make(struct sqlite_store *self, struct guaco__put *puts,
                             size_t at, int64_t queue);
/* See guaco__op_finish. */
int
guaco__sqlite_rules_end(struct sqlite_store *self, uint64_t id,
                        enum guaco_task_state state, struct guaco_slice body);
int guaco__sqlite_joined(struct sqlite_store *self, int64_t held,
                         uint32_t number, uint64_t id,
                         enum guaco_task_state state, struct guaco_slice body);
int guaco__sqlite_hold(struct sqlite_store *self, const struct guaco__put *put,
                       int64_t rank);
int
guaco__sqlite_pass_on(struct sqlite_store *self, uint64_t from, uint64_t to);
int guaco__sqlite_members(struct sqlite_store *self, uint64_t id,
                          struct guaco_news *news);

struct sqlite_rule {
    uint64_t id;
    int64_t rank;
    int64_t until;
    int64_t lanes[GUACO_LIMITS_MAX];
    int64_t costs[GUACO_LIMITS_MAX];
    bool counted;
    int64_t aside;
    int64_t joins;
    uint32_t member;
    uint32_t members;
    size_t key_len;
    char key[GUACO_KEY_MAX];
};

/* GUACO_E_IO when it is not there. */
int guaco__sqlite_rule_get(struct sqlite_store *self, uint64_t id,
                           struct sqlite_rule *rule);
/* Its first run begins. */
int guaco__sqlite_rule_begin(struct sqlite_store *self,
                             const struct sqlite_rule *rule);

/* ---- sqlite_lane.c ---- */
int guaco__sqlite_lane_get(struct sqlite_store *self, int64_t queue,
                           const struct guaco_limit *limit, int64_t *lane);
int guaco__sqlite_lane_put(struct sqlite_store *self, int64_t lane);
/* Whether the task may run, and then count it; else set it aside (but do not
 * drop it where it was). */
int guaco__sqlite_lanes_enter(struct sqlite_store *self,
                              const struct sqlite_task *task,
                              const struct sqlite_rule *rule, bool *may);
/* It runs no more. */
int guaco__sqlite_lanes_leave(struct sqlite_store *self,
                              const struct sqlite_rule *rule);
int guaco__sqlite_lanes_kick(struct sqlite_store *self, const int64_t *lanes,
                             size_t n);
int guaco__sqlite_lanes_promote(struct sqlite_store *self,
                                struct guaco__op_promote *promote);

/* ---- sqlite_key.c ---- */
int guaco__sqlite_key(struct sqlite_store *self, struct guaco__op_key *op);
int guaco__sqlite_key_list(struct sqlite_store *self,
                           const struct guaco__op_key_list *op);
int
guaco__sqlite_revoke(struct sqlite_store *self, struct guaco__op_revoke *op);
int guaco__sqlite_lock(struct sqlite_store *self, struct guaco__op_lock *op);
int guaco__sqlite_unlock_owner(struct sqlite_store *self, uint64_t owner);

/* ---- sqlite_owner.c ---- */
int
guaco__sqlite_owner_open(struct sqlite_store *self, struct guaco__op_owner *op);
int guaco__sqlite_owner_renew(struct sqlite_store *self,
                              struct guaco__op_owner *op);
int
guaco__sqlite_owner_reap(struct sqlite_store *self, struct guaco__op_reap *op);
int guaco__sqlite_owner_list(struct sqlite_store *self,
                             struct guaco__op_owners *op);

/* ---- sqlite_record.c ---- */
int guaco__sqlite_result(struct sqlite_store *self, int64_t queue,
                         const struct guaco_result *result, uint32_t ttl_s);
int guaco__sqlite_event(struct sqlite_store *self,
                        const struct guaco__op_event *event);
int guaco__sqlite_read(struct sqlite_store *self, struct guaco__op_read *read);
int
guaco__sqlite_sweep(struct sqlite_store *self, struct guaco__op_sweep *sweep);

/* ---- sqlite_recur.c ---- */
int guaco__sqlite_recur_set(struct sqlite_store *self,
                            struct guaco__op_recur_set *set);
int guaco__sqlite_recur_list(struct sqlite_store *self,
                             struct guaco__op_recur_list *list);
int guaco__sqlite_tick(struct sqlite_store *self, struct guaco__op_tick *tick);
int guaco__sqlite_recur_put(struct sqlite_store *self,
                            const struct guaco__op_recur_put *put);
int guaco__sqlite_recur_drop(struct sqlite_store *self,
                             const struct guaco__op_recur_name *op);
int guaco__sqlite_recur_pause(struct sqlite_store *self,
                              const struct guaco__op_recur_name *op);

/* ---- sqlite_admin.c ---- */
int guaco__sqlite_stats(struct sqlite_store *self,
                        const struct guaco__op_stats *op);
int
guaco__sqlite_list(struct sqlite_store *self, const struct guaco__op_list *op);
int
guaco__sqlite_replay(struct sqlite_store *self, struct guaco__op_replay *op);
int guaco__sqlite_pause(struct sqlite_store *self,
                        const struct guaco__op_pause *op);

#endif
