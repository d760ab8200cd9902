#ifndef GUACO__RUN_OPTIONS_PAGES_H
#define GUACO__RUN_OPTIONS_PAGES_H

/*
 * Pages made of the option table: the manual and the options page of the docs
 * (options_pages.c), and what a shell completes (options_completion.c).  So a
 * row that is added is documented.
 */

#include "base/buf.h"
#include "options.h"

/* A command as the pages name it. */
struct guaco__page_command {
    const char *name;
    const char *operands;
    const char *summary;
    unsigned options; /* of enum guaco__option_command, or 0: none of the
                         table's */
};

/* What is written to.  After a failure nothing more is appended, so that only
 * the end need be judged. */
struct guaco__page {
    const struct guaco__page_command *commands;
    size_t count;
    struct guaco__buf *out;
    int rc; /* 0, GUACO_E_NOMEM or GUACO_E_LIMIT */
};

typedef void guaco__page_fn(struct guaco__page *page);

/* roff, of the man macros; docs/options.md; scripts of the shells. */
guaco__page_fn guaco__page_man;
guaco__page_fn guaco__page_markdown;
guaco__page_fn guaco__page_bash;
guaco__page_fn guaco__page_zsh;
guaco__page_fn guaco__page_fish;

/* ---- for the two files ---- */

void guaco__page_put(struct guaco__page *page, const char *fmt, ...)
    GUACO_PRINTF(2, 3);

/* `text` with `escape` before each character of `marked`. */
void guaco__page_put_escaped(struct guaco__page *page, const char *text,
                             const char *marked, const char *escape);

/* "a|b" as "a b". */
void guaco__page_put_words(struct guaco__page *page, const char *words);

/* Call put for each option of a command. */
void
guaco__page_put_options(struct guaco__page *page,
                        const struct guaco__page_command *command,
                        void (*put)(struct guaco__page *page,
                                    const struct guaco__page_command *command,
                                    const struct guaco__option *option));

#endif
