#ifndef GUACO_QUEUE_REMOTE_LINK_H
#define GUACO_QUEUE_REMOTE_LINK_H

/*
 * A process's connection to the keeper of its tree: a stream for requests and
 * answers, and a socket of packets for notices, whose other end is handed over
 * with the first frame.  Two, so that the thread that waits for an answer and
 * the one that waits for notices never take each other's bytes.
 *
 * Threads: one at a time, but send and hear may run beside receive.
 */

#include "wire.h"

struct guaco__link {
    int fd;        /* -1: not connected */
    int notice_fd; /* as fd */
    struct guaco__buf in;
};

/* The variable that names the socket of a tree's keeper: an address in the
 * abstract space, without its NUL. */
#define GUACO__MEMORY_SOCKET "GUACO_MEMORY_SOCKET"

/* Not connected yet. */
void guaco__link_init(struct guaco__link *link);

/* Connect to the abstract address `name` and wait to be welcomed.  Returns 0,
 * GUACO_E_IO (nobody is there, or not of our user), GUACO_E_TIMEOUT,
 * GUACO_E_UNSUPPORTED (a keeper of another version), GUACO_E_PROTO,
 * GUACO_E_NOMEM. */
int guaco__link_connect(struct guaco__link *link, const char *name,
                        uint64_t deadline_ns, struct guaco_error *err);

/* End the connection, if there is one. */
void guaco__link_drop(struct guaco__link *link);

/* Let whoever waits in it find its end. */
void guaco__link_shut(const struct guaco__link *link);

/* Whether the other end of the socket for notices is closed. */
bool guaco__link_is_dead(const struct guaco__link *link);

/* Drop it and free the memory. */
void guaco__link_release(struct guaco__link *link);

/* Send all of `frames`.  0, GUACO_E_IO or GUACO_E_TIMEOUT; then the connection
 * is of no more use. */
int guaco__link_send(struct guaco__link *link, struct guaco_slice frames,
                     uint64_t deadline_ns, struct guaco_error *err);

/* Wait for a frame of `type`; *payload lives until the next call.  As send, or
 * GUACO_E_PROTO, GUACO_E_UNSUPPORTED, GUACO_E_NOMEM. */
int guaco__link_receive(struct guaco__link *link, enum guaco__wire_type type,
                        uint64_t deadline_ns, struct guaco_slice *payload,
                        struct guaco_error *err);

/* A notice, without waiting: 0, GUACO_E_AGAIN, or anything else when the
 * connection is of no more use. */
int guaco__link_hear(struct guaco__link *link, struct guaco__notice *notice);

/* ---- both ends ---- */

/* Whether the process at the other end is of our user. */
bool guaco__link_is_ours(int fd);

/* The address of `name`; gives its length, or 0 when it is too long. */
struct sockaddr_un;
unsigned guaco__link_address(const char *name, struct sockaddr_un *address);

#endif
