/* What the kernel and the interpreter say of a thread: see facts.h. */

#include "facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layout_read.h"
#include "text.h"

#define NAMES_BYTES    ((size_t)8 << 10)
#define NAMES_CAP      ((size_t)8 << 20)
#define TID_IN_PTHREAD 720  /* glibc's struct pthread, 64 bits */
#define GIL_BYTES      256u /* all of _gil_runtime_state, its condition too */
#define LOOK_EVERY     64u  /* samples, for a module that is not loaded yet */
#define NAME_TRIES_MAX 4096u
#define STOP           1 /* ends a walk; no error is positive */

void
guaco__facts_init(struct guaco__facts *facts, int pid,
                  const struct guaco__runtime *runtime,
                  struct guaco__vmem *memory)
{
    *facts = (struct guaco__facts){
        .pid = pid,
        .runtime = runtime,
        .objects = {memory, &runtime->layout},
    };
    guaco__arena_init(&facts->names, NAMES_BYTES, NAMES_CAP);
    guaco__arena_init(&facts->moments, NAMES_BYTES, NAMES_CAP);
}

void
guaco__facts_release(struct guaco__facts *facts)
{
    guaco__arena_release(&facts->names);
    guaco__arena_release(&facts->moments);
}

void
guaco__fact_init(struct guaco__fact *fact)
{
    *fact = (struct guaco__fact){.call_fd = -1};
}

void
guaco__fact_release(struct guaco__fact *fact)
{
    if (fact->call_fd >= 0)
        close(fact->call_fd);
    fact->call_fd = -1;
}

/* ---- the kernel's number of a thread ----------------------------------------- */

void
guaco__fact_native_id(struct guaco__facts *facts, struct guaco__fact *fact,
                      uint64_t thread_id, const char *state_bytes)
{
    const struct guaco__layout *l = &facts->runtime->layout;
    bool is_kept = has(l->thread.native_thread_id);
    int32_t id = 0;

    if (is_kept)
        id = (int32_t)word_at(state_bytes, l->thread.native_thread_id);
    /* A state has the numbers of the thread that made it until its own has
     * begun; and it may be used again for another thread. */
    if (fact->has_id && fact->thread_id == thread_id &&
        (!is_kept || fact->native_id == (id > 0 ? id : 0)))
        return;
    guaco__fact_release(fact);
    guaco__fact_init(fact);
    fact->has_id = true;
    fact->thread_id = thread_id;
    if (!is_kept &&
        guaco__vmem_get(facts->objects.memory, thread_id + TID_IN_PTHREAD, &id,
                        sizeof id) != GUACO_OK)
        id = 0;
    fact->native_id = id > 0 ? id : 0;
}

/* Open a file of the thread.  Ids are those of the process's own namespace:
 * /proc/PID/root/proc would name them, but need not be mounted, so the tasks
 * are compared by the last id that their status shows. */
static int
open_in_task(int pid, long tid, const char *name)
{
    char path[80];

    snprintf(path, sizeof path, "/proc/%d/task/%ld/%s", pid, tid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static size_t
read_in_task(int pid, long tid, const char *name, char *text, size_t room)
{
    int fd = open_in_task(pid, tid, name);
    ssize_t len = fd < 0 ? 0 : read(fd, text, room - 1);

    if (fd >= 0)
        close(fd);
    text[len < 0 ? 0 : len] = '\0';
    return len < 0 ? 0 : (size_t)len;
}

/* The innermost of the ids that "NSpid:" shows; 0: none. */
static long
innermost_id(int pid, long tid)
{
    char text[4096];

    read_in_task(pid, tid, "status", text, sizeof text);
    const char *line = strstr(text, "\nNSpid:");
    if (line == NULL)
        return 0;
    const char *end = strchr(line + 1, '\n');
    if (end == NULL)
        return 0;
    while (end > line && end[-1] != '\t')
        end--;
    return strtol(end, NULL, 10);
}

/* The thread's id here, for /proc. */
static long
id_here(int pid, int32_t native_id)
{
    char path[40];
    long found = 0;

    if (innermost_id(pid, pid) == pid || innermost_id(pid, pid) == 0)
        return native_id;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && found == 0 && (entry = readdir(folder)) != NULL) {
        long tid = strtol(entry->d_name, NULL, 10);
        if (tid > 0 && innermost_id(pid, tid) == native_id)
            found = tid;
    }
    if (folder != NULL)
        closedir(folder);
    return found;
}

/* Once a thread: what is asked again and again is kept open. */
static void
fact_open(struct guaco__facts *facts, struct guaco__fact *fact)
{
    if (fact->is_opened || facts->pid == 0 || fact->native_id == 0)
        return;
    fact->is_opened = true;
    long tid = id_here(facts->pid, fact->native_id);
    if (tid == 0)
        return;
    fact->host_id = (int32_t)tid;
    fact->call_fd = open_in_task(facts->pid, tid, "syscall");
    size_t len =
        read_in_task(facts->pid, tid, "comm", fact->comm, sizeof fact->comm);
    if (len > 0 && fact->comm[len - 1] == '\n')
        fact->comm[len - 1] = '\0';
}

int32_t
guaco__fact_host_id(struct guaco__facts *facts, struct guaco__fact *fact)
{
    fact_open(facts, fact);
    return fact->host_id;
}

/* ---- what it does --------------------------------------------------------------- */

enum guaco__thread_state
guaco__fact_state(struct guaco__facts *facts, struct guaco__fact *fact,
                  uint64_t gil)
{
    char text[128], *end;

    fact_open(facts, fact);
    if (fact->call_fd < 0)
        return GUACO__THREAD_UNKNOWN;
    ssize_t len = pread(fact->call_fd, text, sizeof text - 1, 0);
    if (len <= 0)
        return GUACO__THREAD_UNKNOWN;
    text[len] = '\0';
    if (text[0] == 'r') /* "running" */
        return GUACO__THREAD_RUNS;
    long call = strtol(text, &end, 10);
    if (call != SYS_futex || gil == 0)
        return GUACO__THREAD_IDLE;
    uint64_t futex = strtoull(end, NULL, 16);
    return futex - gil < GIL_BYTES ? GUACO__THREAD_WAITS : GUACO__THREAD_IDLE;
}

/* ---- names ------------------------------------------------------------------------ */

void
guaco__facts_forget_names(struct guaco__facts *facts)
{
    guaco__arena_reset(&facts->names);
}

struct active {
    const struct guaco__objects *objects;
    uint64_t thread_id, object;
};

static int
on_active(void *ctx, uint64_t key, uint64_t value)
{
    struct active *active = ctx;
    uint64_t id;

    if (guaco__int_read(active->objects, key, &id) != GUACO_OK ||
        id != active->thread_id)
        return GUACO_OK;
    active->object = value;
    return STOP;
}

int
guaco__fact_name(struct guaco__facts *facts, struct guaco__fact *fact,
                 uint64_t interpreter, uint64_t thread_id)
{
    struct active active = {&facts->objects, thread_id, 0};
    uint64_t dict = 0, name = 0;

    /* A thread is in the dict a moment after it began; some never are. */
    uint32_t tries = fact->name_tries++;
    if (fact->is_named || tries >= NAME_TRIES_MAX || (tries & (tries - 1)) != 0)
        return GUACO_OK;
    int rc = guaco__global_find(&facts->objects, interpreter, "threading",
                                "_active", &dict);
    if (rc == GUACO_OK)
        rc = guaco__dict_each(&facts->objects, dict, on_active, &active);
    if (rc == STOP)
        rc = guaco__attribute_find(&facts->objects, active.object, "_name",
                                   &name);
    if (rc == GUACO_OK && name != 0)
        rc = guaco__text_read(facts->objects.memory, &facts->runtime->layout,
                              name, &facts->names, &fact->name);
    fact->is_named = rc == GUACO_OK && fact->name.len > 0;
    if (fact->is_named)
        return GUACO_OK;
    fact_open(facts, fact);
    fact->name = (struct guaco_slice){fact->comm, strlen(fact->comm)};
    return rc == GUACO_E_NOMEM ? rc : GUACO_OK;
}

/* ---- tasks ------------------------------------------------------------------------ */

/* _asyncio is imported when it is: from 3.14 on its section is looked for now
 * and then. */
static int
asyncio_open(struct guaco__facts *facts)
{
    uint64_t published = 0;
    bool needs = facts->runtime->layout.version >= GUACO__VERSION(3, 14);

    if (facts->asyncio_tries++ % LOOK_EVERY != 0)
        return GUACO_E_MISSING;
    if (needs && facts->pid != 0)
        guaco__section_find(facts->pid, ".AsyncioDebug", "_asyncio", &published,
                            NULL);
    int rc = guaco__asyncio_init(&facts->asyncio, facts->objects.memory,
                                 &facts->runtime->layout, published);
    facts->knows_asyncio = rc == GUACO_OK && (!needs || published != 0);
    return rc;
}

int
guaco__fact_tasks(struct guaco__facts *facts,
                  const struct guaco__asyncio_thread *thread, size_t *count)
{
    *count = 0;
    if (!facts->knows_asyncio && asyncio_open(facts) != GUACO_OK)
        return GUACO_OK;
    guaco__arena_reset(&facts->moments);
    return guaco__asyncio_chain(&facts->asyncio, thread, &facts->moments,
                                facts->tasks, count);
}
