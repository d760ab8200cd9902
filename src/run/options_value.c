/* Text to value: numbers with units, words, lists, and all ranges. */

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "options_int.h"

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

    assert((option->commands & options->command) != 0);
    assert(origin != GUACO__ORIGIN_UNSET);
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
