/* --pid-file: the contract is in run/pid_file.h. */

#include "run/pid_file.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/scan.h"
#include "os/file.h"

#define SECOND         ".2"
#define FILE_BYTES_MAX 64

/* The pid that a file holds, or 0. */
static pid_t
read_pid(const char *path)
{
    struct guaco__buf text;
    int64_t pid = 0;

    guaco__buf_init(&text, FILE_BYTES_MAX);
    if (guaco__file_read(path, &text, NULL) == GUACO_OK && text.len > 0) {
        struct guaco__scan scan = guaco__scan_of(
            (struct guaco_slice){guaco__buf_data(&text), text.len});
        if (!guaco__scan_number(&scan, INT_MAX, &pid))
            pid = 0;
    }
    guaco__buf_release(&text);
    return (pid_t)pid;
}

/* The path, absolute, for the working directory may be another by then. */
static int
make_path(struct guaco__pid_file *file, const char *path,
          struct guaco_error *err)
{
    char folder[PATH_MAX] = "";

    if (*path != '/' && getcwd(folder, sizeof folder) == NULL)
        return guaco_fail(err, GUACO_E_IO, errno, "--pid-file");
    int n =
        snprintf(file->path, sizeof file->path, "%s%s%s%s", folder,
                 *path == '/' ? "" : "/", path, file->is_second ? SECOND : "");
    if (n >= 0 && (size_t)n < sizeof file->path)
        return GUACO_OK;
    file->path[0] = '\0';
    return guaco_fail(err, GUACO_E_LIMIT, 0,
                      "--pid-file: the path is too long");
}

int
guaco__pid_file_open(struct guaco__pid_file *file, const char *path,
                     bool is_second, struct guaco_error *err)
{
    char text[32];

    *file = (struct guaco__pid_file){.is_second = is_second};
    if (path == NULL)
        return GUACO_OK;
    int rc = make_path(file, path, err);
    if (rc != GUACO_OK)
        return rc;
    pid_t other = is_second ? 0 : read_pid(file->path);
    if (other > 0 && other != getpid() && kill(other, 0) == 0) {
        rc = guaco_fail(err, GUACO_E_EXISTS, 0,
                        "--pid-file %.100s: process %ld runs", path,
                        (long)other);
        file->path[0] = '\0'; /* not ours to remove */
        return rc;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    rc = guaco__file_write(file->path, text, (size_t)n, 0644, err);
    if (rc != GUACO_OK)
        file->path[0] = '\0';
    return rc;
}

int
guaco__pid_file_take_over(struct guaco__pid_file *file, struct guaco_error *err)
{
    char path[PATH_MAX];
    size_t len = strlen(file->path);

    if (!file->is_second || len == 0)
        return GUACO_OK;
    assert(len > strlen(SECOND));
    memcpy(path, file->path, len + 1);
    path[len - strlen(SECOND)] = '\0';
    if (rename(file->path, path) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "rename %.100s", file->path);
    memcpy(file->path, path, sizeof path);
    file->is_second = false;
    return GUACO_OK;
}

void
guaco__pid_file_close(struct guaco__pid_file *file)
{
    if (file->path[0] != '\0' && read_pid(file->path) == getpid())
        (void)unlink(file->path);
    file->path[0] = '\0';
}
