#ifndef GUACO_HTTP_H2_DRAIN_H
#define GUACO_HTTP_H2_DRAIN_H

/*
 * Streams whose answer has been sent while the client still sends its request.
 * RFC 9113 8.1 lets a server reset such a stream with NO_ERROR at once, and most
 * do; but clients in wide use (curl before 8) take any reset in the midst of
 * their upload for a failure.  So the rest is read away when the stream's window
 * lets all of it come.  If not, the reset goes out with the answer: the same
 * clients listen no more behind it, and would wait for a window for ever.  (Most
 * often it does not come to that: server/wire_h2.c holds an early answer back
 * while the rest of a small request is on its way.)
 *
 * There is no timer: streams are looked at when something comes on them or when
 * another joins them, and a connection that has no more than these is idle.
 *
 * Private to h2*.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2.h"

enum {
    GUACO__H2_DRAIN_AGE_MS = 30000, /* one that says nothing has to go then */
};

struct guaco__h2_drain {
    uint32_t id;
    uint64_t since_ms;
};

/* Zeroed at first. */
struct guaco__h2_drains {
    struct guaco__h2_drain *list; /* oldest first */
    uint32_t count;
    uint32_t room;
};

void guaco__h2_drains_release(struct guaco__h2_drains *drains);

/* Add a stream.  Gives one that is to be reset for it and is forgotten: the
 * oldest when there are too many or it is too old, `id` itself when out of
 * memory; or 0. */
uint32_t guaco__h2_drains_add(struct guaco__h2_drains *drains,
                              const struct guaco__h2_limits *limits,
                              uint32_t id, uint64_t now_ms);

/* Forget a stream.  False: it is not one of these. */
bool guaco__h2_drains_remove(struct guaco__h2_drains *drains, uint32_t id);

#endif
