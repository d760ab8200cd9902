/*
 * The JSON reader: the contract is in base/json.h.
 *
 * Recursive descent, its depth bounded by GUACO__JSON_DEPTH_MAX.  Text is
 * checked for UTF-8 once, before anything else, so that strings need no check
 * of their own.
 */

#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/real.h"
#include "base/utf8.h"

struct reader {
    struct guaco__arena *arena;
    const char *start;
    const char *at;
    const char *end;
    const char *why; /* of a GUACO_E_PROTO or GUACO_E_LIMIT */
    int depth;
};

static int read_value(struct reader *r, struct guaco__json *value);

static int
wrong(struct reader *r, const char *why)
{
    r->why = why;
    return GUACO_E_PROTO;
}

static void
skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
                              *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

/* Take the word whose first byte was seen. */
static int
read_word(struct reader *r, const char *word)
{
    for (; *word != '\0'; word++, r->at++) {
        if (r->at == r->end)
            return GUACO_E_AGAIN;
        if (*r->at != *word)
            return wrong(r, "unknown word");
    }
    return GUACO_OK;
}

/* ---- numbers ---- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
skip_digits(struct reader *r)
{
    if (r->at == r->end)
        return GUACO_E_AGAIN;
    if (!is_digit(*r->at))
        return wrong(r, "a digit is missing");
    while (r->at < r->end && is_digit(*r->at))
        r->at++;
    return GUACO_OK;
}

/* The grammar of RFC 8259, 6; *whole says that it is an integer's. */
static int
skip_number(struct reader *r, bool *whole)
{
    int rc = GUACO_OK;

    *whole = true;
    if (*r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else
        rc = skip_digits(r);
    if (rc == GUACO_OK && r->at < r->end && *r->at == '.') {
        *whole = false;
        r->at++;
        rc = skip_digits(r);
    }
    if (rc == GUACO_OK && r->at < r->end && (*r->at | 0x20) == 'e') {
        *whole = false;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        rc = skip_digits(r);
    }
    return rc;
}

static int
to_real(struct reader *r, const char *text, size_t len, double *real)
{
    char *copy = guaco__arena_dup(r->arena, text, len);

    if (copy == NULL || guaco__real_read(copy, real) != GUACO_OK)
        return GUACO_E_NOMEM;
    return isfinite(*real) ? GUACO_OK : wrong(r, "number out of range");
}

static int
read_number(struct reader *r, struct guaco__json *value)
{
    const char *from = r->at;
    bool whole;

    int rc = skip_number(r, &whole);
    if (rc != GUACO_OK)
        return rc;

    bool negative = *from == '-';
    int64_t sum = 0;
    for (const char *p = from + negative; whole && p < r->at; p++) {
        int digit = negative ? -(*p - '0') : *p - '0';
        whole = !__builtin_mul_overflow(sum, 10, &sum) &&
                !__builtin_add_overflow(sum, digit, &sum);
    }
    if (whole) {
        value->type = GUACO__JSON_INT;
        value->as.integer = sum;
        return GUACO_OK;
    }
    value->type = GUACO__JSON_REAL;
    return to_real(r, from, (size_t)(r->at - from), &value->as.real);
}

/* ---- strings ---- */

/* Four hexadecimal digits. */
static int
read_hex4(struct reader *r, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end)
            return GUACO_E_AGAIN;
        char c = *r->at;
        char lower = (char)(c | 0x20);
        if (is_digit(c))
            *unit = *unit << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *unit = *unit << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return wrong(r, "bad \\u escape");
    }
    return GUACO_OK;
}

/* What follows "\u": one UTF-16 unit, or two that are a pair. */
static int
read_unicode(struct reader *r, char **to)
{
    uint32_t high;
    uint32_t low;

    int rc = read_hex4(r, &high);
    if (rc != GUACO_OK)
        return rc;
    if (high >= 0xd800 && high <= 0xdbff) {
        rc = read_word(r, "\\u");
        if (rc == GUACO_OK)
            rc = read_hex4(r, &low);
        if (rc != GUACO_OK)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return wrong(r, "lone surrogate");
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    } else if (high >= 0xdc00 && high <= 0xdfff) {
        return wrong(r, "lone surrogate");
    }
    *to += guaco__utf8_encode(high, *to);
    return GUACO_OK;
}

/* What follows a backslash. */
static int
read_escape(struct reader *r, char **to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";

    if (r->at == r->end)
        return GUACO_E_AGAIN;
    char c = *r->at++;
    if (c == 'u')
        return read_unicode(r, to);
    const char *which = c == '\0' ? NULL : strchr(from, c);
    if (which == NULL)
        return wrong(r, "unknown escape");
    *(*to)++ = means[which - from];
    return GUACO_OK;
}

/* The end of the string that begins at r->at, or NULL; escapes not looked
 * into. */
static const char *
string_end(const struct reader *r)
{
    for (const char *p = r->at; p < r->end; p++) {
        if (*p == '"')
            return p;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

static int
read_string(struct reader *r, struct guaco_slice *text)
{
    assert(*r->at == '"');
    r->at++;

    const char *close = string_end(r);
    if (close == NULL)
        return GUACO_E_AGAIN;

    /* No escape is shorter than what it stands for. */
    size_t room = (size_t)(close - r->at) + 1;
    char *out = guaco__arena_alloc(r->arena, room);
    if (out == NULL)
        return GUACO_E_NOMEM;
    char *to = out;
    while (r->at < close) {
        char c = *r->at++;
        if ((unsigned char)c < 0x20)
            return wrong(r, "control character in a string");
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        int rc = read_escape(r, &to);
        if (rc != GUACO_OK)
            return rc == GUACO_E_AGAIN ? wrong(r, "bad escape") : rc;
    }
    if (r->at != close)
        return wrong(r, "bad escape");
    assert((size_t)(to - out) < room);
    *to = '\0';
    *text = (struct guaco_slice){out, (size_t)(to - out)};
    r->at = close + 1;
    return GUACO_OK;
}

/* ---- containers ---- */

static bool
has_name(const struct guaco__json *object, struct guaco_slice name)
{
    for (const struct guaco__json *m = object->as.items.first; m != NULL;
         m = m->next)
        if (guaco_slice_equals(m->name, name))
            return true;
    return false;
}

/* "name": of a member. */
static int
read_name(struct reader *r, const struct guaco__json *object,
          struct guaco_slice *name)
{
    if (r->at == r->end)
        return GUACO_E_AGAIN;
    if (*r->at != '"')
        return wrong(r, "a name is missing");
    if (object->as.items.count == GUACO__JSON_NAMES_MAX) {
        r->why = "too many members";
        return GUACO_E_LIMIT;
    }
    int rc = read_string(r, name);
    if (rc != GUACO_OK)
        return rc;
    if (has_name(object, *name))
        return wrong(r, "a name comes twice");
    skip_space(r);
    if (r->at == r->end)
        return GUACO_E_AGAIN;
    if (*r->at != ':')
        return wrong(r, "a colon is missing");
    r->at++;
    return GUACO_OK;
}

/* The next item of `into`, linked behind *last. */
static int
read_item(struct reader *r, struct guaco__json *into, struct guaco__json **last)
{
    struct guaco_slice name = {NULL, 0};

    if (into->type == GUACO__JSON_OBJECT) {
        int rc = read_name(r, into, &name);
        if (rc != GUACO_OK)
            return rc;
    }
    struct guaco__json *item = guaco__arena_calloc(r->arena, 1, sizeof *item);
    if (item == NULL)
        return GUACO_E_NOMEM;
    int rc = read_value(r, item);
    if (rc != GUACO_OK)
        return rc;
    item->name = name;
    if (*last == NULL)
        into->as.items.first = item;
    else
        (*last)->next = item;
    *last = item;
    into->as.items.count++;
    return GUACO_OK;
}

static int
read_items(struct reader *r, struct guaco__json *into, char close)
{
    struct guaco__json *last = NULL;

    if (++r->depth > GUACO__JSON_DEPTH_MAX) {
        r->why = "nested too deep";
        return GUACO_E_LIMIT;
    }
    r->at++;
    skip_space(r);
    if (r->at < r->end && *r->at == close)
        goto closed;
    for (;;) {
        skip_space(r);
        int rc = read_item(r, into, &last);
        if (rc != GUACO_OK)
            return rc;
        skip_space(r);
        if (r->at == r->end)
            return GUACO_E_AGAIN;
        if (*r->at == close)
            break;
        if (*r->at != ',')
            return wrong(r, "a comma is missing");
        r->at++;
    }
closed:
    r->at++;
    r->depth--;
    assert(r->depth >= 0);
    return GUACO_OK;
}

static int
read_value(struct reader *r, struct guaco__json *value)
{
    skip_space(r);
    if (r->at == r->end)
        return GUACO_E_AGAIN;
    switch (*r->at) {
    case '{':
        value->type = GUACO__JSON_OBJECT;
        return read_items(r, value, '}');
    case '[': value->type = GUACO__JSON_ARRAY; return read_items(r, value, ']');
    case '"':
        value->type = GUACO__JSON_TEXT;
        return read_string(r, &value->as.text);
    case 't':
        value->type = GUACO__JSON_BOOL;
        value->as.boolean = true;
        return read_word(r, "true");
    case 'f': value->type = GUACO__JSON_BOOL; return read_word(r, "false");
    case 'n': return read_word(r, "null");
    default:
        if (*r->at == '-' || is_digit(*r->at))
            return read_number(r, value);
        return wrong(r, "not a value");
    }
}

/* A character cut at the end of the text may be whole in a longer one. */
static int
check_utf8(struct reader *r)
{
    struct guaco__utf8 state = {0};

    if (!guaco__utf8_feed(&state, r->start, (size_t)(r->end - r->start)))
        return wrong(r, "not UTF-8");
    return GUACO_OK;
}

int
guaco__json_read(struct guaco__arena *arena, const char *text, size_t len,
                 const struct guaco__json **value, struct guaco_error *err)
{
    struct reader r = {
        .arena = arena, .start = text, .at = text, .end = text + len};
    struct guaco__json *root = guaco__arena_calloc(arena, 1, sizeof *root);
    int rc = root == NULL ? GUACO_E_NOMEM : check_utf8(&r);

    if (rc == GUACO_OK)
        rc = read_value(&r, root);
    if (rc == GUACO_OK) {
        skip_space(&r);
        if (r.at != r.end)
            rc = wrong(&r, "something follows the value");
    }
    if (rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT)
        return guaco_fail(err, rc, 0, "JSON: %s at byte %zu", r.why,
                          (size_t)(r.at - r.start));
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "JSON: %s",
                          rc == GUACO_E_AGAIN ? "the text ends too early"
                                              : guaco_strerror(rc));
    *value = root;
    return GUACO_OK;
}

/* ---- looking at the tree ---- */

const struct guaco__json *
guaco__json_get(const struct guaco__json *object, const char *name)
{
    struct guaco_slice want = {name, strlen(name)};

    if (object == NULL || object->type != GUACO__JSON_OBJECT)
        return NULL;
    for (const struct guaco__json *m = object->as.items.first; m != NULL;
         m = m->next)
        if (guaco_slice_equals(m->name, want))
            return m;
    return NULL;
}

const char *
guaco__json_text(const struct guaco__json *object, const char *name,
                 const char *otherwise)
{
    const struct guaco__json *m = guaco__json_get(object, name);

    return m != NULL && m->type == GUACO__JSON_TEXT ? m->as.text.at : otherwise;
}

int64_t
guaco__json_int(const struct guaco__json *object, const char *name,
                int64_t otherwise)
{
    const struct guaco__json *m = guaco__json_get(object, name);

    return m != NULL && m->type == GUACO__JSON_INT ? m->as.integer : otherwise;
}

bool
guaco__json_bool(const struct guaco__json *object, const char *name,
                 bool otherwise)
{
    const struct guaco__json *m = guaco__json_get(object, name);

    return m != NULL && m->type == GUACO__JSON_BOOL ? m->as.boolean : otherwise;
}
