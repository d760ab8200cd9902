#include "front.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "using.h"

/* One caller's ops in the line; lives on that caller's stack. */
struct guaco__batch {
    struct guaco__batch *next;
    struct guaco__op *ops;
    size_t n;
    pthread_cond_t changed;
    bool is_done;
    bool is_leader;
    int rc;
    struct guaco_error err;
};

/* ---- telling who must know ---- */

static struct guaco__list *
listeners_of(struct guaco_broker *broker, const struct guaco__notice *topic)
{
    switch (topic->kind) {
    case GUACO__NOTICE_TASKS: return &broker->queues;
    case GUACO__NOTICE_KEEPER: return &broker->keepers;
    case GUACO__NOTICE_TASK: break;
    }
    return &broker->tasks[topic->id % GUACO__BUCKETS];
}

static bool
concerns(const struct guaco__listener *listener,
         const struct guaco__notice *notice)
{
    switch (notice->kind) {
    case GUACO__NOTICE_TASKS:
        return strcmp(listener->topic.queue, notice->queue) == 0;
    case GUACO__NOTICE_TASK: return listener->topic.id == notice->id;
    case GUACO__NOTICE_KEEPER: break;
    }
    return true;
}

uint32_t
guaco__front_tell(struct guaco_broker *broker,
                  const struct guaco__notice *notice)
{
    struct guaco__list *head = listeners_of(broker, notice);
    bool is_tasks = notice->kind == GUACO__NOTICE_TASKS;
    uint32_t left = notice->count;

    for (struct guaco__list *l = head->next, *next;
         l != head && !(is_tasks && left == 0); l = next) {
        struct guaco__listener *listener =
            GUACO__OF(l, struct guaco__listener, link);
        next = l->next;

        if (!concerns(listener, notice))
            continue;
        uint32_t taken = listener->wake(listener, notice);
        left = left > taken ? left - taken : 0;
    }
    return left;
}

static void
announce(struct guaco_broker *broker, struct guaco__notice *notice)
{
    pthread_mutex_lock(&broker->lock);
    uint32_t left = guaco__front_tell(broker, notice);
    pthread_mutex_unlock(&broker->lock);

    if (notice->kind == GUACO__NOTICE_TASKS) {
        if (left == 0)
            return;
        notice->count = left;
    }
    broker->store->ops->ring(broker->store, notice);
}

static void
announce_task(struct guaco_broker *broker, uint64_t id)
{
    struct guaco__notice notice = {.kind = GUACO__NOTICE_TASK, .id = id};

    announce(broker, &notice);
}

static void
announce_op(struct guaco_broker *broker, const struct guaco__op *op)
{
    if (op->rc != GUACO_OK)
        return;
    if (op->kind == GUACO__OP_FINISH)
        announce_task(broker, op->finish.id);
    else if (op->kind == GUACO__OP_EVENT)
        announce_task(broker, op->event.id);
    else if (op->kind == GUACO__OP_RELEASE && op->release.ended)
        announce_task(broker, op->release.id);
    else if (op->kind == GUACO__OP_CANCEL && op->cancel.owner != 0)
        announce_task(broker, guaco__topic_owner(op->cancel.owner));
    else if (op->kind == GUACO__OP_OWNER_REAP)
        for (size_t i = 0; i < op->reap.dead_count; i++)
            announce_task(broker, op->reap.dead[i]);
}

/* After a commit, by the leader, who alone may look at touched and the ops. */
static void
announce_commit(struct guaco_broker *broker, struct guaco__op *const *ops,
                size_t n)
{
    for (size_t i = 0; i < n; i++)
        announce_op(broker, ops[i]);
    guaco__front_announce(broker, &broker->store->touched);
}

void
guaco__front_announce(struct guaco_broker *broker,
                      struct guaco__touched *touched)
{
    for (size_t i = 0; i < touched->topic_count; i++)
        announce_task(broker, touched->topics[i]);
    for (size_t i = 0; i < touched->n; i++) {
        struct guaco__notice notice = {.kind = GUACO__NOTICE_TASKS,
                                       .count = touched->ready[i].count};
        memcpy(notice.queue, touched->ready[i].queue, sizeof notice.queue);
        announce(broker, &notice);
    }
    if (touched->due_ms != INT64_MAX) {
        struct guaco__notice notice = {.kind = GUACO__NOTICE_KEEPER,
                                       .due_ms = touched->due_ms};
        announce(broker, &notice);
    }
    guaco__touched_reset(touched);
}

/* ---- leading ---- */

static int
run_store(struct guaco_broker *broker, struct guaco__op **ops, size_t n,
          struct guaco_error *err)
{
    struct guaco__store *store = broker->store;
    uint64_t deadline_ns =
        guaco__clock_mono_ns() + (uint64_t)store->wait_ms * 1000000u;

    guaco__touched_reset(&store->touched);
    int rc = store->ops->run(store, ops, n, deadline_ns, err);
    if (rc == GUACO_OK)
        announce_commit(broker, ops, n);
    return rc;
}

static size_t
gather(struct guaco__batch *first, struct guaco__op **ops)
{
    size_t n = 0;

    for (struct guaco__batch *b = first; b != NULL; b = b->next)
        for (size_t i = 0; i < b->n; i++)
            ops[n++] = &b->ops[i];
    return n;
}

bool
guaco__front_may_repeat(int rc)
{
    return rc != GUACO_E_TIMEOUT && rc != GUACO_E_CLOSED && rc != GUACO_E_PROTO;
}

/* Do the batches of a chain, together if it can be done. */
static void
run_chain(struct guaco_broker *broker, struct guaco__batch *first)
{
    struct guaco__op *ops[GUACO__BATCH_OPS_MAX];
    struct guaco_error err = {0};
    int rc = run_store(broker, ops, gather(first, ops), &err);

    /* What one caller brought may be what the store choked on (its memory,
     * say), and must not fail the others. */
    bool is_split =
        rc != GUACO_OK && first->next != NULL && guaco__front_may_repeat(rc);
    for (struct guaco__batch *b = first, *next; b != NULL; b = next) {
        next = b->next;
        b->rc = rc;
        b->err = err;
        if (is_split) {
            b->next = NULL;
            b->rc = run_store(broker, ops, gather(b, ops), &b->err);
            b->next = next;
        }
    }
}

/* Take from the line what fits into one commit. */
static struct guaco__batch *
take_chain(struct guaco_broker *broker)
{
    struct guaco__batch *first = broker->first;
    struct guaco__batch *tail = first;
    size_t n = first->n;

    while (tail->next != NULL && n + tail->next->n <= GUACO__BATCH_OPS_MAX) {
        tail = tail->next;
        n += tail->n;
    }
    broker->first = tail->next;
    if (broker->first == NULL)
        broker->last = NULL;
    tail->next = NULL;
    for (const struct guaco__batch *b = first; b != NULL; b = b->next)
        broker->line_count--;
    return first;
}

/* The lock is held: give the lead to who is first in the line. */
static void
pass_lead(struct guaco_broker *broker)
{
    broker->is_led = broker->first != NULL && !broker->is_forking;
    if (broker->is_led) {
        broker->first->is_leader = true;
        pthread_cond_signal(&broker->first->changed);
    } else if (broker->is_forking) {
        pthread_cond_signal(&broker->lead_is_free);
    }
}

/* The lock is held; it is let go while the store runs. */
static void
lead(struct guaco_broker *broker)
{
    struct guaco__batch *chain = take_chain(broker);

    pthread_mutex_unlock(&broker->lock);
    run_chain(broker, chain);
    pthread_mutex_lock(&broker->lock);

    for (struct guaco__batch *b = chain, *next; b != NULL; b = next) {
        next = b->next; /* it is gone once its thread has the lock */
        b->is_done = true;
        pthread_cond_signal(&b->changed);
    }
    pass_lead(broker);
}

static bool
is_any_write(const struct guaco__op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (guaco__op_is_write(&ops[i]))
            return true;
    return false;
}

int
guaco__front_run(struct guaco_broker *broker, struct guaco__op *ops, size_t n,
                 struct guaco_error *err)
{
    assert(n >= 1);
    assert(n <= GUACO__BATCH_OPS_MAX);
    struct guaco__batch self = {
        .ops = ops, .n = n, .changed = PTHREAD_COND_INITIALIZER};

    if (guaco__desk_is_here(broker->desk) && is_any_write(ops, n))
        return guaco_fail(err, GUACO_E_STATE, 0,
                          "this thread has a transaction open in which it "
                          "enqueued: this would wait for its end; enqueue in "
                          "it, or commit or roll back first");

    pthread_mutex_lock(&broker->lock);
    if (broker->last != NULL)
        broker->last->next = &self;
    else
        broker->first = &self;
    broker->last = &self;
    broker->line_count++;

    if (!broker->is_led && !broker->is_forking) {
        broker->is_led = true;
        self.is_leader = true;
    }
    while (!self.is_done && !self.is_leader)
        pthread_cond_wait(&self.changed, &broker->lock);
    if (!self.is_done)
        lead(broker);
    assert(self.is_done);
    pthread_mutex_unlock(&broker->lock);

    pthread_cond_destroy(&self.changed);
    if (self.rc != GUACO_OK && err != NULL)
        *err = self.err;
    return self.rc;
}

int
guaco__front_allows(const struct guaco_broker *broker, enum guaco__op_kind kind,
                    struct guaco_error *err)
{
    if (kind < GUACO__OP_IDS || broker->store->ops->has_rules)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                      "%s: this store has no rules, keys or locks",
                      broker->store->ops->scheme);
}

int
guaco__front_allows_puts(const struct guaco_broker *broker,
                         const struct guaco__puts *puts,
                         struct guaco_error *err)
{
    for (size_t i = 0; i < puts->n; i++)
        if (puts->items[i].rules != NULL)
            return guaco__front_allows(broker, GUACO__OP_IDS, err);
    return GUACO_OK;
}

int
guaco__front_run_one(struct guaco_broker *broker, struct guaco__op *op,
                     struct guaco_error *err)
{
    int rc = guaco__front_allows(broker, op->kind, err);

    if (rc != GUACO_OK)
        return rc;
    rc = guaco__front_run(broker, op, 1, err);

    if (rc == GUACO_OK && op->rc != GUACO_OK)
        return guaco_fail(err, op->rc, 0, "%s", guaco_strerror(op->rc));
    return rc;
}

/* ---- forks ---- */

void
guaco_broker_before_fork(struct guaco_broker *broker)
{
    pthread_mutex_lock(&broker->lock);
    while (broker->is_forking) /* another thread's */
        pthread_cond_wait(&broker->lead_is_free, &broker->lock);
    broker->is_forking = true;
    while (broker->is_led)
        pthread_cond_wait(&broker->lead_is_free, &broker->lock);
    broker->store->ops->pause(broker->store);
    pthread_mutex_unlock(&broker->lock);
}

void
guaco_broker_after_fork(struct guaco_broker *broker)
{
    pthread_mutex_lock(&broker->lock);
    assert(broker->is_forking);
    broker->is_forking = false;
    broker->store->ops->resume(broker->store);
    pass_lead(broker);
    pthread_cond_broadcast(&broker->lead_is_free);
    pthread_mutex_unlock(&broker->lock);
}

/* ---- listeners ---- */

int
guaco__front_listen(struct guaco_broker *broker,
                    struct guaco__listener *listener, struct guaco_error *err)
{
    struct guaco__store *store = broker->store;

    pthread_mutex_lock(&broker->lock);
    int rc = GUACO_OK;
    if (store->ops->wait_fd(store) >= 0)
        rc = guaco__hub_start(broker, err);
    if (rc == GUACO_OK && guaco__list_is_empty(&listener->link))
        guaco__list_push(listeners_of(broker, &listener->topic),
                         &listener->link);
    pthread_mutex_unlock(&broker->lock);
    if (rc != GUACO_OK)
        return rc;

    rc = store->ops->listen(store, &listener->topic, true, err);
    if (rc != GUACO_OK)
        guaco__front_unlisten(broker, listener);
    return rc;
}

/* Whether somebody else here has the same topic. */
static bool
is_wanted(struct guaco_broker *broker, const struct guaco__notice *topic)
{
    struct guaco__list *head = listeners_of(broker, topic);

    for (struct guaco__list *l = head->next; l != head; l = l->next)
        if (concerns(GUACO__OF(l, struct guaco__listener, link), topic))
            return true;
    return false;
}

void
guaco__front_unlisten(struct guaco_broker *broker,
                      struct guaco__listener *listener)
{
    pthread_mutex_lock(&broker->lock);
    guaco__list_remove(&listener->link);
    bool is_last = !is_wanted(broker, &listener->topic);
    /* Under the lock, so that another's listen cannot be undone by it. */
    if (is_last)
        (void)broker->store->ops->listen(broker->store, &listener->topic, false,
                                         NULL);
    pthread_mutex_unlock(&broker->lock);
}

/* ---- waiting ---- */

void
guaco__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool
guaco__cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t end_ns)
{
    if (end_ns == UINT64_MAX)
        return pthread_cond_wait(cond, lock) == 0;
    struct timespec end = {(time_t)(end_ns / 1000000000u),
                           (long)(end_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, lock, &end) == 0;
}

uint64_t
guaco__end_ns(int64_t timeout_ms)
{
    const int64_t far_ms = 1000LL * 3600 * 24 * 365 * 100;

    if (timeout_ms < 0 || timeout_ms > far_ms)
        return UINT64_MAX;
    return guaco__clock_mono_ns() + (uint64_t)timeout_ms * 1000000u;
}

/* ---- helpers for stores ---- */

void
guaco__touched_reset(struct guaco__touched *touched)
{
    touched->n = 0;
    touched->topic_count = 0;
    touched->due_ms = INT64_MAX;
}

/* Without memory they are not told: then who waits finds out when it looks. */
void
guaco__touched_topic(struct guaco__touched *touched, uint64_t topic)
{
    if (touched->topic_count == touched->topic_room) {
        size_t room = touched->topic_room == 0 ? 16 : touched->topic_room * 2;
        uint64_t *topics =
            realloc(touched->topics, room * sizeof *touched->topics);
        if (topics == NULL)
            return;
        touched->topics = topics;
        touched->topic_room = room;
    }
    touched->topics[touched->topic_count++] = topic;
}

void
guaco__touched_ready(struct guaco__touched *touched, struct guaco_slice queue,
                     uint32_t count)
{
    assert(queue.len <= GUACO_QUEUE_NAME_MAX);
    struct guaco__ready *ready = touched->ready;

    for (size_t i = 0; i < touched->n; i++, ready++)
        if (strlen(ready->queue) == queue.len &&
            memcmp(ready->queue, queue.at, queue.len) == 0) {
            ready->count += count;
            return;
        }
    assert(touched->n < GUACO__QUEUES_MAX);
    touched->n++;
    memcpy(ready->queue, queue.at, queue.len);
    ready->queue[queue.len] = '\0';
    ready->count = count;
}
