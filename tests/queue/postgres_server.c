#include "postgres_server.h"

#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"

#define ARGS_MAX 64

/* The newest one's folder of programs. */
static bool
find_bin(char *out, size_t room)
{
    glob_t found;
    bool is_there = false;

    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0 &&
        found.gl_pathc > 0) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];
        snprintf(out, room, "%.*s", (int)(strlen(path) - strlen("/initdb")),
                 path);
        is_there = true;
    }
    globfree(&found);
    return is_there;
}

bool
postgres_server_is_there(void)
{
    char bin[256];

    if (find_bin(bin, sizeof bin))
        return true;
    print_message("no PostgreSQL is installed: tests on it are skipped\n");
    return false;
}

/* The server refuses to be root. */
static const struct passwd *
other_user(void)
{
    if (geteuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam("postgres");
    return user != NULL ? user : getpwnam("nobody");
}

static void
become_other(void)
{
    const struct passwd *user = other_user();

    if (user != NULL && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 ||
                         setuid(user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* after what would forget it */
    if (getppid() == 1)
        _exit(126);
}

static void
init_cluster(const struct postgres_server *server)
{
    const struct passwd *user = other_user();
    char bin[256], path[300], data[128];
    int status;

    snprintf(data, sizeof data, "%s/data", server->process.folder);
    if (user != NULL)
        assert_int_equal(
            chown(server->process.folder, user->pw_uid, user->pw_gid), 0);
    assert_true(find_bin(bin, sizeof bin));
    snprintf(path, sizeof path, "%s/initdb", bin);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        become_other();
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(126);
        execl(path, path, "-D", data, "-U", "guaco", "-A", "trust", "-E",
              "UTF8", "--no-locale", "--no-sync", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

struct command {
    const struct postgres_server *server;
    const char *const *more;
};

static void
exec_server(const void *ctx)
{
    const struct command *command = ctx;
    const char *const *more = command->more;
    char bin[256], path[300], data[128];
    const char *args[ARGS_MAX] = {path,
                                  "-D",
                                  data,
                                  "-k",
                                  command->server->process.folder,
                                  "-c",
                                  "listen_addresses=",
                                  "-c",
                                  "fsync=off",
                                  "-c",
                                  "full_page_writes=off",
                                  "-c",
                                  "max_connections=200",
                                  "-c",
                                  "unix_socket_permissions=0777"};
    size_t n = 15;

    snprintf(data, sizeof data, "%s/data", command->server->process.folder);
    if (!find_bin(bin, sizeof bin))
        _exit(126);
    snprintf(path, sizeof path, "%s/postgres", bin);
    for (; more != NULL && *more != NULL && n + 1 < ARGS_MAX; more++)
        args[n++] = *more;
    args[n] = NULL;
    become_other();
    execv(args[0], (char *const *)(uintptr_t)args);
}

void
postgres_server_start(struct postgres_server *server, const char *const *more)
{
    const struct command command = {server, more};

    if (server->process.folder[0] == '\0') {
        private_server_folder(&server->process, "postgres");
        assert_int_equal(chmod(server->process.folder, 0755), 0);
        init_cluster(server);
        snprintf(server->url, sizeof server->url,
                 "postgresql://guaco@/postgres?host=%s",
                 server->process.folder);
    }
    private_server_start(&server->process, "ready to accept connections",
                         exec_server, &command);
}

void
postgres_server_kill(struct postgres_server *server)
{
    private_server_kill(&server->process, SIGQUIT);
}

void
postgres_server_remove(struct postgres_server *server)
{
    private_server_remove(&server->process, SIGQUIT);
}

void
postgres_server_ask(const struct postgres_server *server, const char *sql,
                    char *out, size_t room)
{
    PGconn *conn = PQconnectdb(server->url);
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK &&
        PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    snprintf(out, room, "%s",
             PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
}
