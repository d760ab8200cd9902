#ifndef GUACO_QUEUE_WAKEBOARD_H
#define GUACO_QUEUE_WAKEBOARD_H

/* The mapped file of a bell; see bell.h.  Its form may change with every
 * version: a board of another form is replaced. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "bell.h"
#include "os/proc.h"

#define BOARD_MAGIC   0x6f636175677531ULL
#define BOARD_SETS    4096u /* of watches, by task id */
#define BOARD_WAYS    4u
#define BOARD_NO_SLOT 0xffffu

struct board_slot {
    uint32_t nonce; /* 0: free */
    uint8_t watches_all;
    uint8_t is_keeper;
    int64_t keeper_ms;  /* its next look */
    uint64_t hungry[4]; /* a bit for each of board->queues */
};

struct board_watch {
    uint64_t id; /* 0: free */
    uint32_t slot;
};

struct guaco__wakeboard {
    uint64_t magic;
    uint64_t size;
    char boot_id[GUACO__BOOT_ID_BYTES];
    uint64_t file_dev;
    uint64_t file_ino;
    pthread_mutex_t commit;
    pthread_mutex_t guard; /* guards all below */
    uint64_t next_id;      /* but these two: by commit */
    uint64_t limit_id;

    /* Read without the guard, to see that there is nobody to tell. */
    _Atomic uint32_t hungry_count;
    _Atomic uint32_t watch_count;
    _Atomic uint32_t keeper_count;

    uint32_t last_nonce;
    uint32_t turn; /* where to look for the next idle one */
    uint32_t queue_count;
    char queues[GUACO__QUEUES_MAX][GUACO_QUEUE_NAME_MAX + 1];
    struct board_slot slots[GUACO__BELL_SLOTS];
    struct board_watch watches[BOARD_SETS][BOARD_WAYS];
};

/* Map the board in `dir_fd` for the data file (dev, ino), making it anew if it
 * is not of this boot and file. */
int
guaco__wakeboard_map(int dir_fd, uint64_t dev, uint64_t ino,
                     struct guaco__wakeboard **out, struct guaco_error *err);
void guaco__wakeboard_unmap(struct guaco__wakeboard *board);

/* The guard.  A holder that died is repaired after. */
void guaco__wakeboard_lock(struct guaco__wakeboard *board);
void guaco__wakeboard_unlock(struct guaco__wakeboard *board);

/* All under the guard. */
int guaco__wakeboard_take_slot(struct guaco__wakeboard *board, uint32_t *nonce);
void guaco__wakeboard_free_slot(struct guaco__wakeboard *board, unsigned slot);
void guaco__wakeboard_hunger(struct guaco__wakeboard *board, unsigned slot,
                             const char *queue, bool on);
void guaco__wakeboard_watch(struct guaco__wakeboard *board, unsigned slot,
                            uint64_t id, bool on);
void guaco__wakeboard_keep(struct guaco__wakeboard *board, unsigned slot,
                           bool on, int64_t next_ms);
/* The next slot but `self` that is idle for `queue`; it is so no more. */
int guaco__wakeboard_next_idle(struct guaco__wakeboard *board, unsigned self,
                               const char *queue);

#endif
