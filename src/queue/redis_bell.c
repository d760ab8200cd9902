/* Being told and telling others: see redis_int.h. */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "redis_int.h"

#define TOPICS_MAX  65536u
#define ASIDES_MAX  4096u /* before the server is told of all topics instead */
#define ASIDES_ONCE 64u   /* told by one command */
#define ASIDE_MS    1000u /* to send them */
#define EAR_MS      2000u /* to have the ear again, before the next pause */
#define MESSAGE_MAX 100u

static struct redis_store *
self_of(struct guaco__store *store)
{
    assert(store->ops->run == guaco__redis_run);
    return (struct redis_store *)store;
}

static uint64_t
in_ms(uint64_t ms)
{
    return guaco__clock_mono_ns() + ms * 1000000u;
}

/* ---- asides ---- */

static void
free_asides(struct guaco__list *list)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(list)) != NULL)
        free(GUACO__OF(link, struct redis_aside, link));
}

/* `lock` is held.  Too many, or no memory: the server is told of everything
 * that is listened to instead, and one that should have been woken looks by
 * itself then, as we do. */
static void
add_aside(struct redis_store *self, const struct guaco__notice *notice,
          char what)
{
    struct redis_aside *aside =
        self->to_tell_count < ASIDES_MAX ? malloc(sizeof *aside) : NULL;

    if (aside == NULL) {
        self->is_unsynced = true;
        return;
    }
    guaco__list_init(&aside->link);
    aside->notice = *notice;
    aside->what = what;
    aside->is_last = false;
    guaco__list_push(&self->to_tell, &aside->link);
    self->to_tell_count++;
}

/* The three arguments of one. */
static int
write_aside(struct guaco__buf *out, const struct guaco__notice *notice,
            char what)
{
    char text[REDIS_TOPIC_BYTES] = "";
    const char *of = text;
    const char *kind = "K";

    if (notice->kind == GUACO__NOTICE_TASKS) {
        kind = "T";
        of = notice->queue;
    } else if (notice->kind == GUACO__NOTICE_TASK) {
        kind = "N";
        guaco__redis_topic_name(notice->id, text);
    } else if (notice->due_ms == INT64_MAX) {
        of = "+inf";
    } else {
        (void)snprintf(text, sizeof text, "%" PRId64, notice->due_ms);
    }
    int rc = guaco__redis_text(out, kind);
    if (rc == GUACO_OK)
        rc = guaco__redis_arg(out, (struct guaco_slice){&what, 1});
    return rc != GUACO_OK ? rc : guaco__redis_text(out, of);
}

/* Up to ASIDES_ONCE of them in one command. */
static int
write_some(struct redis_store *self)
{
    size_t n =
        self->to_tell_count < ASIDES_ONCE ? self->to_tell_count : ASIDES_ONCE;
    int rc = self->server->begin_asides(self, n);

    for (size_t i = 0; i < n; i++) {
        struct guaco__list *link = guaco__list_shift(&self->to_tell);
        struct redis_aside *aside = GUACO__OF(link, struct redis_aside, link);
        self->to_tell_count--;
        aside->is_last = i + 1 == n;
        guaco__list_push(&self->told, link);
        if (rc == GUACO_OK)
            rc = write_aside(&self->out, &aside->notice, aside->what);
    }
    return rc;
}

/* All that is listened to becomes asides, before those that are there. */
static void
sync_topics(struct redis_store *self)
{
    struct guaco__list rest;
    size_t at = 0;
    void *value;

    guaco__list_init(&rest);
    guaco__list_splice(&rest, &self->to_tell);
    self->to_tell_count = 0;
    self->is_unsynced = false;
    while (guaco__map_next(&self->topics, &at, NULL, &value)) {
        struct redis_aside *aside = malloc(sizeof *aside);
        if (aside == NULL) {
            self->is_unsynced = true; /* the next one tries again */
            break;
        }
        guaco__list_init(&aside->link);
        aside->notice = ((struct redis_topic *)value)->notice;
        aside->what = '+';
        guaco__list_push(&self->to_tell, &aside->link);
        self->to_tell_count++;
    }
    for (const struct guaco__list *l = rest.next; l != &rest; l = l->next)
        self->to_tell_count++;
    guaco__list_splice(&self->to_tell, &rest);
}

int
guaco__redis_bell_write(struct redis_store *self)
{
    int rc = GUACO_OK;

    pthread_mutex_lock(&self->lock);
    if (self->is_unsynced)
        sync_topics(self);
    while (rc == GUACO_OK && self->to_tell_count > 0)
        rc = write_some(self);
    pthread_mutex_unlock(&self->lock);
    return rc;
}

void
guaco__redis_bell_settle(struct redis_store *self)
{
    struct guaco__list *link;
    bool is_last = false;

    while (!is_last && (link = guaco__list_shift(&self->told)) != NULL) {
        struct redis_aside *aside = GUACO__OF(link, struct redis_aside, link);
        is_last = aside->is_last;
        free(aside);
    }
}

/* Whether it got what it was told is not known: wakes are told again, and of
 * what is listened to it is told all. */
void
guaco__redis_bell_lost(struct redis_store *self)
{
    struct guaco__list again;
    struct guaco__list *link;

    guaco__list_init(&again);
    pthread_mutex_lock(&self->lock);
    guaco__list_splice(&self->told, &self->to_tell);
    self->to_tell_count = 0;
    while ((link = guaco__list_shift(&self->told)) != NULL) {
        struct redis_aside *aside = GUACO__OF(link, struct redis_aside, link);
        if (aside->what != '!') {
            free(aside);
            continue;
        }
        aside->is_last = false;
        guaco__list_push(&again, link);
        self->to_tell_count++;
    }
    guaco__list_splice(&self->to_tell, &again);
    self->is_unsynced = true;
    pthread_mutex_unlock(&self->lock);
}

static bool
has_asides(struct redis_store *self)
{
    pthread_mutex_lock(&self->lock);
    bool has = self->to_tell_count > 0 || self->is_unsynced;
    pthread_mutex_unlock(&self->lock);
    return has;
}

/* `talk` is held.  Without a connection the next batch, or the hub's thread,
 * tells it. */
static void
send_asides(struct redis_store *self)
{
    if (self->link.conn.fd < 0)
        return;
    guaco__buf_reset(&self->out);
    if (guaco__redis_bell_write(self) != GUACO_OK ||
        self->server->tell(self, in_ms(ASIDE_MS)) != GUACO_OK)
        guaco__redis_drop(self);
}

void
guaco__redis_bell_flush(struct redis_store *self)
{
    /* Who talks looks again when he is done, so that nothing lies about. */
    while (has_asides(self) && pthread_mutex_trylock(&self->talk) == 0) {
        bool is_up = self->link.conn.fd >= 0;
        send_asides(self);
        pthread_mutex_unlock(&self->talk);
        if (!is_up)
            return;
    }
}

/* ---- what the script did ---- */

void
guaco__redis_bell_hungry(struct redis_store *self, char *out)
{
    size_t len = 0;

    pthread_mutex_lock(&self->lock);
    const struct guaco__list *head = &self->hungry;
    for (const struct guaco__list *l = head->next; l != head; l = l->next) {
        const struct redis_topic *topic =
            GUACO__OF(l, struct redis_topic, link);
        size_t n = strlen(topic->notice.queue);
        if (len + n + 3 > REDIS_HUNGRY_BYTES)
            break;
        if (len == 0)
            out[len++] = ',';
        memcpy(out + len, topic->notice.queue, n);
        len += n;
        out[len++] = ',';
    }
    pthread_mutex_unlock(&self->lock);
    out[len] = '\0';
}

void
guaco__redis_bell_rang(struct redis_store *self, struct guaco_slice queue)
{
    assert(queue.len <= GUACO_QUEUE_NAME_MAX);
    pthread_mutex_lock(&self->lock);
    if (self->rang_count < GUACO__QUEUES_MAX) {
        char *name = self->rang[self->rang_count++];
        memcpy(name, queue.at, queue.len);
        name[queue.len] = '\0';
    }
    pthread_mutex_unlock(&self->lock);
}

void
guaco__redis_bell_reset(struct redis_store *self)
{
    pthread_mutex_lock(&self->lock);
    self->rang_count = 0;
    pthread_mutex_unlock(&self->lock);
}

/* Whether the script did what a ring of the front would do; used up. */
static bool
take_rang(struct redis_store *self, const char *queue)
{
    for (size_t i = 0; i < self->rang_count; i++)
        if (strcmp(self->rang[i], queue) == 0) {
            self->rang_count--;
            memmove(self->rang[i], self->rang[self->rang_count],
                    sizeof self->rang[i]);
            return true;
        }
    return false;
}

/* The script told who watches tasks, and the keepers. */
void
guaco__redis_ring(struct guaco__store *store,
                  const struct guaco__notice *notice)
{
    struct redis_store *self = self_of(store);

    if (notice->kind != GUACO__NOTICE_TASKS)
        return;
    pthread_mutex_lock(&self->lock);
    bool is_done = take_rang(self, notice->queue);
    if (!is_done)
        for (uint32_t i = 0; i < notice->count && i < ASIDES_ONCE; i++)
            add_aside(self, notice, '!');
    pthread_mutex_unlock(&self->lock);
    if (!is_done)
        guaco__redis_bell_flush(self);
}

/* ---- the ear; `hearing` is held ---- */

static int
watch_fd(const struct redis_store *self, int fd, uint32_t events,
         enum redis_event what)
{
    struct epoll_event event = {.events = events, .data.u32 = what};

    return epoll_ctl(self->wait_fd, EPOLL_CTL_ADD, fd, &event);
}

/* A forked child may hold a copy of it, so closing alone would not end it. */
static void
drop_ear(struct redis_store *self)
{
    if (self->ear.conn.fd >= 0)
        (void)epoll_ctl(self->wait_fd, EPOLL_CTL_DEL, self->ear.conn.fd, NULL);
    self->server->close_ear(self);
}

static void
arm_timer(struct redis_store *self)
{
    uint32_t ms = guaco__backoff_step(&self->ear_backoff);
    const struct itimerspec when = {
        .it_value = {ms / 1000, (long)(ms % 1000) * 1000000 + 1}};

    (void)timerfd_settime(self->timer_fd, 0, &when, NULL);
}

static bool
is_unwanted(struct redis_store *self)
{
    pthread_mutex_lock(&self->lock);
    bool is = self->is_paused;
    pthread_mutex_unlock(&self->lock);
    return is || !self->has_ear;
}

/* At the server at which the other connection is. */
static int
open_ear(struct redis_store *self, uint64_t deadline_ns,
         struct guaco_error *err)
{
    pthread_mutex_lock(&self->talk);
    int rc = guaco__redis_ensure(self, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = self->server->open_ear(self, deadline_ns, err);
    pthread_mutex_unlock(&self->talk);
    if (rc != GUACO_OK)
        return rc;
    return watch_fd(self, self->ear.conn.fd, EPOLLIN, REDIS_EAR) == 0
               ? GUACO_OK
               : guaco_fail(err, GUACO_E_IO, errno, "redis: epoll");
}

/* Have an ear, or try again later.  A new one may have missed something. */
static void
ensure_ear(struct redis_store *self)
{
    pthread_mutex_lock(&self->lock);
    bool is_stale = self->is_ear_stale;
    self->is_ear_stale = false;
    pthread_mutex_unlock(&self->lock);
    if (is_stale)
        drop_ear(self);
    if (self->ear.conn.fd >= 0 || is_unwanted(self))
        return;
    if (open_ear(self, in_ms(EAR_MS), NULL) != GUACO_OK) {
        drop_ear(self);
        arm_timer(self);
        return;
    }
    self->ear_backoff = (struct guaco__backoff){0};
    pthread_mutex_lock(&self->lock);
    self->is_unsynced = true;
    self->is_ear_stale = false;
    pthread_mutex_unlock(&self->lock);
    guaco__redis_bell_flush(self);
    guaco__redis_bell_owe(self);
}

/* ---- hearing ---- */

/* A topic that its notice used up. */
static void
use_up(struct redis_store *self, const struct guaco__notice *notice)
{
    if (notice->kind != GUACO__NOTICE_TASKS)
        return;
    pthread_mutex_lock(&self->lock);
    guaco__redis_topic_drop(self, notice);
    pthread_mutex_unlock(&self->lock);
}

/* "TQUEUE", "NID", "KDUE".  False when it is none of them. */
static bool
read_message(struct guaco_slice text, struct guaco__notice *notice)
{
    int64_t number;

    *notice = (struct guaco__notice){.count = 1};
    if (text.len < 2 || text.len > MESSAGE_MAX)
        return false;
    char kind = *text.at;
    text.at++;
    text.len--;
    if (kind == 'T' && text.len <= GUACO_QUEUE_NAME_MAX) {
        notice->kind = GUACO__NOTICE_TASKS;
        memcpy(notice->queue, text.at, text.len);
        return memchr(text.at, '\0', text.len) == NULL;
    }
    notice->kind = kind == 'N' ? GUACO__NOTICE_TASK : GUACO__NOTICE_KEEPER;
    if (kind == 'N')
        return guaco__redis_topic_read(text, &notice->id);
    if (kind != 'K' || !guaco__text_number(&text, 0, INT64_MAX, &number))
        return false;
    notice->due_ms = number;
    return true;
}

/* One that is there already: 0, GUACO_E_AGAIN, or the ear's end. */
static int
hear_one(struct redis_store *self, struct guaco__notice *notice)
{
    struct guaco_slice text;

    for (;;) {
        int rc = self->server->hear(self, &text);
        if (rc != GUACO_OK)
            return rc;
        if (read_message(text, notice)) {
            use_up(self, notice);
            return GUACO_OK;
        }
    }
}

static size_t
hear_ear(struct redis_store *self, struct guaco__notice *out, size_t max)
{
    size_t n = 0;
    int rc = GUACO_OK;

    if (self->ear.conn.fd < 0)
        return 0;
    while (n < max && (rc = hear_one(self, &out[n])) == GUACO_OK)
        n++;
    if (rc == GUACO_OK)
        guaco__redis_kick(
            self); /* there may be more, where no descriptor shows it */
    else if (rc != GUACO_E_AGAIN)
        drop_ear(self);
    return n;
}

static size_t
hear_owed(struct redis_store *self, struct guaco__notice *out, size_t max)
{
    struct guaco__list *link;
    size_t n = 0;

    pthread_mutex_lock(&self->lock);
    while (n < max && (link = guaco__list_shift(&self->owed)) != NULL) {
        struct redis_topic *topic = GUACO__OF(link, struct redis_topic, owed);
        out[n] = topic->notice;
        out[n].count = 1;
        out[n++].due_ms = 0;
        if (topic->is_mapped && topic->notice.kind == GUACO__NOTICE_TASKS)
            guaco__redis_topic_unmap(self, topic);
        if (!topic->is_mapped)
            free(topic);
    }
    bool is_more = !guaco__list_is_empty(&self->owed);
    pthread_mutex_unlock(&self->lock);
    if (is_more)
        guaco__redis_kick(self);
    return n;
}

/* Take what made wait_fd readable, but for the ear's bytes. */
static void
take_events(struct redis_store *self, bool *link_ended)
{
    struct epoll_event events[4];
    uint64_t count;
    int n = epoll_wait(self->wait_fd, events, 4, 0);

    *link_ended = false;
    for (int i = 0; i < n; i++) {
        if (events[i].data.u32 == REDIS_OWED)
            (void)!read(self->owed_fd, &count, sizeof count);
        else if (events[i].data.u32 == REDIS_TIMER)
            (void)!read(self->timer_fd, &count, sizeof count);
        else if (events[i].data.u32 == REDIS_LINK)
            *link_ended = true;
    }
}

/* The other connection ended while nobody used it: have it again, so that what
 * the server did not get is told. */
static void
renew_link(struct redis_store *self)
{
    if (pthread_mutex_trylock(&self->talk) != 0)
        return; /* who talks will notice */
    if (guaco__redis_link_is_dead(&self->link))
        guaco__redis_drop(self);
    bool is_up = guaco__redis_ensure(self, in_ms(EAR_MS), NULL) == GUACO_OK;
    pthread_mutex_unlock(&self->talk);
    if (is_up)
        guaco__redis_bell_flush(self);
}

size_t
guaco__redis_hear(struct guaco__store *store, struct guaco__notice *out,
                  size_t max)
{
    struct redis_store *self = self_of(store);
    bool link_ended;
    size_t n = 0;

    guaco__redis_bell_reset(self); /* what is passed on now is news */
    pthread_mutex_lock(&self->hearing);
    take_events(self, &link_ended);
    if (!is_unwanted(self)) {
        n = hear_ear(self, out, max);
        ensure_ear(self);
        if (link_ended)
            renew_link(self);
    }
    pthread_mutex_unlock(&self->hearing);
    return n + hear_owed(self, out + n, max - n);
}

int
guaco__redis_wait_fd(struct guaco__store *store)
{
    return self_of(store)->wait_fd;
}

/* The first to listen has the ear opened.  When that fails it is tried again
 * later, and all are woken then. */
static void
want_ear(struct redis_store *self)
{
    pthread_mutex_lock(&self->hearing);
    if (!self->has_ear) {
        self->has_ear = true;
        ensure_ear(self);
    }
    pthread_mutex_unlock(&self->hearing);
}

int
guaco__redis_listen(struct guaco__store *store,
                    const struct guaco__notice *notice, bool on,
                    struct guaco_error *err)
{
    struct redis_store *self = self_of(store);
    int rc = GUACO_OK;

    if (on)
        want_ear(self);
    pthread_mutex_lock(&self->lock);
    if (on)
        rc = guaco__redis_topic_add(self, notice);
    else
        guaco__redis_topic_drop(self, notice);
    if (rc == GUACO_OK)
        add_aside(self, notice, on ? '+' : '-');
    pthread_mutex_unlock(&self->lock);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "redis: to listen");
    guaco__redis_bell_flush(self);
    return rc;
}

/* ---- life ---- */

void
guaco__redis_pause(struct guaco__store *store)
{
    struct redis_store *self = self_of(store);

    pthread_mutex_lock(&self->lock);
    self->is_paused = true;
    pthread_mutex_unlock(&self->lock);
    pthread_mutex_lock(&self->hearing);
    pthread_mutex_lock(&self->talk);
    drop_ear(self);
    guaco__redis_drop(self);
    pthread_mutex_unlock(&self->talk);
    pthread_mutex_unlock(&self->hearing);
}

void
guaco__redis_resume(struct guaco__store *store)
{
    struct redis_store *self = self_of(store);

    pthread_mutex_lock(&self->lock);
    self->is_paused = false;
    pthread_mutex_unlock(&self->lock);
    guaco__redis_kick(self);
}

int
guaco__redis_bell_open(struct redis_store *self, struct guaco_error *err)
{
    guaco__map_init(&self->topics, TOPICS_MAX);
    guaco__list_init(&self->hungry);
    guaco__list_init(&self->owed);
    guaco__list_init(&self->to_tell);
    guaco__list_init(&self->told);
    guaco__redis_link_init(&self->ear);
    self->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    self->owed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->timer_fd =
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->wait_fd >= 0 && self->owed_fd >= 0 && self->timer_fd >= 0 &&
        watch_fd(self, self->owed_fd, EPOLLIN, REDIS_OWED) == 0 &&
        watch_fd(self, self->timer_fd, EPOLLIN, REDIS_TIMER) == 0)
        return GUACO_OK;
    return guaco_fail(err, GUACO_E_IO, errno, "redis: descriptors");
}

void
guaco__redis_bell_close(struct redis_store *self)
{
    struct guaco__list *link;
    size_t at = 0;
    void *value;

    drop_ear(self);
    while ((link = guaco__list_shift(&self->owed)) != NULL) {
        struct redis_topic *topic = GUACO__OF(link, struct redis_topic, owed);
        if (!topic->is_mapped)
            free(topic);
    }
    while (guaco__map_next(&self->topics, &at, NULL, &value))
        free(value);
    guaco__map_release(&self->topics);
    free_asides(&self->to_tell);
    free_asides(&self->told);
    const int fds[] = {self->wait_fd, self->owed_fd, self->timer_fd};
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}
