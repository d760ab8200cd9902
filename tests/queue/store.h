#ifndef GUACO_TEST_QUEUE_STORE_H
#define GUACO_TEST_QUEUE_STORE_H

/*
 * A store for a test: memory, the memory of a keeper behind its socket, a
 * fresh SQLite file in a folder of its own, or a Redis or PostgreSQL server of
 * the program's own, with other keys or another schema for each test.
 * A test that is to hold for every store is registered for each:
 *
 *     #define TESTS(X) X(a_put_task_can_be_claimed) ...
 */

#include "queue/front.h"
#include "queue/memory_server.h"
#include "postgres_server.h"
#include "redis_server.h"

#include "../test.h"

/* A test's state: what a group's setup gives it. */
struct fixture {
    const char *kind; /* "memory", "remote", "sqlite", "sqlite-full",
                         "redis", "postgresql" */
    char url[512];
    struct guaco_broker *broker;
    uint64_t owner;
    int listen_fd; /* "remote": of the keeper, which is this process */
    struct guaco_broker *kept;
    struct guaco__memory_server *server;
};

/* "remote": have the keeper begin, and end as when its process dies. */
void fixture_keeper_begin(struct fixture *f);
void fixture_keeper_end(struct fixture *f);

/* The server of "redis"; started by the first test that wants it. */
struct redis_server *fixture_redis(void);
/* That of "postgresql", likewise. */
struct postgres_server *fixture_postgres(void);
/* Ends them, after all tests. */
void fixture_end(void);
/* Whether tests of `kind` can be run here. */
bool fixture_has(const char *kind);

/* Open the broker of a kind and register an owner with a long lease. */
int fixture_on_memory(void **state);
int fixture_on_remote(void **state);
int fixture_on_sqlite(void **state);
int fixture_on_redis(void **state);
int fixture_on_postgresql(void **state);
int fixture_teardown(void **state);

/* Another owner. */
uint64_t fixture_owner(struct fixture *f);

/* Put one task named by its body into queue q; gives its id. */
uint64_t fixture_put(struct fixture *f, const char *body);
uint64_t fixture_put_task(struct fixture *f, struct guaco_task task);

/* Claim one task of queue q as `owner`: 1 and the row, or 0. */
int fixture_claim(struct fixture *f, uint64_t owner, bool alone,
                  struct guaco__row *row);
void fixture_free_row(struct guaco__row *row);

/* The op's own rc. */
int fixture_finish(struct fixture *f, uint64_t owner, uint64_t id,
                   uint32_t attempt, const char *result);
int fixture_release(struct fixture *f, uint64_t owner, uint64_t id,
                    uint32_t attempt, uint64_t delay_ms, bool failed);
int fixture_reap(struct fixture *f, uint64_t owner, bool died);
int fixture_promote(struct fixture *f, struct guaco__op_promote *out);

struct guaco_queue_stats fixture_stats(struct fixture *f);

/* A test's clock: GUACO_TEST_CLOCK names a file; this shifts it. */
void fixture_clock_init(void);
void fixture_clock_shift_ms(int64_t ms);

#endif
