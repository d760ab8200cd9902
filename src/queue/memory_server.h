#ifndef GUACO_QUEUE_MEMORY_SERVER_H
#define GUACO_QUEUE_MEMORY_SERVER_H

/*
 * Serves a broker of this process, the keeper's memory store, to the other
 * processes of its tree (wire.h).  One thread of its own does it all: a memory
 * store never waits for anything.
 *
 * Only processes of our user are let in, and what they send is checked as if
 * it came from an enemy: who breaks the protocol loses its connection.
 */

#include "broker_int.h"

struct guaco__memory_server;

/* Serve at `listen_fd`, a listening Unix stream socket, which becomes the
 * server's in any case.  `broker` must live longer.  Returns 0 and *out,
 * GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__memory_server_open(struct guaco__memory_server **out,
                              struct guaco_broker *broker, int listen_fd,
                              struct guaco_error *err);

/* End all connections.  NULL is allowed. */
void guaco__memory_server_close(struct guaco__memory_server *server);

/* For the supervisor: a listening socket with an abstract address of its own,
 * close-on-exec; `name` (at least 64 bytes) gets what GUACO_MEMORY_SOCKET shall
 * say.  Returns 0 or GUACO_E_IO. */
int
guaco__memory_socket(int *fd, char *name, size_t room, struct guaco_error *err);

#endif
