#ifndef GUACO_TEST_QUEUE_PRIVATE_SERVER_H
#define GUACO_TEST_QUEUE_PRIVATE_SERVER_H

/* What the servers of a test program have in common: a folder, and a process
 * that the kernel ends with the program. */

#include <stdbool.h>
#include <sys/types.h>

struct private_server {
    pid_t pid;       /* 0: not running */
    char folder[64]; /* "": none */
};

/* Make the folder /tmp/guaco-NAME.XXXXXX, if there is none. */
void private_server_folder(struct private_server *server, const char *name);

/* Fork; the child runs exec_it(ctx), which does not return, with its output
 * and errors in a pipe, until that says `ready`. */
void private_server_start(struct private_server *server, const char *ready,
                          void (*exec_it)(const void *ctx), const void *ctx);

void private_server_kill(struct private_server *server, int signal);
void private_server_remove(struct private_server *server, int signal);

#endif
