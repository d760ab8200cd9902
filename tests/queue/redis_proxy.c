#include "redis_proxy.h"

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../test.h"

#define PAIRS_MAX 16

/* A connection of a client, and ours to the server (-1: we are it). */
struct pair {
    int client, server;
    int owed; /* answers to scripts that are on their way */
};

static struct sockaddr_un
address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path));
    return address;
}

static void
end_pair(struct pair *pair)
{
    close(pair->client);
    if (pair->server >= 0)
        close(pair->server);
    pair->client = -1;
}

static int
count_of(const char *bytes, size_t len, const char *word)
{
    int n = 0;

    for (const char *at = bytes; (at = memmem(at, len - (size_t)(at - bytes),
                                              word, strlen(word))) != NULL;
         at++)
        n++;
    return n;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* What a server says to a login: yes to all, and two digests. */
static bool
answer_as_server(const struct redis_proxy *proxy, int fd, const char *bytes,
                 size_t len)
{
    static const char sha[] = "$40\r\n"
                              "0123456789012345678901234567890123456789\r\n";

    for (int i = count_of(bytes, len, "SETNAME"); i > 0; i--)
        if (!send_all(fd, "+OK\r\n", 5))
            return false;
    for (int i = count_of(bytes, len, "INFO\r\n"); i > 0; i--)
        if (!send_all(fd, "$-1\r\n", 5))
            return false;
    for (int i = count_of(bytes, len, "\r\nLOAD\r\n"); i > 0; i--)
        if (!send_all(fd, sha, sizeof sha - 1))
            return false;
    for (int i = count_of(bytes, len, "EVALSHA"); i > 0; i--)
        if (!send_all(fd, proxy->says, strlen(proxy->says)))
            return false;
    return true;
}

static bool
pass_on(struct redis_proxy *proxy, struct pair *pair, bool from_client)
{
    static _Thread_local char bytes[1 << 16];
    ssize_t n =
        recv(from_client ? pair->client : pair->server, bytes, sizeof bytes, 0);

    if (n <= 0)
        return false;
    if (from_client) {
        pair->owed += count_of(bytes, (size_t)n, "EVALSHA");
        if (pair->server < 0)
            return answer_as_server(proxy, pair->client, bytes, (size_t)n);
        return send_all(pair->server, bytes, (size_t)n);
    }
    if (pair->owed > 0) {
        pair->owed = 0;
        if (atomic_load(&proxy->swallow) > 0) {
            atomic_fetch_sub(&proxy->swallow, 1);
            atomic_fetch_add(&proxy->swallowed, 1);
            return false;
        }
    }
    return send_all(pair->client, bytes, (size_t)n);
}

static void
accept_pair(struct redis_proxy *proxy, struct pair *pairs)
{
    struct pair pair = {.client = accept(proxy->listen_fd, NULL, NULL),
                        .server = -1};

    if (pair.client < 0)
        return;
    atomic_fetch_add(&proxy->connections, 1);
    if (proxy->server != NULL) {
        struct sockaddr_un to = address_of(proxy->server);
        pair.server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(pair.server, (const struct sockaddr *)&to, sizeof to) !=
            0) {
            end_pair(&pair);
            return;
        }
    }
    for (int i = 0; i < PAIRS_MAX; i++)
        if (pairs[i].client < 0) {
            pairs[i] = pair;
            return;
        }
    end_pair(&pair);
}

static void *
proxy_main(void *arg)
{
    struct redis_proxy *proxy = arg;
    struct pair pairs[PAIRS_MAX];

    for (int i = 0; i < PAIRS_MAX; i++)
        pairs[i].client = -1;
    for (;;) {
        struct pollfd fds[2 * PAIRS_MAX + 1];
        for (int i = 0; i < PAIRS_MAX; i++) {
            bool is_open = pairs[i].client >= 0;
            fds[2 * i] =
                (struct pollfd){is_open ? pairs[i].client : -1, POLLIN, 0};
            fds[2 * i + 1] =
                (struct pollfd){is_open ? pairs[i].server : -1, POLLIN, 0};
        }
        fds[2 * PAIRS_MAX] = (struct pollfd){proxy->listen_fd, POLLIN, 0};
        if (poll(fds, 2 * PAIRS_MAX + 1, -1) < 0)
            continue;
        if ((fds[2 * PAIRS_MAX].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
            break;
        for (int i = 0; i < 2 * PAIRS_MAX; i++)
            if (fds[i].revents != 0 && pairs[i / 2].client >= 0 &&
                !pass_on(proxy, &pairs[i / 2], i % 2 == 0))
                end_pair(&pairs[i / 2]);
        if (fds[2 * PAIRS_MAX].revents != 0)
            accept_pair(proxy, pairs);
    }
    for (int i = 0; i < PAIRS_MAX; i++)
        if (pairs[i].client >= 0)
            end_pair(&pairs[i]);
    return NULL;
}

void
redis_proxy_start(struct redis_proxy *proxy, const char *path)
{
    struct sockaddr_un address;

    snprintf(proxy->path, sizeof proxy->path, "%s", path);
    (void)unlink(path);
    address = address_of(path);
    proxy->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(proxy->listen_fd >= 0);
    assert_int_equal(bind(proxy->listen_fd, (const struct sockaddr *)&address,
                          sizeof address),
                     0);
    assert_int_equal(listen(proxy->listen_fd, 16), 0);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_main, proxy),
                     0);
}

void
redis_proxy_stop(struct redis_proxy *proxy)
{
    shutdown(proxy->listen_fd, SHUT_RDWR);
    pthread_join(proxy->thread, NULL);
    close(proxy->listen_fd);
    (void)unlink(proxy->path);
}
