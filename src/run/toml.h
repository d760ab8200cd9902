#ifndef GUACO__RUN_TOML_H
#define GUACO__RUN_TOML_H

/*
 * A reader of TOML 1.0, for pyproject.toml; sans I/O.  It gives a tree in an
 * arena.  What differs from the whole language:
 *
 *   - dates and times are checked and kept as text (GUACO__TOML_DATE);
 *   - an integer must fit into 64 bits;
 *   - arrays and inline tables nest at most GUACO__TOML_DEPTH_MAX deep, and a
 *     key has at most as many parts.
 *
 * Everything else is accepted and refused as Python's tomllib does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "guaco/error.h"
#include "guaco/slice.h"

#define GUACO__TOML_DEPTH_MAX 32

enum guaco__toml_type {
    GUACO__TOML_TEXT,
    GUACO__TOML_INT,
    GUACO__TOML_REAL,
    GUACO__TOML_BOOL,
    GUACO__TOML_DATE, /* text as written */
    GUACO__TOML_ARRAY,
    GUACO__TOML_TABLE,
};

struct guaco__toml {
    enum guaco__toml_type type;
    struct guaco_slice name;   /* of a table's member; NUL-terminated */
    struct guaco__toml *next;  /* in its table or array, or NULL */
    struct guaco__toml *first; /* of a table or array, in order */
    struct guaco__toml *last;  /* private */
    struct guaco_slice text;   /* TEXT and DATE; NUL-terminated */
    int64_t integer;           /* INT; BOOL: 0 or 1 */
    double real;               /* REAL */
    bool is_frozen;            /* private: written as a value, not to be
                                   extended */
    bool is_explicit;          /* private: opened by a header */
    uint32_t dotted_in;        /* private: section that made it by a dotted
                                   key, or 0 */
};

/*
 * Read the whole document text[0..len).  Gives the root table, which lives as
 * long as the arena's contents; nothing points into `text`.
 *
 * Returns 0; GUACO_E_PROTO with the line in the text of *err; GUACO_E_LIMIT:
 * nested too deep; GUACO_E_NOMEM: also when the arena's cap is reached.
 */
int guaco__toml_read(struct guaco__arena *arena, const char *text, size_t len,
                     const struct guaco__toml **root, struct guaco_error *err);

/* The member `name` of a table; NULL when there is none, or `table` is NULL or
 * no table. */
const struct guaco__toml *
guaco__toml_get(const struct guaco__toml *table, const char *name);

#endif
