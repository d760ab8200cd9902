/* str and bytes over there: PEP 393 and its later shapes. */

#include "text.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

/* What the fixed part of a compact str says. */
struct shape {
    uint64_t length; /* characters */
    unsigned kind;   /* bytes a character: 1, 2 or 4 */
    bool is_ascii;
};

/*
 * The bit-field `state`: interned (2 bits; a byte in builds without the GIL),
 * kind (3), compact, ascii.
 */
static bool
shape_read(const struct guaco__layout *layout, const char *head,
           struct shape *shape)
{
    uint32_t state;
    unsigned shift = layout->is_free_threaded ? 8 : 2;

    memcpy(&shape->length, head + layout->text.length, 8);
    memcpy(&state, head + layout->text.state, 4);
    shape->kind = (state >> shift) & 7u;
    bool is_compact = (state >> (shift + 3)) & 1u;
    shape->is_ascii = (state >> (shift + 4)) & 1u;
    return is_compact &&
           (shape->kind == 1 || shape->kind == 2 || shape->kind == 4) &&
           shape->length <= GUACO__TEXT_BYTES_MAX / shape->kind;
}

static uint32_t
character_at(const char *data, unsigned kind, uint64_t i)
{
    uint16_t two;
    uint32_t four;

    switch (kind) {
    case 1: return (unsigned char)data[i];
    case 2: memcpy(&two, data + i * 2, 2); return two;
    default: memcpy(&four, data + i * 4, 4); return four;
    }
}

/* Encode in place of `data`, into `out` with room for 4 bytes a character. */
static size_t
encode(const char *data, const struct shape *shape, char *out)
{
    size_t len = 0;

    for (uint64_t i = 0; i < shape->length; i++) {
        uint32_t c = character_at(data, shape->kind, i);
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            c = 0xfffd;
        len += guaco__utf8_encode(c, out + len);
    }
    return len;
}

static int
text_fetch(struct guaco__vmem *memory, uint64_t from, const struct shape *shape,
           struct guaco__arena *arena, struct guaco_slice *text)
{
    size_t raw = (size_t)shape->length * shape->kind;
    char *data = guaco__arena_alloc(arena, raw);
    if (data == NULL)
        return GUACO_E_NOMEM;
    int rc = guaco__vmem_get(memory, from, data, raw);
    if (rc != GUACO_OK)
        return rc;
    if (shape->is_ascii) {
        *text = (struct guaco_slice){data, raw};
        return guaco__utf8_is_valid(data, raw) ? GUACO_OK : GUACO_E_AGAIN;
    }
    char *out = guaco__arena_alloc(arena, (size_t)shape->length * 4);
    if (out == NULL)
        return GUACO_E_NOMEM;
    *text = (struct guaco_slice){out, encode(data, shape, out)};
    return GUACO_OK;
}

int
guaco__text_read(struct guaco__vmem *memory, const struct guaco__layout *layout,
                 uint64_t address, struct guaco__arena *arena,
                 struct guaco_slice *text)
{
    char head[GUACO__TEXT_HEAD_BYTES_MAX];
    struct shape shape;

    assert(layout->text.state + 4 <= sizeof head);
    assert(layout->text.length + 8 <= sizeof head);
    *text = (struct guaco_slice){NULL, 0};
    size_t len = layout->text.length + 8;
    if (len < layout->text.state + 4)
        len = layout->text.state + 4;
    int rc = guaco__vmem_get(memory, address, head, len);
    if (rc != GUACO_OK)
        return rc;
    if (!shape_read(layout, head, &shape))
        return GUACO_E_AGAIN;
    if (shape.length == 0)
        return GUACO_OK;
    uint32_t at =
        shape.is_ascii ? layout->text.ascii_data : layout->text.compact_data;
    return text_fetch(memory, address + at, &shape, arena, text);
}

int
guaco__bytes_read(struct guaco__vmem *memory,
                  const struct guaco__layout *layout, uint64_t address,
                  struct guaco__arena *arena, struct guaco_slice *bytes)
{
    uint64_t len;

    *bytes = (struct guaco_slice){NULL, 0};
    int rc = guaco__vmem_word(memory, address + layout->bytes.length, &len);
    if (rc != GUACO_OK)
        return rc;
    if (len > GUACO__BYTES_BYTES_MAX)
        return GUACO_E_AGAIN;
    if (len == 0)
        return GUACO_OK;
    char *data = guaco__arena_alloc(arena, (size_t)len);
    if (data == NULL)
        return GUACO_E_NOMEM;
    rc = guaco__vmem_get(memory, address + layout->bytes.data, data,
                         (size_t)len);
    if (rc == GUACO_OK)
        *bytes = (struct guaco_slice){data, (size_t)len};
    return rc;
}
