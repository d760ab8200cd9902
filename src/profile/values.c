/*
 * Python values over there: the forms are in values.h.  Offsets are those of
 * builds with the GIL, alike in all versions where nothing is said.
 */

#include "values.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

enum {
    AT_TYPE = 8,
    AT_SIZE = 16, /* of what has a variable size; an int's tag from 3.12 */
    AT_FLOAT = 16,
    AT_DIGITS = 24, /* of an int */
    AT_LIST_ITEMS = 24,
    AT_SET_USED = 24,
    AT_DICT_USED = 16,
    AT_DICT_KEYS = 32,
    AT_DICT_VALUES = 40,
    AT_CELL_VALUE = 16,
    AT_TYPE_NAME = 24,
    AT_TYPE_FLAGS = 168,
    TYPE_BYTES = 176,
};

/* Of tp_flags, in all versions. */
#define IS_INT   (UINT32_C(1) << 24)
#define IS_LIST  (UINT32_C(1) << 25)
#define IS_TUPLE (UINT32_C(1) << 26)
#define IS_BYTES (UINT32_C(1) << 27)
#define IS_STR   (UINT32_C(1) << 28)
#define IS_DICT  (UINT32_C(1) << 29)
#define IS_TYPE  (UINT32_C(1) << 31)

#define NAME_BYTES      64
#define DIGIT_BITS      30
#define DIGITS_MAX      3
#define SIZE_MOST       (UINT64_C(1) << 40) /* larger ones are not believed */
#define DICT_SCAN_MAX   64
#define TEXT_ARENA_CAP  ((size_t)1 << 20)
#define TEXT_LENGTH_MAX 4096 /* longer ones are told by their length */

struct reader {
    struct guaco__vmem *memory;
    const struct guaco__layout *layout;
    struct guaco__buf *out;
    unsigned reads_left;
    unsigned depth;
};

struct object {
    uint64_t address, type;
    uint32_t flags;
    char class[NAME_BYTES];
};

bool
guaco__values_are_known(const struct guaco__layout *layout)
{
    return !layout->is_free_threaded;
}

uint32_t
guaco__tuple_items(const struct guaco__layout *layout)
{
    return layout->version >= GUACO__VERSION(3, 14) ? 32 : 24;
}

/* ---- reading -------------------------------------------------------------------- */

/* GUACO_E_AGAIN also when this value has been read from often enough. */
static int
fetch(struct reader *r, uint64_t from, void *to, size_t len)
{
    if (r->reads_left == 0)
        return GUACO_E_AGAIN;
    r->reads_left--;
    return guaco__vmem_get(r->memory, from, to, len);
}

static int
fetch_word(struct reader *r, uint64_t from, uint64_t *word)
{
    return fetch(r, from, word, sizeof *word);
}

/* The name of a class: a C string that may end anywhere before a page that is
 * not there. */
static int
fetch_name(struct reader *r, uint64_t from, char name[NAME_BYTES])
{
    size_t page = 4096 - (size_t)(from % 4096);
    size_t len = page < NAME_BYTES - 1 ? page : NAME_BYTES - 1;

    memset(name, 0, NAME_BYTES);
    int rc = fetch(r, from, name, len);
    for (size_t i = 0; rc == GUACO_OK && name[i] != '\0'; i++)
        if (!isprint((unsigned char)name[i]))
            rc = GUACO_E_AGAIN;
    return rc == GUACO_OK && name[0] == '\0' ? GUACO_E_AGAIN : rc;
}

static int
object_read(struct reader *r, uint64_t address, struct object *object)
{
    char type[TYPE_BYTES];
    uint64_t name, flags;

    object->address = address;
    int rc = fetch_word(r, address + AT_TYPE, &object->type);
    if (rc == GUACO_OK)
        rc = fetch(r, object->type, type, sizeof type);
    if (rc != GUACO_OK)
        return rc;
    memcpy(&name, type + AT_TYPE_NAME, 8);
    memcpy(&flags, type + AT_TYPE_FLAGS, 8);
    object->flags = (uint32_t)flags;
    return fetch_name(r, name, object->class);
}

/* ---- single values ---------------------------------------------------------------- */

/* How many digits an int has, and its sign. */
static int
int_shape(struct reader *r, const struct object *object, uint64_t *digits,
          bool *is_negative)
{
    uint64_t word;

    int rc = fetch_word(r, object->address + AT_SIZE, &word);
    if (rc != GUACO_OK)
        return rc;
    if (r->layout->version >= GUACO__VERSION(3, 12)) {
        *digits = word >> 3;
        *is_negative = (word & 3) == 2;
        if ((word & 3) == 1) /* zero */
            *digits = 0;
    } else {
        *is_negative = (int64_t)word < 0;
        *digits = *is_negative ? 0 - word : word;
    }
    return *digits > SIZE_MOST ? GUACO_E_AGAIN : GUACO_OK;
}

/* Divide by ten; gives the remainder. */
static unsigned
divide(uint32_t digit[DIGITS_MAX])
{
    uint64_t rest = 0;

    for (size_t i = DIGITS_MAX; i-- > 0;) {
        rest = rest << DIGIT_BITS | (digit[i] & ((1u << DIGIT_BITS) - 1));
        digit[i] = (uint32_t)(rest / 10);
        rest %= 10;
    }
    return (unsigned)rest;
}

static int
put_int(struct reader *r, const struct object *object)
{
    uint32_t digit[DIGITS_MAX] = {0};
    uint64_t digits;
    bool is_negative;

    int rc = int_shape(r, object, &digits, &is_negative);
    if (rc != GUACO_OK)
        return rc;
    if (digits > DIGITS_MAX)
        return guaco__buf_printf(r->out, "<int of %llu bits>",
                                 (unsigned long long)digits * DIGIT_BITS);
    if (digits > 0)
        rc = fetch(r, object->address + AT_DIGITS, digit,
                   (size_t)digits * sizeof digit[0]);
    if (rc != GUACO_OK)
        return rc;
    if (strcmp(object->class, "bool") == 0)
        return guaco__buf_append_text(r->out, digit[0] != 0 ? "True" : "False");
    char text[40];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + divide(digit));
    while ((digit[0] | digit[1] | digit[2]) != 0);
    if (is_negative)
        text[--at] = '-';
    return guaco__buf_append(r->out, text + at, sizeof text - at);
}

static int
put_float(struct reader *r, const struct object *object)
{
    double value;
    char text[32];

    int rc = fetch(r, object->address + AT_FLOAT, &value, sizeof value);
    if (rc != GUACO_OK)
        return rc;
    int len = snprintf(text, sizeof text, "%.12g", value);
    rc = guaco__buf_append(r->out, text, (size_t)len);
    if (rc == GUACO_OK && strspn(text, "-0123456789") == (size_t)len)
        rc = guaco__buf_append_text(r->out, ".0");
    return rc;
}

/* In quotes, cut; a text that is UTF-8 stays so. */
static int
put_quoted(struct reader *r, struct guaco_slice text, bool is_text)
{
    size_t len = text.len < GUACO__VALUE_TEXT ? text.len : GUACO__VALUE_TEXT;

    while (is_text && len < text.len &&
           ((unsigned char)text.at[len] & 0xc0) == 0x80)
        len--;
    int rc = guaco__buf_append_text(r->out, is_text ? "'" : "b'");
    for (size_t i = 0; i < len && rc == GUACO_OK; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '\'' || c == '\\')
            rc = guaco__buf_printf(r->out, "\\%c", c);
        else if (c == '\n')
            rc = guaco__buf_append_text(r->out, "\\n");
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !is_text))
            rc = guaco__buf_printf(r->out, "\\x%02x", c);
        else
            rc = guaco__buf_append_byte(r->out, (char)c);
    }
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(r->out, len < text.len ? "...'" : "'");
    return rc;
}

static int
put_text(struct reader *r, const struct object *object)
{
    bool is_str = (object->flags & IS_STR) != 0;
    struct guaco__arena arena;
    struct guaco_slice text;
    uint64_t length;

    int rc = fetch_word(r, object->address + AT_SIZE, &length);
    if (rc != GUACO_OK)
        return rc;
    if (length > SIZE_MOST || r->reads_left < 3)
        return GUACO_E_AGAIN;
    if (length > TEXT_LENGTH_MAX)
        return guaco__buf_printf(r->out, "<%s of length %llu>", object->class,
                                 (unsigned long long)length);
    r->reads_left -= 2;
    guaco__arena_init(&arena, 512, TEXT_ARENA_CAP);
    rc = (is_str ? guaco__text_read : guaco__bytes_read)(
        r->memory, r->layout, object->address, &arena, &text);
    if (rc == GUACO_OK)
        rc = put_quoted(r, text, is_str);
    guaco__arena_release(&arena);
    return rc;
}

/* ---- containers ------------------------------------------------------------------- */

static int put_value(struct reader *r, uint64_t address);

/* "[a, b, ... 3 more]": `at` is where the pointers lie. */
static int
put_items(struct reader *r, uint64_t at, uint64_t count, const char *brackets)
{
    uint64_t items[GUACO__VALUE_ITEMS];
    size_t shown =
        count < GUACO__VALUE_ITEMS ? (size_t)count : GUACO__VALUE_ITEMS;
    int rc = GUACO_OK;

    if (count > SIZE_MOST)
        return GUACO_E_AGAIN;
    if (r->depth == GUACO__VALUE_DEPTH)
        shown = 0;
    if (shown > 0)
        rc = fetch(r, at, items, shown * sizeof items[0]);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_byte(r->out, brackets[0]);
    for (size_t i = 0; i < shown && rc == GUACO_OK; i++) {
        if (i > 0)
            rc = guaco__buf_append_text(r->out, ", ");
        if (rc == GUACO_OK)
            rc = put_value(r, items[i]);
    }
    if (rc == GUACO_OK && shown < count)
        rc = guaco__buf_printf(r->out, "%s... %llu more", shown > 0 ? ", " : "",
                               (unsigned long long)(count - shown));
    if (rc == GUACO_OK && count == 1 && brackets[0] == '(')
        rc = guaco__buf_append_byte(r->out, ',');
    return rc == GUACO_OK ? guaco__buf_append_byte(r->out, brackets[1]) : rc;
}

static int
put_sequence(struct reader *r, const struct object *object)
{
    uint64_t count, at = object->address + guaco__tuple_items(r->layout);

    int rc = fetch_word(r, object->address + AT_SIZE, &count);
    if (rc == GUACO_OK && (object->flags & IS_LIST) != 0)
        rc = fetch_word(r, object->address + AT_LIST_ITEMS, &at);
    if (rc != GUACO_OK)
        return rc;
    return put_items(r, at, count,
                     (object->flags & IS_LIST) != 0 ? "[]" : "()");
}

/* Where the entries of a dict lie, and what they look like. */
struct entries {
    uint64_t at, count;
    size_t bytes; /* of one */
    size_t key;   /* of the key in it; the value is behind it */
};

/* PyDictKeysObject: to 3.10 it says its size, later the logarithms. */
static int
entries_find(struct reader *r, uint64_t keys, struct entries *entries)
{
    uint64_t words[5];
    uint8_t logs[3];

    int rc = fetch(r, keys, words, sizeof words);
    if (rc != GUACO_OK)
        return rc;
    entries->bytes = 24;
    entries->key = 8; /* behind the hash */
    if (r->layout->version < GUACO__VERSION(3, 11)) {
        uint64_t size = words[1];
        if (size > SIZE_MOST)
            return GUACO_E_AGAIN;
        entries->count = words[4];
        entries->at = keys + 40 +
                      size * (size <= 0xff         ? 1
                              : size <= 0xffff     ? 2
                              : size <= 0xffffffff ? 4
                                                   : 8);
        return GUACO_OK;
    }
    memcpy(logs, &words[1], sizeof logs);
    if (logs[1] > 40)
        return GUACO_E_AGAIN;
    entries->count = words[3];
    entries->at = keys + 32 + (UINT64_C(1) << logs[1]);
    if (logs[2] != 0) { /* all keys are str: without hashes */
        entries->bytes = 16;
        entries->key = 0;
    }
    return GUACO_OK;
}

/* One entry that is in use; `shown` are before it. */
static int
put_entry(struct reader *r, const uint64_t pair[2], size_t shown)
{
    int rc = GUACO_OK;

    if (shown > 0)
        rc = guaco__buf_append_text(r->out, ", ");
    if (rc == GUACO_OK)
        rc = put_value(r, pair[0]);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(r->out, ": ");
    return rc == GUACO_OK ? put_value(r, pair[1]) : rc;
}

static int
put_entries(struct reader *r, const struct entries *entries, uint64_t used)
{
    uint64_t words[3];
    size_t shown = 0;
    int rc = guaco__buf_append_byte(r->out, '{');

    for (uint64_t i = 0;
         rc == GUACO_OK && i < entries->count && i < DICT_SCAN_MAX &&
         shown < GUACO__VALUE_ITEMS && shown < used;
         i++) {
        rc = fetch(r, entries->at + i * entries->bytes, words, entries->bytes);
        const uint64_t *pair = words + entries->key / 8;
        if (rc == GUACO_OK && pair[0] != 0 && pair[1] != 0)
            rc = put_entry(r, pair, shown++);
    }
    if (rc == GUACO_OK && shown < used)
        rc = guaco__buf_printf(r->out, "%s... %llu more", shown > 0 ? ", " : "",
                               (unsigned long long)(used - shown));
    return rc == GUACO_OK ? guaco__buf_append_byte(r->out, '}') : rc;
}

static int
put_dict(struct reader *r, const struct object *object)
{
    struct entries entries;
    uint64_t used, keys, values;

    int rc = fetch_word(r, object->address + AT_DICT_USED, &used);
    if (rc == GUACO_OK)
        rc = fetch_word(r, object->address + AT_DICT_KEYS, &keys);
    if (rc == GUACO_OK)
        rc = fetch_word(r, object->address + AT_DICT_VALUES, &values);
    if (rc != GUACO_OK)
        return rc;
    if (used > SIZE_MOST)
        return GUACO_E_AGAIN;
    /* A split one, an instance's __dict__, keeps its values elsewhere. */
    if (values != 0 || r->depth == GUACO__VALUE_DEPTH)
        return guaco__buf_printf(r->out, "<dict of %llu>",
                                 (unsigned long long)used);
    rc = entries_find(r, keys, &entries);
    return rc == GUACO_OK ? put_entries(r, &entries, used) : rc;
}

static int
put_set(struct reader *r, const struct object *object)
{
    uint64_t used;

    int rc = fetch_word(r, object->address + AT_SET_USED, &used);
    if (rc != GUACO_OK)
        return rc;
    if (used > SIZE_MOST)
        return GUACO_E_AGAIN;
    return guaco__buf_printf(r->out, "<%s of %llu>", object->class,
                             (unsigned long long)used);
}

/* ---- any value -------------------------------------------------------------------- */

static int
put_class(struct reader *r, const struct object *object)
{
    char name[NAME_BYTES];
    uint64_t at;

    int rc = fetch_word(r, object->address + AT_TYPE_NAME, &at);
    if (rc == GUACO_OK)
        rc = fetch_name(r, at, name);
    return rc == GUACO_OK ? guaco__buf_printf(r->out, "<class %s>", name) : rc;
}

static int
put_cell(struct reader *r, const struct object *object)
{
    uint64_t value;

    int rc = fetch_word(r, object->address + AT_CELL_VALUE, &value);
    if (rc != GUACO_OK)
        return rc;
    return value == 0 ? guaco__buf_append_text(r->out, "<unset>")
                      : put_value(r, value);
}

/* Subclasses of the built-in types show as those do. */
static int
put_object(struct reader *r, const struct object *object)
{
    const char *class = object->class;

    if (strcmp(class, "NoneType") == 0)
        return guaco__buf_append_text(r->out, "None");
    if ((object->flags & IS_INT) != 0)
        return put_int(r, object);
    if ((object->flags & (IS_STR | IS_BYTES)) != 0)
        return put_text(r, object);
    if ((object->flags & (IS_LIST | IS_TUPLE)) != 0)
        return put_sequence(r, object);
    if ((object->flags & IS_DICT) != 0)
        return put_dict(r, object);
    if ((object->flags & IS_TYPE) != 0)
        return put_class(r, object);
    if (strcmp(class, "float") == 0)
        return put_float(r, object);
    if (strcmp(class, "set") == 0 || strcmp(class, "frozenset") == 0)
        return put_set(r, object);
    if (strcmp(class, "cell") == 0)
        return put_cell(r, object);
    return guaco__buf_printf(r->out, "<%s at 0x%llx>", class,
                             (unsigned long long)object->address);
}

/* What cannot be read takes back what was written of it. */
static int
put_value(struct reader *r, uint64_t address)
{
    size_t before = r->out->len;
    struct object object;

    r->depth++;
    int rc = r->depth > GUACO__VALUE_DEPTH + 1
                 ? GUACO_E_AGAIN
                 : object_read(r, address, &object);
    if (rc == GUACO_OK)
        rc = put_object(r, &object);
    r->depth--;
    if (rc != GUACO_E_AGAIN)
        return rc;
    guaco__buf_cut(r->out, before);
    return guaco__buf_append_text(r->out, "<?>");
}

int
guaco__value_write(struct guaco__vmem *memory,
                   const struct guaco__layout *layout, uint64_t address,
                   struct guaco__buf *out)
{
    struct reader r = {
        .memory = memory,
        .layout = layout,
        .out = out,
        .reads_left = GUACO__VALUE_READS,
    };

    assert(guaco__values_are_known(layout));
    return put_value(&r, address);
}
