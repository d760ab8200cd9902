/*
 * Fuzz the reader of uwsgi.ini: no input breaks it, and what comes out is TOML
 * that our own reader takes.
 */

#include "fuzz.h"

#include "run/toml.h"
#include "run/uwsgi.h"

static void
check(const struct guaco__buf *out)
{
    struct guaco__arena arena;
    const struct guaco__toml *root;
    struct guaco_error err;

    guaco__arena_init(&arena, 4096, 1u << 24);
    int rc =
        guaco__toml_read(&arena, guaco__buf_data(out), out->len, &root, &err);
    MUST(rc == GUACO_OK || rc == GUACO_E_LIMIT);
    guaco__arena_release(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__buf out;
    struct guaco_error err = {0};
    size_t left;

    guaco__buf_init(&out, 1u << 22);
    int rc = guaco__uwsgi_import((struct guaco_slice){(const char *)data, size},
                                 "folder/file.ini", &out, &left, &err);
    if (rc == GUACO_OK)
        check(&out);
    else
        MUST(err.text[0] != '\0');
    guaco__buf_release(&out);
    return 0;
}
