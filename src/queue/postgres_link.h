#ifndef GUACO_QUEUE_POSTGRES_LINK_H
#define GUACO_QUEUE_POSTGRES_LINK_H

/*
 * A connection to a PostgreSQL server: libpq, in which every wait has an end,
 * and the store's schema, made by whoever comes first.
 *
 * Threads: one at a time.
 */

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "url.h"

#define POSTGRES_PARAMS_MAX     48u
#define POSTGRES_SCHEMA_MAX     40u
#define POSTGRES_SCHEMA_VERSION 1

extern const char guaco__postgres_schema[];
extern const char guaco__postgres_code[];

/* Where to, of a URL (guaco/broker.h): libpq's parameters. */
struct guaco__postgres_target {
    struct guaco__url url; /* what most of the strings below are in */
    const char *keys[POSTGRES_PARAMS_MAX + 1];
    const char *values[POSTGRES_PARAMS_MAX + 1];
    size_t count;
    const char *schema;
    const char *commit; /* of synchronous_commit, or NULL: the server's */
    uint64_t timeout_ms;
    uint64_t connect_timeout_ms;
    char hosts[2048], ports[128], options[512];
};

/* `rest` is what stands behind the scheme's colon.  0, GUACO_E_INVALID. */
int guaco__postgres_target_init(struct guaco__postgres_target *target,
                                const char *rest, struct guaco_error *err);

/*
 * Connect, log in, and have the schema there and the statements prepared if
 * `is_store`.
 *
 * Returns 0, or what may pass: GUACO_E_IO (nobody is there, it is a replica or
 * begins), GUACO_E_TIMEOUT, GUACO_E_NOMEM; or what will not: GUACO_E_INVALID
 * (the login), GUACO_E_UNSUPPORTED (too old, or the schema too new).
 */
int guaco__postgres_connect(PGconn **out,
                            const struct guaco__postgres_target *target,
                            bool is_store, uint64_t deadline_ns,
                            struct guaco_error *err);

/* The only result of `sql`, a query without parameters, or NULL with *rc. */
PGresult *
guaco__postgres_ask(PGconn *conn, const char *sql, uint64_t deadline_ns,
                    int *rc, struct guaco_error *err);

/* Send what is buffered; in a pipeline answers are read meanwhile.  0,
 * GUACO_E_IO, GUACO_E_TIMEOUT. */
int guaco__postgres_flush(PGconn *conn, uint64_t deadline_ns,
                          struct guaco_error *err);

/* The next result, which may be NULL, as PQgetResult gives it. */
int guaco__postgres_result(PGconn *conn, PGresult **out, uint64_t deadline_ns,
                           struct guaco_error *err);

/* What a failed result means. */
struct guaco__postgres_failure {
    int rc;
    bool is_over;   /* the connection is of no more use */
    bool may_pass;  /* nothing was done; the same may succeed later */
    bool is_unsure; /* it may have been done */
};
struct guaco__postgres_failure
guaco__postgres_failed(const PGresult *result, struct guaco_error *err);

#endif
