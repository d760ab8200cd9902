/* Batches on a server that does each as one step: the connection, the retries
 * and what is not known after a failure; see redis_int.h. */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/rand.h"
#include "redis_int.h"

#define ARGS_MAX   (512u << 20) /* bytes of one call */
#define KEEP_BYTES (4u << 20)   /* of a buffer between two batches */
#define OPS_MAX    512u         /* of a batch (front.h) */

static struct redis_store *
self_of(struct guaco__store *store)
{
    assert(store->ops->run == guaco__redis_run);
    return (struct redis_store *)store;
}

/* ---- the connection; `talk` is held ---- */

void
guaco__redis_drop(struct redis_store *self)
{
    if (self->link.conn.fd < 0)
        return;
    (void)epoll_ctl(self->wait_fd, EPOLL_CTL_DEL, self->link.conn.fd, NULL);
    self->server->close(self);
    guaco__redis_bell_lost(self);
}

/* Another server, or the same one begun anew: what our ear is at is not what
 * we talk to. */
static void
note_server(struct redis_store *self, const char *before)
{
    if (before[0] == '\0' || strcmp(before, self->link.run_id) == 0)
        return;
    pthread_mutex_lock(&self->lock);
    self->is_ear_stale = true;
    pthread_mutex_unlock(&self->lock);
    guaco__redis_bell_owe(self);
}

int
guaco__redis_ensure(struct redis_store *self, uint64_t deadline_ns,
                    struct guaco_error *err)
{
    char before[sizeof self->link.run_id];
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET,
                                .data.u32 = REDIS_LINK};

    if (self->link.conn.fd >= 0)
        return GUACO_OK;
    memcpy(before, self->link.run_id, sizeof before);
    int rc = self->server->open(self, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    (void)epoll_ctl(self->wait_fd, EPOLL_CTL_ADD, self->link.conn.fd, &event);
    note_server(self, before);
    return GUACO_OK;
}

/* ---- one call ---- */

static enum redis_ending
attempt(struct redis_store *self, const struct redis_frame *frame,
        const struct guaco__reply **reply, uint64_t deadline_ns, int *rc,
        struct guaco_error *err)
{
    *rc = guaco__redis_ensure(self, deadline_ns, err);
    if (*rc == GUACO_E_IO || *rc == GUACO_E_TIMEOUT)
        return REDIS_UNSENT;
    return *rc != GUACO_OK ? REDIS_REFUSED
                           : self->server->exchange(self, frame, reply,
                                                    deadline_ns, rc, err);
}

/*
 * Until an answer is there or the deadline has come.  What may have been done
 * is said to be GUACO_E_TIMEOUT, so that nobody does it again without asking;
 * it is taken back by the next batch as far as that is possible.
 */
static int
call(struct redis_store *self, const struct redis_frame *frame,
     const struct guaco__reply **reply, uint64_t deadline_ns,
     struct guaco_error *err)
{
    struct guaco__backoff backoff = {0};
    struct guaco_error why = {0};
    bool may_be_done = false;
    int rc;

    for (;;) {
        enum redis_ending end =
            attempt(self, frame, reply, deadline_ns, &rc, &why);
        if (end == REDIS_ENDED)
            return GUACO_OK;
        may_be_done = may_be_done || end == REDIS_UNANSWERED;
        if (end == REDIS_REFUSED || rc == GUACO_E_NOMEM ||
            rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT ||
            !guaco__backoff_wait(&backoff, deadline_ns))
            break;
    }
    if (!may_be_done)
        return rc == GUACO_E_TIMEOUT || rc == GUACO_E_IO
                   ? guaco_fail(err, rc, 0, "%s", why.text)
                   : guaco_fail(err, rc, 0, "%.220s", why.text);
    self->unsure = self->number;
    return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                      "%s: no answer, it may have been done or not: %.160s",
                      self->base.scheme, why.text);
}

/* ---- batches ---- */

/* One call for as many as it takes from ops[first] on. */
static int
run_frame(struct redis_store *self, struct guaco__op **ops, bool *skip,
          size_t n, size_t first, uint64_t deadline_ns, struct guaco_error *err)
{
    struct redis_frame *frame = &self->frame;
    const struct guaco__reply *reply;
    bool unused = false;

    if (frame->args.room > KEEP_BYTES)
        guaco__buf_release(&frame->args);
    if (self->out.room > KEEP_BYTES)
        guaco__buf_release(&self->out);
    int rc = guaco__redis_encode(self, frame, ops, skip, n, first);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "%s: a batch of that size",
                          self->base.scheme);
    if (frame->arg_count == 0)
        return GUACO_OK;
    self->number++;
    frame->ops = ops;
    frame->skip = skip;
    rc = call(self, frame, &reply, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    self->unsure = 0;
    rc = guaco__redis_answer(self, frame, ops, skip, reply, &unused);
    if (unused)
        self->unsure = self->number;
    if (rc != GUACO_OK) {
        guaco__redis_drop(self);
        self->unsure = self->number;
        return guaco_fail(err, rc, 0, "%s: the server's answer cannot be used",
                          self->base.scheme);
    }
    return GUACO_OK;
}

/* What came before a failure has happened, so it is then told op by op. */
static int
tell_rest(struct guaco__op **ops, const bool *skip, size_t n, int rc)
{
    bool any = false;

    for (size_t i = 0; i < n; i++)
        any = any || skip[i];
    if (!any)
        for (size_t i = 0; i < n; i++)
            guaco__op_take_back(ops[i]);
    if (!any)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (skip[i])
            continue;
        guaco__op_take_back(ops[i]);
        ops[i]->rc = rc;
    }
    return GUACO_OK;
}

static void
free_pages(struct redis_store *self)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&self->pages)) != NULL)
        free(GUACO__OF(link, struct redis_page, link));
}

int
guaco__redis_run(struct guaco__store *store, struct guaco__op **ops, size_t n,
                 uint64_t deadline_ns, struct guaco_error *err)
{
    struct redis_store *self = self_of(store);
    bool skip[OPS_MAX] = {false};
    int rc = GUACO_OK;

    assert(n <= OPS_MAX);
    pthread_mutex_lock(&self->talk);
    guaco__redis_bell_reset(self);
    for (size_t left = 1; left > 0 && rc == GUACO_OK;) {
        for (size_t first = 0; first < n && rc == GUACO_OK;
             first += self->frame.count)
            rc = run_frame(self, ops, skip, n, first, deadline_ns, err);
        left = 0;
        for (size_t i = 0; i < n; i++)
            left += !skip[i];
    }
    if (rc != GUACO_OK)
        rc = tell_rest(ops, skip, n, rc);
    free_pages(self);
    pthread_mutex_unlock(&self->talk);
    guaco__redis_bell_flush(self);
    return rc;
}

int64_t
guaco__redis_now_ms(const struct guaco__store *store)
{
    const struct redis_store *self = (const struct redis_store *)store;

    return ((int64_t)(guaco__clock_boot_ns() / 1000) + self->skew_us) / 1000 +
           guaco__clock_shift_ms(&self->clock);
}

/* ---- life ---- */

static int
name_client(struct redis_store *self, struct guaco_error *err)
{
    uint64_t number;

    if (guaco__rand_bytes(&number, sizeof number) != GUACO_OK)
        return guaco_fail(err, GUACO_E_IO, 0, "random bytes");
    (void)snprintf(self->client, sizeof self->client, "%016" PRIx64, number);
    return GUACO_OK;
}

int
guaco__redis_begin_store(struct redis_store *self,
                         const struct redis_server *server,
                         struct guaco_error *err)
{
    self->server = server;
    guaco__redis_link_init(&self->link);
    guaco__list_init(&self->pages);
    guaco__buf_init(&self->frame.args, ARGS_MAX);
    guaco__buf_init(&self->out, ARGS_MAX + (16u << 20));
    pthread_mutex_init(&self->talk, NULL);
    pthread_mutex_init(&self->lock, NULL);
    pthread_mutex_init(&self->hearing, NULL);
    int rc = guaco__redis_bell_open(self, err);
    if (rc == GUACO_OK)
        rc = guaco__proc_boot_id(self->boot_id, err);
    if (rc == GUACO_OK)
        rc = guaco__clock_open(&self->clock, NULL, err);
    if (rc == GUACO_OK)
        rc = name_client(self, err);
    return rc;
}

void
guaco__redis_end_store(struct redis_store *self)
{
    if (self->link.conn.fd >= 0)
        self->server->close(self);
    guaco__redis_bell_close(self);
    guaco__buf_release(&self->frame.args);
    guaco__buf_release(&self->out);
    guaco__clock_close(&self->clock);
    pthread_mutex_destroy(&self->talk);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->hearing);
}

int
guaco__redis_first_call(struct redis_store *self, struct guaco_error *err)
{
    const uint64_t deadline_ns =
        guaco__clock_mono_ns() + self->timeout_ms * 1000000u;
    struct redis_frame *frame = &self->frame;
    const struct guaco__reply *reply;
    bool skip[1] = {false}, unused;

    int rc = guaco__redis_ensure(self, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    self->number++;
    frame->first = frame->count = frame->arg_count = 0;
    if (self->server->exchange(self, frame, &reply, deadline_ns, &rc, err) !=
        REDIS_ENDED)
        return rc;
    if (guaco__redis_answer(self, frame, NULL, skip, reply, &unused) !=
        GUACO_OK)
        rc = guaco_fail(err, GUACO_E_PROTO, 0,
                        "%s: the server's answer cannot be used",
                        self->base.scheme);
    return rc;
}
