/* Places as text: the forms are in place.h. */

#include "place.h"

#include <string.h>

int
guaco__place_write(const struct guaco__place *place, struct guaco__buf *out)
{
    int rc = GUACO_OK;

    if (place->file.len > 0) {
        rc = guaco__buf_append(out, place->file.at, place->file.len);
        if (rc == GUACO_OK)
            rc = guaco__buf_append_byte(out, ':');
    }
    if (rc == GUACO_OK)
        rc = guaco__buf_append(out, place->name.at, place->name.len);
    if (rc == GUACO_OK && place->file.len > 0 && place->line > 0)
        rc = guaco__buf_printf(out, ":%d", (int)place->line);
    return rc;
}

int
guaco__place_write_folded(const struct guaco__place *place,
                          struct guaco__buf *out)
{
    size_t before = out->len;

    int rc = guaco__place_write(place, out);
    if (rc != GUACO_OK || out->len == before)
        return rc;
    for (char *c = guaco__buf_data(out) + before; c < guaco__buf_end(out); c++)
        *c = *c == ';' ? ':' : *c == '\n' || *c == '\r' ? ' ' : *c;
    return GUACO_OK;
}

static bool
holds(struct guaco_slice text, const char *word)
{
    return text.len > 0 &&
           memmem(text.at, text.len, word, strlen(word)) != NULL;
}

enum guaco__origin
guaco__place_origin(const struct guaco__place *place)
{
    struct guaco_slice path = place->file.len > 0 ? place->file : place->name;

    if (holds(path, "site-packages/") || holds(path, "dist-packages/"))
        return GUACO__ORIGIN_PACKAGE;
    if (holds(path, "/lib/python3.") || holds(path, "<frozen "))
        return GUACO__ORIGIN_STDLIB;
    if (holds(path, ".py"))
        return GUACO__ORIGIN_PROJECT;
    if (holds(path, ".so") || (path.len > 0 && path.at[0] == '['))
        return GUACO__ORIGIN_NATIVE; /* "[python3.11]": an executable */
    return place->file.len > 0 ? GUACO__ORIGIN_PROJECT : GUACO__ORIGIN_NONE;
}

/* Where the last `c` of text is, or text.len. */
static size_t
find_last(struct guaco_slice text, char c)
{
    const char *at = text.len == 0 ? NULL : memrchr(text.at, c, text.len);

    return at == NULL ? text.len : (size_t)(at - text.at);
}

/* The digits behind a colon at `at`, or 0. */
static int32_t
line_behind(struct guaco_slice text, size_t at)
{
    int32_t line = 0;

    for (size_t i = at + 1; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || line > 99999999)
            return 0;
        line = line * 10 + (text.at[i] - '0');
    }
    return line;
}

struct guaco__place_parts
guaco__place_split(const struct guaco__place *place)
{
    struct guaco__place_parts whole = {place->file, place->name, place->line};
    struct guaco_slice rest = place->name;
    size_t at = find_last(rest, ':');

    if (place->file.len > 0 || at == rest.len)
        return whole;
    int32_t line = line_behind(rest, at);
    if (line > 0) {
        rest.len = at;
        at = find_last(rest, ':');
    }
    if (at == 0 || at + 1 >= rest.len)
        return whole;
    struct guaco_slice file = {rest.at, at};
    if (!holds(file, "/") && !holds(file, ".") && file.at[0] != '<' &&
        file.at[0] != '[')
        return whole;
    return (struct guaco__place_parts){
        file, {rest.at + at + 1, rest.len - at - 1}, line};
}
