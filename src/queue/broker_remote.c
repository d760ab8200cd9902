/*
 * The memory store of a supervised tree, which its keeper holds
 * (memory_server.c): a store whose every run is a request over a socket.
 *
 * The keeper may end and be started again; what was in it is gone then.  Who
 * writes next is told by an error, and connects anew.  Who only waits is told
 * by a notice for all that is listened to: each looks for itself then, and a
 * task's id, which no two memories share, says that it is lost.
 *
 * Two locks: `talk` is held for a request and its answer, `lock` for a send and
 * for what is listened to, so that to listen never waits for an answer.  `talk`
 * is taken first.
 */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/list.h"
#include "base/map.h"
#include "os/clock.h"
#include "remote_link.h"
#include "using.h"

#define WAIT_MS      10000u
#define TOPICS_MAX   65536u
#define FRAME_SOFT   (1u << 20) /* bytes; an op begins no frame beyond */
#define FRAME_WEIGHT 8u         /* what the answers to one frame may weigh */
#define KEEP_BYTES   (4u << 20) /* of a buffer between two requests */

/* Something that is listened to. */
struct topic {
    struct guaco__list link; /* of self->owed */
    struct guaco__notice notice;
    size_t key_len;
    char key[GUACO_QUEUE_NAME_MAX + 1];
};

struct remote_store {
    struct guaco__store base; /* first, so that the cast holds */
    struct guaco_clock clock;
    char name[108]; /* of the socket */
    int wait_fd;    /* an epoll of the link's notices and owed_fd */
    int owed_fd;    /* readable while something is owed */

    pthread_mutex_t talk;
    struct guaco__link link; /* changed, and sent into, under both locks; a
                                failed send under `lock` alone shuts it down */
    struct guaco__buf out;

    pthread_mutex_t lock;
    struct guaco__map topics; /* key -> struct topic */
    struct guaco__list owed;  /* topics to be woken without a notice */
};

static struct remote_store *
self_of(struct guaco__store *store)
{
    assert(store->ops == &guaco__store_remote);
    return (struct remote_store *)store;
}

/* ---- topics ---- */

static size_t
make_key(const struct guaco__notice *notice, char *key)
{
    size_t len = 0;

    key[len++] = (char)notice->kind;
    if (notice->kind == GUACO__NOTICE_TASKS) {
        size_t n = strlen(notice->queue);
        memcpy(key + len, notice->queue, n);
        len += n;
    } else if (notice->kind == GUACO__NOTICE_TASK) {
        memcpy(key + len, &notice->id, sizeof notice->id);
        len += sizeof notice->id;
    }
    return len;
}

static int
add_topic(struct remote_store *self, const struct guaco__notice *notice)
{
    char key[sizeof((struct topic *)0)->key];
    size_t len = make_key(notice, key);
    struct topic *topic =
        guaco__map_get(&self->topics, (struct guaco_slice){key, len});

    if (topic != NULL)
        return GUACO_OK;
    topic = malloc(sizeof *topic);
    if (topic == NULL)
        return GUACO_E_NOMEM;
    guaco__list_init(&topic->link);
    topic->notice = *notice;
    topic->key_len = len;
    memcpy(topic->key, key, len);
    int rc = guaco__map_put(&self->topics,
                            (struct guaco_slice){topic->key, len}, topic);
    if (rc != GUACO_OK)
        free(topic);
    return rc;
}

static void
drop_topic(struct remote_store *self, const struct guaco__notice *notice)
{
    char key[sizeof((struct topic *)0)->key];
    struct guaco_slice slice = {key, make_key(notice, key)};
    struct topic *topic = guaco__map_take(&self->topics, slice);

    if (topic != NULL)
        guaco__list_remove(&topic->link);
    free(topic);
}

/* The link was lost, and with it what the keeper knew: wake all who listen. */
static void
owe_all(struct remote_store *self)
{
    const uint64_t one = 1;
    size_t at = 0;
    void *value;

    while (guaco__map_next(&self->topics, &at, NULL, &value)) {
        struct topic *topic = value;
        if (guaco__list_is_empty(&topic->link))
            guaco__list_push(&self->owed, &topic->link);
    }
    if (!guaco__list_is_empty(&self->owed))
        (void)!write(self->owed_fd, &one, sizeof one);
}

/* ---- the link; `talk` is held ---- */

static void
drop_link(struct remote_store *self)
{
    if (self->link.fd < 0)
        return;
    pthread_mutex_lock(&self->lock);
    guaco__link_drop(&self->link);
    owe_all(self);
    pthread_mutex_unlock(&self->lock);
}

static int
write_listen(struct guaco__buf *out, const struct guaco__notice *notice,
             bool on)
{
    char bytes[GUACO__WIRE_NOTICE_MAX + 1];
    size_t start;

    bytes[0] = (char)on;
    size_t len = 1 + guaco__wire_put_notice(bytes + 1, notice);
    int rc = guaco__wire_begin(out, GUACO__WIRE_LISTEN, &start);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, bytes, len);
    return rc != GUACO_OK ? rc : guaco__wire_end(out, start, len);
}

/* Make `fresh` our link, and tell the keeper what we listen to before anybody
 * can listen to more.  `lock` is held. */
static int
adopt_link(struct remote_store *self, const struct guaco__link *fresh,
           uint64_t deadline_ns, struct guaco_error *err)
{
    struct epoll_event event = {.events = EPOLLIN};
    size_t at = 0;
    void *value;
    int rc = GUACO_OK;

    self->link.fd = fresh->fd;
    self->link.notice_fd = fresh->notice_fd;
    if (epoll_ctl(self->wait_fd, EPOLL_CTL_ADD, fresh->notice_fd, &event) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "memory: epoll");
    guaco__buf_reset(&self->out);
    while (rc == GUACO_OK && guaco__map_next(&self->topics, &at, NULL, &value))
        rc = write_listen(&self->out, &((struct topic *)value)->notice, true);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "memory: what is listened to");
    return guaco__link_send(&self->link, guaco__buf_slice(&self->out),
                            deadline_ns, err);
}

static int
ensure_link(struct remote_store *self, uint64_t deadline_ns,
            struct guaco_error *err)
{
    struct guaco__link fresh;

    if (self->link.fd >= 0)
        return GUACO_OK;
    guaco__link_init(&fresh);
    int rc = guaco__link_connect(&fresh, self->name, deadline_ns, err);
    guaco__buf_release(&fresh.in);
    if (rc != GUACO_OK)
        return rc;
    pthread_mutex_lock(&self->lock);
    rc = adopt_link(self, &fresh, deadline_ns, err);
    pthread_mutex_unlock(&self->lock);
    if (rc != GUACO_OK)
        drop_link(self);
    return rc;
}

/* ---- running ---- */

static unsigned
weight_of(const struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_CLAIM:
    case GUACO__OP_LIST:
    case GUACO__OP_KEY_LIST:
    case GUACO__OP_RECUR_LIST: return FRAME_WEIGHT;
    case GUACO__OP_KEY:
    case GUACO__OP_READ: return 1;
    case GUACO__OP_PUT:
    case GUACO__OP_FINISH:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_OPEN:
    case GUACO__OP_OWNER_RENEW:
    case GUACO__OP_OWNER_REAP:
    case GUACO__OP_OWNER_LIST:
    case GUACO__OP_PROMOTE:
    case GUACO__OP_SWEEP:
    case GUACO__OP_RECUR_SET:
    case GUACO__OP_TICK:
    case GUACO__OP_STATS:
    case GUACO__OP_PURGE:
    case GUACO__OP_REPLAY:
    case GUACO__OP_IDS:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_REVOKE:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: break;
    }
    return 0;
}

/* How many of ops[0..n) go into one frame: their inputs are appended to
 * `inputs`.  At least one. */
static int
write_ops(struct guaco__buf *inputs, struct guaco__op **ops, size_t n,
          size_t *count)
{
    unsigned weight = 0;

    for (*count = 0; *count < n; (*count)++) {
        const struct guaco__op *op = ops[*count];
        if (*count > 0 &&
            (weight + weight_of(op) > FRAME_WEIGHT || inputs->len > FRAME_SOFT))
            break;
        weight += weight_of(op);
        int rc = guaco__wire_put_op(inputs, op);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

static int
write_run(struct remote_store *self, struct guaco__op **ops, size_t n,
          size_t *count, struct guaco_error *err)
{
    struct guaco__buf *out = &self->out;
    char places[2];
    size_t start;

    if (out->room > KEEP_BYTES)
        guaco__buf_release(out);
    guaco__buf_reset(out);
    int rc = guaco__wire_begin(out, GUACO__WIRE_RUN, &start);
    /* The count stands first and is known last: a varint of two bytes, the
     * first with its mark that another follows. */
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, "\200\0", 2);
    if (rc == GUACO_OK)
        rc = write_ops(out, ops, n, count);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "memory: a request");
    places[0] = (char)(unsigned char)((*count & 0x7f) | 0x80);
    places[1] = (char)(*count >> 7);
    memcpy(guaco__buf_data(out) + start + GUACO__WIRE_HEAD_BYTES, places, 2);
    rc = guaco__wire_end(out, start, GUACO__WIRE_UP_MAX);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "memory: a request");
}

/* One frame and its answer. */
static int
run_some(struct remote_store *self, struct guaco__op **ops, size_t n,
         size_t *count, uint64_t deadline_ns, struct guaco_error *err)
{
    struct guaco_slice answer = {0};
    int rc = write_run(self, ops, n, count, err);

    if (rc != GUACO_OK)
        return rc; /* nothing was sent */
    pthread_mutex_lock(&self->lock);
    rc = guaco__link_send(&self->link, guaco__buf_slice(&self->out),
                          deadline_ns, err);
    pthread_mutex_unlock(&self->lock);
    if (rc == GUACO_OK)
        rc = guaco__link_receive(&self->link, GUACO__WIRE_ANSWER, deadline_ns,
                                 &answer, err);
    if (rc == GUACO_OK)
        rc = guaco__wire_get_answer(answer, ops, *count, err);
    /* After half an answer nothing that follows can be trusted. */
    if (rc != GUACO_OK)
        drop_link(self);
    return rc;
}

static int
run_all(struct remote_store *self, struct guaco__op **ops, size_t n,
        size_t *done, uint64_t deadline_ns, struct guaco_error *err)
{
    int rc = ensure_link(self, deadline_ns, err);

    while (rc == GUACO_OK && *done < n) {
        size_t count = 0;
        rc = run_some(self, ops + *done, n - *done, &count, deadline_ns, err);
        if (rc == GUACO_OK)
            *done += count;
    }
    return rc;
}

/*
 * Reads may meet the end of the keeper before it is known, and are asked once
 * more: the next one says what is lost.  Nothing is taken now, lest it be taken
 * twice: that a result was to be taken and is not lost is a failure, too.
 */
static int
read_again(struct remote_store *self, struct guaco__op **ops, size_t n,
           uint64_t deadline_ns)
{
    bool takes[GUACO__BATCH_OPS_MAX];
    size_t done = 0;

    for (size_t i = 0; i < n; i++) {
        if (ops[i]->kind != GUACO__OP_READ)
            return GUACO_E_UNSUPPORTED;
    }
    for (size_t i = 0; i < n; i++) {
        takes[i] = ops[i]->read.take;
        ops[i]->read.take = false;
    }
    int rc = run_all(self, ops, n, &done, deadline_ns, NULL);
    for (size_t i = 0; i < n; i++) {
        ops[i]->read.take = takes[i];
        if (rc == GUACO_OK && takes[i] && ops[i]->rc != GUACO_E_LOST)
            rc = GUACO_E_IO;
    }
    for (size_t i = 0; rc != GUACO_OK && i < n; i++)
        guaco__op_take_back(ops[i]);
    return rc;
}

/* What came before a failure has happened, so it is then told op by op. */
static int
remote_run(struct guaco__store *store, struct guaco__op **ops, size_t n,
           uint64_t deadline_ns, struct guaco_error *err)
{
    struct remote_store *self = self_of(store);
    size_t done = 0;

    pthread_mutex_lock(&self->talk);
    int rc = run_all(self, ops, n, &done, deadline_ns, err);
    if (rc == GUACO_E_IO &&
        read_again(self, ops + done, n - done, deadline_ns) == GUACO_OK)
        rc = GUACO_OK;
    pthread_mutex_unlock(&self->talk);
    if (rc == GUACO_OK || done == 0)
        return rc;
    for (; done < n; done++)
        ops[done]->rc = rc;
    return GUACO_OK;
}

static int64_t
remote_now_ms(const struct guaco__store *store)
{
    return guaco__clock_wall_ms(&((const struct remote_store *)store)->clock);
}

/* ---- wake-ups ---- */

/* Send what is in `frame`; `lock` is held.  Who waits for an answer finds the
 * end of a link that was shut down, and drops it. */
static void
send_aside(struct remote_store *self, const struct guaco__buf *frame)
{
    uint64_t deadline_ns = guaco__clock_mono_ns() + WAIT_MS * 1000000ull;

    if (self->link.fd >= 0 &&
        guaco__link_send(&self->link, guaco__buf_slice(frame), deadline_ns,
                         NULL) != GUACO_OK)
        guaco__link_shut(&self->link);
}

static int
remote_listen(struct guaco__store *store, const struct guaco__notice *notice,
              bool on, struct guaco_error *err)
{
    struct remote_store *self = self_of(store);
    struct guaco__buf frame;

    guaco__buf_init(&frame, 4096);
    int rc = write_listen(&frame, notice, on);
    pthread_mutex_lock(&self->lock);
    if (!on)
        drop_topic(self, notice);
    else if (rc == GUACO_OK)
        rc = add_topic(self, notice);
    if (rc == GUACO_OK)
        send_aside(self, &frame);
    pthread_mutex_unlock(&self->lock);
    guaco__buf_release(&frame);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "memory: to listen");
}

/* The keeper told everybody when it ran our ops.  Only what it told us and we
 * could not use goes back. */
static void
remote_ring(struct guaco__store *store, const struct guaco__notice *notice)
{
    struct remote_store *self = self_of(store);
    char bytes[GUACO__WIRE_NOTICE_MAX];
    struct guaco__buf frame;
    size_t start;

    if (notice->kind != GUACO__NOTICE_TASKS)
        return;
    guaco__buf_init(&frame, 4096);
    int rc = guaco__wire_begin(&frame, GUACO__WIRE_RING, &start);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(&frame, bytes,
                               guaco__wire_put_notice(bytes, notice));
    if (rc == GUACO_OK)
        rc = guaco__wire_end(&frame, start, sizeof bytes);
    pthread_mutex_lock(&self->lock);
    if (rc == GUACO_OK)
        send_aside(self, &frame);
    pthread_mutex_unlock(&self->lock);
    guaco__buf_release(&frame);
}

static int
remote_wait_fd(struct guaco__store *store)
{
    return self_of(store)->wait_fd;
}

static size_t
hear_owed(struct remote_store *self, struct guaco__notice *out, size_t max)
{
    struct guaco__list *link;
    uint64_t count;
    size_t n = 0;

    pthread_mutex_lock(&self->lock);
    while (n < max && (link = guaco__list_shift(&self->owed)) != NULL) {
        out[n] = GUACO__OF(link, struct topic, link)->notice;
        out[n].count = 1;
        out[n++].due_ms = 0;
    }
    if (guaco__list_is_empty(&self->owed))
        (void)!read(self->owed_fd, &count, sizeof count);
    pthread_mutex_unlock(&self->lock);
    return n;
}

/* The link was found dead.  Connect again at once: those who listen look by
 * themselves then, and an error that they meet is theirs. */
static void
renew_link(struct remote_store *self)
{
    pthread_mutex_lock(&self->talk);
    if (guaco__link_is_dead(&self->link)) /* nobody was faster */
        drop_link(self);
    (void)ensure_link(self, guaco__clock_mono_ns() + WAIT_MS * 1000000ull,
                      NULL);
    pthread_mutex_unlock(&self->talk);
}

static size_t
remote_hear(struct guaco__store *store, struct guaco__notice *out, size_t max)
{
    struct remote_store *self = self_of(store);
    size_t n = 0;
    int rc = GUACO_OK;

    pthread_mutex_lock(&self->lock);
    while (n < max && (rc = guaco__link_hear(&self->link, &out[n])) == GUACO_OK)
        n++;
    pthread_mutex_unlock(&self->lock);
    if (rc != GUACO_OK && rc != GUACO_E_AGAIN)
        renew_link(self);
    return n + hear_owed(self, out + n, max - n);
}

/* ---- life ---- */

static void
remote_close(struct guaco__store *store)
{
    struct remote_store *self = self_of(store);
    size_t at = 0;
    void *topic;

    guaco__link_release(&self->link);
    while (guaco__map_next(&self->topics, &at, NULL, &topic))
        free(topic);
    guaco__map_release(&self->topics);
    guaco__buf_release(&self->out);
    if (self->owed_fd >= 0)
        close(self->owed_fd);
    if (self->wait_fd >= 0)
        close(self->wait_fd);
    guaco__clock_close(&self->clock);
    pthread_mutex_destroy(&self->talk);
    pthread_mutex_destroy(&self->lock);
}

static int
open_fds(struct remote_store *self, struct guaco_error *err)
{
    struct epoll_event event = {.events = EPOLLIN};

    self->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    self->owed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wait_fd >= 0 && self->owed_fd >= 0 &&
        epoll_ctl(self->wait_fd, EPOLL_CTL_ADD, self->owed_fd, &event) == 0)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_IO, errno, "memory: descriptors");
}

static int
remote_open(struct guaco__store *store, const char *rest,
            struct guaco_error *err)
{
    struct remote_store *self = self_of(store);
    const char *name = getenv(GUACO__MEMORY_SOCKET);

    if (*rest != '\0')
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "memory: takes nothing behind it, not '%s'", rest);
    if (name == NULL || strlen(name) >= sizeof self->name)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s: no socket's name",
                          GUACO__MEMORY_SOCKET);
    memcpy(self->name, name, strlen(name) + 1);
    store->wait_ms = WAIT_MS;
    guaco__link_init(&self->link);
    guaco__buf_init(&self->out, GUACO__WIRE_UP_MAX + (1u << 20));
    guaco__map_init(&self->topics, TOPICS_MAX);
    guaco__list_init(&self->owed);
    pthread_mutex_init(&self->talk, NULL);
    pthread_mutex_init(&self->lock, NULL);
    self->wait_fd = self->owed_fd = -1;
    int rc = guaco__clock_open(&self->clock, NULL, err);
    if (rc == GUACO_OK)
        rc = open_fds(self, err);
    if (rc == GUACO_OK)
        rc = ensure_link(self, guaco__clock_mono_ns() + WAIT_MS * 1000000ull,
                         err);
    if (rc != GUACO_OK)
        remote_close(store);
    return rc;
}

/* A forked child's copies of the descriptors do no harm: it never uses them,
 * and the keeper knows by our pid when we are gone. */
static void
remote_pause(struct guaco__store *store)
{
    (void)store;
}

const struct guaco__store_ops guaco__store_remote = {
    .has_rules = true,
    .scheme = "memory",
    .size = sizeof(struct remote_store),
    .open = remote_open,
    .close = remote_close,
    .pause = remote_pause,
    .resume = remote_pause,
    .run = remote_run,
    .run_using = guaco__store_no_using,
    .now_ms = remote_now_ms,
    .listen = remote_listen,
    .ring = remote_ring,
    .wait_fd = remote_wait_fd,
    .hear = remote_hear,
};
