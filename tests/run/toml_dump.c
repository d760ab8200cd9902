/*
 * toml_dump FILE...: print each TOML document as one line of JSON with typed
 * scalars, as the test suites of TOML readers do: {"type": "integer", "value":
 * "1"}; null, and the reason on stderr, for what is not TOML.
 */

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "os/file.h"
#include "run/toml.h"

#define BYTES_MAX (1u << 24)

static void put(struct guaco__json_writer *w, const struct guaco__toml *value);

static void
put_scalar(struct guaco__json_writer *w, const char *type, const char *text,
           size_t len)
{
    guaco__json_open(w, '{');
    guaco__json_name(w, "type");
    guaco__json_put_text(w, type);
    guaco__json_name(w, "value");
    guaco__json_put_slice(w, (struct guaco_slice){text, len});
    guaco__json_close(w, '}');
}

static void
put_items(struct guaco__json_writer *w, const struct guaco__toml *value)
{
    bool is_table = value->type == GUACO__TOML_TABLE;

    guaco__json_open(w, is_table ? '{' : '[');
    for (const struct guaco__toml *i = value->first; i != NULL; i = i->next) {
        if (is_table)
            guaco__json_name(w, i->name.at);
        put(w, i);
    }
    guaco__json_close(w, is_table ? '}' : ']');
}

static void
put(struct guaco__json_writer *w, const struct guaco__toml *value)
{
    char text[64] = "";

    switch (value->type) {
    case GUACO__TOML_TABLE:
    case GUACO__TOML_ARRAY: put_items(w, value); return;
    case GUACO__TOML_TEXT:
        put_scalar(w, "string", value->text.at, value->text.len);
        return;
    case GUACO__TOML_DATE:
        put_scalar(w, "date", value->text.at, value->text.len);
        return;
    case GUACO__TOML_INT:
        snprintf(text, sizeof text, "%lld", (long long)value->integer);
        put_scalar(w, "integer", text, strlen(text));
        return;
    case GUACO__TOML_REAL:
        snprintf(text, sizeof text, "%.17g", value->real);
        put_scalar(w, "float", text, strlen(text));
        return;
    case GUACO__TOML_BOOL:
        put_scalar(w, "bool", value->integer ? "true" : "false",
                   value->integer ? 4 : 5);
        return;
    }
}

/* One line of `out` for one file: the document, or null when it is none. */
static int
dump(const char *path, struct guaco__buf *out)
{
    struct guaco__buf text;
    struct guaco__arena arena;
    struct guaco_error err = {0};
    const struct guaco__toml *root = NULL;
    struct guaco__json_writer w;

    guaco__buf_init(&text, BYTES_MAX);
    guaco__arena_init(&arena, 65536, BYTES_MAX);
    guaco__json_begin(&w, out);
    int rc = guaco__file_read(path, &text, &err);
    if (rc == GUACO_OK)
        rc = guaco__toml_read(&arena, guaco__buf_data(&text), text.len, &root,
                              &err);
    if (rc == GUACO_OK)
        put(&w, root);
    else
        guaco__json_put_null(&w);
    if (rc != GUACO_OK)
        fprintf(stderr, "%s: %s\n", path, err.text);
    guaco__arena_release(&arena);
    guaco__buf_release(&text);
    return guaco__json_end(&w) == GUACO_OK &&
                   guaco__buf_append_byte(out, '\n') == GUACO_OK
               ? 0
               : 1;
}

int
main(int argc, char **argv)
{
    struct guaco__buf out;
    int failed = 0;

    guaco__buf_init(&out, BYTES_MAX);
    for (int i = 1; i < argc && !failed; i++)
        failed = dump(argv[i], &out);
    if (out.len > 0)
        fwrite(guaco__buf_data(&out), 1, out.len, stdout);
    guaco__buf_release(&out);
    return failed;
}
