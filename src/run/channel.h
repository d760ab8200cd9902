#ifndef GUACO__RUN_CHANNEL_H
#define GUACO__RUN_CHANNEL_H

/*
 * The channel between the supervisor and each process that it starts: one pair
 * of SOCK_SEQPACKET sockets, so that a message is whole or not there, and
 * descriptors can travel with it.  Messages are JSON objects.
 *
 *   down   {"role", "target", "slot", "generation", "concurrency", "options",
 *           "ticket_secret", "sockets": [{"bind", "tls"}]}, the sockets as
 *           descriptors in that order;
 *          {"command": "drain"}
 *   up     {"event": "ready", "pid"}
 *          {"event": "failed", "text"}, followed by exit code 3
 *          {"event": "queues", "queues": [{"name", "url"}]}
 *          {"event": "draining"}: it ends by itself, a successor may start
 *
 * End of file tells each side that the other is gone.  A child finds its end's
 * number in the variable GUACO_CHANNEL_FD.
 *
 * Threads: none; each end has one owner.
 */

#include <stddef.h>

#include "guaco/error.h"

#define GUACO__CHANNEL_MESSAGE_MAX 65536u /* bytes */
#define GUACO__CHANNEL_FDS_MAX     64u    /* in one message */
#define GUACO__CHANNEL_VARIABLE    "GUACO_CHANNEL_FD"

/* Make a pair, both close-on-exec; ours does not block, theirs does.  Returns
 * 0 or GUACO_E_IO. */
int guaco__channel_open(int *ours, int *theirs, struct guaco_error *err);

/*
 * Send one message with copies of the descriptors fds[0..fd_count).  Returns 0;
 * GUACO_E_AGAIN: the other side does not read; GUACO_E_CLOSED;
 * GUACO_E_LIMIT: too long; GUACO_E_IO.
 */
int guaco__channel_send(int fd, const void *message, size_t len, const int *fds,
                        size_t fd_count);

/*
 * Receive one message into message[0..room), and its descriptors, close-on-exec
 * and the caller's from then on, into fds, which has GUACO__CHANNEL_FDS_MAX
 * places; when fds is NULL any that came are closed.  Returns 0; GUACO_E_AGAIN;
 * GUACO_E_CLOSED: end of file; GUACO_E_LIMIT: it was too long, and is lost;
 * GUACO_E_IO.
 */
int guaco__channel_receive(int fd, void *message, size_t room, size_t *len,
                           int *fds, size_t *fd_count);

#endif
