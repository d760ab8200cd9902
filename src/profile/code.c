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
    codes->epoch = 1;
}

void
guaco__codes_release(struct guaco__codes *codes)
{
    guaco__map_release(&codes->by_address);
    guaco__arena_release(&codes->arena);
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

/* ---- identity ---------------------------------------------------------------- */

/* What tells one code object from the next one at its address.  Pointers alone
 * do not: strings and tables are reused along with it.  A str's hash is set
 * once it is interned, which names are, and follows its length. */
static void
proof_of(const struct guaco__layout *layout, const char *head,
         const uint64_t name[3], uint64_t proof[6])
{
    proof[0] = word_in(head, layout->code.filename);
    proof[1] = word_in(head, layout->code.line_table);
    proof[2] = half_in(head, layout->code.first_line);
    proof[3] = name[0];
    proof[4] = name[1];
    proof[5] = name[2];
}

static void
entry_drop(struct guaco__codes *codes, struct guaco__code *code)
{
    struct guaco__code **hot = &codes->hot[hot_slot(code->address)];

    guaco__map_take(&codes->by_address, key_of(&code->address));
    if (*hot == code)
        *hot = NULL;
}

static void
entry_judge(struct guaco__codes *codes, struct guaco__code *code, size_t i)
{
    uint64_t proof[6];

    proof_of(codes->layout, codes->copies[i], codes->names[i], proof);
    if (memcmp(proof, code->proof, sizeof proof) == 0)
        code->epoch = codes->epoch;
    else
        entry_drop(codes, code);
}

/* Compare entries with what is at their addresses now. */
static void
entries_compare(struct guaco__codes *codes, struct guaco__code *const *at,
                size_t count)
{
    const struct guaco__layout *l = codes->layout;
    struct guaco__span spans[GUACO__CODE_RECENT * 3];

    while (count > 0) {
        size_t done = 0;
        for (size_t i = 0; i < count; i++) {
            spans[3 * i] = (struct guaco__span){at[i]->address,
                                                codes->copies[i], l->code.size};
            spans[3 * i + 1] = (struct guaco__span){
                at[i]->name_at + l->text.length, codes->names[i], 16};
            spans[3 * i + 2] =
                (struct guaco__span){at[i]->tail_at, &codes->names[i][2], 8};
        }
        guaco__vmem_read(codes->memory, spans, count * 3, &done);
        for (size_t i = 0; i < done / 3; i++)
            entry_judge(codes, at[i], i);
        at += done / 3;
        count -= done / 3;
        if (count > 0) { /* this one is not mapped any more */
            entry_drop(codes, at[0]);
            at++;
            count--;
        }
    }
}

bool
guaco__codes_renew(struct guaco__codes *codes)
{
    size_t kept = 0;

    codes->epoch++;
    for (size_t i = 0; i < codes->recent_count; i++)
        if (codes->recent[i]->is_used)
            codes->recent[kept++] = codes->recent[i];
    entries_compare(codes, codes->recent, kept);
    codes->recent_count = 0;
    for (size_t i = 0; i < kept; i++) {
        codes->recent[i]->is_used = false;
        if (codes->recent[i]->epoch == codes->epoch)
            codes->recent[codes->recent_count++] = codes->recent[i];
    }
    return codes->recent_count < kept;
}

/* The entry is used: into the list of those compared at the next epoch. */
static void
entry_use(struct guaco__codes *codes, struct guaco__code *code)
{
    code->is_used = true;
    if (codes->recent_count < GUACO__CODE_RECENT)
        codes->recent[codes->recent_count++] = code;
}

struct guaco__code *
guaco__codes_peek(struct guaco__codes *codes, uint64_t address)
{
    struct guaco__code **hot = &codes->hot[hot_slot(address)];
    struct guaco__code *code = *hot;

    if (code == NULL || code->address != address) {
        code = guaco__map_get(&codes->by_address, key_of(&address));
        if (code == NULL)
            return NULL;
        *hot = code;
    }
    if (code->epoch == codes->epoch) {
        code->is_used = true;
        return code;
    }
    entries_compare(codes, &code, 1);
    if (code->epoch != codes->epoch)
        return NULL;
    entry_use(codes, code);
    return code;
}

/* ---- numbers and names --------------------------------------------------------- */

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

/* The last 8 bytes of the file's name, if that is ASCII, and where they lie;
 * else, as good as nothing, the length of the function's.  They are those of
 * the text that was fetched: read again they might be the next one's. */
static uint64_t
tail_of(const struct guaco__layout *layout, struct guaco__code *code,
        uint64_t file, uint64_t name_length)
{
    size_t ascii = 0;

    while (ascii < code->file.len && (unsigned char)code->file.at[ascii] < 0x80)
        ascii++;
    code->tail_at = code->name_at + layout->text.length;
    if (ascii < code->file.len || ascii < 8)
        return name_length;
    code->tail_at = file + layout->text.ascii_data + ascii - 8;
    return word_in(code->file.at, (uint32_t)ascii - 8);
}

static int
texts_read(struct guaco__codes *codes, const char *head,
           struct guaco__code *code)
{
    const struct guaco__layout *l = codes->layout;
    struct guaco__vmem *m = codes->memory;
    uint64_t name[3] = {0};

    code->name_at = word_in(head, l->code.name);
    int rc = guaco__vmem_get(m, code->name_at + l->text.length, name, 16);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__text_read(m, l, word_in(head, l->code.filename), &codes->arena,
                          &code->file);
    name[2] = tail_of(l, code, word_in(head, l->code.filename), name[0]);
    proof_of(l, head, name, code->proof);
    if (rc == GUACO_OK)
        rc = guaco__text_read(m, l, code->name_at, &codes->arena, &code->name);
    if (rc == GUACO_OK && l->code.qualname != GUACO__NOWHERE)
        rc = guaco__text_read(m, l, word_in(head, l->code.qualname),
                              &codes->arena, &code->qualname);
    if (rc == GUACO_OK)
        rc = guaco__bytes_read(m, l, word_in(head, l->code.line_table),
                               &codes->arena, &code->line_table);
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
    fresh->epoch = codes->epoch;
    entry_use(codes, fresh);
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
