/*
 * Fuzz the reader of --env-file: no input breaks it, and each variable that it
 * gives has a name and is one C string.
 */

#include "fuzz.h"

#include "run/env_file.h"

static int
check(void *ctx, char *variable, size_t name_len)
{
    size_t *left = ctx;
    size_t len = strlen(variable);

    MUST(name_len > 0 && variable[name_len] == '=');
    MUST(memchr(variable, '=', name_len) == NULL);
    MUST(len <= *left); /* nothing is made longer than it was written */
    *left -= len;
    return GUACO_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__arena arena;
    struct guaco_error err = {0};
    size_t left = size;

    guaco__arena_init(&arena, 4096, 1u << 22);
    int rc =
        guaco__env_read((const char *)data, size, &arena, check, &left, &err);
    MUST(rc == GUACO_OK || err.text[0] != '\0');
    guaco__arena_release(&arena);
    return 0;
}
