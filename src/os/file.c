/* Whole files: the contract is in os/file.h. */

#include "os/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_STEP_BYTES 4096u

/* Append what `fd` still has to give. */
static int
read_rest(int fd, const char *path, struct guaco__buf *out,
          struct guaco_error *err)
{
    for (;;) {
        /* One byte more than the cap allows proves that it does not fit. */
        size_t left = out->cap - out->len;
        char over;
        size_t step = left < FILE_STEP_BYTES ? left : FILE_STEP_BYTES;
        int rc = guaco__buf_reserve(out, step);
        if (rc != GUACO_OK)
            return guaco_fail(err, rc, 0, "read %s", path);

        ssize_t n =
            step == 0 ? read(fd, &over, 1)
                      : read(fd, guaco__buf_end(out),
                             guaco__buf_free(out) < left ? guaco__buf_free(out)
                                                         : left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* ESRCH: a file of /proc whose process ended meanwhile */
            return guaco_fail(err,
                              errno == ESRCH ? GUACO_E_MISSING : GUACO_E_IO,
                              errno, "read %s", path);
        if (n == 0)
            return GUACO_OK;
        if (step == 0)
            return guaco_fail(err, GUACO_E_LIMIT, 0,
                              "%s is longer than %zu bytes", path, out->cap);
        guaco__buf_commit(out, (size_t)n);
    }
}

int
guaco__file_read(const char *path, struct guaco__buf *out,
                 struct guaco_error *err)
{
    size_t before = out->len;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return guaco_fail(err, errno == ENOENT ? GUACO_E_MISSING : GUACO_E_IO,
                          errno, "open %s", path);
    int rc = read_rest(fd, path, out, err);
    close(fd);
    if (rc != GUACO_OK)
        guaco__buf_cut(out, before);
    assert(out->len >= before);
    return rc;
}

static int
write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        assert((size_t)n <= len);
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int
guaco__file_write(const char *path, const void *data, size_t len, unsigned mode,
                  struct guaco_error *err)
{
    char beside[PATH_MAX];
    int n = snprintf(beside, sizeof beside, "%s.XXXXXX", path);

    if (n < 0 || (size_t)n >= sizeof beside)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "path too long: %.100s", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "create %s", beside);

    if (fchmod(fd, (mode_t)mode) == 0 && write_all(fd, data, len) == 0 &&
        fsync(fd) == 0 && rename(beside, path) == 0) {
        close(fd);
        return GUACO_OK;
    }
    int sys = errno;
    close(fd);
    unlink(beside);
    return guaco_fail(err, GUACO_E_IO, sys, "write %s", path);
}
