#include "redis_link.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#define READ_BYTES   65536u
#define REPLY_MAX    (192u << 20) /* bytes of one pipeline's replies */
#define OLDEST_MAJOR 5

/* ---- commands ---- */

static int
put_head(struct guaco__buf *out, char mark, size_t n)
{
    char text[24];
    size_t at = sizeof text;

    text[--at] = '\n';
    text[--at] = '\r';
    do
        text[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    text[--at] = mark;
    return guaco__buf_append(out, text + at, sizeof text - at);
}

int
guaco__redis_begin(struct guaco__buf *out, size_t n)
{
    return put_head(out, '*', n);
}

int
guaco__redis_two(struct guaco__buf *out, struct guaco_slice a,
                 struct guaco_slice b)
{
    int rc = guaco__buf_reserve(out, a.len + b.len + 32);

    if (rc == GUACO_OK)
        rc = put_head(out, '$', a.len + b.len);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, a.at, a.len);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, b.at, b.len);
    return rc != GUACO_OK ? rc : guaco__buf_append(out, "\r\n", 2);
}

int
guaco__redis_arg(struct guaco__buf *out, struct guaco_slice arg)
{
    return guaco__redis_two(out, arg, (struct guaco_slice){0});
}

int
guaco__redis_text(struct guaco__buf *out, const char *arg)
{
    return guaco__redis_arg(out, (struct guaco_slice){arg, strlen(arg)});
}

/* A command of `n` texts. */
static int
command(struct guaco__buf *out, size_t n, const char *const *args)
{
    int rc = guaco__redis_begin(out, n);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = guaco__redis_text(out, args[i]);
    return rc;
}

/* ---- errors ---- */

/* In scripts of old servers the code stands inside: "... -OOM command". */
static bool
says(const struct guaco__reply *reply, const char *code)
{
    char inside[32];

    if (guaco__reply_is_error(reply, code))
        return true;
    int len = snprintf(inside, sizeof inside, "-%s ", code);
    return memmem(reply->text.at, reply->text.len, inside, (size_t)len) != NULL;
}

static bool
says_any(const struct guaco__reply *reply, const char *const *codes)
{
    for (; *codes != NULL; codes++)
        if (says(reply, *codes))
            return true;
    return false;
}

int
guaco__redis_error(const struct guaco__reply *reply, bool *may_pass,
                   struct guaco_error *err)
{
    static const char *const passing[] = {
        "LOADING",    "BUSY",       "TRYAGAIN",  "CLUSTERDOWN",
        "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", NULL};
    static const char *const logins[] = {"NOAUTH", "WRONGPASS", NULL};
    static const char *const moves[] = {"MOVED", "ASK", "CROSSSLOT", NULL};
    const char *text = reply->text.at;

    assert(reply->kind == GUACO__REPLY_ERROR);
    *may_pass = says_any(reply, passing);
    if (*may_pass)
        return guaco_fail(err, GUACO_E_IO, 0, "redis: not ready: %s", text);
    if (says(reply, "READONLY")) {
        *may_pass = true;
        return guaco_fail(err, GUACO_E_IO, 0,
                          "redis: the server is a replica and takes no writes: "
                          "name its master, or redis+sentinel://");
    }
    if (says(reply, "OOM"))
        return guaco_fail(err, GUACO_E_IO, 0,
                          "redis: the server's memory is full (maxmemory)");
    if (says(reply, "MISCONF"))
        return guaco_fail(err, GUACO_E_IO, 0,
                          "redis: the server cannot save its data and takes "
                          "no writes (MISCONF; see its log)");
    if (says_any(reply, moves))
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "redis: the server is of a cluster and another node "
                          "has the keys, name that one: %s",
                          text);
    if (says_any(reply, logins) ||
        memmem(text, reply->text.len, "AUTH", 4) != NULL ||
        memmem(text, reply->text.len, "invalid password", 16) != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: the login is refused: %s", text);
    if (says(reply, "NOPERM"))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: the user may not do what is needed: %s",
                          text);
    return guaco_fail(err, GUACO_E_IO, 0, "redis: %s", text);
}

/* ---- replies ---- */

int
guaco__redis_link_reply(struct guaco__redis_link *link,
                        const struct guaco__reply **out, uint64_t deadline_ns,
                        struct guaco_error *err)
{
    for (;;) {
        int rc = guaco__replies_next(&link->replies, out);
        if (rc == GUACO_E_PROTO)
            return guaco_fail(err, rc, 0,
                              "redis: what the server says cannot be read");
        if (rc == GUACO_E_LIMIT)
            return guaco_fail(err, rc, 0,
                              "redis: the server says more than %u MiB",
                              REPLY_MAX >> 20);
        if (rc == GUACO_E_NOMEM)
            return guaco_fail(err, rc, 0, "redis: a reply");
        if (rc != GUACO_E_AGAIN)
            return rc;
        guaco__buf_reset(&link->in);
        rc = guaco__connection_receive(&link->conn, &link->in, READ_BYTES,
                                       deadline_ns, err);
        if (rc == GUACO_OK)
            rc = guaco__replies_feed(&link->replies,
                                     guaco__buf_slice(&link->in));
        if (rc != GUACO_OK)
            return rc == GUACO_E_NOMEM
                       ? guaco_fail(err, rc, 0, "redis: a reply")
                       : rc;
    }
}

/* One that is no error. */
static int
good_reply(struct guaco__redis_link *link, const struct guaco__reply **out,
           uint64_t deadline_ns, struct guaco_error *err)
{
    bool may_pass;
    int rc = guaco__redis_link_reply(link, out, deadline_ns, err);

    if (rc == GUACO_OK && (*out)->kind == GUACO__REPLY_ERROR)
        rc = guaco__redis_error(*out, &may_pass, err);
    return rc;
}

bool
guaco__redis_link_is_dead(const struct guaco__redis_link *link)
{
    struct pollfd look = {.fd = link->conn.fd, .events = POLLRDHUP};

    return link->conn.fd >= 0 && poll(&look, 1, 0) > 0 &&
           (look.revents & (POLLRDHUP | POLLERR | POLLHUP)) != 0;
}

/* ---- what the server is ---- */

/* The value of `key` in the text of INFO, as a string. */
static void
info_get(struct guaco_slice info, const char *key, char *out, size_t room)
{
    const char *at = info.at, *end = info.at + info.len;
    size_t len = strlen(key);

    out[0] = '\0';
    while (at < end) {
        size_t line = strcspn(at, "\r\n");
        if (line > len && memcmp(at, key, len) == 0 && at[len] == ':') {
            size_t n = line - len - 1 < room - 1 ? line - len - 1 : room - 1;
            memcpy(out, at + len + 1, n);
            out[n] = '\0';
            return;
        }
        at += line;
        at += strspn(at, "\r\n");
    }
}

static int
check_server(struct guaco__redis_link *link, struct guaco_slice info,
             struct guaco_error *err)
{
    char value[64], policy[64];

    info_get(info, "run_id", link->run_id, sizeof link->run_id);
    info_get(info, "redis_version", value, sizeof value);
    if (value[0] != '\0' && strtol(value, NULL, 10) < OLDEST_MAJOR)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "redis: the server is of version %s, %d is needed",
                          value, OLDEST_MAJOR);
    info_get(info, "role", value, sizeof value);
    if (strcmp(value, "slave") == 0)
        return guaco_fail(err, GUACO_E_IO, 0,
                          "redis: the server is a replica and takes no writes: "
                          "name its master, or redis+sentinel://");
    info_get(info, "loading", value, sizeof value);
    if (strcmp(value, "1") == 0)
        return guaco_fail(err, GUACO_E_IO, 0,
                          "redis: the server is loading its data");
    info_get(info, "maxmemory", value, sizeof value);
    info_get(info, "maxmemory_policy", policy, sizeof policy);
    link->warning[0] = '\0';
    if (value[0] != '\0' && strcmp(value, "0") != 0 &&
        strcmp(policy, "noeviction") != 0)
        (void)snprintf(link->warning, sizeof link->warning,
                       "redis: maxmemory-policy is %s: when its memory is full "
                       "the server may throw tasks away; set it to noeviction",
                       policy);
    return GUACO_OK;
}

/* ---- logging in ---- */

struct login {
    const char *user;
    const char *password;
};

/* AUTH, if there is a password.  *n: replies to come. */
static int
write_auth(struct guaco__buf *out, const struct login *login, size_t *n)
{
    const char *const with_user[] = {"AUTH", login->user, login->password};
    const char *const without[] = {"AUTH", login->password};

    if (login->password == NULL)
        return GUACO_OK;
    (*n)++;
    return *login->user != '\0' ? command(out, 3, with_user)
                                : command(out, 2, without);
}

/* Send what is in `out`, and expect `n` replies that are no errors. */
static int
ask(struct guaco__redis_link *link, const struct guaco__buf *out, size_t n,
    const struct guaco__reply **last, uint64_t deadline_ns,
    struct guaco_error *err)
{
    int rc = guaco__connection_send(&link->conn, guaco__buf_slice(out),
                                    deadline_ns, err);

    for (size_t i = 0; i < n && rc == GUACO_OK; i++)
        rc = good_reply(link, last, deadline_ns, err);
    return rc;
}

static int
log_in(struct guaco__redis_link *link, const struct guaco__redis_target *target,
       uint64_t deadline_ns, struct guaco_error *err)
{
    struct guaco__buf out;
    const struct login login = {target->user, target->password};
    const struct guaco__reply *reply;
    char db[24];
    const char *const select[] = {"SELECT", db};
    const char *const name[] = {"CLIENT", "SETNAME", "guaco"};
    size_t n = 0;

    guaco__buf_init(&out, 65536);
    (void)snprintf(db, sizeof db, "%llu", (unsigned long long)target->db);
    int rc = write_auth(&out, &login, &n);
    if (rc == GUACO_OK && target->db != 0) {
        n++;
        rc = command(&out, 2, select);
    }
    if (rc == GUACO_OK)
        rc = command(&out, 3, name);
    if (rc != GUACO_OK)
        rc = guaco_fail(err, rc, 0, "redis: a login");
    else
        rc = ask(link, &out, n, &reply, deadline_ns, err);
    if (rc == GUACO_OK) /* whose answer does not matter */
        rc = guaco__redis_link_reply(link, &reply, deadline_ns, err);
    guaco__buf_release(&out);
    if (rc == GUACO_OK && guaco__reply_is_error(reply, "NOAUTH")) {
        bool may_pass;
        rc = guaco__redis_error(reply, &may_pass, err);
    }
    return rc;
}

/* ---- scripts ---- */

static int
take_sha(const struct guaco__reply *reply, char out[GUACO__SHA_BYTES],
         struct guaco_error *err)
{
    struct guaco_slice sha;

    if (!guaco__reply_text(reply, &sha) || sha.len != GUACO__SHA_BYTES - 1 ||
        strspn(sha.at, "0123456789abcdef") != sha.len)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "redis: the server gives a script no digest");
    memcpy(out, sha.at, sha.len + 1);
    return GUACO_OK;
}

static int
load_scripts(struct guaco__redis_link *link, uint64_t deadline_ns,
             struct guaco_error *err)
{
    const char *const info[] = {"INFO"};
    const char *const store[] = {"SCRIPT", "LOAD", guaco__redis_store};
    const char *const bell[] = {"SCRIPT", "LOAD", guaco__redis_bell};
    const struct guaco__reply *reply;
    struct guaco__buf out;
    struct guaco_slice text;

    guaco__buf_init(&out, 1u << 20);
    int rc = command(&out, 1, info);
    if (rc == GUACO_OK)
        rc = command(&out, 3, store);
    if (rc == GUACO_OK)
        rc = command(&out, 3, bell);
    if (rc != GUACO_OK)
        rc = guaco_fail(err, rc, 0, "redis: scripts");
    else
        rc = ask(link, &out, 0, NULL, deadline_ns, err);
    guaco__buf_release(&out);
    if (rc == GUACO_OK)
        rc = guaco__redis_link_reply(link, &reply, deadline_ns, err);
    /* A user who may not see it works all the same. */
    if (rc == GUACO_OK && guaco__reply_text(reply, &text))
        rc = check_server(link, text, err);
    if (rc == GUACO_OK)
        rc = good_reply(link, &reply, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = take_sha(reply, link->store_sha, err);
    if (rc == GUACO_OK)
        rc = good_reply(link, &reply, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = take_sha(reply, link->bell_sha, err);
    return rc;
}

/* ---- connecting ---- */

void
guaco__redis_link_init(struct guaco__redis_link *link)
{
    *link = (struct guaco__redis_link){0};
    guaco__connection_init(&link->conn);
    guaco__buf_init(&link->in, READ_BYTES);
}

void
guaco__redis_link_close(struct guaco__redis_link *link)
{
    guaco__connection_close(&link->conn);
    if (link->replies.reader != NULL)
        guaco__replies_release(&link->replies);
    guaco__buf_release(&link->in);
}

/* Who cannot be reached is named. */
static int
name_peer(const struct guaco__address *address, int rc, struct guaco_error *err)
{
    struct guaco_error why;

    if (rc == GUACO_OK || err == NULL || strncmp(err->text, "redis:", 6) == 0)
        return rc;
    why = *err;
    if (address->host == NULL)
        return guaco_fail(err, rc, 0, "redis: %.80s: %.140s", address->path,
                          why.text);
    return guaco_fail(err, rc, 0, "redis: %.80s:%u: %.140s", address->host,
                      (unsigned)address->port, why.text);
}

static int
dial(struct guaco__redis_link *link, const struct guaco__redis_target *target,
     const struct guaco__address *address, uint64_t deadline_ns,
     struct guaco_error *err)
{
    uint64_t end_ns =
        guaco__clock_mono_ns() + target->connect_timeout_ms * 1000000u;

    if (end_ns > deadline_ns)
        end_ns = deadline_ns;
    int rc = guaco__replies_init(&link->replies, REPLY_MAX);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "redis: a connection");
    rc =
        guaco__connection_open(&link->conn, address, &target->tls, end_ns, err);
    return name_peer(address, rc, err);
}

/* ---- Sentinel ---- */

static int
take_master(struct guaco__redis_link *link, const struct guaco__reply *reply,
            const char *service, struct guaco_error *err)
{
    struct guaco_slice host;
    int64_t port;

    if (reply->kind == GUACO__REPLY_NIL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: the Sentinel knows no service '%s'", service);
    if (!guaco__reply_text(guaco__reply_at(reply, 0), &host) || host.len == 0 ||
        host.len >= sizeof link->host ||
        !guaco__reply_number(guaco__reply_at(reply, 1), 1, 65535, &port))
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "redis: the Sentinel names no address");
    memcpy(link->host, host.at, host.len + 1);
    link->port = (uint16_t)port;
    return GUACO_OK;
}

static int
ask_sentinel(struct guaco__redis_link *link,
             const struct guaco__redis_target *target,
             const struct guaco__address *address, uint64_t deadline_ns,
             struct guaco_error *err)
{
    const struct login login = {target->sentinel_user,
                                target->sentinel_password};
    const char *const get[] = {"SENTINEL", "get-master-addr-by-name",
                               target->service};
    const struct guaco__reply *reply;
    struct guaco__buf out;
    size_t n = 1;

    int rc = dial(link, target, address, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    guaco__buf_init(&out, 65536);
    rc = write_auth(&out, &login, &n);
    if (rc == GUACO_OK)
        rc = command(&out, 3, get);
    if (rc != GUACO_OK)
        rc = guaco_fail(err, rc, 0, "redis: a question");
    else
        rc = ask(link, &out, n, &reply, deadline_ns, err);
    guaco__buf_release(&out);
    return rc != GUACO_OK ? rc : take_master(link, reply, target->service, err);
}

/* The first Sentinel that answers is believed; a server that is no master any
 * more says so itself. */
static int
find_master(struct guaco__redis_link *link,
            const struct guaco__redis_target *target, uint64_t deadline_ns,
            struct guaco_error *err)
{
    int rc = GUACO_E_IO;

    for (size_t i = 0; i < target->url.host_count && rc != GUACO_OK; i++) {
        const struct guaco__address address = {
            .host = target->url.hosts[i].name,
            .port = target->url.hosts[i].port};
        rc = ask_sentinel(link, target, &address, deadline_ns, err);
        guaco__redis_link_close(link);
    }
    return rc;
}

static struct guaco__address
address_of(const struct guaco__redis_target *target,
           const struct guaco__redis_link *link)
{
    if (target->socket != NULL)
        return (struct guaco__address){.path = target->socket};
    if (target->service != NULL)
        return (struct guaco__address){.host = link->host, .port = link->port};
    return (struct guaco__address){.host = target->url.hosts[0].name,
                                   .port = target->url.hosts[0].port};
}

int
guaco__redis_link_open(struct guaco__redis_link *link,
                       const struct guaco__redis_target *target,
                       uint64_t deadline_ns, struct guaco_error *err)
{
    int rc = GUACO_OK;

    assert(link->conn.fd < 0);
    if (target->service != NULL)
        rc = find_master(link, target, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;
    const struct guaco__address address = address_of(target, link);
    rc = dial(link, target, &address, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = log_in(link, target, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = load_scripts(link, deadline_ns, err);
    if (rc == GUACO_OK)
        guaco__replies_forget(&link->replies);
    else
        guaco__redis_link_close(link);
    return name_peer(&address, rc, err);
}

int
guaco__redis_link_subscribe(struct guaco__redis_link *link,
                            const struct guaco__redis_target *target,
                            const struct guaco__redis_link *other,
                            const char *channel, uint64_t deadline_ns,
                            struct guaco_error *err)
{
    const char *const subscribe[] = {"SUBSCRIBE", channel};
    const struct guaco__address address = address_of(target, other);
    const struct guaco__reply *reply;
    struct guaco__buf out;

    assert(link->conn.fd < 0);
    int rc = dial(link, target, &address, deadline_ns, err);
    if (rc == GUACO_OK)
        rc = log_in(link, target, deadline_ns, err);
    guaco__buf_init(&out, 4096);
    if (rc == GUACO_OK && command(&out, 2, subscribe) != GUACO_OK)
        rc = guaco_fail(err, GUACO_E_NOMEM, 0, "redis: a channel");
    if (rc == GUACO_OK)
        rc = ask(link, &out, 1, &reply, deadline_ns, err);
    guaco__buf_release(&out);
    if (rc == GUACO_OK)
        guaco__replies_forget(&link->replies);
    else
        guaco__redis_link_close(link);
    return rc;
}
