/* The service manager: the contract is in run/notify.h. */

#include "run/notify.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/scan.h"
#include "os/clock.h"
#include "run/environment.h"

static void
send_text(const struct guaco__notify *n, const char *text)
{
    if (n->len == 0)
        return;
    /* A manager that does not read, or is gone, is no reason to wait. */
    (void)sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                 (const struct sockaddr *)&n->address, n->len);
}

static void
on_watchdog(struct guaco__timer *timer)
{
    struct guaco__notify *n = GUACO__OF(timer, struct guaco__notify, watchdog);

    send_text(n, "WATCHDOG=1");
    guaco__timer_start_ms(timer, n->watchdog_ms);
}

/* "/path" or "@abstract". */
static int
read_address(struct guaco__notify *n, const char *path, struct guaco_error *err)
{
    size_t len = strlen(path);

    if ((*path != '/' && *path != '@') || len < 2 ||
        len >= sizeof n->address.sun_path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "NOTIFY_SOCKET is no socket's path: %.100s", path);
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, path, len);
    if (*path == '@')
        n->address.sun_path[0] = '\0';
    n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return GUACO_OK;
}

static bool
read_number(const char *text, int64_t *number)
{
    struct guaco__scan scan = {text, text + strlen(text)};

    return guaco__scan_number(&scan, INT64_C(1) << 48, number) &&
           guaco__scan_done(&scan);
}

static void
start_watchdog(struct guaco__notify *n, const char *const *envp)
{
    const char *usec = guaco__environment_find(envp, "WATCHDOG_USEC");
    const char *pid = guaco__environment_find(envp, "WATCHDOG_PID");

    int64_t us;
    int64_t who = getpid();

    if (usec == NULL || !read_number(usec, &us) || us < 2000 ||
        (pid != NULL && !read_number(pid, &who)) || who != getpid())
        return;
    n->watchdog_ms = (uint64_t)us / 2000;
    guaco__timer_start_ms(&n->watchdog, n->watchdog_ms);
}

int
guaco__notify_open(struct guaco__notify *n, struct guaco__loop *loop,
                   const char *const *envp, struct guaco_error *err)
{
    const char *path = guaco__environment_find(envp, "NOTIFY_SOCKET");

    *n = (struct guaco__notify){.fd = -1};
    guaco__timer_init(&n->watchdog, loop, on_watchdog);
    if (path == NULL)
        return GUACO_OK;
    int rc = read_address(n, path, err);
    if (rc != GUACO_OK)
        return rc;
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0) {
        n->len = 0;
        return guaco_fail(err, GUACO_E_IO, errno, "NOTIFY_SOCKET");
    }
    start_watchdog(n, envp);
    return GUACO_OK;
}

void
guaco__notify_close(struct guaco__notify *n)
{
    if (n->watchdog.fn == NULL)
        return;
    guaco__timer_stop(&n->watchdog);
    if (n->fd >= 0)
        close(n->fd);
    *n = (struct guaco__notify){.fd = -1};
}

void
guaco__notify_ready(struct guaco__notify *n)
{
    send_text(n, "READY=1\nSTATUS=serving");
}

void
guaco__notify_reloading(struct guaco__notify *n)
{
    char text[96];

    snprintf(text, sizeof text,
             "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
             (unsigned long long)guaco__clock_mono_ns() / 1000);
    send_text(n, text);
}

void
guaco__notify_stopping(struct guaco__notify *n)
{
    send_text(n, "STOPPING=1\nSTATUS=draining");
}

void
guaco__notify_status(struct guaco__notify *n, const char *status)
{
    char text[256];

    snprintf(text, sizeof text, "STATUS=%.200s", status);
    send_text(n, text);
}

void
guaco__notify_main_pid(struct guaco__notify *n, pid_t pid)
{
    char text[64];

    snprintf(text, sizeof text, "MAINPID=%ld", (long)pid);
    send_text(n, text);
}
