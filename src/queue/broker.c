/* The front of every store: finds the store by its scheme and checks the
 * arguments once for all of them. */

#include <assert.h>
#include <stdlib.h>

#include "envelope.h"
#include "remote_link.h"
#include "url.h"
#include "using.h"
#include "watch.h"

/* Every store in this build.  The one place that names them: adding a store is
 * its file and a line here. */
static const struct {
    const char *scheme;
    const struct guaco__store_ops *ops;
} stores[] = {
    {"memory", &guaco__store_memory},
    {"sqlite", &guaco__store_sqlite},
    {"redis", &guaco__store_redis},
    {"rediss", &guaco__store_redis},
    {"redis+sentinel", &guaco__store_redis},
    {"rediss+sentinel", &guaco__store_redis},
    {"redis+unix", &guaco__store_redis},
    {"unix", &guaco__store_redis},
    {"postgresql", &guaco__store_postgres},
    {"postgres", &guaco__store_postgres},
};

/* ---- life ---- */

static const struct guaco__store_ops *
find_store(const char *url, const char **scheme, const char **rest)
{
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++) {
        const struct guaco__store_ops *ops = stores[i].ops;
        size_t n = strlen(stores[i].scheme);
        if (strncmp(url, stores[i].scheme, n) == 0 && url[n] == ':') {
            *scheme = stores[i].scheme;
            *rest = url + n + 1;
            return ops == &guaco__store_memory &&
                           getenv(GUACO__MEMORY_SOCKET) != NULL
                       ? &guaco__store_remote
                       : ops;
        }
    }
    return NULL;
}

static int
refuse_url(const char *url, struct guaco_error *err)
{
    char shown[120];

    guaco__url_redact(url, shown, sizeof shown);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "no store for '%s'; known are memory:, sqlite:///PATH, "
                      "redis://HOST and postgresql://HOST/DB",
                      shown);
}

static int
open_store(struct guaco__store **out, const char *url, struct guaco_error *err)
{
    const char *scheme, *rest;
    const struct guaco__store_ops *ops = find_store(url, &scheme, &rest);

    if (ops == NULL)
        return refuse_url(url, err);
    assert(ops->size >= sizeof(struct guaco__store));
    struct guaco__store *store = calloc(1, ops->size);
    if (store == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "store '%s'", ops->scheme);
    store->ops = ops;
    store->scheme = scheme;
    int rc = ops->open(store, rest, err);
    if (rc != GUACO_OK) {
        free(store);
        return rc;
    }
    *out = store;
    return GUACO_OK;
}

int
guaco_broker_open(struct guaco_broker **out, const char *url,
                  struct guaco_error *err)
{
    *out = NULL;
    struct guaco_broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a broker");

    broker->desk = guaco__desk_new(broker);
    int rc = broker->desk == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "a desk")
                                  : open_store(&broker->store, url, err);
    if (rc != GUACO_OK) {
        if (broker->desk != NULL)
            guaco__desk_unref(broker->desk);
        free(broker);
        return rc;
    }
    pthread_mutex_init(&broker->lock, NULL);
    pthread_mutex_init(&broker->session_lock, NULL);
    pthread_cond_init(&broker->lead_is_free, NULL);
    guaco__list_init(&broker->queues);
    guaco__list_init(&broker->keepers);
    for (size_t i = 0; i < GUACO__BUCKETS; i++)
        guaco__list_init(&broker->tasks[i]);
    guaco__hub_init(&broker->hub);
    *out = broker;
    return GUACO_OK;
}

void
guaco_broker_close(struct guaco_broker *broker)
{
    if (broker == NULL)
        return;
    guaco__front_disown(broker, broker->session);
    guaco__hub_stop(broker);
    guaco__desk_close(broker->desk);
    assert(broker->first == NULL);
    broker->store->ops->close(broker->store);
    free(broker->store->touched.topics);
    free(broker->store);
    pthread_cond_destroy(&broker->lead_is_free);
    pthread_mutex_destroy(&broker->session_lock);
    pthread_mutex_destroy(&broker->lock);
    free(broker);
}

const char *
guaco_broker_warning(const struct guaco_broker *broker)
{
    return broker->store->warning[0] == '\0' ? NULL : broker->store->warning;
}

int64_t
guaco_broker_now_ms(const struct guaco_broker *broker)
{
    return broker->store->ops->now_ms(broker->store);
}

/* ---- enqueue ---- */

int
guaco_broker_put(struct guaco_broker *broker, const struct guaco_task *tasks,
                 size_t n, uint64_t *ids, struct guaco_error *err)
{
    return guaco__broker_put(broker, NULL, tasks, n, ids, err);
}

int
guaco__broker_put(struct guaco_broker *broker, const struct guaco_using *how,
                  const struct guaco_task *tasks, size_t n, uint64_t *ids,
                  struct guaco_error *err)
{
    struct guaco__puts puts;
    int rc = guaco__puts_init(&puts, tasks, n, false, err);

    if (rc != GUACO_OK)
        return rc;
    struct guaco__op op = {.kind = GUACO__OP_PUT,
                           .put = {.tasks = puts.items, .n = puts.n}};
    rc = guaco__front_allows_puts(broker, &puts, err);
    if (rc == GUACO_OK)
        rc = guaco__front_run_by(broker, how, &op, err);
    for (size_t i = 0; rc == GUACO_OK && i < n; i++) {
        assert(puts.items[i].id != 0);
        ids[i] = puts.items[i].id;
    }
    if (rc == GUACO_OK)
        guaco__puts_tell(&puts);
    guaco__puts_release(&puts);
    return rc;
}

static int
line_up(struct guaco_broker *broker, struct guaco__request *request,
        struct guaco_error *err)
{
    struct guaco__hub *hub = &broker->hub;

    if (hub->request_tasks + request->puts.n > GUACO__ASYNC_PUTS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "%zu tasks wait to be stored already",
                          hub->request_tasks);
    int rc = guaco__hub_start(broker, err);
    if (rc != GUACO_OK)
        return rc;
    hub->request_tasks += request->puts.n;
    guaco__list_push(&hub->requests, &request->link);
    guaco__hub_kick(broker);
    return GUACO_OK;
}

int
guaco_broker_put_async(struct guaco_broker *broker,
                       const struct guaco_task *tasks, size_t n,
                       guaco_put_done *done, void *ctx, struct guaco_error *err)
{
    struct guaco__request *request = NULL;
    if (n <= GUACO__PUTS_MAX)
        request = malloc(sizeof *request + n * sizeof request->ids[0]);
    else
        return guaco_fail(err, GUACO_E_INVALID, 0, "%zu tasks at once", n);
    if (request == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "%zu tasks", n);

    guaco__list_init(&request->link);
    request->done = done;
    request->ctx = ctx;
    int rc = guaco__puts_init(&request->puts, tasks, n, true, err);
    if (rc != GUACO_OK) {
        free(request);
        return rc;
    }
    rc = guaco__front_allows_puts(broker, &request->puts, err);
    pthread_mutex_lock(&broker->lock);
    if (rc == GUACO_OK)
        rc = line_up(broker, request, err);
    pthread_mutex_unlock(&broker->lock);
    if (rc != GUACO_OK) {
        guaco__puts_release(&request->puts);
        free(request);
    }
    return rc;
}

/* ---- looking after a queue ---- */

int
guaco_broker_stats(struct guaco_broker *broker, struct guaco_slice queue,
                   struct guaco_queue_stats *stats, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_STATS,
                           .stats = {.queue = queue, .stats = stats}};
    int rc = guaco__queue_check(queue, err);

    *stats = (struct guaco_queue_stats){0};
    return rc != GUACO_OK ? rc : guaco__front_run_one(broker, &op, err);
}

struct lister {
    guaco_list_fn *fn;
    void *ctx;
    struct guaco_slice queue;
    enum guaco_task_state state;
};

static void
list_row(void *ctx, const struct guaco__row *row)
{
    const struct lister *lister = ctx;
    struct guaco_task_info info = {
        .id = row->id,
        .state = lister->state,
        .attempt = row->attempt,
        .failures = row->failures,
        .deaths = row->deaths,
        .since_ms = row->since_ms,
        .reason = row->reason,
    };

    /* A row that cannot be read is shown by its id alone. */
    (void)guaco__envelope_read(row->envelope, &info.task);
    info.task.queue = lister->queue;
    if (lister->state == GUACO_TASK_DELAYED)
        info.task.due_ms = row->since_ms;
    lister->fn(lister->ctx, &info);
}

static bool
is_listed_state(enum guaco_task_state state)
{
    return state == GUACO_TASK_WAITING || state == GUACO_TASK_DELAYED ||
           state == GUACO_TASK_RUNNING || state == GUACO_TASK_DEAD ||
           state == GUACO_TASK_HELD;
}

int
guaco_broker_list(struct guaco_broker *broker, struct guaco_slice queue,
                  enum guaco_task_state state, uint64_t offset, uint32_t limit,
                  guaco_list_fn *fn, void *ctx, struct guaco_error *err)
{
    struct lister lister = {fn, ctx, queue, state};
    struct guaco__op op = {.kind = GUACO__OP_LIST,
                           .list = {.queue = queue,
                                    .state = state,
                                    .offset = offset,
                                    .limit = limit,
                                    .fn = list_row,
                                    .ctx = &lister}};
    int rc = guaco__queue_check(queue, err);

    if (rc != GUACO_OK)
        return rc;
    if (!is_listed_state(state) || limit < 1 || limit > 10000 ||
        offset > INT64_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a listing of state %d, %u tasks", (int)state, limit);
    return guaco__front_run_one(broker, &op, err);
}

int
guaco_broker_purge(struct guaco_broker *broker, struct guaco_slice queue,
                   enum guaco_task_state state, uint64_t *count,
                   struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_PURGE,
                           .purge = {.queue = queue, .state = state}};
    int rc = guaco__queue_check(queue, err);

    *count = 0;
    if (rc == GUACO_OK && state != GUACO_TASK_WAITING &&
        state != GUACO_TASK_DELAYED && state != GUACO_TASK_DEAD &&
        state != GUACO_TASK_DONE && state != GUACO_TASK_HELD)
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "tasks of state %d cannot be purged", (int)state);
    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK)
        *count = op.purge.count;
    return rc;
}

int
guaco_broker_replay(struct guaco_broker *broker, struct guaco_slice queue,
                    uint64_t id, uint64_t *count, struct guaco_error *err)
{
    struct guaco__op op = {.kind = GUACO__OP_REPLAY,
                           .replay = {.queue = queue, .id = id}};
    int rc = guaco__queue_check(queue, err);

    *count = 0;
    if (rc == GUACO_OK)
        rc = guaco__front_run_one(broker, &op, err);
    if (rc == GUACO_OK)
        *count = op.replay.count;
    else if (rc == GUACO_E_MISSING)
        rc =
            guaco_fail(err, rc, 0, "no dead task %llu", (unsigned long long)id);
    return rc;
}
