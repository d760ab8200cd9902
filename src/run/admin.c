/*
 * --admin: a socket for the operator, served by the supervisor itself, so that
 * it answers when no worker does.
 *
 *     GET /metrics                 OpenMetrics
 *     GET /-/live                  200: the supervisor lives
 *     GET /-/ready                 200 while a worker can take work, else 503
 *     GET /-/startup               200 once all workers were ready, else 503
 *     GET /-/status                JSON, what guaco top shows
 *
 * One request a connection, a bounded number of them, each with a deadline;
 * nothing waits: what the kernel does not take is sent when it has room.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guaco/http/parser.h"
#include "http/h1_writer.h"
#include "io/listener.h"
#include "supervisor_int.h"

#define CONNS_MAX       32
#define DEADLINE_MS     10000
#define HEAD_BYTES_MAX  8192
#define FIELDS_MAX      64
#define REPLY_BYTES_MAX (4u << 20)

struct conn {
    struct guaco__admin *admin; /* NULL: free */
    int fd;
    struct guaco__watch watch;
    struct guaco__timer deadline;
    struct guaco__buf in;
    struct guaco__buf out;
    bool is_answered;
};

struct guaco__admin {
    struct tree *tree;
    struct guaco__binds binds;
    struct guaco__listener listener;
    struct conn conns[CONNS_MAX];
    size_t count;
};

static void
conn_close(struct conn *c)
{
    struct guaco__admin *admin = c->admin;

    guaco__watch_stop(&c->watch);
    guaco__timer_stop(&c->deadline);
    close(c->fd);
    guaco__buf_release(&c->in);
    guaco__buf_release(&c->out);
    c->admin = NULL;
    assert(admin->count > 0);
    if (admin->count-- == CONNS_MAX)
        (void)guaco__listener_resume(&admin->listener, NULL);
}

static void
on_deadline(struct guaco__timer *timer)
{
    conn_close(GUACO__OF(timer, struct conn, deadline));
}

/* ---- answers ---- */

static bool
is_ready(const struct tree *tree)
{
    const struct worker *w;

    EACH_WORKER(tree, w)
    if ((w->slot->role == ROLE_WEB || w->slot->role == ROLE_TASKS) &&
        w->state == WORKER_READY && w->slot->now == w &&
        tree->state != TREE_STOPPING)
        return true;
    return false;
}

static bool
is_path(struct guaco_slice path, const char *wanted)
{
    return path.len == strlen(wanted) && memcmp(path.at, wanted, path.len) == 0;
}

/* The body of a GET, and its type; the status. */
static int
fill(const struct tree *tree, struct guaco_slice path, struct guaco__buf *body,
     const char **type)
{
    bool ok = true;

    *type = "text/plain; charset=utf-8";
    if (is_path(path, "/metrics")) {
        *type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return guaco__metrics_write(tree, body) == GUACO_OK ? 200 : 500;
    }
    if (is_path(path, "/-/status")) {
        *type = "application/json";
        return guaco__status_write(tree, body) == GUACO_OK ? 200 : 500;
    }
    if (is_path(path, "/-/ready"))
        ok = is_ready(tree);
    else if (is_path(path, "/-/startup"))
        ok = tree->state != TREE_STARTING;
    else if (!is_path(path, "/-/live"))
        return 404;
    return ok ? 200 : 503;
}

static int
put_reply(struct conn *c, int status, const char *type,
          const struct guaco__buf *body, bool has_body)
{
    const char *reason = guaco__status_text(status);

    int rc = guaco__buf_printf(
        &c->out,
        "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n"
        "cache-control: no-store\r\nconnection: close\r\n%s\r\n",
        status, reason, type, body->len,
        status == 405 ? "allow: GET, HEAD\r\n" : "");
    if (rc == GUACO_OK && has_body && body->len > 0)
        rc = guaco__buf_append(&c->out, guaco__buf_data(body), body->len);
    return rc;
}

static int
answer(struct conn *c, int status, const struct guaco_http_head *head)
{
    struct guaco__buf body;
    const char *type = "text/plain; charset=utf-8";
    bool is_get = is_path(head->method, "GET");
    bool is_head = is_path(head->method, "HEAD");

    guaco__buf_init(&body, REPLY_BYTES_MAX);
    if (status == 0)
        status = is_get || is_head
                     ? fill(c->admin->tree, head->path, &body, &type)
                     : 405;
    if (body.len == 0 || (status != 200 && status != 503)) {
        guaco__buf_reset(&body);
        (void)guaco__buf_printf(&body, "%s\n", guaco__status_text(status));
    }
    int rc = put_reply(c, status, type, &body, !is_head);
    guaco__buf_release(&body);
    return rc;
}

/* ---- a connection ---- */

/* False when it is over. */
static bool
flush(struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, guaco__buf_data(&c->out), c->out.len,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return guaco__watch_set(&c->watch, GUACO__WRITABLE) == GUACO_OK;
        if (n <= 0)
            return false;
        guaco__buf_drop(&c->out, (size_t)n);
    }
    /* What the client has sent and is not read would reset the answer. */
    shutdown(c->fd, SHUT_WR);
    return guaco__watch_set(&c->watch, GUACO__READABLE) == GUACO_OK;
}

static bool
take_request(struct conn *c)
{
    struct guaco_http_limits limits = GUACO_HTTP_LIMITS_DEFAULT;
    struct guaco_http_parser parser;
    struct guaco_field fields[FIELDS_MAX];
    uint8_t ids[FIELDS_MAX];
    struct guaco_http_head head = {.fields = fields, .ids = ids};
    struct guaco_http_event event;
    int status = 0;

    limits.head_bytes = HEAD_BYTES_MAX;
    limits.fields = FIELDS_MAX;
    guaco_http_parser_init(&parser, &limits);
    int rc = guaco_http_parser_next(&parser, guaco__buf_data(&c->in), c->in.len,
                                    &head, &event);
    if (rc == GUACO_OK && event.type == GUACO_HTTP_NEED_MORE)
        return true;
    if (rc != GUACO_OK)
        status = guaco_http_fault_status(event.fault);
    c->is_answered = true;
    return answer(c, status == 0 && rc != GUACO_OK ? 400 : status, &head) ==
               GUACO_OK &&
           flush(c);
}

/* False at the end, or when it is of no use any more. */
static bool
read_some(struct conn *c)
{
    char data[4096];
    ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    if (c->is_answered)
        return true; /* read away, until the client or the deadline ends it */
    return guaco__buf_append(&c->in, data, (size_t)n) == GUACO_OK &&
           take_request(c);
}

static void
on_conn(struct guaco__watch *watch, unsigned events)
{
    struct conn *c = GUACO__OF(watch, struct conn, watch);

    if (!((events & GUACO__WRITABLE) != 0 ? flush(c) : read_some(c)))
        conn_close(c);
}

static struct conn *
find_free(struct guaco__admin *admin)
{
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (admin->conns[i].admin == NULL)
            return &admin->conns[i];
    return NULL;
}

static void
on_accept(struct guaco__listener *listener, int fd,
          const struct sockaddr_storage *from)
{
    struct guaco__admin *admin =
        GUACO__OF(listener, struct guaco__admin, listener);
    struct conn *c = find_free(admin);

    (void)from;
    assert(c != NULL); /* at the most the listener is paused */
    *c = (struct conn){.admin = admin, .fd = fd};
    guaco__buf_init(&c->in, HEAD_BYTES_MAX + 4096);
    guaco__buf_init(&c->out, REPLY_BYTES_MAX + 1024);
    guaco__timer_init(&c->deadline, admin->tree->loop, on_deadline);
    guaco__timer_start_ms(&c->deadline, DEADLINE_MS);
    if (++admin->count == CONNS_MAX)
        guaco__listener_pause(listener);
    if (guaco__watch_start(&c->watch, admin->tree->loop, fd, GUACO__READABLE,
                           on_conn, NULL) != GUACO_OK)
        conn_close(c);
}

/* ---- life ---- */

int
guaco__admin_open(struct tree *tree, struct guaco_error *err)
{
    const char *address = guaco__options_text(tree->setup->options, "admin");

    if (address == NULL)
        return GUACO_OK;
    struct guaco__admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "--admin");
    tree->admin = admin;
    admin->tree = tree;
    admin->listener.fd = -1;
    guaco__binds_init(&admin->binds, 1, CONNS_MAX);
    admin->binds.inherited = &tree->inherited;
    int rc = guaco__binds_add(&admin->binds, address, err);
    if (rc != GUACO_OK)
        return rc;
    if (admin->binds.items[0].is_ours) /* for its owner only */
        (void)chmod(admin->binds.items[0].text + strlen("unix:"), 0600);
    int fd = fcntl(guaco__binds_fd(&admin->binds, 0, 0), F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "--admin");
    rc = guaco__listener_init(&admin->listener, tree->loop, fd, tree->log,
                              on_accept, err);
    if (rc != GUACO_OK) {
        admin->listener.fd = -1;
        close(fd);
        return rc;
    }
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "admin on %s",
               admin->binds.items[0].url);
    return guaco__listener_resume(&admin->listener, err);
}

struct guaco__binds *
guaco__admin_binds(const struct tree *tree)
{
    return tree->admin == NULL ? NULL : &tree->admin->binds;
}

void
guaco__admin_close(struct tree *tree)
{
    struct guaco__admin *admin = tree->admin;

    if (admin == NULL)
        return;
    for (size_t i = 0; i < CONNS_MAX; i++)
        if (admin->conns[i].admin != NULL)
            conn_close(&admin->conns[i]);
    if (admin->listener.fd >= 0)
        guaco__listener_close(&admin->listener);
    guaco__binds_release(&admin->binds);
    free(admin);
    tree->admin = NULL;
}
