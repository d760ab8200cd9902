/* The spool: the contract is in spool.h. */

#include "server/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
guaco__spool_init(struct guaco__spool *spool, size_t memory_bytes)
{
    guaco__buf_init(&spool->memory, memory_bytes);
    spool->fd = -1;
    spool->bytes = 0;
}

void
guaco__spool_release(struct guaco__spool *spool)
{
    guaco__buf_release(&spool->memory);
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
}

static int
write_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return GUACO_E_IO;
        at += n;
        len -= (size_t)n;
    }
    return GUACO_OK;
}

/* A file without a name. */
static int
open_unnamed(const char *folder)
{
    char path[4096];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    /* a file system without O_TMPFILE */
    if (snprintf(path, sizeof(path), "%s/guaco-XXXXXX", folder) >=
        (int)sizeof(path))
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int
move_to_file(struct guaco__spool *spool)
{
    const char *folder = getenv("TMPDIR");
    struct guaco_slice held = guaco__buf_slice(&spool->memory);
    int rc;

    spool->fd =
        open_unnamed(folder != NULL && *folder != '\0' ? folder : "/tmp");
    if (spool->fd < 0)
        return GUACO_E_IO;
    rc = write_all(spool->fd, held.at, held.len);
    guaco__buf_release(&spool->memory);
    return rc;
}

int
guaco__spool_add(struct guaco__spool *spool, struct guaco_slice data)
{
    int rc;

    if (spool->fd < 0) {
        rc = guaco__buf_append(&spool->memory, data.at, data.len);
        if (rc == GUACO_OK)
            spool->bytes += data.len;
        if (rc != GUACO_E_LIMIT)
            return rc;
        rc = move_to_file(spool);
        if (rc < 0)
            return rc;
    }
    rc = write_all(spool->fd, data.at, data.len);
    if (rc == GUACO_OK)
        spool->bytes += data.len;
    return rc;
}
