#ifndef GUACO_OS_BOARD_H
#define GUACO_OS_BOARD_H

/*
 * The board: what each thread of this process is doing at the moment, for a
 * profiler in another process to read.  Anonymous shared memory ("/memfd:guaco-
 * board" in /proc/PID/maps):
 *
 *     header | slots: one a thread, 64 bytes each | answers, 8 bytes each |
 *     names, 64 bytes each
 *
 * A slot holds {kind, name, id}: "request /items/{id}", "task demo.add".
 * Its thread writes it in a few plain stores under a sequence number that is
 * odd meanwhile (a seqlock), no lock, no system call.  Names are interned once
 * and never change, so a reader may copy them without care.
 *
 * A request's route is known only when it has been looked up, which is after
 * the first step began.  Until then its name is 0 and a reader remembers the
 * id; when the route is known, or will never be, an answer {id, name} is left,
 * in a ring of the last ones.
 *
 * Threads: taking a slot and interning from any; a slot is written by its one
 * thread.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "guaco/error.h"
#include "os/shm.h"

#define GUACO__BOARD_SLOTS      512  /* threads; more are not shown */
#define GUACO__BOARD_NAMES      4096 /* more are shown as name 0, "other" */
#define GUACO__BOARD_NAME_BYTES 64   /* with the NUL; longer ones are cut */
#define GUACO__BOARD_ANSWERS    1024 /* requests that a reader may lag behind */

enum guaco__board_kind {
    GUACO__BOARD_IDLE,
    GUACO__BOARD_REQUEST,
    GUACO__BOARD_TASK,
    GUACO__BOARD_SCHEDULE,
    GUACO__BOARD_START, /* importing the application, lifespan */
};

struct guaco__board_slot {
    _Alignas(64) _Atomic uint32_t seq; /* odd while the fields change */
    _Atomic uint32_t tid;              /* 0: the slot is free */
    _Atomic uint32_t kind;
    _Atomic uint32_t name;     /* of guaco__board_name(); 0: see the answer */
    _Atomic uint64_t id;       /* of the request or task; 0: none */
    _Atomic uint64_t since_ns; /* CLOCK_MONOTONIC when it began, or 0 */
};

struct guaco__board {
    struct guaco__shm shm;           /* private */
    struct guaco__board_slot *slots; /* private: GUACO__BOARD_SLOTS */
    _Atomic uint64_t *answers;       /* private: GUACO__BOARD_ANSWERS */
    _Atomic uint64_t last_id;        /* private */
    pthread_mutex_t lock;            /* private: of ids */
    struct guaco__map ids;           /* private: name -> its place */
};

/* Make this process's board.  Returns 0 or GUACO_E_IO. */
int guaco__board_open(struct guaco__board *board, struct guaco_error *err);

void guaco__board_close(struct guaco__board *board);

/* A free slot for the thread with the kernel's id `tid`, or NULL when all are
 * taken; the calls below accept NULL. */
struct guaco__board_slot *
guaco__board_take(struct guaco__board *board, uint32_t tid);

/* The thread ends, or shows nothing any more. */
void guaco__board_give(struct guaco__board_slot *slot);

/* The number of a name, the same for the same bytes; 0 when the table is full
 * or memory is short. */
uint32_t guaco__board_name(struct guaco__board *board, struct guaco_slice name);

/* A number for a request, never 0. */
static inline uint64_t
guaco__board_next_id(struct guaco__board *board)
{
    return atomic_fetch_add_explicit(&board->last_id, 1, memory_order_relaxed) +
           1;
}

/* Say what the name of request `id` is, for those who saw it without. */
static inline void
guaco__board_answer(struct guaco__board *board, uint64_t id, uint32_t name)
{
    atomic_store_explicit(&board->answers[id % GUACO__BOARD_ANSWERS],
                          (id & UINT32_MAX) << 32 | name, memory_order_relaxed);
}

/* Say what this thread does from now on.  A few nanoseconds. */
static inline void
guaco__board_set(struct guaco__board_slot *slot, enum guaco__board_kind kind,
                 uint32_t name, uint64_t id, uint64_t since_ns)
{
    if (slot == NULL)
        return;

    uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);
    atomic_store_explicit(&slot->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->kind, kind, memory_order_relaxed);
    atomic_store_explicit(&slot->name, name, memory_order_relaxed);
    atomic_store_explicit(&slot->id, id, memory_order_relaxed);
    atomic_store_explicit(&slot->since_ns, since_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->seq, seq + 2, memory_order_release);
}

/* ---- the reader's side, usually another process ---- */

struct guaco__board_view {
    uint32_t tid;
    bool is_named; /* else the name is in the answer to `id` */
    uint32_t kind; /* of enum guaco__board_kind, or a later version's */
    uint64_t id;
    uint64_t since_ns;
    char name[GUACO__BOARD_NAME_BYTES]; /* NUL-terminated */
};

/* How the board shows in /proc/PID/maps. */
#define GUACO__BOARD_MAP "/memfd:guaco-board"

/* Bytes of the whole board, for who maps it or copies it; and of what stands
 * before the names, which is what changes. */
size_t guaco__board_bytes(void);
size_t guaco__board_head_bytes(void);

/* How many bytes from the beginning on are in use, names included, by the head
 * of a board at `at`, of guaco__board_head_bytes(). */
size_t guaco__board_used_bytes(const void *at);

/*
 * Look at slot `index` of the board mapped or copied at at[0..bytes), which
 * may be anything: the other process is not trusted.  Returns 0;
 * GUACO_E_MISSING: the slot is free; GUACO_E_AGAIN: it changed under our eyes
 * each time; GUACO_E_PROTO: not a board of this version.
 */
int guaco__board_look(const void *at, size_t bytes, size_t index,
                      struct guaco__board_view *view);

/* Where slot `index` lies in a board, and whether two copies of it, at a and b,
 * are of one moment: nothing was written in between. */
size_t guaco__board_slot_at(size_t index);
bool guaco__board_slot_is_same(const void *a, const void *b);

/*
 * The name that was given to request `id` in the board at at[0..bytes), of
 * which a copy may be whole in its head and older in its names.  Returns 0;
 * GUACO_E_AGAIN: not yet; GUACO_E_LOST: the answer was overwritten by later
 * ones; GUACO_E_PROTO.
 */
int guaco__board_ask(const void *at, size_t bytes, uint64_t id,
                     char name[GUACO__BOARD_NAME_BYTES]);

#endif
