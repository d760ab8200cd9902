/* The channel to children: the contract is in run/channel.h. */

#include "run/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * GUACO__CHANNEL_FDS_MAX)];
};

int
guaco__channel_open(int *ours, int *theirs, struct guaco_error *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "make a channel");
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        int sys = errno;
        close(ends[0]);
        close(ends[1]);
        return guaco_fail(err, GUACO_E_IO, sys, "make a channel");
    }
    *ours = ends[0];
    *theirs = ends[1];
    return GUACO_OK;
}

static int
failed(void)
{
    switch (errno) {
    case EAGAIN: return GUACO_E_AGAIN;
    case EPIPE:
    case ECONNRESET: return GUACO_E_CLOSED;
    case EMSGSIZE: return GUACO_E_LIMIT;
    default: return GUACO_E_IO;
    }
}

int
guaco__channel_send(int fd, const void *message, size_t len, const int *fds,
                    size_t fd_count)
{
    union control control;
    struct iovec part = {(void *)(uintptr_t)message, len};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    assert(len > 0); /* an empty message would look like an end of file */
    assert(fd_count <= GUACO__CHANNEL_FDS_MAX);
    if (len > GUACO__CHANNEL_MESSAGE_MAX)
        return GUACO_E_LIMIT;
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    do
        n = sendmsg(fd, &head, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    assert(n < 0 || (size_t)n == len);
    return n < 0 ? failed() : GUACO_OK;
}

/* Take the descriptors out of a message; close them where there is no place. */
static void
take_fds(struct msghdr *head, int *fds, size_t *fd_count)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL;
         c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
            if (fds != NULL && *fd_count < GUACO__CHANNEL_FDS_MAX)
                fds[(*fd_count)++] = got;
            else
                close(got);
        }
    }
}

int
guaco__channel_receive(int fd, void *message, size_t room, size_t *len,
                       int *fds, size_t *fd_count)
{
    union control control;
    struct iovec part = {message, room};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes};
    size_t none = 0;
    ssize_t n;

    assert(room > 0);
    do
        n = recvmsg(fd, &head, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return failed();
    if (fd_count != NULL)
        *fd_count = 0;
    take_fds(&head, fds, fd_count == NULL ? &none : fd_count);
    if (n == 0)
        return GUACO_E_CLOSED;
    if ((head.msg_flags & MSG_TRUNC) != 0) {
        for (size_t i = 0; fds != NULL && i < *fd_count; i++)
            close(fds[i]);
        return GUACO_E_LIMIT;
    }
    *len = (size_t)n;
    return GUACO_OK;
}
