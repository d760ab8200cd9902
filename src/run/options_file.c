/* The keys of [tool.guaco] and [tool.guaco.COMMAND] of pyproject.toml. */

#include <stdio.h>
#include <string.h>

#include "options_int.h"
#include "run/toml.h"

static int
unknown_key(const struct guaco__options *options, const char *table,
            const char *name, struct guaco_error *err)
{
    const struct guaco__option *near =
        guaco__options_nearest(options->command, name);

    if (near == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "pyproject.toml: [%s] has an unknown key %.60s",
                          table, name);
    return guaco_fail(
        err, GUACO_E_INVALID, 0,
        "pyproject.toml: [%s] has an unknown key %.60s; the nearest is %s",
        table, name, near->name);
}

/* A value as the text that a flag would have. */
static struct guaco_slice
as_text(const struct guaco__toml *value, char number[40])
{
    int n = -1;

    switch (value->type) {
    case GUACO__TOML_TEXT: return value->text;
    case GUACO__TOML_BOOL:
        return value->integer != 0 ? GUACO_SLICE("true") : GUACO_SLICE("false");
    case GUACO__TOML_INT:
        n = snprintf(number, 40, "%lld", (long long)value->integer);
        break;
    case GUACO__TOML_REAL: n = snprintf(number, 40, "%.3f", value->real); break;
    case GUACO__TOML_DATE:
    case GUACO__TOML_ARRAY:
    case GUACO__TOML_TABLE: break;
    }
    return n < 0 || n >= 40 ? (struct guaco_slice){NULL, 0}
                            : (struct guaco_slice){number, (size_t)n};
}

static int
take_value(struct guaco__options *options, const struct guaco__option *o,
           const struct guaco__toml *value, const char *source,
           struct guaco_error *err)
{
    char number[40];
    struct guaco_slice text = as_text(value, number);

    if (text.at == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s: of a wrong type",
                          source);
    return guaco__options_take(options, o, text.at, text.len,
                               GUACO__ORIGIN_FILE, source, err);
}

static int
take_key(struct guaco__options *options, const struct guaco__toml *key,
         const char *table, struct guaco_error *err)
{
    char source[128];
    const struct guaco__option *o =
        guaco__options_find(options->command, key->name.at, key->name.len);

    if (o == NULL)
        return unknown_key(options, table, key->name.at, err);
    snprintf(source, sizeof source, "pyproject.toml [%s] %s", table, o->name);
    if (key->type != GUACO__TOML_ARRAY || o->kind != GUACO__OPTION_LIST)
        return take_value(options, o, key, source, err);
    for (const struct guaco__toml *item = key->first; item != NULL;
         item = item->next) {
        int rc = take_value(options, o, item, source, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* A key that belongs to another command is none of ours, and right. */
static bool
is_known_elsewhere(const struct guaco__toml *key)
{
    enum guaco__option_command all =
        GUACO__SERVE | GUACO__WORK | GUACO__UP | GUACO__QUEUE;

    return guaco__options_find(all, key->name.at, key->name.len) != NULL;
}

static bool
is_command_table(const struct guaco__toml *key)
{
    return key->type == GUACO__TOML_TABLE &&
           (strcmp(key->name.at, "serve") == 0 ||
            strcmp(key->name.at, "work") == 0 ||
            strcmp(key->name.at, "up") == 0 ||
            strcmp(key->name.at, "queue") == 0);
}

int
guaco__options_take_file(struct guaco__options *options,
                         const struct guaco__toml *file,
                         struct guaco_error *err)
{
    const char *command = guaco__options_command_name(options->command);
    const struct guaco__toml *common =
        guaco__toml_get(guaco__toml_get(file, "tool"), "guaco");
    const struct guaco__toml *own = guaco__toml_get(common, command);
    char table[32];

    if (common == NULL)
        return GUACO_OK;
    if (common->type != GUACO__TOML_TABLE)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "pyproject.toml: tool.guaco is not a table");
    for (const struct guaco__toml *key = common->first; key != NULL;
         key = key->next) {
        bool is_ours = guaco__options_find(options->command, key->name.at,
                                           key->name.len) != NULL;
        if (is_command_table(key) || (!is_ours && is_known_elsewhere(key)))
            continue;
        int rc = take_key(options, key, "tool.guaco", err);
        if (rc != GUACO_OK)
            return rc;
    }
    snprintf(table, sizeof table, "tool.guaco.%s", command);
    for (const struct guaco__toml *key = own == NULL ? NULL : own->first;
         key != NULL; key = key->next) {
        int rc = take_key(options, key, table, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}
