#include "postgres_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define OLDEST_VERSION 120000
#define SCHEMA_LOCK    1735746929 /* while it is made */

/* ---- waiting ---- */

static int
wait_for(PGconn *conn, short events, uint64_t deadline_ns, short *got,
         struct guaco_error *err)
{
    struct pollfd look = {.fd = PQsocket(conn), .events = events};

    for (;;) {
        uint64_t now_ns = guaco__clock_mono_ns();
        uint64_t left_ms =
            now_ns < deadline_ns ? (deadline_ns - now_ns) / 1000000u + 1 : 0;
        int n = poll(&look, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0) {
            *got = look.revents;
            return GUACO_OK;
        }
        if (n < 0 && errno != EINTR)
            return guaco_fail(err, GUACO_E_IO, errno, "postgresql: poll");
        if (guaco__clock_mono_ns() >= deadline_ns)
            return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                              "postgresql: the server does not answer");
    }
}

/* What libpq says of the connection, on one line. */
static int
broken(PGconn *conn, struct guaco_error *err)
{
    char text[200];
    size_t len = 0;

    for (const char *at = PQerrorMessage(conn);
         *at != '\0' && len + 1 < sizeof text; at++)
        text[len++] = *at == '\n' ? ' ' : *at;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    return guaco_fail(err, GUACO_E_IO, 0, "postgresql: %s",
                      len == 0 ? "the connection has ended" : text);
}

int
guaco__postgres_flush(PGconn *conn, uint64_t deadline_ns,
                      struct guaco_error *err)
{
    short got;

    for (;;) {
        int left = PQflush(conn);
        if (left == 0)
            return GUACO_OK;
        if (left < 0)
            return broken(conn, err);
        int rc = wait_for(conn, POLLIN | POLLOUT, deadline_ns, &got, err);
        if (rc != GUACO_OK)
            return rc;
        if ((got & POLLIN) != 0 && PQconsumeInput(conn) == 0)
            return broken(conn, err);
    }
}

int
guaco__postgres_result(PGconn *conn, PGresult **out, uint64_t deadline_ns,
                       struct guaco_error *err)
{
    short got;

    while (PQisBusy(conn) != 0) {
        int rc = wait_for(conn, POLLIN, deadline_ns, &got, err);
        if (rc != GUACO_OK)
            return rc;
        if (PQconsumeInput(conn) == 0)
            return broken(conn, err);
    }
    *out = PQgetResult(conn);
    return GUACO_OK;
}

/* ---- errors ---- */

static bool
is_one_of(const char *state, const char *const *all)
{
    for (; *all != NULL; all++)
        if (strncmp(state, *all, strlen(*all)) == 0)
            return true;
    return false;
}

static int
refuse_replica(struct guaco_error *err)
{
    return guaco_fail(err, GUACO_E_IO, 0,
                      "postgresql: the server is a replica, or read-only, "
                      "and takes no writes: name its primary");
}

struct guaco__postgres_failure
guaco__postgres_failed(const PGresult *result, struct guaco_error *err)
{
    static const char *const again[] = {"40001", "40P01", "55P03", "GU002",
                                        NULL};
    static const char *const ending[] = {"57P", "08", "53300", NULL};
    static const char *const missing[] = {"42P01", "42883", "3F000",
                                          "26000", "42704", NULL};
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    struct guaco__postgres_failure why = {.rc = GUACO_E_IO};

    if (text == NULL)
        text = PQresultErrorMessage(result);
    if (state == NULL || is_one_of(state, ending)) {
        why.is_over = why.may_pass = why.is_unsure = true;
    } else if (is_one_of(state, again)) {
        why.may_pass = true;
    } else if (strcmp(state, "25006") == 0) {
        why.is_over = why.may_pass = true;
        why.rc = refuse_replica(err);
        return why;
    } else if (is_one_of(state, missing)) { /* a new connection makes it */
        why.is_over = why.may_pass = true;
    } else if (strncmp(state, "53", 2) == 0) {
        (void)guaco_fail(err, why.rc, 0,
                         "postgresql: the server is out of something: %.160s",
                         text);
        return why;
    } else if (strcmp(state, "42501") == 0) {
        why.rc = GUACO_E_INVALID;
        (void)guaco_fail(err, why.rc, 0,
                         "postgresql: the user may not do what is needed: "
                         "%.160s",
                         text);
        return why;
    }
    (void)guaco_fail(err, why.rc, 0, "postgresql: %.180s (%s)", text,
                     state == NULL ? "lost" : state);
    return why;
}

/* ---- questions, outside of a pipeline ---- */

PGresult *
guaco__postgres_ask(PGconn *conn, const char *sql, uint64_t deadline_ns,
                    int *rc, struct guaco_error *err)
{
    PGresult *last = NULL, *result;

    *rc = PQsendQuery(conn, sql) == 1
              ? guaco__postgres_flush(conn, deadline_ns, err)
              : broken(conn, err);
    while (*rc == GUACO_OK) {
        *rc = guaco__postgres_result(conn, &result, deadline_ns, err);
        if (*rc != GUACO_OK || result == NULL)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            *rc = guaco__postgres_failed(result, err).rc;
        PQclear(last);
        last = result;
    }
    if (*rc == GUACO_OK && last == NULL)
        *rc = broken(conn, err);
    if (*rc == GUACO_OK)
        return last;
    PQclear(last);
    return NULL;
}

static int
tell(PGconn *conn, const char *sql, uint64_t deadline_ns,
     struct guaco_error *err)
{
    int rc;

    PQclear(guaco__postgres_ask(conn, sql, deadline_ns, &rc, err));
    return rc;
}

/* ---- the schema ---- */

/* Its version, or 0 when there is none. */
static int
ask_version(PGconn *conn, const char *schema, uint64_t deadline_ns,
            long *version, struct guaco_error *err)
{
    char sql[256];
    int rc;

    *version = 0;
    (void)snprintf(sql, sizeof sql, "SELECT to_regclass('%s.meta') IS NULL",
                   schema);
    PGresult *result = guaco__postgres_ask(conn, sql, deadline_ns, &rc, err);
    if (result == NULL)
        return rc;
    bool is_new = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    PQclear(result);
    if (is_new)
        return GUACO_OK;
    (void)snprintf(sql, sizeof sql, "SELECT version FROM %s.meta", schema);
    result = guaco__postgres_ask(conn, sql, deadline_ns, &rc, err);
    if (result == NULL)
        return rc;
    *version = PQntuples(result) == 1
                   ? strtol(PQgetvalue(result, 0, 0), NULL, 10)
                   : -1;
    PQclear(result);
    if (*version > POSTGRES_SCHEMA_VERSION)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "postgresql: the schema %s was made by a newer guaco "
                          "(version %ld, this one knows up to %d)",
                          schema, *version, POSTGRES_SCHEMA_VERSION);
    return *version > 0 ? GUACO_OK
                        : guaco_fail(err, GUACO_E_INVALID, 0,
                                     "postgresql: the schema %s has a table "
                                     "meta that is not guaco's: name another "
                                     "with schema=",
                                     schema);
}

/* In a transaction, under its lock: whoever comes second finds it made. */
static int
make_all(PGconn *conn, const char *schema, uint64_t deadline_ns,
         struct guaco_error *err)
{
    char sql[512];
    long version;

    (void)snprintf(sql, sizeof sql,
                   "SELECT pg_advisory_xact_lock(%d, hashtext('%s'));"
                   "DO $$ BEGIN IF to_regnamespace('%s') IS NULL THEN"
                   " CREATE SCHEMA %s; END IF; END $$",
                   SCHEMA_LOCK, schema, schema, schema);
    int rc = tell(conn, sql, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = ask_version(conn, schema, deadline_ns, &version, err);
    if (rc != GUACO_OK || version == POSTGRES_SCHEMA_VERSION)
        return rc;
    if (version == 0)
        rc = tell(conn, guaco__postgres_schema, deadline_ns, err);
    return rc != GUACO_OK ? rc
                          : tell(conn, guaco__postgres_code, deadline_ns, err);
}

static int
make_schema(PGconn *conn, const char *schema, uint64_t deadline_ns,
            struct guaco_error *err)
{
    int rc = tell(conn, "BEGIN", deadline_ns, err);

    if (rc == GUACO_OK)
        rc = make_all(conn, schema, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = tell(conn, "COMMIT", deadline_ns, err);
    return rc; /* a failure ends the connection */
}

static int
check_server(PGconn *conn, uint64_t deadline_ns, struct guaco_error *err)
{
    int rc;

    if (PQserverVersion(conn) < OLDEST_VERSION)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "postgresql: the server is of version %d, %d is "
                          "needed",
                          PQserverVersion(conn) / 10000,
                          OLDEST_VERSION / 10000);
    PGresult *result =
        guaco__postgres_ask(conn,
                            "SELECT pg_is_in_recovery() OR "
                            "current_setting('transaction_read_only') = 'on'",
                            deadline_ns, &rc, err);
    if (result == NULL)
        return rc;
    if (strcmp(PQgetvalue(result, 0, 0), "f") != 0)
        rc = refuse_replica(err);
    PQclear(result);
    return rc;
}

static int
prepare(PGconn *conn, uint64_t deadline_ns, struct guaco_error *err)
{
    return tell(conn,
                "PREPARE run(int8, int8, int8, int8, text, int4, bytea[]) AS "
                "SELECT run($1, $2, $3, $4, $5, $6, $7);"
                "PREPARE tell(int8) AS SELECT tell($1);"
                "PREPARE bell(int8, bytea[]) AS SELECT bell($1, $2)",
                deadline_ns, err);
}

/* ---- connecting ---- */

static int
log_in_failed(PGconn *conn, struct guaco_error *err)
{
    static const char *const final[] = {
        "authentication", "does not exist", "pg_hba.conf", "no password",
        "permission",     "certificate",    "invalid",     NULL};
    const char *text = PQerrorMessage(conn);
    int rc = broken(conn, err);

    for (const char *const *at = final; *at != NULL; at++)
        if (strstr(text, *at) != NULL)
            rc = GUACO_E_INVALID;
    /* A socket's file that is not there: nobody listens yet. */
    if (strstr(text, "No such file or directory") != NULL)
        rc = GUACO_E_IO;
    if (rc == GUACO_E_INVALID && err != NULL)
        err->code = rc;
    return rc;
}

static int
dial(PGconn *conn, uint64_t deadline_ns, struct guaco_error *err)
{
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    short got;

    if (PQstatus(conn) == CONNECTION_BAD)
        return log_in_failed(conn, err);
    while (wants != PGRES_POLLING_OK) {
        if (wants == PGRES_POLLING_FAILED)
            return log_in_failed(conn, err);
        int rc =
            wait_for(conn, wants == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                     deadline_ns, &got, err);
        if (rc != GUACO_OK)
            return rc;
        wants = PQconnectPoll(conn);
    }
    return PQsetnonblocking(conn, 1) == 0 ? GUACO_OK : broken(conn, err);
}

static void
ignore(void *ctx, const PGresult *result)
{
    (void)ctx;
    (void)result;
}

int
guaco__postgres_connect(PGconn **out,
                        const struct guaco__postgres_target *target,
                        bool is_store, uint64_t deadline_ns,
                        struct guaco_error *err)
{
    uint64_t end_ns =
        guaco__clock_mono_ns() + target->connect_timeout_ms * 1000000u;
    long version = 0;

    *out = NULL;
    if (end_ns > deadline_ns)
        end_ns = deadline_ns;
    PGconn *conn = PQconnectStartParams(target->keys, target->values, 0);
    if (conn == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "postgresql: a connection");
    (void)PQsetNoticeReceiver(conn, ignore, NULL);
    int rc = dial(conn, end_ns, err);
    if (rc == GUACO_OK)
        rc = check_server(conn, end_ns, err);
    if (rc == GUACO_OK && is_store)
        rc = ask_version(conn, target->schema, end_ns, &version, err);
    if (rc == GUACO_OK && is_store && version < POSTGRES_SCHEMA_VERSION)
        rc = make_schema(conn, target->schema, deadline_ns, err);
    if (rc == GUACO_OK && is_store)
        rc = prepare(conn, end_ns, err);
    if (rc == GUACO_OK)
        *out = conn;
    else
        PQfinish(conn);
    return rc;
}
