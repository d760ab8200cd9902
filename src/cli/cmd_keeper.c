/*
 * guaco _keeper URL: one keeper for one store (guaco/keeper.h), started by the
 * supervisor for each store of its tree.  Ends at SIGTERM, and with its parent.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "command.h"
#include "guaco/keeper.h"
#include "run/supervisor.h"

static int
keep(const char *url, const sigset_t *ends, struct guaco_error *err)
{
    struct guaco_broker *broker = NULL;
    struct guaco_keeper *keeper = NULL;
    int signal_number;
    int rc = guaco_broker_open(&broker, url, err);

    if (rc == GUACO_OK)
        rc = guaco_keeper_open(&keeper, broker, err);
    if (rc == GUACO_OK)
        (void)sigwait(ends, &signal_number);
    guaco_keeper_close(keeper);
    guaco_broker_close(broker);
    return rc;
}

int
guaco__command_keeper(const struct guaco__command *command,
                      const char *const *args, size_t count)
{
    struct guaco_error err = {0};
    sigset_t ends;

    (void)command;
    if (count != 1) {
        fputs("usage: guaco _keeper URL\n", stderr);
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

    int rc = keep(args[0], &ends, &err);
    if (rc == GUACO_OK)
        return GUACO__EXIT_OK;
    fprintf(stderr, "guaco: keeper of %s: %s\n", args[0], err.text);
    return GUACO__EXIT_START;
}
