#ifndef TESTS_SERVER_H2_WORLD_H
#define TESTS_SERVER_H2_WORLD_H

/* A server of fixture.h with one client of HTTP/2 (h2_client.h). */

#include "../h2_client.h"
#include "fixture.h"
#include "server/h2_conn.h"

struct world {
    struct fixture f;
    struct client c;
    struct h2_client h2;
};

/* With options that may still be changed, until connect_world(). */
struct world *open_plain(void);
void connect_world(struct world *w);
struct world *open_world(void); /* both */
void close_world(struct world *w);

/* Send what was put together, and hear what comes of it. */
const char *talk(struct world *w);

/* Talk, and fail unless this was heard, or if it was. */
void hears(struct world *w, const char *what);
void hears_no(struct world *w, const char *what);

/* Fail unless exactly this was told to the application since the last call. */
void told(struct world *w, const char *what);

/* Talk, and fail unless GOAWAY with this code came, and the end. */
void the_connection_is_closed_for(struct world *w, unsigned code);

#endif
