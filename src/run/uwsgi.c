/* Reading a uwsgi.ini: the contract is in run/uwsgi.h. */

#include "run/uwsgi.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define VALUE_BYTES_MAX 65536u
#define ARENA_BYTES_MAX (8u << 20)

static struct guaco_slice
trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    return (struct guaco_slice){from, (size_t)(to - from)};
}

static bool
is_word(struct guaco_slice slice, const char *word)
{
    return slice.len == strlen(word) && memcmp(slice.at, word, slice.len) == 0;
}

const struct guaco_slice *
guaco__uwsgi_find(const struct guaco__uwsgi_file *file, const char *key)
{
    for (size_t i = file->count; i > 0; i--)
        if (is_word(file->entries[i - 1].key, key))
            return &file->entries[i - 1].value;
    return NULL;
}

/* ---- what stands for something else ---- */

/* %d and its like; an empty slice for what is not known. */
static struct guaco_slice
magic(const char *path, char letter)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    const char *dot = strrchr(name, '.');
    size_t len = strlen(name);

    switch (letter) {
    case 'd':
        return slash == NULL
                   ? GUACO_SLICE("./")
                   : (struct guaco_slice){path, (size_t)(name - path)};
    case 'n':
        return (struct guaco_slice){
            name, dot == NULL || dot == name ? len : (size_t)(dot - name)};
    case 's': return (struct guaco_slice){name, len};
    case 'p': return (struct guaco_slice){path, strlen(path)};
    case '%': return GUACO_SLICE("%");
    default: return (struct guaco_slice){NULL, 0};
    }
}

/* What stands at text[0..len), which begins with '%': what it means and how
 * long it is; .at NULL: not known. */
static struct guaco_slice
meaning(const struct guaco__uwsgi_file *file, const char *text, size_t len,
        size_t *used)
{
    const char *end = len > 2 && text[1] == '(' ? memchr(text, ')', len) : NULL;
    char key[128];

    if (end == NULL) {
        *used = 2;
        return len < 2 ? (struct guaco_slice){NULL, 0}
                       : magic(file->path, text[1]);
    }
    size_t key_len = (size_t)(end - text) - 2;
    *used = key_len + 3;
    if (key_len >= sizeof key)
        return (struct guaco_slice){NULL, 0};
    memcpy(key, text + 2, key_len);
    key[key_len] = '\0';
    const struct guaco_slice *value = guaco__uwsgi_find(file, key);
    return value == NULL ? (struct guaco_slice){NULL, 0} : *value;
}

static int
expand(const struct guaco__uwsgi_file *file, struct guaco_slice raw,
       struct guaco__uwsgi_entry *entry)
{
    struct guaco__buf value;
    int rc = GUACO_OK;

    guaco__buf_init(&value, VALUE_BYTES_MAX);
    for (size_t i = 0; i < raw.len && rc == GUACO_OK;) {
        size_t used = 1;
        struct guaco_slice piece = {NULL, 0};
        if (raw.at[i] == '%')
            piece = meaning(file, raw.at + i, raw.len - i, &used);
        if (used > raw.len - i)
            used = raw.len - i;
        entry->is_open |=
            (raw.at[i] == '%' && piece.at == NULL) ||
            (raw.at[i] == '$' && i + 1 < raw.len && raw.at[i + 1] == '(');
        rc = piece.at != NULL ? guaco__buf_append(&value, piece.at, piece.len)
                              : guaco__buf_append(&value, raw.at + i, used);
        i += used;
    }
    if (rc == GUACO_OK) {
        entry->value.len = value.len;
        entry->value.at = guaco__arena_dup(
            file->arena, value.len > 0 ? guaco__buf_data(&value) : "",
            value.len);
        rc = entry->value.at == NULL ? GUACO_E_NOMEM : GUACO_OK;
    }
    guaco__buf_release(&value);
    return rc;
}

/* ---- lines ---- */

/* What a TOML file may hold, in its strings and in its comments. */
static bool
is_text(struct guaco_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return guaco__utf8_is_valid(s.at, s.len);
}

/* Returns GUACO_E_PROTO for what is_text() does not allow. */
static int
take_line(struct guaco__uwsgi_file *file, struct guaco_slice line,
          bool *is_ours, bool *was_ours)
{
    if (line.len == 0 || line.at[0] == ';' || line.at[0] == '#')
        return GUACO_OK;
    if (line.at[0] == '[') {
        *is_ours = is_word(line, "[uwsgi]");
        *was_ours = *was_ours || *is_ours;
        return line.at[line.len - 1] == ']' ? GUACO_OK : GUACO_E_INVALID;
    }
    const char *equals = memchr(line.at, '=', line.len);
    if (!*is_ours)
        return GUACO_OK;
    if (equals == NULL || equals == line.at)
        return GUACO_E_INVALID;
    if (file->count == GUACO__UWSGI_KEYS_MAX)
        return GUACO_E_LIMIT;
    struct guaco__uwsgi_entry *entry = &file->entries[file->count];
    *entry = (struct guaco__uwsgi_entry){.key = trimmed(line.at, equals)};
    int rc = expand(file, trimmed(equals + 1, line.at + line.len), entry);
    if (rc == GUACO_OK && !(is_text(entry->key) && is_text(entry->value)))
        rc = GUACO_E_PROTO;
    if (rc == GUACO_OK)
        file->count++;
    return rc;
}

static int
read_file(struct guaco__uwsgi_file *file, struct guaco_slice text,
          struct guaco_error *err)
{
    bool is_ours = false;
    bool was_ours = false;
    const char *at = text.at;
    const char *end = text.len == 0 ? at : at + text.len;

    for (unsigned number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *to = stop == NULL ? end : stop;
        int rc = take_line(file, trimmed(at, to), &is_ours, &was_ours);
        if (rc == GUACO_E_PROTO)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "line %u: not UTF-8, or a control character",
                              number);
        if (rc != GUACO_OK)
            return guaco_fail(err, rc, 0, "line %u: %s", number,
                              rc == GUACO_E_INVALID
                                  ? "neither key = value nor [section]"
                                  : guaco_strerror(rc));
        at = stop == NULL ? end : stop + 1;
    }
    return was_ours ? GUACO_OK
                    : guaco_fail(err, GUACO_E_INVALID, 0,
                                 "there is no section [uwsgi]");
}

int
guaco__uwsgi_import(struct guaco_slice text, const char *path,
                    struct guaco__buf *out, size_t *left,
                    struct guaco_error *err)
{
    struct guaco__arena arena;
    struct guaco__uwsgi_file file = {
        .path = path,
        .arena = &arena,
        .entries = calloc(GUACO__UWSGI_KEYS_MAX, sizeof *file.entries)};

    *left = 0;
    guaco__arena_init(&arena, 4096, ARENA_BYTES_MAX);
    int rc = file.entries == NULL ? guaco_fail(err, GUACO_E_NOMEM, 0, "import")
                                  : read_file(&file, text, err);
    if (rc == GUACO_OK) {
        rc = guaco__uwsgi_write(&file, out, left);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%s", guaco_strerror(rc));
    }
    guaco__arena_release(&arena);
    free(file.entries);
    return rc;
}
