/*
 * Resolving options: the contract is in run/options.h.  Every source gives
 * text; one function turns text into a value and knows all ranges.
 */

#include "run/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_BYTES 4096u
#define ARENA_BYTES_MAX   (1u << 20)

const char *
guaco__options_command_name(enum guaco__option_command command)
{
    switch (command) {
    case GUACO__SERVE: return "serve";
    case GUACO__WORK: return "work";
    case GUACO__UP: return "up";
    case GUACO__QUEUE: return "queue";
    }
    return "";
}

/* ---- finding ---- */

static char
fold(char c)
{
    return c == '_' ? '-' : c;
}

static bool
is_named(const struct guaco__option *option, const char *name, size_t len)
{
    if (strlen(option->name) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (option->name[i] != fold(name[i]))
            return false;
    return true;
}

const struct guaco__option *
guaco__options_find(enum guaco__option_command command, const char *name,
                    size_t len)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) != 0 && is_named(o, name, len))
            return o;
    }
    return NULL;
}

static const struct guaco__option *
find_letter(enum guaco__option_command command, char letter)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) != 0 && o->letter == letter)
            return o;
    }
    return NULL;
}

#define NAME_BYTES_MAX 40u

/* Levenshtein's distance; longer names are far from everything. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES_MAX + 1];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);

    if (a_len > NAME_BYTES_MAX || b_len > NAME_BYTES_MAX)
        return SIZE_MAX;
    for (size_t k = 0; k <= b_len; k++)
        row[k] = k;
    for (size_t i = 1; i <= a_len; i++) {
        size_t before = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b_len; k++) {
            size_t change = before + (fold(a[i - 1]) != b[k - 1]);
            before = row[k];
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            row[k] = change < least ? change : least;
        }
    }
    return row[b_len];
}

const struct guaco__option *
guaco__options_nearest(enum guaco__option_command command, const char *name)
{
    const struct guaco__option *nearest = NULL;
    size_t least = strlen(name) / 3 + 2; /* further is no misspelling */

    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) == 0)
            continue;
        size_t d = distance(name, o->name);
        if (d < least) {
            least = d;
            nearest = o;
        }
    }
    return nearest;
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

/* ---- text to value ---- */

static bool
is_word_of(const char *words, const char *text)
{
    size_t len = strlen(text);

    for (const char *w = words; w != NULL && len > 0;) {
        const char *end = strchr(w, '|');
        size_t n = end == NULL ? strlen(w) : (size_t)(end - w);
        if (n == len && memcmp(w, text, n) == 0)
            return true;
        w = end == NULL ? NULL : end + 1;
    }
    return false;
}

/* A decimal number with at most three digits behind the point, times 1000;
 * *end is what follows.  False when it is none or too large. */
static bool
read_milli(const char *text, int64_t *milli, const char **end)
{
    int64_t value = 0;
    const char *p = text;

    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return false;
    if (__builtin_mul_overflow(value, 1000, &value))
        return false;
    if (*p == '.') {
        int64_t place = 100;
        for (p++; isdigit((unsigned char)*p) && place > 0; p++, place /= 10)
            value += place * (*p - '0');
    }
    *milli = value;
    *end = p;
    return true;
}

struct unit {
    const char *name;
    int64_t thousandths; /* of the base unit */
};

static const struct unit no_units[] = {{"", 1000}, {NULL, 0}};
static const struct unit byte_units[] = {
    {"", 1000},           {"k", 1024000}, {"m", 1048576000},
    {"g", 1073741824000}, {NULL, 0},
};
static const struct unit time_units[] = {
    /* the base unit is the millisecond */
    {"", 1000000},   {"s", 1000000},    {"ms", 1000},
    {"m", 60000000}, {"h", 3600000000}, {NULL, 0},
};

/* A number with a unit, as a whole number of the base unit. */
static bool
read_number(const char *text, const struct unit *unit, int64_t *number)
{
    const char *rest;
    int64_t milli;

    if (!read_milli(text, &milli, &rest))
        return false;
    for (; unit->name != NULL; unit++) {
        if (strcasecmp(unit->name, rest) != 0)
            continue;
        if (__builtin_mul_overflow(milli, unit->thousandths, &milli) ||
            milli % 1000000 != 0)
            return false;
        *number = milli / 1000000;
        return true;
    }
    return false;
}

static bool
read_flag(const char *text, int64_t *number)
{
    static const char on[] = "true|1|yes|on";
    static const char off[] = "false|0|no|off";

    *number = is_word_of(on, text);
    return *number == 1 || is_word_of(off, text);
}

/* What is wanted, for the message that refuses a value. */
static void
describe(const struct guaco__option *o, char *out, size_t len)
{
    switch (o->kind) {
    case GUACO__OPTION_FLAG: snprintf(out, len, "true or false"); return;
    case GUACO__OPTION_CHOICE: snprintf(out, len, "%s", o->words); return;
    case GUACO__OPTION_SECONDS:
        snprintf(out, len, "0 to %lld seconds", (long long)o->max / 1000);
        return;
    case GUACO__OPTION_COUNT:
    case GUACO__OPTION_BYTES:
        snprintf(
            out, len, "%lld to %lld%s%s%s", (long long)o->min,
            (long long)o->max, o->kind == GUACO__OPTION_BYTES ? " bytes" : "",
            o->words == NULL ? "" : " or ", o->words == NULL ? "" : o->words);
        return;
    case GUACO__OPTION_TEXT:
    case GUACO__OPTION_LIST: snprintf(out, len, "a text"); return;
    }
}

/* The number that `text` means; false when it means none. */
static bool
read_value(const struct guaco__option *o, const char *text, int64_t *number)
{
    const struct unit *units = no_units;

    switch (o->kind) {
    case GUACO__OPTION_TEXT:
    case GUACO__OPTION_LIST: return true;
    case GUACO__OPTION_CHOICE: return is_word_of(o->words, text);
    case GUACO__OPTION_FLAG: return read_flag(text, number);
    case GUACO__OPTION_COUNT:
        if (is_word_of(o->words, text)) {
            *number = -1;
            return true;
        }
        break;
    case GUACO__OPTION_BYTES: units = byte_units; break;
    case GUACO__OPTION_SECONDS: units = time_units; break;
    }
    return read_number(text, units, number) && *number >= o->min &&
           *number <= o->max;
}

/* Add an item to a list; a new source begins a new one. */
static int
add_item(struct guaco__options *options, struct guaco__option_value *value,
         const char *item)
{
    if (value->count == GUACO__OPTION_LIST_MAX)
        return GUACO_E_LIMIT;

    const char **items =
        guaco__arena_alloc(&options->arena, (value->count + 1) * sizeof *items);
    if (items == NULL)
        return GUACO_E_NOMEM;
    for (size_t i = 0; i < value->count; i++)
        items[i] = value->items[i];
    items[value->count] = item;
    value->items = items;
    value->count++;
    return GUACO_OK;
}

int
guaco__options_take(struct guaco__options *options,
                    const struct guaco__option *option, const char *text,
                    size_t len, enum guaco__option_origin origin,
                    const char *source, struct guaco_error *err)
{
    struct guaco__option_value *value =
        &options->values[option - guaco__option_table];
    struct guaco__option_value next = {.origin = origin};

    assert(origin >= value->origin); /* sources come in rising order */
    next.text = guaco__arena_dup(&options->arena, text, len);
    next.source = guaco__arena_dup(&options->arena, source, strlen(source));
    if (next.text == NULL || next.source == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "reading options");
    if (strlen(next.text) != len ||
        !read_value(option, next.text, &next.number)) {
        char wanted[96];
        describe(option, wanted, sizeof wanted);
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s: '%.60s' is not %s",
                          source, next.text, wanted);
    }
    if (option->kind == GUACO__OPTION_LIST) {
        bool same =
            value->origin == origin && strcmp(value->source, source) == 0;
        if (same) {
            next.items = value->items;
            next.count = value->count;
        }
        int rc = add_item(options, &next, next.text);
        if (rc != GUACO_OK)
            return guaco_fail(err, rc, 0, "%s: %s", source,
                              rc == GUACO_E_LIMIT ? "too many values"
                                                  : guaco_strerror(rc));
    }
    *value = next;
    return GUACO_OK;
}

/* ---- the sources ---- */

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
        key[i] = fold((char)tolower((unsigned char)name[i]));
    key[len] = '\0';
    if (guaco__options_find(ALL_COMMANDS, key, len) != NULL)
        return GUACO_OK;

    const struct guaco__option *near =
        guaco__options_nearest(ALL_COMMANDS, key);
    if (near == NULL || distance(key, near->name) > (len < 6 ? 1 : 2))
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
        o = find_letter(options->command, word[1]);
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
