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
    if (place->file.len > 0 || holds(path, ".py"))
        return GUACO__ORIGIN_PROJECT;
    return GUACO__ORIGIN_NONE;
}
