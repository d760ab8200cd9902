/*
 * The binary upgrade (SIGUSR2): this supervisor starts its executable anew, as
 * it was started itself, and hands it what listens.
 *
 *     the old one                              the new one
 *     SIGUSR2: starts it, sends the sockets -> takes them in place of binding
 *     and the meters                           starts its workers
 *     drains, says who is the service now   <- {"event": "ready"}
 *     {"command": "go"}                     -> says that the service is ready
 *     ends                                  -> takes over the pid file
 *
 * Both serve the same sockets meanwhile, so that nothing is refused or reset.
 * When the new one ends before it is ready, or is not ready in time, the old
 * one goes on as if nothing had been.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/json.h"
#include "run/environment.h"
#include "supervisor_int.h"

#define FD_NUMBER    3 /* in the new one */
#define FD_VARIABLE  "GUACO_UPGRADE_FD"
#define RECEIVE_S    10    /* for the predecessor to send all */
#define MARGIN_MS    30000 /* over --timeout-worker-start */
#define VERSION      1     /* of the messages */
#define MESSAGES_MAX 1024

struct guaco__upgrade {
    struct tree *tree;
    int channel; /* to the successor, or to the predecessor; -1 */
    struct guaco__watch watch;
    /* of the one who was sent SIGUSR2 */
    pid_t pid; /* 0: none is under way */
    int pidfd;
    struct guaco__watch exit_watch;
    struct guaco__timer deadline;
    bool is_ready; /* the successor took over, or we did */
};

static void
say(const struct tree *tree, int level, const char *text)
{
    guaco__log(tree->log, level, "supervisor", "%s", text);
}

/* ---- messages ---- */

static int
send_text(int fd, const char *text)
{
    return guaco__channel_send(fd, text, strlen(text), NULL, 0);
}

/* All sockets of an address, in as many messages as they take. */
static int
send_bind(int channel, const struct guaco__bind *bind)
{
    struct guaco__json_writer j;
    struct guaco__buf text;
    int rc = GUACO_OK;

    guaco__buf_init(&text, 4096);
    guaco__json_begin(&j, &text);
    guaco__json_open(&j, '{');
    guaco__json_name(&j, "bind");
    guaco__json_put_text(&j, bind->given);
    guaco__json_name(&j, "shared");
    guaco__json_put_bool(&j, bind->is_shared);
    guaco__json_name(&j, "ours");
    guaco__json_put_bool(&j, bind->is_ours);
    guaco__json_close(&j, '}');
    rc = guaco__json_end(&j);
    for (size_t at = 0; at < bind->fd_count && rc == GUACO_OK;) {
        size_t left = bind->fd_count - at;
        size_t count =
            left < GUACO__CHANNEL_FDS_MAX ? left : GUACO__CHANNEL_FDS_MAX;
        rc = guaco__channel_send(channel, guaco__buf_data(&text), text.len,
                                 bind->fds + at, count);
        at += count;
    }
    guaco__buf_release(&text);
    return rc;
}

static int
send_all(const struct tree *tree, int channel)
{
    char text[64];
    int rc;

    snprintf(text, sizeof text, "{\"version\":%d}", VERSION);
    rc = send_text(channel, text);
    for (size_t i = 0; i < tree->binds.count && rc == GUACO_OK; i++)
        rc = send_bind(channel, &tree->binds.items[i]);
    if (rc == GUACO_OK && guaco__admin_binds(tree) != NULL)
        rc = send_bind(channel, &guaco__admin_binds(tree)->items[0]);
    if (rc == GUACO_OK && tree->meters.slots != NULL)
        rc = guaco__channel_send(channel, "{\"meters\":true}",
                                 strlen("{\"meters\":true}"),
                                 &tree->meters.shm.fd, 1);
    return rc != GUACO_OK ? rc : send_text(channel, "{\"end\":true}");
}

/* ---- the old one ---- */

static void
forget(struct guaco__upgrade *u)
{
    guaco__watch_stop(&u->watch);
    guaco__watch_stop(&u->exit_watch);
    guaco__timer_stop(&u->deadline);
    if (u->channel >= 0)
        close(u->channel);
    if (u->pidfd >= 0)
        close(u->pidfd);
    u->channel = -1;
    u->pidfd = -1;
    u->pid = 0;
}

static void
on_successor_end(struct guaco__watch *watch, unsigned events)
{
    struct guaco__upgrade *u =
        GUACO__OF(watch, struct guaco__upgrade, exit_watch);
    struct guaco__process_end end;
    char how[64];

    (void)events;
    if (guaco__process_wait(u->pidfd, &end) != GUACO_OK)
        return;
    guaco__process_describe(&end, how, sizeof how);
    guaco__log(u->tree->log, GUACO_LOG_ERROR, "supervisor",
               "binary upgrade failed (pid %ld: %s); this one goes on",
               (long)u->pid, how);
    forget(u);
    guaco__notify_status(&u->tree->notify, "serving; an upgrade failed");
}

/* The successor listens and serves: what is left here ends. */
static void
hand_over(struct guaco__upgrade *u)
{
    struct tree *tree = u->tree;

    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor",
               "upgraded: pid %ld serves, this one drains", (long)u->pid);
    u->is_ready = true;
    guaco__timer_stop(&u->deadline);
    guaco__watch_stop(&u->exit_watch); /* it is on its own now */
    for (size_t i = 0; i < tree->binds.count; i++)
        tree->binds.items[i].is_ours = false; /* files of Unix sockets */
    if (guaco__admin_binds(tree) != NULL)
        guaco__admin_binds(tree)->items[0].is_ours = false;
    guaco__admin_close(tree);
    tree->pid_file.path[0] = '\0'; /* it holds our pid until it is replaced */
    guaco__notify_main_pid(&tree->notify, u->pid);
    tree->notify.len = 0; /* the rest is the successor's to say */
    send_text(u->channel, "{\"command\":\"go\"}");
    guaco__tree_stop(tree, GUACO__EXIT_OK);
}

static void
on_successor(struct guaco__watch *watch, unsigned events)
{
    struct guaco__upgrade *u = GUACO__OF(watch, struct guaco__upgrade, watch);
    char message[256];
    size_t len;
    int rc = guaco__channel_receive(u->channel, message, sizeof message, &len,
                                    NULL, NULL);

    (void)events;
    if (rc == GUACO_E_AGAIN)
        return;
    if (rc == GUACO_OK && u->tree->state != TREE_STOPPING)
        hand_over(u);
    guaco__watch_stop(watch); /* its end is told by its pidfd */
}

static void
on_deadline(struct guaco__timer *timer)
{
    struct guaco__upgrade *u =
        GUACO__OF(timer, struct guaco__upgrade, deadline);

    say(u->tree, GUACO_LOG_ERROR, "the upgrade is not ready in time; killed");
    guaco__process_signal(u->pidfd, SIGKILL);
}

/* The words that started this process, and its environment with our number. */
static int
spawn(struct guaco__upgrade *u, int theirs, struct guaco_error *err)
{
    const struct guaco__supervisor_setup *s = u->tree->setup;
    const struct guaco__process_fd fds[] = {{theirs, FD_NUMBER}};
    struct guaco__process_spec spec = {
        .path = s->exe, .folder = s->folder, .fds = fds, .fd_count = 1};
    size_t count = 0;
    size_t kept = 0;

    while (s->envp[count] != NULL)
        count++;
    const char **envp = calloc(count + 2, sizeof *envp);
    if (envp == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "the upgrade");
    for (size_t i = 0; i < count; i++)
        if (strncmp(s->envp[i], FD_VARIABLE "=", sizeof FD_VARIABLE) != 0)
            envp[kept++] = s->envp[i];
    envp[kept] = FD_VARIABLE "=3";
    spec.argv = s->argv;
    spec.envp = envp;
    int rc = guaco__process_spawn(&spec, &u->pid, &u->pidfd, err);
    free(envp);
    return rc;
}

static int
watch_successor(struct guaco__upgrade *u, struct guaco_error *err)
{
    struct tree *tree = u->tree;
    int64_t start_ms =
        guaco__options_number(tree->setup->options, "timeout-worker-start");

    int rc = guaco__watch_start(&u->exit_watch, tree->loop, u->pidfd,
                                GUACO__READABLE, on_successor_end, err);
    if (rc == GUACO_OK)
        rc = guaco__watch_start(&u->watch, tree->loop, u->channel,
                                GUACO__READABLE, on_successor, err);
    guaco__timer_start_ms(&u->deadline, (uint64_t)start_ms + MARGIN_MS);
    return rc;
}

static int
start(struct guaco__upgrade *u, struct guaco_error *err)
{
    int theirs = -1;

    int rc = guaco__channel_open(&u->channel, &theirs, err);
    if (rc == GUACO_OK)
        rc = spawn(u, theirs, err);
    if (theirs >= 0)
        close(theirs);
    if (rc == GUACO_OK)
        rc = watch_successor(u, err);
    if (rc == GUACO_OK && send_all(u->tree, u->channel) != GUACO_OK)
        rc = guaco_fail(err, GUACO_E_IO, 0, "hand the sockets over");
    return rc;
}

/* What a store in memory holds ends with its keeper. */
static void
warn_of_memory(const struct tree *tree)
{
    const struct slot *slot;

    EACH_SLOT(tree, slot)
    if (slot->role == ROLE_KEEPER && strcmp(slot->url, GUACO__MEMORY_URL) == 0)
        say(tree, GUACO_LOG_WARNING,
            "tasks of memory: stay behind and end with this supervisor");
}

void
guaco__upgrade_start(struct tree *tree)
{
    struct guaco__upgrade *u = tree->upgrade;
    struct guaco_error err = {0};

    if (tree->state != TREE_RUNNING) {
        say(tree, GUACO_LOG_WARNING, "no upgrade before all workers run");
        return;
    }
    if (u->pid != 0) {
        say(tree, GUACO_LOG_WARNING, "an upgrade is under way");
        return;
    }
    if (getpid() == 1) {
        say(tree, GUACO_LOG_WARNING,
            "PID 1 cannot be replaced without ending its container");
        return;
    }
    forget(u); /* the predecessor, which has gone */
    u->is_ready = false;
    warn_of_memory(tree);
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor",
               "upgrading: starting %s", tree->setup->exe);
    if (start(u, &err) == GUACO_OK)
        return;
    guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
               "binary upgrade failed: %s; this one goes on", err.text);
    if (u->pidfd >= 0)
        guaco__process_signal(u->pidfd, SIGKILL); /* its end forgets it */
    else
        forget(u);
}

void
guaco__upgrade_stop(struct tree *tree)
{
    struct guaco__upgrade *u = tree->upgrade;

    if (u == NULL || u->pid == 0 || u->is_ready)
        return;
    guaco__timer_stop(&u->deadline);
    guaco__process_signal(u->pidfd, SIGTERM);
}

bool
guaco__upgrade_reap(struct tree *tree, pid_t pid)
{
    struct guaco__upgrade *u = tree->upgrade;

    if (u == NULL || u->pid != pid || u->is_ready)
        return false;
    on_successor_end(&u->exit_watch, 0);
    return true;
}

/* ---- the new one ---- */

static void
on_predecessor(struct guaco__watch *watch, unsigned events)
{
    struct guaco__upgrade *u = GUACO__OF(watch, struct guaco__upgrade, watch);
    struct tree *tree = u->tree;
    struct guaco_error err = {0};
    char message[256];
    size_t len;

    (void)events;
    int rc = guaco__channel_receive(u->channel, message, sizeof message, &len,
                                    NULL, NULL);
    if (rc == GUACO_E_AGAIN)
        return;
    /* "go", or its end before it could say so */
    if (tree->state == TREE_RUNNING && !u->is_ready)
        guaco__notify_ready(&tree->notify);
    u->is_ready = true;
    if (rc == GUACO_OK)
        return;
    forget(u); /* the end: it has gone */
    if (guaco__pid_file_take_over(&tree->pid_file, &err) != GUACO_OK)
        say(tree, GUACO_LOG_ERROR, err.text);
}

static int
take_message(struct tree *tree, const struct guaco__json *message, int *fds,
             size_t count, bool *is_end, struct guaco_error *err)
{
    const char *words = guaco__json_text(message, "bind", NULL);

    *is_end = guaco__json_bool(message, "end", false);
    if (words != NULL) {
        int rc = guaco__inherited_add(&tree->inherited, words, fds, count, err);
        struct guaco__inherited_item *item =
            guaco__inherited_find(&tree->inherited, words);
        if (item != NULL) {
            item->is_shared = guaco__json_bool(message, "shared", false);
            item->is_ours = guaco__json_bool(message, "ours", false);
        }
        return rc;
    }
    if (guaco__json_bool(message, "meters", false) && count == 1) {
        /* Of another version they begin anew. */
        (void)guaco__meters_map(&tree->meters, fds[0], NULL);
        return GUACO_OK;
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    if (guaco__json_int(message, "version", VERSION) != VERSION)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "the predecessor speaks another version");
    return GUACO_OK;
}

static int
receive_one(struct tree *tree, int channel, bool *is_end,
            struct guaco_error *err)
{
    const struct guaco__json *message;
    struct guaco__arena arena;
    int fds[GUACO__CHANNEL_FDS_MAX];
    size_t count = 0;
    size_t len;

    int rc = guaco__channel_receive(
        channel, tree->message, GUACO__CHANNEL_MESSAGE_MAX, &len, fds, &count);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "sockets of the predecessor");
    guaco__arena_init(&arena, 1024, 1u << 20);
    rc = guaco__json_read(&arena, tree->message, len, &message, err);
    if (rc == GUACO_OK)
        rc = take_message(tree, message, fds, count, is_end, err);
    guaco__arena_release(&arena);
    return rc;
}

/* Nothing else can be done before the sockets are here: it waits. */
static int
receive_all(struct tree *tree, int channel, struct guaco_error *err)
{
    const struct timeval most = {.tv_sec = RECEIVE_S};
    bool is_end = false;
    int rc = GUACO_OK;

    (void)setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    for (int i = 0; i < MESSAGES_MAX && !is_end && rc == GUACO_OK; i++)
        rc = receive_one(tree, channel, &is_end, err);
    if (rc == GUACO_OK && fcntl(channel, F_SETFL, O_NONBLOCK) != 0)
        rc = guaco_fail(err, GUACO_E_IO, errno, FD_VARIABLE);
    return rc;
}

/* The variable is ours only if it names a socket of the right kind. */
static int
find_channel(const struct tree *tree)
{
    const char *text = guaco__environment_find(tree->setup->envp, FD_VARIABLE);
    int type = 0;
    socklen_t len = sizeof type;

    if (text == NULL || strcmp(text, "3") != 0 ||
        getsockopt(FD_NUMBER, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
        type != SOCK_SEQPACKET)
        return -1;
    return fcntl(FD_NUMBER, F_DUPFD_CLOEXEC, FD_NUMBER + 1);
}

int
guaco__upgrade_open(struct tree *tree, struct guaco_error *err)
{
    struct guaco__upgrade *u = calloc(1, sizeof *u);

    if (u == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "start");
    tree->upgrade = u;
    u->tree = tree;
    u->pidfd = -1;
    guaco__timer_init(&u->deadline, tree->loop, on_deadline);
    u->channel = find_channel(tree);
    if (u->channel < 0)
        return GUACO_OK;
    close(FD_NUMBER);
    tree->is_successor = true;
    int rc = receive_all(tree, u->channel, err);
    return rc != GUACO_OK
               ? rc
               : guaco__watch_start(&u->watch, tree->loop, u->channel,
                                    GUACO__READABLE, on_predecessor, err);
}

bool
guaco__upgrade_say_ready(struct tree *tree)
{
    const struct guaco__upgrade *u = tree->upgrade;

    return tree->is_successor && u != NULL && u->channel >= 0 &&
           send_text(u->channel, "{\"event\":\"ready\"}") == GUACO_OK;
}

void
guaco__upgrade_close(struct tree *tree)
{
    if (tree->upgrade == NULL)
        return;
    forget(tree->upgrade);
    free(tree->upgrade);
    tree->upgrade = NULL;
}
