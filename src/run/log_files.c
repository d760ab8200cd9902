/* Log files: the contract is in run/log_files.h. */

#include "run/log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int standard[GUACO__LOG_FILES] = {
    [GUACO__ERROR_LOG] = STDERR_FILENO,
    [GUACO__ACCESS_LOG] = STDOUT_FILENO,
};

void
guaco__log_files_init(struct guaco__log_files *logs)
{
    for (int i = 0; i < GUACO__LOG_FILES; i++) {
        logs->paths[i][0] = '\0';
        logs->fds[i] = -1;
    }
}

static int
open_file(const char *path, int *fd, struct guaco_error *err)
{
    *fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    return *fd >= 0 ? GUACO_OK
                    : guaco_fail(err, GUACO_E_IO, errno, "open %.150s", path);
}

/* Children inherit the error log as their standard error. */
static void
put(struct guaco__log_files *logs, unsigned which, int fd)
{
    if (logs->fds[which] >= 0)
        close(logs->fds[which]);
    logs->fds[which] = fd;
    if (which == GUACO__ERROR_LOG)
        while (dup2(fd, STDERR_FILENO) < 0 && errno == EINTR)
            ;
}

int
guaco__log_files_set(struct guaco__log_files *logs, enum guaco__log_file which,
                     const char *path, struct guaco_error *err)
{
    char folder[PATH_MAX] = "";
    int fd;

    if (path == NULL || strcmp(path, "-") == 0)
        return GUACO_OK;
    if (*path != '/' && getcwd(folder, sizeof folder) == NULL)
        return guaco_fail(err, GUACO_E_IO, errno, "the working directory");
    int n = snprintf(logs->paths[which], PATH_MAX, "%s%s%s", folder,
                     *path == '/' ? "" : "/", path);
    if (n < 0 || n >= PATH_MAX) {
        logs->paths[which][0] = '\0';
        return guaco_fail(err, GUACO_E_LIMIT, 0, "a log's path is too long");
    }
    int rc = open_file(logs->paths[which], &fd, err);
    if (rc == GUACO_OK)
        put(logs, which, fd);
    else
        logs->paths[which][0] = '\0';
    return rc;
}

int
guaco__log_files_reopen(struct guaco__log_files *logs, struct guaco_error *err)
{
    int fds[GUACO__LOG_FILES];
    int rc = GUACO_OK;

    for (int i = 0; i < GUACO__LOG_FILES; i++) {
        fds[i] = -1;
        if (rc == GUACO_OK && logs->paths[i][0] != '\0')
            rc = open_file(logs->paths[i], &fds[i], err);
    }
    for (unsigned i = 0; i < GUACO__LOG_FILES; i++)
        if (fds[i] >= 0 && rc == GUACO_OK)
            put(logs, i, fds[i]);
        else if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

void
guaco__log_files_fds(const struct guaco__log_files *logs, int *fds)
{
    for (int i = 0; i < GUACO__LOG_FILES; i++)
        fds[i] = logs->fds[i] >= 0 ? logs->fds[i] : standard[i];
}

void
guaco__log_files_close(struct guaco__log_files *logs)
{
    for (int i = 0; i < GUACO__LOG_FILES; i++)
        if (logs->fds[i] >= 0)
            close(logs->fds[i]);
    guaco__log_files_init(logs);
}
