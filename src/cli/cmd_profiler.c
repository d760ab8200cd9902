/*
 * guaco _profiler: started by the supervisor for who connected to
 * --profile-socket, whose connection is descriptor 3.  It samples all processes
 * below its parent as profile_wire.h says, writes the answer and ends; also when
 * the client, or the supervisor, has gone.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "command.h"
#include "os/clock.h"
#include "profile/record.h"
#include "profile/ticks.h"
#include "profile/tree.h"
#include "profile_output.h"
#include "profile_wire.h"

#define CONNECTION_FD   3
#define LINE_TIMEOUT_MS 10000
#define NS_A_MS         1000000

struct profiler {
    struct guaco__profile_session want;
    struct guaco__arena arena; /* of its texts */
    struct guaco__record *record;
    struct guaco__tree *tree;
    struct guaco__timeline timeline;
    int64_t begin_wall_ns;
    int parent;
};

/* ---- the connection ------------------------------------------------------------------ */

/* The socket is its owner's by its mode; whoever else got hold of a connection
 * is told nothing. */
static int
check_peer(struct guaco_error *err)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(CONNECTION_FD, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "who asks");
    if (peer.uid != 0 && peer.uid != geteuid())
        return guaco_fail(err, GUACO_E_IO, 0,
                          "only the user of the server, or root, may ask");
    return GUACO_OK;
}

static int
read_line(struct profiler *p, struct guaco_error *err)
{
    char line[GUACO__WIRE_LINE_MAX];
    size_t len = 0;
    const char *end;

    do {
        struct pollfd fd = {.fd = CONNECTION_FD, .events = POLLIN};
        if (len == sizeof line || poll(&fd, 1, LINE_TIMEOUT_MS) != 1)
            return guaco_fail(err, GUACO_E_PROTO, 0, "no line of settings");
        ssize_t n = read(CONNECTION_FD, line + len, sizeof line - len);
        if (n <= 0)
            return guaco_fail(err, GUACO_E_CLOSED, 0, "the client has gone");
        len += (size_t)n;
        end = memchr(line, '\n', len);
    } while (end == NULL);
    return guaco__wire_read(&p->arena, line, (size_t)(end - line), &p->want,
                            err);
}

static int
send_error(const struct guaco_error *err)
{
    struct guaco__json_writer w;
    struct guaco__buf out;
    struct guaco_error ignored;

    guaco__buf_init(&out, 4096);
    guaco__json_begin(&w, &out);
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "error");
    guaco__json_put_text(&w, err->text[0] != '\0' ? err->text
                                                  : guaco_strerror(err->code));
    guaco__json_close(&w, '}');
    if (guaco__json_end(&w) == GUACO_OK &&
        guaco__buf_append_byte(&out, '\n') == GUACO_OK)
        (void)guaco__output_send(CONNECTION_FD, &out, "the client", &ignored);
    guaco__buf_release(&out);
    return 1;
}

/* ---- recording ----------------------------------------------------------------------- */

/* Wait until the tick is due.  False: the client has ended its side. */
static bool
wait_tick(const struct guaco__ticks *ticks)
{
    struct pollfd fd = {.fd = CONNECTION_FD, .events = POLLIN | POLLRDHUP};
    char byte;

    for (;;) {
        uint64_t now = guaco__clock_mono_ns();
        uint64_t left = ticks->due_ns > now ? ticks->due_ns - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000000),
                                .tv_nsec = (long)(left % 1000000000)};
        int n = ppoll(&fd, 1, &wait, NULL);
        if (n == 0)
            return true;
        if (n > 0 && ((fd.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0 ||
                      read(CONNECTION_FD, &byte, 1) <= 0))
            return false;
    }
}

static int
record_all(struct profiler *p)
{
    struct guaco__ticks ticks;
    struct guaco_clock wall = {0};
    uint64_t begin = guaco__clock_mono_ns(), now = begin;
    uint64_t span = (uint64_t)(p->want.seconds * 1e9);
    int rc = GUACO_OK;

    p->begin_wall_ns = guaco__clock_wall_ns(&wall);
    guaco__ticks_init(&ticks, (uint64_t)(p->want.period * 1e9), true,
                      (uint64_t)p->begin_wall_ns, begin);
    while (rc == GUACO_OK && now - begin <= span && wait_tick(&ticks)) {
        now = guaco__clock_mono_ns();
        guaco__ticks_take(&ticks, now);
        rc = guaco__tree_sample(p->tree, p->record, now, now - begin);
    }
    return rc == GUACO_OK ? guaco__record_settle(p->record) : rc;
}

static int
open_record(struct profiler *p)
{
    bool has_time = guaco__format_has_time(p->want.format, p->want.in_time);
    struct guaco__record_options options = {
        .threads = p->want.threads,
        .running_only = p->want.running_only,
        .exclude_idle = true,
        .by_function = p->want.by_function,
        .by_state = p->want.by_state,
        .by_task = p->want.by_task,
        .timeline = has_time ? &p->timeline : NULL,
        .labels = &p->want.labels,
    };

    int rc = guaco__tree_new(&p->tree, p->parent);
    return rc == GUACO_OK ? guaco__record_new(&p->record, NULL, &options) : rc;
}

/* ---- the answer ---------------------------------------------------------------------- */

static const char *
what_is_shown(const struct profiler *p)
{
    if (p->want.labels.route != NULL)
        return p->want.labels.route;
    return p->want.labels.task != NULL ? p->want.labels.task
                                       : "requests and tasks";
}

static int
render(struct profiler *p, struct guaco__buf *out)
{
    struct guaco__tally *tally = guaco__record_tally(p->record);
    char title[160], subtitle[160];

    snprintf(title, sizeof title, "%s",
             p->want.title != NULL ? p->want.title : what_is_shown(p));
    snprintf(subtitle, sizeof subtitle,
             "%s, %zu processes, %llu samples, one every %g ms",
             what_is_shown(p), guaco__tree_seen(p->tree),
             (unsigned long long)tally->samples, p->want.period * 1000);
    struct guaco__report report = {
        .tally = tally,
        .timeline = &p->timeline,
        .title = {title, strlen(title)},
        .subtitle = {subtitle, strlen(subtitle)},
        .period_ns = (uint64_t)(p->want.period * 1e9),
        .begin_wall_ns = p->begin_wall_ns,
        .in_time = p->want.in_time,
        .is_icicle = p->want.is_icicle,
    };
    return guaco__report_write(&report, p->want.format, out);
}

static void
put_count(struct guaco__json_writer *w, const char *name, uint64_t count)
{
    guaco__json_name(w, name);
    guaco__json_put_int(w, (int64_t)count);
}

static int
send_answer(struct profiler *p, const struct guaco__buf *body,
            struct guaco_error *err)
{
    struct guaco__json_writer w;
    struct guaco__buf head;

    guaco__buf_init(&head, 4096);
    guaco__json_begin(&w, &head);
    guaco__json_open(&w, '{');
    put_count(&w, "bytes", body->len);
    put_count(&w, "samples", guaco__record_tally(p->record)->samples);
    put_count(&w, "dropped",
              guaco__tree_counts(p->tree).dropped +
                  guaco__record_counts(p->record)->unsure);
    put_count(&w, "processes", guaco__tree_seen(p->tree));
    guaco__json_close(&w, '}');
    int rc = guaco__json_end(&w);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_byte(&head, '\n');
    if (rc == GUACO_OK)
        rc = guaco__output_send(CONNECTION_FD, &head, "the client", err);
    if (rc == GUACO_OK)
        rc = guaco__output_send(CONNECTION_FD, body, "the client", err);
    guaco__buf_release(&head);
    return rc;
}

static int
profile(struct profiler *p, struct guaco_error *err)
{
    struct guaco__buf body;

    int rc = open_record(p);
    if (rc == GUACO_OK)
        rc = record_all(p);
    if (rc == GUACO_OK && guaco__tree_seen(p->tree) == 0)
        return guaco_fail(err, GUACO_E_MISSING, 0,
                          "no Python process runs below process %d, or it may "
                          "not be read",
                          p->parent);
    guaco__buf_init(&body, GUACO__OUTPUT_BYTES_MAX);
    if (rc == GUACO_OK)
        rc = render(p, &body);
    if (rc == GUACO_OK)
        rc = send_answer(p, &body, err);
    guaco__buf_release(&body);
    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "profile");
}

int
guaco__command_profiler(const struct guaco__command *command,
                        const char *const *args, size_t count)
{
    struct profiler p = {.parent = getppid()};
    struct guaco_error err = {0};

    (void)args;
    if (count != 0 || fcntl(CONNECTION_FD, F_SETFL, 0) != 0) {
        fprintf(stderr, "guaco %s is started by the supervisor\n",
                command->name);
        return 2;
    }
    signal(SIGINT, SIG_IGN); /* the supervisor's: it reaches the whole group */
    signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != p.parent)
        return 0;
    guaco__arena_init(&p.arena, 4096, (size_t)1 << 20);
    guaco__timeline_init(&p.timeline);
    int rc = check_peer(&err);
    if (rc == GUACO_OK)
        rc = read_line(&p, &err);
    if (rc == GUACO_OK)
        rc = profile(&p, &err);
    int code = rc == GUACO_OK ? 0 : send_error(&err);
    guaco__record_free(p.record);
    guaco__tree_free(p.tree);
    guaco__timeline_release(&p.timeline);
    guaco__arena_release(&p.arena);
    return code;
}
