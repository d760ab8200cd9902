#ifndef GUACO_OS_METER_H
#define GUACO_OS_METER_H

/*
 * The meters of a tree: one piece of anonymous shared memory in which each web
 * worker counts what it serves, and from which the supervisor answers
 * /metrics, shows what is in flight, and sees a worker that is stuck.
 *
 *     header | retired: the counts of ended workers | slots, one a process
 *
 * A slot belongs to one process for its life.  When that has ended, however it
 * did, the supervisor adds its counts to the retired ones and frees the slot,
 * so that no count is lost or told twice.
 *
 * Threads: a slot is written by one thread, the loop's, in plain stores; the
 * supervisor alone, and during an upgrade its successor, takes and gives slots.  Whoever reads trusts nothing of a
 * slot but its numbers.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"
#include "os/shm.h"

#define GUACO__METER_SLOTS        512 /* processes at once; more do not count */
#define GUACO__METER_CALLS        64  /* requests shown at once of a process */
#define GUACO__METER_TARGET_BYTES 96  /* with the NUL; longer ones are cut */
#define GUACO__METER_BUCKETS      15
#define GUACO__METER_REASONS      8 /* why workers were replaced */

/* Upper bounds of the durations' buckets in microseconds, rising; the last is
 * without end (UINT64_MAX). */
extern const uint64_t guaco__meter_bounds_us[GUACO__METER_BUCKETS];

enum guaco__meter_method {
    GUACO__METER_GET,
    GUACO__METER_HEAD,
    GUACO__METER_POST,
    GUACO__METER_PUT,
    GUACO__METER_PATCH,
    GUACO__METER_DELETE,
    GUACO__METER_OPTIONS,
    GUACO__METER_OTHER,
    GUACO__METER_METHODS,
};

/* Status classes: 0 is a request that ended without an answer. */
#define GUACO__METER_CLASSES 6

/* Only grow. */
struct guaco__meter_counts {
    _Atomic uint64_t requests[GUACO__METER_METHODS][GUACO__METER_CLASSES];
    _Atomic uint64_t durations[GUACO__METER_BUCKETS];
    _Atomic uint64_t duration_us; /* of those in `durations` */
    _Atomic uint64_t connections;
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t refused; /* answered by the server itself */
    _Atomic uint64_t timeouts;
    _Atomic uint64_t log_lines_dropped;
};

/* One request in flight, under a sequence number that is odd meanwhile. */
struct guaco__meter_call {
    _Alignas(64) _Atomic uint32_t seq;
    _Atomic uint32_t method;   /* of enum guaco__meter_method */
    _Atomic uint64_t since_ns; /* CLOCK_MONOTONIC; 0: none here */
    /* Words, so that a reader in another process copies them one by one. */
    _Atomic uint64_t target[GUACO__METER_TARGET_BYTES / 8];
};

struct guaco__meter {
    _Alignas(64) _Atomic uint32_t pid; /* 0: free */
    _Atomic uint32_t open_connections;
    _Atomic uint32_t in_flight;
    _Atomic uint32_t is_watched; /* the supervisor looks at busy_since_ns */
    _Atomic uint64_t
        busy_since_ns; /* when the loop last went on; 0: it waits */
    struct guaco__meter_counts counts;
    struct guaco__meter_call calls[GUACO__METER_CALLS];
};

struct guaco__meters {
    struct guaco__shm shm;               /* private; its fd is handed on */
    struct guaco__meter_counts *retired; /* the supervisor's to write */
    _Atomic uint64_t *restarts; /* too: GUACO__METER_REASONS of its own */
    struct guaco__meter *slots;
    /* How many connections each process has, plus one; 0: it accepts none.
     * Close together, since all look at all. */
    _Atomic uint32_t *crowd;
};

/* Make them.  Returns 0 or GUACO_E_IO. */
int guaco__meters_open(struct guaco__meters *meters, struct guaco_error *err);

/* Map those that another process made; takes `fd`, also on failure.  Returns
 * 0, GUACO_E_PROTO (of another version) or GUACO_E_IO. */
int guaco__meters_map(struct guaco__meters *meters, int fd,
                      struct guaco_error *err);

void guaco__meters_close(struct guaco__meters *meters);

/* A free slot for the process, or -1 when all are taken. */
int guaco__meters_take(struct guaco__meters *meters, uint32_t pid);

/* The process has ended: its counts are added to the retired ones.  An index
 * of -1 is ignored. */
void guaco__meters_give(struct guaco__meters *meters, int index);

/* Sum of the retired counts and of all slots. */
void guaco__meters_sum(const struct guaco__meters *meters,
                       struct guaco__meter_counts *sum);

/* ---- the worker's side ---- */

/* Single writer: no locked instruction is needed. */
static inline void
guaco__meter_add(_Atomic uint64_t *count, uint64_t more)
{
    uint64_t now = atomic_load_explicit(count, memory_order_relaxed);

    atomic_store_explicit(count, now + more, memory_order_relaxed);
}

enum guaco__meter_method guaco__meter_method_of(struct guaco_slice method);

/* A request is over; status 0: without an answer.  A switch of protocols
 * (101) counts, its duration does not. */
void guaco__meter_request(struct guaco__meter *meter,
                          enum guaco__meter_method method, int status,
                          uint64_t took_us);

/* Show a request in flight; gives its place, or -1 when all are taken. */
int
guaco__meter_begin(struct guaco__meter *meter, enum guaco__meter_method method,
                   struct guaco_slice target, uint64_t since_ns);

/* It is over; -1 is ignored. */
void guaco__meter_end(struct guaco__meter *meter, int place);

/* ---- the reader's side ---- */

struct guaco__meter_view {
    enum guaco__meter_method method;
    uint64_t since_ns;
    char target[GUACO__METER_TARGET_BYTES]; /* NUL-terminated */
};

/* Look at the place `place`.  Returns 0, GUACO_E_MISSING (nothing is there) or
 * GUACO_E_AGAIN (it kept changing under our eyes). */
int guaco__meter_look(const struct guaco__meter *meter, size_t place,
                      struct guaco__meter_view *view);

/* "GET", ... "OTHER". */
const char *guaco__meter_method_name(enum guaco__meter_method method);

#endif
