/* Control groups: the contract is in os/cgroup.h. */

#include "os/cgroup.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scan.h"
#include "os/file.h"

#define CGROUP_TEXT_MAX 8192u
#define TEXT_BYTES      128u
#define NUMBER_MAX      (INT64_C(1) << 50) /* v1 writes 2^63 - 4096 for none */

/* Read a small file under a folder into text; false when it is not there. */
static bool
read_small(const char *folder, const char *name, char *text, size_t room)
{
    char path[PATH_MAX];
    struct guaco__buf buf;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);

    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    guaco__buf_init(&buf, room - 1);
    bool ok = guaco__file_read(path, &buf, NULL) == GUACO_OK;
    if (ok) {
        if (buf.len > 0)
            memcpy(text, guaco__buf_data(&buf), buf.len);
        text[buf.len] = '\0';
    }
    guaco__buf_release(&buf);
    return ok;
}

/* The number at the start of a text, or 0 when it is none ("max"). */
static int64_t
number_of(struct guaco__scan *scan)
{
    int64_t number;

    while (guaco__scan_take(scan, ' '))
        ;
    return guaco__scan_number(scan, NUMBER_MAX, &number) ? number : 0;
}

static void
lower_cpu(struct guaco__limits *limits, int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0)
        return;
    int64_t milli = quota * 1000 / period;
    if (milli < limits->cpu_milli)
        limits->cpu_milli = milli > 0 ? (uint32_t)milli : 1;
}

static void
lower_memory(struct guaco__limits *limits, int64_t bytes)
{
    if (bytes > 0 && (uint64_t)bytes < limits->memory_bytes)
        limits->memory_bytes = (uint64_t)bytes;
}

/* Read a file of a group; the scan is empty when it is not there. */
static struct guaco__scan
read_numbers(const char *folder, const char *name, char text[TEXT_BYTES])
{
    if (!read_small(folder, name, text, TEXT_BYTES))
        text[0] = '\0';
    return (struct guaco__scan){text, text + strlen(text)};
}

/* The files of one group, of either version; they differ in their names. */
static void
read_group(struct guaco__limits *limits, const char *folder)
{
    char text[TEXT_BYTES];

    struct guaco__scan scan = read_numbers(folder, "cpu.max", text);
    int64_t quota = number_of(&scan);
    lower_cpu(limits, quota, number_of(&scan));
    scan = read_numbers(folder, "memory.max", text);
    lower_memory(limits, number_of(&scan));

    scan = read_numbers(folder, "cpu.cfs_quota_us", text);
    quota = number_of(&scan);
    scan = read_numbers(folder, "cpu.cfs_period_us", text);
    lower_cpu(limits, quota, number_of(&scan));
    scan = read_numbers(folder, "memory.limit_in_bytes", text);
    lower_memory(limits, number_of(&scan));
}

/* The group at `mount` + `path` and all above it up to the mount.  In a
 * container without a namespace of its own the path is the host's and does
 * not exist below the mount: then only the mount itself counts. */
static void
read_branch(struct guaco__limits *limits, const char *mount, const char *path)
{
    char folder[PATH_MAX];
    int n = snprintf(folder, sizeof folder, "%s%s", mount, path);
    size_t stop = strlen(mount);

    if (n < 0 || (size_t)n >= sizeof folder)
        return;
    for (;;) {
        read_group(limits, folder);
        char *slash = strrchr(folder + stop, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* One line of /proc/self/cgroup: "0::/path" (v2) or "4:cpu,cpuacct:/path". */
static void
read_line(struct guaco__limits *limits, const char *root, char *line)
{
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');

    if (path == NULL)
        return;
    *path++ = '\0';
    controllers++;
    if (*controllers == '\0') {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
    } else if (strstr(controllers, "cpu,") != NULL ||
               strcmp(controllers, "cpu") == 0) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
    } else if (strcmp(controllers, "memory") == 0) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
    } else {
        return;
    }
    read_branch(limits, mount, path);
}

struct guaco__limits
guaco__cgroup_limits(const char *root)
{
    struct guaco__limits limits = {UINT32_MAX, UINT64_MAX};
    char text[CGROUP_TEXT_MAX];
    char folder[PATH_MAX];
    char *rest = NULL;

    assert(strlen(root) < PATH_MAX - 64);
    snprintf(folder, sizeof folder, "%s/proc/self", root);
    if (!read_small(folder, "cgroup", text, sizeof text))
        return limits;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        read_line(&limits, root, line);
    return limits;
}

uint32_t
guaco__cgroup_cpus(const struct guaco__limits *limits)
{
    cpu_set_t set;
    uint32_t cpus = 1;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cpus = (uint32_t)CPU_COUNT(&set);
    if (limits->cpu_milli != UINT32_MAX) {
        uint32_t quota =
            limits->cpu_milli / 1000 + (limits->cpu_milli % 1000 != 0);
        if (quota < cpus)
            cpus = quota;
    }
    assert(cpus >= 1);
    return cpus;
}
