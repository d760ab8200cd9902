#include "bell.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wakeboard.h"
#include "os/clock.h"

#define TARGETS_MAX GUACO__BELL_SLOTS

/* ---- life ---- */

static int
open_folder(const char *path, const struct stat *st, int *dir_fd,
            struct guaco_error *err)
{
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof folder, "%s-wake", path);

    if (len < 0 || (size_t)len >= sizeof folder)
        return guaco_fail(err, GUACO_E_INVALID, ENAMETOOLONG, "%s", path);
    /* Whoever may write the data may use the bell. */
    mode_t mode = 0700 | ((st->st_mode & S_IWGRP) != 0 ? 0070 : 0);
    if (mkdir(folder, mode) != 0 && errno != EEXIST)
        return guaco_fail(err, GUACO_E_IO, errno, "make %s", folder);
    *dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*dir_fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "open %s", folder);
    return GUACO_OK;
}

int
guaco__bell_open(struct guaco__bell *bell, const char *path,
                 struct guaco_error *err)
{
    struct stat st;

    *bell = (struct guaco__bell){
        .dir_fd = -1, .sender = -1, .socket = -1, .slot = -1};
    if (stat(path, &st) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "%s", path);
    int rc = open_folder(path, &st, &bell->dir_fd, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__wakeboard_map(bell->dir_fd, st.st_dev, st.st_ino, &bell->board,
                              err);
    if (rc != GUACO_OK) {
        close(bell->dir_fd);
        return rc;
    }
    bell->sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bell->sender < 0) {
        rc = guaco_fail(err, GUACO_E_IO, errno, "a socket to wake others by");
        guaco__wakeboard_unmap(bell->board);
        close(bell->dir_fd);
        return rc;
    }
    pthread_mutex_init(&bell->lock, NULL);
    return GUACO_OK;
}

/* Sockets are named by slot and nonce: a name is never used twice. */
static void
name_of(char *out, size_t size, unsigned slot, uint32_t nonce)
{
    (void)snprintf(out, size, "%u.%u", slot, nonce);
}

/* The folder's path may be longer than a socket's name may be. */
static struct sockaddr_un
address_of(const struct guaco__bell *bell, unsigned slot, uint32_t nonce)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof address.sun_path,
                   "/proc/self/fd/%d/%u.%u", bell->dir_fd, slot, nonce);
    return address;
}

static void
leave_slot(struct guaco__bell *bell)
{
    char name[32];

    guaco__wakeboard_lock(bell->board);
    if (bell->board->slots[bell->slot].nonce == bell->nonce)
        guaco__wakeboard_free_slot(bell->board, (unsigned)bell->slot);
    guaco__wakeboard_unlock(bell->board);
    name_of(name, sizeof name, (unsigned)bell->slot, bell->nonce);
    (void)unlinkat(bell->dir_fd, name, 0);
    bell->slot = -1;
}

void
guaco__bell_close(struct guaco__bell *bell)
{
    if (bell->slot >= 0)
        leave_slot(bell);
    if (bell->socket >= 0)
        close(bell->socket);
    close(bell->sender);
    guaco__wakeboard_unmap(bell->board);
    close(bell->dir_fd);
    pthread_mutex_destroy(&bell->lock);
}

/* ---- the commit lock ---- */

static int
wait_for_commit(struct guaco__bell *bell, uint64_t deadline_ns)
{
    /* The mutex waits by the wall clock; unshifted, since it is the kernel's. */
    const struct guaco_clock kernels = {0};
    uint64_t now_ns = guaco__clock_mono_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    uint64_t end_ns = (uint64_t)guaco__clock_wall_ns(&kernels) + left_ns;
    struct timespec end = {(time_t)(end_ns / 1000000000u),
                           (long)(end_ns % 1000000000u)};

    return pthread_mutex_timedlock(&bell->board->commit, &end);
}

int
guaco__bell_lock(struct guaco__bell *bell, uint64_t deadline_ns,
                 struct guaco_error *err)
{
    int rc = pthread_mutex_trylock(&bell->board->commit);

    if (rc == EBUSY)
        rc = wait_for_commit(bell, deadline_ns);
    if (rc == EOWNERDEAD) {
        /* SQLite itself rolls back what it had begun; ids that it had reserved
         * are read again from the file. */
        bell->board->limit_id = 0;
        rc = pthread_mutex_consistent(&bell->board->commit);
    }
    if (rc == ETIMEDOUT)
        return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                          "the store was busy all the time");
    if (rc != 0)
        return guaco_fail(err, GUACO_E_IO, rc, "the store's lock");
    return GUACO_OK;
}

void
guaco__bell_unlock(struct guaco__bell *bell)
{
    int rc = pthread_mutex_unlock(&bell->board->commit);
    assert(rc == 0);
    (void)rc;
}

uint64_t *
guaco__bell_next_id(struct guaco__bell *bell)
{
    return &bell->board->next_id;
}

uint64_t *
guaco__bell_limit_id(struct guaco__bell *bell)
{
    return &bell->board->limit_id;
}

/* ---- listening ---- */

/* Slots whose process is gone are found out by the socket that refuses. */
static void
free_dead_slots(struct guaco__bell *bell)
{
    struct guaco__wakeboard *board = bell->board;
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (unsigned i = 0; probe >= 0 && i < GUACO__BELL_SLOTS; i++) {
        uint32_t nonce = board->slots[i].nonce;
        struct sockaddr_un to = address_of(bell, i, nonce);
        char name[32];

        if (nonce == 0 ||
            connect(probe, (struct sockaddr *)&to, sizeof to) == 0 ||
            (errno != ECONNREFUSED && errno != ENOENT))
            continue;
        guaco__wakeboard_free_slot(board, i);
        name_of(name, sizeof name, i, nonce);
        (void)unlinkat(bell->dir_fd, name, 0);
    }
    if (probe >= 0)
        close(probe);
}

static int
enter_slot(struct guaco__bell *bell, struct guaco_error *err)
{
    struct guaco__wakeboard *board = bell->board;
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "a wake socket");

    guaco__wakeboard_lock(board);
    int slot = guaco__wakeboard_take_slot(board, &bell->nonce);
    if (slot < 0) {
        free_dead_slots(bell);
        slot = guaco__wakeboard_take_slot(board, &bell->nonce);
    }
    int rc = 0;
    if (slot >= 0) {
        struct sockaddr_un own = address_of(bell, (unsigned)slot, bell->nonce);
        rc = bind(sock, (struct sockaddr *)&own, sizeof own) == 0 ? 0 : errno;
        if (rc != 0)
            guaco__wakeboard_free_slot(board, (unsigned)slot);
    }
    guaco__wakeboard_unlock(board);

    if (slot < 0 || rc != 0)
        close(sock);
    if (slot < 0)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "%u processes listen to this store already",
                          GUACO__BELL_SLOTS);
    if (rc != 0)
        return guaco_fail(err, GUACO_E_IO, rc, "bind a wake socket");
    bell->socket = sock;
    bell->slot = slot;
    return GUACO_OK;
}

static int
ensure_slot(struct guaco__bell *bell, struct guaco_error *err)
{
    pthread_mutex_lock(&bell->lock);
    int rc = bell->slot >= 0 ? GUACO_OK : enter_slot(bell, err);
    pthread_mutex_unlock(&bell->lock);
    return rc;
}

int
guaco__bell_fd(struct guaco__bell *bell)
{
    return ensure_slot(bell, NULL) == GUACO_OK ? bell->socket : -1;
}

int
guaco__bell_listen(struct guaco__bell *bell, const struct guaco__notice *notice,
                   bool on, struct guaco_error *err)
{
    int rc = ensure_slot(bell, err);
    if (rc != GUACO_OK)
        return rc;
    struct guaco__wakeboard *board = bell->board;
    unsigned slot = (unsigned)bell->slot;

    guaco__wakeboard_lock(board);
    switch (notice->kind) {
    case GUACO__NOTICE_TASKS:
        guaco__wakeboard_hunger(board, slot, notice->queue, on);
        break;
    case GUACO__NOTICE_TASK:
        guaco__wakeboard_watch(board, slot, notice->id, on);
        break;
    case GUACO__NOTICE_KEEPER:
        guaco__wakeboard_keep(board, slot, on, notice->due_ms);
        break;
    }
    guaco__wakeboard_unlock(board);
    return GUACO_OK;
}

/* ---- ringing ---- */

struct target {
    unsigned slot;
    uint32_t nonce;
};

struct targets {
    struct target at[TARGETS_MAX];
    unsigned n;
};

static void
aim(struct targets *targets, const struct guaco__wakeboard *board,
    unsigned slot)
{
    for (unsigned i = 0; i < targets->n; i++)
        if (targets->at[i].slot == slot)
            return;
    if (targets->n < TARGETS_MAX)
        targets->at[targets->n++] =
            (struct target){slot, board->slots[slot].nonce};
}

static void
aim_at_watchers(struct targets *targets, const struct guaco__wakeboard *board,
                unsigned self, uint64_t id)
{
    const struct board_watch *set = board->watches[id % BOARD_SETS];

    for (unsigned i = 0; i < BOARD_WAYS; i++)
        if (set[i].id == id && set[i].slot < GUACO__BELL_SLOTS &&
            set[i].slot != self)
            aim(targets, board, set[i].slot);
    for (unsigned i = 0; i < GUACO__BELL_SLOTS; i++)
        if (board->slots[i].watches_all && i != self)
            aim(targets, board, i);
}

static void
aim_at_keepers(struct targets *targets, const struct guaco__wakeboard *board,
               unsigned self, int64_t due_ms)
{
    for (unsigned i = 0; i < GUACO__BELL_SLOTS; i++)
        if (board->slots[i].is_keeper && i != self &&
            board->slots[i].keeper_ms > due_ms)
            aim(targets, board, i);
}

static void
aim_at_idle(struct targets *targets, struct guaco__wakeboard *board,
            unsigned self, const struct guaco__notice *notice)
{
    for (uint32_t i = 0; i < notice->count; i++) {
        int slot = guaco__wakeboard_next_idle(board, self, notice->queue);
        if (slot < 0)
            break;
        aim(targets, board, (unsigned)slot);
    }
}

static bool
is_anyone(struct guaco__wakeboard *board, const struct guaco__notice *notice)
{
    switch (notice->kind) {
    case GUACO__NOTICE_TASKS: return atomic_load(&board->hungry_count) > 0;
    case GUACO__NOTICE_TASK: return atomic_load(&board->watch_count) > 0;
    case GUACO__NOTICE_KEEPER: break;
    }
    return atomic_load(&board->keeper_count) > 0;
}

/* false if there is nobody at that address any more. */
static bool
send_to(struct guaco__bell *bell, const struct target *target,
        const struct guaco__notice *notice)
{
    struct sockaddr_un to = address_of(bell, target->slot, target->nonce);

    /* A full buffer means that it has enough to wake up for. */
    return sendto(bell->sender, notice, sizeof *notice,
                  MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
                  sizeof to) >= 0 ||
           (errno != ECONNREFUSED && errno != ENOENT);
}

static void
bury(struct guaco__bell *bell, const struct target *target)
{
    char name[32];

    guaco__wakeboard_lock(bell->board);
    if (bell->board->slots[target->slot].nonce == target->nonce)
        guaco__wakeboard_free_slot(bell->board, target->slot);
    guaco__wakeboard_unlock(bell->board);
    name_of(name, sizeof name, target->slot, target->nonce);
    (void)unlinkat(bell->dir_fd, name, 0);
}

void
guaco__bell_ring(struct guaco__bell *bell, const struct guaco__notice *notice)
{
    struct guaco__wakeboard *board = bell->board;
    unsigned self = bell->slot >= 0 ? (unsigned)bell->slot : BOARD_NO_SLOT;
    struct guaco__notice left = *notice;

    /* Again for those who turned out to be dead. */
    for (unsigned round = 0; round < 8 && is_anyone(board, &left); round++) {
        struct targets targets = {.n = 0};
        uint32_t missed = 0;

        guaco__wakeboard_lock(board);
        switch (left.kind) {
        case GUACO__NOTICE_TASKS:
            aim_at_idle(&targets, board, self, &left);
            break;
        case GUACO__NOTICE_TASK:
            aim_at_watchers(&targets, board, self, left.id);
            break;
        case GUACO__NOTICE_KEEPER:
            aim_at_keepers(&targets, board, self, left.due_ms);
            break;
        }
        guaco__wakeboard_unlock(board);
        for (unsigned i = 0; i < targets.n; i++) {
            struct guaco__notice one = left;
            one.count = 1;
            if (!send_to(bell, &targets.at[i], &one)) {
                bury(bell, &targets.at[i]);
                missed++;
            }
        }
        if (missed == 0 || left.kind != GUACO__NOTICE_TASKS)
            return;
        left.count = missed;
    }
}

/* ---- hearing ---- */

static bool
is_sound(const struct guaco__notice *notice, ssize_t len)
{
    return len == (ssize_t)sizeof *notice &&
           (notice->kind == GUACO__NOTICE_TASKS ||
            notice->kind == GUACO__NOTICE_TASK ||
            notice->kind == GUACO__NOTICE_KEEPER) &&
           memchr(notice->queue, '\0', sizeof notice->queue) != NULL;
}

size_t
guaco__bell_hear(struct guaco__bell *bell, struct guaco__notice *out,
                 size_t max)
{
    size_t n = 0;

    while (n < max) {
        ssize_t len = recv(bell->socket, &out[n], sizeof out[n], 0);
        if (len < 0)
            break;
        if (is_sound(&out[n], len))
            n++;
    }
    return n;
}
