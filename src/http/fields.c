#include <string.h>

#include "fields.h"
#include "scan.h"

#include "field_hash.h"

static const struct guaco_slice field_names[GUACO__FIELD_COUNT] = {
#define X(id, text) [GUACO__FIELD_##id] = {text, sizeof(text) - 1},
    GUACO__FIELD_MAP(X)
#undef X
};

static uint32_t
field_slot(const char *name, size_t len)
{
    uint32_t key = (uint32_t)(uint8_t)name[0] |
                   (uint32_t)(uint8_t)name[len / 2] << 8 |
                   (uint32_t)(uint8_t)name[len - 2] << 16 |
                   (uint32_t)(uint8_t)name[len - 1] << 24;

    key += (uint32_t)len * 0x9E3779B1U;
    return key * FIELD_HASH_FACTOR >> (32 - FIELD_HASH_BITS);
}

static uint64_t
load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Equal bytes, len >= 2.  Names come here just after the scan has stored them
 * in lower case.  Loads of at most 8 bytes lie within one of its stores more
 * often than memcmp's wider ones, and only such a load can be forwarded from a
 * store that has not reached the cache. */
static bool
is_same(const char *a, const char *b, size_t len)
{
    uint64_t differs = 0;

    if (len < 8) {
        for (size_t i = 0; i < len; i++)
            differs |= (uint64_t)(a[i] ^ b[i]);
        return differs == 0;
    }
    for (size_t i = 0; i + 8 < len; i += 8)
        differs |= load64(a + i) ^ load64(b + i);
    return (differs | (load64(a + len - 8) ^ load64(b + len - 8))) == 0;
}

enum guaco__field_id
guaco__field_find(struct guaco_slice name)
{
    if (name.len < 2)
        return GUACO__FIELD_OTHER;

    unsigned id = field_hash[field_slot(name.at, name.len)];
    struct guaco_slice known = field_names[id];
    if (known.len != name.len || !is_same(known.at, name.at, name.len))
        return GUACO__FIELD_OTHER;
    return (enum guaco__field_id)id;
}

struct guaco_slice
guaco__field_name(enum guaco__field_id id)
{
    return field_names[id];
}

bool
guaco__is_token(struct guaco_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!guaco__char_is(text.at[i], GUACO__CHAR_TOKEN))
            return false;
    return text.len > 0;
}

bool
guaco__is_field_value(struct guaco_slice text)
{
    if (text.len == 0)
        return true;

    const char *end = text.at + text.len;
    return guaco__scan_value(text.at, end) == end;
}

bool
guaco__equals_lower(struct guaco_slice text, struct guaco_slice lower)
{
    if (text.len != lower.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (guaco__char_is(c, GUACO__CHAR_UPPER))
            c = (char)(c | 0x20);
        if (c != lower.at[i])
            return false;
    }
    return true;
}

struct guaco_slice
guaco__trim(struct guaco_slice text)
{
    while (text.len > 0 && guaco__char_is(text.at[0], GUACO__CHAR_SPACE)) {
        text.at++;
        text.len--;
    }
    while (text.len > 0 &&
           guaco__char_is(text.at[text.len - 1], GUACO__CHAR_SPACE))
        text.len--;
    return text;
}

bool
guaco__list_next(struct guaco_slice *list, struct guaco_slice *element)
{
    while (list->len > 0) {
        const char *comma = memchr(list->at, ',', list->len);
        size_t len = comma ? (size_t)(comma - list->at) : list->len;

        *element = guaco__trim((struct guaco_slice){list->at, len});
        size_t skip = comma ? len + 1 : len;
        list->at += skip;
        list->len -= skip;
        if (element->len > 0)
            return true;
    }
    return false;
}

bool
guaco__list_has(struct guaco_slice list, struct guaco_slice lower)
{
    struct guaco_slice element;

    while (guaco__list_next(&list, &element))
        if (guaco__equals_lower(element, lower))
            return true;
    return false;
}
