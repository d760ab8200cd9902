#include "remote_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/clock.h"

#define READ_BYTES 65536u
#define KEEP_BYTES (1u << 20) /* of a buffer between two answers */

bool
guaco__link_is_ours(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           peer.uid == geteuid();
}

unsigned
guaco__link_address(const char *name, struct sockaddr_un *address)
{
    size_t len = strlen(name);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len + 1 > sizeof address->sun_path)
        return 0;
    memcpy(address->sun_path + 1, name, len);
    return (unsigned)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

/* ---- life ---- */

void
guaco__link_init(struct guaco__link *link)
{
    link->fd = link->notice_fd = -1;
    guaco__buf_init(&link->in, GUACO__WIRE_DOWN_MAX + READ_BYTES);
}

void
guaco__link_drop(struct guaco__link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    if (link->notice_fd >= 0)
        close(link->notice_fd);
    link->fd = link->notice_fd = -1;
    guaco__buf_reset(&link->in);
}

void
guaco__link_shut(const struct guaco__link *link)
{
    (void)shutdown(link->fd, SHUT_RDWR);
    (void)shutdown(link->notice_fd, SHUT_RDWR);
}

bool
guaco__link_is_dead(const struct guaco__link *link)
{
    struct pollfd look = {.fd = link->notice_fd, .events = POLLRDHUP};

    return link->fd >= 0 && poll(&look, 1, 0) > 0 && look.revents != 0;
}

void
guaco__link_release(struct guaco__link *link)
{
    guaco__link_drop(link);
    guaco__buf_release(&link->in);
}

/* ---- waiting ---- */

static int
wait_ready(int fd, short events, uint64_t deadline_ns, struct guaco_error *err)
{
    struct pollfd wait = {.fd = fd, .events = events};

    for (;;) {
        uint64_t now_ns = guaco__clock_mono_ns();
        uint64_t left_ms =
            now_ns < deadline_ns ? (deadline_ns - now_ns) / 1000000u + 1 : 0;
        int n = poll(&wait, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0)
            return GUACO_OK;
        if (n < 0 && errno != EINTR)
            return guaco_fail(err, GUACO_E_IO, errno, "memory: poll");
        if (guaco__clock_mono_ns() >= deadline_ns)
            return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                              "memory: the keeper does not answer");
    }
}

static int
gone(struct guaco_error *err)
{
    return guaco_fail(err, GUACO_E_IO, 0,
                      "memory: its keeper has ended, and the tasks and results "
                      "in it are gone; sqlite:///FILE keeps them");
}

/* ---- traffic ---- */

int
guaco__link_send(struct guaco__link *link, struct guaco_slice frames,
                 uint64_t deadline_ns, struct guaco_error *err)
{
    size_t sent = 0;

    assert(link->fd >= 0);
    while (sent < frames.len) {
        ssize_t n = send(link->fd, frames.at + sent, frames.len - sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            int rc = wait_ready(link->fd, POLLOUT, deadline_ns, err);
            if (rc != GUACO_OK)
                return rc;
        } else if (n < 0 && errno != EINTR) {
            return gone(err);
        }
    }
    return GUACO_OK;
}

/* More bytes into link->in. */
static int
read_more(struct guaco__link *link, uint64_t deadline_ns,
          struct guaco_error *err)
{
    int rc = guaco__buf_reserve(&link->in, READ_BYTES);

    if (rc != GUACO_OK)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "memory: an answer");
    for (;;) {
        rc = wait_ready(link->fd, POLLIN, deadline_ns, err);
        if (rc != GUACO_OK)
            return rc;
        ssize_t n = recv(link->fd, guaco__buf_end(&link->in),
                         guaco__buf_free(&link->in), MSG_DONTWAIT);
        if (n > 0) {
            guaco__buf_commit(&link->in, (size_t)n);
            return GUACO_OK;
        }
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return gone(err);
    }
}

int
guaco__link_receive(struct guaco__link *link, enum guaco__wire_type type,
                    uint64_t deadline_ns, struct guaco_slice *payload,
                    struct guaco_error *err)
{
    struct guaco__wire_frame frame;
    size_t taken;

    assert(link->fd >= 0);
    if (link->in.room > KEEP_BYTES)
        guaco__buf_release(&link->in);
    guaco__buf_reset(&link->in);
    for (;;) {
        int rc = guaco__wire_frame(guaco__buf_slice(&link->in),
                                   GUACO__WIRE_DOWN_MAX, &frame, &taken);
        if (rc == GUACO_E_AGAIN)
            rc = read_more(link, deadline_ns, err);
        else if (rc == GUACO_E_UNSUPPORTED)
            return guaco_fail(err, rc, 0,
                              "memory: its keeper is of another version");
        /* One request, one answer: nothing may follow it. */
        else if (rc != GUACO_OK || frame.type != type || taken != link->in.len)
            return guaco_fail(err, GUACO_E_PROTO, 0,
                              "memory: the keeper's answer cannot be read");
        else
            break;
        if (rc != GUACO_OK)
            return rc;
    }
    *payload = frame.payload;
    return GUACO_OK;
}

int
guaco__link_hear(struct guaco__link *link, struct guaco__notice *notice)
{
    char packet[GUACO__WIRE_NOTICE_MAX + 1];

    if (link->notice_fd < 0)
        return GUACO_E_AGAIN;
    ssize_t n = recv(link->notice_fd, packet, sizeof packet, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return GUACO_E_AGAIN;
    if (n <= 0)
        return GUACO_E_CLOSED;
    return guaco__wire_get_notice((struct guaco_slice){packet, (size_t)n},
                                  notice);
}

/* ---- connecting ---- */

/* HELLO with the other end of our socket for notices. */
static int
say_hello(struct guaco__link *link, int theirs, struct guaco_error *err)
{
    char head[GUACO__WIRE_HEAD_BYTES] = {
        0, 0, 0, 0, GUACO__WIRE_VERSION, GUACO__WIRE_HELLO};
    struct iovec part = {head, sizeof head};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof theirs);
    memcpy(CMSG_DATA(rights), &theirs, sizeof theirs);
    if (sendmsg(link->fd, &message, MSG_NOSIGNAL) == sizeof head)
        return GUACO_OK;
    return gone(err);
}

static int
shake_hands(struct guaco__link *link, uint64_t deadline_ns,
            struct guaco_error *err)
{
    struct guaco_slice nothing;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "memory: socketpair");
    link->notice_fd = pair[0];
    int rc = say_hello(link, pair[1], err);
    close(pair[1]);
    if (rc == GUACO_OK)
        rc = guaco__link_receive(link, GUACO__WIRE_WELCOME, deadline_ns,
                                 &nothing, err);
    return rc;
}

int
guaco__link_connect(struct guaco__link *link, const char *name,
                    uint64_t deadline_ns, struct guaco_error *err)
{
    struct sockaddr_un address;
    socklen_t len = guaco__link_address(name, &address);
    int rc;

    assert(link->fd < 0);
    if (len == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s: no socket's name",
                          GUACO__MEMORY_SOCKET);
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "memory: socket");
    if (connect(link->fd, (const struct sockaddr *)&address, len) != 0)
        rc = guaco_fail(err, GUACO_E_IO, errno,
                        "memory: the supervisor that held it has ended");
    else if (!guaco__link_is_ours(link->fd))
        rc = guaco_fail(err, GUACO_E_IO, EPERM,
                        "memory: its socket is another user's");
    else
        rc = shake_hands(link, deadline_ns, err);
    if (rc != GUACO_OK)
        guaco__link_drop(link);
    return rc;
}
