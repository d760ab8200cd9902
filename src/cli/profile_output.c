/* Where a profile goes: the cases are in profile_output.h. */

#include "profile_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"

int
guaco__complain(const char *command, int code, const struct guaco_error *err)
{
    fprintf(stderr, "guaco %s: %s\n", command,
            err->text[0] != '\0' ? err->text : guaco_strerror(code));
    return 1;
}

int
guaco__output_send(int fd, const struct guaco__buf *out, const char *name,
                   struct guaco_error *err)
{
    const char *at = guaco__buf_data(out);
    size_t left = out->len;

    while (left > 0) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return guaco_fail(err, GUACO_E_IO, errno, "write %s", name);
        at += n;
        left -= (size_t)n;
    }
    return GUACO_OK;
}

/* Whether new files can be made beside `path`. */
static bool
has_room_beside(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return access(".", W_OK) == 0;
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    if (len >= sizeof folder)
        return true; /* opening it will say what is wrong */
    memcpy(folder, path, len);
    folder[len] = '\0';
    return access(folder, W_OK) == 0;
}

int
guaco__output_check(const char *path, struct guaco_error *err)
{
    struct stat st;

    if (path == NULL)
        return GUACO_OK;
    if (stat(path, &st) == 0 ? access(path, W_OK) == 0 && !S_ISDIR(st.st_mode)
                             : has_room_beside(path))
        return GUACO_OK;
    int sys = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        sys = EISDIR;
    return guaco_fail(err, GUACO_E_IO, sys, "cannot write %s", path);
}

/* A device, a pipe, or a file in a folder that takes no new ones. */
static int
put_in_place(const char *path, const struct guaco__buf *out,
             struct guaco_error *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);

    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "open %s", path);
    int rc = guaco__output_send(fd, out, path, err);
    if (close(fd) != 0 && rc == GUACO_OK)
        rc = guaco_fail(err, GUACO_E_IO, errno, "write %s", path);
    return rc;
}

int
guaco__output_write(const char *path, const struct guaco__buf *out,
                    struct guaco_error *err)
{
    struct stat st;

    /* Opened anew it would lose what others have written to it. */
    if (path == NULL || strcmp(path, "/dev/stdout") == 0)
        return guaco__output_send(STDOUT_FILENO, out, "standard output", err);
    /* A link is followed: /dev/fd/1 may lead to a file, and is none. */
    if (lstat(path, &st) == 0 &&
        (!S_ISREG(st.st_mode) || !has_room_beside(path)))
        return put_in_place(path, out, err);
    mode_t mask = umask(0);
    umask(mask);
    return guaco__file_write(path, guaco__buf_data(out), out->len,
                             0666 & ~(unsigned)mask, err);
}
