#ifndef GUACO_QUEUE_USING_INT_H
#define GUACO_QUEUE_USING_INT_H

/*
 * Transactions of callers, between a broker and the connections that they are
 * on.  Either may go first, so what they share (the desk) belongs to both.
 *
 * A connection that has written for a broker is checked in at its desk until
 * its transaction has ended; then the desk wakes whom that concerns.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "broker_int.h"
#include "guaco/using.h"

struct guaco__desk;

/* An open transaction that wrote for this desk's broker. */
struct guaco__visit {
    struct guaco__list link; /* private */
    pthread_t thread;        /* that began it */
    bool is_open;
};

struct guaco__desk *guaco__desk_new(struct guaco_broker *broker);
struct guaco__desk *guaco__desk_ref(struct guaco__desk *desk);
void guaco__desk_unref(struct guaco__desk *desk);
/* The broker is closed: nobody is told any more. */
void guaco__desk_close(struct guaco__desk *desk);

void guaco__desk_enter(struct guaco__desk *desk, struct guaco__visit *visit);
/* The end of the transaction; `touched` by it, NULL: rolled back. */
void guaco__desk_leave(struct guaco__desk *desk, struct guaco__visit *visit,
                       struct guaco__touched *touched);
bool guaco__desk_is_closed(struct guaco__desk *desk);
/* Whether the calling thread has a transaction open; cheap if nobody has. */
bool guaco__desk_is_here(struct guaco__desk *desk);

/* ---- how a transaction ended ---- */

/* Of who waits for it, and of the transaction: freed by the last of them. */
struct guaco__receipt {
    struct guaco__receipt *next; /* of the same transaction */
    _Atomic unsigned refs;
    _Atomic int state; /* enum guaco_using_state */
};

struct guaco__receipt *guaco__receipt_new(void); /* NULL: no memory */
void guaco__receipt_unref(struct guaco__receipt *receipt);

/* ---- what a store is given ---- */

struct guaco__use {
    const struct guaco_using *how;
    struct guaco__desk *desk;
    struct guaco__receipt *receipt; /* or NULL; a reference is taken */
};

/* run_using of a store that has no such connections. */
int guaco__store_no_using(struct guaco__store *store,
                          const struct guaco__use *use, struct guaco__op *op,
                          uint64_t deadline_ns, struct guaco_error *err);

/* sqlite_using.c */
int guaco__sqlite_run_using(struct guaco__store *store,
                            const struct guaco__use *use, struct guaco__op *op,
                            uint64_t deadline_ns, struct guaco_error *err);

/*
 * Whose SQLite library is it?  While this is on, every connection that our copy
 * of the library opens has the SQL function guaco_address(), which gives the
 * address of its sqlite3.
 */
int guaco__sqlite_addresses(bool on);

#endif
