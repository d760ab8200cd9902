/*
 * Fuzz the TOML reader: no input breaks it, and what it gives is a tree that
 * keeps its promises: bounded, NUL-terminated, names only in tables.
 */

#include "fuzz.h"

#include "run/toml.h"

/* Keys and values nest separately, and headers on top. */
#define DEPTH_MAX (3 * GUACO__TOML_DEPTH_MAX * GUACO__TOML_DEPTH_MAX)

static void
check(const struct guaco__toml *value, int depth)
{
    bool is_table = value->type == GUACO__TOML_TABLE;
    bool is_text =
        value->type == GUACO__TOML_TEXT || value->type == GUACO__TOML_DATE;

    MUST(depth < DEPTH_MAX);
    MUST(!is_text || value->text.at[value->text.len] == '\0');
    MUST(is_table || value->type == GUACO__TOML_ARRAY || value->first == NULL);
    for (const struct guaco__toml *i = value->first; i != NULL; i = i->next) {
        MUST(is_table == (i->name.at != NULL));
        MUST(!is_table || i->name.at[i->name.len] == '\0');
        MUST((i->next == NULL) == (i == value->last));
        check(i, depth + 1);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__arena arena;
    const struct guaco__toml *root = NULL;
    struct guaco_error err = {0};

    guaco__arena_init(&arena, 4096, 1u << 22);
    int rc = guaco__toml_read(&arena, (const char *)data, size, &root, &err);
    if (rc == GUACO_OK)
        check(root, 0);
    else
        MUST(err.text[0] != '\0');
    guaco__arena_release(&arena);
    return 0;
}
