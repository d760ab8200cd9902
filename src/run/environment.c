/* The children's environment: the contract is in run/environment.h. */

#include "run/environment.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "os/file.h"
#include "run/channel.h"
#include "run/env_file.h"

#define ARENA_BYTES_MAX (8u << 20)
#define VARIABLES_MAX   65536u

/* Said to the supervisor alone. */
static const char *const own[] = {
    "NOTIFY_SOCKET",    "WATCHDOG_USEC",
    "WATCHDOG_PID",     "LISTEN_FDS",
    "LISTEN_PID",       "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",   GUACO__CHANNEL_VARIABLE,
    "GUACO_UPGRADE_FD",
};

struct list {
    struct guaco__arena arena;
    const char **items;
    size_t count;
    size_t room;
    struct guaco_error *err;
};

void
guaco__environment_init(struct guaco__environment *environment)
{
    environment->list = NULL;
    guaco__arena_init(&environment->arena, 4096, ARENA_BYTES_MAX);
}

void
guaco__environment_release(struct guaco__environment *environment)
{
    guaco__arena_release(&environment->arena);
    environment->list = NULL;
}

static size_t
name_len(const char *variable)
{
    return strcspn(variable, "=");
}

static bool
is_same(const char *a, const char *b)
{
    size_t len = name_len(a);

    return name_len(b) == len && memcmp(a, b, len) == 0;
}

const char *
guaco__environment_find(const char *const *envp, const char *name)
{
    size_t len = strlen(name);

    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    return NULL;
}

static int
add(struct list *list, const char *variable)
{
    if (list->count + 1 == VARIABLES_MAX)
        return guaco_fail(list->err, GUACO_E_LIMIT, 0, "too many variables");
    if (list->count + 1 >= list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room;
        const char **items =
            guaco__arena_alloc(&list->arena, room * sizeof *items);
        if (items == NULL)
            return guaco_fail(list->err, GUACO_E_NOMEM, 0, "the environment");
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = variable;
    list->items[list->count] = NULL;
    return GUACO_OK;
}

/* The place of a variable of this name, or NULL. */
static const char **
find(struct list *list, const char *variable)
{
    for (size_t i = 0; i < list->count; i++)
        if (is_same(list->items[i], variable))
            return &list->items[i];
    return NULL;
}

static int
put(struct list *list, const char *variable)
{
    const char **place = find(list, variable);

    if (place == NULL)
        return add(list, variable);
    *place = variable;
    return GUACO_OK;
}

static bool
is_own(const char *variable)
{
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == name_len(variable) &&
            memcmp(own[i], variable, name_len(variable)) == 0)
            return true;
    return false;
}

static int
take_inherited(struct list *list, const char *const *envp)
{
    int rc = GUACO_OK;

    for (; *envp != NULL && rc == GUACO_OK; envp++)
        if (!is_own(*envp))
            rc = add(list, *envp);
    return rc;
}

static int
on_variable(void *ctx, char *variable, size_t len)
{
    struct list *list = ctx;

    (void)len;
    return find(list, variable) == NULL ? add(list, variable) : GUACO_OK;
}

static int
take_file(struct list *list, const char *path, struct guaco_error *err)
{
    struct guaco__buf text;
    struct guaco_error why = {0};

    guaco__buf_init(&text, GUACO__ENV_BYTES_MAX);
    int rc = guaco__file_read(path, &text, err);
    if (rc == GUACO_OK && text.len > 0) {
        list->err = &why;
        rc = guaco__env_read(guaco__buf_data(&text), text.len, &list->arena,
                             on_variable, list, &why);
        list->err = err;
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "--env-file %.80s: %s", path, why.text);
    }
    guaco__buf_release(&text);
    return rc;
}

static int
take_option(struct list *list, const char *variable)
{
    if (strchr(variable, '=') == NULL || *variable == '=')
        return guaco_fail(list->err, GUACO_E_INVALID, 0,
                          "--env: '%.60s' is not NAME=VALUE", variable);
    char *copy = guaco__arena_dup(&list->arena, variable, strlen(variable));
    if (copy == NULL)
        return guaco_fail(list->err, GUACO_E_NOMEM, 0, "the environment");
    return put(list, copy);
}

int
guaco__environment_make(struct guaco__environment *environment,
                        const struct guaco__options *options,
                        const char *const *envp, const char *const *more,
                        struct guaco_error *err)
{
    struct list list = {.err = err};
    const struct guaco__option_value *env = guaco__options_get(options, "env");
    const char *path = guaco__options_text(options, "env-file");

    guaco__arena_init(&list.arena, 4096, ARENA_BYTES_MAX);
    int rc = take_inherited(&list, envp);
    if (rc == GUACO_OK && path != NULL)
        rc = take_file(&list, path, err);
    for (size_t i = 0; i < env->count && rc == GUACO_OK; i++)
        rc = take_option(&list, env->items[i]);
    for (; *more != NULL && rc == GUACO_OK; more++)
        rc = put(&list, *more);
    if (rc != GUACO_OK) {
        guaco__arena_release(&list.arena);
        return rc;
    }
    guaco__environment_release(environment);
    environment->arena = list.arena;
    environment->list = list.items;
    assert(environment->list != NULL);
    return GUACO_OK;
}
