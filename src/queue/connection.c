#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/rand.h"
#include "os/clock.h"

#define KEEP_IDLE_S  15
#define KEEP_EVERY_S 5
#define KEEP_COUNT   3
#define USER_MS      15000u /* what was sent and not acknowledged */

#define BACKOFF_FIRST_MS 10u
#define BACKOFF_MAX_MS   500u

/* ---- TLS ---- */

/* What OpenSSL says of its last failure, for a person. */
static int
tls_fail(struct guaco_error *err, int code, const char *what)
{
    char text[160];
    unsigned long last = ERR_peek_last_error();

    ERR_error_string_n(last, text, sizeof text);
    ERR_clear_error();
    return guaco_fail(err, code, 0, "TLS: %s: %s", what,
                      last == 0 ? "no reason given" : text);
}

static int
tls_load(struct guaco__tls *tls, const struct guaco__tls_options *options,
         struct guaco_error *err)
{
    SSL_CTX *ctx = tls->ctx;
    char what[300];

    if (options->ca_path != NULL) {
        (void)snprintf(what, sizeof what, "the certificates in %s",
                       options->ca_path);
        if (SSL_CTX_load_verify_locations(ctx, options->ca_path, NULL) != 1)
            return tls_fail(err, GUACO_E_INVALID, what);
    } else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
        return tls_fail(err, GUACO_E_INVALID, "the system's certificates");
    }
    if (options->cert_path == NULL)
        return GUACO_OK;
    const char *key =
        options->key_path == NULL ? options->cert_path : options->key_path;
    (void)snprintf(what, sizeof what, "the certificate %s and its key",
                   options->cert_path);
    if (SSL_CTX_use_certificate_chain_file(ctx, options->cert_path) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return tls_fail(err, GUACO_E_INVALID, what);
    return GUACO_OK;
}

int
guaco__tls_init(struct guaco__tls *tls,
                const struct guaco__tls_options *options,
                struct guaco_error *err)
{
    tls->name = options->name;
    tls->is_unverified = options->is_unverified;
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (tls->ctx == NULL)
        return tls_fail(err, GUACO_E_NOMEM, "a context");
    (void)SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                         SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(
        tls->ctx, options->is_unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
        NULL);
    int rc = tls_load(tls, options, err);
    if (rc != GUACO_OK)
        guaco__tls_release(tls);
    return rc;
}

void
guaco__tls_release(struct guaco__tls *tls)
{
    SSL_CTX_free(tls->ctx);
    tls->ctx = NULL;
}

/* ---- waiting ---- */

/* 0: one of `events`; GUACO_E_TIMEOUT; GUACO_E_IO. */
static int
wait_for(int fd, short events, uint64_t deadline_ns, struct guaco_error *err)
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
            return guaco_fail(err, GUACO_E_IO, errno, "poll");
        if (guaco__clock_mono_ns() >= deadline_ns)
            return guaco_fail(err, GUACO_E_TIMEOUT, 0,
                              "the server does not answer");
    }
}

/* What a call of OpenSSL waits for: POLLIN, POLLOUT, or 0 when it failed. */
static short
tls_wants(SSL *ssl, int rc)
{
    int why = SSL_get_error(ssl, rc);

    if (why == SSL_ERROR_WANT_READ)
        return POLLIN;
    return why == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
}

/* ---- connecting ---- */

static void
set_options(int fd)
{
    const int on = 1, idle = KEEP_IDLE_S, every = KEEP_EVERY_S,
              count = KEEP_COUNT;
    const unsigned user_ms = USER_MS;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms,
                     sizeof user_ms);
}

static int
connect_to(struct guaco__connection *conn, const struct sockaddr *address,
           socklen_t len, uint64_t deadline_ns, struct guaco_error *err)
{
    int sys = 0;
    socklen_t sys_len = sizeof sys;

    conn->fd = socket(address->sa_family,
                      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (conn->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "socket");
    if (address->sa_family != AF_UNIX)
        set_options(conn->fd);
    if (connect(conn->fd, address, len) == 0)
        return GUACO_OK;
    if (errno != EINPROGRESS)
        return guaco_fail(err, GUACO_E_IO, errno, "connect");
    int rc = wait_for(conn->fd, POLLOUT, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &sys, &sys_len) != 0)
        sys = errno;
    return sys == 0 ? GUACO_OK : guaco_fail(err, GUACO_E_IO, sys, "connect");
}

static int
connect_unix(struct guaco__connection *conn, const char *path,
             uint64_t deadline_ns, struct guaco_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len >= sizeof address.sun_path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a socket's path of more than %zu bytes",
                          sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, len);
    return connect_to(conn, (const struct sockaddr *)&address, sizeof address,
                      deadline_ns, err);
}

/* Each address of the name in turn, until one answers. */
static int
connect_tcp(struct guaco__connection *conn, const struct guaco__address *to,
            uint64_t deadline_ns, struct guaco_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV};
    struct addrinfo *all;
    char port[8];

    (void)snprintf(port, sizeof port, "%u", (unsigned)to->port);
    int found = getaddrinfo(to->host, port, &hints, &all);
    if (found == EAI_MEMORY)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "the name %s", to->host);
    if (found != 0)
        return guaco_fail(err, GUACO_E_IO, 0, "the name %s: %s", to->host,
                          gai_strerror(found));
    int rc = GUACO_E_IO;
    for (const struct addrinfo *at = all; at != NULL; at = at->ai_next) {
        rc = connect_to(conn, at->ai_addr, at->ai_addrlen, deadline_ns, err);
        if (rc == GUACO_OK)
            break;
        guaco__connection_close(conn);
    }
    freeaddrinfo(all);
    return rc;
}

/* ---- shaking hands ---- */

static int
tls_name(SSL *ssl, const struct guaco__tls *tls, const char *host)
{
    const char *name = tls->name != NULL ? tls->name : host;
    ASN1_OCTET_STRING *ip = name == NULL ? NULL : a2i_IPADDRESS(name);
    int ok = 1;

    if (name == NULL)
        return 1;
    if (ip == NULL)
        ok = SSL_set_tlsext_host_name(ssl, name) == 1;
    if (ok && !tls->is_unverified)
        ok = ip == NULL
                 ? SSL_set1_host(ssl, name)
                 : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    ASN1_OCTET_STRING_free(ip);
    return ok;
}

static int
tls_start(struct guaco__connection *conn, const struct guaco__tls *tls,
          const char *host, uint64_t deadline_ns, struct guaco_error *err)
{
    conn->ssl = SSL_new(tls->ctx);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1 ||
        tls_name(conn->ssl, tls, host) != 1)
        return tls_fail(err, GUACO_E_NOMEM, "a connection");
    for (;;) {
        int done = SSL_connect(conn->ssl);
        if (done == 1)
            return GUACO_OK;
        short events = tls_wants(conn->ssl, done);
        if (events == 0)
            break;
        int rc = wait_for(conn->fd, events, deadline_ns, err);
        if (rc != GUACO_OK)
            return rc;
    }
    long why = SSL_get_verify_result(conn->ssl);
    if (why == X509_V_OK)
        return tls_fail(err, GUACO_E_IO, "the handshake");
    ERR_clear_error();
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "TLS: the server's certificate: %s",
                      X509_verify_cert_error_string(why));
}

void
guaco__connection_init(struct guaco__connection *conn)
{
    conn->fd = -1;
    conn->ssl = NULL;
}

int
guaco__connection_open(struct guaco__connection *conn,
                       const struct guaco__address *address,
                       const struct guaco__tls *tls, uint64_t deadline_ns,
                       struct guaco_error *err)
{
    assert(conn->fd < 0);
    int rc = address->host == NULL
                 ? connect_unix(conn, address->path, deadline_ns, err)
                 : connect_tcp(conn, address, deadline_ns, err);

    if (rc == GUACO_OK && tls->ctx != NULL)
        rc = tls_start(conn, tls, address->host, deadline_ns, err);
    if (rc != GUACO_OK)
        guaco__connection_close(conn);
    return rc;
}

/* A forked child may hold a copy of the descriptor: the connection ends all
 * the same. */
void
guaco__connection_close(struct guaco__connection *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    if (conn->fd >= 0) {
        (void)shutdown(conn->fd, SHUT_RDWR);
        close(conn->fd);
    }
    conn->fd = -1;
}

/* ---- traffic ---- */

/* Bytes sent or received, 0 with what to wait for in *events, or -1. */
static ssize_t
move_some(struct guaco__connection *conn, char *in, const char *out, size_t len,
          short *events)
{
    ssize_t n;

    *events = in != NULL ? POLLIN : POLLOUT;
    if (conn->ssl != NULL) {
        size_t moved = 0;
        ERR_clear_error();
        int rc = in != NULL ? SSL_read_ex(conn->ssl, in, len, &moved)
                            : SSL_write_ex(conn->ssl, out, len, &moved);
        if (rc == 1)
            return (ssize_t)moved;
        *events = tls_wants(conn->ssl, rc);
        return *events != 0 ? 0 : -1;
    }
    do
        n = in != NULL ? recv(conn->fd, in, len, 0)
                       : send(conn->fd, out, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n == 0)
        errno = ECONNRESET;
    return -1;
}

static int
gone(const struct guaco__connection *conn, struct guaco_error *err)
{
    if (conn->ssl != NULL && ERR_peek_last_error() != 0)
        return tls_fail(err, GUACO_E_IO, "the connection");
    return guaco_fail(err, GUACO_E_IO, errno, "the connection ended");
}

int
guaco__connection_send(struct guaco__connection *conn, struct guaco_slice bytes,
                       uint64_t deadline_ns, struct guaco_error *err)
{
    size_t sent = 0;

    assert(conn->fd >= 0);
    while (sent < bytes.len) {
        short events;
        ssize_t n =
            move_some(conn, NULL, bytes.at + sent, bytes.len - sent, &events);
        if (n < 0)
            return gone(conn, err);
        sent += (size_t)n;
        int rc =
            n > 0 ? GUACO_OK : wait_for(conn->fd, events, deadline_ns, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

int
guaco__connection_receive(struct guaco__connection *conn, struct guaco__buf *in,
                          size_t max, uint64_t deadline_ns,
                          struct guaco_error *err)
{
    int rc = guaco__buf_reserve(in, max);

    assert(conn->fd >= 0);
    while (rc == GUACO_OK) {
        short events;
        ssize_t n = move_some(conn, guaco__buf_end(in), NULL, max, &events);
        if (n > 0) {
            guaco__buf_commit(in, (size_t)n);
            return GUACO_OK;
        }
        if (n < 0)
            return gone(conn, err);
        if (deadline_ns == 0)
            return GUACO_E_AGAIN;
        rc = wait_for(conn->fd, events, deadline_ns, err);
    }
    if (rc == GUACO_E_NOMEM || rc == GUACO_E_LIMIT)
        return guaco_fail(err, rc, 0, "what the server says");
    return rc;
}

/* ---- pauses ---- */

uint32_t
guaco__backoff_step(struct guaco__backoff *backoff)
{
    uint32_t pause_ms = backoff->next_ms;
    uint32_t jitter = 0;

    if (pause_ms == 0)
        backoff->next_ms = BACKOFF_FIRST_MS;
    else if (pause_ms < BACKOFF_MAX_MS)
        backoff->next_ms =
            pause_ms * 2 < BACKOFF_MAX_MS ? pause_ms * 2 : BACKOFF_MAX_MS;
    if (pause_ms > 0 && guaco__rand_bytes(&jitter, sizeof jitter) == GUACO_OK)
        pause_ms -= jitter % (pause_ms / 4 + 1);
    return pause_ms;
}

bool
guaco__backoff_wait(struct guaco__backoff *backoff, uint64_t deadline_ns)
{
    uint64_t end_ns =
        guaco__clock_mono_ns() + guaco__backoff_step(backoff) * 1000000ull;

    if (end_ns > deadline_ns)
        end_ns = deadline_ns;
    for (uint64_t now_ns = guaco__clock_mono_ns(); now_ns < end_ns;
         now_ns = guaco__clock_mono_ns())
        (void)poll(NULL, 0, (int)((end_ns - now_ns) / 1000000u + 1));
    return guaco__clock_mono_ns() < deadline_ns;
}
