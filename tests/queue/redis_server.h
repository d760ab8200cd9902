#ifndef GUACO_TEST_QUEUE_REDIS_SERVER_H
#define GUACO_TEST_QUEUE_REDIS_SERVER_H

/*
 * A Redis server of this test program's own: behind a Unix socket in a fresh
 * folder, without a port, and killed by the kernel when the program ends.
 */

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    char folder[64];
    char socket[96];
};

/* Whether redis-server is installed; says so once when it is not. */
bool redis_server_is_there(void);

/* Start it, with `more` arguments (NULL-terminated, or NULL), and wait until it
 * takes connections.  Data that it saved before is there again. */
void redis_server_start(struct redis_server *server, const char *const *more);

/* End it at once, as when its machine dies; what it did not save is gone. */
void redis_server_kill(struct redis_server *server);

/* End it and remove its folder. */
void redis_server_remove(struct redis_server *server);

/* Send one command as an inline line, and give the first line of the answer in
 * `out`. */
void redis_server_ask(const struct redis_server *server, const char *line,
                      char *out, size_t room);

#endif
