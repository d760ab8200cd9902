#ifndef GUACO_TEST_QUEUE_REDIS_PROXY_H
#define GUACO_TEST_QUEUE_REDIS_PROXY_H

/*
 * Stands between a broker and its server and breaks connections at the worst
 * moment; or is itself a server, that says what it is told to.
 */

#include <pthread.h>
#include <stdatomic.h>

struct redis_proxy {
    char path[96];      /* of its socket */
    const char *server; /* of the real one; NULL: it is the server */
    const char *says;   /* then: the answer to each script */
    atomic_int swallow; /* so many answers to scripts are thrown away, and
                              the connection with each */
    atomic_int swallowed;
    atomic_int connections; /* made so far */
    int listen_fd;
    pthread_t thread;
};

/* `path` is where the socket goes. */
void redis_proxy_start(struct redis_proxy *proxy, const char *path);
void redis_proxy_stop(struct redis_proxy *proxy);

#endif
