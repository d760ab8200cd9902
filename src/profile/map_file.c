/* Mapped files of a process: the contract is in map_file.h. */

#include "map_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "os/file.h"

#define MAPS_BYTES_MAX ((size_t)64 << 20)

/* Why a file below /proc/PID could not be read, for a person. */
static int
explain(int pid, int rc, struct guaco_error *err)
{
    if (rc == GUACO_E_MISSING)
        return guaco_fail(err, GUACO_E_CLOSED, 0, "no process %d", pid);
    if (rc == GUACO_E_IO &&
        (err == NULL || err->sys == EACCES || err->sys == EPERM))
        return guaco_fail(err, GUACO_E_IO, 0,
                          "not permitted to read process %d: run as its user "
                          "or root, or give CAP_SYS_PTRACE; "
                          "kernel.yama.ptrace_scope may forbid it",
                          pid);
    return rc;
}

int
guaco__maps_read(struct guaco__mappings *maps, int pid, struct guaco_error *err)
{
    char path[64];
    struct guaco__buf text;
    struct guaco_error why = {0};

    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    guaco__buf_init(&text, MAPS_BYTES_MAX);
    int rc = guaco__file_read(path, &text, &why);
    if (rc == GUACO_OK)
        rc =
            guaco__mappings_parse(maps, guaco__buf_data(&text), text.len, &why);
    else
        rc = explain(pid, rc, &why);
    guaco__buf_release(&text);
    if (rc != GUACO_OK && err != NULL)
        *err = why;
    return rc;
}

struct guaco_slice
guaco__map_program(int pid, char *to, size_t len)
{
    static const char deleted[] = " (deleted)";
    const size_t tail = sizeof deleted - 1;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t got = readlink(path, to, len);
    if (got <= 0)
        return (struct guaco_slice){NULL, 0};
    size_t n = (size_t)got;
    if (n > tail && memcmp(to + n - tail, deleted, tail) == 0)
        n -= tail;
    return (struct guaco_slice){to, n};
}

bool
guaco__map_is_file(const struct guaco__mapping *map)
{
    return map->inode != 0 && map->path.len > 0 && map->path.at[0] == '/';
}

/* A mapped device is no file to read: opening it may mean something. */
static int
open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The executable by its own link, others by the mapping itself (only root may)
 * or by their name in the process's root. */
int
guaco__map_open(int pid, const struct guaco__mapping *map,
                struct guaco_slice program)
{
    char path[PATH_MAX];

    if (guaco_slice_equals(map->path, program)) {
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        return open_regular(path);
    }
    snprintf(path, sizeof path, "/proc/%d/map_files/%llx-%llx", pid,
             (unsigned long long)map->start, (unsigned long long)map->end);
    int fd = open_regular(path);
    if (fd >= 0 || map->is_deleted)
        return fd;
    int len = snprintf(path, sizeof path, "/proc/%d/root%.*s", pid,
                       (int)map->path.len, map->path.at);
    if (len < 0 || (size_t)len >= sizeof path)
        return -1;
    return open_regular(path);
}

struct guaco_slice
guaco__map_image(int fd)
{
    struct stat st;
    struct guaco_slice none = {NULL, 0};

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return none;
    size_t len = (size_t)st.st_size;
    void *at = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    return at == MAP_FAILED ? none : (struct guaco_slice){at, len};
}
