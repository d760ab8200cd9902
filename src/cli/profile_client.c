/* Asking a supervisor for a profile: see profile_wire.h. */

#include "profile_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "profile_output.h"
#include "profile_wire.h"

struct client {
    const struct guaco__profile_session *want;
    int fd, signals;
    struct guaco__buf in; /* what has come */
    size_t head;          /* bytes of its first line; 0: not whole yet */
    int64_t body_bytes, samples, dropped, processes;
};

static int
connect_to(struct client *c, struct guaco_error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *path = c->want->socket;

    if (strlen(path) >= sizeof at.sun_path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "the path of the socket is too long");
    memcpy(at.sun_path, path, strlen(path) + 1);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0)
        return guaco_fail(err, GUACO_E_IO, errno,
                          "no server with --profile-socket at %s", path);
    return GUACO_OK;
}

static int
send_settings(struct client *c, struct guaco_error *err)
{
    struct guaco__buf line;

    guaco__buf_init(&line, 2 * GUACO__WIRE_LINE_MAX);
    int rc = guaco__wire_write(c->want, &line);
    rc = rc == GUACO_OK ? guaco__output_send(c->fd, &line, "the server", err)
                        : guaco_fail(err, rc, 0, "the names are too long");
    guaco__buf_release(&line);
    return rc;
}

/* The first line is whole. */
static int
read_head(struct client *c, struct guaco_error *err)
{
    struct guaco__arena arena;
    const struct guaco__json *o;

    guaco__arena_init(&arena, 4096, (size_t)1 << 20);
    int rc =
        guaco__json_read(&arena, guaco__buf_data(&c->in), c->head - 1, &o, err);
    if (rc == GUACO_OK && guaco__json_text(o, "error", NULL) != NULL)
        rc = guaco_fail(err, GUACO_E_IO, 0, "%s",
                        guaco__json_text(o, "error", ""));
    if (rc == GUACO_OK) {
        c->body_bytes = guaco__json_int(o, "bytes", -1);
        c->samples = guaco__json_int(o, "samples", 0);
        c->dropped = guaco__json_int(o, "dropped", 0);
        c->processes = guaco__json_int(o, "processes", 0);
        if (c->body_bytes < 0)
            rc = guaco_fail(err, GUACO_E_PROTO, 0, "no answer of a server");
    }
    guaco__arena_release(&arena);
    return rc;
}

/* Take what is there.  Returns 0, GUACO_E_AGAIN: there is more to come. */
static int
receive(struct client *c, struct guaco_error *err)
{
    int rc = guaco__buf_reserve(&c->in, 65536);

    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "the answer");
    ssize_t n = read(c->fd, guaco__buf_end(&c->in), guaco__buf_free(&c->in));
    if (n < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "the server");
    guaco__buf_commit(&c->in, (size_t)n);
    const char *data = guaco__buf_data(&c->in);
    const char *end =
        c->in.len == 0 || c->head != 0 ? NULL : memchr(data, '\n', c->in.len);
    if (end != NULL) {
        c->head = (size_t)(end - data) + 1;
        rc = read_head(c, err);
    }
    if (rc != GUACO_OK)
        return rc;
    if (c->head != 0 && c->in.len - c->head >= (size_t)c->body_bytes)
        return GUACO_OK;
    if (n == 0)
        return guaco_fail(err, GUACO_E_CLOSED, 0,
                          "the server ended before its answer");
    return GUACO_E_AGAIN;
}

/* A signal ends the recording; a second one, us. */
static int
take_signal(struct client *c, unsigned *count, struct guaco_error *err)
{
    struct signalfd_siginfo info;

    (void)!read(c->signals, &info, sizeof info);
    if (++*count > 1)
        return guaco_fail(err, GUACO_E_CLOSED, 0, "interrupted");
    shutdown(c->fd, SHUT_WR);
    return GUACO_E_AGAIN;
}

static int
wait_answer(struct client *c, struct guaco_error *err)
{
    unsigned signals = 0;
    int rc = GUACO_E_AGAIN;

    while (rc == GUACO_E_AGAIN) {
        struct pollfd fds[2] = {{.fd = c->signals, .events = POLLIN},
                                {.fd = c->fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            rc = take_signal(c, &signals, err);
        if (rc == GUACO_E_AGAIN && fds[1].revents != 0)
            rc = receive(c, err);
    }
    return rc;
}

static int
save(struct client *c, struct guaco_error *err)
{
    struct guaco__buf body;

    guaco__buf_init(&body, GUACO__OUTPUT_BYTES_MAX);
    int rc = guaco__buf_append(&body, guaco__buf_data(&c->in) + c->head,
                               (size_t)c->body_bytes);
    rc = rc == GUACO_OK ? guaco__output_write(c->want->output, &body, err)
                        : guaco_fail(err, rc, 0, "the answer");
    guaco__buf_release(&body);
    return rc;
}

static int
open_signals(struct client *c, struct guaco_error *err)
{
    sigset_t taken;

    sigemptyset(&taken);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGTERM);
    sigprocmask(SIG_BLOCK, &taken, NULL);
    signal(SIGPIPE, SIG_IGN);
    c->signals = signalfd(-1, &taken, SFD_CLOEXEC);
    return c->signals < 0 ? guaco_fail(err, GUACO_E_IO, errno, "signals")
                          : GUACO_OK;
}

int
guaco__profile_client_run(const struct guaco__profile_session *session)
{
    struct client c = {.want = session, .fd = -1, .signals = -1};
    struct guaco_error err = {0};

    guaco__buf_init(&c.in, GUACO__OUTPUT_BYTES_MAX);
    int rc = guaco__output_check(session->output, &err);
    if (rc == GUACO_OK)
        rc = connect_to(&c, &err);
    if (rc == GUACO_OK)
        rc = open_signals(&c, &err);
    if (rc == GUACO_OK)
        rc = send_settings(&c, &err);
    if (rc == GUACO_E_IO && err.sys == EPIPE)
        rc = GUACO_OK; /* it refuses: the answer says why */
    if (rc == GUACO_OK)
        rc = wait_answer(&c, &err);
    if (rc == GUACO_OK)
        rc = save(&c, &err);
    if (rc == GUACO_OK && session->says_end)
        fprintf(stderr, "guaco profile: %lld samples of %lld processes%s%s\n",
                (long long)c.samples, (long long)c.processes,
                session->output != NULL ? " in " : "",
                session->output != NULL ? session->output : "");
    if (rc == GUACO_OK && session->says_end && c.dropped > 0)
        fprintf(stderr,
                "guaco profile: %lld more could not be read consistently, or "
                "were of one request or the next\n",
                (long long)c.dropped);
    if (rc == GUACO_OK && c.samples == 0)
        fputs("guaco profile: nothing of the kind ran meanwhile\n", stderr);
    guaco__buf_release(&c.in);
    if (c.fd >= 0)
        close(c.fd);
    if (c.signals >= 0)
        close(c.signals);
    return rc == GUACO_OK ? 0 : guaco__complain("profile", rc, &err);
}
