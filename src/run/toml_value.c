/* Strings, numbers, booleans and dates of TOML. */

#include <assert.h>
#include <string.h>

#include "base/date.h"
#include "base/real.h"
#include "base/utf8.h"
#include "toml_int.h"

/* ---- strings ---- */

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What follows \u or \U. */
static int
read_scalar_value(struct toml_reader *r, int digits, char **to)
{
    uint32_t code = 0;

    for (int i = 0; i < digits; i++, r->at++) {
        int v = r->at == r->end ? -1 : hex_value(*r->at);
        if (v < 0)
            return guaco__toml_wrong(r, "bad escape");
        code = code << 4 | (uint32_t)v;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return guaco__toml_wrong(r, "escape is not a character");
    *to += guaco__utf8_encode(code, *to);
    return GUACO_OK;
}

/* "\" at the end of a line: all white space up to the next text goes.  Only
 * white space may stand between it and the line's end. */
static int
skip_line_end(struct toml_reader *r)
{
    bool newline = false;

    for (; r->at < r->end; r->at++) {
        bool is_crlf = guaco__toml_sees(r, "\r\n");
        if (*r->at == '\n') {
            newline = true;
            r->line++;
        } else if (*r->at != ' ' && *r->at != '\t' && !is_crlf) {
            break;
        }
    }
    return newline ? GUACO_OK : guaco__toml_wrong(r, "bad escape");
}

/* What follows a backslash. */
static int
read_escape(struct toml_reader *r, bool lines, char **to)
{
    static const char from[] = "btnfr\"\\";
    static const char means[] = "\b\t\n\f\r\"\\";

    if (r->at == r->end)
        return guaco__toml_wrong(r, "bad escape");
    char c = *r->at;
    if (lines && c != '\0' && strchr(" \t\r\n", c) != NULL)
        return skip_line_end(r);
    r->at++;
    if (c == 'u' || c == 'U')
        return read_scalar_value(r, c == 'u' ? 4 : 8, to);
    const char *which = c == '\0' ? NULL : strchr(from, c);
    if (which == NULL)
        return guaco__toml_wrong(r, "unknown escape");
    *(*to)++ = means[which - from];
    return GUACO_OK;
}

/* One character of a string that is neither its end nor an escape. */
static int
read_plain(struct toml_reader *r, bool lines, char **to)
{
    if (lines && guaco__toml_sees(r, "\r\n"))
        r->at++;
    unsigned char c = (unsigned char)*r->at++;
    if (lines && c == '\n')
        r->line++;
    else if ((c < 0x20 && c != '\t') || c == 0x7f)
        return guaco__toml_wrong(r, "control character in a string");
    *(*to)++ = (char)c;
    return GUACO_OK;
}

/* An upper bound of the bytes that the string at r->at can have: what is left
 * of the line, or of the document. */
static size_t
string_room(const struct toml_reader *r, bool lines)
{
    size_t left = (size_t)(r->end - r->at);
    const char *newline = left == 0 ? NULL : memchr(r->at, '\n', left);

    return lines || newline == NULL ? left : (size_t)(newline - r->at);
}

/* Where a string over several lines ends: behind the last of three to five
 * quotes, of which up to two belong to the text. */
static const char *
lines_end(const struct toml_reader *r, char quote)
{
    const char fence[] = {quote, quote, quote};

    for (const char *p = r->at; r->end - p >= 3; p++) {
        if (quote == '"' && *p == '\\') {
            p++;
            continue;
        }
        if (memcmp(p, fence, 3) != 0)
            continue;
        for (int i = 0; i < 2 && r->end - p > 3 && p[3] == quote; i++)
            p++;
        return p;
    }
    return NULL;
}

static const char *
line_end(const struct toml_reader *r, char quote)
{
    const char *stop = r->at + string_room(r, false);

    for (const char *p = r->at; p < stop; p++) {
        if (*p == quote)
            return p;
        if (quote == '"' && *p == '\\')
            p++;
    }
    return NULL;
}

int
guaco__toml_read_string(struct toml_reader *r, bool lines,
                        struct guaco_slice *text)
{
    char quote = *r->at;
    char fence[] = {quote, quote, quote, '\0'};
    bool is_fenced = lines && guaco__toml_sees(r, fence);

    assert(quote == '"' || quote == '\'');
    r->at += is_fenced ? 3 : 1;
    if (is_fenced && guaco__toml_sees(r, "\r\n"))
        r->at++;
    if (is_fenced && guaco__toml_sees(r, "\n")) {
        r->at++;
        r->line++;
    }
    const char *close = is_fenced ? lines_end(r, quote) : line_end(r, quote);
    if (close == NULL)
        return guaco__toml_wrong(r, "a string does not end");

    char *out = guaco__arena_alloc(r->arena, (size_t)(close - r->at) + 1);
    if (out == NULL)
        return GUACO_E_NOMEM;
    char *to = out;
    size_t room = (size_t)(close - r->at);
    while (r->at < close) {
        bool is_escape = quote == '"' && *r->at == '\\';
        r->at += is_escape;
        int rc = is_escape ? read_escape(r, is_fenced, &to)
                           : read_plain(r, is_fenced, &to);
        if (rc != GUACO_OK)
            return rc;
    }
    if (r->at != close)
        return guaco__toml_wrong(r, "bad escape");
    assert((size_t)(to - out) <= room); /* no escape is shorter than its text */
    (void)room;
    *to = '\0';
    *text = (struct guaco_slice){out, (size_t)(to - out)};
    r->at = close + (is_fenced ? 3 : 1);
    return GUACO_OK;
}

/* ---- numbers ---- */

static bool
is_digit_of(char c, int base)
{
    int v = hex_value(c);

    return v >= 0 && v < base;
}

/* Copy a run of digits with single '_' between them; false when it is none. */
static bool
take_digits(const char **at, int base, char **to)
{
    if (!is_digit_of(**at, base))
        return false;
    for (;; (*at)++) {
        if (**at == '_' && is_digit_of((*at)[1], base))
            (*at)++;
        if (!is_digit_of(**at, base))
            return true;
        *(*to)++ = **at;
    }
}

/* "0x", "0o", "0b" and digits. */
static bool
read_radix(const char *text, struct guaco__toml *value)
{
    int base = text[1] == 'x' ? 16 : text[1] == 'o' ? 8 : 2;
    char plain[96];
    char *to = plain;
    const char *at = text + 2;

    if (strlen(text) >= sizeof plain || !take_digits(&at, base, &to) ||
        *at != '\0')
        return false;
    value->type = GUACO__TOML_INT;
    for (const char *p = plain; p < to; p++)
        if (__builtin_mul_overflow(value->integer, base, &value->integer) ||
            __builtin_add_overflow(value->integer, hex_value(*p),
                                   &value->integer))
            return false;
    return true;
}

static bool
to_integer(const char *plain, int64_t *integer)
{
    bool negative = *plain == '-';

    *integer = 0;
    for (const char *p = plain + (*plain == '-' || *plain == '+'); *p != '\0';
         p++) {
        int digit = negative ? -(*p - '0') : *p - '0';
        if (__builtin_mul_overflow(*integer, 10, integer) ||
            __builtin_add_overflow(*integer, digit, integer))
            return false;
    }
    return true;
}

/* A decimal integer or a float, without '_' into plain; *is_real which. */
static bool
scan_decimal(const char *at, char *plain, bool *is_real)
{
    char *to = plain;

    *is_real = false;
    if (*at == '+' || *at == '-')
        *to++ = *at++;
    const char *digits = at;
    if (!take_digits(&at, 10, &to) || (*digits == '0' && at - digits > 1))
        return false;
    if (*at == '.') {
        *is_real = true;
        *to++ = *at++;
        if (!take_digits(&at, 10, &to))
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        *is_real = true;
        *to++ = *at++;
        if (*at == '+' || *at == '-')
            *to++ = *at++;
        if (!take_digits(&at, 10, &to))
            return false;
    }
    *to = '\0';
    return *at == '\0';
}

static int
read_decimal(struct toml_reader *r, const char *text, struct guaco__toml *value)
{
    char *plain = guaco__arena_alloc(r->arena, strlen(text) + 1);
    bool is_real;

    if (plain == NULL)
        return GUACO_E_NOMEM;
    if (!scan_decimal(text, plain, &is_real))
        return guaco__toml_wrong(r, "not a value");
    if (is_real) {
        value->type = GUACO__TOML_REAL;
        return guaco__real_read(plain, &value->real);
    }
    value->type = GUACO__TOML_INT;
    return to_integer(plain, &value->integer)
               ? GUACO_OK
               : guaco__toml_wrong(r, "an integer does not fit 64 bits");
}

/* ---- dates ---- */

/* Whether `text` has the shape of `form`, in which 'd' is a digit; gives what
 * follows, or NULL. */
static const char *
shaped(const char *text, const char *form)
{
    for (; *form != '\0'; form++, text++)
        if (*form == 'd' ? !is_digit_of(*text, 10) : *form != *text)
            return NULL;
    return text;
}

static int
two(const char *at)
{
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* "07:32:00.999" at the start of text; gives what follows, or NULL. */
static const char *
skip_time(const char *text)
{
    const char *rest = shaped(text, "dd:dd:dd");

    if (rest == NULL || two(text) > 23 || two(text + 3) > 59 ||
        two(text + 6) > 59)
        return NULL;
    if (rest[0] == '.' && is_digit_of(rest[1], 10))
        for (rest++; is_digit_of(*rest, 10);)
            rest++;
    return rest;
}

static const char *
skip_offset(const char *text)
{
    if (*text == 'Z' || *text == 'z')
        return text + 1;
    if (*text != '+' && *text != '-')
        return text;
    const char *rest = shaped(text + 1, "dd:dd");
    return rest == NULL || two(text + 1) > 23 || two(text + 4) > 59 ? NULL
                                                                    : rest;
}

static bool
is_date(const char *text)
{
    const char *rest = shaped(text, "dddd-dd-dd");

    if (rest == NULL) {
        rest = skip_time(text);
        return rest != NULL && *rest == '\0';
    }
    int year = two(text) * 100 + two(text + 2);
    int month = two(text + 5);
    int day = two(text + 8);
    if (year < 1 || month < 1 || month > 12 || day < 1 ||
        day > guaco__date_month_days(year, month))
        return false;
    if (*rest == '\0')
        return true;
    if (*rest != 'T' && *rest != 't' && *rest != ' ')
        return false;
    rest = skip_time(rest + 1);
    if (rest != NULL)
        rest = skip_offset(rest);
    return rest != NULL && *rest == '\0';
}

/* ---- any of them ---- */

static bool
is_scalar_byte(char c)
{
    return is_digit_of(c, 10) || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("+-_.:", c) != NULL);
}

/* The length of the token; a date may go on behind one blank. */
static size_t
token_len(const struct toml_reader *r)
{
    const char *p = r->at;

    while (p < r->end && is_scalar_byte(*p))
        p++;
    if (p - r->at == 10 && r->at[4] == '-' && r->end - p >= 3 && *p == ' ' &&
        is_digit_of(p[1], 10) && is_digit_of(p[2], 10))
        for (p++; p < r->end && is_scalar_byte(*p);)
            p++;
    return (size_t)(p - r->at);
}

/* true, false, inf and nan. */
static bool
read_word(const char *text, struct guaco__toml *value)
{
    const char *bare = text + (*text == '+' || *text == '-');
    bool is_true = strcmp(text, "true") == 0;

    if (is_true || strcmp(text, "false") == 0) {
        value->type = GUACO__TOML_BOOL;
        value->integer = is_true;
        return true;
    }
    if (strcmp(bare, "inf") == 0 || strcmp(bare, "nan") == 0) {
        value->type = GUACO__TOML_REAL;
        value->real = *bare == 'i' ? __builtin_inf() : __builtin_nan("");
        if (*text == '-')
            value->real = -value->real;
        return true;
    }
    return false;
}

int
guaco__toml_read_scalar(struct toml_reader *r, struct guaco__toml *value)
{
    size_t len = token_len(r);
    const char *text = guaco__arena_dup(r->arena, r->at, len);

    if (text == NULL)
        return GUACO_E_NOMEM;
    if (len == 0)
        return guaco__toml_wrong(r, "a value is missing");
    r->at += len;
    if (read_word(text, value))
        return GUACO_OK;
    if (is_date(text)) {
        value->type = GUACO__TOML_DATE;
        value->text = (struct guaco_slice){text, len};
        return GUACO_OK;
    }
    if (text[0] == '0' && text[1] != '\0' && strchr("xob", text[1]) != NULL)
        return read_radix(text, value) ? GUACO_OK
                                       : guaco__toml_wrong(r, "not a value");
    return read_decimal(r, text, value);
}
