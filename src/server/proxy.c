/* Who speaks for others: the contract is in proxy.h. */

#include "server/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "http/fields.h"
#include "server/conn.h"

void
guaco__proxies_settle(struct guaco__proxies *proxies, bool reads_headers)
{
    if (guaco__trust_is_empty(&proxies->protocol))
        proxies->protocol = proxies->headers;
    if (!reads_headers)
        proxies->headers = (struct guaco__trust){.count = 0};
}

/* ---- the PROXY header ---- */

static bool
refuse(struct guaco__conn *c, const char *why)
{
    const char *host = c->peer.face.client_host;

    if (guaco__server_may_warn(c->server))
        guaco__log(c->server->options.log, GUACO_LOG_WARNING, "server",
                   "no PROXY header from %s: %s", host != NULL ? host : "unix",
                   why);
    c->server->stats.errors++;
    c->has_failed = true;
    return false;
}

/* Look at what came without taking it, behind what was taken before, all in
 * the server's buffer. */
static ssize_t
peek(struct guaco__conn *c)
{
    char *at = c->server->read_buf;
    ssize_t n;

    if (c->in.len > 0)
        memcpy(at, guaco__buf_data(&c->in), c->in.len);
    do {
        n = recv(c->stream.fd, at + c->in.len,
                 GUACO__PROXY_BYTES_MAX - c->in.len, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        c->is_eof = true;
    else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        c->has_failed = true;
    return n;
}

/* Take `len` bytes that were seen. */
static bool
take_seen(struct guaco__conn *c, size_t len)
{
    char *at = c->server->read_buf + c->in.len;
    ssize_t n = recv(c->stream.fd, at, len, 0);

    c->server->stats.bytes_in += len;
    return n == (ssize_t)len;
}

bool
guaco__proxy_greet(struct guaco__conn *c)
{
    struct guaco__proxy_header header;
    size_t used;
    ssize_t n = peek(c);
    int rc;

    if (n <= 0)
        return false;
    rc = guaco__proxy_read(c->server->read_buf, c->in.len + (size_t)n, &header,
                           &used);
    if (rc == GUACO_E_LIMIT)
        return refuse(c, "it is too long");
    if (rc == GUACO_E_PROTO)
        return refuse(c, "it is malformed");
    if (rc == GUACO_E_AGAIN) {
        if (!take_seen(c, (size_t)n) ||
            guaco__buf_append(&c->in, c->server->read_buf + c->in.len,
                              (size_t)n) < 0)
            c->has_failed = true;
        return false;
    }
    assert(used > c->in.len);
    if (!take_seen(c, used - c->in.len))
        c->has_failed = true;
    guaco__buf_release(&c->in);
    guaco__peer_announce(&c->peer, &header);
    guaco__conn_greeted(c);
    return !c->has_failed;
}

/* ---- the fields of a request ---- */

/* Take out the fields that nobody vouched for. */
static void
drop_fields(struct guaco__exchange *x, bool is_trusted)
{
    enum guaco__forwarded_family family = x->server->options.proxies.family;
    /* both arrays are the exchange's own copies, shown to others as const */
    struct guaco_field *fields = (struct guaco_field *)x->request.fields;
    uint8_t *ids = (uint8_t *)x->request.field_ids;
    size_t kept = 0;

    for (size_t i = 0; i < x->request.field_count; i++) {
        if (!guaco__forwarded_keeps(family, is_trusted, fields[i].name))
            continue;
        fields[kept] = fields[i];
        ids[kept++] = ids[i];
    }
    x->request.field_count = kept;
}

/* HTTP/1.0 may come without Host: the field is put in front. */
static int
add_host_field(struct guaco__exchange *x, struct guaco_slice host)
{
    size_t count = x->request.field_count;
    struct guaco_field *fields =
        guaco__arena_alloc(&x->arena, (count + 1) * sizeof(*fields));
    uint8_t *ids = guaco__arena_alloc(&x->arena, count + 1);

    if (fields == NULL || ids == NULL)
        return GUACO_E_NOMEM;
    fields[0] = (struct guaco_field){GUACO_SLICE("host"), host};
    ids[0] = GUACO__FIELD_HOST;
    if (count > 0) {
        memcpy(fields + 1, x->request.fields, count * sizeof(*fields));
        memcpy(ids + 1, x->request.field_ids, count);
    }
    x->request.fields = fields;
    x->request.field_ids = ids;
    x->request.field_count++;
    return GUACO_OK;
}

static int
set_host_field(struct guaco__exchange *x, struct guaco_slice host)
{
    struct guaco_field *fields = (struct guaco_field *)x->request.fields;

    for (size_t i = 0; i < x->request.field_count; i++)
        if (x->request.field_ids[i] == GUACO__FIELD_HOST) {
            fields[i].value = host;
            return GUACO_OK;
        }
    return add_host_field(x, host);
}

/* The host without its port; *port is that port, or stays. */
static struct guaco_slice
split_host(struct guaco_slice host, uint16_t *port)
{
    const char *colon = memrchr(host.at, ':', host.len);
    const char *close = memchr(host.at, ']', host.len);
    unsigned number = 0;

    if (colon == NULL || (close != NULL && colon < close))
        return host;
    for (const char *at = colon + 1; at < host.at + host.len; at++)
        number = number * 10 + (unsigned)(*at - '0');
    if (number > 0) /* a port may be empty (RFC 3986 3.2.3) */
        *port = (uint16_t)number;
    host.len = (size_t)(colon - host.at);
    return host;
}

/* Where the client has asked: the peer's server address, and Host. */
static int
set_server(struct guaco__exchange *x, struct guaco__peer *peer,
           const struct guaco__forwarded *told)
{
    struct guaco_slice scheme = x->request.scheme;
    uint16_t usual =
        scheme.at[scheme.len - 1] == 's' && scheme.len > 2 ? 443 : 80;
    uint16_t port = told->port != 0 ? told->port : usual;
    struct guaco_slice host = told->host;
    char *text;

    if (host.len > 0) {
        host = split_host(host, &port);
        text = guaco__arena_alloc(&x->arena, host.len + sizeof(":65535"));
        if (text == NULL)
            return GUACO_E_NOMEM;
        memcpy(text, host.at, host.len);
        size_t len = host.len;
        if (port != usual)
            len += (size_t)snprintf(text + len, sizeof(":65535"), ":%u", port);
        if (set_host_field(x, (struct guaco_slice){text, len}) < 0)
            return GUACO_E_NOMEM;
        if (host.at[0] == '[')
            host = (struct guaco_slice){host.at + 1, host.len - 2};
        peer->face.server_host = guaco__arena_dup(&x->arena, host.at, host.len);
        if (peer->face.server_host == NULL)
            return GUACO_E_NOMEM;
        peer->face.is_unix = false;
    }
    peer->face.server_port = port;
    return GUACO_OK;
}

static int
set_peer(struct guaco__exchange *x, const struct guaco__forwarded *told)
{
    struct guaco__peer *peer = guaco__arena_alloc(&x->arena, sizeof(*peer));
    bool is_unix = x->conn->peer.face.is_unix;
    int rc = GUACO_OK;

    if (peer == NULL)
        return GUACO_E_NOMEM;
    guaco__peer_copy(peer, &x->conn->peer);
    if (told->client.kind != GUACO__ADDRESS_NONE) {
        guaco__address_format(&told->client, peer->client_host);
        peer->face.client_host = peer->client_host;
        peer->face.client_port = told->client_port;
    }
    if (told->host.len > 0 || (told->port != 0 && !is_unix))
        rc = set_server(x, peer, told);
    if (rc < 0)
        return rc;
    x->forwarded = peer;
    x->request.peer = &peer->face;
    return GUACO_OK;
}

static void
set_scheme(struct guaco__exchange *x, bool is_https)
{
    if (x->request.kind == GUACO_REQUEST_WEBSOCKET)
        x->request.scheme = is_https ? GUACO_SLICE("wss") : GUACO_SLICE("ws");
    else
        x->request.scheme =
            is_https ? GUACO_SLICE("https") : GUACO_SLICE("http");
}

int
guaco__proxy_apply(struct guaco__exchange *x)
{
    const struct guaco__proxies *proxies = &x->server->options.proxies;
    struct guaco__forwarded told;
    const char *why;
    bool is_trusted;

    if (guaco__trust_is_empty(&proxies->headers))
        return GUACO_OK;
    is_trusted = guaco__trust_has(&proxies->headers, &x->conn->peer.client);
    if (is_trusted &&
        guaco__forwarded_read(proxies->family, x->request.fields,
                              x->request.field_count, &proxies->headers, &told,
                              &why) < 0) {
        if (guaco__server_may_warn(x->server))
            guaco__log(x->server->options.log, GUACO_LOG_WARNING, "server",
                       "a proxy's fields are refused: %s", why);
        return GUACO_E_PROTO;
    }
    drop_fields(x, is_trusted);
    if (!is_trusted)
        return GUACO_OK;
    if (told.scheme.len > 0)
        set_scheme(x, told.scheme.len == 5);
    x->request.prefix = told.prefix;
    if (told.client.kind == GUACO__ADDRESS_NONE && told.host.len == 0 &&
        told.port == 0)
        return GUACO_OK;
    return set_peer(x, &told);
}
