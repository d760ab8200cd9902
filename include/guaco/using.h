#ifndef GUACO_USING_H
#define GUACO_USING_H

/*
 * Tasks through a connection of the caller's, in its own transaction: they are
 * stored if and when that is committed, and with a rollback they never were.
 * So what an application writes and the tasks that this is to cause can not
 * come apart; nor can what a task writes and that it is done.
 *
 * On SQLite the connection is a sqlite3 * of this process's SQLite library
 * whose main database is the queue's file.  What is written holds SQLite's
 * write lock until the transaction ends: keep it short, for every writer of the
 * file waits meanwhile.  Workers are woken by the commit itself.
 *
 * A thread that has such a transaction open must not write to the same broker
 * in another way: it would wait for itself, so it is refused
 * (GUACO_E_STATE).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/broker.h"
#include "guaco/error.h"
#include "guaco/task.h"
#include "guaco/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

struct guaco_using {
    void *connection; /* SQLite: sqlite3 *; of one thread at a time, open */
    bool commits;     /* when no transaction is open: one of our own, which is
                         committed at once; else one is begun, and whoever
                         holds the connection ends it */
};

/*
 * As guaco_broker_put.  On failure nothing of it is in the transaction, and
 * none was begun.  Also returns
 *
 *   GUACO_E_UNSUPPORTED  the store is none that a connection leads to
 *   GUACO_E_INVALID      it is on another file, in memory, or read-only
 *   GUACO_E_TIMEOUT      another writer did not end
 *   GUACO_E_STATE        another has written since the transaction began by
 *                        reading
 */
GUACO_API int
guaco_using_put(struct guaco_broker *broker, const struct guaco_using *use,
                const struct guaco_task *tasks, size_t n, uint64_t *ids,
                struct guaco_error *err);

/* As guaco_broker_reserve; errors as above. */
GUACO_API int
guaco_using_reserve(struct guaco_broker *broker, const struct guaco_using *use,
                    uint32_t n, uint64_t *first, struct guaco_error *err);

/*
 * Write that `run` is done: its result, its acknowledgement and its follow-ups,
 * all of `outcome`, which is GUACO_OUTCOME_DONE.  The run goes on; it is ended
 * by guaco_run_finish as ever, and what this says is refused if the
 * transaction was committed.
 *
 * Returns 0, GUACO_E_LOST when the run is no longer ours (roll back), or the
 * errors of the above and of guaco_run_finish; GUACO_E_LIMIT for a result that
 * is too large; GUACO_E_EXISTS if it was said before.
 */
GUACO_API int
guaco_using_finish(struct guaco_run *run, const struct guaco_using *use,
                   const struct guaco_outcome *outcome,
                   struct guaco_error *err);

enum guaco_using_state {
    GUACO_USING_NONE, /* guaco_using_finish was not called, or failed */
    GUACO_USING_OPEN,
    GUACO_USING_COMMITTED,
    GUACO_USING_UNDONE, /* rolled back */
};

/* What became of its transaction. */
GUACO_API enum guaco_using_state guaco_using_state(const struct guaco_run *run);

#ifdef __cplusplus
}
#endif

#endif
