#include "wakeboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- making and mapping ---- */

static int
init_mutex(pthread_mutex_t *mutex, bool in_turn)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);

    if (rc != 0)
        return rc;
    (void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    (void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    /* With inheritance the kernel keeps the waiters in a queue and gives the
     * mutex away; without, a releaser that comes back at once barges in. */
    if (in_turn)
        (void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    rc = pthread_mutex_init(mutex, &attr);
    if (rc == ENOTSUP && in_turn) {
        (void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_NONE);
        rc = pthread_mutex_init(mutex, &attr);
    }
    (void)pthread_mutexattr_destroy(&attr);
    return rc;
}

static int
map_fd(int fd, struct guaco__wakeboard **out, struct guaco_error *err)
{
    void *at = mmap(NULL, sizeof(struct guaco__wakeboard),
                    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return guaco_fail(err, GUACO_E_IO, errno, "map the wake board");
    *out = at;
    return GUACO_OK;
}

static bool
is_ours(const struct guaco__wakeboard *board, const char *boot_id, uint64_t dev,
        uint64_t ino)
{
    return board->magic == BOARD_MAGIC && board->size == sizeof *board &&
           memcmp(board->boot_id, boot_id, GUACO__BOOT_ID_BYTES) == 0 &&
           board->file_dev == dev && board->file_ino == ino;
}

/* The one that is there, or NULL in *out if it is not ours. */
static int
map_present(int dir_fd, const char *boot_id, uint64_t dev, uint64_t ino,
            struct guaco__wakeboard **out, struct guaco_error *err)
{
    struct stat st;
    int rc = GUACO_OK;

    *out = NULL;
    int fd = openat(dir_fd, "board", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return GUACO_OK;
    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "open the wake board");
    if (fstat(fd, &st) == 0 &&
        st.st_size == (off_t)sizeof(struct guaco__wakeboard))
        rc = map_fd(fd, out, err);
    close(fd);
    if (*out != NULL && !is_ours(*out, boot_id, dev, ino)) {
        guaco__wakeboard_unmap(*out);
        *out = NULL;
    }
    return rc;
}

static int
fill_board(struct guaco__wakeboard *board, const char *boot_id, uint64_t dev,
           uint64_t ino, struct guaco_error *err)
{
    int rc = init_mutex(&board->commit, true);

    if (rc == 0)
        rc = init_mutex(&board->guard, false);
    if (rc != 0)
        return guaco_fail(err, GUACO_E_IO, rc, "a process-shared mutex");
    memcpy(board->boot_id, boot_id, GUACO__BOOT_ID_BYTES);
    board->file_dev = dev;
    board->file_ino = ino;
    board->size = sizeof *board;
    board->magic = BOARD_MAGIC;
    return GUACO_OK;
}

/* Under another name first: nobody may see half a board, and those who have
 * the old one mapped keep it. */
static int
make_board(int dir_fd, const char *boot_id, uint64_t dev, uint64_t ino,
           struct guaco__wakeboard **out, struct guaco_error *err)
{
    struct stat st;

    *out = NULL;
    (void)unlinkat(dir_fd, "board.new", 0);
    int fd = openat(dir_fd, "board.new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                    0600);
    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "make the wake board");
    /* Whoever may enter the folder may use the board. */
    if (fstat(dir_fd, &st) == 0)
        (void)fchmod(fd, st.st_mode & 0660);
    int rc = GUACO_OK;
    /* Allocated, not sparse: a full disk is an error here and now, not a
     * SIGBUS later. */
    int sys = posix_fallocate(fd, 0, (off_t)sizeof(struct guaco__wakeboard));
    if (sys != 0)
        rc = guaco_fail(err, GUACO_E_IO, sys, "size the wake board");
    if (rc == GUACO_OK)
        rc = map_fd(fd, out, err);
    close(fd);
    if (rc == GUACO_OK)
        rc = fill_board(*out, boot_id, dev, ino, err);
    if (rc == GUACO_OK && renameat(dir_fd, "board.new", dir_fd, "board") != 0)
        rc = guaco_fail(err, GUACO_E_IO, errno, "place the wake board");
    if (rc != GUACO_OK && *out != NULL) {
        guaco__wakeboard_unmap(*out);
        *out = NULL;
    }
    return rc;
}

int
guaco__wakeboard_map(int dir_fd, uint64_t dev, uint64_t ino,
                     struct guaco__wakeboard **out, struct guaco_error *err)
{
    char boot_id[GUACO__BOOT_ID_BYTES] = {0};
    int rc = guaco__proc_boot_id(boot_id, err);

    *out = NULL;
    if (rc != GUACO_OK)
        return rc;
    if (flock(dir_fd, LOCK_EX) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "lock the wake folder");
    rc = map_present(dir_fd, boot_id, dev, ino, out, err);
    if (rc == GUACO_OK && *out == NULL)
        rc = make_board(dir_fd, boot_id, dev, ino, out, err);
    (void)flock(dir_fd, LOCK_UN);
    return rc;
}

void
guaco__wakeboard_unmap(struct guaco__wakeboard *board)
{
    (void)munmap(board, sizeof *board);
}

/* ---- the guard ---- */

static uint32_t
bits_of(const struct board_slot *slot)
{
    int n = 0;

    for (size_t i = 0; i < 4; i++)
        n += __builtin_popcountll(slot->hungry[i]);
    return (uint32_t)n;
}

/* A process died while it changed the lists: count again. */
static void
repair(struct guaco__wakeboard *board)
{
    uint32_t hungry = 0, watches = 0, keepers = 0;

    for (unsigned i = 0; i < GUACO__BELL_SLOTS; i++) {
        struct board_slot *slot = &board->slots[i];
        if (slot->nonce == 0)
            *slot = (struct board_slot){0};
        hungry += bits_of(slot);
        keepers += slot->is_keeper != 0;
        watches += slot->watches_all != 0;
    }
    for (unsigned i = 0; i < BOARD_SETS; i++)
        for (unsigned j = 0; j < BOARD_WAYS; j++)
            watches += board->watches[i][j].id != 0;
    atomic_store(&board->hungry_count, hungry);
    atomic_store(&board->watch_count, watches);
    atomic_store(&board->keeper_count, keepers);
}

void
guaco__wakeboard_lock(struct guaco__wakeboard *board)
{
    int rc = pthread_mutex_lock(&board->guard);

    if (rc == EOWNERDEAD) {
        (void)pthread_mutex_consistent(&board->guard);
        repair(board);
    }
}

void
guaco__wakeboard_unlock(struct guaco__wakeboard *board)
{
    (void)pthread_mutex_unlock(&board->guard);
}

/* ---- slots ---- */

int
guaco__wakeboard_take_slot(struct guaco__wakeboard *board, uint32_t *nonce)
{
    for (unsigned i = 0; i < GUACO__BELL_SLOTS; i++) {
        struct board_slot *slot = &board->slots[i];
        if (slot->nonce != 0)
            continue;
        if (++board->last_nonce == 0)
            board->last_nonce = 1;
        *slot = (struct board_slot){.nonce = board->last_nonce};
        *nonce = slot->nonce;
        return (int)i;
    }
    return -1;
}

void
guaco__wakeboard_free_slot(struct guaco__wakeboard *board, unsigned slot)
{
    assert(slot < GUACO__BELL_SLOTS);
    struct board_slot *s = &board->slots[slot];

    atomic_fetch_sub(&board->hungry_count, bits_of(s));
    if (s->is_keeper)
        atomic_fetch_sub(&board->keeper_count, 1);
    if (s->watches_all)
        atomic_fetch_sub(&board->watch_count, 1);
    for (unsigned i = 0; i < BOARD_SETS; i++)
        for (unsigned j = 0; j < BOARD_WAYS; j++) {
            struct board_watch *watch = &board->watches[i][j];
            if (watch->id == 0 || watch->slot != slot)
                continue;
            *watch = (struct board_watch){0};
            atomic_fetch_sub(&board->watch_count, 1);
        }
    *s = (struct board_slot){0};
}

/* ---- who is idle ---- */

/* The number of a queue's bit, or -1. */
static int
find_queue(struct guaco__wakeboard *board, const char *queue, bool make)
{
    uint32_t n = board->queue_count;

    if (n > GUACO__QUEUES_MAX)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        if (strncmp(board->queues[i], queue, sizeof board->queues[i]) == 0)
            return (int)i;
    if (!make || n == GUACO__QUEUES_MAX)
        return -1;
    (void)snprintf(board->queues[n], sizeof board->queues[n], "%s", queue);
    board->queue_count = n + 1;
    return (int)n;
}

void
guaco__wakeboard_hunger(struct guaco__wakeboard *board, unsigned slot,
                        const char *queue, bool on)
{
    assert(slot < GUACO__BELL_SLOTS);
    int bit = find_queue(board, queue, on);
    if (bit < 0)
        return;
    uint64_t *word = &board->slots[slot].hungry[bit / 64];
    uint64_t mask = 1ULL << (bit % 64);

    if (((*word & mask) != 0) == on)
        return;
    *word ^= mask;
    if (on)
        atomic_fetch_add(&board->hungry_count, 1);
    else
        atomic_fetch_sub(&board->hungry_count, 1);
}

int
guaco__wakeboard_next_idle(struct guaco__wakeboard *board, unsigned self,
                           const char *queue)
{
    int bit = find_queue(board, queue, false);
    if (bit < 0)
        return -1;
    uint64_t mask = 1ULL << (bit % 64);

    for (unsigned i = 0; i < GUACO__BELL_SLOTS; i++) {
        unsigned at = (board->turn + i) % GUACO__BELL_SLOTS;
        struct board_slot *slot = &board->slots[at];
        if (at == self || slot->nonce == 0 ||
            (slot->hungry[bit / 64] & mask) == 0)
            continue;
        slot->hungry[bit / 64] &= ~mask;
        atomic_fetch_sub(&board->hungry_count, 1);
        board->turn = at + 1;
        return (int)at;
    }
    return -1;
}

/* ---- who watches ---- */

void
guaco__wakeboard_watch(struct guaco__wakeboard *board, unsigned slot,
                       uint64_t id, bool on)
{
    assert(id != 0);
    struct board_watch *set = board->watches[id % BOARD_SETS];
    struct board_watch *free_one = NULL;

    for (unsigned i = 0; i < BOARD_WAYS; i++) {
        if (set[i].id == 0)
            free_one = &set[i];
        if (set[i].id != id || set[i].slot != slot)
            continue;
        if (!on) {
            set[i] = (struct board_watch){0};
            atomic_fetch_sub(&board->watch_count, 1);
        }
        return;
    }
    if (!on)
        return;
    if (free_one != NULL) {
        *free_one = (struct board_watch){.id = id, .slot = slot};
        atomic_fetch_add(&board->watch_count, 1);
    } else if (!board->slots[slot].watches_all) {
        /* No room in the set: told of every task from now on. */
        board->slots[slot].watches_all = 1;
        atomic_fetch_add(&board->watch_count, 1);
    }
}

void
guaco__wakeboard_keep(struct guaco__wakeboard *board, unsigned slot, bool on,
                      int64_t next_ms)
{
    assert(slot < GUACO__BELL_SLOTS);
    struct board_slot *s = &board->slots[slot];

    if (on && !s->is_keeper)
        atomic_fetch_add(&board->keeper_count, 1);
    if (!on && s->is_keeper)
        atomic_fetch_sub(&board->keeper_count, 1);
    s->is_keeper = on;
    s->keeper_ms = next_ms;
}
