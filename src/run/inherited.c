/* Sockets that listened before: the contract is in run/inherited.h. */

#include "run/inherited.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scan.h"
#include "run/environment.h"

#define FIRST_FD 3 /* of sd_listen_fds(3) */

static void
close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static struct guaco__inherited_item *
find_words(struct guaco__inherited *inherited, const char *words)
{
    for (size_t i = 0; i < inherited->count; i++)
        if (strcmp(inherited->items[i].words, words) == 0)
            return &inherited->items[i];
    return NULL;
}

static struct guaco__inherited_item *
make_item(struct guaco__inherited *inherited, const char *words)
{
    if (inherited->count == GUACO__INHERITED_MAX ||
        strlen(words) >= GUACO__INHERITED_WORDS_MAX)
        return NULL;
    struct guaco__inherited_item *item = &inherited->items[inherited->count];
    *item = (struct guaco__inherited_item){
        .fds = calloc(GUACO__INHERITED_FDS_MAX, sizeof(int))};
    if (item->fds == NULL)
        return NULL;
    inherited->count++;
    snprintf(item->words, sizeof item->words, "%s", words);
    return item;
}

int
guaco__inherited_add(struct guaco__inherited *inherited, const char *words,
                     const int *fds, size_t fd_count, struct guaco_error *err)
{
    struct guaco__inherited_item *item = find_words(inherited, words);

    if (item == NULL)
        item = make_item(inherited, words);
    if (item == NULL || item->fd_count + fd_count > GUACO__INHERITED_FDS_MAX) {
        close_all(fds, fd_count);
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "too many inherited sockets, or out of memory");
    }
    for (size_t i = 0; i < fd_count; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        item->fds[item->fd_count++] = fds[i];
    }
    return GUACO_OK;
}

struct guaco__inherited_item *
guaco__inherited_find(struct guaco__inherited *inherited, const char *words)
{
    bool is_fd = strncmp(words, "fd:", 3) == 0;

    for (size_t i = 0; i < inherited->count; i++) {
        struct guaco__inherited_item *item = &inherited->items[i];
        if (!item->is_taken && (strcmp(item->words, words) == 0 ||
                                (is_fd && *item->name != '\0' &&
                                 strcmp(item->name, words + 3) == 0)))
            return item;
    }
    return NULL;
}

size_t
guaco__inherited_release(struct guaco__inherited *inherited)
{
    size_t unused = 0;

    for (size_t i = 0; i < inherited->count; i++) {
        struct guaco__inherited_item *item = &inherited->items[i];
        if (item->fds == NULL)
            continue;
        close_all(item->fds, item->fd_count);
        free(item->fds);
        item->fds = NULL;
        unused++;
    }
    inherited->count = 0;
    return unused;
}

/* ---- socket activation ---- */

static bool
read_number(const char *text, int64_t most, int64_t *number)
{
    if (text == NULL)
        return false;
    struct guaco__scan scan =
        guaco__scan_of((struct guaco_slice){text, strlen(text)});
    return guaco__scan_number(&scan, most, number) && guaco__scan_done(&scan);
}

static bool
is_listening(int fd)
{
    int on = 0;
    int type = 0;
    socklen_t len = sizeof on;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && on != 0 &&
           type == SOCK_STREAM;
}

/* The next of names that ':' separates, "" when there is none. */
static void
take_name(const char **names, char *out, size_t room)
{
    size_t len = *names == NULL ? 0 : strcspn(*names, ":");

    snprintf(out, room, "%.*s", (int)(len < 60 ? len : 60),
             *names == NULL ? "" : *names);
    if (*names != NULL)
        *names += len + ((*names)[len] == ':');
}

int
guaco__inherited_add_activated(struct guaco__inherited *inherited,
                               const char *const *envp, struct guaco_error *err)
{
    const char *names = guaco__environment_find(envp, "LISTEN_FDNAMES");
    const char *pid = guaco__environment_find(envp, "LISTEN_PID");
    const char *fds = guaco__environment_find(envp, "LISTEN_FDS");
    int64_t who;
    int64_t count;
    int rc = GUACO_OK;

    if (!read_number(pid, INT32_MAX, &who) || who != getpid() ||
        !read_number(fds, GUACO__INHERITED_MAX, &count))
        return GUACO_OK;
    for (int fd = FIRST_FD; fd < FIRST_FD + count && rc == GUACO_OK; fd++) {
        char words[32];
        snprintf(words, sizeof words, "fd:%d", fd);
        if (!is_listening(fd))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "LISTEN_FDS: %s is not a listening stream socket",
                              words);
        rc = guaco__inherited_add(inherited, words, &fd, 1, err);
        if (rc == GUACO_OK) {
            struct guaco__inherited_item *item = find_words(inherited, words);
            assert(item != NULL);
            item->is_shared = true;
            take_name(&names, item->name, sizeof item->name);
        }
    }
    return rc;
}
