/* A folder for a test's files: see folder.h. */

#include "folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[FOLDER_PATH_MAX];
static int keeper_fd = -1; /* who removes what a killed program leaves */

static void
need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

/* It reads the folders' paths until the last process of this program has ended,
 * however it ended.  It is nobody's child, and no signal to the program's group
 * or session is for it. */
static void
exec_keeper(int fd)
{
    int null = open("/dev/null", O_WRONLY);

    setsid();
    if (fork() != 0)
        _exit(0);
    dup2(fd, 0);
    dup2(null, 1);
    dup2(null, 2);
    for (int i = 3; i < 1024; i++)
        close(i);
    execlp("sh", "sh", "-c",
           "while read -r path; do set -- \"$@\" \"$path\"; done;"
           " exec rm -rf -- \"$@\"",
           "sh", (char *)NULL);
    _exit(127);
}

static void
start_keeper(void)
{
    int fds[2];

    need(pipe2(fds, O_CLOEXEC) == 0, "pipe");
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0)
        exec_keeper(fds[0]);
    waitpid(pid, NULL, 0);
    close(fds[0]);
    /* Out of the way of tests that count on the lowest free descriptor. */
    keeper_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 900);
    need(keeper_fd >= 0, "fcntl");
    close(fds[1]);
}

void
folder_new(char *path)
{
    if (keeper_fd < 0)
        start_keeper();
    need(mkdtemp(path) != NULL, path);
    need(dprintf(keeper_fd, "%s\n", path) > 0, "the keeper of folders");
}

const char *
folder_make(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/guaco-test.XXXXXX",
             base == NULL ? "/tmp" : base);
    folder_new(folder);
    return folder;
}

const char *
folder_path(const char *name)
{
    static char paths[4][2 * FOLDER_PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void
folder_write(const char *name, const void *data, unsigned long len)
{
    char path[2 * FOLDER_PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')) != NULL;) {
        *p = '\0';
        mkdir(path, 0700);
        *p++ = '/';
    }
    FILE *file = fopen(path, "w");
    need(file != NULL, path);
    need(fwrite(data, 1, len, file) == len, path);
    need(fclose(file) == 0, path);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
folder_delete(const char *path)
{
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void
folder_remove(void)
{
    folder_delete(folder);
}
