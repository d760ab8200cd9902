/* The processes below a profiled one: how they are found is in tree.h. */

#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/proc.h"

#define CHILDREN_BYTES_MAX 65536 /* of one thread's list */
#define RETRY_LEAST_NS     UINT64_C(1000000)
#define RETRY_MOST_NS      UINT64_C(1000000000)

struct member {
    int pid;
    uint64_t start_ticks;         /* with the pid it names one process */
    struct guaco__target *target; /* NULL: runs no Python, as far as is known */
    uint64_t retry_at_ns, retry_ns;
    dev_t device; /* of its executable when it was last looked at */
    ino_t inode;
    bool is_gone;
};

struct guaco__tree {
    int pid;
    struct member *members;
    size_t count, room;
    size_t seen;
    struct guaco__target_counts ended; /* of targets that are freed */
    char text[CHILDREN_BYTES_MAX];
};

int
guaco__tree_new(struct guaco__tree **tree, int pid)
{
    struct guaco__tree *self = calloc(1, sizeof *self);

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->pid = pid;
    *tree = self;
    return GUACO_OK;
}

static void
add_counts(struct guaco__target_counts *to, const struct guaco__target *target)
{
    const struct guaco__target_counts *counts = guaco__target_counts(target);

    to->samples += counts->samples;
    to->retried += counts->retried;
    to->torn += counts->torn;
    to->dropped += counts->dropped;
}

static void
detach(struct guaco__tree *tree, struct member *member)
{
    if (member->target == NULL)
        return;
    add_counts(&tree->ended, member->target);
    guaco__target_free(member->target);
    member->target = NULL;
}

void
guaco__tree_free(struct guaco__tree *tree)
{
    if (tree == NULL)
        return;
    for (size_t i = 0; i < tree->count; i++)
        detach(tree, &tree->members[i]);
    free(tree->members);
    free(tree);
}

size_t
guaco__tree_seen(const struct guaco__tree *tree)
{
    return tree->seen;
}

struct guaco__target_counts
guaco__tree_counts(const struct guaco__tree *tree)
{
    struct guaco__target_counts counts = tree->ended;

    for (size_t i = 0; i < tree->count; i++)
        if (tree->members[i].target != NULL)
            add_counts(&counts, tree->members[i].target);
    return counts;
}

/* ---- finding ------------------------------------------------------------------ */

static bool
is_known(const struct guaco__tree *tree, int pid)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->members[i].pid == pid)
            return true;
    return false;
}

static int
member_add(struct guaco__tree *tree, int pid)
{
    struct guaco__proc_stat stat;
    struct guaco_error ignored;

    if (is_known(tree, pid) || tree->count == GUACO__TREE_PROCESSES_MAX ||
        guaco__proc_stat(pid, &stat, &ignored) != GUACO_OK)
        return GUACO_OK;
    if (tree->count == tree->room) {
        size_t room = tree->room == 0 ? 16 : tree->room * 2;
        struct member *members = realloc(tree->members, room * sizeof *members);
        if (members == NULL)
            return GUACO_E_NOMEM;
        tree->members = members;
        tree->room = room;
    }
    tree->members[tree->count++] =
        (struct member){.pid = pid,
                        .start_ticks = stat.start_ticks,
                        .retry_ns = RETRY_LEAST_NS};
    return GUACO_OK;
}

/* The children that one thread has begun. */
static int
scan_thread(struct guaco__tree *tree, int pid, const char *tid)
{
    char path[80];
    int rc = GUACO_OK;

    snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return GUACO_OK;
    ssize_t len = read(fd, tree->text, sizeof tree->text - 1);
    close(fd);
    tree->text[len < 0 ? 0 : len] = '\0';
    char *at = tree->text, *end;
    for (long child; rc == GUACO_OK && (child = strtol(at, &end, 10)) > 0;
         at = end)
        rc = member_add(tree, (int)child);
    return rc;
}

static int
scan_process(struct guaco__tree *tree, int pid)
{
    char path[40];
    int rc = GUACO_OK;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && rc == GUACO_OK &&
           (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            rc = scan_thread(tree, pid, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    return rc;
}

/* Members that are found in passing are scanned in the same pass. */
static int
scan(struct guaco__tree *tree)
{
    int rc = scan_process(tree, tree->pid);

    for (size_t i = 0; rc == GUACO_OK && i < tree->count; i++)
        rc = scan_process(tree, tree->members[i].pid);
    return rc;
}

/* ---- attaching ------------------------------------------------------------------ */

/* Ask again soon when it runs another program than the last time. */
static void
watch_program(struct member *member)
{
    char path[40];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/exe", member->pid);
    if (stat(path, &st) != 0 ||
        (st.st_ino == member->inode && st.st_dev == member->device))
        return;
    member->inode = st.st_ino;
    member->device = st.st_dev;
    member->retry_ns = RETRY_LEAST_NS;
    member->retry_at_ns = 0;
}

static bool
is_alive(const struct member *member)
{
    struct guaco__proc_stat stat;
    struct guaco_error ignored;

    return guaco__proc_stat(member->pid, &stat, &ignored) == GUACO_OK &&
           stat.start_ticks == member->start_ticks && stat.state != 'Z' &&
           stat.state != 'X';
}

static void
attach(struct guaco__tree *tree, struct member *member, uint64_t now_ns)
{
    struct guaco_error ignored;

    watch_program(member);
    if (now_ns < member->retry_at_ns)
        return;
    if (!is_alive(member)) {
        member->is_gone = true;
        return;
    }
    int rc = guaco__target_attach(&member->target, member->pid, &ignored);
    if (rc == GUACO_OK) {
        tree->seen++;
        member->retry_ns = RETRY_LEAST_NS;
        return;
    }
    member->target = NULL;
    member->retry_at_ns = now_ns + member->retry_ns;
    if (member->retry_ns < RETRY_MOST_NS)
        member->retry_ns *= 2;
}

static int
sample_member(struct guaco__tree *tree, struct member *member,
              struct guaco__record *record, uint64_t now_ns, uint64_t at_ns)
{
    if (member->target == NULL)
        attach(tree, member, now_ns);
    if (member->target == NULL)
        return GUACO_OK;
    int rc =
        guaco__record_sample_of(record, member->target, member->pid, at_ns);
    if (rc != GUACO_E_CLOSED && rc != GUACO_E_MISSING && rc != GUACO_E_IO)
        return rc;
    detach(tree, member);
    guaco__record_forget(record);
    member->is_gone = !is_alive(member);
    return GUACO_OK;
}

int
guaco__tree_sample(struct guaco__tree *tree, struct guaco__record *record,
                   uint64_t now_ns, uint64_t at_ns)
{
    size_t kept = 0;

    int rc = scan(tree);
    for (size_t i = 0; rc == GUACO_OK && i < tree->count; i++)
        rc = sample_member(tree, &tree->members[i], record, now_ns, at_ns);
    for (size_t i = 0; i < tree->count; i++)
        if (!tree->members[i].is_gone)
            tree->members[kept++] = tree->members[i];
    tree->count = kept;
    return rc;
}
