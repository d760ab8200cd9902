#ifndef GUACO_TEST_QUEUE_POSTGRES_SERVER_H
#define GUACO_TEST_QUEUE_POSTGRES_SERVER_H

/*
 * A PostgreSQL server of this test program's own: a fresh cluster behind a Unix
 * socket in a fresh folder, without a port, as another user when we are root,
 * and ended by the kernel when the program ends.
 */

#include "private_server.h"

struct postgres_server {
    struct private_server process;
    char url[128]; /* with a query, to which &NAME=VALUE can be added */
};

/* Whether it is installed; says so once when it is not. */
bool postgres_server_is_there(void);

/* Start it, with `more` arguments (NULL-terminated, or NULL), and wait until it
 * takes connections; of the same data when it ran before.  It waits for no
 * disk unless `more` has fsync=on. */
void
postgres_server_start(struct postgres_server *server, const char *const *more);

/* End it at once, as when it crashes. */
void postgres_server_kill(struct postgres_server *server);

/* End it and remove its folder. */
void postgres_server_remove(struct postgres_server *server);

/* The first value that `sql` gives, as text in `out`. */
void postgres_server_ask(const struct postgres_server *server, const char *sql,
                         char *out, size_t room);

#endif
