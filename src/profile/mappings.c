/* /proc/PID/maps: "start-end perms offset dev:dev inode   path" a line. */

#include "mappings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAPS_MAX 100000u

struct cursor {
    const char *at, *end;
};

/* Read a number in `base` (10 or 16) of at least one digit that fits. */
static bool
take_number(struct cursor *c, unsigned base, uint64_t *value)
{
    const char *begin = c->at;

    for (*value = 0; c->at < c->end; c->at++) {
        char ch = *c->at;
        unsigned digit = 16;
        if (ch >= '0' && ch <= '9')
            digit = (unsigned)(ch - '0');
        else if (ch >= 'a' && ch <= 'f')
            digit = (unsigned)(ch - 'a') + 10;
        if (digit >= base)
            break;
        if (*value > (UINT64_MAX - digit) / base)
            return false;
        *value = *value * base + digit;
    }
    return c->at > begin;
}

static bool
take_byte(struct cursor *c, char byte)
{
    if (c->at == c->end || *c->at != byte)
        return false;
    c->at++;
    return true;
}

static bool
take_permissions(struct cursor *c, struct guaco__mapping *map)
{
    if (c->end - c->at < 5 || c->at[4] != ' ')
        return false;
    map->is_writable = c->at[1] == 'w';
    map->is_executable = c->at[2] == 'x';
    c->at += 5;
    return true;
}

static void
take_path(struct cursor *c, struct guaco__mapping *map)
{
    static const char deleted[] = " (deleted)";
    const size_t tail = sizeof deleted - 1;

    while (c->at < c->end && *c->at == ' ')
        c->at++;
    map->path = (struct guaco_slice){c->at, (size_t)(c->end - c->at)};
    map->is_deleted =
        map->path.len > tail && memcmp(c->end - tail, deleted, tail) == 0;
    if (map->is_deleted)
        map->path.len -= tail;
}

static bool
take_line(struct cursor c, struct guaco__mapping *map)
{
    uint64_t device;

    if (!take_number(&c, 16, &map->start) || !take_byte(&c, '-') ||
        !take_number(&c, 16, &map->end) || !take_byte(&c, ' ') ||
        !take_permissions(&c, map) || !take_number(&c, 16, &map->offset) ||
        !take_byte(&c, ' ') || !take_number(&c, 16, &device) ||
        !take_byte(&c, ':') || !take_number(&c, 16, &device) ||
        !take_byte(&c, ' ') || !take_number(&c, 10, &map->inode))
        return false;
    take_path(&c, map);
    return map->start < map->end;
}

static size_t
count_lines(const char *text, size_t len)
{
    size_t lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n' || i == len - 1;
    return lines;
}

static int
parse_lines(struct guaco__mappings *maps, size_t len, struct guaco_error *err)
{
    const char *at = maps->text, *end = maps->text + len;
    uint64_t low = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        struct guaco__mapping *map = &maps->at[maps->count];
        if (!take_line((struct cursor){at, stop}, map) || map->start < low)
            return guaco_fail(err, GUACO_E_PROTO, 0,
                              "line %zu of the process's maps is odd",
                              maps->count + 1);
        low = map->end;
        maps->count++;
        at = stop + 1;
    }
    return GUACO_OK;
}

int
guaco__mappings_parse(struct guaco__mappings *maps, const char *text,
                      size_t len, struct guaco_error *err)
{
    size_t lines = count_lines(text, len);

    *maps = (struct guaco__mappings){0};
    if (lines > MAPS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "the process has %zu maps, most %u", lines, MAPS_MAX);
    maps->text = malloc(len + 1);
    maps->at = calloc(lines + 1, sizeof *maps->at);
    int rc = GUACO_E_NOMEM;
    if (maps->text == NULL || maps->at == NULL) {
        guaco_fail(err, rc, 0, "maps of the process");
    } else {
        memcpy(maps->text, text, len);
        rc = parse_lines(maps, len, err);
    }
    if (rc != GUACO_OK)
        guaco__mappings_release(maps);
    return rc;
}

void
guaco__mappings_release(struct guaco__mappings *maps)
{
    free(maps->at);
    free(maps->text);
    *maps = (struct guaco__mappings){0};
}

const struct guaco__mapping *
guaco__mappings_find(const struct guaco__mappings *maps, uint64_t address)
{
    size_t low = 0, high = maps->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct guaco__mapping *map = &maps->at[middle];
        assert(map->start < map->end);
        if (address < map->start)
            high = middle;
        else if (address >= map->end)
            low = middle + 1;
        else
            return map;
    }
    return NULL;
}
