/* A folder for a test's files: see folder.h. */

#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[FOLDER_PATH_MAX];

static void
need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

const char *
folder_make(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/guaco-test.XXXXXX",
             base == NULL ? "/tmp" : base);
    need(mkdtemp(folder) != NULL, folder);
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
folder_remove(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
