/* Which task runs, and who waits for it: the two ways are in asyncio.h. */

#include "asyncio.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "layout_read.h"
#include "text.h"

enum {
    AT_TYPE = 8,
    AT_TYPE_FLAGS = 168,
    AT_WEAKREF_OBJECT = 16,
};
#define IS_INT (UINT64_C(1) << 24)
#define IS_STR (UINT64_C(1) << 28)

#define PUBLISHED_WORDS 13
#define OFFSET_MAX      65536u
#define MODULE          "asyncio.tasks"
#define LOOK_EVERY      64u /* samples, while asyncio is not imported */
#define STOP            1   /* ends a walk; no error is positive */

/* ---- the layout -------------------------------------------------------------- */

/* _asyncio.Task to 3.13, compiled from each version's own source. */
static const struct {
    uint32_t version, waits_for, name;
} tasks_fixed[] = {
    {GUACO__VERSION(3, 8), 104, 120},  {GUACO__VERSION(3, 9), 144, 160},
    {GUACO__VERSION(3, 10), 152, 168}, {GUACO__VERSION(3, 11), 128, 144},
    {GUACO__VERSION(3, 12), 128, 144}, {GUACO__VERSION(3, 13), 112, 128},
};

/* Words of the published structure: task{size, name, awaited_by, is_task,
 * awaited_by_is_set, coro, node}, interpreter{size, tasks}, thread{size, loop,
 * task, tasks}. */
static int
published_read(struct guaco__asyncio *a, uint64_t address)
{
    uint64_t words[PUBLISHED_WORDS];

    int rc = guaco__vmem_get(a->objects.memory, address, words, sizeof words);
    if (rc != GUACO_OK)
        return rc;
    for (size_t i = 0; i < PUBLISHED_WORDS; i++)
        if (words[i] > OFFSET_MAX && i != 7 && i != 8) /* interpreter's */
            return GUACO_E_PROTO;
    a->task.name = (uint32_t)words[1];
    a->task.awaited_by = (uint32_t)words[2];
    a->task.is_task = (uint32_t)words[3];
    a->task.awaited_by_is_set = (uint32_t)words[4];
    a->running_task = (uint32_t)words[11];
    a->is_known = true;
    return GUACO_OK;
}

int
guaco__asyncio_init(struct guaco__asyncio *asyncio, struct guaco__vmem *memory,
                    const struct guaco__layout *layout, uint64_t published)
{
    *asyncio = (struct guaco__asyncio){.objects = {memory, layout}};
    if (layout->is_free_threaded)
        return GUACO_OK;
    if (layout->version >= GUACO__VERSION(3, 14))
        return published == 0 ? GUACO_OK : published_read(asyncio, published);
    for (size_t i = 0; i < sizeof tasks_fixed / sizeof tasks_fixed[0]; i++)
        if (tasks_fixed[i].version == layout->version) {
            asyncio->task.name = tasks_fixed[i].name;
            asyncio->task.waits_for = tasks_fixed[i].waits_for;
            asyncio->is_known = true;
        }
    return GUACO_OK;
}

/* ---- names ------------------------------------------------------------------ */

/* A task's name is a str, or the number of one that nobody asked for yet. */
static int
name_read(const struct guaco__asyncio *a, uint64_t task,
          struct guaco__arena *arena, struct guaco_slice *name)
{
    struct guaco__vmem *m = a->objects.memory;
    uint64_t object = 0, type = 0, flags = 0, number;

    int rc = guaco__vmem_word(m, task + a->task.name, &object);
    if (rc == GUACO_OK)
        rc = guaco__vmem_word(m, object + AT_TYPE, &type);
    if (rc == GUACO_OK)
        rc = guaco__vmem_word(m, type + AT_TYPE_FLAGS, &flags);
    if (rc != GUACO_OK)
        return rc;
    if ((flags & IS_STR) != 0)
        return guaco__text_read(m, a->objects.layout, object, arena, name);
    if ((flags & IS_INT) == 0)
        return GUACO_E_AGAIN;
    rc = guaco__int_read(&a->objects, object, &number);
    if (rc != GUACO_OK)
        return rc;
    char *text = guaco__arena_alloc(arena, 32);
    if (text == NULL)
        return GUACO_E_NOMEM;
    int len = snprintf(text, 32, "Task-%llu", (unsigned long long)number);
    *name = (struct guaco_slice){text, (size_t)len};
    return GUACO_OK;
}

/* ---- to 3.13: asyncio.tasks --------------------------------------------------- */

struct current {
    const struct guaco__asyncio *asyncio;
    const struct guaco__asyncio_thread *thread;
    uint64_t task;
};

/* An event loop of Python's own knows its thread. */
static int
on_loop(void *ctx, uint64_t loop, uint64_t task)
{
    struct current *c = ctx;
    const struct guaco__objects *o = &c->asyncio->objects;
    uint64_t object = 0, id = 0;

    int rc = guaco__attribute_find(o, loop, "_thread_id", &object);
    if (rc == GUACO_OK)
        rc = guaco__int_read(o, object, &id);
    if (rc == GUACO_OK ? id != c->thread->id : !c->thread->is_only)
        return GUACO_OK;
    c->task = task;
    return STOP;
}

static int
current_by_module(struct guaco__asyncio *a,
                  const struct guaco__asyncio_thread *thread, uint64_t *task)
{
    struct current current = {a, thread, 0};

    *task = 0;
    if (a->current_tasks == 0) {
        if (a->current_tasks_tries++ % LOOK_EVERY != 0)
            return GUACO_OK;
        int rc = guaco__global_find(&a->objects, thread->interpreter, MODULE,
                                    "_current_tasks", &a->current_tasks);
        if (rc != GUACO_OK)
            return rc;
    }
    int rc = guaco__dict_each(&a->objects, a->current_tasks, on_loop, &current);
    *task = current.task;
    return rc == STOP ? GUACO_OK : rc;
}

struct waiter {
    const struct guaco__asyncio *asyncio;
    uint64_t awaited; /* which task it waits for */
    uint64_t found;
    unsigned left;
};

static int
on_weakref(void *ctx, uint64_t weakref, uint64_t none)
{
    struct waiter *w = ctx;
    struct guaco__vmem *m = w->asyncio->objects.memory;
    uint64_t task, waits_for;

    (void)none;
    if (w->left-- == 0)
        return STOP;
    int rc = guaco__vmem_word(m, weakref + AT_WEAKREF_OBJECT, &task);
    if (rc == GUACO_OK && task != w->awaited)
        rc = guaco__vmem_word(m, task + w->asyncio->task.waits_for, &waits_for);
    else if (rc == GUACO_OK)
        return GUACO_OK;
    if (rc != GUACO_OK)
        return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
    if (waits_for != w->awaited)
        return GUACO_OK;
    w->found = task;
    return STOP;
}

/* A task that waits for `task`, by looking through all of them. */
static int
awaiter_by_set(struct guaco__asyncio *a, uint64_t interpreter, uint64_t task,
               uint64_t *awaiter)
{
    const struct guaco__objects *o = &a->objects;
    struct waiter waiter = {a, task, 0, GUACO__TASKS_MAX};
    uint64_t data = 0;
    int rc = GUACO_OK;

    *awaiter = 0;
    if (a->all_tasks == 0)
        rc = guaco__global_find(o, interpreter, MODULE,
                                o->layout->version >= GUACO__VERSION(3, 12)
                                    ? "_scheduled_tasks"
                                    : "_all_tasks",
                                &a->all_tasks);
    if (rc == GUACO_OK)
        rc = guaco__attribute_find(o, a->all_tasks, "data", &data);
    if (rc == GUACO_OK)
        rc = guaco__set_each(o, data, on_weakref, &waiter);
    *awaiter = waiter.found;
    return rc == STOP ? GUACO_OK : rc;
}

/* ---- from 3.14: what a task knows itself ---------------------------------------- */

static int
on_awaiter(void *ctx, uint64_t task, uint64_t none)
{
    (void)none;
    *(uint64_t *)ctx = task;
    return STOP;
}

static int
awaiter_published(const struct guaco__asyncio *a, uint64_t task,
                  uint64_t *awaiter)
{
    struct guaco__vmem *m = a->objects.memory;
    uint64_t by = 0;
    char is_set = 0;
    struct guaco__span spans[2] = {
        {task + a->task.awaited_by, &by, sizeof by},
        {task + a->task.awaited_by_is_set, &is_set, sizeof is_set},
    };

    *awaiter = 0;
    int rc = guaco__vmem_read(m, spans, 2, NULL);
    if (rc != GUACO_OK || by == 0)
        return rc;
    if (is_set == 0)
        *awaiter = by;
    else
        rc = guaco__set_each(&a->objects, by, on_awaiter, awaiter);
    if ((rc != GUACO_OK && rc != STOP) || *awaiter == 0)
        return rc;
    /* Any future can await; those that are no task have no name. */
    char is_task = 0;
    rc = guaco__vmem_get(m, *awaiter + a->task.is_task, &is_task, 1);
    *awaiter = is_task != 0 ? *awaiter : 0;
    return rc;
}

/* ---- the chain --------------------------------------------------------------------- */

static int
current_of(struct guaco__asyncio *a, const struct guaco__asyncio_thread *thread,
           uint64_t *task)
{
    if (a->objects.layout->version >= GUACO__VERSION(3, 14))
        return guaco__vmem_word(a->objects.memory,
                                thread->state + a->running_task, task);
    return current_by_module(a, thread, task);
}

static int
awaiter_of(struct guaco__asyncio *a, const struct guaco__asyncio_thread *thread,
           uint64_t task, uint64_t *awaiter)
{
    if (a->objects.layout->version >= GUACO__VERSION(3, 14))
        return awaiter_published(a, task, awaiter);
    return awaiter_by_set(a, thread->interpreter, task, awaiter);
}

/* What only says that the process moved on ends the chain. */
static int
forgive(int rc)
{
    return rc == GUACO_E_AGAIN || rc == GUACO_E_MISSING ? GUACO_OK : rc;
}

int
guaco__asyncio_chain(struct guaco__asyncio *asyncio,
                     const struct guaco__asyncio_thread *thread,
                     struct guaco__arena *arena,
                     struct guaco_slice names[GUACO__TASKS_CHAIN_MAX],
                     size_t *count)
{
    uint64_t task = 0;

    *count = 0;
    if (!asyncio->is_known)
        return GUACO_OK;
    int rc = current_of(asyncio, thread, &task);
    while (rc == GUACO_OK && task != 0 && *count < GUACO__TASKS_CHAIN_MAX) {
        rc = name_read(asyncio, task, arena, &names[*count]);
        if (rc != GUACO_OK)
            break;
        (*count)++;
        rc = awaiter_of(asyncio, thread, task, &task);
    }
    return forgive(rc);
}
