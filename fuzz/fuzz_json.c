/*
 * Fuzz the JSON reader: what it reads is written and read again as the same
 * text, and every prefix of a valid text is incomplete or valid, never wrong.
 */

#include "fuzz.h"

#include <string.h>

#include "base/json.h"

static void
write_value(struct guaco__json_writer *w, const struct guaco__json *value);

static void
write_items(struct guaco__json_writer *w, const struct guaco__json *value)
{
    bool is_object = value->type == GUACO__JSON_OBJECT;

    guaco__json_open(w, is_object ? '{' : '[');
    for (const struct guaco__json *i = value->as.items.first; i != NULL;
         i = i->next) {
        if (is_object) {
            if (memchr(i->name.at, '\0', i->name.len) != NULL)
                w->rc = GUACO_E_INVALID; /* the writer takes C strings */
            guaco__json_name(w, i->name.at);
        }
        write_value(w, i);
    }
    guaco__json_close(w, is_object ? '}' : ']');
}

static void
write_value(struct guaco__json_writer *w, const struct guaco__json *value)
{
    switch (value->type) {
    case GUACO__JSON_NULL: guaco__json_put_null(w); return;
    case GUACO__JSON_BOOL: guaco__json_put_bool(w, value->as.boolean); return;
    case GUACO__JSON_INT: guaco__json_put_int(w, value->as.integer); return;
    case GUACO__JSON_REAL: guaco__json_put_real(w, value->as.real); return;
    case GUACO__JSON_TEXT: guaco__json_put_slice(w, value->as.text); return;
    case GUACO__JSON_ARRAY:
    case GUACO__JSON_OBJECT: write_items(w, value); return;
    }
}

static int
rewrite(struct guaco__buf *out, const char *text, size_t len)
{
    struct guaco__arena arena;
    struct guaco__json_writer w;
    const struct guaco__json *value;

    guaco__arena_init(&arena, 4096, 1u << 22);
    int rc = guaco__json_read(&arena, text, len, &value, NULL);
    if (rc == GUACO_OK) {
        guaco__json_begin(&w, out);
        write_value(&w, value);
        if (w.rc != GUACO_OK)
            rc = w.rc;
        else
            rc = guaco__json_end(&w);
    }
    guaco__arena_release(&arena);
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__buf once;
    struct guaco__buf twice;
    const char *text = (const char *)data;

    if (size > 4096)
        return 0;
    guaco__buf_init(&once, 1u << 20);
    guaco__buf_init(&twice, 1u << 20);
    if (rewrite(&once, text, size) == GUACO_OK) {
        MUST(rewrite(&twice, guaco__buf_data(&once), once.len) == GUACO_OK);
        MUST(guaco_slice_equals(guaco__buf_slice(&once),
                                guaco__buf_slice(&twice)));
        guaco__buf_reset(&twice);
        int rc = rewrite(&twice, text, size / 2);
        MUST(rc != GUACO_E_PROTO);
    }
    guaco__buf_release(&once);
    guaco__buf_release(&twice);
    return 0;
}
