#include "redis_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../test.h"
#include "private_server.h"

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

struct command {
    const struct redis_server *server;
    const char *const *more;
};

static void
exec_server(const void *ctx)
{
    const struct command *command = ctx;
    const struct redis_server *server = command->server;
    const char *const *more = command->more;
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
    execvp(args[0], (char *const *)(uintptr_t)args);
}

void
redis_server_start(struct redis_server *server, const char *const *more)
{
    const struct command command = {server, more};
    struct private_server process = {.pid = 0};

    memcpy(process.folder, server->folder, sizeof process.folder);
    private_server_folder(&process, "redis");
    memcpy(server->folder, process.folder, sizeof process.folder);
    snprintf(server->socket, sizeof server->socket, "%s/redis.sock",
             server->folder);
    private_server_start(&process, "accept connections", exec_server, &command);
    server->pid = process.pid;
}

void
redis_server_kill(struct redis_server *server)
{
    struct private_server process = {.pid = server->pid};

    private_server_kill(&process, SIGKILL);
    server->pid = 0;
}

void
redis_server_remove(struct redis_server *server)
{
    struct private_server process = {.pid = server->pid};

    memcpy(process.folder, server->folder, sizeof process.folder);
    private_server_remove(&process, SIGKILL);
    server->pid = 0;
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
