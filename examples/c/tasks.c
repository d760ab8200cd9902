/*
 * Tasks in C.  Built as tasks.so they are run by
 *
 *     guaco work ./tasks.so -w 4
 *
 * with no interpreter in the process.  Python enqueues them as it does its own,
 * from a module of that name, tasks.py:
 *
 *     queue = guaco.Queue("sqlite:///tasks.db", name="c")
 *
 *     @queue.task()
 *     def add(a: int, b: int) -> int: ...      # the body is never run
 *
 * "./tasks.so:URL" takes another store than sqlite:///tasks.db.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "guaco/call.h"

static int
add(struct guaco_call *call)
{
    struct guaco_value a, b;

    if (guaco_call_argument(call, 0, &a) != GUACO_OK ||
        guaco_call_argument(call, 1, &b) != GUACO_OK ||
        a.kind != GUACO_VALUE_INT || b.kind != GUACO_VALUE_INT)
        return guaco_call_fail(call, "add(a, b) takes two integers");
    return guaco_call_return(call, guaco_value_int(a.integer + b.integer));
}

/* greet(name=...) */
static int
greet(struct guaco_call *call)
{
    struct guaco_value name;
    char text[256];

    if (guaco_call_keyword(call, "name", &name) != GUACO_OK ||
        name.kind != GUACO_VALUE_TEXT || name.bytes.len > 200)
        return guaco_call_fail(call, "greet(name=...) takes a short text");
    int len = snprintf(text, sizeof text, "hello, %.*s", (int)name.bytes.len,
                       name.bytes.at);
    struct guaco_slice slice = {text, (size_t)len};
    return guaco_call_return(call, guaco_value_text(slice));
}

/* count(n): n steps, whose progress is told; ends when it is canceled. */
static int
count(struct guaco_call *call)
{
    struct guaco_value n;
    int64_t i;

    if (guaco_call_argument(call, 0, &n) != GUACO_OK ||
        n.kind != GUACO_VALUE_INT)
        return guaco_call_fail(call, "count(n) takes an integer");
    for (i = 0; i < n.integer && !guaco_call_is_interrupted(call); i++) {
        const struct timespec step = {0, 1000000};
        nanosleep(&step, NULL);
        (void)guaco_call_progress(call, (double)(i + 1) / (double)n.integer);
    }
    return guaco_call_return(call, guaco_value_int(i));
}

static const struct guaco_task_entry entries[] = {
    {.name = "tasks.add", .run = add},
    {.name = "tasks.greet", .run = greet},
    {.name = "tasks.count", .run = count, .spec = "@hourly"},
    {.name = NULL},
};

GUACO_API guaco_tasks_open_fn guaco_tasks_open;

int
guaco_tasks_open(const struct guaco_tasks **tasks, const char *arg,
                 struct guaco_error *err)
{
    static char url[512] = "sqlite:///tasks.db";
    static const struct guaco_tasks own = {
        .abi = GUACO_TASKS_ABI, .url = url, .queue = "c", .entries = entries};

    (void)err;
    if (*arg != '\0')
        snprintf(url, sizeof url, "%s", arg);
    *tasks = &own;
    return GUACO_OK;
}
