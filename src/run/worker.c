/*
 * One child process: started with its end of the channel, told what it is,
 * listened to, and taken by its pidfd.  What its ready, leaving and end mean is
 * decided in supervisor.c.
 */

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/json.h"
#include "os/clock.h"
#include "supervisor_int.h"

#define CHANNEL_NUMBER     3 /* in the child */
#define MEMORY_NUMBER      4 /* where a keeper serves memory: */
#define MEMORY_NUMBER_TEXT "4"
#define KILL_MARGIN_MS     5000 /* a worker keeps its own deadline; then ours */
#define ABORT_MS           2000 /* from SIGABRT to SIGKILL */
#define MESSAGES_A_TURN    16

const char *
guaco__role_name(enum role role)
{
    switch (role) {
    case ROLE_WEB: return "web";
    case ROLE_TASKS: return "tasks";
    case ROLE_ADMIN: return "queue-admin";
    case ROLE_KEEPER: return "keeper";
    case ROLE_PRELOAD: return "preload";
    }
    return "";
}

void
guaco__worker_name(const struct worker *worker, char out[64])
{
    const struct slot *slot = worker->slot;

    snprintf(out, 64, "%s%s %zu (pid %ld)", guaco__role_name(slot->role),
             slot->role == ROLE_WEB || slot->role == ROLE_TASKS ? " worker"
                                                                : "",
             slot->index, (long)worker->pid);
}

/* ---- the end ---- */

void
guaco__worker_free(struct worker *w)
{
    guaco__watch_stop(&w->exit_watch);
    guaco__watch_stop(&w->channel_watch);
    guaco__timer_stop(&w->deadline);
    guaco__timer_stop(&w->lifetime);
    if (w->pidfd >= 0)
        close(w->pidfd);
    if (w->channel >= 0)
        close(w->channel);
    guaco__meters_give(&w->tree->meters, w->meter);
    guaco__list_remove(&w->link);
    free(w);
}

static void read_channel(struct worker *w);

void
guaco__worker_check_end(struct worker *w)
{
    struct guaco__process_end end = {false, 0};

    int rc = w->slot->role == ROLE_TASKS ? guaco__process_peek(w->pidfd, &end)
                                         : guaco__process_wait(w->pidfd, &end);
    if (rc == GUACO_E_AGAIN)
        return;
    if (w->channel >= 0)
        read_channel(w); /* its last words may still wait there */
    assert(w->pidfd >= 0);
    if (w->slot->role == ROLE_TASKS) {
        guaco__watch_stop(&w->exit_watch);
        guaco__tree_wait_later(w->tree, w->pidfd);
        w->pidfd = -1;
    }
    guaco__slot_event(w->slot, w, WORKER_ENDED, &end);
    guaco__worker_free(w);
}

static void
on_exit_watch(struct guaco__watch *watch, unsigned events)
{
    struct worker *w = GUACO__OF(watch, struct worker, exit_watch);
    struct tree *tree = w->tree;

    (void)events;
    guaco__tree_read_signals(tree);
    guaco__worker_check_end(w);
    guaco__tree_reap(tree);
}

/* One that is being forked has nothing yet but its channel, whose end it
 * obeys. */
static void
signal_worker(const struct worker *w, int number)
{
    if (w->pidfd >= 0)
        guaco__process_signal(w->pidfd, number); /* gone: all the same */
    else if (w->channel >= 0)
        shutdown(w->channel, SHUT_RDWR);
}

void
guaco__worker_kill(struct worker *w)
{
    if (w->state == WORKER_KILLED)
        return;
    w->state = WORKER_KILLED;
    guaco__timer_stop(&w->deadline);
    signal_worker(w, SIGKILL);
}

static const char *
why_killed(const struct worker *w)
{
    switch (w->state) {
    case WORKER_STARTING: return "was not ready within --timeout-worker-start";
    case WORKER_DRAINING: return "did not end in its grace period";
    case WORKER_ABORTED: return "did not end by SIGABRT";
    case WORKER_READY:
    case WORKER_KILLED: break;
    }
    assert(0); /* they have no deadline */
    return "";
}

static void
on_deadline(struct guaco__timer *timer)
{
    struct worker *w = GUACO__OF(timer, struct worker, deadline);
    char name[64];

    guaco__worker_name(w, name);
    guaco__log(w->tree->log, GUACO_LOG_ERROR, "supervisor", "%s %s; killed",
               name, why_killed(w));
    guaco__worker_kill(w);
}

void
guaco__worker_abort(struct worker *w)
{
    if (w->state == WORKER_KILLED || w->state == WORKER_ABORTED)
        return;
    w->state = WORKER_ABORTED;
    signal_worker(w, SIGABRT);
    guaco__timer_start_ms(&w->deadline, ABORT_MS);
}

static void
on_lifetime(struct guaco__timer *timer)
{
    struct worker *w = GUACO__OF(timer, struct worker, lifetime);

    if (w->slot->now == w)
        guaco__slot_renew(w->slot, RENEWAL_LIFETIME);
}

/* Milliseconds from the command to drain to SIGKILL. */
static uint64_t
grace_ms(const struct worker *w)
{
    const struct guaco__options *o = w->tree->setup->options;
    const char *name =
        w->slot->role == ROLE_WEB ? "timeout-graceful-shutdown" : "grace";

    if (w->slot->role == ROLE_KEEPER || w->slot->role == ROLE_ADMIN ||
        w->slot->role == ROLE_PRELOAD)
        return KILL_MARGIN_MS;
    return (uint64_t)guaco__options_number(o, name) + KILL_MARGIN_MS;
}

static int
send_command(struct worker *w, const char *command, const int *fds,
             size_t fd_count)
{
    if (w->channel < 0 || w->slot->role == ROLE_KEEPER)
        return GUACO_E_CLOSED;
    return guaco__channel_send(w->channel, command, strlen(command), fds,
                               fd_count);
}

void
guaco__worker_command(struct worker *w, const char *command, const int *fds,
                      size_t fd_count)
{
    char name[64];
    int rc = send_command(w, command, fds, fd_count);

    if (rc == GUACO_OK || rc == GUACO_E_CLOSED)
        return;
    guaco__worker_name(w, name);
    guaco__log(w->tree->log, GUACO_LOG_ERROR, "supervisor",
               "%s was not told %.80s: %s", name, command, guaco_strerror(rc));
}

/* One that is still starting does not read its channel yet, and has nothing to
 * drain; a keeper knows signals only. */
void
guaco__worker_drain(struct worker *w)
{
    switch (w->state) {
    case WORKER_DRAINING:
    case WORKER_ABORTED:
    case WORKER_KILLED: return;
    case WORKER_STARTING: signal_worker(w, SIGTERM); break;
    case WORKER_READY:
        if (send_command(w, "{\"command\":\"drain\"}", NULL, 0) != GUACO_OK)
            signal_worker(w, SIGTERM);
        break;
    }
    guaco__timer_stop(&w->lifetime);
    w->state = WORKER_DRAINING;
    guaco__timer_start_ms(&w->deadline, grace_ms(w));
}

/* ---- what it says ---- */

static void
tell_failure(struct worker *w, const char *text)
{
    char name[64];

    guaco__worker_name(w, name);
    guaco__log(w->tree->log, GUACO_LOG_ERROR, "supervisor",
               "%s could not start", name);
    w->has_told = true;
    w->tree->setup->tell(w->tree->setup->ctx, text, strlen(text));
}

static void
start_lifetime(struct worker *w)
{
    int64_t ms =
        w->slot->role == ROLE_ADMIN || w->slot->role == ROLE_PRELOAD
            ? 0
            : guaco__options_number(w->tree->setup->options, "worker-lifetime");

    if (ms > 0)
        guaco__timer_start_ms(&w->lifetime, (uint64_t)ms);
}

/* It says who it is: from here on it is like one that was spawned. */
static void
take_forked(struct worker *w, int64_t pid)
{
    struct guaco_error err;

    if (w->pidfd >= 0 || pid <= 1 || pid > INT32_MAX)
        return;
    if (guaco__process_open((pid_t)pid, &w->pidfd, &err) != GUACO_OK)
        return; /* it has ended: so will its channel */
    w->pid = (pid_t)pid;
    if (guaco__watch_start(&w->exit_watch, w->tree->loop, w->pidfd,
                           GUACO__READABLE, on_exit_watch, &err) == GUACO_OK)
        return;
    guaco__log(w->tree->log, GUACO_LOG_ERROR, "supervisor", "%s", err.text);
    guaco__worker_kill(w);
}

static void
take_message(struct worker *w, const struct guaco__json *message)
{
    const char *event = guaco__json_text(message, "event", "");

    if (strcmp(event, "ready") == 0) {
        if (w->state != WORKER_STARTING)
            return;
        w->state = WORKER_READY;
        guaco__timer_stop(&w->deadline);
        start_lifetime(w);
        guaco__slot_event(w->slot, w, WORKER_IS_READY, NULL);
    } else if (strcmp(event, "forked") == 0) {
        take_forked(w, guaco__json_int(message, "pid", 0));
    } else if (strcmp(event, "warning") == 0) {
        guaco__log(w->tree->log, GUACO_LOG_WARNING, "supervisor", "%s",
                   guaco__json_text(message, "text", ""));
    } else if (strcmp(event, "exhausted") == 0) {
        if (w->slot->now == w)
            guaco__slot_renew(w->slot, RENEWAL_REQUESTS);
    } else if (strcmp(event, "failed") == 0) {
        tell_failure(w, guaco__json_text(message, "text", "no reason given"));
    } else if (strcmp(event, "queues") == 0) {
        guaco__keepers_add(w->tree, guaco__json_get(message, "queues"));
    } else if (strcmp(event, "draining") == 0) {
        w->has_stopped = true;
        if (w->state == WORKER_DRAINING) /* as it was told to */
            guaco__tree_replace(w->tree);
        if (w->state != WORKER_READY)
            return;
        w->state = WORKER_DRAINING;
        guaco__timer_start_ms(&w->deadline, grace_ms(w));
        guaco__slot_event(w->slot, w, WORKER_LEAVES, NULL);
    } else {
        guaco__log(w->tree->log, GUACO_LOG_DEBUG, "supervisor",
                   "pid %ld sent an unknown event %.40s", (long)w->pid, event);
    }
}

static void
read_message(struct worker *w, const char *text, size_t len)
{
    struct guaco__arena arena;
    struct guaco_error err;
    const struct guaco__json *message;

    guaco__arena_init(&arena, 4096, 4 * GUACO__CHANNEL_MESSAGE_MAX);
    if (guaco__json_read(&arena, text, len, &message, &err) == GUACO_OK)
        take_message(w, message);
    else
        guaco__log(w->tree->log, GUACO_LOG_WARNING, "supervisor",
                   "pid %ld sent what is no message: %s", (long)w->pid,
                   err.text);
    guaco__arena_release(&arena);
}

static void
close_channel(struct worker *w)
{
    assert(w->channel >= 0);
    guaco__watch_stop(&w->channel_watch);
    close(w->channel);
    w->channel = -1;
}

/* The one that was to be forked is not there, and will not be. */
static void
end_unborn(struct worker *w)
{
    const struct guaco__process_end end = {true, GUACO__EXIT_CRASH};

    guaco__slot_event(w->slot, w, WORKER_ENDED, &end);
    guaco__worker_free(w);
}

static void
read_channel(struct worker *w)
{
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        size_t len;
        int rc = guaco__channel_receive(w->channel, w->tree->message,
                                        GUACO__CHANNEL_MESSAGE_MAX, &len, NULL,
                                        NULL);
        if (rc == GUACO_E_AGAIN)
            return;
        if (rc == GUACO_E_CLOSED || rc == GUACO_E_IO) {
            close_channel(w);
            if (w->pidfd < 0)
                end_unborn(w);
            return; /* w may be freed */
        }
        if (rc == GUACO_OK)
            read_message(w, w->tree->message, len);
    }
}

static void
on_channel_watch(struct guaco__watch *watch, unsigned events)
{
    (void)events;
    read_channel(GUACO__OF(watch, struct worker, channel_watch));
}

/* ---- the start ---- */

/* Descriptors that a web worker gets behind its sockets. */
struct extras {
    const char *names[3];
    int fds[3];
    size_t count;
};

static void
add_extra(struct extras *extras, const char *name, int fd)
{
    if (fd < 0)
        return;
    extras->names[extras->count] = name;
    extras->fds[extras->count++] = fd;
}

static struct extras
extras_of(const struct worker *w)
{
    struct extras extras = {.count = 0};
    int logs[GUACO__LOG_FILES];

    if (w->slot->role != ROLE_WEB)
        return extras;
    guaco__log_files_fds(&w->tree->logs, logs);
    add_extra(&extras, "access_log", logs[GUACO__ACCESS_LOG]);
    if (w->meter >= 0) {
        add_extra(&extras, "meter", w->tree->meters.shm.fd);
        add_extra(&extras, "pulse", guaco__pulse_fd(w->tree));
    }
    return extras;
}

/* What makes all workers open each other's TLS tickets. */
static void
write_secret(const struct tree *tree, struct guaco__json_writer *j)
{
    char text[64] = "";

    _Static_assert((GUACO__TLS_SECRET_BYTES + 2) / 3 * 4 < sizeof text, "fits");
    guaco__base64_encode(tree->ticket_secret, sizeof tree->ticket_secret, text);
    guaco__json_name(j, "ticket_secret");
    guaco__json_put_text(j, text);
}

static int
write_start(const struct worker *w, const struct extras *extras,
            struct guaco__buf *out)
{
    const struct slot *slot = w->slot;
    const struct guaco__options *o = w->tree->setup->options;
    struct guaco__json_writer j;

    guaco__json_begin(&j, out);
    guaco__json_open(&j, '{');
    guaco__json_name(&j, "role");
    guaco__json_put_text(&j, guaco__role_name(slot->role));
    guaco__json_name(&j, "target");
    guaco__json_put_text(&j, w->tree->setup->target);
    guaco__json_name(&j, "slot");
    guaco__json_put_int(&j, (int64_t)slot->index);
    guaco__json_name(&j, "generation");
    guaco__json_put_int(&j, w->generation);
    guaco__json_name(&j, "concurrency");
    guaco__json_put_int(&j, slot->concurrency);
    guaco__json_name(&j, "extras"); /* descriptors behind the sockets */
    guaco__json_open(&j, '[');
    for (size_t i = 0; i < extras->count; i++)
        guaco__json_put_text(&j, extras->names[i]);
    guaco__json_close(&j, ']');
    guaco__json_name(&j, "meter"); /* its slot */
    guaco__json_put_int(&j, w->meter);
    guaco__json_name(&j, "command");
    guaco__json_put_text(&j, w->tree->setup->command);
    guaco__json_name(&j, "operands");
    guaco__json_open(&j, '[');
    for (size_t i = 0; i < o->operand_count; i++)
        guaco__json_put_text(&j, o->operands[i]);
    guaco__json_close(&j, ']');
    guaco__json_name(&j, "options");
    guaco__options_write(o, &j);
    if (w->tree->has_tls && slot->role == ROLE_WEB)
        write_secret(w->tree, &j);
    guaco__json_name(&j, "sockets");
    guaco__json_open(&j, '[');
    for (size_t i = 0; slot->role == ROLE_WEB && i < w->tree->binds.count;
         i++) {
        guaco__json_open(&j, '{');
        guaco__json_name(&j, "bind");
        guaco__json_put_text(&j, w->tree->binds.items[i].text);
        guaco__json_name(&j, "tls");
        guaco__json_put_bool(&j, w->tree->binds.items[i].is_tls);
        guaco__json_close(&j, '}');
    }
    guaco__json_close(&j, ']');
    guaco__json_close(&j, '}');
    return guaco__json_end(&j);
}

static int
send_start(struct worker *w, struct guaco_error *err)
{
    struct guaco__buf text;
    struct extras extras = extras_of(w);
    int fds[GUACO__BINDS_MAX + sizeof extras.fds / sizeof *extras.fds];
    size_t count = 0;

    for (size_t i = 0; w->slot->role == ROLE_WEB && i < w->tree->binds.count;
         i++)
        fds[count++] = guaco__binds_fd(&w->tree->binds, i, w->slot->index);
    for (size_t i = 0; i < extras.count; i++)
        fds[count++] = extras.fds[i];
    guaco__buf_init(&text, GUACO__CHANNEL_MESSAGE_MAX);
    int rc = write_start(w, &extras, &text);
    if (rc == GUACO_OK)
        rc = guaco__channel_send(w->channel, guaco__buf_data(&text), text.len,
                                 fds, count);
    guaco__buf_release(&text);
    if (rc == GUACO_OK)
        guaco__worker_give_parked(w);
    /* A child that ended at once is judged by its exit. */
    return rc == GUACO_OK || rc == GUACO_E_CLOSED
               ? GUACO_OK
               : guaco_fail(err, rc, 0, "hand over to pid %ld", (long)w->pid);
}

/* What ps shows of a worker, behind the words that start it. */
struct title {
    char slot[24];
    const char *name;
};

static void
make_title(const struct worker *w, struct title *title)
{
    const struct guaco__supervisor_setup *setup = w->tree->setup;
    const char *name = NULL;

    if (setup->options->command != GUACO__QUEUE)
        name = guaco__options_text(setup->options, "name");
    title->name = name != NULL ? name : setup->target;
    snprintf(title->slot, sizeof title->slot, "%zu", w->slot->index);
}

static int
spawn(struct worker *w, int theirs, struct guaco_error *err)
{
    const struct guaco__supervisor_setup *setup = w->tree->setup;
    struct guaco__process_fd fds[2] = {{theirs, CHANNEL_NUMBER}};
    const char *role = guaco__role_name(w->slot->role);
    struct title title;
    make_title(w, &title);
    const char *python[] = {
        w->tree->python, "-m", "guaco._worker", role, title.slot,
        title.name,      NULL};
    const char *guest_kind =
        w->slot->role == ROLE_TASKS ? "_taskguest" : "_guest";
    const char *guest[] = {setup->exe, guest_kind, role,
                           title.slot, title.name, NULL};
    const char *keeper[] = {setup->exe, "_keeper", w->slot->url, NULL, NULL};
    /* Ctrl-C reaches the whole group; only the supervisor shall act on it. */
    struct guaco__process_spec spec = {.argv = python,
                                       .envp = w->tree->environment.list,
                                       .fds = fds,
                                       .fd_count = 1,
                                       .held_signal = SIGINT};

    if (w->slot->role == ROLE_KEEPER) {
        spec.argv = keeper;
        if (strcmp(w->slot->url, GUACO__MEMORY_URL) == 0) {
            fds[spec.fd_count++] =
                (struct guaco__process_fd){w->tree->memory_fd, MEMORY_NUMBER};
            keeper[3] = MEMORY_NUMBER_TEXT;
        }
    } else if (guaco__target_is_guest(setup->target)) {
        spec.argv = guest;
    }
    spec.path = spec.argv[0];
    return guaco__process_spawn(&spec, &w->pid, &w->pidfd, err);
}

/* Have the worker forked by the process that has imported the application. */
static int
fork_from(struct worker *preload, int theirs, struct guaco_error *err)
{
    int rc = send_command(preload, "{\"command\":\"fork\"}", &theirs, 1);

    return rc == GUACO_OK ? rc : guaco_fail(err, rc, 0, "have a worker forked");
}

static int
begin(struct worker *w, int theirs, struct guaco_error *err)
{
    struct worker *preload =
        w->slot->role == ROLE_WEB ? guaco__tree_preload(w->tree) : NULL;

    return preload != NULL ? fork_from(preload, theirs, err)
                           : spawn(w, theirs, err);
}

static int
watch_child(struct worker *w, struct guaco_error *err)
{
    int rc = GUACO_OK;

    if (w->pidfd >= 0)
        rc = guaco__watch_start(&w->exit_watch, w->tree->loop, w->pidfd,
                                GUACO__READABLE, on_exit_watch, err);
    if (rc == GUACO_OK)
        rc = guaco__watch_start(&w->channel_watch, w->tree->loop, w->channel,
                                GUACO__READABLE, on_channel_watch, err);
    return rc;
}

/* A child that could not be set up must not live on without us. */
static void
end_now(struct worker *w)
{
    struct pollfd wait = {.fd = w->pidfd, .events = POLLIN};
    struct guaco__process_end end;

    assert(w->pid > 0);
    guaco__process_signal(w->pidfd, SIGKILL);
    while (guaco__process_wait(w->pidfd, &end) == GUACO_E_AGAIN)
        poll(&wait, 1, -1);
}

int
guaco__worker_start(struct slot *slot, struct worker **worker,
                    struct guaco_error *err)
{
    struct tree *tree = slot->tree;
    struct worker *w = calloc(1, sizeof *w);
    int theirs = -1;

    assert(tree->state != TREE_STOPPING);
    assert((slot->role == ROLE_KEEPER) == (slot->url != NULL));
    if (w == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "start a worker");
    w->tree = tree;
    w->slot = slot;
    w->pidfd = -1;
    w->channel = -1;
    w->meter = -1;
    w->generation = tree->generation;
    slot->tried = tree->generation;
    w->start_ns = guaco__clock_mono_ns();
    guaco__list_init(&w->link);
    guaco__list_push(&tree->workers, &w->link);
    guaco__timer_init(&w->deadline, tree->loop, on_deadline);
    guaco__timer_init(&w->lifetime, tree->loop, on_lifetime);

    int rc = guaco__channel_open(&w->channel, &theirs, err);
    if (rc == GUACO_OK)
        rc = begin(w, theirs, err);
    if (theirs >= 0)
        close(theirs);
    if (rc == GUACO_OK)
        rc = watch_child(w, err);
    if (rc == GUACO_OK && slot->role == ROLE_WEB)
        w->meter = guaco__meters_take(&tree->meters, (uint32_t)getpid());
    if (rc == GUACO_OK && slot->role != ROLE_KEEPER)
        rc = send_start(w, err);
    if (rc != GUACO_OK) {
        if (w->pidfd >= 0)
            end_now(w);
        guaco__worker_free(w);
        return rc;
    }
    if (slot->role == ROLE_KEEPER || slot->role == ROLE_ADMIN)
        w->state = WORKER_READY;
    else
        guaco__timer_start_ms(
            &w->deadline, (uint64_t)guaco__options_number(
                              tree->setup->options, "timeout-worker-start"));
    *worker = w;
    return GUACO_OK;
}
