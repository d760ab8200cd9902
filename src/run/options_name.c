/* Finding options by their names, and by what is nearly their name. */

#include <string.h>

#include "options_int.h"

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

bool
guaco__options_is_named(const char *own, const char *name, size_t len)
{
    if (strlen(own) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (own[i] != guaco__options_fold(name[i]))
            return false;
    return true;
}

const struct guaco__option *
guaco__options_find(enum guaco__option_command command, const char *name,
                    size_t len)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) != 0 &&
            guaco__options_is_named(o->name, name, len))
            return o;
    }
    return NULL;
}

const struct guaco__option *
guaco__options_find_letter(enum guaco__option_command command, char letter)
{
    for (size_t i = 0; i < guaco__option_count; i++) {
        const struct guaco__option *o = &guaco__option_table[i];
        if ((o->commands & command) != 0 && o->letter == letter)
            return o;
    }
    return NULL;
}

/* Levenshtein's distance; longer names are far from everything. */
size_t
guaco__options_distance(const char *a, const char *b)
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
            size_t change =
                before + (guaco__options_fold(a[i - 1]) != b[k - 1]);
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
        size_t d = guaco__options_distance(name, o->name);
        if (d < least) {
            least = d;
            nearest = o;
        }
    }
    return nearest;
}
