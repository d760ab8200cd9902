#ifndef GUACO__SERVER_ACCESS_H
#define GUACO__SERVER_ACCESS_H

/*
 * The access log.  Lines are formatted into a buffer and leave together: when
 * much has gathered, and FLUSH_MS after the first of them; an idle server
 * writes nothing and sets no timer.  A reader that does not read (a full pipe)
 * is waited for by the timer and never by the loop; while the buffer is full
 * lines are dropped and counted, and the count is logged once there is room.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/http/parser.h"
#include "io/timer.h"
#include "base/date.h"
#include "os/clock.h"
#include "server/access_format.h"
#include "server/server.h"

struct guaco__exchange;

struct guaco__access {
    struct guaco__buf lines;
    struct guaco__timer timer;
    const struct guaco_log *log;
    struct guaco__meter *meter;         /* or NULL */
    struct guaco__access_format format; /* of no steps: no log */
    int fd;
    bool is_pipe;     /* or a socket or terminal: what may not take a byte */
    uint64_t dropped; /* since it was last told */
    uint64_t dropped_total;
    int64_t stamp_second; /* of the text below */
    char stamp[32];       /* "[23/Nov/2026:12:00:00 +0000]" */
    char time[GUACO__DATE_ISO_BYTES];
    struct guaco_clock clock;
};

/* Borrows options->access_fd and ->log until release; allocates nothing.
 * Returns 0, GUACO_E_INVALID, GUACO_E_LIMIT (the format) or GUACO_E_IO. */
int guaco__access_init(struct guaco__access *access, struct guaco__loop *loop,
                       const struct guaco__server_options *options,
                       struct guaco_error *err);

/* Go on with another descriptor (borrowed).  Returns 0 or GUACO_E_INVALID. */
int guaco__access_set_fd(struct guaco__access *access, int fd,
                         struct guaco_error *err);

/* Write what can be written without waiting, and free. */
void guaco__access_release(struct guaco__access *access);

/* Whether exchanges are to note when they begin. */
static inline bool
guaco__access_wants_time(const struct guaco__access *access)
{
    return access->format.count > 0 || access->meter != NULL;
}

/* A line for an exchange that is over; it is counted too. */
void guaco__access_exchange(struct guaco__access *access,
                            const struct guaco__exchange *x);

/* A line for a request that the server refused itself with `status` and
 * `bytes` of body; *head holds as much as was understood. */
void guaco__access_refused(struct guaco__access *access,
                           const struct guaco_peer *peer,
                           const struct guaco_http_head *head, int status,
                           uint64_t bytes);

/* Write what has gathered, as far as that does not block. */
void guaco__access_flush(struct guaco__access *access);

#endif
