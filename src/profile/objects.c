/* Dicts and attributes over there, by version: offsets are those of builds
 * with the GIL on 64 bits. */

#include "objects.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "layout_read.h"

enum {
    AT_TYPE = 8,
    AT_SIZE = 16,
    AT_DICT_KEYS = 32,
    AT_DICT_VALUES = 40,
    AT_SET_MASK = 32,
    AT_SET_TABLE = 40,
    AT_MODULE_DICT = 16,
    AT_INT_DIGITS = 24,
    AT_TYPE_BASICSIZE = 32,
    AT_TYPE_DICTOFFSET = 288,
    BEFORE_VALUES = 32, /* 3.11 only: the pointer lies that far before */
    BEFORE_DICT = 24,   /* from 3.11 on */
};

#define KEYS_HEAD_BYTES 40 /* of PyDictKeysObject, the longer of the two */
#define NAME_BYTES_MAX  64
#define DIGIT_BITS      30
#define KIND_GENERAL    0 /* dk_kind: entries begin with the hash */

static bool
is_from(const struct guaco__objects *o, uint32_t minor)
{
    return o->layout->version >= GUACO__VERSION(3, minor);
}

static int
word(const struct guaco__objects *o, uint64_t from, uint64_t *to)
{
    return guaco__vmem_word(o->memory, from, to);
}

/* ---- keys of dicts --------------------------------------------------------- */

/* The entries of a PyDictKeysObject. */
struct keys {
    uint64_t at;        /* of the first entry */
    uint32_t count;     /* entries ever used, some of them deleted */
    uint32_t bytes, to; /* of an entry, and to its key in it */
};

static int
keys_read(const struct guaco__objects *o, uint64_t address, struct keys *keys)
{
    char head[KEYS_HEAD_BYTES];
    uint64_t indices, count, header;

    int rc = guaco__vmem_get(o->memory, address, head, sizeof head);
    if (rc != GUACO_OK)
        return rc;
    *keys = (struct keys){.bytes = 24, .to = 8};
    if (is_from(o, 11)) {
        uint8_t log_bytes = (uint8_t)head[9];
        if (log_bytes > 32)
            return GUACO_E_AGAIN;
        indices = (uint64_t)1 << log_bytes;
        if ((uint8_t)head[10] != KIND_GENERAL)
            *keys = (struct keys){.bytes = 16, .to = 0};
        count = word_at(head, 24);
        header = 32;
    } else {
        uint64_t size = word_at(head, 8);
        if (size > (uint64_t)GUACO__OBJECTS_ENTRIES_MAX * 4)
            return GUACO_E_AGAIN;
        indices = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : 4);
        count = word_at(head, 32);
        header = 40;
    }
    if (count > GUACO__OBJECTS_ENTRIES_MAX)
        return GUACO_E_AGAIN;
    keys->count = (uint32_t)count;
    keys->at = address + header + indices;
    return GUACO_OK;
}

/* Where the values of a split dict lie; 0: they are in the entries. */
static uint64_t
values_at(const struct guaco__objects *o, uint64_t values)
{
    return values == 0 ? 0 : values + (is_from(o, 13) ? 8u : 0u);
}

static int
entries_each(const struct guaco__objects *o, const struct keys *keys,
             uint64_t values, guaco__entry_fn *fn, void *ctx)
{
    size_t bytes = (size_t)keys->count * keys->bytes;
    char *entries = malloc(bytes + (size_t)keys->count * 8 + 1);
    struct guaco__span spans[2];

    if (entries == NULL)
        return GUACO_E_NOMEM;
    spans[0] = (struct guaco__span){keys->at, entries, bytes};
    spans[1] =
        (struct guaco__span){values, entries + bytes, (size_t)keys->count * 8};
    int rc = keys->count == 0 ? GUACO_OK
                              : guaco__vmem_read(o->memory, spans,
                                                 values == 0 ? 1 : 2, NULL);
    for (uint32_t i = 0; rc == GUACO_OK && i < keys->count; i++) {
        const char *entry = entries + (size_t)i * keys->bytes + keys->to;
        uint64_t value = values == 0 ? word_at(entry, 8)
                                     : word_at(entries + bytes, (size_t)i * 8);
        if (word_at(entry, 0) != 0 && value != 0)
            rc = fn(ctx, word_at(entry, 0), value);
    }
    free(entries);
    return rc;
}

int
guaco__dict_each(const struct guaco__objects *objects, uint64_t dict,
                 guaco__entry_fn *fn, void *ctx)
{
    char head[AT_DICT_VALUES + 8];
    struct keys keys;

    if (objects->layout->is_free_threaded)
        return GUACO_E_UNSUPPORTED;
    int rc = guaco__vmem_get(objects->memory, dict, head, sizeof head);
    if (rc == GUACO_OK)
        rc = keys_read(objects, word_at(head, AT_DICT_KEYS), &keys);
    if (rc != GUACO_OK)
        return rc;
    return entries_each(objects, &keys,
                        values_at(objects, word_at(head, AT_DICT_VALUES)), fn,
                        ctx);
}

/* ---- looking for a name ----------------------------------------------------------- */

#define FOUND 1 /* ends a walk; no error is positive */

struct search {
    const struct guaco__objects *objects;
    const char *name;
    size_t len;
    uint64_t value;
};

/* Whether the str at `address` is ASCII and is `name`. */
static bool
is_name(const struct search *s, uint64_t address)
{
    const struct guaco__layout *l = s->objects->layout;
    char text[NAME_BYTES_MAX];
    uint64_t length;
    struct guaco__span spans[2] = {
        {address + l->text.length, &length, sizeof length},
        {address + l->text.ascii_data, text, s->len},
    };

    return guaco__vmem_read(s->objects->memory, spans, 2, NULL) == GUACO_OK &&
           length == s->len && memcmp(text, s->name, s->len) == 0;
}

static int
on_entry(void *ctx, uint64_t key, uint64_t value)
{
    struct search *s = ctx;

    if (!is_name(s, key))
        return GUACO_OK;
    s->value = value;
    return FOUND;
}

static int
answer(const struct search *s, int rc, uint64_t *value)
{
    *value = rc == FOUND ? s->value : 0;
    return rc == FOUND ? GUACO_OK : rc == GUACO_OK ? GUACO_E_MISSING : rc;
}

static struct search
search_for(const struct guaco__objects *objects, const char *name)
{
    assert(strlen(name) <= NAME_BYTES_MAX);
    return (struct search){objects, name, strlen(name), 0};
}

int
guaco__dict_find(const struct guaco__objects *objects, uint64_t dict,
                 const char *name, uint64_t *value)
{
    struct search s = search_for(objects, name);

    return answer(&s, guaco__dict_each(objects, dict, on_entry, &s), value);
}

int
guaco__global_find(const struct guaco__objects *objects, uint64_t interpreter,
                   const char *module, const char *name, uint64_t *value)
{
    uint64_t at = 0;

    *value = 0;
    int rc =
        word(objects, interpreter + objects->layout->interpreter.modules, &at);
    if (rc == GUACO_OK)
        rc = guaco__dict_find(objects, at, module, &at);
    if (rc == GUACO_OK)
        rc = word(objects, at + AT_MODULE_DICT, &at);
    return rc == GUACO_OK ? guaco__dict_find(objects, at, name, value) : rc;
}

/* ---- attributes ------------------------------------------------------------------- */

/* ht_cached_keys of a class: the names of its instances' attributes. */
static uint32_t
cached_keys_of(const struct guaco__objects *o)
{
    switch (o->layout->version) {
    case GUACO__VERSION(3, 11): return 872;
    case GUACO__VERSION(3, 15): return 888;
    default: return 880;
    }
}

/* To 3.10 an object knows its dict by an offset of its class. */
static int
dict_by_offset(const struct guaco__objects *o, uint64_t object, uint64_t type,
               uint64_t *dict)
{
    uint64_t offset;

    int rc = word(o, type + AT_TYPE_DICTOFFSET, &offset);
    if (rc != GUACO_OK)
        return rc;
    if (offset == 0 || offset > (1u << 20))
        return GUACO_E_MISSING;
    return word(o, object + offset, dict);
}

/* From 3.11 on the dict, or the values without one, lie before the object or,
 * from 3.13, behind it.  One of *dict and *values is not 0. */
static int
dict_or_values(const struct guaco__objects *o, uint64_t object, uint64_t type,
               uint64_t *dict, uint64_t *values)
{
    uint64_t before = 0, size = 0;

    *values = 0;
    int rc = word(o, object - BEFORE_DICT, dict);
    if (rc != GUACO_OK)
        return rc;
    if (!is_from(o, 12)) {
        rc = word(o, object - BEFORE_VALUES, &before);
        *values = before;
        *dict = before != 0 ? 0 : *dict;
    } else if (!is_from(o, 13)) {
        if ((*dict & 1) != 0) {
            *values = *dict + 1;
            *dict = 0;
        }
    } else if (*dict == 0) {
        rc = word(o, type + AT_TYPE_BASICSIZE, &size);
        if (rc == GUACO_OK && size > (1u << 20))
            return GUACO_E_AGAIN;
        *values = values_at(o, object + size);
    }
    return rc;
}

int
guaco__attribute_find(const struct guaco__objects *objects, uint64_t object,
                      const char *name, uint64_t *value)
{
    struct search s = search_for(objects, name);
    uint64_t type, dict = 0, values = 0, at;
    struct keys keys;

    *value = 0;
    if (objects->layout->is_free_threaded)
        return GUACO_E_UNSUPPORTED;
    int rc = word(objects, object + AT_TYPE, &type);
    if (rc != GUACO_OK)
        return rc;
    rc = is_from(objects, 11)
             ? dict_or_values(objects, object, type, &dict, &values)
             : dict_by_offset(objects, object, type, &dict);
    if (rc != GUACO_OK)
        return rc;
    if (dict != 0)
        return guaco__dict_find(objects, dict, name, value);
    if (values == 0)
        return GUACO_E_MISSING;
    rc = word(objects, type + cached_keys_of(objects), &at);
    if (rc == GUACO_OK)
        rc = keys_read(objects, at, &keys);
    if (rc == GUACO_OK)
        rc = entries_each(objects, &keys, values, on_entry, &s);
    return answer(&s, rc, value);
}

/* ---- sets and numbers ---------------------------------------------------------- */

int
guaco__set_each(const struct guaco__objects *objects, uint64_t set,
                guaco__entry_fn *fn, void *ctx)
{
    char head[AT_SET_TABLE + 8];

    if (objects->layout->is_free_threaded)
        return GUACO_E_UNSUPPORTED;
    int rc = guaco__vmem_get(objects->memory, set, head, sizeof head);
    if (rc != GUACO_OK)
        return rc;
    uint64_t mask = word_at(head, AT_SET_MASK);
    if (mask >= GUACO__OBJECTS_ENTRIES_MAX)
        return GUACO_E_AGAIN;
    size_t bytes = ((size_t)mask + 1) * 16; /* key and hash */
    char *table = malloc(bytes);
    if (table == NULL)
        return GUACO_E_NOMEM;
    rc = guaco__vmem_get(objects->memory, word_at(head, AT_SET_TABLE), table,
                         bytes);
    for (size_t at = 0; rc == GUACO_OK && at < bytes; at += 16)
        if (word_at(table, at) != 0 && word_at(table, at + 8) != UINT64_MAX)
            rc = fn(ctx, word_at(table, at), 0);
    free(table);
    return rc;
}

int
guaco__int_read(const struct guaco__objects *objects, uint64_t address,
                uint64_t *value)
{
    char head[AT_INT_DIGITS + 12];

    if (objects->layout->is_free_threaded)
        return GUACO_E_UNSUPPORTED;
    int rc = guaco__vmem_get(objects->memory, address, head, sizeof head);
    if (rc != GUACO_OK)
        return rc;
    uint64_t tag = word_at(head, AT_SIZE);
    uint64_t digits = is_from(objects, 12) ? tag >> 3 : tag;
    if (is_from(objects, 12) && (tag & 3) != 0) /* zero or negative */
        digits = (tag & 3) == 1 ? 0 : UINT64_MAX;
    if (digits > 3)
        return GUACO_E_AGAIN;
    *value = 0;
    for (uint64_t i = 0; i < digits; i++) {
        uint32_t digit;
        memcpy(&digit, head + AT_INT_DIGITS + i * 4, sizeof digit);
        *value |= (uint64_t)digit << (i * DIGIT_BITS);
    }
    return GUACO_OK;
}
