/* Opening below a folder: the contract is in beneath.h. */

#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
    TRIES = 4, /* while something is renamed at the same time */
};

int
guaco__beneath_open(struct guaco__beneath *beneath, const char *folder,
                    struct guaco_error *err)
{
    beneath->walks = false;
    beneath->fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (beneath->fd >= 0)
        return GUACO_OK;
    return guaco_fail(
        err, errno == ENOENT || errno == ENOTDIR ? GUACO_E_MISSING : GUACO_E_IO,
        errno, "folder %.100s", folder);
}

void
guaco__beneath_close(struct guaco__beneath *beneath)
{
    if (beneath->fd >= 0)
        close(beneath->fd);
    beneath->fd = -1;
}

/* ---- without openat2() ---- */

static int
walk(int root, const char *path)
{
    char name[NAME_MAX + 1];
    int at = root;

    for (;;) {
        size_t len = strcspn(path, "/");
        bool is_last = path[len] == '\0';
        int flags = O_NOFOLLOW |
                    (is_last ? READ_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd = -1;
        int error = ENAMETOOLONG;

        if (len < sizeof(name)) {
            memcpy(name, path, len);
            name[len] = '\0';
            fd = openat(at, len == 0 ? "." : name, flags);
            error = errno;
        }
        if (at != root)
            close(at);
        if (fd < 0)
            return -error;
        if (is_last)
            return fd;
        at = fd;
        path += len + 1;
    }
}

/* ---- with it ---- */

static int
open_beneath(int root, const char *path)
{
    struct open_how how = {
        .flags = READ_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, root, *path == '\0' ? "." : path, &how,
                      sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

int
guaco__beneath_file(struct guaco__beneath *beneath, const char *path)
{
    int fd = -EAGAIN;

    for (int i = 0; i < TRIES && fd == -EAGAIN && !beneath->walks; i++) {
        fd = open_beneath(beneath->fd, path);
        /* EPERM: a sandbox that does not know the call */
        beneath->walks = fd == -ENOSYS || fd == -EPERM;
    }
    return beneath->walks || fd == -EAGAIN ? walk(beneath->fd, path) : fd;
}
