#include "private_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "../test.h"

void
private_server_folder(struct private_server *server, const char *name)
{
    if (server->folder[0] != '\0')
        return;
    snprintf(server->folder, sizeof server->folder, "/tmp/guaco-%s.XXXXXX",
             name);
    folder_new(server->folder);
}

/* It says when it is ready. */
static void
wait_ready(int fd, const char *ready)
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
        if (strstr(text, ready) != NULL)
            return;
    }
    fail_msg("a server did not start: %.*s", (int)len, text);
}

void
private_server_start(struct private_server *server, const char *ready,
                     void (*exec_it)(const void *ctx), const void *ctx)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        exec_it(ctx);
        _exit(127);
    }
    close(fds[1]);
    wait_ready(fds[0], ready);
    close(fds[0]);
}

void
private_server_kill(struct private_server *server, int signal)
{
    if (server->pid == 0)
        return;
    kill(server->pid, signal);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void
private_server_remove(struct private_server *server, int signal)
{
    private_server_kill(server, signal);
    if (server->folder[0] != '\0')
        folder_delete(server->folder);
    server->folder[0] = '\0';
}
