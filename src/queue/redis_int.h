#ifndef GUACO_QUEUE_REDIS_INT_H
#define GUACO_QUEUE_REDIS_INT_H

/*
 * The Redis store.
 *
 * A batch of ops is one call of one Lua script (redis_store.lua), so it is one
 * round trip, one step of the server, all or nothing.  The server's clock
 * decides what is due and whose lease ended.
 *
 * Two connections.  On `link` the batches go, one at a time, and what others
 * are to be told (redis_bell.lua) is sent with the next one or alone, without
 * waiting for an answer.  On `ear`, made at the first listen, come the
 * messages of our own channel; the hub's thread sleeps in wait_fd until one
 * does, so an idle client wakes up never.
 *
 * When `link` breaks the batch is sent again on a new one until the deadline.
 * Whether it was done before is known by its number: the server keeps number
 * and answers of each client's last batch for ten minutes and gives the same
 * answers again.  If no answer came by the deadline the caller is told
 * GUACO_E_TIMEOUT, and the next batch takes back what that one may have
 * claimed.
 *
 * When `ear` breaks it is made again by the hub's thread; since messages may
 * have been lost, all who listen are woken then.
 *
 * Locks, in the order in which they are taken: `hearing` (ear), `talk` (link,
 * frame, out), `lock` (topics, what is to be told).
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "broker_int.h"
#include "os/clock.h"
#include "os/proc.h"
#include "redis_link.h"

#define REDIS_NUMBER_MAX   (INT64_C(1) << 53) /* what Lua counts exactly */
#define REDIS_COUNT_MAX    INT64_C(0xffffffff)
#define REDIS_CLIENT_BYTES 17 /* 16 hex digits and a NUL */

/* Something that is listened to. */
struct redis_topic {
    struct guaco__list link; /* of hungry (TASKS) */
    struct guaco__list owed; /* of self->owed */
    struct guaco__notice notice;
    bool is_mapped;
    size_t key_len;
    char key[GUACO_QUEUE_NAME_MAX + 2];
};

/* Something to tell the server, or one that it was told. */
struct redis_aside {
    struct guaco__list link;
    struct guaco__notice notice;
    char what;    /* + to be told, - no more, ! tell another */
    bool is_last; /* of those that one command told */
};

/* Where a listing of keys goes on. */
struct redis_page {
    struct guaco__list link;
    char key[GUACO_KEY_MAX];
};

/* The ops of one call, encoded: its arguments, but for the first six. */
struct redis_frame {
    struct guaco__buf args;
    size_t arg_count;
    size_t first; /* ops[first..first + count) of the batch */
    size_t count;
    struct guaco__op *const *ops; /* the batch, and what of it is left out */
    const bool *skip;
};

struct redis_store;

/* How an attempt to have a batch done ended. */
enum redis_ending {
    REDIS_ENDED,     /* the reply is there */
    REDIS_REFUSED,   /* for good; nothing was done */
    REDIS_UNSENT,    /* to be tried again; nothing was done by this attempt */
    REDIS_UNANSWERED /* to be tried again; it may have been done */
};

/* What speaks to a server of such batches: Redis, or PostgreSQL with the same
 * batches as functions.  `talk` is held but for the ear's, `hearing` for
 * those. */
struct redis_server {
    /* Have self->link connected; its conn.fd is the socket. */
    int (*open)(struct redis_store *self, uint64_t deadline_ns,
                struct guaco_error *err);
    void (*close)(struct redis_store *self);
    /* Tell what is to be told, have the frame done, wait for its answer. */
    enum redis_ending (*exchange)(struct redis_store *self,
                                  const struct redis_frame *frame,
                                  const struct guaco__reply **reply,
                                  uint64_t deadline_ns, int *rc,
                                  struct guaco_error *err);
    /* Send what is to be told, without waiting for an answer. */
    int (*tell)(struct redis_store *self, uint64_t deadline_ns);
    /* The head of a command with `n` asides, into self->out. */
    int (*begin_asides)(struct redis_store *self, size_t n);
    /* self->ear: connected, and hearing what is said to self->client. */
    int (*open_ear)(struct redis_store *self, uint64_t deadline_ns,
                    struct guaco_error *err);
    void (*close_ear)(struct redis_store *self);
    /* A message that is there, alive until the next call.  0, GUACO_E_AGAIN,
     * or the ear's end. */
    int (*hear)(struct redis_store *self, struct guaco_slice *text);
};

struct redis_store {
    struct guaco__store base; /* first, so that the cast holds */
    const struct redis_server *server;
    struct guaco_clock clock;
    struct guaco__redis_target target; /* of a Redis server */
    uint64_t timeout_ms;               /* of a batch, with all attempts */
    char boot_id[GUACO__BOOT_ID_BYTES];
    char client[REDIS_CLIENT_BYTES];
    _Atomic int64_t skew_us; /* the server's wall clock less our boot clock */

    pthread_mutex_t talk; /* guards these */
    struct guaco__redis_link link;
    struct redis_frame frame;
    struct guaco__buf out;
    uint64_t number;          /* of the last batch */
    uint64_t unsure;          /* of one whose answer never came, or 0 */
    struct guaco__list pages; /* of struct redis_page, while a batch runs */
    struct guaco__list told;  /* asides on their way, oldest first */

    pthread_mutex_t lock;       /* guards these */
    struct guaco__map topics;   /* key -> struct redis_topic */
    struct guaco__list hungry;  /* those of TASKS */
    struct guaco__list owed;    /* topics to be woken without a message */
    struct guaco__list to_tell; /* asides not sent yet */
    size_t to_tell_count;
    bool is_unsynced; /* the server is to be told of all topics */
    bool is_paused;
    char rang[GUACO__QUEUES_MAX][GUACO_QUEUE_NAME_MAX + 1];
    size_t rang_count; /* queues whose idle ones the script has woken */

    pthread_mutex_t hearing; /* guards these */
    struct guaco__redis_link ear;
    bool has_ear;      /* it is wanted: somebody listened */
    bool is_ear_stale; /* the server is another now; under `lock` */
    struct guaco__backoff ear_backoff;

    int wait_fd;  /* an epoll of all these */
    int owed_fd;  /* an eventfd: something is owed, or to be done */
    int timer_fd; /* when to try again */
};

/* What an epoll event of wait_fd is about. */
enum redis_event { REDIS_OWED, REDIS_TIMER, REDIS_EAR, REDIS_LINK };

/* ---- redis_run.c ---- */

/* Have a connection, by deadline_ns; whoever listens is told of its loss.
 * `talk` is held. */
int guaco__redis_ensure(struct redis_store *self, uint64_t deadline_ns,
                        struct guaco_error *err);
void guaco__redis_drop(struct redis_store *self);

/* All of a store but how it speaks to its server: to be called first, and
 * last. */
int guaco__redis_begin_store(struct redis_store *self,
                             const struct redis_server *server,
                             struct guaco_error *err);
void guaco__redis_end_store(struct redis_store *self);

/* A first batch without ops: it tells the server's time. */
int guaco__redis_first_call(struct redis_store *self, struct guaco_error *err);

int guaco__redis_run(struct guaco__store *store, struct guaco__op **ops,
                     size_t n, uint64_t deadline_ns, struct guaco_error *err);
int64_t guaco__redis_now_ms(const struct guaco__store *store);

/* ---- redis_encode.c ---- */

/* Encode ops[first..n), as many as one call takes, at least one.  Those of
 * `skip` that are true are left out.  0, GUACO_E_NOMEM or GUACO_E_LIMIT. */
int guaco__redis_encode(struct redis_store *self, struct redis_frame *frame,
                        struct guaco__op **ops, const bool *skip, size_t n,
                        size_t first);

/* Arguments: numbers (n), flags (f), slices (s) and names of keys' topics (t),
 * as `form` says. */
union redis_value {
    int64_t n;
    bool f;
    struct guaco_slice s;
};
int guaco__redis_add(struct redis_frame *frame, const char *form,
                     const union redis_value *values);

/* Whether any of them has rules: then all are put as such. */
bool guaco__redis_are_ruled(const struct guaco__put *puts, size_t n);

/* How many finishes from ops[i] on go together. */
size_t guaco__redis_finishes(struct guaco__op *const *ops, const bool *skip,
                             size_t end, size_t i);

/* ---- redis_answer.c ---- */

/*
 * Take the answer to `frame` apart into its ops and store->touched.  Sets
 * again[i] for an op that is to be asked once more, and skip[i] for the
 * others.  *unused: something that the server gave away could not be taken.
 *
 * Returns 0 or GUACO_E_PROTO.
 */
int
guaco__redis_answer(struct redis_store *self, const struct redis_frame *frame,
                    struct guaco__op **ops, bool *skip,
                    const struct guaco__reply *reply, bool *unused);

/* ---- redis_record.c: `reply` is a list ---- */

int guaco__redis_take_news(const struct guaco__reply *reply,
                           struct guaco__op_read *read);
int guaco__redis_take_defs(const struct guaco__reply *reply,
                           struct guaco__op_recur_list *list);

/* ---- redis_steer.c: the ops from OP_IDS on; `reply` is the answer ---- */

int guaco__redis_take_steer(struct redis_store *self,
                            const struct guaco__reply *reply,
                            struct guaco__op *op, bool *again);

/* ---- redis_topic.c: `lock` is held for the first three ---- */

int guaco__redis_topic_add(struct redis_store *self,
                           const struct guaco__notice *notice);
void guaco__redis_topic_drop(struct redis_store *self,
                             const struct guaco__notice *notice);
/* Not listened to any more; it may still be owed. */
void
guaco__redis_topic_unmap(struct redis_store *self, struct redis_topic *topic);
/* Something is owed, or to be done: wake the hub's thread. */
void guaco__redis_kick(const struct redis_store *self);

/* ---- redis_bell.c, and names of topics ---- */

/* A topic as the scripts name it: a task's id, oOWNER, kHEX; and back. */
#define REDIS_TOPIC_BYTES 24
void guaco__redis_topic_name(uint64_t topic, char out[REDIS_TOPIC_BYTES]);
bool guaco__redis_topic_read(struct guaco_slice name, uint64_t *topic);

int guaco__redis_bell_open(struct redis_store *self, struct guaco_error *err);
void guaco__redis_bell_close(struct redis_store *self);

/* Append to self->out what the server is to be told; `talk` is held. */
int guaco__redis_bell_write(struct redis_store *self);

/* A command of asides was answered, or the connection lost; `talk` is held. */
void guaco__redis_bell_settle(struct redis_store *self);
void guaco__redis_bell_lost(struct redis_store *self);

/* Send what is to be told, unless somebody else talks and will. */
void guaco__redis_bell_flush(struct redis_store *self);

/* The queues for which the script must not wake others, ",a,b,"; `out` has
 * room for all. */
#define REDIS_HUNGRY_BYTES (GUACO__QUEUES_MAX * (GUACO_QUEUE_NAME_MAX + 1) + 2)
void guaco__redis_bell_hungry(struct redis_store *self, char *out);

/* The script woke the idle ones of `queue`: the front's ring is not needed. */
void guaco__redis_bell_rang(struct redis_store *self, struct guaco_slice queue);
void guaco__redis_bell_reset(struct redis_store *self);

/* Wake all who listen here: nobody knows what they missed. */
void guaco__redis_bell_owe(struct redis_store *self);

int guaco__redis_listen(struct guaco__store *store,
                        const struct guaco__notice *notice, bool on,
                        struct guaco_error *err);
void guaco__redis_ring(struct guaco__store *store,
                       const struct guaco__notice *notice);
int guaco__redis_wait_fd(struct guaco__store *store);
size_t guaco__redis_hear(struct guaco__store *store, struct guaco__notice *out,
                         size_t max);
void guaco__redis_pause(struct guaco__store *store);
void guaco__redis_resume(struct guaco__store *store);

#endif
