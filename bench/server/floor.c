/*
 * The floor F of RESULTS.md: what the kernel takes for a request, and nothing
 * else.  One epoll loop, one recv and one send a readable socket, the same 13
 * bytes for every empty line received; nothing is parsed.
 *
 *     floor PORT
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "content-type: text/plain\r\n"
                               "content-length: 13\r\n"
                               "\r\n"
                               "Hello, world!";

static int
listener_open(unsigned short port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 1024) != 0) {
        perror("floor: bind");
        exit(1);
    }
    return fd;
}

static void
watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
accept_all(int epoll, int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, fd);
    }
}

/* Answer each whole request of one read; requests arrive whole here. */
static void
answer(int fd)
{
    static char in[65536], out[BATCH * sizeof response];
    const size_t len = sizeof response - 1;
    size_t filled = 0;

    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close(fd);
        return;
    }
    const char *at = in, *end = in + got;
    while (filled + len <= sizeof out &&
           (at = memmem(at, (size_t)(end - at), "\r\n\r\n", 4)) != NULL) {
        memcpy(out + filled, response, len);
        filled += len;
        at += 4;
    }
    if (send(fd, out, filled, MSG_NOSIGNAL) < 0)
        close(fd);
}

int
main(int argc, char **argv)
{
    char *end = NULL;
    long port = argc == 2 ? strtol(argv[1], &end, 10) : 0;

    if (port < 1 || port > 65535 || *end != '\0') {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    int listener = listener_open((unsigned short)port);
    int epoll = epoll_create1(0);

    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                answer(events[i].data.fd);
        }
    }
}
