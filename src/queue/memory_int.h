#ifndef GUACO_QUEUE_MEMORY_INT_H
#define GUACO_QUEUE_MEMORY_INT_H

/*
 * The memory store: the reference for the others, for tests and for programs
 * of one process.  Everything is in heaps and maps, so an op costs O(log n);
 * nothing survives the process.
 *
 * Each task is in store->tasks by id, and in exactly one place:
 *
 *     WAITING   queue->ready, queue->suspects after its process died, or
 *               lane->aside when a limit does not let it run
 *     DELAYED   store->delayed, by due time
 *     HELD      queue->held
 *     RUNNING   owner->running
 *     DEAD      queue->dead
 *
 * What rules bind tasks to is made when the task is made and dropped when it
 * ends (memory_rules.c); a limit's key is a lane (memory_lane.c).
 */

#include <assert.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "broker_int.h"
#include "os/clock.h"

struct memory_owner;
struct memory_rules;

enum memory_place {
    PLACE_NONE, /* on its way */
    PLACE_READY,
    PLACE_SUSPECTS,
    PLACE_ASIDE,
    PLACE_DELAYED,
    PLACE_HELD,
    PLACE_RUNNING,
    PLACE_DEAD,
};

struct memory_queue {
    char name[GUACO_QUEUE_NAME_MAX + 1];
    struct guaco__heap ready;
    struct guaco__heap suspects;
    struct guaco__list waiting; /* those of both heaps and aside, in no order */
    struct guaco__list delayed; /* those of store->delayed */
    struct guaco__list held;
    struct guaco__list dead;
    struct guaco__list recur;   /* of struct memory_recur */
    struct guaco__list revokes; /* of struct memory_revoke */
    uint64_t generation;
    uint64_t waiting_count;
    uint64_t running;
    uint64_t results;
    bool is_paused;
};

struct memory_task {
    struct guaco__heap_node node; /* WAITING, DELAYED */
    struct guaco__list link;      /* of the queue, or RUNNING: the owner */
    enum memory_place place;
    struct memory_rules *rules; /* or NULL */
    struct memory_queue *queue;
    uint64_t id;
    int64_t since_ms; /* DELAYED: due */
    int32_t priority;
    uint32_t attempt, failures, deaths;
    struct memory_owner *owner; /* RUNNING */
    bool is_suspect;
    bool is_alone;
    bool is_canceled; /* RUNNING */
    char *reason;     /* DEAD, or canceled, or NULL; with reason_len */
    size_t reason_len;
    size_t len;
    char envelope[];
};

/* A unique key; who holds it says so by its id. */
struct memory_unique {
    struct guaco__heap_node node; /* in store->unique_ends, if it has an end */
    struct memory_queue *queue;
    uint64_t id;
    int64_t end_ms; /* INT64_MAX: none */
    size_t key_len;
    char key[]; /* the queue's name, NUL, the key */
};

/* The key of a limit. */
struct memory_lane {
    struct guaco__heap_node node; /* in store->wakes, unless INT64_MAX */
    struct memory_queue *queue;
    struct guaco__heap aside; /* of struct memory_task */
    uint32_t refs;            /* tasks that have it */
    uint32_t running;
    uint32_t running_max;
    struct guaco__rate rate;
    int64_t full_us;
    int64_t wake_ms;
    size_t key_len;
    char key[]; /* as above */
};

struct memory_member {
    uint64_t id;
    enum guaco_task_state state; /* 0: it has not ended */
    char *body;
    size_t len;
};

struct memory_rules {
    struct memory_lane *lanes[GUACO_LIMITS_MAX];
    uint32_t costs[GUACO_LIMITS_MAX];
    struct memory_lane *aside; /* where it is */
    bool is_counted;           /* its lanes count it as running */
    enum guaco_unique_until until;
    char *unique_key; /* of struct memory_unique, or NULL */
    size_t unique_len;
    uint64_t joins; /* the task that waits for this one; 0: none */
    uint32_t member;
    bool must_succeed;
    bool is_held;
    int64_t due_ms; /* of one that is held */
    uint32_t left;  /* members that have not ended */
    uint32_t member_count;
    struct memory_member members[];
};

struct memory_revoke {
    struct guaco__list link;
    int64_t until_ms;
    bool once;
    size_t len;
    char key[];
};

struct memory_key {
    struct guaco__heap_node node; /* in store->key_ends, if it has an end */
    int64_t end_ms;               /* INT64_MAX: none */
    size_t key_len;
    size_t len;
    char bytes[]; /* the key, the value */
};

struct memory_lock {
    struct guaco__list holders; /* of struct memory_holder */
    size_t name_len;
    char name[];
};

struct memory_holder {
    struct guaco__list link;
    uint64_t token;
    uint64_t owner;
    uint64_t end_ms; /* CLOCK_BOOTTIME */
};

struct memory_owner {
    struct guaco__list link;
    struct guaco__list running; /* of struct memory_task */
    struct guaco__owner who;
    uint64_t lease_end_ms; /* CLOCK_BOOTTIME */
};

struct memory_event {
    struct guaco__list link;
    uint32_t number;
    size_t len;
    char body[];
};

/* What is known of a task beside itself: events and a result. */
struct memory_record {
    struct guaco__heap_node node; /* in store->ends */
    uint64_t id;
    struct memory_queue *queue;
    int64_t end_ms;
    uint32_t last_event;
    uint32_t event_count;
    struct guaco__list events;
    bool has_result;
    struct guaco_result result;
    char *bytes; /* of the result */
};

struct memory_recur {
    struct guaco__list link;
    struct guaco__recur def; /* slices into bytes, but for queue */
    char bytes[];
};

#define MEMORY_PAGE 512u

struct memory_page {
    uint64_t number; /* of ids: id / MEMORY_PAGE */
    uint32_t count;
    struct memory_task *tasks[MEMORY_PAGE];
};

struct memory_index {
    struct guaco__map pages;  /* number -> struct memory_page */
    struct memory_page *last; /* used, or NULL */
};

struct memory_store {
    struct guaco__store base; /* first, so that the cast holds */
    struct guaco_clock clock;
    struct memory_queue *queues[GUACO__QUEUES_MAX];
    size_t queue_count;
    struct guaco__heap delayed;
    struct guaco__heap ends; /* records by end_ms */
    struct guaco__heap unique_ends;
    struct guaco__heap wakes; /* lanes by wake_ms */
    struct guaco__heap key_ends;
    struct memory_index tasks; /* by id */
    struct guaco__map records; /* id -> struct memory_record */
    struct guaco__map uniques; /* key -> struct memory_unique */
    struct guaco__map lanes;   /* key -> struct memory_lane */
    struct guaco__map keys;    /* key -> struct memory_key */
    struct guaco__map locks;   /* name -> struct memory_lock */
    struct guaco__list owners;
    uint64_t number; /* its ids begin with it: id >> 32 */
    uint64_t last_id;
    uint64_t last_owner;
    int64_t now_ms;    /* of the present run */
    int64_t latest_ms; /* that now_ms has been */
};

/* Ids are keys of the maps by their eight bytes. */
static inline struct guaco_slice
memory_key(const uint64_t *id)
{
    return (struct guaco_slice){(const char *)id, sizeof *id};
}

/* Unique keys and limits are of a queue: its name, NUL, the key. */
#define MEMORY_NAME_MAX (GUACO_QUEUE_NAME_MAX + 1 + GUACO_KEY_MAX)

static inline struct guaco_slice
memory_name(char bytes[MEMORY_NAME_MAX], const struct memory_queue *queue,
            struct guaco_slice key)
{
    size_t n = strlen(queue->name) + 1;

    assert(key.len <= GUACO_KEY_MAX);
    memcpy(bytes, queue->name, n);
    memcpy(bytes + n, key.at, key.len);
    return (struct guaco_slice){bytes, n + key.len};
}

/* memory_index.c */
void guaco__memory_index_init(struct memory_index *index);
/* Frees the tasks too. */
void guaco__memory_index_release(struct memory_index *index);
struct memory_task *guaco__memory_get(struct memory_store *self, uint64_t id);
/* GUACO_E_EXISTS or GUACO_E_NOMEM. */
int guaco__memory_add(struct memory_store *self, struct memory_task *task);
/* In the place of the one that has its id. */
void guaco__memory_swap(struct memory_store *self, struct memory_task *task);
/* One that is there. */
void guaco__memory_remove(struct memory_store *self, uint64_t id);

/* memory_task.c */
struct memory_queue *guaco__memory_queue(struct memory_store *self,
                                         struct guaco_slice name, int *rc);
struct memory_queue *
guaco__memory_find(struct memory_store *self, struct guaco_slice name);
int
guaco__memory_put(struct memory_store *self, struct guaco__put *puts, size_t n);
int
guaco__memory_claim(struct memory_store *self, struct guaco__op_claim *claim);
int guaco__memory_finish(struct memory_store *self,
                         const struct guaco__op_finish *finish);
int guaco__memory_release(struct memory_store *self,
                          struct guaco__op_release *release);
int guaco__memory_promote(struct memory_store *self,
                          struct guaco__op_promote *promote);
int guaco__memory_cancel(struct memory_store *self,
                         struct guaco__op_cancel *cancel);
struct memory_task *guaco__memory_holds(struct memory_store *self, uint64_t id,
                                        uint64_t owner, uint32_t attempt);
void guaco__memory_ready(struct memory_store *self, struct memory_task *task);
void guaco__memory_delay(struct memory_store *self, struct memory_task *task,
                         int64_t due_ms);
/* Out of the place where it is. */
void guaco__memory_take(struct memory_store *self, struct memory_task *task);
/* Out of the store too, and freed; its rules have ended. */
void guaco__memory_drop(struct memory_store *self, struct memory_task *task);
void guaco__memory_task_free(struct memory_task *task);
void guaco__memory_rules_free(struct memory_task *task);
/* Priority, then id. */
bool guaco__memory_is_before(const struct guaco__heap_node *a,
                             const struct guaco__heap_node *b);
/* End a task that was taken out as CANCELED, with a result.  Returns 0 or
 * GUACO_E_NOMEM: then nothing was changed. */
int
guaco__memory_end_canceled(struct memory_store *self, struct memory_task *task,
                           struct guaco_slice reason, uint32_t ttl_s);

/* memory_rules.c */

/* Make the rules of `task`, which has its id, as puts[at] says; what it joins
 * was made.  Returns 0, GUACO_E_NOMEM, or GUACO_E_EXISTS: another holds its
 * unique key, whose id is in *holder. */
int
guaco__memory_rules_make(struct memory_store *self, struct memory_task *task,
                         const struct guaco__put *puts, size_t at,
                         uint64_t *holder);
/* Undo it: the task was never there. */
void
guaco__memory_rules_unmake(struct memory_store *self, struct memory_task *task);
/* `task` has ended: free its key and lanes, tell who waits for it.  With rules
 * only; they are gone then. */
void
guaco__memory_rules_end(struct memory_store *self, struct memory_task *task,
                        enum guaco_task_state state, char *body, size_t len);
/* Its first run begins. */
void
guaco__memory_rules_begin(struct memory_store *self, struct memory_task *task);
/* Member `member` of the held task `id` has ended.  Takes body. */
void guaco__memory_joined(struct memory_store *self, uint64_t id,
                          uint32_t member, const struct memory_member *how);
/* What waits for `from` waits for task `to` instead, which has room for it. */
void guaco__memory_pass_on(struct memory_store *self, struct memory_task *from,
                           uint64_t to);
/* `task`, which was made for `put`, takes the place of the one that holds its
 * unique key and has its id, if that can be; else it is freed. */
void
guaco__memory_replace(struct memory_store *self, const struct guaco__put *put,
                      struct memory_task *task);
int guaco__memory_members(struct memory_store *self, uint64_t id,
                          struct guaco_news *news);
uint32_t guaco__memory_unique_sweep(struct memory_store *self, uint32_t limit,
                                    int64_t *next_ms);
bool guaco__memory_unique_is_before(const struct guaco__heap_node *a,
                                    const struct guaco__heap_node *b);

/* memory_lane.c */
int
guaco__memory_lane_get(struct memory_store *self, struct memory_queue *queue,
                       const struct guaco_limit *limit,
                       struct memory_lane **out);
void
guaco__memory_lane_put(struct memory_store *self, struct memory_lane *lane);
/* Let `task` run and count it, or false: it was set aside. */
bool
guaco__memory_lanes_enter(struct memory_store *self, struct memory_task *task);
/* It runs no more. */
void
guaco__memory_lanes_leave(struct memory_store *self, struct memory_task *task);
/* One that was let run by its lanes did not; others may. */
void
guaco__memory_lanes_kick(struct memory_store *self, struct memory_task *task);
void guaco__memory_lanes_promote(struct memory_store *self,
                                 struct guaco__op_promote *promote);
bool guaco__memory_lane_is_before(const struct guaco__heap_node *a,
                                  const struct guaco__heap_node *b);

/* memory_key.c */
int guaco__memory_key(struct memory_store *self, struct guaco__op_key *op);
int guaco__memory_key_list(struct memory_store *self,
                           const struct guaco__op_key_list *op);
int
guaco__memory_revoke(struct memory_store *self, struct guaco__op_revoke *op);
uint32_t guaco__memory_key_sweep(struct memory_store *self, uint32_t limit,
                                 int64_t *next_ms);
bool guaco__memory_key_is_before(const struct guaco__heap_node *a,
                                 const struct guaco__heap_node *b);

/* memory_lock.c */
int guaco__memory_lock(struct memory_store *self, struct guaco__op_lock *op);
void guaco__memory_unlock_owner(struct memory_store *self, uint64_t owner);

/* memory_owner.c */
int
guaco__memory_owner_open(struct memory_store *self, struct guaco__op_owner *op);
int guaco__memory_owner_renew(struct memory_store *self,
                              struct guaco__op_owner *op);
int
guaco__memory_owner_reap(struct memory_store *self, struct guaco__op_reap *op);
int guaco__memory_owner_list(struct memory_store *self,
                             struct guaco__op_owners *op);
struct memory_owner *
guaco__memory_owner(struct memory_store *self, uint64_t id);

/* memory_record.c */
int guaco__memory_result(struct memory_store *self, struct memory_queue *queue,
                         const struct guaco_result *result, uint32_t ttl_s);
int guaco__memory_event(struct memory_store *self,
                        const struct guaco__op_event *event);
int guaco__memory_read(struct memory_store *self, struct guaco__op_read *read);
int
guaco__memory_sweep(struct memory_store *self, struct guaco__op_sweep *sweep);
void guaco__memory_forget(struct memory_store *self, uint64_t id);
void guaco__memory_record_free(struct memory_record *record);

/* memory_recur.c */
int guaco__memory_recur_set(struct memory_store *self,
                            struct guaco__op_recur_set *set);
int guaco__memory_recur_list(struct memory_store *self,
                             struct guaco__op_recur_list *list);
int guaco__memory_tick(struct memory_store *self, struct guaco__op_tick *tick);
int guaco__memory_recur_put(struct memory_store *self,
                            const struct guaco__op_recur_put *put);
int guaco__memory_recur_drop(struct memory_store *self,
                             const struct guaco__op_recur_name *op);
int guaco__memory_recur_pause(struct memory_store *self,
                              const struct guaco__op_recur_name *op);

/* memory_admin.c */
int guaco__memory_stats(struct memory_store *self,
                        const struct guaco__op_stats *stats);
int guaco__memory_list(struct memory_store *self,
                       const struct guaco__op_list *list);
int
guaco__memory_purge(struct memory_store *self, struct guaco__op_purge *purge);
int guaco__memory_replay(struct memory_store *self,
                         struct guaco__op_replay *replay);
int guaco__memory_pause(struct memory_store *self,
                        const struct guaco__op_pause *op);

#endif
