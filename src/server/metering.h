#ifndef GUACO__SERVER_METERING_H
#define GUACO__SERVER_METERING_H

/*
 * What a server shows of itself in a meter (os/meter.h), where it was given
 * one: each request as it begins and ends, the connections at the end of each
 * turn, and whether its loop moves on.
 *
 * Threads: the loop's only.
 */

#include "server/exchange.h"
#include "server/server_int.h"

/* Tell the meter when the loop moves; nothing without a meter. */
void guaco__metering_start(struct guaco__server *server);
void guaco__metering_stop(struct guaco__server *server);

/* Say how many connections we have, or that we accept none. */
void guaco__metering_crowd(struct guaco__server *server);

/* Whether nobody in the crowd has clearly fewer connections. */
bool guaco__metering_may_accept(const struct guaco__server *server);

/* The end of a turn. */
void guaco__metering_turn(struct guaco__server *server);

/* An exchange has its request, and is over. */
void guaco__metering_begin(struct guaco__exchange *x);
void guaco__metering_end(struct guaco__exchange *x);

#endif
