/* Code objects over there: what is kept of one, and why, is in code.h. */

#include "code.h"

#include <assert.h>
#include <string.h>

#include "text.h"

#define ARENA_BLOCK_BYTES ((size_t)64 << 10)
#define ARENA_BYTES_MAX   ((size_t)256 << 20)
#define CODES_MAX         1000000u
#define OB_SIZE           16u /* PyVarObject.ob_size */

void
guaco__codes_init(struct guaco__codes *codes, struct guaco__vmem *memory,
                  const struct guaco__layout *layout)
{
    memset(codes, 0, sizeof *codes);
    codes->memory = memory;
    codes->layout = layout;
    guaco__arena_init(&codes->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    guaco__map_init(&codes->by_address, CODES_MAX);
}

void
guaco__codes_release(struct guaco__codes *codes)
{
    guaco__map_release(&codes->by_address);
    guaco__arena_release(&codes->arena);
}

void
guaco__codes_forget(struct guaco__codes *codes)
{
    guaco__map_release(&codes->by_address);
    guaco__map_init(&codes->by_address, CODES_MAX);
    memset(codes->hot, 0, sizeof codes->hot);
}

static struct guaco_slice
key_of(const uint64_t *address)
{
    return (struct guaco_slice){(const char *)address, sizeof *address};
}

/* Objects are 16 bytes apart at least. */
static size_t
hot_slot(uint64_t address)
{
    return (size_t)(address >> 4) % GUACO__CODE_HOT;
}

struct guaco__code *
guaco__codes_peek(struct guaco__codes *codes, uint64_t address)
{
    struct guaco__code **hot = &codes->hot[hot_slot(address)];

    if (*hot != NULL && (*hot)->address == address)
        return *hot;
    struct guaco__code *code =
        guaco__map_get(&codes->by_address, key_of(&address));
    if (code != NULL)
        *hot = code;
    return code;
}

/* ---- fetching --------------------------------------------------------------- */

static uint64_t
word_in(const char *head, uint32_t offset)
{
    uint64_t word;

    memcpy(&word, head + offset, sizeof word);
    return word;
}

static uint32_t
half_in(const char *head, uint32_t offset)
{
    uint32_t half;

    memcpy(&half, head + offset, sizeof half);
    return half;
}

/* Words that a frame of this code object takes on the data stack. */
static uint32_t
frame_words(const struct guaco__layout *layout, const char *head)
{
    if (layout->frame.localsplus == GUACO__NOWHERE)
        return 0;
    if (layout->code.frame_words != GUACO__NOWHERE)
        return half_in(head, layout->code.frame_words);
    /* 3.11 adds it up at each call. */
    return half_in(head, layout->code.locals_count) +
           half_in(head, layout->code.stack_size) +
           layout->frame.localsplus / 8;
}

/* Numbers no compiler would make: this is no code object. */
#define FRAME_WORDS_MAX    (1u << 20)
#define BYTECODE_UNITS_MAX (1u << 26)

static bool
numbers_read(const struct guaco__layout *layout, const char *head,
             struct guaco__code *code)
{
    uint32_t words = frame_words(layout, head);
    uint64_t units = word_in(head, OB_SIZE);

    code->first_line = (int32_t)half_in(head, layout->code.first_line);
    if (layout->code.bytecode == GUACO__NOWHERE)
        return true;
    if (words < layout->frame.localsplus / 8 || words > FRAME_WORDS_MAX ||
        units == 0 || units > BYTECODE_UNITS_MAX)
        return false;
    code->frame_bytes = words * 8;
    code->bytecode = code->address + layout->code.bytecode;
    code->bytecode_len = (uint32_t)units * 2;
    return true;
}

static int
texts_read(struct guaco__codes *codes, const char *head,
           struct guaco__code *code)
{
    const struct guaco__layout *l = codes->layout;
    struct guaco__vmem *m = codes->memory;

    int rc = guaco__text_read(m, l, word_in(head, l->code.filename),
                              &codes->arena, &code->file);
    if (rc == GUACO_OK)
        rc = guaco__text_read(m, l, word_in(head, l->code.name), &codes->arena,
                              &code->name);
    if (rc == GUACO_OK && l->code.qualname != GUACO__NOWHERE)
        rc = guaco__text_read(m, l, word_in(head, l->code.qualname),
                              &codes->arena, &code->qualname);
    if (rc == GUACO_OK)
        rc = guaco__bytes_read(m, l, code->line_table_at, &codes->arena,
                               &code->line_table);
    return rc;
}

static int
code_fetch(struct guaco__codes *codes, struct guaco__code *code)
{
    char head[GUACO__CODE_BYTES_MAX];

    assert(codes->layout->code.size <= sizeof head);
    int rc = guaco__vmem_get(codes->memory, code->address, head,
                             codes->layout->code.size);
    if (rc != GUACO_OK)
        return rc;
    if (!numbers_read(codes->layout, head, code))
        return GUACO_E_AGAIN;
    code->line_table_at = word_in(head, codes->layout->code.line_table);
    return texts_read(codes, head, code);
}

int
guaco__codes_get(struct guaco__codes *codes, uint64_t address,
                 struct guaco__code **code)
{
    *code = guaco__codes_peek(codes, address);
    if (*code != NULL)
        return GUACO_OK;
    if (codes->count == CODES_MAX)
        return GUACO_E_LIMIT;

    struct guaco__code *fresh =
        guaco__arena_calloc(&codes->arena, 1, sizeof *fresh);
    if (fresh == NULL)
        return GUACO_E_NOMEM;
    fresh->address = address;
    fresh->id = codes->count;
    int rc = code_fetch(codes, fresh);
    if (rc == GUACO_OK)
        rc = guaco__map_put(&codes->by_address, key_of(&fresh->address), fresh);
    if (rc != GUACO_OK)
        return rc;
    codes->count++;
    codes->hot[hot_slot(address)] = fresh;
    *code = fresh;
    return GUACO_OK;
}

int32_t
guaco__code_line(const struct guaco__code *code,
                 const struct guaco__layout *layout, uint32_t offset)
{
    return guaco__lines_find(layout->line_table, code->line_table,
                             code->first_line, offset);
}
