#ifndef GUACO_BROKER_H
#define GUACO_BROKER_H

/*
 * The broker: where tasks wait between the one who enqueues and the one who
 * works, and where results wait for the one who asked.
 *
 * Opened by URL:
 *
 *     memory:                     this process only; in a tree of `guaco up`
 *                                 and its like: the memory of its keeper,
 *                                 which all processes of the tree share
 *     sqlite:///rel/path.db       four slashes for an absolute path
 *     sqlite:///q.db?synchronous=full&busy_timeout_ms=5000
 *     redis://USER:PASSWORD@HOST:PORT/DB      Redis 5 or newer, or Valkey
 *     rediss://HOST                           over TLS
 *     redis+sentinel://HOST,HOST/SERVICE/DB   (or rediss+sentinel) the master
 *                                             that the Sentinels name
 *     redis+unix:///PATH?db=DB                (or unix:) a Unix socket
 *
 *     postgresql://USER:PASSWORD@HOST:PORT/DB PostgreSQL 12 or newer
 *     postgresql:///DB?host=/FOLDER           by the Unix socket in it
 *
 * `synchronous=normal` (the default) survives a killed process, `full` also a
 * power cut.  A put returns after the store has committed.
 *
 * Options of Redis: `db`, `user`, `password`; `prefix` (default guaco: all
 * keys begin with {guaco}); `timeout_ms` (10000: a call, with all attempts) and
 * `connect_timeout_ms` (5000: one attempt); `tls_ca`, `tls_cert`, `tls_key`
 * (files), `tls_name` (that the server's certificate must bear) and
 * `tls_verify=none`; `sentinel_user`, `sentinel_password`.
 *
 * On Redis a put returns once the server has it; what survives the server's end
 * is its own affair: with `appendonly yes` and `appendfsync always` all that a
 * call said was stored, with `everysec` all but the last second, with snapshots
 * alone or without persistence more is lost; so is what a replica did not have
 * yet when it became the master.  The server's clock decides.  A clock of its
 * machine that is set forward ends leases, and the tasks run once more.  A
 * connection that breaks is made again, and what was being done is done once.
 * An idle process is asked nothing and asks nothing: the kernel finds out in 30
 * s that a server has vanished.
 *
 * Options of PostgreSQL: `schema` (default guaco: where all its tables and
 * functions are, made by the first who comes); `synchronous_commit` (on, off,
 * local, remote_write, remote_apply; default: the server's own setting);
 * `timeout_ms` and `connect_timeout_ms` as above; and of libpq: `host`, `port`,
 * `user`, `password`, `passfile`, `sslmode`, `sslrootcert` and its other ssl
 * options, `target_session_attrs`, `application_name`.  A put returns once its
 * transaction is committed.  The connection must reach the server itself, or a
 * pooler that gives each client a session of its own.
 *
 * Threads: every function may be called from every thread.  Calls that arrive
 * while the store is busy are committed together by the next one that finds
 * it free.  Blocking: a call waits for the store, at most the deadline of the
 * URL (`busy_timeout_ms`, `timeout_ms`: default 10000, then GUACO_E_TIMEOUT); the _async
 * functions and guaco_broker_watch return at once.  None of them needs the
 * interpreter lock, none calls back but those that take a function.
 *
 * Fork: a broker is of no use in the child of a fork.  The child leaves it
 * alone (does not close it) and opens its own.  Around the fork the parent calls
 * guaco_broker_before_fork and guaco_broker_after_fork.
 *
 * Errors that every call may answer besides its own: GUACO_E_NOMEM,
 * GUACO_E_IO (the store is damaged, unreadable or its disk full),
 * GUACO_E_TIMEOUT, GUACO_E_CLOSED (guaco_broker_close was called),
 * GUACO_E_INVALID (an argument over the limits of guaco/task.h).  After any
 * failure nothing was changed, but for a GUACO_E_TIMEOUT or GUACO_E_IO of a
 * tree's memory: and a GUACO_E_TIMEOUT of Redis or PostgreSQL, which may have
 * done it and not have come to say so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/task.h"

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_broker;

/* ---- life ---- */

/*
 * Open the store that `url` names, making the file if it is not there: mode
 * 0600.  A file that is there keeps its mode; who may write it may work on it.
 *
 * Returns 0 and in *out a broker to be closed with guaco_broker_close, or
 * GUACO_E_INVALID (no such scheme or option; a login or certificate that is
 * refused), GUACO_E_UNSUPPORTED (a network file system, 9P among them, or a
 * file or schema of a newer guaco; a Redis older than 5, or a node of a cluster
 * that does not have our keys; a PostgreSQL older than 12), GUACO_E_NOMEM, GUACO_E_IO, GUACO_E_TIMEOUT; then *out is
 * NULL.  FUSE is accepted: it must be a disk of this
 * machine, not sshfs and its like, which cannot be told from one.
 */
GUACO_API int guaco_broker_open(struct guaco_broker **out, const char *url,
                                struct guaco_error *err);

/* Close it.  All watches must have been ended; requests not yet begun are
 * answered with GUACO_E_CLOSED.  No other call may be running, and it may not be called
 * from a callback.  NULL is allowed. */
GUACO_API void guaco_broker_close(struct guaco_broker *broker);

/*
 * Around a fork, in the parent: before it, wait for what the store is doing and
 * close what a child must not inherit (SQLite keeps its file locks in the
 * process's memory, so a copy of them would deceive a child that opens the
 * same file); after it, go on.  Other threads' calls wait meanwhile.  What was
 * closed is opened again by the next call.
 */
GUACO_API void guaco_broker_before_fork(struct guaco_broker *broker);
GUACO_API void guaco_broker_after_fork(struct guaco_broker *broker);

/* What is wrong with how the store is set up though it works (a Redis server
 * that may throw tasks away when its memory is full): one line, of when it was
 * opened, or NULL.  Lives as long as the broker. */
GUACO_API const char *guaco_broker_warning(const struct guaco_broker *broker);

/* The store's clock, Unix time in ms (GUACO_TEST_CLOCK included). */
GUACO_API int64_t guaco_broker_now_ms(const struct guaco_broker *broker);

/* ---- enqueue ---- */

/*
 * Store copies of tasks[0..n), all or none, n in 1..10000, and wake those who
 * wait for work.  Fills ids[0..n); an id is never 0 and never given twice.
 *
 * Returns 0, or GUACO_E_LIMIT when the store has no room for another queue
 * (255 a store).
 */
GUACO_API int
guaco_broker_put(struct guaco_broker *broker, const struct guaco_task *tasks,
                 size_t n, uint64_t *ids, struct guaco_error *err);

/* How a request ended: rc as of the call without _async, `err` filled when it
 * is not 0, `ids` as many as tasks were put.  Called once, on the store's own
 * thread; must not block, nor call a function of this header that may. */
typedef void guaco_put_done(void *ctx, int rc, const struct guaco_error *err,
                            const uint64_t *ids, size_t n);

/*
 * As guaco_broker_put, for event loops: copies the tasks, hands them to the
 * store's thread and returns.
 *
 * Returns 0 (then `done` will be called), or an error (then it will not):
 * GUACO_E_LIMIT when 100000 tasks are on their way already.
 */
GUACO_API int guaco_broker_put_async(struct guaco_broker *broker,
                                     const struct guaco_task *tasks, size_t n,
                                     guaco_put_done *done, void *ctx,
                                     struct guaco_error *err);

/* Set aside n (1..10000) ids that no other task gets: *first and those that
 * follow, for struct guaco_rules. */
GUACO_API int guaco_broker_reserve(struct guaco_broker *broker, uint32_t n,
                                   uint64_t *first, struct guaco_error *err);

/* ---- results and events ---- */

/* What is known of a task since event `after`.  Release it when done. */
struct guaco_news {
    const struct guaco_event *events; /* in order; may have a gap */
    size_t event_count;
    const struct guaco_result *result;  /* NULL: not finished */
    const struct guaco_member *members; /* of guaco_broker_members alone */
    size_t member_count;
    void *store_private;
};

GUACO_API void guaco_news_release(struct guaco_news *news);

/*
 * Read what is there of task `id` without waiting.  With `take` a result is
 * removed as it is read.
 *
 * Returns 0 and fills *news (to be released), also when it is empty, also when
 * no such task was ever put; GUACO_E_LOST when the task was put into the memory
 * of another process, or of a keeper that has ended (so do wait and watch).
 */
GUACO_API int
guaco_broker_read(struct guaco_broker *broker, uint64_t id, uint32_t after,
                  bool take, struct guaco_news *news, struct guaco_error *err);

/*
 * Read what those ended with that joined task `id` (so far), in order, into
 * news->members.  They are kept until `id` itself has ended.
 *
 * Returns 0 and fills *news (to be released), also when there is none.
 */
GUACO_API int
guaco_broker_members(struct guaco_broker *broker, uint64_t id,
                     struct guaco_news *news, struct guaco_error *err);

/*
 * As guaco_broker_read, but wait until the result is there.  timeout_ms < 0:
 * without limit.
 *
 * Returns 0 with news->result set, or GUACO_E_TIMEOUT with *news zeroed.
 */
GUACO_API int
guaco_broker_wait(struct guaco_broker *broker, uint64_t id, bool take,
                  int64_t timeout_ms, struct guaco_news *news,
                  struct guaco_error *err);

/* Something is new.  `news` is borrowed until the function returns (NULL when
 * rc is not 0).  Called on the store's thread, one call at a time; must not
 * block.  After the call that brought the result, or one with rc != 0, there
 * is no other. */
typedef void guaco_watch_fn(void *ctx, int rc, const struct guaco_news *news);

struct guaco_watch;

/*
 * Call `fn` with the events of task `id` after number `after`, and with its
 * result, once they are there: what is there already comes at once, what
 * comes later without polling.  For `await` and progress streams.
 *
 * Returns 0 and *out, to be ended with guaco_broker_unwatch, or an error (then
 * fn is never called).
 */
GUACO_API int
guaco_broker_watch(struct guaco_broker *broker, uint64_t id, uint32_t after,
                   bool take, guaco_watch_fn *fn, void *ctx,
                   struct guaco_watch **out, struct guaco_error *err);

/* End and free a watch, also one that made its last call.  When it returns fn
 * is not running and will not be called: it waits for a running call, so do
 * not hold a lock that fn takes.  May be called from fn itself.  NULL is
 * allowed. */
GUACO_API void
guaco_broker_unwatch(struct guaco_broker *broker, struct guaco_watch *watch);

/* ---- looking after a queue ---- */

struct guaco_queue_stats {
    uint64_t waiting, delayed, running, dead, results, recurring;
    uint64_t held; /* until those that join them have ended */
    bool is_paused;
};

/* Counts of one queue, of one moment.  Costs O(tasks of the queue). */
GUACO_API int
guaco_broker_stats(struct guaco_broker *broker, struct guaco_slice queue,
                   struct guaco_queue_stats *stats, struct guaco_error *err);

/* One row of a listing; slices live until the callback returns.  For DEAD
 * tasks `reason` says why. */
struct guaco_task_info {
    uint64_t id;
    enum guaco_task_state state; /* WAITING, DELAYED, RUNNING, DEAD, HELD */
    uint32_t attempt;            /* runs begun */
    uint32_t failures;           /* runs that failed and were retried */
    uint32_t deaths;             /* counted deaths of a process under it */
    int64_t since_ms;            /* DELAYED: due; RUNNING: start; DEAD: then */
    struct guaco_task task;
    struct guaco_slice reason;
};

typedef void guaco_list_fn(void *ctx, const struct guaco_task_info *info);

/* Call `fn` for up to `limit` (1..10000) tasks of `queue` in `state` (WAITING,
 * DELAYED, RUNNING, DEAD or HELD), in the order in which they would be run, after
 * skipping `offset`.  fn is called before the function returns and must not
 * use the broker. */
GUACO_API int
guaco_broker_list(struct guaco_broker *broker, struct guaco_slice queue,
                  enum guaco_task_state state, uint64_t offset, uint32_t limit,
                  guaco_list_fn *fn, void *ctx, struct guaco_error *err);

/* Delete all of `queue` that is in `state` (WAITING, DELAYED, HELD, DEAD, or
 * DONE for all results) and say how many.  What runs is left alone; for those
 * who waited for a purged task it ended as CANCELED, without a result. */
GUACO_API int
guaco_broker_purge(struct guaco_broker *broker, struct guaco_slice queue,
                   enum guaco_task_state state, uint64_t *count,
                   struct guaco_error *err);

/* Make dead task `id` (0: all of the queue) wait again with its counts of
 * failures and deaths at zero, and drop the result that told of its death.
 * Returns 0 and how many in *count, or GUACO_E_MISSING if `id` is not there. */
GUACO_API int
guaco_broker_replay(struct guaco_broker *broker, struct guaco_slice queue,
                    uint64_t id, uint64_t *count, struct guaco_error *err);

/*
 * Cancel task `id`.  One that does not run yet is gone at once, and its result
 * is CANCELED with `reason` (at most GUACO_REASON_MAX bytes).  One that runs is
 * interrupted (on_interrupt of guaco/worker.h, GUACO_E_STATE), not retried, and
 * its result is CANCELED unless it is DONE in spite of that.
 *
 * Returns 0 and in *was the state in which it was found, or GUACO_E_MISSING:
 * it has ended, or there is no such task.
 */
GUACO_API int
guaco_broker_cancel(struct guaco_broker *broker, uint64_t id,
                    struct guaco_slice reason, enum guaco_task_state *was,
                    struct guaco_error *err);

/* Give out no task of `queue` until it is resumed; puts are accepted and what
 * runs goes on.  It outlives all processes. */
GUACO_API int
guaco_broker_pause(struct guaco_broker *broker, struct guaco_slice queue,
                   bool pause, struct guaco_error *err);

/*
 * Revoke tasks of `queue` by a key: a task's name, or what a program takes for
 * one.  A worker asks with the name of each task before it runs and cancels
 * what is revoked.  It holds until the wall time until_ms (0: without end), with
 * `once` for the first task only.
 */
struct guaco_revocation {
    struct guaco_slice queue;
    struct guaco_slice key; /* 1..GUACO_KEY_MAX bytes */
    int64_t until_ms;
    bool once;
};

GUACO_API int guaco_broker_revoke(struct guaco_broker *broker,
                                  const struct guaco_revocation *revocation,
                                  struct guaco_error *err);
/* Take it back; *was says whether there was one that held. */
GUACO_API int
guaco_broker_restore(struct guaco_broker *broker, struct guaco_slice queue,
                     struct guaco_slice key, bool *was,
                     struct guaco_error *err);
/* Whether `key` is revoked; `take`: one that holds once is used up by it. */
GUACO_API int
guaco_broker_revoked(struct guaco_broker *broker, struct guaco_slice queue,
                     struct guaco_slice key, bool take, bool *is_revoked,
                     struct guaco_error *err);

/* ---- recurring tasks ---- */

/*
 * Make `all` the recurring tasks of `queue` that its deployment defines: define
 * or replace each, remove those of an older generation that are not in it.
 * Those that were defined at run time stay, and win over one of their name.  All carry `generation`
 * (milliseconds of the deployment's time will do).  If the store has a newer
 * one for this queue nothing is changed and *stale is set.  An unchanged spec
 * and zone keep their last fire time.
 *
 * Returns 0, or GUACO_E_INVALID and the name of the entry whose spec or zone
 * cannot be read.
 */
GUACO_API int
guaco_broker_recurring(struct guaco_broker *broker, struct guaco_slice queue,
                       uint64_t generation, const struct guaco_recurring *all,
                       size_t n, bool *stale, struct guaco_error *err);

/* Define or replace one of entry->task.queue at run time: it stays until it is
 * removed, whatever is deployed.  `generation` is ignored; is_paused counts. */
GUACO_API int guaco_broker_recurring_put(struct guaco_broker *broker,
                                         const struct guaco_recurring *entry,
                                         struct guaco_error *err);

/* Remove one; a deployment that defines it brings it back.  GUACO_E_MISSING:
 * there is none. */
GUACO_API int
guaco_broker_recurring_remove(struct guaco_broker *broker,
                              struct guaco_slice queue, struct guaco_slice name,
                              struct guaco_error *err);

/* Let one fire no more, or again, also across deployments.  What it missed
 * while it was paused is gone.  GUACO_E_MISSING: there is none. */
GUACO_API int
guaco_broker_recurring_pause(struct guaco_broker *broker,
                             struct guaco_slice queue, struct guaco_slice name,
                             bool pause, struct guaco_error *err);

/* last_ms: fired up to there; next_ms: INT64_MAX if it fires no more. */
typedef void guaco_recurring_fn(void *ctx, const struct guaco_recurring *entry,
                                int64_t last_ms, int64_t next_ms);

/* Call `fn` for each of `queue` (empty: of all), by queue and name. */
GUACO_API int
guaco_broker_recurring_list(struct guaco_broker *broker,
                            struct guaco_slice queue, guaco_recurring_fn *fn,
                            void *ctx, struct guaco_error *err);

#ifdef __cplusplus
}
#endif

#endif
