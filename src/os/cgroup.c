/* Control groups: the contract is in os/cgroup.h. */

#include "os/cgroup.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"

#define CGROUP_TEXT_MAX 8192u

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

static void
lower_cpu(struct guaco__limits *limits, long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota > LLONG_MAX / 1000)
        return;
    long long milli = quota * 1000 / period;
    if (milli < (long long)limits->cpu_milli)
        limits->cpu_milli = milli > 0 ? (uint32_t)milli : 1;
}

static void
lower_memory(struct guaco__limits *limits, const char *text)
{
    char *end;
    unsigned long long bytes = strtoull(text, &end, 10);

    if (end != text && bytes > 0 && bytes < limits->memory_bytes)
        limits->memory_bytes = bytes;
}

/* The files of one group, of either version; they differ in their names. */
static void
read_group(struct guaco__limits *limits, const char *folder)
{
    char text[128];
    long long quota;
    long long period;

    if (read_small(folder, "cpu.max", text, sizeof text) &&
        sscanf(text, "%lld %lld", &quota, &period) == 2)
        lower_cpu(limits, quota, period);
    if (read_small(folder, "memory.max", text, sizeof text))
        lower_memory(limits, text);

    if (read_small(folder, "cpu.cfs_quota_us", text, sizeof text) &&
        sscanf(text, "%lld", &quota) == 1 &&
        read_small(folder, "cpu.cfs_period_us", text, sizeof text) &&
        sscanf(text, "%lld", &period) == 1)
        lower_cpu(limits, quota, period);
    if (read_small(folder, "memory.limit_in_bytes", text, sizeof text))
        lower_memory(limits, text);
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
