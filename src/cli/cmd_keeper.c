/*
 * guaco _keeper URL [FD]: one keeper for one store (guaco/keeper.h), started by
 * the supervisor for each store of its tree.  With the number of a listening
 * socket it serves its memory: there.  Ends at SIGTERM, and with its parent.
 */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/scan.h"
#include "command.h"
#include "guaco/keeper.h"
#include "os/log_fd.h"
#include "queue/memory_server.h"
#include "queue/remote_link.h"
#include "queue/url.h"
#include "run/supervisor.h"

static int
keep(const char *url, int listen_fd, const sigset_t *ends,
     struct guaco_error *err)
{
    struct guaco_broker *broker = NULL;
    struct guaco_keeper *keeper = NULL;
    struct guaco__memory_server *server = NULL;
    const struct guaco_log log = {GUACO_LOG_WARNING, guaco__log_fd,
                                  (void *)(intptr_t)STDERR_FILENO};
    int signal_number;

    if (listen_fd >= 0) /* we are the one it names */
        (void)unsetenv(GUACO__MEMORY_SOCKET);
    int rc = guaco_broker_open(&broker, url, err);
    if (rc == GUACO_OK)
        rc = guaco_keeper_open(&keeper, broker, &log, err);
    if (rc == GUACO_OK && listen_fd >= 0)
        rc = guaco__memory_server_open(&server, broker, listen_fd, err);
    if (rc == GUACO_OK)
        (void)sigwait(ends, &signal_number);
    guaco__memory_server_close(server);
    guaco_keeper_close(keeper);
    guaco_broker_close(broker);
    return rc;
}

/* A copy of the URL; what everybody sees of us holds no password then. */
static char *
take_url(char *seen)
{
    char *url = strdup(seen);
    size_t len = strlen(seen);

    if (url == NULL)
        return NULL;
    guaco__url_redact(url, seen, len + 1);
    memset(seen + strlen(seen), 0, len - strlen(seen));
    return url;
}

static bool
read_fd(const char *text, int64_t *fd)
{
    struct guaco__scan scan =
        guaco__scan_of((struct guaco_slice){text, strlen(text)});

    return guaco__scan_number(&scan, INT_MAX, fd) && guaco__scan_done(&scan);
}

int
guaco__command_keeper(const struct guaco__command *command,
                      const char *const *args, size_t count)
{
    struct guaco_error err = {0};
    int64_t listen_fd = -1;
    sigset_t ends;

    (void)command;
    if (count < 1 || count > 2 ||
        (count == 2 && !read_fd(args[1], &listen_fd))) {
        fputs("usage: guaco _keeper URL [FD]\n", stderr);
        return GUACO__EXIT_USAGE;
    }
    /* SIGINT is the supervisor's: a terminal sends it to the whole group. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    (void)signal(SIGINT, SIG_IGN);
    pid_t parent = getppid();
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return GUACO__EXIT_OK; /* it died before we could be told */

    char *url = take_url((char *)(uintptr_t)args[0]);
    int rc = url == NULL ? guaco_fail(&err, GUACO_E_NOMEM, 0, "its URL")
                         : keep(url, (int)listen_fd, &ends, &err);
    free(url);
    if (rc == GUACO_OK)
        return GUACO__EXIT_OK;
    fprintf(stderr, "guaco: keeper of %s: %s\n", args[0], err.text);
    return GUACO__EXIT_START;
}
