/* Waiting for a task's news: guaco_broker_wait blocks a thread, a watch has
 * the hub call back. */

#include "watch.h"

#include <assert.h>
#include <stdlib.h>

/* ---- a thread that waits ---- */

static uint32_t
wake_waiter(struct guaco__listener *listener,
            const struct guaco__notice *notice)
{
    struct guaco__waiter *waiter =
        GUACO__OF(listener, struct guaco__waiter, listener);

    (void)notice;
    waiter->is_woken = true;
    pthread_cond_signal(&waiter->woken);
    return 0;
}

int
guaco__waiter_begin(struct guaco_broker *broker, struct guaco__waiter *waiter,
                    uint64_t topic, struct guaco_error *err)
{
    *waiter = (struct guaco__waiter){
        .listener = {.topic = {.kind = GUACO__NOTICE_TASK, .id = topic},
                     .wake = wake_waiter},
    };
    guaco__cond_init(&waiter->woken);
    guaco__list_init(&waiter->listener.link);
    int rc = guaco__front_listen(broker, &waiter->listener, err);
    if (rc != GUACO_OK)
        pthread_cond_destroy(&waiter->woken);
    return rc;
}

bool
guaco__waiter_sleep(struct guaco_broker *broker, struct guaco__waiter *waiter,
                    uint64_t end_ns)
{
    bool in_time = true;

    pthread_mutex_lock(&broker->lock);
    while (!waiter->is_woken && in_time)
        in_time = guaco__cond_wait(&waiter->woken, &broker->lock, end_ns);
    bool is_woken = waiter->is_woken;
    waiter->is_woken = false;
    pthread_mutex_unlock(&broker->lock);
    return is_woken;
}

void
guaco__waiter_end(struct guaco_broker *broker, struct guaco__waiter *waiter)
{
    guaco__front_unlisten(broker, &waiter->listener);
    pthread_cond_destroy(&waiter->woken);
}

static int
read_news(struct guaco_broker *broker, uint64_t id, uint32_t after, bool take,
          struct guaco_news *news, struct guaco_error *err)
{
    struct guaco__op op = {
        .kind = GUACO__OP_READ,
        .read = {.id = id, .after = after, .take = take, .news = news},
    };

    *news = (struct guaco_news){0};
    int rc = guaco__front_run_one(broker, &op, err);
    if (rc != GUACO_OK)
        guaco_news_release(news);
    if (rc == GUACO_E_LOST)
        return guaco_fail(err, rc, 0,
                          "task %llu is in the memory of another process, or "
                          "was lost with it; sqlite:///FILE keeps tasks, and "
                          "every process sees them",
                          (unsigned long long)id);
    return rc;
}

static int
wait_listed(struct guaco_broker *broker, struct guaco__waiter *waiter,
            bool take, uint64_t end_ns, struct guaco_news *news,
            struct guaco_error *err)
{
    uint64_t id = waiter->listener.topic.id;

    for (;;) {
        int rc = read_news(broker, id, 0, take, news, err);
        if (rc != GUACO_OK || news->result != NULL)
            return rc;
        guaco_news_release(news);
        if (!guaco__waiter_sleep(broker, waiter, end_ns))
            return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                              "no result of task %llu in time",
                              (unsigned long long)id);
    }
}

int
guaco_broker_wait(struct guaco_broker *broker, uint64_t id, bool take,
                  int64_t timeout_ms, struct guaco_news *news,
                  struct guaco_error *err)
{
    uint64_t end_ns = guaco__end_ns(timeout_ms);
    struct guaco__waiter waiter;

    /* Most results that are asked for late are there already. */
    int rc = read_news(broker, id, 0, take, news, err);
    if (rc != GUACO_OK || news->result != NULL)
        return rc;
    guaco_news_release(news);

    rc = guaco__waiter_begin(broker, &waiter, id, err);
    if (rc == GUACO_OK) {
        rc = wait_listed(broker, &waiter, take, end_ns, news, err);
        guaco__waiter_end(broker, &waiter);
    }
    return rc;
}

int
guaco_broker_read(struct guaco_broker *broker, uint64_t id, uint32_t after,
                  bool take, struct guaco_news *news, struct guaco_error *err)
{
    return read_news(broker, id, after, take, news, err);
}

/* ---- a watch ---- */

static uint32_t
wake_watch(struct guaco__listener *listener, const struct guaco__notice *notice)
{
    struct guaco_watch *watch =
        GUACO__OF(listener, struct guaco_watch, listener);
    struct guaco_broker *broker = watch->broker;

    (void)notice;
    if (watch->is_over || !guaco__list_is_empty(&watch->pending_link))
        return 0;
    guaco__list_push(&broker->hub.pending, &watch->pending_link);
    guaco__hub_kick(broker);
    return 0;
}

int
guaco_broker_watch(struct guaco_broker *broker, uint64_t id, uint32_t after,
                   bool take, guaco_watch_fn *fn, void *ctx,
                   struct guaco_watch **out, struct guaco_error *err)
{
    *out = NULL;
    struct guaco_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a watch");

    watch->broker = broker;
    watch->after = after;
    watch->take = take;
    watch->fn = fn;
    watch->ctx = ctx;
    watch->listener.topic.kind = GUACO__NOTICE_TASK;
    watch->listener.topic.id = id;
    watch->listener.wake = wake_watch;
    guaco__list_init(&watch->listener.link);
    guaco__list_init(&watch->pending_link);

    /* The hub must run in any case: it makes the calls. */
    pthread_mutex_lock(&broker->lock);
    int rc = guaco__hub_start(broker, err);
    pthread_mutex_unlock(&broker->lock);
    if (rc == GUACO_OK)
        rc = guaco__front_listen(broker, &watch->listener, err);
    if (rc != GUACO_OK) {
        free(watch);
        return rc;
    }
    *out = watch;

    pthread_mutex_lock(&broker->lock);
    (void)wake_watch(&watch->listener, NULL); /* the first look */
    pthread_mutex_unlock(&broker->lock);
    return GUACO_OK;
}

void
guaco_broker_unwatch(struct guaco_broker *broker, struct guaco_watch *watch)
{
    if (watch == NULL)
        return;
    assert(watch->broker == broker);
    struct guaco__hub *hub = &broker->hub;

    guaco__front_unlisten(broker, &watch->listener);
    pthread_mutex_lock(&broker->lock);
    guaco__list_remove(&watch->pending_link);
    bool is_inside =
        hub->calling == watch && pthread_equal(pthread_self(), hub->thread);
    if (is_inside)
        watch->is_gone = true;
    while (!is_inside && hub->calling == watch)
        pthread_cond_wait(&hub->idle, &broker->lock);
    pthread_mutex_unlock(&broker->lock);
    if (!is_inside)
        free(watch);
}
