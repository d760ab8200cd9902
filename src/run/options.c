/*
 * Resolving options: the contract is in run/options.h.  Every source gives
 * text, in rising order of precedence; options_value.c makes values of it.
 */

#include "run/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "options_int.h"

#define ARENA_BLOCK_BYTES 4096u
#define ARENA_BYTES_MAX   (1u << 20)

static int
take_defaults(struct guaco__options *options, struct guaco_error *err)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & options->command) == 0 || o->otherwise == NULL)
            continue;
        int rc =
            guaco__options_take(options, o, o->otherwise, strlen(o->otherwise),
                                GUACO__ORIGIN_DEFAULT, "default", err);
        assert(rc != GUACO_E_INVALID); /* the table is ours */
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* The value of a variable, or NULL when it is not set or empty. */
static const char *
variable(const char *const *envp, const char *name)
{
    size_t len = strlen(name);

    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=' &&
            (*envp)[len + 1] != '\0')
            return *envp + len + 1;
    return NULL;
}

static int
take_variable(struct guaco__options *options, const struct guaco__option *o,
              const char *text, const char *source, struct guaco_error *err)
{
    if (o->kind != GUACO__OPTION_LIST)
        return guaco__options_take(options, o, text, strlen(text),
                                   GUACO__ORIGIN_VARIABLE, source, err);
    for (;;) {
        size_t len = strcspn(text, ",");
        int rc = guaco__options_take(options, o, text, len,
                                     GUACO__ORIGIN_VARIABLE, source, err);
        if (rc != GUACO_OK || text[len] == '\0')
            return rc;
        text += len + 1;
    }
}

#define ALL_COMMANDS (GUACO__SERVE | GUACO__WORK | GUACO__UP | GUACO__QUEUE)

/*
 * A variable that no command knows may be somebody else's; one that is all but
 * an option's name is a misspelling of it, which would otherwise be ignored
 * without a word.
 */
static int
check_variable(const char *name, size_t len, struct guaco_error *err)
{
    char key[NAME_BYTES_MAX + 1];

    if (len > NAME_BYTES_MAX)
        return GUACO_OK;
    for (size_t i = 0; i < len; i++)
        key[i] = guaco__options_fold((char)tolower((unsigned char)name[i]));
    key[len] = '\0';
    if (guaco__options_find(ALL_COMMANDS, key, len) != NULL)
        return GUACO_OK;

    const struct guaco__option *near =
        guaco__options_nearest(ALL_COMMANDS, key);
    if (near == NULL ||
        guaco__options_distance(key, near->name) > (len < 6 ? 1 : 2))
        return GUACO_OK;
    char wanted[NAME_BYTES_MAX + 1];
    snprintf(wanted, sizeof wanted, "%s", near->name);
    for (char *p = wanted; *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "GUACO_%.*s is not an option; the nearest is GUACO_%s",
                      (int)len, name, wanted);
}

static int
check_variables(const char *const *envp, struct guaco_error *err)
{
    static const char prefix[] = "GUACO_";
    size_t skip = sizeof prefix - 1;

    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, prefix, skip) != 0)
            continue;
        int rc = check_variable(*envp + skip, strcspn(*envp + skip, "="), err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

static int
take_variables(struct guaco__options *options, const char *const *envp,
               struct guaco_error *err)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        char name[NAME_BYTES_MAX + 8];
        int rc = GUACO_OK;

        if ((o->commands & options->command) == 0)
            continue;
        int n = snprintf(name, sizeof name, "GUACO_%s", o->name);
        assert(n > 0 && (size_t)n < sizeof name);
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);

        const char *own = variable(envp, name);
        const char *other =
            o->variable == NULL ? NULL : variable(envp, o->variable);
        if (own != NULL)
            rc = take_variable(options, o, own, name, err);
        else if (other != NULL)
            rc = take_variable(options, o, other, o->variable, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

int
guaco__options_resolve(struct guaco__options *options,
                       enum guaco__option_command command,
                       const char *const *args, size_t count,
                       const char *const *envp, const struct guaco__toml *file,
                       struct guaco_error *err)
{
    assert(command != 0);
    assert((command & (command - 1)) == 0); /* one, not several */
    assert(guaco__option_count <= GUACO__OPTIONS_MAX);
    *options = (struct guaco__options){.command = command};
    guaco__arena_init(&options->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);

    int rc = take_defaults(options, err);
    if (rc == GUACO_OK && file != NULL)
        rc = guaco__options_take_file(options, file, err);
    if (rc == GUACO_OK)
        rc = check_variables(envp, err);
    if (rc == GUACO_OK)
        rc = take_variables(options, envp, err);
    if (rc == GUACO_OK)
        rc = guaco__options_take_args(options, args, count, err);
    if (rc != GUACO_OK)
        guaco__options_release(options);
    return rc;
}

void
guaco__options_release(struct guaco__options *options)
{
    guaco__arena_release(&options->arena);
}

const struct guaco__option_value *
guaco__options_get(const struct guaco__options *options, const char *name)
{
    const struct guaco__option *o =
        guaco__options_find(options->command, name, strlen(name));

    assert(o != NULL);
    return &options->values[o - guaco__option_table];
}

int64_t
guaco__options_number(const struct guaco__options *options, const char *name)
{
    return guaco__options_get(options, name)->number;
}

const char *
guaco__options_text(const struct guaco__options *options, const char *name)
{
    return guaco__options_get(options, name)->text;
}
