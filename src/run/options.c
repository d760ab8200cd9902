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

static int
unknown_flag(const struct guaco__options *options, const char *word,
             struct guaco_error *err)
{
    const char *name = word + strspn(word, "-");
    const struct guaco__option *near =
        guaco__options_nearest(options->command, name);

    if (near == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.60s is not an option of guaco %s", word,
                          guaco__options_command_name(options->command));
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "%.60s is not an option of guaco %s; the nearest is --%s",
                      word, guaco__options_command_name(options->command),
                      near->name);
}

/* "--name", "--name=value", "--no-name", "-w", "-w4": the row; *text is the
 * value when it stands in the same word. */
static const struct guaco__option *
match_flag(const struct guaco__options *options, const char *word,
           const char **text)
{
    const struct guaco__option *o;

    *text = NULL;
    if (word[1] != '-') {
        o = guaco__options_find_letter(options->command, word[1]);
        if (word[2] != '\0')
            *text = word + 2 + (word[2] == '=');
        return o;
    }
    size_t len = strcspn(word + 2, "=");
    o = guaco__options_find(options->command, word + 2, len);
    if (word[2 + len] == '=')
        *text = word + 3 + len;
    if (o != NULL)
        return o;
    if (strncmp(word, "--no-", 5) != 0 || *text != NULL)
        return NULL;
    o = guaco__options_find(options->command, word + 5, len - 3);
    *text = "false";
    return o != NULL && o->kind == GUACO__OPTION_FLAG ? o : NULL;
}

/* A word that begins with '-'; `next` is the one behind it, or NULL.  Gives
 * the number of words used. */
static int
take_flag(struct guaco__options *options, const char *word, const char *next,
          size_t *used, struct guaco_error *err)
{
    const char *text;
    char source[NAME_BYTES_MAX + 4];
    const struct guaco__option *o = match_flag(options, word, &text);

    *used = 1;
    if (o == NULL)
        return unknown_flag(options, word, err);
    snprintf(source, sizeof source, "--%s", o->name);
    if (text == NULL && o->kind == GUACO__OPTION_FLAG)
        text = "true";
    if (text == NULL && next == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s needs a value: %s",
                          source, o->operand);
    if (text == NULL) {
        text = next;
        *used = 2;
    }
    return guaco__options_take(options, o, text, strlen(text),
                               GUACO__ORIGIN_FLAG, source, err);
}

static int
take_operand(struct guaco__options *options, const char *word,
             struct guaco_error *err)
{
    if (options->operand_count == GUACO__OPERANDS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "too many words");
    char *copy = guaco__arena_dup(&options->arena, word, strlen(word));
    if (copy == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "reading options");
    options->operands[options->operand_count++] = copy;
    return GUACO_OK;
}

static int
take_args(struct guaco__options *options, const char *const *args, size_t count,
          struct guaco_error *err)
{
    bool flags_end = false;

    for (size_t i = 0, used = 1; i < count; i += used) {
        const char *word = args[i];
        int rc = GUACO_OK;

        used = 1;
        if (flags_end || word[0] != '-' || word[1] == '\0')
            rc = take_operand(options, word, err);
        else if (strcmp(word, "--") == 0)
            flags_end = true;
        else if (strcmp(word, "--print-config") == 0)
            options->wants_config = true;
        else
            rc = take_flag(options, word, i + 1 < count ? args[i + 1] : NULL,
                           &used, err);
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
        rc = take_args(options, args, count, err);
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
