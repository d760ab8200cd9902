#ifndef GUACO_QUEUE_BELL_H
#define GUACO_QUEUE_BELL_H

/*
 * The bell: how the processes that share one SQLite file take turns and wake
 * each other, without polling.
 *
 * Beside FILE lies the folder FILE-wake/ with one mapped file, `board`, and a
 * datagram socket for each process that listens. The board holds
 *
 *   the commit lock   a robust, process-shared mutex with priority inheritance:
 *                     the kernel queues its waiters and hands it to the one
 *                     that waited longest; a holder's death frees it
 *   the id counter    guarded by the commit lock
 *   who listens       a slot for each process: queues for which it is idle,
 *                     tasks it watches, when its keeper looks next
 *
 * The board is worth nothing after a reboot or when FILE was replaced: then it
 * is made anew (boot id and inode are in its head), under a lock of the folder.
 *
 * What is read from the board or a socket was written by another process: it
 * is checked before it is an index, never asserted.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker_int.h"

#define GUACO__BELL_SLOTS 512u /* processes at a time */

struct guaco__wakeboard;

struct guaco__bell {
    struct guaco__wakeboard *board;
    int dir_fd;
    int sender;
    int socket;       /* -1 until the first listen */
    _Atomic int slot; /* -1 until then */
    uint32_t nonce;
    pthread_mutex_t lock; /* of opening the socket */
};

/* `path` names the data file, which exists. */
int guaco__bell_open(struct guaco__bell *bell, const char *path,
                     struct guaco_error *err);
void guaco__bell_close(struct guaco__bell *bell);

/* The commit lock.  Returns 0, GUACO_E_TIMEOUT or GUACO_E_IO. */
int guaco__bell_lock(struct guaco__bell *bell, uint64_t deadline_ns,
                     struct guaco_error *err);
void guaco__bell_unlock(struct guaco__bell *bell);

/* Ids, under the commit lock: next ..limit (excluded) may be given out; both 0
 * on a fresh board. */
uint64_t *guaco__bell_next_id(struct guaco__bell *bell);
uint64_t *guaco__bell_limit_id(struct guaco__bell *bell);

/* As in struct guaco__store_ops. */
int
guaco__bell_listen(struct guaco__bell *bell, const struct guaco__notice *notice,
                   bool on, struct guaco_error *err);
void
guaco__bell_ring(struct guaco__bell *bell, const struct guaco__notice *notice);
size_t guaco__bell_hear(struct guaco__bell *bell, struct guaco__notice *out,
                        size_t max);

/* The socket, made if need be; -1 when it cannot be. */
int guaco__bell_fd(struct guaco__bell *bell);

#endif
