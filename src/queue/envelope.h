#ifndef GUACO_QUEUE_ENVELOPE_H
#define GUACO_QUEUE_ENVELOPE_H

/*
 * The envelope: what a store keeps of a task and does not look into.
 *
 *     version (1 or 2) | expires_ms priority retries retry_delay_ms
 *     retry_backoff_percent timeout_ms result_ttl_s name_len headers_len
 *     (each a LEB128 varint, priority zigzag) | name | headers | body
 *
 * Version 2 has retry_delay_max_ms and retry_jitter_percent before name_len; it
 * is written only when there is one, so that an older guaco reads the rest.
 *
 * The queue is not in it: the store keeps its tasks by queue.
 */

#include "base/buf.h"
#include "guaco/task.h"

#define GUACO__ENVELOPE_VERSION 2
/* Fixed part at its longest, names and payload. */
#define GUACO__ENVELOPE_MAX                                          \
    (1u + 11u * 10u + GUACO_TASK_NAME_MAX + GUACO_TASK_HEADERS_MAX + \
     GUACO_TASK_BODY_MAX)

/* Append the envelope of `task`, which guaco__task_check accepted.  Returns 0,
 * GUACO_E_LIMIT or GUACO_E_NOMEM as the buffer does. */
int
guaco__envelope_write(struct guaco__buf *buf, const struct guaco_task *task);

/* Read one.  The slices of *task point into `envelope`; queue and due_ms stay
 * empty.  Returns 0, GUACO_E_PROTO for bytes that no envelope_write made, or
 * GUACO_E_UNSUPPORTED for a newer version. */
int guaco__envelope_read(struct guaco_slice envelope, struct guaco_task *task);

/* Every limit of guaco/task.h.  0 or GUACO_E_INVALID that names the field. */
int guaco__task_check(const struct guaco_task *task, struct guaco_error *err);
int
guaco__rules_check(const struct guaco_rules *rules, struct guaco_error *err);
int guaco__queue_check(struct guaco_slice queue, struct guaco_error *err);

#endif
