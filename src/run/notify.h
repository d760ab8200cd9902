#ifndef GUACO__RUN_NOTIFY_H
#define GUACO__RUN_NOTIFY_H

/*
 * What the service manager is told, by sd_notify(3)'s protocol: datagrams of
 * "NAME=VALUE" lines to the socket that NOTIFY_SOCKET names.  Without that
 * variable nothing is sent.  When WATCHDOG_USEC asks for it, a sign of life
 * leaves twice in that time.
 *
 * Threads: the loop's only.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guaco/error.h"
#include "io/loop.h"
#include "io/timer.h"

struct guaco__notify {
    struct sockaddr_un address; /* private, as all of it */
    socklen_t len;              /* 0: nobody listens */
    int fd;
    struct guaco__timer watchdog;
    uint64_t watchdog_ms;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of `envp`.  Returns 0,
 * GUACO_E_INVALID (not the path of a socket) or GUACO_E_IO. */
int guaco__notify_open(struct guaco__notify *notify, struct guaco__loop *loop,
                       const char *const *envp, struct guaco_error *err);

/* Also of one that was only zeroed. */
void guaco__notify_close(struct guaco__notify *notify);

/* READY=1: started, or done with reloading. */
void guaco__notify_ready(struct guaco__notify *notify);

/* RELOADING=1, until ready. */
void guaco__notify_reloading(struct guaco__notify *notify);
void guaco__notify_stopping(struct guaco__notify *notify);

/* STATUS=..., one line for a person. */
void guaco__notify_status(struct guaco__notify *notify, const char *text);

/* MAINPID=...: another process is the service from now on. */
void guaco__notify_main_pid(struct guaco__notify *notify, pid_t pid);

#endif
