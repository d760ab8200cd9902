/*
 * The PostgreSQL store: how batches and messages come to a PostgreSQL server.
 *
 * A batch is one call of the function run() (postgres_batch.sql), which is one
 * transaction and takes and answers what the Redis store's script does; so all
 * that encodes, retries and wakes up is that of redis_int.h.  What others are
 * to be told goes by tell(), a transaction of its own behind it in the same
 * round trip, and NOTIFY.
 *
 * Whether a batch was done of whose commit nothing was heard is known by its
 * number: the transaction writes it, with the answers, into the client's row,
 * and the same batch sent again waits for that row and finds it.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "postgres_link.h"
#include "redis_int.h"
#include "using.h"

#define ARRAY_MAX  (600u << 20)
#define KEEP_BYTES (4u << 20)
#define REPLY_MAX  (192u << 20)
#define BYTEA_OID  17u

#define WRITES  1u /* flags of run() */
#define ORDERED 2u

struct postgres_store {
    struct redis_store base; /* first, so that the cast holds */
    struct guaco__postgres_target target;
    int64_t client;
    PGconn *link;
    PGconn *ear;
    PGnotify *notice;        /* the last one heard */
    struct guaco__buf array; /* the arguments of a call */
};

static struct postgres_store *
self_of(struct redis_store *base)
{
    return (struct postgres_store *)base;
}

/* ---- connecting ---- */

static int
open_link(struct redis_store *base, uint64_t deadline_ns,
          struct guaco_error *err)
{
    struct postgres_store *self = self_of(base);

    int rc = guaco__postgres_connect(&self->link, &self->target, true,
                                     deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__replies_init(&base->link.replies, REPLY_MAX);
    if (rc == GUACO_OK && PQenterPipelineMode(self->link) == 1) {
        base->link.conn.fd = PQsocket(self->link);
        return GUACO_OK;
    }
    if (rc == GUACO_OK)
        guaco__replies_release(&base->link.replies);
    PQfinish(self->link);
    self->link = NULL;
    return guaco_fail(err, GUACO_E_NOMEM, 0, "postgresql: a connection");
}

static void
close_link(struct redis_store *base)
{
    struct postgres_store *self = self_of(base);

    PQfinish(self->link);
    self->link = NULL;
    base->link.conn.fd = -1;
    guaco__replies_release(&base->link.replies);
}

/* ---- arguments ---- */

static int
put_word(struct guaco__buf *out, uint32_t word)
{
    const uint32_t order = htonl(word);

    return guaco__buf_append(out, (const char *)&order, sizeof order);
}

static int
put_head(struct guaco__buf *out, size_t n)
{
    const uint32_t head[] = {n == 0 ? 0 : 1, 0, BYTEA_OID, (uint32_t)n, 1};
    int rc = GUACO_OK;

    guaco__buf_reset(out);
    for (size_t i = 0; i < (n == 0 ? 3 : 5) && rc == GUACO_OK; i++)
        rc = put_word(out, head[i]);
    return rc;
}

/* "*N\r\n" or "$N\r\n" of our own making; moves on. */
static size_t
take_head(const char **at)
{
    char *end;
    size_t n = strtoul(*at + 1, &end, 10);

    *at = end + 2;
    return n;
}

/* The bytes of `n` arguments at *at, as the binary form of a bytea[]. */
static int
put_array(struct guaco__buf *out, const char **at, size_t n)
{
    if (out->room > KEEP_BYTES)
        guaco__buf_release(out);
    int rc = put_head(out, n);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++) {
        size_t len = take_head(at);
        rc = put_word(out, (uint32_t)len);
        if (rc == GUACO_OK)
            rc = guaco__buf_append(out, *at, len);
        *at += len + 2;
    }
    return rc;
}

/* ---- sending ---- */

struct argument {
    uint64_t number;
    const char *at; /* NULL: the number, of `len` bytes */
    int len;
};

static int
send_call(struct postgres_store *self, const char *name,
          const struct argument *args, int n)
{
    const char *values[8];
    uint64_t numbers[8];
    int lengths[8], formats[8];

    assert(n <= 8);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 8; j++) /* big-endian */
            ((unsigned char *)&numbers[i])[j] =
                (unsigned char)(args[i].number >> (8 * (7 - j)));
        formats[i] = 1;
        lengths[i] = args[i].len;
        values[i] = args[i].at != NULL
                        ? args[i].at
                        : (const char *)&numbers[i] + 8 - args[i].len;
    }
    return PQsendQueryPrepared(self->link, name, n, values, lengths, formats,
                               1) == 1
               ? GUACO_OK
               : GUACO_E_IO;
}

/* The commands of asides that bell_write made in base->out. */
static int
send_asides(struct postgres_store *self)
{
    struct guaco_slice out = guaco__buf_slice(&self->base.out);
    const char *at = out.at, *end = out.len > 0 ? at + out.len : at;
    int rc = GUACO_OK;

    while (at < end && rc == GUACO_OK) {
        size_t n = take_head(&at);
        rc = put_array(&self->array, &at, n);
        const struct argument args[] = {
            {(uint64_t)self->client, NULL, 8},
            {0, guaco__buf_data(&self->array), (int)self->array.len}};
        if (rc == GUACO_OK)
            rc = send_call(self, "bell", args, 2);
        if (rc == GUACO_OK && PQpipelineSync(self->link) != 1)
            rc = GUACO_E_IO;
    }
    return rc;
}

static int
begin_asides(struct redis_store *base, size_t n)
{
    return guaco__redis_begin(&base->out, 3 * n);
}

/* The answers are read with the next batch. */
static int
tell(struct redis_store *base, uint64_t deadline_ns)
{
    struct postgres_store *self = self_of(base);
    int rc = send_asides(self);

    return rc != GUACO_OK
               ? rc
               : guaco__postgres_flush(self->link, deadline_ns, NULL);
}

/* ---- what a batch does ---- */

static unsigned
flags_of_puts(const struct guaco__put *puts, size_t n)
{
    return guaco__redis_are_ruled(puts, n) ? WRITES | ORDERED : WRITES;
}

static unsigned
flags_of(const struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_OWNER_LIST:
    case GUACO__OP_RECUR_LIST:
    case GUACO__OP_STATS:
    case GUACO__OP_LIST:
    case GUACO__OP_KEY_LIST: return 0;
    case GUACO__OP_READ: return op->read.take ? WRITES : 0;
    case GUACO__OP_KEY:
        return op->key.verb == GUACO__KEY_GET ? 0 : WRITES | ORDERED;
    case GUACO__OP_REVOKE:
        return op->revoke.verb == GUACO__REVOKE_LOOK ? 0 : WRITES | ORDERED;
    case GUACO__OP_PUT: return flags_of_puts(op->put.tasks, op->put.n);
    case GUACO__OP_TICK: return flags_of_puts(op->tick.tasks, op->tick.n);
    case GUACO__OP_FINISH:
        return op->finish.has_rules
                   ? WRITES | ORDERED
                   : flags_of_puts(op->finish.follow, op->finish.follow_count);
    case GUACO__OP_CLAIM:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_OPEN:
    case GUACO__OP_OWNER_RENEW:
    case GUACO__OP_IDS: return WRITES;
    case GUACO__OP_OWNER_REAP:
    case GUACO__OP_PROMOTE:
    case GUACO__OP_SWEEP:
    case GUACO__OP_RECUR_SET:
    case GUACO__OP_PURGE:
    case GUACO__OP_REPLAY:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: break;
    }
    return WRITES | ORDERED;
}

static unsigned
flags_of_frame(const struct redis_store *base, const struct redis_frame *frame)
{
    unsigned flags = base->unsure != 0 ? WRITES : 0;

    for (size_t i = frame->first; i < frame->first + frame->count; i++)
        if (!frame->skip[i])
            flags |= flags_of(frame->ops[i]);
    return flags;
}

static int
send_run(struct postgres_store *self, const struct redis_frame *frame,
         unsigned flags)
{
    struct redis_store *base = &self->base;
    char hungry[REDIS_HUNGRY_BYTES];
    const char *at = guaco__buf_data(&frame->args);

    guaco__redis_bell_hungry(base, hungry);
    int rc = put_array(&self->array, &at, frame->arg_count);
    const struct argument args[] = {
        {(uint64_t)self->client, NULL, 8},
        {base->number, NULL, 8},
        {base->unsure, NULL, 8},
        {(uint64_t)guaco__clock_shift_ms(&base->clock), NULL, 8},
        {0, hungry, (int)strlen(hungry)},
        {flags, NULL, 4},
        {0, guaco__buf_data(&self->array), (int)self->array.len}};
    if (rc == GUACO_OK)
        rc = send_call(self, "run", args, 7);
    if (rc == GUACO_OK && PQpipelineSync(self->link) != 1)
        rc = GUACO_E_IO;
    if (rc == GUACO_OK && (flags & WRITES) != 0) {
        rc = send_call(self, "tell", args, 1);
        if (rc == GUACO_OK && PQpipelineSync(self->link) != 1)
            rc = GUACO_E_IO;
    }
    return rc;
}

/* ---- reading ---- */

/* A result and all behind it up to its sync.  NULL with *rc. */
static PGresult *
take_result(struct postgres_store *self, uint64_t deadline_ns, int *rc,
            struct guaco_error *err)
{
    PGresult *first = NULL, *next;
    ExecStatusType status = PGRES_EMPTY_QUERY;

    while (status != PGRES_PIPELINE_SYNC) {
        *rc = guaco__postgres_result(self->link, &next, deadline_ns, err);
        if (*rc == GUACO_OK && next == NULL &&
            PQstatus(self->link) != CONNECTION_OK)
            *rc = guaco_fail(err, GUACO_E_IO, 0,
                             "postgresql: the connection has ended");
        if (*rc != GUACO_OK) {
            PQclear(first);
            return NULL;
        }
        if (next == NULL)
            continue;
        status = PQresultStatus(next);
        if (first == NULL && status != PGRES_PIPELINE_SYNC)
            first = next;
        else
            PQclear(next);
    }
    if (first == NULL)
        *rc = guaco_fail(err, GUACO_E_PROTO, 0,
                         "postgresql: an answer is missing");
    return first;
}

/* The answer to run(), as a reply. */
static int
take_reply(struct redis_store *base, const PGresult *result,
           const struct guaco__reply **reply, struct guaco_error *err)
{
    int rc = GUACO_E_PROTO;

    guaco__replies_forget(&base->link.replies);
    if (PQntuples(result) == 1 && PQnfields(result) == 1 &&
        PQgetisnull(result, 0, 0) == 0) {
        const struct guaco_slice bytes = {PQgetvalue(result, 0, 0),
                                          (size_t)PQgetlength(result, 0, 0)};
        rc = guaco__replies_feed(&base->link.replies, bytes);
        if (rc == GUACO_OK)
            rc = guaco__replies_next(&base->link.replies, reply);
    }
    return rc == GUACO_OK
               ? rc
               : guaco_fail(err, rc == GUACO_E_AGAIN ? GUACO_E_PROTO : rc, 0,
                            "postgresql: the server's answer cannot be read");
}

static int
take_asides(struct postgres_store *self, uint64_t deadline_ns,
            struct guaco_error *err)
{
    int rc = GUACO_OK;

    while (rc == GUACO_OK && !guaco__list_is_empty(&self->base.told)) {
        PGresult *result = take_result(self, deadline_ns, &rc, err);
        if (result == NULL)
            return rc;
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            guaco__redis_bell_settle(&self->base);
        else /* it will be told again, on a new connection */
            rc = guaco__postgres_failed(result, err).rc;
        PQclear(result);
    }
    return rc;
}

/* Whether anybody was told does not change what was done; but when it is not
 * known the batch is sent again, and that tells again. */
static int
take_told(struct postgres_store *self, bool is_expected, uint64_t deadline_ns,
          struct guaco_error *err)
{
    int rc = GUACO_OK;
    PGresult *result =
        is_expected ? take_result(self, deadline_ns, &rc, err) : NULL;

    if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK)
        rc = guaco__postgres_failed(result, err).rc;
    PQclear(result);
    return rc;
}

static enum redis_ending
lost(struct redis_store *base)
{
    guaco__redis_drop(base);
    return REDIS_UNANSWERED;
}

static enum redis_ending
exchange(struct redis_store *base, const struct redis_frame *frame,
         const struct guaco__reply **reply, uint64_t deadline_ns, int *rc,
         struct guaco_error *err)
{
    struct postgres_store *self = self_of(base);
    struct guaco__postgres_failure why = {0};
    const unsigned flags = flags_of_frame(base, frame);
    const bool is_told = (flags & WRITES) != 0;

    guaco__buf_reset(&base->out);
    *rc = guaco__redis_bell_write(base);
    if (*rc == GUACO_OK)
        *rc = send_asides(self);
    if (*rc == GUACO_OK)
        *rc = send_run(self, frame, flags);
    if (*rc != GUACO_OK)
        (void)guaco_fail(err, *rc, 0, "postgresql: a batch");
    if (*rc == GUACO_OK)
        *rc = guaco__postgres_flush(self->link, deadline_ns, err);
    if (*rc == GUACO_OK)
        *rc = take_asides(self, deadline_ns, err);
    if (*rc != GUACO_OK)
        return lost(base);
    PGresult *result = take_result(self, deadline_ns, rc, err);
    if (result == NULL)
        return lost(base);
    bool is_done = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (is_done)
        *rc = take_reply(base, result, reply, err);
    else
        why = guaco__postgres_failed(result, err);
    PQclear(result);
    if (is_done && *rc == GUACO_OK)
        *rc = take_told(self, is_told, deadline_ns, err);
    else if (!is_done && !why.is_over)
        (void)take_told(self, is_told, deadline_ns, NULL);
    if (is_done)
        return *rc == GUACO_OK ? REDIS_ENDED : lost(base);
    *rc = why.rc;
    if (why.is_over)
        guaco__redis_drop(base);
    return why.is_unsure  ? REDIS_UNANSWERED
           : why.may_pass ? REDIS_UNSENT
                          : REDIS_REFUSED;
}

/* ---- the ear ---- */

static void
close_ear(struct redis_store *base)
{
    struct postgres_store *self = self_of(base);

    PQfreemem(self->notice);
    self->notice = NULL;
    PQfinish(self->ear);
    self->ear = NULL;
    base->ear.conn.fd = -1;
}

/* By its lock others know that somebody listens.  It is shared, for the server
 * may not have noticed yet that the one before has ended. */
static int
open_ear(struct redis_store *base, uint64_t deadline_ns,
         struct guaco_error *err)
{
    struct postgres_store *self = self_of(base);
    char sql[160];

    int rc = guaco__postgres_connect(&self->ear, &self->target, false,
                                     deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    (void)snprintf(sql, sizeof sql,
                   "SELECT pg_advisory_lock_shared(%" PRId64
                   "); LISTEN guaco_%" PRIx64,
                   self->client, (uint64_t)self->client);
    PQclear(guaco__postgres_ask(self->ear, sql, deadline_ns, &rc, err));
    if (rc == GUACO_OK)
        base->ear.conn.fd = PQsocket(self->ear);
    else
        close_ear(base);
    return rc;
}

static int
hear(struct redis_store *base, struct guaco_slice *text)
{
    struct postgres_store *self = self_of(base);

    PQfreemem(self->notice);
    self->notice = PQnotifies(self->ear);
    if (self->notice == NULL) {
        bool is_alive = PQconsumeInput(self->ear) == 1;
        self->notice = PQnotifies(self->ear);
        if (self->notice == NULL)
            return is_alive && PQstatus(self->ear) == CONNECTION_OK
                       ? GUACO_E_AGAIN
                       : GUACO_E_IO;
    }
    *text =
        (struct guaco_slice){self->notice->extra, strlen(self->notice->extra)};
    return GUACO_OK;
}

static const struct redis_server server = {
    .open = open_link,
    .close = close_link,
    .exchange = exchange,
    .tell = tell,
    .begin_asides = begin_asides,
    .open_ear = open_ear,
    .close_ear = close_ear,
    .hear = hear,
};

/* ---- life ---- */

static void
postgres_close(struct guaco__store *store)
{
    struct postgres_store *self = (struct postgres_store *)store;

    guaco__redis_end_store(&self->base);
    guaco__buf_release(&self->array);
}

static int
postgres_open(struct guaco__store *store, const char *rest,
              struct guaco_error *err)
{
    struct postgres_store *self = (struct postgres_store *)store;
    struct redis_store *base = &self->base;

    guaco__buf_init(&self->array, ARRAY_MAX);
    int rc = guaco__redis_begin_store(base, &server, err);
    if (rc == GUACO_OK)
        rc = guaco__postgres_target_init(&self->target, rest, err);
    if (rc == GUACO_OK) {
        self->client = (int64_t)strtoull(base->client, NULL, 16);
        base->timeout_ms = self->target.timeout_ms;
        store->wait_ms = (uint32_t)base->timeout_ms;
        rc = guaco__redis_first_call(base, err);
    }
    if (rc == GUACO_OK && self->target.commit != NULL &&
        strcmp(self->target.commit, "off") == 0)
        (void)snprintf(store->warning, sizeof store->warning,
                       "postgresql: synchronous_commit=off: a crash of the "
                       "server may lose the last tasks and results");
    if (rc != GUACO_OK)
        postgres_close(store);
    return rc;
}

const struct guaco__store_ops guaco__store_postgres = {
    .scheme = "postgresql",
    .has_rules = true,
    .size = sizeof(struct postgres_store),
    .open = postgres_open,
    .close = postgres_close,
    .pause = guaco__redis_pause,
    .resume = guaco__redis_resume,
    .run = guaco__redis_run,
    .run_using = guaco__store_no_using,
    .now_ms = guaco__redis_now_ms,
    .listen = guaco__redis_listen,
    .ring = guaco__redis_ring,
    .wait_fd = guaco__redis_wait_fd,
    .hear = guaco__redis_hear,
};
