/* Folded stacks: the form is in folded.h. */

#include "folded.h"

#include <string.h>

#include "place.h"
#include "tally_list.h"

/* ---- writing ------------------------------------------------------------------ */

/* One stack, the root's child first. */
static int
put_stack(const struct guaco__tally_node *leaf, struct guaco__buf *out)
{
    const struct guaco__place *places[GUACO__TALLY_DEPTH_MAX];
    size_t count = guaco__tally_path(leaf, places);
    int rc = GUACO_OK;

    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        if (i > 0)
            rc = guaco__buf_append_byte(out, ';');
        if (rc == GUACO_OK)
            rc = guaco__place_write_folded(places[i], out);
    }
    return rc;
}

int
guaco__folded_write(const struct guaco__tally *tally, struct guaco__buf *out)
{
    const struct guaco__tally_node *node = tally->root.first_child;
    int rc = GUACO_OK;

    while (node != NULL && rc == GUACO_OK) {
        if (node->self > 0)
            rc = put_stack(node, out);
        if (node->self > 0 && rc == GUACO_OK)
            rc = guaco__buf_printf(out, " %llu\n",
                                   (unsigned long long)node->self);
        node = guaco__tally_next(node);
    }
    return rc;
}

/* ---- reading ------------------------------------------------------------------- */

/* Cut " COUNT" off the end of a line; false when it is not there. */
static bool
take_count(struct guaco_slice *line, uint64_t *count)
{
    size_t at = line->len;

    while (at > 0 && line->at[at - 1] >= '0' && line->at[at - 1] <= '9')
        at--;
    if (at == line->len || at < 2 || line->at[at - 1] != ' ')
        return false;
    *count = 0;
    for (size_t i = at; i < line->len; i++) {
        unsigned digit = (unsigned)(line->at[i] - '0');
        if (*count > (UINT64_MAX / 2 - digit) / 10)
            return false;
        *count = *count * 10 + digit;
    }
    line->len = at - 1;
    return true;
}

/* Of this profile, or of the one that it is compared with. */
static int
count_stack(struct guaco__tally *tally,
            const struct guaco__place *const *places, size_t depth,
            uint64_t count, bool is_before)
{
    struct guaco__tally_node *leaf;

    if (!is_before)
        return guaco__tally_add(tally, places, depth, count);
    int rc = guaco__tally_find(tally, places, depth, &leaf);
    if (rc != GUACO_OK)
        return rc;
    leaf->self_before += count;
    tally->samples_before += count;
    return GUACO_OK;
}

static int
add_line(struct guaco__tally *tally, struct guaco_slice line, uint64_t count,
         bool is_before)
{
    const struct guaco__place *places[GUACO__TALLY_DEPTH_MAX];
    struct guaco_slice none = {NULL, 0};
    size_t depth = 0;

    while (line.len > 0) {
        const char *stop = memchr(line.at, ';', line.len);
        size_t len = stop == NULL ? line.len : (size_t)(stop - line.at);
        if (depth == GUACO__TALLY_DEPTH_MAX)
            return GUACO_E_LIMIT;
        struct guaco_slice frame = {line.at, len};
        int rc = guaco__tally_place(tally, none, frame, 0, &places[depth++]);
        if (rc != GUACO_OK)
            return rc;
        if (stop == NULL)
            break;
        line = (struct guaco_slice){stop + 1, line.len - len - 1};
    }
    return count_stack(tally, places, depth, count, is_before);
}

static int
read_lines(struct guaco__tally *tally, struct guaco_slice text, bool is_before,
           struct guaco_error *err)
{
    size_t number = 0;

    while (text.len > 0) {
        const char *stop = memchr(text.at, '\n', text.len);
        size_t len = stop == NULL ? text.len : (size_t)(stop - text.at);
        struct guaco_slice line = {text.at, len};
        uint64_t count;
        number++;
        text.at += stop == NULL ? len : len + 1;
        text.len -= stop == NULL ? len : len + 1;
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0 || line.at[0] == '#')
            continue;
        if (!take_count(&line, &count))
            return guaco_fail(err, GUACO_E_PROTO, 0,
                              "line %zu of the folded stacks has no count",
                              number);
        int rc = add_line(tally, line, count, is_before);
        if (rc != GUACO_OK)
            return guaco_fail(err, rc, 0, "line %zu of the folded stacks",
                              number);
    }
    return GUACO_OK;
}

int
guaco__folded_read(struct guaco__tally *tally, struct guaco_slice text,
                   struct guaco_error *err)
{
    return read_lines(tally, text, false, err);
}

int
guaco__folded_read_before(struct guaco__tally *tally, struct guaco_slice text,
                          struct guaco_error *err)
{
    return read_lines(tally, text, true, err);
}
