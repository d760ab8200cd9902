#include "memory_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "front.h"
#include "os/process.h"
#include "remote_link.h"

#define CONNS_MAX  1024u
#define TOPICS_MAX 65536u       /* of a connection */
#define READ_BYTES 65536u       /* at a time */
#define KEEP_BYTES (1u << 20)   /* of a buffer between two requests */
#define RUN_BYTES  (256u << 20) /* of what a request is read into */
#define BACKLOG    128
#define FDS_FIXED  2u /* the server's own in what is polled */
#define FDS_EACH   2u /* a connection's */

struct conn {
    struct guaco__list link; /* of server->conns */
    struct guaco__memory_server *server;
    int fd;
    int notice_fd; /* -1 before HELLO */
    int pidfd;     /* -1: unknown; a forked child may hold copies of both */
    bool is_over;
    struct guaco__buf in;
    struct guaco__buf out;    /* of an answer; nothing is read meanwhile */
    struct guaco__map topics; /* key -> struct proxy */
};

/* A listener at our broker for one of a process. */
struct proxy {
    struct guaco__listener listener;
    struct conn *conn;
    size_t key_len;
    char key[GUACO__WIRE_NOTICE_MAX];
};

struct guaco__memory_server {
    struct guaco_broker *broker;
    int listen_fd;
    int kick_fd;
    pthread_t thread;
    struct guaco__list conns;
    size_t conn_count;
    struct guaco__arena arena;
};

/* ---- telling ---- */

/* The front's lock is held.  A process that does not read what it is told has
 * its socket shut down: it connects again and looks for itself. */
static uint32_t
wake(struct guaco__listener *listener, const struct guaco__notice *notice)
{
    struct proxy *proxy = GUACO__OF(listener, struct proxy, listener);
    struct guaco__notice one = *notice;
    char packet[GUACO__WIRE_NOTICE_MAX];

    /* Who claims then finds whether there are more, and wakes the next. */
    if (notice->kind == GUACO__NOTICE_TASKS) {
        one.count = 1;
        guaco__list_remove(&listener->link); /* used up */
    }
    if (send(proxy->conn->notice_fd, packet,
             guaco__wire_put_notice(packet, &one),
             MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        (void)shutdown(proxy->conn->notice_fd, SHUT_RDWR);
    return notice->kind == GUACO__NOTICE_TASKS;
}

static struct guaco_slice
key_of(struct guaco__notice notice, char *bytes)
{
    notice.count = 0;
    notice.due_ms = 0;
    return (struct guaco_slice){bytes, guaco__wire_put_notice(bytes, &notice)};
}

static int
listen_to(struct conn *conn, const struct guaco__notice *notice)
{
    struct guaco_broker *broker = conn->server->broker;
    char bytes[GUACO__WIRE_NOTICE_MAX];
    struct guaco_slice key = key_of(*notice, bytes);
    struct proxy *proxy = guaco__map_get(&conn->topics, key);

    if (proxy == NULL) {
        proxy = calloc(1, sizeof *proxy);
        if (proxy == NULL)
            return GUACO_E_NOMEM;
        proxy->conn = conn;
        proxy->key_len = key.len;
        memcpy(proxy->key, key.at, key.len);
        proxy->listener.wake = wake;
        proxy->listener.topic = *notice;
        guaco__list_init(&proxy->listener.link);
        int rc = guaco__map_put(
            &conn->topics, (struct guaco_slice){proxy->key, key.len}, proxy);
        if (rc != GUACO_OK) {
            free(proxy);
            return rc;
        }
    }
    return guaco__front_listen(broker, &proxy->listener, NULL);
}

static void
listen_no_more(struct conn *conn, const struct guaco__notice *notice)
{
    char bytes[GUACO__WIRE_NOTICE_MAX];
    struct proxy *proxy =
        guaco__map_take(&conn->topics, key_of(*notice, bytes));

    if (proxy == NULL)
        return;
    guaco__front_unlisten(conn->server->broker, &proxy->listener);
    free(proxy);
}

/* ---- frames ---- */

static int
take_run(struct conn *conn, struct guaco_slice payload)
{
    struct guaco__memory_server *server = conn->server;
    struct guaco__wire_run run;
    struct guaco_error err = {0};
    size_t start;

    int rc = guaco__wire_get_run(&server->arena, payload, &run);
    if (rc == GUACO_OK) {
        int ran = guaco__front_run(server->broker, run.ops, run.n, &err);
        rc = guaco__wire_begin(&conn->out, GUACO__WIRE_ANSWER, &start);
        if (rc == GUACO_OK)
            rc = guaco__wire_put_answer(&conn->out, &run, ran, &err);
        if (rc == GUACO_OK)
            rc = guaco__wire_end(&conn->out, start, GUACO__WIRE_DOWN_MAX);
    }
    guaco__wire_run_release(&run);
    guaco__arena_reset(&server->arena);
    return rc;
}

static int
take_listen(struct conn *conn, struct guaco_slice payload)
{
    struct guaco__notice notice;

    if (payload.len < 1 || (payload.at[0] != 0 && payload.at[0] != 1))
        return GUACO_E_PROTO;
    int rc = guaco__wire_get_notice(
        (struct guaco_slice){payload.at + 1, payload.len - 1}, &notice);
    if (rc != GUACO_OK)
        return rc;
    if (payload.at[0] == 1)
        return listen_to(conn, &notice);
    listen_no_more(conn, &notice);
    return GUACO_OK;
}

static int
take_ring(struct conn *conn, struct guaco_slice payload)
{
    struct guaco_broker *broker = conn->server->broker;
    struct guaco__notice notice;
    int rc = guaco__wire_get_notice(payload, &notice);

    if (rc != GUACO_OK || notice.kind != GUACO__NOTICE_TASKS)
        return GUACO_E_PROTO;
    pthread_mutex_lock(&broker->lock);
    (void)guaco__front_tell(broker, &notice);
    pthread_mutex_unlock(&broker->lock);
    return GUACO_OK;
}

static int
welcome(struct conn *conn)
{
    size_t start;
    int rc = guaco__wire_begin(&conn->out, GUACO__WIRE_WELCOME, &start);

    return rc != GUACO_OK ? rc : guaco__wire_end(&conn->out, start, 0);
}

static int
take_frame(struct conn *conn, const struct guaco__wire_frame *frame)
{
    if (conn->notice_fd < 0)
        return GUACO_E_PROTO; /* no socket came with the first bytes */
    switch (frame->type) {
    case GUACO__WIRE_HELLO: return welcome(conn);
    case GUACO__WIRE_RUN: return take_run(conn, frame->payload);
    case GUACO__WIRE_LISTEN: return take_listen(conn, frame->payload);
    case GUACO__WIRE_RING: return take_ring(conn, frame->payload);
    case GUACO__WIRE_WELCOME:
    case GUACO__WIRE_ANSWER: break;
    }
    return GUACO_E_PROTO;
}

/* ---- a connection ---- */

/* Until there is something to send; false if there is not.  One of another
 * version is answered, so that it can say so. */
static bool
take_frames(struct conn *conn)
{
    struct guaco__wire_frame frame;
    size_t taken;
    int rc = GUACO_OK;

    while (rc == GUACO_OK && conn->out.len == 0) {
        rc = guaco__wire_frame(guaco__buf_slice(&conn->in), GUACO__WIRE_UP_MAX,
                               &frame, &taken);
        if (rc == GUACO_E_AGAIN)
            return false;
        if (rc == GUACO_E_UNSUPPORTED)
            (void)welcome(conn);
        if (rc == GUACO_OK)
            rc = take_frame(conn, &frame);
        if (rc == GUACO_OK)
            guaco__buf_drop(&conn->in, taken);
    }
    conn->is_over = conn->is_over || rc != GUACO_OK;
    return conn->out.len > 0;
}

/* The socket for notices comes with the first bytes; all others are closed. */
static void
take_rights(struct conn *conn, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL;
         c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (conn->notice_fd < 0)
                conn->notice_fd = fd;
            else
                close(fd);
        }
    }
}

static void
read_more(struct conn *conn)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;

    if (guaco__buf_reserve(&conn->in, READ_BYTES) != GUACO_OK) {
        conn->is_over = true;
        return;
    }
    struct iovec part = {guaco__buf_end(&conn->in), guaco__buf_free(&conn->in)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n >= 0)
        take_rights(conn, &message);
    if (n <= 0) {
        conn->is_over = true;
        return;
    }
    guaco__buf_commit(&conn->in, (size_t)n);
}

static void
write_more(struct conn *conn)
{
    ssize_t n = send(conn->fd, guaco__buf_data(&conn->out), conn->out.len,
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0)
        guaco__buf_drop(&conn->out, (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        conn->is_over = true;
    if (conn->out.len == 0 && conn->out.room > KEEP_BYTES)
        guaco__buf_release(&conn->out);
    if (conn->in.len == 0 && conn->in.room > KEEP_BYTES)
        guaco__buf_release(&conn->in);
}

static void
serve_conn(struct conn *conn)
{
    if (conn->out.len > 0)
        write_more(conn);
    else
        read_more(conn);
    while (conn->out.len == 0 && !conn->is_over && take_frames(conn))
        write_more(conn);
}

static void
free_conn(struct conn *conn)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(&conn->topics, &at, NULL, &value)) {
        struct proxy *proxy = value;
        guaco__front_unlisten(conn->server->broker, &proxy->listener);
        free(proxy);
    }
    guaco__map_release(&conn->topics);
    guaco__buf_release(&conn->in);
    guaco__buf_release(&conn->out);
    close(conn->fd);
    if (conn->notice_fd >= 0)
        close(conn->notice_fd);
    if (conn->pidfd >= 0)
        close(conn->pidfd);
    guaco__list_remove(&conn->link);
    conn->server->conn_count--;
    free(conn);
}

static int
pidfd_of(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    int pidfd = -1;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
        guaco__process_open(peer.pid, &pidfd, NULL) != GUACO_OK)
        pidfd = -1;
    return pidfd;
}

static void
accept_conn(struct guaco__memory_server *server)
{
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    struct conn *conn = NULL;

    if (fd < 0)
        return;
    if (guaco__link_is_ours(fd))
        conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->server = server;
    conn->fd = fd;
    conn->notice_fd = -1;
    conn->pidfd = pidfd_of(fd);
    guaco__buf_init(&conn->in, GUACO__WIRE_UP_MAX + 2 * READ_BYTES);
    guaco__buf_init(&conn->out, GUACO__WIRE_DOWN_MAX + READ_BYTES);
    guaco__map_init(&conn->topics, TOPICS_MAX);
    guaco__list_init(&conn->link);
    guaco__list_push(&server->conns, &conn->link);
    server->conn_count++;
}

/* ---- the thread ---- */

static size_t
fill_fds(const struct guaco__memory_server *server, struct pollfd *fds)
{
    bool has_room = server->conn_count < CONNS_MAX;
    size_t n = 0;

    fds[n++] = (struct pollfd){server->kick_fd, POLLIN, 0};
    fds[n++] = (struct pollfd){has_room ? server->listen_fd : -1, POLLIN, 0};
    for (const struct guaco__list *l = server->conns.next; l != &server->conns;
         l = l->next) {
        const struct conn *conn = GUACO__OF(l, struct conn, link);
        fds[n++] =
            (struct pollfd){conn->fd, conn->out.len > 0 ? POLLOUT : POLLIN, 0};
        fds[n++] = (struct pollfd){conn->pidfd, POLLIN, 0};
    }
    return n;
}

static void
serve_conns(struct guaco__memory_server *server, const struct pollfd *fds)
{
    struct guaco__list *next;

    for (struct guaco__list *l = server->conns.next; l != &server->conns;
         l = next, fds += FDS_EACH) {
        struct conn *conn = GUACO__OF(l, struct conn, link);
        next = l->next;
        if (fds[0].revents != 0)
            serve_conn(conn);
        if (conn->is_over || fds[1].revents != 0)
            free_conn(conn);
    }
}

static void *
server_main(void *arg)
{
    struct guaco__memory_server *server = arg;
    struct pollfd fds[FDS_FIXED + FDS_EACH * CONNS_MAX];

    (void)prctl(PR_SET_NAME, "guaco-memory");
    for (;;) {
        size_t n = fill_fds(server, fds);
        if (poll(fds, n, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            return NULL;
        serve_conns(server, fds + FDS_FIXED);
        if (fds[1].revents != 0)
            accept_conn(server); /* last: fds are of those before */
    }
}

/* ---- life ---- */

static void
release(struct guaco__memory_server *server)
{
    guaco__arena_release(&server->arena);
    close(server->listen_fd);
    if (server->kick_fd >= 0)
        close(server->kick_fd);
    free(server);
}

static int
start_thread(struct guaco__memory_server *server)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&server->thread, NULL, server_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int
guaco__memory_server_open(struct guaco__memory_server **out,
                          struct guaco_broker *broker, int listen_fd,
                          struct guaco_error *err)
{
    struct guaco__memory_server *server = calloc(1, sizeof *server);

    *out = NULL;
    if (server == NULL) {
        close(listen_fd);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "a memory server");
    }
    server->broker = broker;
    server->listen_fd = listen_fd;
    guaco__list_init(&server->conns);
    guaco__arena_init(&server->arena, 16384, RUN_BYTES);
    server->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int sys = server->kick_fd < 0 ? errno : start_thread(server);
    if (sys != 0) {
        release(server);
        return guaco_fail(err, GUACO_E_IO, sys, "a memory server");
    }
    *out = server;
    return GUACO_OK;
}

void
guaco__memory_server_close(struct guaco__memory_server *server)
{
    const uint64_t one = 1;
    struct guaco__list *link;

    if (server == NULL)
        return;
    (void)!write(server->kick_fd, &one, sizeof one);
    (void)pthread_join(server->thread, NULL);
    while ((link = guaco__list_first(&server->conns)) != NULL)
        free_conn(GUACO__OF(link, struct conn, link));
    release(server);
}

int
guaco__memory_socket(int *fd, char *name, size_t room, struct guaco_error *err)
{
    struct sockaddr_un address;
    uint64_t number[2];

    if (guaco__rand_bytes(number, sizeof number) != GUACO_OK)
        return guaco_fail(err, GUACO_E_IO, errno, "memory: random bytes");
    snprintf(name, room, "guaco-memory-%016llx%016llx",
             (unsigned long long)number[0], (unsigned long long)number[1]);
    socklen_t len = guaco__link_address(name, &address);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd >= 0 && bind(*fd, (const struct sockaddr *)&address, len) == 0 &&
        listen(*fd, BACKLOG) == 0)
        return GUACO_OK;
    int sys = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return guaco_fail(err, GUACO_E_IO, sys, "memory: a socket");
}
