#ifndef GUACO__RUN_OPTIONS_ALIAS_H
#define GUACO__RUN_OPTIONS_ALIAS_H

/*
 * Flags of the programs that guaco takes the place of (uvicorn, gunicorn,
 * huey_consumer), under their own names.  One is our option by another name, or
 * it says what holds here anyway and is taken with a note, or it is refused
 * with what to use instead.  As flags only: variables and pyproject.toml know
 * our names alone.
 */

#include "options.h"

enum guaco__alias_kind {
    GUACO__ALIAS_SAME,    /* `own`, with its value */
    GUACO__ALIAS_FIXED,   /* `own` with the value `text`; takes none itself */
    GUACO__ALIAS_NOTED,   /* taken, and told why it means nothing: `text` */
    GUACO__ALIAS_REFUSED, /* `text` says what to use */
};

struct guaco__option_alias {
    const char *name;
    char letter;      /* or 0 */
    uint8_t commands; /* of enum guaco__option_command */
    uint8_t kind;     /* of enum guaco__alias_kind */
    const char *own;  /* a row of the table, of SAME and FIXED */
    const char *text;
    const char *operand; /* of NOTED: what its value is called; NULL: none */
    const char *whose;   /* "uvicorn", "gunicorn", "huey_consumer" */
};

extern const struct guaco__option_alias guaco__alias_table[];
extern const size_t guaco__alias_count;

/* The alias of this name, len bytes, or letter; NULL when the command has
 * none. */
const struct guaco__option_alias *
guaco__alias_find(enum guaco__option_command command, const char *name,
                  size_t len);
const struct guaco__option_alias *
guaco__alias_find_letter(enum guaco__option_command command, char letter);

#endif
