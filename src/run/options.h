#ifndef GUACO__RUN_OPTIONS_H
#define GUACO__RUN_OPTIONS_H

/*
 * The options of all commands, from one table (options_table.c).  Each row
 * gives a flag (--timeout-send), an environment variable (GUACO_TIMEOUT_SEND),
 * a key of [tool.guaco] in pyproject.toml ("timeout-send", or with '_'), a line
 * of --help and of --print-config, and a member of the message that a worker
 * receives.  Precedence, highest first:
 *
 *     flag > GUACO_* > other variable (WEB_CONCURRENCY) >
 *     [tool.guaco.COMMAND] > [tool.guaco] > default
 *
 * A flag or key that is not in the table is an error that names the nearest
 * one that is; a GUACO_* variable only when it is all but an option's name.
 *
 * Threads: none; a struct guaco__options has one owner, and is not changed
 * once it is resolved.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "guaco/error.h"

struct guaco__toml;

enum guaco__option_command {
    GUACO__SERVE = 1,
    GUACO__WORK = 2,
    GUACO__UP = 4,
    GUACO__QUEUE = 8,
};

enum guaco__option_kind {
    GUACO__OPTION_FLAG,    /* --x, --no-x; elsewhere true or false */
    GUACO__OPTION_COUNT,   /* a whole number, or one of `words` */
    GUACO__OPTION_BYTES,   /* the same with k, m or g behind it (powers of
                              1024) */
    GUACO__OPTION_SECONDS, /* a decimal number, or with ms, s, m or h behind
                              it; kept in milliseconds */
    GUACO__OPTION_TEXT,
    GUACO__OPTION_CHOICE, /* one of `words` */
    GUACO__OPTION_LIST,   /* of texts; the flag may be repeated, a variable
                             separates by commas */
};

struct guaco__option {
    const char *name; /* without the dashes */
    char letter;      /* of a short flag, or 0 */
    uint8_t commands; /* of enum guaco__option_command */
    enum guaco__option_kind kind;
    const char *operand;   /* what --help calls the value */
    const char *words;     /* "auto|asgi|wsgi"; a COUNT's word counts as -1 */
    const char *otherwise; /* the default, as text; NULL: not set */
    int64_t min;           /* of COUNT, BYTES and SECONDS (ms) */
    int64_t max;
    bool is_secret;       /* --print-config does not show it */
    const char *variable; /* another variable that gives it, or NULL */
    const char *help;     /* one sentence, without a full stop */
};

#define GUACO__OPTIONS_MAX     160 /* rows */
#define GUACO__OPTION_LIST_MAX 64  /* items of one list */

extern const struct guaco__option guaco__option_table[];
extern const size_t guaco__option_count;

enum guaco__option_origin {
    GUACO__ORIGIN_UNSET, /* no value and no default */
    GUACO__ORIGIN_DEFAULT,
    GUACO__ORIGIN_FILE,
    GUACO__ORIGIN_VARIABLE,
    GUACO__ORIGIN_FLAG,
};

struct guaco__option_value {
    enum guaco__option_origin origin;
    const char *source;       /* for a person: "--workers", "GUACO_WORKERS" */
    int64_t number;           /* FLAG: 0 or 1; SECONDS: milliseconds */
    const char *text;         /* as it was given; of a list: the last item */
    const char *const *items; /* LIST */
    size_t count;
};

#define GUACO__OPERANDS_MAX     8
#define GUACO__OPTION_NOTES_MAX 16

struct guaco__options {
    enum guaco__option_command command;
    struct guaco__option_value values[GUACO__OPTIONS_MAX];
    const char *operands[GUACO__OPERANDS_MAX]; /* what is no option, in order */
    size_t operand_count;
    bool wants_config; /* --print-config */
    bool wants_check;  /* --check-config */
    /* For a person: flags of other programs that mean nothing here, and why. */
    const char *notes[GUACO__OPTION_NOTES_MAX];
    size_t note_count;
    struct guaco__arena arena; /* private: holds every text */
};

/*
 * Resolve the options of `command`: args[0..count) are the words behind its
 * name, `envp` ends with NULL, `file` is the root of a pyproject.toml or NULL
 * (borrowed until the call returns, as all of them).
 *
 * Returns 0; GUACO_E_INVALID with a text that names the option and where it
 * came from; GUACO_E_LIMIT (too many items); GUACO_E_NOMEM.  After a failure
 * there is nothing to release.
 */
int
guaco__options_resolve(struct guaco__options *options,
                       enum guaco__option_command command,
                       const char *const *args, size_t count,
                       const char *const *envp, const struct guaco__toml *file,
                       struct guaco_error *err);

void guaco__options_release(struct guaco__options *options);

/* The value of a row that exists: a misspelt name here is a bug. */
const struct guaco__option_value *
guaco__options_get(const struct guaco__options *options, const char *name);

/* Shorthands: the number (milliseconds for SECONDS), and the text or NULL. */
int64_t
guaco__options_number(const struct guaco__options *options, const char *name);
const char *
guaco__options_text(const struct guaco__options *options, const char *name);

/* Write the object that workers receive: every option of the command by its
 * name with '_' for '-'; FLAG boolean, COUNT and BYTES integer or the word,
 * SECONDS a number of seconds, LIST an array, unset null. */
void guaco__options_write(const struct guaco__options *options,
                          struct guaco__json_writer *w);

/* Levenshtein's distance of two names, '_' counting as '-'; one over 40 bytes
 * is far from all. */
size_t guaco__options_distance(const char *a, const char *b);

/* Append the lines of --help that describe the options of `command`, or of
 * --print-config.  Return 0, GUACO_E_NOMEM or GUACO_E_LIMIT. */
int
guaco__options_help(enum guaco__option_command command, struct guaco__buf *out);
int guaco__options_print(const struct guaco__options *options,
                         struct guaco__buf *out);

#endif
