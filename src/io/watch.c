/*
 * A watch is a libuv poll handle that can outlive it: libuv frees a handle
 * only in a later turn, and the watch is the caller's memory.
 *
 * `armed` is what libuv waits for, `interest` what the watch wants; the first
 * may hold more than the second, see the header.
 */

#include "watch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "loop_int.h"

struct guaco__poll {
    uv_poll_t uv;
    struct guaco__watch *watch; /* NULL once stopped */
    unsigned armed;             /* of enum guaco__watch_event */
    struct guaco__list fresh;   /* in loop->fresh from arming to the poll */
};

_Static_assert((int)GUACO__READABLE == (int)UV_READABLE, "passed through");
_Static_assert((int)GUACO__WRITABLE == (int)UV_WRITABLE, "passed through");
_Static_assert((int)GUACO__HANGUP == (int)UV_DISCONNECT, "passed through");

static const unsigned all_events =
    GUACO__READABLE | GUACO__WRITABLE | GUACO__HANGUP;

static void on_poll(uv_poll_t *uv, int status, int events);

/* Let libuv wait for exactly `events`. */
static int
arm(struct guaco__poll *poll, unsigned events)
{
    int rc = events == 0 ? uv_poll_stop(&poll->uv)
                         : uv_poll_start(&poll->uv, (int)events, on_poll);
    if (rc < 0)
        return rc;
    struct guaco__loop *loop = poll->uv.loop->data;
    poll->armed = events;
    guaco__list_remove(&poll->fresh);
    if (events != 0)
        guaco__list_push(&loop->fresh, &poll->fresh);
    return 0;
}

/*
 * libuv disarms a descriptor with an error pending and says so by a status.
 * That is told as everything that is wanted, so that the next system call
 * finds the error, and the handle is armed again: level-triggered stays so.
 */
static void
on_poll(uv_poll_t *uv, int status, int events)
{
    struct guaco__poll *poll = GUACO__OF(uv, struct guaco__poll, uv);
    struct guaco__watch *watch = poll->watch;
    unsigned ready = (unsigned)events;

    assert(watch != NULL);
    guaco__loop_attach(uv->loop->data);
    if (status < 0) {
        poll->armed = 0;
        ready = all_events;
    }
    if (poll->armed != watch->interest && arm(poll, watch->interest) < 0)
        ready = all_events;
    ready &= watch->interest;
    if (ready != 0)
        watch->fn(watch, ready);
}

/* uv_poll_init() makes the descriptor non-blocking, which is not ours to do:
 * the flag is shared with whoever else has the file open. */
static int
init_poll(struct guaco__loop *loop, struct guaco__poll *poll, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    int rc = uv_poll_init(&loop->uv, &poll->uv, fd);
    if (rc == 0 && (flags & O_NONBLOCK) == 0)
        (void)fcntl(fd, F_SETFL, flags);
    return rc;
}

static int
status_of(int uv_rc)
{
    switch (uv_rc) {
    case UV_EEXIST: return GUACO_E_EXISTS;
    case UV_EPERM: return GUACO_E_UNSUPPORTED;
    case UV_ENOMEM: return GUACO_E_NOMEM;
    default: return GUACO_E_IO;
    }
}

struct search {
    int fd;
    struct guaco__watch *parked;
};

static void
check_parked(uv_handle_t *handle, void *arg)
{
    struct search *search = arg;
    uv_os_fd_t fd;

    if (handle->type != UV_POLL || uv_is_closing(handle) ||
        uv_fileno(handle, &fd) < 0 || fd != search->fd)
        return;
    struct guaco__watch *watch =
        GUACO__OF((uv_poll_t *)handle, struct guaco__poll, uv)->watch;
    if (watch->is_parked)
        search->parked = watch;
}

/* Stop a parked watch of this number.  A walk over all handles, but it takes a
 * socket that was closed while parked to come here. */
static bool
evict_parked(struct guaco__loop *loop, int fd)
{
    struct search search = {fd, NULL};

    uv_walk(&loop->uv, check_parked, &search);
    if (search.parked == NULL)
        return false;
    guaco__watch_stop(search.parked);
    return true;
}

static void
on_closed(uv_handle_t *handle)
{
    free(GUACO__OF((uv_poll_t *)handle, struct guaco__poll, uv));
}

int
guaco__watch_start(struct guaco__watch *watch, struct guaco__loop *loop, int fd,
                   unsigned events,
                   void (*fn)(struct guaco__watch *watch, unsigned events),
                   struct guaco_error *err)
{
    *watch = (struct guaco__watch){.fn = fn, .interest = events};
    struct guaco__poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "watch descriptor %d", fd);
    guaco__list_init(&poll->fresh);
    int rc = init_poll(loop, poll, fd);
    if (rc == UV_EEXIST && evict_parked(loop, fd))
        rc = init_poll(loop, poll, fd);
    if (rc < 0) {
        free(poll);
        return guaco_fail(err, status_of(rc), -rc, "watch descriptor %d", fd);
    }
    poll->watch = watch;
    watch->poll = poll;
    rc = arm(poll, events);
    if (rc < 0) {
        guaco__watch_stop(watch);
        return guaco_fail(err, status_of(rc), -rc, "watch descriptor %d", fd);
    }
    loop->is_awake |= !loop->is_running; /* a guest registers it by running */
    return GUACO_OK;
}

int
guaco__watch_set(struct guaco__watch *watch, unsigned events)
{
    struct guaco__poll *poll = watch->poll;
    assert(poll != NULL);
    assert((events & ~all_events) == 0);

    /* A socket is nearly always writable: an unwanted GUACO__WRITABLE would
     * come at once, so it is not left armed. */
    unsigned missing = events & ~poll->armed;
    unsigned spare = poll->armed & ~events & GUACO__WRITABLE;
    if ((missing != 0 || spare != 0) && arm(poll, events) < 0)
        return GUACO_E_IO;
    watch->interest = events;
    watch->is_parked = false;
    return GUACO_OK;
}

/*
 * libuv tells the kernel of a descriptor at its next poll, and aborts the
 * process if the kernel then refuses it.  A caller may have closed it by then,
 * and even have opened a regular file of the same number.
 */
void
guaco__watches_check(struct guaco__loop *loop)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&loop->fresh)) != NULL) {
        struct guaco__poll *poll = GUACO__OF(link, struct guaco__poll, fresh);
        struct stat file;
        uv_os_fd_t fd;

        if (uv_fileno((uv_handle_t *)&poll->uv, &fd) < 0 ||
            fstat(fd, &file) < 0 || S_ISREG(file.st_mode) ||
            S_ISDIR(file.st_mode))
            (void)arm(poll, 0); /* stopping cannot fail */
    }
}

void
guaco__watch_park(struct guaco__watch *watch)
{
    struct guaco__poll *poll = watch->poll;
    assert(poll != NULL);
    if (!guaco__list_is_empty(&poll->fresh) ||
        (poll->armed & GUACO__WRITABLE) != 0)
        (void)arm(poll, 0);
    watch->interest = 0;
    watch->is_parked = true;
}

void
guaco__watch_stop(struct guaco__watch *watch)
{
    struct guaco__poll *poll = watch->poll;

    if (poll == NULL)
        return;
    watch->poll = NULL;
    watch->is_parked = false;
    guaco__list_remove(&poll->fresh);
    poll->watch = NULL;
    uv_close((uv_handle_t *)&poll->uv, on_closed);
}
