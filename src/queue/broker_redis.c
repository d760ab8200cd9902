/* The Redis store: how batches and messages come to a Redis server; see
 * redis_int.h. */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "redis_int.h"
#include "using.h"

static int
open_link(struct redis_store *self, uint64_t deadline_ns,
          struct guaco_error *err)
{
    return guaco__redis_link_open(&self->link, &self->target, deadline_ns, err);
}

static void
close_link(struct redis_store *self)
{
    guaco__redis_link_close(&self->link);
}

/* ---- one call ---- */

/* EVALSHA with its six arguments before the ops. */
static int
write_call(struct redis_store *self, const struct redis_frame *frame)
{
    char prefix[128], number[24], unsure[24] = "", shift[24];
    char hungry[REDIS_HUNGRY_BYTES];
    const char *const head[] = {"EVALSHA",    self->link.store_sha,
                                "1",          prefix,
                                self->client, number,
                                unsure,       shift,
                                hungry};
    const size_t n = sizeof head / sizeof head[0];

    (void)snprintf(prefix, sizeof prefix, "{%s}", self->target.prefix);
    (void)snprintf(number, sizeof number, "%016" PRIu64, self->number);
    if (self->unsure != 0)
        (void)snprintf(unsure, sizeof unsure, "%016" PRIu64, self->unsure);
    (void)snprintf(shift, sizeof shift, "%" PRId64,
                   guaco__clock_shift_ms(&self->clock));
    guaco__redis_bell_hungry(self, hungry);
    int rc = guaco__redis_begin(&self->out, n + frame->arg_count);
    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = guaco__redis_text(&self->out, head[i]);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(&self->out, guaco__buf_data(&frame->args),
                               frame->args.len);
    return rc;
}

/* Send what is to be told and the call, and read until its answer is there. */
static int
send_and_read(struct redis_store *self, const struct redis_frame *frame,
              const struct guaco__reply **reply, uint64_t deadline_ns,
              struct guaco_error *err)
{
    guaco__buf_reset(&self->out);
    int rc = guaco__redis_bell_write(self);
    if (rc == GUACO_OK)
        rc = write_call(self, frame);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "redis: a batch");
    rc = guaco__connection_send(&self->link.conn, guaco__buf_slice(&self->out),
                                deadline_ns, err);
    guaco__replies_forget(&self->link.replies);
    while (rc == GUACO_OK && !guaco__list_is_empty(&self->told)) {
        bool may_pass;
        rc = guaco__redis_link_reply(&self->link, reply, deadline_ns, err);
        if (rc == GUACO_OK && (*reply)->kind == GUACO__REPLY_ERROR) {
            /* It will be told again, on a new connection. */
            (void)guaco__redis_error(*reply, &may_pass, err);
            rc = GUACO_E_IO;
        }
        if (rc == GUACO_OK)
            guaco__redis_bell_settle(self);
    }
    return rc != GUACO_OK
               ? rc
               : guaco__redis_link_reply(&self->link, reply, deadline_ns, err);
}

static enum redis_ending
exchange(struct redis_store *self, const struct redis_frame *frame,
         const struct guaco__reply **reply, uint64_t deadline_ns, int *rc,
         struct guaco_error *err)
{
    bool may_pass;

    *rc = send_and_read(self, frame, reply, deadline_ns, err);
    if (*rc != GUACO_OK) {
        guaco__redis_drop(self);
        return REDIS_UNANSWERED;
    }
    if ((*reply)->kind != GUACO__REPLY_ERROR)
        return REDIS_ENDED;
    *rc = guaco__redis_error(*reply, &may_pass, err);
    bool is_unknown = guaco__reply_is_error(*reply, "NOSCRIPT");
    if (!may_pass && !is_unknown)
        return REDIS_REFUSED;
    guaco__redis_drop(self); /* a new connection makes the scripts known */
    return REDIS_UNSENT;
}

/* ---- the bell ---- */

static int
tell(struct redis_store *self, uint64_t deadline_ns)
{
    return guaco__connection_send(
        &self->link.conn, guaco__buf_slice(&self->out), deadline_ns, NULL);
}

/* EVALSHA of the bell with room for `n` asides. */
static int
begin_asides(struct redis_store *self, size_t n)
{
    const char *const head[] = {"EVALSHA", self->link.bell_sha, "1"};
    char prefix[128];
    int rc = guaco__redis_begin(&self->out, 5 + 3 * n);

    (void)snprintf(prefix, sizeof prefix, "{%s}", self->target.prefix);
    for (size_t i = 0; i < 3 && rc == GUACO_OK; i++)
        rc = guaco__redis_text(&self->out, head[i]);
    if (rc == GUACO_OK)
        rc = guaco__redis_text(&self->out, prefix);
    return rc != GUACO_OK ? rc : guaco__redis_text(&self->out, self->client);
}

static int
open_ear(struct redis_store *self, uint64_t deadline_ns,
         struct guaco_error *err)
{
    char channel[160];

    (void)snprintf(channel, sizeof channel, "{%s}:w:%s", self->target.prefix,
                   self->client);
    return guaco__redis_link_subscribe(&self->ear, &self->target, &self->link,
                                       channel, deadline_ns, err);
}

static void
close_ear(struct redis_store *self)
{
    guaco__redis_link_close(&self->ear);
}

static int
hear(struct redis_store *self, struct guaco_slice *text)
{
    const struct guaco__reply *reply;
    struct guaco_slice kind;

    for (;;) {
        guaco__replies_forget(&self->ear.replies);
        int rc = guaco__redis_link_reply(&self->ear, &reply, 0, NULL);
        if (rc != GUACO_OK)
            return rc;
        if (guaco__reply_text(guaco__reply_at(reply, 0), &kind) &&
            guaco_slice_equals(kind, GUACO_SLICE("message")) &&
            guaco__reply_text(guaco__reply_at(reply, 2), text))
            return GUACO_OK;
    }
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
redis_close(struct guaco__store *store)
{
    struct redis_store *self = (struct redis_store *)store;

    guaco__redis_end_store(self);
    guaco__redis_target_release(&self->target);
}

static int
redis_open(struct guaco__store *store, const char *rest,
           struct guaco_error *err)
{
    struct redis_store *self = (struct redis_store *)store;

    int rc = guaco__redis_begin_store(self, &server, err);
    if (rc == GUACO_OK)
        rc = guaco__redis_target_init(&self->target, store->scheme, rest, err);
    if (rc == GUACO_OK) {
        self->timeout_ms = self->target.timeout_ms;
        store->wait_ms = (uint32_t)self->timeout_ms;
        rc = guaco__redis_first_call(self, err);
    }
    if (rc == GUACO_OK)
        (void)snprintf(store->warning, sizeof store->warning, "%s",
                       self->link.warning);
    else
        redis_close(store);
    return rc;
}

const struct guaco__store_ops guaco__store_redis = {
    .scheme = "redis",
    .has_rules = true,
    .size = sizeof(struct redis_store),
    .open = redis_open,
    .close = redis_close,
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
