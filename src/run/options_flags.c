/* The command line: our flags, those of others (options_alias.c), and what is
 * no flag. */

#include <stdio.h>
#include <string.h>

#include "options_alias.h"
#include "options_int.h"

/* A word that begins with '-', and what was found for it. */
struct flag {
    const char *word;
    const char *text; /* the value when it stands in the same word, or NULL */
    const struct guaco__option *own;
    const struct guaco__option_alias *alias;
};

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

/* "-w", "-w4", "-w=4" */
static void
match_letter(enum guaco__option_command command, struct flag *flag)
{
    char letter = flag->word[1];

    flag->own = guaco__options_find_letter(command, letter);
    if (flag->own == NULL)
        flag->alias = guaco__alias_find_letter(command, letter);
    if (flag->word[2] != '\0')
        flag->text = flag->word + 2 + (flag->word[2] == '=');
}

/* "--no-name" of a flag. */
static void
match_negation(enum guaco__option_command command, struct flag *flag)
{
    const char *name = flag->word + 5;

    if (strncmp(flag->word, "--no-", 5) != 0 || flag->text != NULL)
        return;
    const struct guaco__option *own =
        guaco__options_find(command, name, strlen(name));
    const struct guaco__option_alias *alias =
        guaco__alias_find(command, name, strlen(name));
    if (own == NULL && alias != NULL && alias->kind == GUACO__ALIAS_SAME)
        own = guaco__options_find(command, alias->own, strlen(alias->own));
    if (own == NULL || own->kind != GUACO__OPTION_FLAG)
        return;
    flag->own = own;
    flag->text = "false";
}

/* "--name", "--name=value" */
static void
match_name(enum guaco__option_command command, struct flag *flag)
{
    const char *name = flag->word + 2;
    size_t len = strcspn(name, "=");

    if (name[len] == '=')
        flag->text = name + len + 1;
    flag->own = guaco__options_find(command, name, len);
    if (flag->own == NULL)
        flag->alias = guaco__alias_find(command, name, len);
    if (flag->own == NULL && flag->alias == NULL)
        match_negation(command, flag);
}

/* The value: in the word, the next word, or true for a FLAG. */
static int
find_value(struct flag *flag, const char *name, const char *operand,
           const char *next, size_t *used, struct guaco_error *err)
{
    if (flag->text != NULL)
        return GUACO_OK;
    if (operand == NULL) {
        flag->text = "true";
        return GUACO_OK;
    }
    if (next == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s needs a value: %s", name,
                          operand);
    flag->text = next;
    *used = 2;
    return GUACO_OK;
}

static int
take_own(struct guaco__options *options, const struct guaco__option *own,
         struct flag *flag, const char *name, const char *next, size_t *used,
         struct guaco_error *err)
{
    bool is_flag = own->kind == GUACO__OPTION_FLAG;
    int rc =
        find_value(flag, name, is_flag ? NULL : own->operand, next, used, err);

    return rc != GUACO_OK ? rc
                          : guaco__options_take(options, own, flag->text,
                                                strlen(flag->text),
                                                GUACO__ORIGIN_FLAG, name, err);
}

static int
add_note(struct guaco__options *options, const char *name, const char *why,
         struct guaco_error *err)
{
    char text[256];

    if (options->note_count == GUACO__OPTION_NOTES_MAX)
        return GUACO_OK; /* enough was said */
    int len =
        snprintf(text, sizeof text, "%s means nothing to guaco: %s", name, why);
    char *copy = guaco__arena_dup(&options->arena, text, (size_t)len);
    if (copy == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "reading options");
    options->notes[options->note_count++] = copy;
    return GUACO_OK;
}

static int
take_alias(struct guaco__options *options, struct flag *flag, const char *next,
           size_t *used, struct guaco_error *err)
{
    const struct guaco__option_alias *alias = flag->alias;
    char name[NAME_BYTES_MAX + 4];
    int rc = GUACO_OK;

    snprintf(name, sizeof name, "--%s", alias->name);
    const struct guaco__option *own =
        alias->own == NULL ? NULL
                           : guaco__options_find(options->command, alias->own,
                                                 strlen(alias->own));
    switch ((enum guaco__alias_kind)alias->kind) {
    case GUACO__ALIAS_SAME:
        return take_own(options, own, flag, name, next, used, err);
    case GUACO__ALIAS_FIXED:
        flag->text = alias->text;
        return take_own(options, own, flag, name, NULL, used, err);
    case GUACO__ALIAS_NOTED:
        rc = find_value(flag, name, alias->operand, next, used, err);
        return rc != GUACO_OK ? rc : add_note(options, name, alias->text, err);
    case GUACO__ALIAS_REFUSED: break;
    }
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "%s, of %s, is not taken; use %s", name, alias->whose,
                      alias->text);
}

/* `next` is the word behind it, or NULL.  Gives the number of words used. */
static int
take_flag(struct guaco__options *options, const char *word, const char *next,
          size_t *used, struct guaco_error *err)
{
    struct flag flag = {.word = word};
    char name[NAME_BYTES_MAX + 4];

    if (word[1] == '-')
        match_name(options->command, &flag);
    else
        match_letter(options->command, &flag);
    if (flag.alias != NULL)
        return take_alias(options, &flag, next, used, err);
    if (flag.own == NULL)
        return unknown_flag(options, word, err);
    snprintf(name, sizeof name, "--%s", flag.own->name);
    return take_own(options, flag.own, &flag, name, next, used, err);
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

int
guaco__options_take_args(struct guaco__options *options,
                         const char *const *args, size_t count,
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
        else if (strcmp(word, "--check-config") == 0)
            options->wants_check = true;
        else
            rc = take_flag(options, word, i + 1 < count ? args[i + 1] : NULL,
                           &used, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}
