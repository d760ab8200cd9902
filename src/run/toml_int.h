#ifndef GUACO__RUN_TOML_INT_H
#define GUACO__RUN_TOML_INT_H

/* What the files of the TOML reader share: toml.c has the structure of a
 * document, toml_value.c the scalars. */

#include "toml.h"

struct toml_reader {
    struct guaco__arena *arena;
    const char *at;
    const char *end;
    size_t line;      /* from 1 */
    uint32_t section; /* headers seen, from 1 */
    int depth;
    const char *why; /* of a GUACO_E_PROTO or GUACO_E_LIMIT */
};

/* Set the reason and give GUACO_E_PROTO. */
int guaco__toml_wrong(struct toml_reader *r, const char *why);

/* Whether the text goes on with `what`. */
bool guaco__toml_sees(const struct toml_reader *r, const char *what);

/* The reader stands on a quote: read the string, which may be one over several
 * lines if `lines`. */
int guaco__toml_read_string(struct toml_reader *r, bool lines,
                            struct guaco_slice *text);

/* The reader stands on anything but a quote or a bracket: a boolean, number or
 * date. */
int guaco__toml_read_scalar(struct toml_reader *r, struct guaco__toml *value);

#endif
