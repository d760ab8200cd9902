/* The clocks: the contract is in os/clock.h. */

#include "os/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(_Atomic int64_t) == 8, "the offset is a plain word");

static int
map_offset(struct guaco_clock *clock, const char *path, struct guaco_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "GUACO_TEST_CLOCK: open %s",
                          path);
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(int64_t)) {
        close(fd);
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "GUACO_TEST_CLOCK: %s has fewer than 8 bytes", path);
    }
    void *at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    int sys = errno;
    close(fd);
    if (at == MAP_FAILED)
        return guaco_fail(err, GUACO_E_IO, sys, "GUACO_TEST_CLOCK: map %s",
                          path);
    clock->offset_ns = at;
    return GUACO_OK;
}

int
guaco__clock_open(struct guaco_clock *clock, const struct guaco_log *log,
                  struct guaco_error *err)
{
    const char *path = getenv("GUACO_TEST_CLOCK");

    *clock = (struct guaco_clock){0};
    if (path == NULL || *path == '\0')
        return GUACO_OK;

    int rc = map_offset(clock, path, err);
    if (rc != GUACO_OK)
        return rc;
    guaco__log(log, GUACO_LOG_WARNING, "clock",
               "the wall clock is shifted by GUACO_TEST_CLOCK file=%s "
               "offset_ns=%lld",
               path, (long long)atomic_load(clock->offset_ns));
    return GUACO_OK;
}

void
guaco__clock_close(struct guaco_clock *clock)
{
    if (clock->offset_ns != NULL)
        munmap((void *)(uintptr_t)clock->offset_ns, sizeof(int64_t));
    *clock = (struct guaco_clock){0};
}

static int64_t
read_ns(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);

    assert(rc == 0); /* fails only for clocks that do not exist */
    (void)rc;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
guaco__clock_shift_ms(const struct guaco_clock *clock)
{
    if (clock->offset_ns == NULL)
        return 0;
    return atomic_load_explicit(clock->offset_ns, memory_order_relaxed) /
           1000000;
}

int64_t
guaco__clock_wall_ns(const struct guaco_clock *clock)
{
    int64_t now = read_ns(CLOCK_REALTIME);

    if (clock->offset_ns != NULL)
        now += atomic_load_explicit(clock->offset_ns, memory_order_relaxed);
    return now;
}

int64_t
guaco__clock_wall_ms(const struct guaco_clock *clock)
{
    int64_t ns = guaco__clock_wall_ns(clock);

    return ns / 1000000 - (ns % 1000000 < 0);
}

uint64_t
guaco__clock_mono_ns(void)
{
    int64_t now = read_ns(CLOCK_MONOTONIC);

    assert(now >= 0);
    return (uint64_t)now;
}

uint64_t
guaco__clock_boot_ns(void)
{
    int64_t now = read_ns(CLOCK_BOOTTIME);

    assert(now >= 0);
    return (uint64_t)now;
}
