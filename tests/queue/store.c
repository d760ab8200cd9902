#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../folder.h"

static int64_t *offset_ns;

void
fixture_clock_init(void)
{
    /* Without a name, so that nothing is left; open as long as this program
     * runs, so that its children may open it by that path. */
    int fd = memfd_create("guaco-clock", MFD_CLOEXEC);
    int64_t zero = 0;
    char path[64];

    assert_true(fd >= 0);
    assert_int_equal(write(fd, &zero, sizeof zero), sizeof zero);
    offset_ns =
        mmap(NULL, sizeof zero, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(offset_ns != MAP_FAILED);
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    setenv("GUACO_TEST_CLOCK", path, 1);
}

void
fixture_clock_shift_ms(int64_t ms)
{
    __atomic_add_fetch(offset_ns, ms * 1000000, __ATOMIC_SEQ_CST);
}

void
fixture_keeper_begin(struct fixture *f)
{
    struct guaco_error err = {0};
    char *name = strdup(getenv("GUACO_MEMORY_SOCKET"));

    unsetenv("GUACO_MEMORY_SOCKET");
    if (guaco_broker_open(&f->kept, "memory:", &err) != GUACO_OK ||
        guaco__memory_server_open(&f->server, f->kept, dup(f->listen_fd),
                                  &err) != GUACO_OK)
        fail_msg("a keeper: %s", err.text);
    setenv("GUACO_MEMORY_SOCKET", name, 1);
    free(name);
}

void
fixture_keeper_end(struct fixture *f)
{
    guaco__memory_server_close(f->server);
    guaco_broker_close(f->kept);
    f->server = NULL;
    f->kept = NULL;
}

static void
serve_memory(struct fixture *f)
{
    char name[64];

    assert_int_equal(
        guaco__memory_socket(&f->listen_fd, name, sizeof name, NULL), GUACO_OK);
    setenv("GUACO_MEMORY_SOCKET", name, 1);
    fixture_keeper_begin(f);
}

/* ---- Redis ---- */

static struct redis_server redis;
static int redis_count;

struct redis_server *
fixture_redis(void)
{
    if (redis.pid == 0)
        redis_server_start(&redis, NULL);
    return &redis;
}

/* ---- PostgreSQL ---- */

static struct postgres_server postgres;
static int postgres_count;

struct postgres_server *
fixture_postgres(void)
{
    if (postgres.process.pid == 0)
        postgres_server_start(&postgres, NULL);
    return &postgres;
}

void
fixture_end(void)
{
    redis_server_remove(&redis);
    postgres_server_remove(&postgres);
}

bool
fixture_has(const char *kind)
{
    if (strcmp(kind, "postgresql") == 0)
        return postgres_server_is_there();
    return strcmp(kind, "redis") != 0 || redis_server_is_there();
}

static int
set_up(void **state, const char *kind)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct guaco_error err = {0};

    assert_non_null(f);
    f->kind = kind;
    f->listen_fd = -1;
    unsetenv("GUACO_MEMORY_SOCKET");
    if (strcmp(kind, "remote") == 0)
        serve_memory(f);
    if (strcmp(kind, "memory") == 0 || strcmp(kind, "remote") == 0) {
        snprintf(f->url, sizeof f->url, "memory:");
    } else if (strcmp(kind, "redis") == 0) {
        snprintf(f->url, sizeof f->url, "redis+unix://%s?prefix=t%d",
                 fixture_redis()->socket, ++redis_count);
    } else if (strcmp(kind, "postgresql") == 0) {
        snprintf(f->url, sizeof f->url, "%s&schema=t%d",
                 fixture_postgres()->url, ++postgres_count);
    } else {
        folder_make();
        snprintf(f->url, sizeof f->url, "sqlite:///%s%s", folder_path("q.db"),
                 strcmp(kind, "sqlite-full") == 0 ? "?synchronous=full" : "");
    }
    int rc = guaco_broker_open(&f->broker, f->url, &err);
    if (rc != GUACO_OK)
        fail_msg("open %s: %s", f->url, err.text);
    f->owner = fixture_owner(f);
    *state = f;
    return 0;
}

int
fixture_on_memory(void **state)
{
    return set_up(state, "memory");
}

int
fixture_on_remote(void **state)
{
    return set_up(state, "remote");
}

int
fixture_on_sqlite(void **state)
{
    return set_up(state, "sqlite");
}

int
fixture_on_redis(void **state)
{
    return set_up(state, "redis");
}

int
fixture_on_postgresql(void **state)
{
    return set_up(state, "postgresql");
}

int
fixture_teardown(void **state)
{
    struct fixture *f = *state;

    guaco_broker_close(f->broker);
    if (f->listen_fd >= 0) {
        fixture_keeper_end(f);
        close(f->listen_fd);
    } else if (strncmp(f->kind, "sqlite", 6) == 0) {
        folder_remove();
    }
    free(f);
    return 0;
}

static int
run(struct fixture *f, struct guaco__op *op)
{
    struct guaco_error err = {0};
    int rc = guaco__front_run(f->broker, op, 1, &err);

    if (rc != GUACO_OK)
        fail_msg("run of op %d: %d %s", (int)op->kind, rc, err.text);
    return op->rc;
}

uint64_t
fixture_owner(struct fixture *f)
{
    struct guaco__op op = {
        .kind = GUACO__OP_OWNER_OPEN,
        .owner = {.owner = {.pid = getpid()}, .lease_ms = 60000}};

    assert_int_equal(run(f, &op), GUACO_OK);
    assert_true(op.owner.owner.id != 0);
    return op.owner.owner.id;
}

uint64_t
fixture_put_task(struct fixture *f, struct guaco_task task)
{
    uint64_t id = 0;
    struct guaco_error err = {0};

    if (task.queue.len == 0)
        task.queue = GUACO_SLICE("q");
    if (task.name.len == 0)
        task.name = GUACO_SLICE("demo.add");
    int rc = guaco_broker_put(f->broker, &task, 1, &id, &err);
    if (rc != GUACO_OK)
        fail_msg("put: %d %s", rc, err.text);
    assert_true(id != 0);
    return id;
}

uint64_t
fixture_put(struct fixture *f, const char *body)
{
    return fixture_put_task(f, (struct guaco_task){.body = TEXT(body)});
}

int
fixture_claim(struct fixture *f, uint64_t owner, bool alone,
              struct guaco__row *row)
{
    struct guaco__op op = {.kind = GUACO__OP_CLAIM,
                           .claim = {.queue = GUACO_SLICE("q"),
                                     .owner = owner,
                                     .max = 1,
                                     .alone = alone,
                                     .rows = row}};

    assert_int_equal(run(f, &op), GUACO_OK);
    return (int)op.claim.count;
}

void
fixture_free_row(struct guaco__row *row)
{
    free((void *)(uintptr_t)row->envelope.at);
    row->envelope = (struct guaco_slice){0};
}

int
fixture_finish(struct fixture *f, uint64_t owner, uint64_t id, uint32_t attempt,
               const char *result)
{
    struct guaco__op op = {.kind = GUACO__OP_FINISH,
                           .finish = {.owner = owner,
                                      .id = id,
                                      .attempt = attempt,
                                      .state = GUACO_TASK_DONE,
                                      .keep = result != NULL,
                                      .ttl_s = 3600}};

    if (result != NULL)
        op.finish.body = TEXT(result);
    return run(f, &op);
}

int
fixture_release(struct fixture *f, uint64_t owner, uint64_t id,
                uint32_t attempt, uint64_t delay_ms, bool failed)
{
    struct guaco__op op = {.kind = GUACO__OP_RELEASE,
                           .release = {.owner = owner,
                                       .id = id,
                                       .attempt = attempt,
                                       .delay_ms = delay_ms,
                                       .failed = failed}};

    return run(f, &op);
}

int
fixture_reap(struct fixture *f, uint64_t owner, bool died)
{
    struct guaco__op op = {
        .kind = GUACO__OP_OWNER_REAP,
        .reap = {.owner = owner, .died = died, .reason = GUACO_SLICE("gone")}};
    int rc = run(f, &op);

    free(op.reap.dead);
    return rc;
}

int
fixture_promote(struct fixture *f, struct guaco__op_promote *out)
{
    struct guaco__op op = {.kind = GUACO__OP_PROMOTE,
                           .promote = {.limit = 100}};
    int rc = run(f, &op);

    *out = op.promote;
    return rc;
}

struct guaco_queue_stats
fixture_stats(struct fixture *f)
{
    struct guaco_queue_stats stats;

    assert_int_equal(
        guaco_broker_stats(f->broker, GUACO_SLICE("q"), &stats, NULL),
        GUACO_OK);
    return stats;
}
