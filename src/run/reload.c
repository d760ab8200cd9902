/*
 * --reload: watches folders for changes of Python files by inotify and reloads
 * the tree when a burst of them is over.
 */

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor_int.h"

#define FOLDERS_MAX 8192
#define DEPTH_MAX   24
#define CALM_MS     150 /* editors write a file in several steps */
#define WATCHED \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE)

struct guaco__reload {
    struct tree *tree;
    int fd;
    struct guaco__watch watch;
    struct guaco__timer calm;
    size_t folders;
};

/* Whether a name matches one of the globs of an option. */
static bool
matches(const struct tree *tree, const char *option, const char *name)
{
    const struct guaco__option_value *globs =
        guaco__options_get(tree->setup->options, option);

    for (size_t i = 0; i < globs->count; i++)
        if (fnmatch(globs->items[i], name, 0) == 0)
            return true;
    return false;
}

static bool
is_skipped(const struct tree *tree, const char *name)
{
    return name[0] == '.' || strcmp(name, "__pycache__") == 0 ||
           strcmp(name, "node_modules") == 0 ||
           matches(tree, "reload-exclude", name);
}

/* Of a virtual environment: large, and not the application. */
static bool
is_venv(const char *path)
{
    char file[PATH_MAX];
    int n = snprintf(file, sizeof file, "%s/pyvenv.cfg", path);

    return n > 0 && (size_t)n < sizeof file && access(file, F_OK) == 0;
}

static bool
is_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Watch a folder and those below it; what cannot be read is left out. */
static void
add_folder(struct guaco__reload *r, const char *path, int depth)
{
    char below[PATH_MAX];
    struct dirent *entry;

    if (depth == DEPTH_MAX || r->folders == FOLDERS_MAX ||
        inotify_add_watch(r->fd, path, WATCHED) < 0)
        return;
    r->folders++;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        int n = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t)n < sizeof below &&
            !is_skipped(r->tree, entry->d_name) && is_folder(below) &&
            !is_venv(below))
            add_folder(r, below, depth + 1);
    }
    closedir(dir);
}

static void
add_roots(struct guaco__reload *r)
{
    const struct guaco__options *o = r->tree->setup->options;
    const struct guaco__option_value *dirs =
        guaco__options_get(o, "reload-dir");

    r->folders = 0;
    for (size_t i = 0; i < dirs->count; i++)
        add_folder(r, dirs->items[i], 0);
    if (dirs->count == 0)
        add_folder(r, guaco__options_text(o, "app-dir"), 0);
}

/* Whether a change of a file counts. */
static bool
is_watched(const struct tree *tree, const char *name)
{
    size_t len = strlen(name);
    bool is_python = len > 3 && strcmp(name + len - 3, ".py") == 0;

    return (is_python || matches(tree, "reload-include", name)) &&
           !matches(tree, "reload-exclude", name);
}

static void
on_calm(struct guaco__timer *timer)
{
    struct guaco__reload *r = GUACO__OF(timer, struct guaco__reload, calm);

    add_roots(r); /* folders may be new; known ones are the same watch */
    guaco__tree_reload(r->tree);
}

static void
on_change(struct guaco__watch *watch, unsigned events)
{
    struct guaco__reload *r = GUACO__OF(watch, struct guaco__reload, watch);
    _Alignas(struct inotify_event) char data[4096];
    bool changed = false;
    ssize_t n;

    (void)events;
    while ((n = read(r->fd, data, sizeof data)) > 0)
        for (char *at = data; at < data + n;) {
            const struct inotify_event *e = (const void *)at;
            at += sizeof *e + e->len;
            if ((e->mask & IN_ISDIR) != 0)
                changed =
                    changed || (e->len > 0 && !is_skipped(r->tree, e->name));
            else
                changed = changed || (e->mask & IN_Q_OVERFLOW) != 0 ||
                          (e->len > 0 && is_watched(r->tree, e->name));
        }
    if (changed)
        guaco__timer_start_ms(&r->calm, CALM_MS);
}

int
guaco__reload_open(struct tree *tree, struct guaco_error *err)
{
    struct guaco__reload *r = calloc(1, sizeof *r);

    if (r == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "--reload");
    tree->reload = r;
    r->tree = tree;
    r->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (r->fd < 0)
        return guaco_fail(err, GUACO_E_IO, errno, "--reload: inotify");
    guaco__timer_init(&r->calm, tree->loop, on_calm);
    add_roots(r);
    if (r->folders == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--reload: no folder could be watched");
    return guaco__watch_start(&r->watch, tree->loop, r->fd, GUACO__READABLE,
                              on_change, err);
}

void
guaco__reload_close(struct tree *tree)
{
    struct guaco__reload *r = tree->reload;

    if (r == NULL)
        return;
    guaco__watch_stop(&r->watch);
    if (r->calm.fn != NULL)
        guaco__timer_stop(&r->calm);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
    tree->reload = NULL;
}
