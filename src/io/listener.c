/*
 * What happens without descriptors: accept fails with EMFILE while the socket
 * stays readable, and a level-triggered loop would spin.  The listener rests
 * REST_MS and tries again; the clients wait in the kernel's queue meanwhile.
 * (The other answer, a spare descriptor that is given up to accept and close,
 * turns a short shortage into refused clients.)
 */

#include "io/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "io/loop.h"

enum {
    BATCH = 64, /* accepted in one turn: open connections wait too */
    REST_MS = 100,
    YIELD_MS = 1,
};

static bool
is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS ||
           error == ENOMEM;
}

static void
rest(struct guaco__listener *listener, int error)
{
    if (!listener->is_starved) {
        struct guaco_error err = {0};
        guaco_fail(&err, GUACO_E_IO, error, "cannot accept");
        guaco__log(listener->log, GUACO_LOG_ERROR, "listener",
                   "%s; waiting for descriptors", err.text);
    }
    listener->is_starved = true;
    guaco__watch_stop(&listener->watch);
    guaco__timer_start_ms(&listener->rest, REST_MS);
}

/* Leave what waits to the others for a moment. */
static bool
yields(struct guaco__listener *listener)
{
    if (listener->may_accept == NULL || listener->has_yielded ||
        listener->may_accept(listener))
        return false;
    listener->has_yielded = true;
    if (guaco__watch_set(&listener->watch, 0) == GUACO_OK)
        guaco__timer_start_ms(&listener->rest, YIELD_MS);
    return true;
}

static void
on_readable(struct guaco__watch *watch, unsigned events)
{
    struct guaco__listener *listener =
        GUACO__OF(watch, struct guaco__listener, watch);

    (void)events;
    for (int i = 0; i < BATCH && !listener->is_paused; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        if (yields(listener))
            return;
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        listener->has_yielded = false;
        if (fd >= 0) {
            listener->is_starved = false;
            listener->on_accept(listener, fd, &from);
        } else if (is_shortage(errno)) {
            rest(listener, errno);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } /* else the connection broke before it was accepted (accept(2)) */
    }
}

static void
on_rested(struct guaco__timer *timer)
{
    struct guaco__listener *listener =
        GUACO__OF(timer, struct guaco__listener, rest);

    if (!listener->is_paused && guaco__listener_resume(listener, NULL) < 0)
        guaco__timer_start_ms(timer, REST_MS);
}

static int
option(int fd, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

int
guaco__listener_init(struct guaco__listener *listener, struct guaco__loop *loop,
                     int fd, const struct guaco_log *log,
                     guaco__accept_fn *on_accept, struct guaco_error *err)
{
    int family = option(fd, SO_DOMAIN);
    int flags = fcntl(fd, F_GETFL);
    int one = 1;

    if (option(fd, SO_TYPE) != SOCK_STREAM || option(fd, SO_ACCEPTCONN) != 1)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "descriptor %d is not a listening stream socket", fd);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "fcntl of descriptor %d", fd);
    /* Linux lets accepted sockets inherit it: one call in place of one each */
    if (family != AF_UNIX &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "set TCP_NODELAY");

    memset(listener, 0, sizeof(*listener));
    guaco__timer_init(&listener->rest, loop, on_rested);
    listener->log = log;
    listener->on_accept = on_accept;
    listener->fd = fd;
    listener->family = family;
    listener->is_paused = true;
    return GUACO_OK;
}

int
guaco__listener_resume(struct guaco__listener *listener,
                       struct guaco_error *err)
{
    assert(listener->fd >= 0);
    listener->is_paused = false;
    if (guaco__watch_is_started(&listener->watch))
        return guaco__watch_set(&listener->watch, GUACO__READABLE);
    guaco__timer_stop(&listener->rest);
    return guaco__watch_start(&listener->watch, listener->rest.loop,
                              listener->fd, GUACO__READABLE, on_readable, err);
}

void
guaco__listener_pause(struct guaco__listener *listener)
{
    listener->is_paused = true;
    guaco__timer_stop(&listener->rest);
    /* out of epoll: with SO_REUSEPORT the kernel goes on choosing this socket,
     * and its queue is this worker's or its successor's to serve */
    guaco__watch_stop(&listener->watch);
}

void
guaco__listener_close(struct guaco__listener *listener)
{
    if (listener->fd < 0)
        return;
    guaco__listener_pause(listener);
    close(listener->fd);
    listener->fd = -1;
}
