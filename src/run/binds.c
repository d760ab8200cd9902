/* Listening sockets: the contract is in run/binds.h. */

#include "run/binds.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scan.h"

#define DEFAULT_PORT "8000"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_storage room;
    } at;
    socklen_t len;
};

void
guaco__binds_init(struct guaco__binds *binds, size_t slots, int backlog)
{
    assert(slots >= 1);
    assert(slots <= GUACO__BIND_SLOTS_MAX);
    *binds = (struct guaco__binds){.slots = slots, .backlog = backlog};
}

static int
fail_bind(struct guaco_error *err, int sys, const char *text)
{
    return guaco_fail(err, sys == EADDRINUSE ? GUACO_E_EXISTS : GUACO_E_IO, sys,
                      "listen on %s", text);
}

/* A bound and listening socket.  Gives it in *fd. */
static int
listen_on(const struct address *a, bool shared, int backlog, const char *text,
          int *fd, struct guaco_error *err)
{
    int on = 1;
    int family = a->at.any.sa_family;

    *fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return fail_bind(err, errno, text);
    bool ok = family == AF_UNIX ||
              setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (ok && shared)
        ok = setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (ok && family == AF_INET6)
        ok = setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    if (ok && bind(*fd, &a->at.any, a->len) == 0 && listen(*fd, backlog) == 0)
        return GUACO_OK;

    int sys = errno;
    close(*fd);
    *fd = -1;
    return fail_bind(err, sys, text);
}

/* ---- TCP ---- */

/* The whole of a text as a number up to 65535. */
static bool
read_number(const char *text, int64_t *value)
{
    struct guaco__scan scan = {text, text + strlen(text)};

    return guaco__scan_number(&scan, 65535, value) && guaco__scan_done(&scan);
}

/* Split "HOST:PORT"; host[] and port[] have 64 and 8 bytes. */
static int
split(const char *text, char *host, char *port, struct guaco_error *err)
{
    const char *end = text + strlen(text);
    const char *colon = strrchr(text, ':');
    const char *from = text;
    const char *to;

    if (*text == '[') {
        to = strchr(text, ']');
        if (to == NULL || (to[1] != '\0' && to[1] != ':'))
            goto invalid;
        from++;
        colon = to[1] == ':' ? to + 1 : NULL;
    } else {
        if (colon != NULL && memchr(text, ':', (size_t)(colon - text)) != NULL)
            goto invalid; /* an IPv6 address without brackets */
        to = colon == NULL ? end : colon;
    }
    const char *number = colon == NULL ? DEFAULT_PORT : colon + 1;
    int64_t value;
    if (to - from > 63 || !read_number(number, &value))
        goto invalid;
    memcpy(host, from, (size_t)(to - from));
    host[to - from] = '\0';
    snprintf(port, 8, "%lld", (long long)value);
    return GUACO_OK;

invalid:
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "%.100s is not HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N",
                      text);
}

static int
resolve(const char *text, struct address *a, struct guaco_error *err)
{
    char host[64];
    char port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    int rc = split(text, host, port, err);
    if (rc != GUACO_OK)
        return rc;
    int why =
        getaddrinfo(*host == '\0' ? "0.0.0.0" : host, port, &hints, &found);
    if (why != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%.100s: %s", text,
                          gai_strerror(why));
    assert(found->ai_addrlen <= sizeof a->at);
    memcpy(&a->at, found->ai_addr, found->ai_addrlen);
    a->len = found->ai_addrlen;
    freeaddrinfo(found);
    return GUACO_OK;
}

/* The address of a bound socket as text. */
static void
describe(struct guaco__bind *bind, const struct address *a)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = a->at.any.sa_family == AF_INET6;
    const void *at = v6 ? (const void *)&a->at.v6.sin6_addr
                        : (const void *)&a->at.v4.sin_addr;
    unsigned port = ntohs(v6 ? a->at.v6.sin6_port : a->at.v4.sin_port);

    inet_ntop(a->at.any.sa_family, at, host, sizeof host);
    snprintf(bind->text, sizeof bind->text, v6 ? "[%s]:%u" : "%s:%u", host,
             port);
    snprintf(bind->url, sizeof bind->url, "%s://%s",
             bind->is_tls ? "https" : "http", bind->text);
}

/*
 * A port that another program holds with SO_REUSEPORT could be joined without
 * noticing.  So the first socket is bound without that option, which is refused
 * while anybody listens there, and chooses the port where it is 0; with one
 * slot, or one socket for all, it is also the one that is used.
 */
static int
add_tcp(struct guaco__binds *binds, struct guaco__bind *bind, const char *text,
        struct guaco_error *err)
{
    struct address a = {.len = 0};
    int first;

    int rc = resolve(text, &a, err);
    if (rc == GUACO_OK)
        rc = listen_on(&a, false, binds->backlog, text, &first, err);
    if (rc != GUACO_OK)
        return rc;
    if (getsockname(first, &a.at.any, &a.len) != 0) {
        rc = fail_bind(err, errno, text);
        close(first);
        return rc;
    }
    describe(bind, &a);
    assert(bind->fd_count == 0);
    if (binds->slots == 1 || !binds->is_divided) {
        bind->fds[0] = first;
        bind->is_shared = !binds->is_divided;
        bind->fd_count = 1;
        return GUACO_OK;
    }
    close(first);
    while (rc == GUACO_OK && bind->fd_count < binds->slots) {
        rc = listen_on(&a, true, binds->backlog, text,
                       &bind->fds[bind->fd_count], err);
        bind->fd_count += rc == GUACO_OK;
    }
    return rc;
}

/* ---- Unix sockets and inherited ones ---- */

/* Remove the file of a socket that nobody listens on. */
static int
remove_stale(const struct address *a, const char *text, struct guaco_error *err)
{
    struct stat st;

    if (lstat(a->at.un.sun_path, &st) != 0)
        return GUACO_OK;
    if (!S_ISSOCK(st.st_mode))
        return guaco_fail(err, GUACO_E_EXISTS, 0, "%s is not a socket", text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_bind(err, errno, text);
    bool refused =
        connect(fd, &a->at.any, a->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!refused)
        return fail_bind(err, EADDRINUSE, text);
    return unlink(a->at.un.sun_path) == 0 ? GUACO_OK
                                          : fail_bind(err, errno, text);
}

static int
add_unix(struct guaco__binds *binds, struct guaco__bind *bind, const char *text,
         struct guaco_error *err)
{
    struct address a = {.at.un.sun_family = AF_UNIX, .len = sizeof a.at.un};
    const char *path = text + strlen("unix:");
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof a.at.un.sun_path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a Unix socket's path has 1 to %zu bytes",
                          sizeof a.at.un.sun_path - 1);
    memcpy(a.at.un.sun_path, path, len + 1);
    int rc = remove_stale(&a, text, err);
    if (rc == GUACO_OK)
        rc = listen_on(&a, false, binds->backlog, text, &bind->fds[0], err);
    if (rc != GUACO_OK)
        return rc;
    bind->fd_count = 1;
    bind->is_shared = true;
    bind->is_ours = true;
    snprintf(bind->text, sizeof bind->text, "%s", text);
    snprintf(bind->url, sizeof bind->url, "%s", text);
    return GUACO_OK;
}

static int
add_inherited(struct guaco__bind *bind, const char *text,
              struct guaco_error *err)
{
    int64_t number;
    int listens = 0;
    socklen_t len = sizeof listens;

    if (!read_number(text + strlen("fd:"), &number))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.40s is neither fd:N nor the name of a socket of "
                          "LISTEN_FDNAMES",
                          text);
    int fd = (int)number;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0)
        return guaco_fail(err, GUACO_E_INVALID, errno, "%s", text);
    if (listens == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%s is not a listening socket", text);
    bind->fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (bind->fds[0] < 0)
        return fail_bind(err, errno, text);
    fcntl(fd, F_SETFD, FD_CLOEXEC); /* workers get it by the channel only */
    bind->fd_count = 1;
    bind->is_shared = true;

    struct address a = {.len = sizeof a.at};
    if (getsockname(fd, &a.at.any, &a.len) == 0 &&
        a.at.any.sa_family != AF_UNIX) {
        describe(bind, &a);
    } else {
        snprintf(bind->text, sizeof bind->text, "%s", text);
        snprintf(bind->url, sizeof bind->url, "%s", text);
    }
    return GUACO_OK;
}

/* Take sockets that listen already. */
static int
adopt(struct guaco__binds *binds, struct guaco__bind *bind,
      struct guaco__inherited_item *item, const char *text,
      struct guaco_error *err)
{
    struct address a = {.len = sizeof a.at};

    assert(item->fd_count > 0);
    if (getsockname(item->fds[0], &a.at.any, &a.len) != 0)
        return fail_bind(err, errno, text);
    free(bind->fds);
    bind->fds = item->fds;
    bind->fd_count = item->fd_count;
    bind->is_shared = item->is_shared;
    bind->is_ours = item->is_ours;
    item->fds = NULL;
    item->is_taken = true;
    if (a.at.any.sa_family != AF_UNIX) {
        describe(bind, &a);
    } else {
        snprintf(bind->text, sizeof bind->text, "%s", text);
        snprintf(bind->url, sizeof bind->url, "%s", text);
    }
    if (bind->is_shared)
        return GUACO_OK;
    if (bind->fd_count > binds->slots)
        binds->slots = bind->fd_count;
    return GUACO_OK;
}

/* ---- all of them ---- */

static void
release_one(struct guaco__bind *bind)
{
    for (size_t i = 0; i < bind->fd_count; i++)
        close(bind->fds[i]);
    if (bind->is_ours)
        unlink(bind->text + strlen("unix:"));
    free(bind->fds);
    *bind = (struct guaco__bind){.fds = NULL};
}

/* Take "https://" or "http://" off the front of an address. */
static int
take_scheme(const struct guaco__binds *binds, struct guaco__bind *bind,
            const char **address, struct guaco_error *err)
{
    const char *text = *address;

    bind->is_tls = binds->has_tls;
    if (strncmp(text, "https://", 8) == 0) {
        *address = text + 8;
        return binds->has_tls ? GUACO_OK
                              : guaco_fail(err, GUACO_E_INVALID, 0,
                                           "%.100s needs --ssl-certfile", text);
    }
    if (strncmp(text, "http://", 7) == 0) {
        *address = text + 7;
        bind->is_tls = false;
    }
    return GUACO_OK;
}

int
guaco__binds_add(struct guaco__binds *binds, const char *address,
                 struct guaco_error *err)
{
    assert(binds->slots >= 1);
    assert(binds->count <= GUACO__BINDS_MAX);
    if (binds->count == GUACO__BINDS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d addresses",
                          GUACO__BINDS_MAX);
    struct guaco__bind *bind = &binds->items[binds->count];
    *bind =
        (struct guaco__bind){.fds = calloc(GUACO__BIND_SLOTS_MAX, sizeof(int))};
    if (bind->fds == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "listen on %s", address);

    snprintf(bind->given, sizeof bind->given, "%s", address);
    struct guaco__inherited_item *item = NULL;
    if (binds->inherited != NULL)
        item = guaco__inherited_find(binds->inherited, address);
    int rc = take_scheme(binds, bind, &address, err);
    if (rc != GUACO_OK) {
        release_one(bind);
        return rc;
    }
    if (item == NULL && binds->inherited != NULL)
        item = guaco__inherited_find(binds->inherited, address);
    if (item != NULL)
        rc = adopt(binds, bind, item, address, err);
    else if (strncmp(address, "unix:", 5) == 0)
        rc = add_unix(binds, bind, address, err);
    else if (strncmp(address, "fd:", 3) == 0)
        rc = add_inherited(bind, address, err);
    else
        rc = add_tcp(binds, bind, address, err);
    if (rc == GUACO_OK)
        binds->count++;
    else
        release_one(bind);
    return rc;
}

bool
guaco__binds_is_own(const struct guaco__binds *binds, size_t index)
{
    assert(index < binds->count);
    return !binds->items[index].is_shared;
}

/* The kernel lets others join a socket that listens when the option is set on
 * it later too. */
static int
grow_one(struct guaco__bind *bind, size_t slots, int backlog,
         struct guaco_error *err)
{
    struct address a = {.len = sizeof a.at};
    int on = 1;
    int rc = GUACO_OK;

    if (getsockname(bind->fds[0], &a.at.any, &a.len) != 0 ||
        setsockopt(bind->fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return fail_bind(err, errno, bind->text);
    while (rc == GUACO_OK && bind->fd_count < slots) {
        rc = listen_on(&a, true, backlog, bind->text,
                       &bind->fds[bind->fd_count], err);
        bind->fd_count += rc == GUACO_OK;
    }
    return rc;
}

int
guaco__binds_grow(struct guaco__binds *binds, size_t slots,
                  struct guaco_error *err)
{
    int rc = GUACO_OK;

    assert(slots <= GUACO__BIND_SLOTS_MAX);
    for (size_t i = 0; i < binds->count && rc == GUACO_OK; i++)
        if (!binds->items[i].is_shared)
            rc = grow_one(&binds->items[i], slots, binds->backlog, err);
    for (size_t i = 0; i < binds->count && rc != GUACO_OK; i++) {
        struct guaco__bind *bind = &binds->items[i];
        /* Nobody was told of them; what waits there already is reset. */
        while (!bind->is_shared && bind->fd_count > binds->slots)
            close(bind->fds[--bind->fd_count]);
    }
    if (rc == GUACO_OK && slots > binds->slots)
        binds->slots = slots;
    return rc;
}

int
guaco__binds_fd(const struct guaco__binds *binds, size_t index, size_t slot)
{
    assert(index < binds->count);
    assert(slot < binds->slots);

    const struct guaco__bind *bind = &binds->items[index];
    assert(bind->fd_count == 1 || bind->fd_count == binds->slots);
    return bind->fds[bind->fd_count == 1 ? 0 : slot];
}

void
guaco__binds_release(struct guaco__binds *binds)
{
    for (size_t i = 0; i < binds->count; i++)
        release_one(&binds->items[i]);
    binds->count = 0;
}
