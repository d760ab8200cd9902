#ifndef GUACO_QUEUE_MEMORY_INT_H
#define GUACO_QUEUE_MEMORY_INT_H

/*
 * The memory store: the reference for the others, for tests and for programs
 * of one process.  Everything is in heaps and maps, so an op costs O(log n);
 * nothing survives the process.
 *
 * Each task is in exactly one place:
 *
 *     WAITING   queue->ready, or queue->suspects after its process died
 *     DELAYED   store->delayed, by due time
 *     RUNNING   owner->running and store->running, by id
 *     DEAD      queue->dead
 */

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "broker_int.h"
#include "os/clock.h"

struct memory_owner;

struct memory_queue {
    char name[GUACO_QUEUE_NAME_MAX + 1];
    struct guaco__heap ready;
    struct guaco__heap suspects;
    struct guaco__list waiting; /* the tasks of both heaps, in no order */
    struct guaco__list delayed; /* those of store->delayed */
    struct guaco__list dead;
    struct guaco__list recur; /* of struct memory_recur */
    uint64_t generation;
    uint64_t running;
    uint64_t results;
};

struct memory_task {
    struct guaco__heap_node node; /* WAITING, DELAYED */
    struct guaco__list link;      /* of the queue, or RUNNING: the owner */
    struct memory_queue *queue;
    uint64_t id;
    int64_t since_ms; /* DELAYED: due */
    int32_t priority;
    uint32_t attempt, failures, deaths;
    struct memory_owner *owner; /* RUNNING */
    bool is_suspect;
    bool is_alone;
    char *reason; /* DEAD, or NULL; with reason_len */
    size_t reason_len;
    size_t len;
    char envelope[];
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

struct memory_store {
    struct guaco__store base; /* first, so that the cast holds */
    struct guaco_clock clock;
    struct memory_queue *queues[GUACO__QUEUES_MAX];
    size_t queue_count;
    struct guaco__heap delayed;
    struct guaco__heap ends;   /* records by end_ms */
    struct guaco__map running; /* id -> struct memory_task */
    struct guaco__map records; /* id -> struct memory_record */
    struct guaco__list owners;
    uint64_t number; /* its ids begin with it: id >> 32 */
    uint64_t last_id;
    uint64_t last_owner;
    int64_t now_ms; /* of the present run */
};

/* Ids are keys of the maps by their eight bytes. */
static inline struct guaco_slice
memory_key(const uint64_t *id)
{
    return (struct guaco_slice){(const char *)id, sizeof *id};
}

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
                          const struct guaco__op_release *release);
int guaco__memory_promote(struct memory_store *self,
                          struct guaco__op_promote *promote);
struct memory_task *guaco__memory_held(struct memory_store *self, uint64_t id,
                                       uint64_t owner, uint32_t attempt);
void guaco__memory_ready(struct memory_store *self, struct memory_task *task);
void guaco__memory_task_free(struct memory_task *task);

/* memory_owner.c */
int
guaco__memory_owner_open(struct memory_store *self, struct guaco__op_owner *op);
int guaco__memory_owner_renew(struct memory_store *self,
                              const struct guaco__op_owner *op);
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

/* memory_admin.c */
int guaco__memory_stats(struct memory_store *self,
                        const struct guaco__op_stats *stats);
int guaco__memory_list(struct memory_store *self,
                       const struct guaco__op_list *list);
int
guaco__memory_purge(struct memory_store *self, struct guaco__op_purge *purge);
int guaco__memory_replay(struct memory_store *self,
                         struct guaco__op_replay *replay);

#endif
