/* Shared memory: the contract is in os/shm.h. */

#include "os/shm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int
map(struct guaco__shm *shm, const char *path, struct guaco_error *err)
{
    assert(shm->at == NULL);

    void *at =
        mmap(NULL, shm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
    if (at == MAP_FAILED)
        return guaco_fail(err, GUACO_E_IO, errno, "map %s", path);
    shm->at = at;
    return GUACO_OK;
}

static int
lock_file(int fd, int how)
{
    int rc;

    do
        rc = flock(fd, how);
    while (rc != 0 && errno == EINTR);
    return rc;
}

/*
 * Under the file lock: the file is new as long as it is empty.  It is filled
 * under a size of its own, one byte too long, and gets the real one as the
 * last step, so that a death in the middle leaves something that is known not
 * to be finished.
 */
static int
map_or_init(struct guaco__shm *shm, const char *path, guaco__shm_init_fn *init,
            void *ctx, struct guaco_error *err)
{
    struct stat st;
    off_t whole = (off_t)shm->bytes;

    if (fstat(shm->fd, &st) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "stat %s", path);
    if (st.st_size == whole)
        return map(shm, path, err);
    if (st.st_size != 0 && st.st_size != whole + 1)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "%s has %lld bytes, not %lld: another version of "
                          "this program made it",
                          path, (long long)st.st_size, (long long)whole);

    if (ftruncate(shm->fd, 0) != 0 || ftruncate(shm->fd, whole + 1) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "resize %s", path);
    int rc = map(shm, path, err);
    if (rc == GUACO_OK)
        rc = init(shm->at, shm->bytes, ctx, err);
    if (rc == GUACO_OK && ftruncate(shm->fd, whole) != 0)
        rc = guaco_fail(err, GUACO_E_IO, errno, "resize %s", path);
    return rc;
}

int
guaco__shm_open(struct guaco__shm *shm, const char *path, size_t bytes,
                unsigned mode, guaco__shm_init_fn *init, void *ctx,
                struct guaco_error *err)
{
    assert(bytes > 0);
    assert(bytes < SIZE_MAX / 2);

    *shm = (struct guaco__shm){.bytes = bytes};
    shm->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, (mode_t)mode);
    if (shm->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "open %s", path);

    int rc = GUACO_OK;
    if (lock_file(shm->fd, LOCK_EX) != 0)
        rc = guaco_fail(err, GUACO_E_IO, errno, "lock %s", path);
    if (rc == GUACO_OK) {
        rc = map_or_init(shm, path, init, ctx, err);
        lock_file(shm->fd, LOCK_UN);
    }
    if (rc != GUACO_OK)
        guaco__shm_close(shm);
    return rc;
}

int
guaco__shm_open_anonymous(struct guaco__shm *shm, const char *name,
                          size_t bytes, struct guaco_error *err)
{
    assert(bytes > 0);
    assert(strlen(name) < 200);

    *shm = (struct guaco__shm){.bytes = bytes};
    shm->fd = memfd_create(name, MFD_CLOEXEC);
    if (shm->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "memfd_create %s", name);

    int rc = ftruncate(shm->fd, (off_t)bytes) == 0
                 ? map(shm, name, err)
                 : guaco_fail(err, GUACO_E_IO, errno, "resize %s", name);
    if (rc != GUACO_OK)
        guaco__shm_close(shm);
    return rc;
}

void
guaco__shm_close(struct guaco__shm *shm)
{
    if (shm->at != NULL)
        munmap(shm->at, shm->bytes);
    if (shm->bytes > 0 && shm->fd >= 0)
        close(shm->fd);
    *shm = (struct guaco__shm){.fd = -1};
}
