/* The store's own thread: puts for event loops, watches, and the ring.  It
 * sleeps in poll and is woken by an eventfd or by the store's descriptor. */

#include "watch.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define REQUESTS_A_TURN 256u
#define WATCHES_A_TURN  64u
#define NOTICES_A_TURN  64u

/* ---- puts ---- */

static void
answer(struct guaco__request *request, int rc, const struct guaco_error *err)
{
    size_t n = rc == GUACO_OK ? request->puts.n : 0;

    for (size_t i = 0; i < n; i++)
        request->ids[i] = request->puts.items[i].id;
    if (rc == GUACO_OK)
        guaco__puts_tell(&request->puts);
    request->done(request->ctx, rc, rc == GUACO_OK ? NULL : err, request->ids,
                  n);
    guaco__puts_release(&request->puts);
    free(request);
}

static struct guaco__op
op_of(const struct guaco__request *request)
{
    return (struct guaco__op){
        .kind = GUACO__OP_PUT,
        .put = {.tasks = request->puts.items, .n = request->puts.n},
    };
}

static void
put_alone(struct guaco_broker *broker, struct guaco__request *request)
{
    struct guaco__op op = op_of(request);
    struct guaco_error err = {0};

    answer(request, guaco__front_run_one(broker, &op, &err), &err);
}

/* The lock is held, and let go meanwhile. */
static void
serve_requests(struct guaco_broker *broker)
{
    struct guaco__request *requests[REQUESTS_A_TURN];
    struct guaco__op ops[REQUESTS_A_TURN];
    struct guaco__list *link;
    size_t n = 0;

    while (n < REQUESTS_A_TURN &&
           (link = guaco__list_shift(&broker->hub.requests)) != NULL) {
        requests[n] = GUACO__OF(link, struct guaco__request, link);
        ops[n] = op_of(requests[n]);
        broker->hub.request_tasks -= requests[n]->puts.n;
        n++;
    }
    if (n == 0)
        return;

    pthread_mutex_unlock(&broker->lock);
    struct guaco_error err = {0};
    int rc = guaco__front_run(broker, ops, n, &err);
    for (size_t i = 0; i < n; i++) {
        if (rc == GUACO_OK && ops[i].rc != GUACO_OK)
            (void)guaco_fail(&err, ops[i].rc, 0, "%s",
                             guaco_strerror(ops[i].rc));
        if (rc != GUACO_OK && n > 1 && guaco__front_may_repeat(rc))
            put_alone(broker, requests[i]);
        else
            answer(requests[i], rc != GUACO_OK ? rc : ops[i].rc, &err);
    }
    pthread_mutex_lock(&broker->lock);
}

/* ---- watches ---- */

/* Call out with the news of one watch.  The lock is held, and let go. */
static void
call_watch(struct guaco_broker *broker, struct guaco_watch *watch, int rc,
           const struct guaco_news *news)
{
    struct guaco__hub *hub = &broker->hub;
    bool has_ended = rc != GUACO_OK || news->result != NULL;

    if (!has_ended && news->event_count == 0)
        return;
    if (!has_ended || (rc == GUACO_OK && news->event_count > 0))
        watch->after = news->events[news->event_count - 1].number;
    watch->is_over = has_ended;
    hub->calling = watch;

    pthread_mutex_unlock(&broker->lock);
    watch->fn(watch->ctx, rc, rc == GUACO_OK ? news : NULL);
    pthread_mutex_lock(&broker->lock);

    hub->calling = NULL;
    pthread_cond_broadcast(&hub->idle);
    if (watch->is_gone)
        free(watch);
}

/* What a watch wants to know is copied: it may be ended while we read. */
struct look {
    struct guaco_watch *watch;
    struct guaco_news news;
};

static size_t
take_looks(struct guaco__hub *hub, struct look *looks, struct guaco__op *ops)
{
    struct guaco__list *link;
    size_t n = 0;

    while (n < WATCHES_A_TURN &&
           (link = guaco__list_shift(&hub->pending)) != NULL) {
        struct guaco_watch *watch =
            GUACO__OF(link, struct guaco_watch, pending_link);

        looks[n] = (struct look){.watch = watch};
        ops[n] = (struct guaco__op){
            .kind = GUACO__OP_READ,
            .read = {.id = watch->listener.topic.id,
                     .after = watch->after,
                     .news = &looks[n].news},
        };
        n++;
    }
    return n;
}

/* Whether a watch was not ended while we looked (and another made where it
 * was): it is still listed, and still asks the same. */
static bool
is_alive(struct guaco_broker *broker, const struct guaco_watch *watch,
         const struct guaco__op_read *read)
{
    struct guaco__list *head = &broker->tasks[read->id % GUACO__BUCKETS];

    for (struct guaco__list *l = head->next; l != head; l = l->next)
        if (l == &watch->listener.link)
            return !watch->is_over && watch->after == read->after &&
                   watch->listener.topic.id == read->id;
    return false;
}

/* Give the watches their news.  Leaves in ops the reads whose result was
 * handed over and is to be removed, and returns how many. */
static size_t
hand_over(struct guaco_broker *broker, struct look *looks,
          struct guaco__op *ops, size_t n, int rc)
{
    size_t taken = 0;

    for (size_t i = 0; i < n; i++) {
        struct look *look = &looks[i];
        bool is_given = is_alive(broker, look->watch, &ops[i].read);
        bool is_taken = is_given && rc == GUACO_OK &&
                        look->news.result != NULL && look->watch->take;

        if (is_given)
            call_watch(broker, look->watch, rc != GUACO_OK ? rc : ops[i].rc,
                       &look->news);
        guaco_news_release(&look->news);
        if (is_taken)
            ops[taken++] = ops[i];
    }
    return taken;
}

/* Remove results that were handed over: only now, since a watch that was ended
 * while we read must not have eaten its result. */
static void
remove_taken(struct guaco_broker *broker, struct guaco__op *ops, size_t n)
{
    struct guaco_news news[WATCHES_A_TURN] = {{0}};

    for (size_t i = 0; i < n; i++) {
        ops[i].read.take = true;
        ops[i].read.news = &news[i];
    }
    (void)guaco__front_run(broker, ops, n, NULL);
    for (size_t i = 0; i < n; i++)
        guaco_news_release(&news[i]);
}

/* The lock is held, and let go meanwhile. */
static void
serve_watches(struct guaco_broker *broker)
{
    struct look looks[WATCHES_A_TURN];
    struct guaco__op ops[WATCHES_A_TURN];
    size_t n = take_looks(&broker->hub, looks, ops);

    if (n == 0)
        return;
    pthread_mutex_unlock(&broker->lock);
    int rc = guaco__front_run(broker, ops, n, NULL);
    pthread_mutex_lock(&broker->lock);

    n = hand_over(broker, looks, ops, n, rc);
    if (n == 0)
        return;
    pthread_mutex_unlock(&broker->lock);
    remove_taken(broker, ops, n);
    pthread_mutex_lock(&broker->lock);
}

/* ---- the ring ---- */

static void
pass_on(struct guaco_broker *broker, struct guaco__notice *notice)
{
    pthread_mutex_lock(&broker->lock);
    uint32_t left = guaco__front_tell(broker, notice);
    pthread_mutex_unlock(&broker->lock);

    /* Woken for tasks that nobody here can take any more: somebody else may
     * be idle. */
    if (notice->kind == GUACO__NOTICE_TASKS && left > 0)
        broker->store->ops->ring(broker->store, notice);
}

static void
hear(struct guaco_broker *broker)
{
    struct guaco__notice notices[NOTICES_A_TURN];
    size_t n = broker->store->ops->hear(broker->store, notices, NOTICES_A_TURN);

    for (size_t i = 0; i < n; i++)
        pass_on(broker, &notices[i]);
}

/* ---- the thread ---- */

static void
sleep_until_kicked(struct guaco_broker *broker)
{
    struct pollfd fds[2] = {
        {.fd = broker->hub.event_fd, .events = POLLIN},
        {.fd = broker->store->ops->wait_fd(broker->store), .events = POLLIN},
    };
    uint64_t count;

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    if ((fds[0].revents & POLLIN) != 0)
        (void)!read(broker->hub.event_fd, &count, sizeof count);
    if ((fds[1].revents & POLLIN) != 0)
        hear(broker);
}

static void *
hub_main(void *arg)
{
    struct guaco_broker *broker = arg;
    struct guaco__hub *hub = &broker->hub;

    (void)prctl(PR_SET_NAME, "guaco-store");
    pthread_mutex_lock(&broker->lock);
    while (!hub->is_stopping) {
        serve_requests(broker);
        serve_watches(broker);
        hub->is_asleep = guaco__list_is_empty(&hub->requests) &&
                         guaco__list_is_empty(&hub->pending) &&
                         !hub->is_stopping;
        if (!hub->is_asleep)
            continue;
        pthread_mutex_unlock(&broker->lock);
        sleep_until_kicked(broker);
        pthread_mutex_lock(&broker->lock);
        hub->is_asleep = false;
    }
    pthread_mutex_unlock(&broker->lock);
    return NULL;
}

void
guaco__hub_init(struct guaco__hub *hub)
{
    *hub = (struct guaco__hub){.event_fd = -1};
    pthread_cond_init(&hub->idle, NULL);
    guaco__list_init(&hub->requests);
    guaco__list_init(&hub->pending);
}

/* With every signal blocked, so that they go to the program's own threads. */
static int
start_thread(struct guaco_broker *broker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&broker->hub.thread, NULL, hub_main, broker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int
guaco__hub_start(struct guaco_broker *broker, struct guaco_error *err)
{
    struct guaco__hub *hub = &broker->hub;

    if (hub->is_started)
        return GUACO_OK;
    if (hub->event_fd < 0)
        hub->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (hub->event_fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "eventfd");
    int rc = start_thread(broker);
    if (rc != 0)
        return guaco_fail(err, GUACO_E_IO, rc, "the store's thread");
    hub->is_started = true;
    return GUACO_OK;
}

void
guaco__hub_kick(struct guaco_broker *broker)
{
    const uint64_t one = 1;

    if (!broker->hub.is_asleep)
        return;
    broker->hub.is_asleep = false;
    (void)!write(broker->hub.event_fd, &one, sizeof one);
}

void
guaco__hub_stop(struct guaco_broker *broker)
{
    struct guaco__hub *hub = &broker->hub;
    struct guaco__list *link;

    pthread_mutex_lock(&broker->lock);
    hub->is_stopping = true;
    guaco__hub_kick(broker);
    pthread_mutex_unlock(&broker->lock);
    if (hub->is_started)
        (void)pthread_join(hub->thread, NULL);

    struct guaco_error err = {0};
    (void)guaco_fail(&err, GUACO_E_CLOSED, 0, "the store was closed");
    while ((link = guaco__list_shift(&hub->requests)) != NULL)
        answer(GUACO__OF(link, struct guaco__request, link), GUACO_E_CLOSED,
               &err);
    if (hub->event_fd >= 0)
        close(hub->event_fd);
    pthread_cond_destroy(&hub->idle);
}
