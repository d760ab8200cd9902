/*
 * --profile-socket: who connects there gets a profiler, `guaco _profiler`, a
 * child of the supervisor that looks at all processes below it.  The supervisor
 * hands it the connection and waits for nothing but its end.
 *
 * A child it is because of Yama, which lets a process read the memory of those
 * below it only: the workers name their parent as the one who may, and with it
 * all that are below the parent.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/listener.h"
#include "supervisor_int.h"

#define PROFILERS_MAX 4 /* at the same time */
#define CONNECTION_FD 3 /* in the child */

struct profiler {
    struct guaco__watch watch; /* of its end */
    struct guaco__profiling *owner;
    int pidfd; /* -1: free */
};

struct guaco__profiling {
    struct tree *tree;
    struct guaco__binds binds; /* the one socket */
    struct guaco__listener listener;
    bool is_listening;
    struct profiler profilers[PROFILERS_MAX];
};

static void
on_end(struct guaco__watch *watch, unsigned events)
{
    struct profiler *p = GUACO__OF(watch, struct profiler, watch);
    struct guaco__process_end end;

    (void)events;
    if (guaco__process_wait(p->pidfd, &end) == GUACO_E_AGAIN)
        return;
    guaco__watch_stop(&p->watch);
    close(p->pidfd);
    p->pidfd = -1;
}

static struct profiler *
find_free(struct guaco__profiling *profiling)
{
    for (size_t i = 0; i < PROFILERS_MAX; i++)
        if (profiling->profilers[i].pidfd < 0)
            return &profiling->profilers[i];
    return NULL;
}

/* Start the child; `fd` is the caller's. */
static int
start(struct profiler *p, int fd, struct guaco_error *err)
{
    struct tree *tree = p->owner->tree;
    const char *const argv[] = {tree->setup->exe, "_profiler", NULL};
    const struct guaco__process_fd fds[] = {{fd, CONNECTION_FD}};
    struct guaco__process_spec spec = {
        .path = tree->setup->exe,
        .argv = argv,
        .envp = tree->setup->envp,
        .fds = fds,
        .fd_count = 1,
    };
    pid_t pid;

    int rc = guaco__process_spawn(&spec, &pid, &p->pidfd, err);
    if (rc != GUACO_OK) {
        p->pidfd = -1;
        return rc;
    }
    return guaco__watch_start(&p->watch, tree->loop, p->pidfd, GUACO__READABLE,
                              on_end, err);
}

/* One line for the client; a full socket buffer is not to be met here. */
static void
refuse(int fd, const char *why)
{
    char line[160];
    int len = snprintf(line, sizeof line, "{\"error\": \"%s\"}\n", why);
    ssize_t written = write(fd, line, (size_t)len);

    (void)written;
}

static void
on_accept(struct guaco__listener *listener, int fd,
          const struct sockaddr_storage *from)
{
    struct guaco__profiling *self =
        GUACO__OF(listener, struct guaco__profiling, listener);
    struct profiler *p = find_free(self);
    struct guaco_error err = {0};

    (void)from;
    if (p == NULL) {
        refuse(fd, "four profilers are running already");
    } else if (start(p, fd, &err) != GUACO_OK) {
        guaco__log(self->tree->log, GUACO_LOG_ERROR, "supervisor",
                   "profiler: %s", err.text);
        refuse(fd, "the profiler could not be started; see the log");
    }
    close(fd);
}

static int
listen_at(struct guaco__profiling *self, const char *path,
          struct guaco_error *err)
{
    char address[PATH_MAX];

    snprintf(address, sizeof address, "unix:%.4000s", path);
    guaco__binds_init(&self->binds, 1, PROFILERS_MAX);
    mode_t before = umask(0177); /* what runs is told to its owner alone */
    int rc = guaco__binds_add(&self->binds, address, err);
    umask(before);
    if (rc != GUACO_OK)
        return rc;
    int fd = dup(self->binds.items[0].fds[0]);
    rc = fd < 0 ? guaco_fail(err, GUACO_E_IO, 0, "%s", path)
                : guaco__listener_init(&self->listener, self->tree->loop, fd,
                                       self->tree->log, on_accept, err);
    if (rc != GUACO_OK) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    self->is_listening = true;
    return guaco__listener_resume(&self->listener, err);
}

int
guaco__profiling_open(struct tree *tree, struct guaco_error *err)
{
    const char *path =
        guaco__options_text(tree->setup->options, "profile-socket");

    if (path == NULL)
        return GUACO_OK;
    struct guaco__profiling *self = calloc(1, sizeof *self);
    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "--profile-socket");
    self->tree = tree;
    for (size_t i = 0; i < PROFILERS_MAX; i++) {
        self->profilers[i].owner = self;
        self->profilers[i].pidfd = -1;
    }
    tree->profiling = self;
    return listen_at(self, path, err);
}

void
guaco__profiling_close(struct tree *tree)
{
    struct guaco__profiling *self = tree->profiling;

    tree->profiling = NULL;
    if (self == NULL)
        return;
    if (self->is_listening)
        guaco__listener_close(&self->listener);
    for (size_t i = 0; i < PROFILERS_MAX; i++) {
        struct profiler *p = &self->profilers[i];
        if (p->pidfd < 0)
            continue;
        guaco__watch_stop(&p->watch);
        close(p->pidfd); /* it sees that its parent has ended */
    }
    guaco__binds_release(&self->binds);
    free(self);
}
