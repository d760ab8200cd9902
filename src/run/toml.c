/*
 * The structure of a TOML document: the contract is in run/toml.h.
 *
 * Which table may be opened again is the difficult part of TOML.  Three marks
 * decide it, as in tomllib: a table or array written as a value is frozen; one
 * opened by a header cannot be opened by a header, or reached by a dotted key,
 * again; one made by a dotted key is like that from the next header on.
 */

#include "run/toml.h"

#include <assert.h>
#include <string.h>

#include "base/utf8.h"
#include "toml_int.h"

struct key {
    struct guaco_slice parts[GUACO__TOML_DEPTH_MAX];
    size_t count;
};

static int read_value(struct toml_reader *r, struct guaco__toml *value);

int
guaco__toml_wrong(struct toml_reader *r, const char *why)
{
    r->why = why;
    return GUACO_E_PROTO;
}

bool
guaco__toml_sees(const struct toml_reader *r, const char *what)
{
    size_t len = strlen(what);

    return (size_t)(r->end - r->at) >= len && memcmp(r->at, what, len) == 0;
}

static void
skip_blanks(struct toml_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
}

static int
skip_comment(struct toml_reader *r)
{
    if (!guaco__toml_sees(r, "#"))
        return GUACO_OK;
    for (; r->at < r->end && *r->at != '\n'; r->at++) {
        unsigned char c = (unsigned char)*r->at;
        if (guaco__toml_sees(r, "\r\n"))
            break;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return guaco__toml_wrong(r, "control character in a comment");
    }
    return GUACO_OK;
}

/* Take a line's end, if there is one. */
static bool
skip_newline(struct toml_reader *r)
{
    if (guaco__toml_sees(r, "\r\n"))
        r->at++;
    if (!guaco__toml_sees(r, "\n"))
        return false;
    r->at++;
    r->line++;
    return true;
}

/* Blanks, comments and line ends, inside of arrays. */
static int
skip_lines(struct toml_reader *r)
{
    do {
        skip_blanks(r);
        int rc = skip_comment(r);
        if (rc != GUACO_OK)
            return rc;
    } while (skip_newline(r));
    return GUACO_OK;
}

/* ---- keys and tables ---- */

static bool
is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int
read_key_part(struct toml_reader *r, struct guaco_slice *part)
{
    if (guaco__toml_sees(r, "\"") || guaco__toml_sees(r, "'"))
        return guaco__toml_read_string(r, false, part);

    const char *from = r->at;
    while (r->at < r->end && is_bare(*r->at))
        r->at++;
    size_t len = (size_t)(r->at - from);
    if (len == 0)
        return guaco__toml_wrong(r, "a key is missing");
    part->at = guaco__arena_dup(r->arena, from, len);
    part->len = len;
    return part->at == NULL ? GUACO_E_NOMEM : GUACO_OK;
}

static int
read_key(struct toml_reader *r, struct key *key)
{
    key->count = 0;
    for (;;) {
        if (key->count == GUACO__TOML_DEPTH_MAX) {
            r->why = "a key has too many parts";
            return GUACO_E_LIMIT;
        }
        skip_blanks(r);
        int rc = read_key_part(r, &key->parts[key->count++]);
        if (rc != GUACO_OK)
            return rc;
        skip_blanks(r);
        if (!guaco__toml_sees(r, "."))
            return GUACO_OK;
        r->at++;
    }
}

static struct guaco__toml *
member(const struct guaco__toml *table, struct guaco_slice name)
{
    for (struct guaco__toml *m = table->first; m != NULL; m = m->next)
        if (guaco_slice_equals(m->name, name))
            return m;
    return NULL;
}

static struct guaco__toml *
add(struct toml_reader *r, struct guaco__toml *into, struct guaco_slice name,
    enum guaco__toml_type type)
{
    struct guaco__toml *item = guaco__arena_calloc(r->arena, 1, sizeof *item);

    assert(into->type == GUACO__TOML_TABLE || into->type == GUACO__TOML_ARRAY);
    if (item == NULL)
        return NULL;
    item->type = type;
    item->name = name;
    if (into->last == NULL)
        into->first = item;
    else
        into->last->next = item;
    into->last = item;
    return item;
}

/* Go from *table to its member, made when it is missing; through an array of
 * tables, to the last of them. */
static int
step_into(struct toml_reader *r, struct guaco__toml **table,
          struct guaco_slice name)
{
    struct guaco__toml *next = member(*table, name);

    assert((*table)->type == GUACO__TOML_TABLE);
    assert(name.at != NULL);
    if (next == NULL) {
        *table = add(r, *table, name, GUACO__TOML_TABLE);
        return *table == NULL ? GUACO_E_NOMEM : GUACO_OK;
    }
    if (next->is_frozen)
        return guaco__toml_wrong(r, "a value cannot be extended");
    if (next->type == GUACO__TOML_ARRAY)
        next = next->last;
    if (next == NULL || next->type != GUACO__TOML_TABLE)
        return guaco__toml_wrong(r, "a value cannot be extended");
    *table = next;
    return GUACO_OK;
}

/* ---- values ---- */

static int
read_array(struct toml_reader *r, struct guaco__toml *array)
{
    assert(*r->at == '[');
    array->type = GUACO__TOML_ARRAY;
    r->at++;
    for (;;) {
        int rc = skip_lines(r);
        if (rc != GUACO_OK)
            return rc;
        if (guaco__toml_sees(r, "]"))
            break;
        struct guaco__toml *item =
            add(r, array, (struct guaco_slice){NULL, 0}, GUACO__TOML_TEXT);
        rc = item == NULL ? GUACO_E_NOMEM : read_value(r, item);
        if (rc == GUACO_OK)
            rc = skip_lines(r);
        if (rc != GUACO_OK)
            return rc;
        if (guaco__toml_sees(r, "]"))
            break;
        if (!guaco__toml_sees(r, ","))
            return guaco__toml_wrong(r, "an array does not end");
        r->at++;
    }
    r->at++;
    return GUACO_OK;
}

/* key = value, into a table that is `top` the one of a section. */
static int
read_pair(struct toml_reader *r, struct guaco__toml *table, bool top)
{
    struct key key;

    int rc = read_key(r, &key);
    if (rc != GUACO_OK)
        return rc;
    if (!guaco__toml_sees(r, "="))
        return guaco__toml_wrong(r, "'=' is missing behind a key");
    r->at++;
    skip_blanks(r);

    for (size_t i = 0; i + 1 < key.count; i++) {
        rc = step_into(r, &table, key.parts[i]);
        if (rc != GUACO_OK)
            return rc;
        bool was_dotted =
            table->dotted_in != 0 && table->dotted_in != r->section;
        if (top && (table->is_explicit || was_dotted))
            return guaco__toml_wrong(r, "a table is defined twice");
        table->dotted_in = r->section;
    }
    if (member(table, key.parts[key.count - 1]) != NULL)
        return guaco__toml_wrong(r, "a key is defined twice");
    struct guaco__toml *value =
        add(r, table, key.parts[key.count - 1], GUACO__TOML_TEXT);
    return value == NULL ? GUACO_E_NOMEM : read_value(r, value);
}

static int
read_inline_table(struct toml_reader *r, struct guaco__toml *table)
{
    assert(*r->at == '{');
    table->type = GUACO__TOML_TABLE;
    r->at++;
    skip_blanks(r);
    if (guaco__toml_sees(r, "}")) {
        r->at++;
        return GUACO_OK;
    }
    for (;;) {
        skip_blanks(r);
        int rc = read_pair(r, table, false);
        if (rc != GUACO_OK)
            return rc;
        skip_blanks(r);
        if (guaco__toml_sees(r, "}"))
            break;
        if (!guaco__toml_sees(r, ","))
            return guaco__toml_wrong(r, "an inline table does not end");
        r->at++;
    }
    r->at++;
    return GUACO_OK;
}

static int
read_container(struct toml_reader *r, struct guaco__toml *value)
{
    if (r->depth == GUACO__TOML_DEPTH_MAX) {
        r->why = "nested too deep";
        return GUACO_E_LIMIT;
    }
    r->depth++;
    int rc = *r->at == '[' ? read_array(r, value) : read_inline_table(r, value);
    r->depth--;
    assert(r->depth >= 0);
    value->is_frozen = true;
    return rc;
}

static int
read_value(struct toml_reader *r, struct guaco__toml *value)
{
    if (guaco__toml_sees(r, "\"") || guaco__toml_sees(r, "'")) {
        value->type = GUACO__TOML_TEXT;
        return guaco__toml_read_string(r, true, &value->text);
    }
    if (guaco__toml_sees(r, "[") || guaco__toml_sees(r, "{"))
        return read_container(r, value);
    return guaco__toml_read_scalar(r, value);
}

/* ---- the document ---- */

/* [key]: give its table in *table. */
static int
open_table(struct toml_reader *r, const struct key *key,
           struct guaco__toml **table)
{
    for (size_t i = 0; i < key->count; i++) {
        const struct guaco__toml *there = member(*table, key->parts[i]);
        if (i + 1 == key->count && there != NULL &&
            there->type == GUACO__TOML_ARRAY)
            return guaco__toml_wrong(r, "an array is opened as a table");
        int rc = step_into(r, table, key->parts[i]);
        if (rc != GUACO_OK)
            return rc;
    }
    if ((*table)->is_explicit || (*table)->dotted_in != 0)
        return guaco__toml_wrong(r, "a table is defined twice");
    (*table)->is_explicit = true;
    return GUACO_OK;
}

/* [[key]]: add a table to the array. */
static int
open_item(struct toml_reader *r, const struct key *key,
          struct guaco__toml **table)
{
    for (size_t i = 0; i + 1 < key->count; i++) {
        int rc = step_into(r, table, key->parts[i]);
        if (rc != GUACO_OK)
            return rc;
    }
    assert(key->count >= 1);
    assert(key->count <= GUACO__TOML_DEPTH_MAX);
    struct guaco_slice name = key->parts[key->count - 1];
    struct guaco__toml *array = member(*table, name);
    if (array == NULL)
        array = add(r, *table, name, GUACO__TOML_ARRAY);
    if (array == NULL)
        return GUACO_E_NOMEM;
    if (array->type != GUACO__TOML_ARRAY || array->is_frozen)
        return guaco__toml_wrong(r, "a value is opened as an array");
    *table = add(r, array, (struct guaco_slice){NULL, 0}, GUACO__TOML_TABLE);
    return *table == NULL ? GUACO_E_NOMEM : GUACO_OK;
}

static int
read_header(struct toml_reader *r, struct guaco__toml *root,
            struct guaco__toml **table)
{
    bool is_item = guaco__toml_sees(r, "[[");
    const char *close = is_item ? "]]" : "]";
    struct key key;

    r->at += is_item ? 2 : 1;
    r->section++;
    int rc = read_key(r, &key);
    if (rc != GUACO_OK)
        return rc;
    if (!guaco__toml_sees(r, close))
        return guaco__toml_wrong(r, "']' is missing");
    r->at += strlen(close);
    *table = root;
    return is_item ? open_item(r, &key, table) : open_table(r, &key, table);
}

static int
read_document(struct toml_reader *r, struct guaco__toml *root)
{
    struct guaco__toml *table = root;

    while (r->at < r->end) {
        int rc = GUACO_OK;

        skip_blanks(r);
        if (guaco__toml_sees(r, "["))
            rc = read_header(r, root, &table);
        else if (r->at < r->end && strchr("#\r\n", *r->at) == NULL)
            rc = read_pair(r, table, true);
        else if (r->at < r->end && *r->at == '\0')
            rc = guaco__toml_wrong(r, "a key is missing");
        if (rc != GUACO_OK)
            return rc;
        skip_blanks(r);
        rc = skip_comment(r);
        if (rc != GUACO_OK)
            return rc;
        if (!skip_newline(r) && r->at < r->end)
            return guaco__toml_wrong(r, "something follows on the line");
    }
    return GUACO_OK;
}

int
guaco__toml_read(struct guaco__arena *arena, const char *text, size_t len,
                 const struct guaco__toml **root, struct guaco_error *err)
{
    struct toml_reader r = {
        .arena = arena, .at = text, .end = text + len, .line = 1, .section = 1};
    struct guaco__toml *top = guaco__arena_calloc(arena, 1, sizeof *top);
    int rc = GUACO_OK;

    if (top == NULL)
        rc = GUACO_E_NOMEM;
    else if (!guaco__utf8_is_valid(text, len))
        rc = guaco__toml_wrong(&r, "not UTF-8");
    if (rc == GUACO_OK) {
        top->type = GUACO__TOML_TABLE;
        rc = read_document(&r, top);
    }
    if (rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT)
        return guaco_fail(err, rc, 0, "line %zu: %s", r.line, r.why);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "TOML: %s", guaco_strerror(rc));
    *root = top;
    return GUACO_OK;
}

const struct guaco__toml *
guaco__toml_get(const struct guaco__toml *table, const char *name)
{
    if (table == NULL || table->type != GUACO__TOML_TABLE)
        return NULL;
    return member(table, (struct guaco_slice){name, strlen(name)});
}
