#ifndef GUACO_QUEUE_KEEPER_INT_H
#define GUACO_QUEUE_KEEPER_INT_H

/*
 * The keeper's insides. It works in rounds; a round does all that is due and
 * gives the next wall time at which something will be. Between rounds it waits
 * for that time (a timerfd, which also fires when the wall clock is set), for
 * the death of an owner (pidfds), and for a kick: a listener of KEEPER notices.
 */

#include "front.h"
#include "guaco/keeper.h"
#include "guaco/schedule.h"
#include "os/clock.h"

#define KEEPER_BATCH         200u /* tasks or results of one transaction */
#define KEEPER_RETRY_MS      1000 /* after the store failed */
#define KEEPER_JUMP_MS       1000 /* of the wall clock: worth a line */
#define KEEPER_TEST_CLOCK_MS 20   /* a shifted clock cannot wake anybody */

/* An owner whose process can be watched. */
struct keeper_owner {
    uint64_t id;
    int32_t pid;
    int pidfd;
};

/* A recurring task, parsed; in the order of the store's list. */
struct keeper_recur {
    struct guaco__recur def; /* slices into keeper->defs */
    struct guaco_schedule *schedule;
};

struct guaco_keeper {
    struct guaco_broker *broker;
    struct guaco_clock clock;
    const struct guaco_log *log; /* or NULL */
    int64_t lead_ms;             /* of the wall clock over that of the boot */
    struct guaco__listener listener;
    pthread_t thread;
    int kick_fd;
    int timer_fd;

    pthread_mutex_t lock; /* guards these */
    bool is_stopping;
    bool is_stale;   /* owners or recurring tasks have changed */
    int64_t wake_ms; /* look by then; wall clock */

    struct keeper_owner *owners; /* the thread's own from here */
    size_t owner_count;
    uint64_t pid_space;
    struct keeper_recur *recurs;
    size_t recur_count;
    struct guaco__recur *defs; /* the block that they point into */
};

/* keeper_owner.c: read the owners, reap those that are gone, watch the rest.
 * Lowers *next_ms to when a lease must be looked at. */
int guaco__keeper_owners(struct guaco_keeper *keeper, int64_t *next_ms);
/* Its process has ended; pidfd, if not -1, is asked how. */
int guaco__keeper_reap(struct guaco_keeper *keeper, uint64_t owner, int32_t pid,
                       int pidfd);
void guaco__keeper_drop_owners(struct guaco_keeper *keeper);

/* keeper_recur.c: read the recurring tasks; fire what is due. */
int guaco__keeper_load_recurs(struct guaco_keeper *keeper);
int guaco__keeper_fire(struct guaco_keeper *keeper, int64_t *next_ms);
void guaco__keeper_drop_recurs(struct guaco_keeper *keeper);

#endif
