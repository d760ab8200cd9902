#ifndef GUACO__RUN_OPTIONS_INT_H
#define GUACO__RUN_OPTIONS_INT_H

/* What the readers of the sources share: options.c (defaults, variables,
 * flags) and options_file.c. */

#include "options.h"

#define NAME_BYTES_MAX 40u /* of an option's name */

/* "serve", "work", ... */
const char *guaco__options_command_name(enum guaco__option_command command);

/* '_' counts as '-' in names. */
static inline char
guaco__options_fold(char c)
{
    return c == '_' ? '-' : c;
}

/* Whether `name`, len bytes, is the name `own`; '_' counts as '-'. */
bool guaco__options_is_named(const char *own, const char *name, size_t len);

/* A row by its name, len bytes, or by the letter of its short flag; NULL when
 * the command (or none of several) has it. */
const struct guaco__option *
guaco__options_find(enum guaco__option_command command, const char *name,
                    size_t len);
const struct guaco__option *
guaco__options_find_letter(enum guaco__option_command command, char letter);

/* The row nearest to a misspelt name, or NULL when none is near. */
const struct guaco__option *
guaco__options_nearest(enum guaco__option_command command, const char *name);

/*
 * Take one value as text, from a source that comes no lower than those before.
 * An item of a list is added to what the same source gave; another source
 * begins a new list.  Returns as guaco__options_resolve().
 */
int guaco__options_take(struct guaco__options *options,
                        const struct guaco__option *option, const char *text,
                        size_t len, enum guaco__option_origin origin,
                        const char *source, struct guaco_error *err);

/* The words of the command line (options_flags.c). */
int guaco__options_take_args(struct guaco__options *options,
                             const char *const *args, size_t count,
                             struct guaco_error *err);

/* The keys of [tool.guaco]. */
int guaco__options_take_file(struct guaco__options *options,
                             const struct guaco__toml *file,
                             struct guaco_error *err);

#endif
