#ifndef GUACO_QUEUE_BROKER_INT_H
#define GUACO_QUEUE_BROKER_INT_H

/*
 * What a store writes.  Private to src/queue.
 *
 * A store gets batches: run(store, ops, n) does all ops in one transaction (or
 * one pipeline).  The front (broker.c) has checked every argument against the
 * promise of the public headers; a store asserts what it relies on.  The front
 * calls run from one thread at a time, whichever that is.  A store takes every
 * time from its own clock, never from a caller: due times and expiry are wall
 * clock, leases are CLOCK_BOOTTIME of one boot.
 *
 * Each op carries its own rc for what concerns it alone (LOST, MISSING); then
 * the others of the batch still count.  When run itself fails nothing of the
 * batch happened.
 *
 * What a new kind of rule needs (a unique key, a lock, a group) is a new op
 * kind and, where it guards a put, a field of guaco__put: the union and the
 * switch of each store name every kind, so the compiler finds what is missing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/broker.h"
#include "guaco/error.h"
#include "guaco/task.h"

#define GUACO__QUEUES_MAX    255u /* names a store */
#define GUACO__BATCH_OPS_MAX 512u /* of one batch, and of one commit */
#define GUACO__LEASE_LOOK_MS 5000 /* while tasks run, keepers look at leases */
#define GUACO__DEAD_TTL_S    (7u * 24 * 3600) /* of the result of a dead task */
#define GUACO__RESULT_TTL_S  (24u * 3600)     /* where the task says nothing */
#define GUACO__ASIDE_MAX     1000u /* tasks set aside for limits by a claim */
#define GUACO__TIME_MS_MAX   (1LL << 52) /* of times that a caller gives */

/*
 * A task on its way in.  `envelope` is opaque (envelope.h).  The rules were
 * checked by the front and are those of guaco/task.h, but that id and existed
 * are here, and that the front has counted who joins whom:
 *
 * - `hold` others of this op join it, and stand behind it: it is HELD; it has
 *   no unique key.
 * - `rules->joins` is 1 plus the index in this op of the one that it joins, as
 *   its number `member`.
 *
 * A put whose unique key is held by another is not stored: it gives that id
 * and sets existed; if it joins, it ended there as CANCELED.
 */
struct guaco__put {
    struct guaco_slice queue;
    struct guaco_slice envelope;
    int64_t due_ms; /* 0, or not after the store's now: ready at once */
    int32_t priority;
    const struct guaco_rules *rules; /* NULL: none */
    uint32_t hold;
    uint32_t member;
    uint64_t id;  /* in: of OP_IDS, or 0; out */
    bool existed; /* out */
};

/* A task that a claim gave, or a listing shows. */
struct guaco__row {
    uint64_t id;
    uint32_t attempt; /* runs begun, this claim included */
    uint32_t failures;
    uint32_t deaths;
    bool is_suspect;  /* claim: nothing else may run beside it */
    bool has_rules;   /* claim: to be said again at its end */
    uint32_t members; /* claim: that joined it */
    int64_t since_ms;
    int32_t priority;
    struct guaco_slice envelope; /* claim: gives, free((void *)at) */
    struct guaco_slice reason;   /* listing of the dead */
};

/* One process (or engine in it) that holds leases. */
struct guaco__owner {
    uint64_t id;
    int32_t pid;
    uint64_t pid_start; /* of /proc/PID/stat, tells a reused pid */
    uint64_t pid_space; /* inode of the pid namespace */
    bool boot_is_ours;  /* out: of this boot of this machine */
    bool is_elsewhere;  /* out: perhaps of another machine; its pid tells us
                           nothing, only its lease does */
    bool is_expired;    /* out: its lease ran out */
    bool holds;         /* out: it has tasks */
};

enum guaco__op_kind {
    GUACO__OP_PUT = 1,
    GUACO__OP_CLAIM,
    GUACO__OP_FINISH,
    GUACO__OP_RELEASE,
    GUACO__OP_EVENT,
    GUACO__OP_OWNER_OPEN,
    GUACO__OP_OWNER_RENEW,
    GUACO__OP_OWNER_REAP,
    GUACO__OP_OWNER_LIST,
    GUACO__OP_READ,
    GUACO__OP_PROMOTE,
    GUACO__OP_SWEEP,
    GUACO__OP_RECUR_SET,
    GUACO__OP_RECUR_LIST,
    GUACO__OP_TICK,
    GUACO__OP_STATS,
    GUACO__OP_LIST,
    GUACO__OP_PURGE,
    GUACO__OP_REPLAY,
    GUACO__OP_IDS,
    GUACO__OP_CANCEL,
    GUACO__OP_PAUSE,
    GUACO__OP_REVOKE,
    GUACO__OP_KEY,
    GUACO__OP_KEY_LIST,
    GUACO__OP_LOCK,
    GUACO__OP_RECUR_PUT,
    GUACO__OP_RECUR_DROP,
    GUACO__OP_RECUR_PAUSE,
};

#define GUACO__OP_LAST GUACO__OP_RECUR_PAUSE

struct guaco__op_put {
    struct guaco__put *tasks;
    size_t n;
};

/*
 * Up to `max` tasks of one queue.  `alone`: the owner's process runs nothing
 * else and will not while this runs; only then may a suspect (a task whose
 * process died) be given, and then it is the only one.  Nothing is given of a
 * queue that is paused.
 *
 * A task that a limit does not let run is set aside for that limit (still
 * WAITING), at most GUACO__ASIDE_MAX in one claim, then `more`; it is made
 * ready again, the first of the queue's order first, when a task of the key
 * has ended, or by PROMOTE when the rate lets it.
 */
struct guaco__op_claim {
    struct guaco_slice queue;
    uint64_t owner;
    uint32_t max;
    bool alone;
    struct guaco__row *rows; /* in: room for max; out */
    uint32_t count;          /* out */
    bool more;               /* out: others are ready still */
    bool suspects;           /* out: some wait for an owner that is alone */
    bool revokes;            /* out: the queue has revocations */
};

/*
 * The end of a run: result, acknowledgement and follow-ups in one step.  One
 * that was canceled and ends so without a reason has that of the cancel.
 * rc: GUACO_E_LOST when (owner, attempt) does not hold the task any more.
 *
 * In the same step, here and wherever else a task ends (CANCEL, PURGE, a death
 * too many): its unique key is free, its limits let others run, and if it joins
 * another, that has `state` and `body` of it; the last one makes it ready.  If
 * all must succeed and one did not, the one that waits ends as FAILED with a
 * result that says so, and so on upwards; `touched` names what ended so.  With
 * pass_on follow[0] joins in its stead.
 */
struct guaco__op_finish {
    uint64_t owner;
    uint64_t id;
    uint32_t attempt;
    enum guaco_task_state state; /* DONE .. CANCELED */
    bool keep;                   /* store a result */
    bool has_rules;              /* as the claim's row said */
    bool pass_on;                /* DONE, and follow_count > 0 */
    uint32_t ttl_s;              /* of the result; not 0 */
    struct guaco_slice body;     /* also for the one that it joins */
    struct guaco_slice reason;
    struct guaco__put *follow;
    size_t follow_count;
};

/* Back to the queue; if it was canceled meanwhile it ends so, as by a finish
 * that keeps a result for ttl_s.  rc as for finish. */
struct guaco__op_release {
    uint64_t owner;
    uint64_t id;
    uint32_t attempt;
    uint64_t delay_ms; /* 0: ready at once */
    bool failed;       /* counts as a failure */
    bool ended;        /* out: it was canceled */
};

/* rc as for finish. */
struct guaco__op_event {
    uint64_t owner;
    uint64_t id;
    uint32_t attempt;
    struct guaco_slice body;
};

struct guaco__op_owner {
    struct guaco__owner owner; /* OPEN: in, but for id (out); RENEW: id */
    uint32_t lease_ms;
    uint64_t *canceled; /* RENEW: out: which of its tasks were; gives, free() */
    size_t canceled_count;
};

/* End an owner.  Its locks are free.  What it ran goes back, but for what was
 * canceled; counted as a death where it ran alone
 * if `died`, as suspect.  rc: GUACO_E_MISSING when another was faster. */
struct guaco__op_reap {
    uint64_t owner;
    bool died;
    struct guaco_slice reason; /* of the dead set, if it comes to that */
    uint32_t returned;         /* out */
    uint64_t *dead;            /* out: ids, gives, free() */
    size_t dead_count;         /* out */
};

struct guaco__op_owners {
    struct guaco__owner *owners; /* out: gives, free() */
    size_t n;
};

/* rc: GUACO_E_LOST when the task was in another memory. */
struct guaco__op_read {
    uint64_t id;
    uint32_t after;
    bool take;
    bool members;            /* those instead of events and the result */
    struct guaco_news *news; /* out; guaco_news_release */
};

/* Move what is due, and what a rate lets run, to the ready ones, at most
 * `limit`. */
struct guaco__op_promote {
    uint32_t limit;
    uint32_t count;      /* out */
    int64_t next_due_ms; /* out: INT64_MAX when nothing is delayed */
};

/* Drop results, events, unique keys, keys and revocations whose time is over,
 * at most `limit`. */
struct guaco__op_sweep {
    uint32_t limit;      /* of each kind, or of all */
    uint32_t count;      /* out: less than limit: no more for now */
    int64_t next_end_ms; /* out: INT64_MAX when there is none */
};

/* A recurring task as it is stored. */
struct guaco__recur {
    struct guaco_slice queue;
    struct guaco_slice name;
    struct guaco_slice spec;
    struct guaco_slice zone;
    struct guaco_slice envelope;
    enum guaco_catch_up catch_up;
    uint64_t generation;
    int32_t priority;
    int64_t last_ms; /* fired up to here; at first the time it was defined */
    bool is_paused;
    bool is_run_time;
};

/* One defined at run time.  The store gives it a generation that it never had,
 * so that no tick of its former self counts. */
struct guaco__op_recur_put {
    const struct guaco__recur *def;
};

/* RECUR_DROP, RECUR_PAUSE; resuming sets last_ms to now.  rc: MISSING. */
struct guaco__op_recur_name {
    struct guaco_slice queue;
    struct guaco_slice name;
    bool pause;
};

/* Of those defined by deployments: one whose name was defined at run time stays
 * as it is, and a paused one paused. */
struct guaco__op_recur_set {
    struct guaco_slice queue;
    uint64_t generation;
    const struct guaco__recur *all;
    size_t n;
    bool stale; /* out: the store has a newer generation; nothing done */
};

struct guaco__op_recur_list {
    struct guaco__recur *all; /* out: gives one block, free() */
    size_t n;
};

/* Compare and set last_ms, and put the tasks, in one.  rc: GUACO_E_STATE when
 * last_ms is not `expect_ms` (another fired), the generation is another or it
 * is paused;
 * GUACO_E_MISSING when it is gone. */
struct guaco__op_tick {
    struct guaco_slice queue;
    struct guaco_slice name;
    uint64_t generation;
    int64_t expect_ms;
    int64_t last_ms;
    struct guaco__put *tasks;
    size_t n;
};

struct guaco__op_stats {
    struct guaco_slice queue;
    struct guaco_queue_stats *stats;
};

typedef void guaco__list_fn(void *ctx, const struct guaco__row *row);

struct guaco__op_list {
    struct guaco_slice queue;
    enum guaco_task_state state;
    uint64_t offset;
    uint32_t limit;
    guaco__list_fn *fn;
    void *ctx;
};

struct guaco__op_purge {
    struct guaco_slice queue;
    enum guaco_task_state state;
    uint64_t count; /* out */
};

struct guaco__op_replay {
    struct guaco_slice queue;
    uint64_t id;    /* 0: all */
    uint64_t count; /* out */
};

/* Ids that are never given again. */
struct guaco__op_ids {
    uint32_t n;
    uint64_t first; /* out: the first of n that follow each other */
};

/* rc: GUACO_E_MISSING: there is no such task that has not ended.  A running one
 * is marked, and OWNER_RENEW tells its owner. */
struct guaco__op_cancel {
    uint64_t id;
    struct guaco_slice reason;
    uint32_t ttl_s;            /* of the result */
    enum guaco_task_state was; /* out */
    uint64_t owner;            /* out: RUNNING: who is to be told */
};

struct guaco__op_pause {
    struct guaco_slice queue;
    bool pause;
};

enum guaco__revoke_verb {
    GUACO__REVOKE_SET = 1,
    GUACO__REVOKE_DROP,
    GUACO__REVOKE_LOOK,
    GUACO__REVOKE_TAKE, /* as LOOK, and one that holds once is gone */
};

/* One whose until_ms has passed is not there. */
struct guaco__op_revoke {
    enum guaco__revoke_verb verb;
    struct guaco_slice queue;
    struct guaco_slice key;
    int64_t until_ms; /* SET; 0: without end */
    bool once;        /* SET */
    bool was;         /* out, but for SET */
};

enum guaco__key_verb {
    GUACO__KEY_PUT = 1,
    GUACO__KEY_PUT_IF_EMPTY, /* rc: GUACO_E_EXISTS */
    GUACO__KEY_GET,          /* rc: GUACO_E_MISSING, of TAKE and DROP too */
    GUACO__KEY_TAKE,
    GUACO__KEY_DROP,
    GUACO__KEY_ADD, /* rc: GUACO_E_STATE; the ttl is that of the first */
};

/* One whose time is over is not there. */
struct guaco__op_key {
    enum guaco__key_verb verb;
    struct guaco_slice key;
    struct guaco_slice value; /* PUT: in; GET, TAKE: out, gives, free() */
    uint64_t ttl_ms;          /* PUT, ADD; 0: without end */
    int64_t amount;           /* ADD */
    int64_t sum;              /* ADD: out */
};

typedef void
guaco__key_list_fn(void *ctx, struct guaco_slice key, struct guaco_slice value);

struct guaco__op_key_list {
    struct guaco_slice prefix;
    struct guaco_slice after; /* empty: from the first */
    uint32_t limit;
    guaco__key_list_fn *fn;
    void *ctx;
};

enum guaco__lock_verb {
    GUACO__LOCK_TAKE = 1, /* rc: GUACO_E_AGAIN */
    GUACO__LOCK_RENEW,    /* rc: GUACO_E_LOST, of FREE too */
    GUACO__LOCK_FREE,
    GUACO__LOCK_LOOK,
    GUACO__LOCK_CLEAR, /* free it of all holders */
};

/* A holder is there until its lease ends, on the clock of leases, or its owner
 * is reaped. */
struct guaco__op_lock {
    enum guaco__lock_verb verb;
    struct guaco_slice name;
    uint32_t slots;    /* TAKE */
    uint64_t owner;    /* TAKE; GUACO_E_LOST when it is not there */
    uint64_t lease_ms; /* TAKE, RENEW */
    uint64_t token;    /* RENEW, FREE; TAKE: out, larger than all before */
    uint32_t holders;  /* out: before a CLEAR */
    uint64_t free_ms;  /* TAKE: out: AGAIN: in so long a lease ends */
};

struct guaco__op {
    enum guaco__op_kind kind;
    int rc; /* out, of this op alone */
    union {
        struct guaco__op_put put;
        struct guaco__op_claim claim;
        struct guaco__op_finish finish;
        struct guaco__op_release release;
        struct guaco__op_event event;
        struct guaco__op_owner owner;
        struct guaco__op_reap reap;
        struct guaco__op_owners owners;
        struct guaco__op_read read;
        struct guaco__op_promote promote;
        struct guaco__op_sweep sweep;
        struct guaco__op_recur_set recur_set;
        struct guaco__op_recur_list recur_list;
        struct guaco__op_tick tick;
        struct guaco__op_stats stats;
        struct guaco__op_list list;
        struct guaco__op_purge purge;
        struct guaco__op_replay replay;
        struct guaco__op_ids ids;
        struct guaco__op_cancel cancel;
        struct guaco__op_pause pause;
        struct guaco__op_revoke revoke;
        struct guaco__op_key key;
        struct guaco__op_key_list key_list;
        struct guaco__op_lock lock;
        struct guaco__op_recur_put recur_put;
        struct guaco__op_recur_name recur_name;
    };
};

/* ---- wake-ups ---- */

/*
 * What other processes of the same store are told after a commit.  TASKS goes
 * to one idle process for each `count`, TASK to all who watch that id, KEEPER
 * to all keepers.  Local listeners are the front's own business.
 */
enum guaco__notice_kind {
    GUACO__NOTICE_TASKS = 1, /* tasks of `queue` are ready */
    GUACO__NOTICE_TASK,      /* an event or the result of task `id`, or news of
                                another topic: see guaco__topic_owner */
    GUACO__NOTICE_KEEPER,    /* keepers have something to do at due_ms */
};

struct guaco__notice {
    enum guaco__notice_kind kind;
    char queue[GUACO_QUEUE_NAME_MAX + 1]; /* TASKS */
    uint64_t id;                          /* TASK */
    uint32_t count;                       /* TASKS: how many became ready */
    int64_t due_ms;                       /* KEEPER: 0: at once */
};

/* Other things that one can wait for are topics beyond all ids of tasks, which
 * are below 2^62: something was canceled that an owner runs, or the key or lock
 * of a name changed (or another of the same hash). */
static inline uint64_t
guaco__topic_owner(uint64_t owner)
{
    return owner | 1ULL << 62;
}
uint64_t guaco__topic_key(struct guaco_slice key);

struct guaco__store;
struct guaco__use;

/* What a committed batch made ready, for the front to wake the right ones. */
struct guaco__ready {
    char queue[GUACO_QUEUE_NAME_MAX + 1];
    uint32_t count;
};

struct guaco__touched {
    struct guaco__ready ready[GUACO__QUEUES_MAX];
    size_t n;
    int64_t due_ms;   /* keepers look by then; INT64_MAX: no news for them */
    uint64_t *topics; /* tasks that ended beside those of the ops, and others */
    size_t topic_count;
    size_t topic_room;
};

struct guaco__store_ops {
    const char *scheme; /* without the colon; of several the first */
    bool has_rules;     /* puts with rules, and the ops from OP_IDS on; else
                           the front refuses these */
    size_t size;        /* of the whole store struct, bytes */

    /* `store` arrives zeroed but for ops and scheme; `rest` is the URL after the scheme
     * and its colon.  On failure leave nothing behind: close is not called. */
    int (*open)(struct guaco__store *store, const char *rest,
                struct guaco_error *err);
    void (*close)(struct guaco__store *store);

    /* Nothing that a forked child must not have stays open; the next run opens
     * it again. */
    void (*pause)(struct guaco__store *store);

    /* The fork is done, in the parent: what was waiting for notices goes on. */
    void (*resume)(struct guaco__store *store);

    /* See the top; n is 1 to GUACO__BATCH_OPS_MAX.  Wait for the store until
     * the monotonic clock says deadline_ns, then GUACO_E_TIMEOUT.  Fills
     * store->touched. */
    int (*run)(struct guaco__store *store, struct guaco__op **ops, size_t n,
               uint64_t deadline_ns, struct guaco_error *err);

    /* Do `op`, as run does, through a connection of the caller's, in its
     * transaction; guaco/using.h has the errors.  From any thread, also while
     * run is running. */
    int (*run_using)(struct guaco__store *store, const struct guaco__use *use,
                     struct guaco__op *op, uint64_t deadline_ns,
                     struct guaco_error *err);

    /* Unix time in ms, and its own CLOCK_BOOTTIME in ms for intervals. */
    int64_t (*now_ms)(const struct guaco__store *store);

    /* Wake-ups.  From any thread, also while run is running.
     * listen: this process wants (or no longer wants) to be told; to be called
     * before one looks whether there is something already.  A TASKS interest
     * is used up by one notice.  ring: tell the others, never ourselves.
     * wait_fd: readable when there is a notice, or -1 when there can be none.
     * hear: take up to `max` notices; fewer than max: no more for now. */
    int (*listen)(struct guaco__store *store,
                  const struct guaco__notice *notice, bool on,
                  struct guaco_error *err);
    void (*ring)(struct guaco__store *store,
                 const struct guaco__notice *notice);
    int (*wait_fd)(struct guaco__store *store);
    size_t (*hear)(struct guaco__store *store, struct guaco__notice *out,
                   size_t max);
};

struct guaco__store {
    const struct guaco__store_ops *ops;
    const char *scheme;            /* of the URL */
    struct guaco__touched touched; /* by the last run */
    char warning[200];             /* set by open: of its set-up, or "" */
    uint32_t wait_ms;              /* set by open: how long a run may wait */
};

extern const struct guaco__store_ops guaco__store_memory;
extern const struct guaco__store_ops guaco__store_postgres;
extern const struct guaco__store_ops guaco__store_redis;
extern const struct guaco__store_ops guaco__store_remote; /* a keeper's */
extern const struct guaco__store_ops guaco__store_sqlite;

/* ---- helpers for stores ---- */

/* Forget what the last batch touched; add `count` ready tasks of `queue`. */
void guaco__touched_reset(struct guaco__touched *touched);
void guaco__touched_ready(struct guaco__touched *touched,
                          struct guaco_slice queue, uint32_t count);
/* Those who watch `topic` must look. */
void guaco__touched_topic(struct guaco__touched *touched, uint64_t topic);
/* Keepers have something to look at by `due_ms`. */
static inline void
guaco__touched_due(struct guaco__touched *touched, int64_t due_ms)
{
    if (due_ms < touched->due_ms)
        touched->due_ms = due_ms;
}

/* Whether it may change something. */
bool guaco__op_is_write(const struct guaco__op *op);

/* Free what `op` gave out, as when its transaction failed. */
void guaco__op_take_back(struct guaco__op *op);

/*
 * A limit's arithmetic (GCRA).  `full_us` is when its bucket is full again.  May
 * `cost` starts be taken at now_us?  Then their taking is in *full_us and it is
 * now_us; else when they may be.
 */
struct guaco__rate {
    int64_t interval_us; /* between two starts; 0: any rate */
    int64_t burst;
};

struct guaco__rate guaco__rate_of(const struct guaco_limit *limit);
/* After the clock was set back: nothing is fuller later than a whole bucket. */
int64_t guaco__rate_clamp(const struct guaco__rate *rate, int64_t now_us,
                          int64_t full_us);
int64_t guaco__rate_take(const struct guaco__rate *rate, uint32_t cost,
                         int64_t now_us, int64_t *full_us);

/* What a task that waited for others ends with when one of them failed.  Into
 * text[0..GUACO_REASON_MAX). */
struct guaco_slice
guaco__joined_reason(char *text, uint32_t member, enum guaco_task_state state);

/* The order of their names, as memcmp says it. */
int
guaco__recur_order(const struct guaco__recur *a, const struct guaco__recur *b);
/* A generation for one defined at run time, which `old` (or NULL) had not. */
uint64_t
guaco__recur_generation(int64_t now_ms, const struct guaco__recur *old);

/* Whether `text` is a number as a counter has it. */
bool guaco__key_number(struct guaco_slice text, int64_t *number);

/* A guaco_news in one block: events or members are appended in order, then the
 * result; everything is copied.  0 or GUACO_E_NOMEM. */
int
guaco__news_member(struct guaco_news *news, const struct guaco_member *member);
int guaco__news_event(struct guaco_news *news, uint32_t number,
                      struct guaco_slice body);
int
guaco__news_result(struct guaco_news *news, const struct guaco_result *result);

#endif
