#include "redis_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

#define ARGS_MAX 32

bool
redis_server_is_there(void)
{
    const char *path = getenv("PATH");
    char file[4096];

    for (const char *at = path == NULL ? "" : path; *at != '\0';) {
        size_t len = strcspn(at, ":");
        snprintf(file, sizeof file, "%.*s/redis-server", (int)len, at);
        if (access(file, X_OK) == 0)
            return true;
        at += len;
        at += *at == ':';
    }
    print_message("no redis-server is installed: tests on Redis are skipped\n");
    return false;
}

static void
exec_server(const struct redis_server *server, const char *const *more, int out)
{
    const char *args[ARGS_MAX] = {
        "redis-server", "--port",       "0",
        "--unixsocket", server->socket, "--dir",
        server->folder, "--save",       "",
        "--appendonly", "no",           "--unixsocketperm",
        "700"};
    size_t n = 13;

    for (; more != NULL && *more != NULL && n + 1 < ARGS_MAX; more++)
        args[n++] = *more;
    args[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    execvp(args[0], (char *const *)(uintptr_t)args);
    _exit(127);
}

/* It says on stdout when it is ready. */
static void
wait_ready(int fd)
{
    char text[16384];
    size_t len = 0;

    while (len < sizeof text - 1) {
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        if (strstr(text, "accept connections") != NULL)
            return;
    }
    fail_msg("redis-server did not start: %.*s", (int)len, text);
}

void
redis_server_start(struct redis_server *server, const char *const *more)
{
    int fds[2];

    if (server->folder[0] == '\0') {
        snprintf(server->folder, sizeof server->folder,
                 "/tmp/guaco-redis.XXXXXX");
        folder_new(server->folder);
        snprintf(server->socket, sizeof server->socket, "%s/redis.sock",
                 server->folder);
    }
    assert_int_equal(pipe(fds), 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0)
        exec_server(server, more, fds[1]);
    close(fds[1]);
    wait_ready(fds[0]);
    close(fds[0]);
}

void
redis_server_kill(struct redis_server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void
redis_server_remove(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->folder[0] != '\0')
        folder_delete(server->folder);
    server->folder[0] = '\0';
}

void
redis_server_ask(const struct redis_server *server, const char *line, char *out,
                 size_t room)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;

    assert_true(fd >= 0);
    memcpy(address.sun_path, server->socket, strlen(server->socket));
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
    assert_int_equal(send(fd, "\r\n", 2, 0), 2);
    while (len + 1 < room && memchr(out, '\n', len) == NULL) {
        ssize_t n = recv(fd, out + len, room - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fd);
}
