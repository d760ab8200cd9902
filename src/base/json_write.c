/* The JSON writer: the contract is in base/json.h. */

#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void
guaco__json_begin(struct guaco__json_writer *w, struct guaco__buf *out)
{
    *w = (struct guaco__json_writer){.out = out};
}

static void
put(struct guaco__json_writer *w, const char *text, size_t len)
{
    if (w->rc == GUACO_OK)
        w->rc = guaco__buf_append(w->out, text, len);
}

/* What goes before any value or name. */
static void
put_comma(struct guaco__json_writer *w)
{
    if (w->comma)
        put(w, ",", 1);
    w->comma = true;
}

static void
put_word(struct guaco__json_writer *w, const char *word)
{
    put_comma(w);
    put(w, word, strlen(word));
}

void
guaco__json_open(struct guaco__json_writer *w, char bracket)
{
    assert(bracket == '{' || bracket == '[');

    if (w->depth == GUACO__JSON_DEPTH_MAX && w->rc == GUACO_OK)
        w->rc = GUACO_E_LIMIT;
    if (w->rc != GUACO_OK)
        return;
    put_comma(w);
    put(w, &bracket, 1);
    w->open[w->depth++] = bracket;
    w->comma = false;
}

void
guaco__json_close(struct guaco__json_writer *w, char bracket)
{
    assert(bracket == '}' || bracket == ']');

    if (w->rc != GUACO_OK)
        return;
    assert(w->depth > 0);
    assert(w->open[w->depth - 1] == (bracket == '}' ? '{' : '['));
    w->depth--;
    put(w, &bracket, 1);
    w->comma = true;
}

static void
put_escaped(struct guaco__json_writer *w, unsigned char c)
{
    char out[8];

    if (c == '"' || c == '\\')
        snprintf(out, sizeof out, "\\%c", c);
    else if (c == '\n')
        snprintf(out, sizeof out, "\\n");
    else
        snprintf(out, sizeof out, "\\u%04x", c);
    put(w, out, strlen(out));
}

/* The length of the valid character that at[0..len) begins with, or 0. */
static size_t
char_len(const char *at, size_t len)
{
    struct guaco__utf8 state = {0};

    for (size_t i = 0; i < len && i < 4; i++) {
        if (!guaco__utf8_feed(&state, at + i, 1))
            return 0;
        if (guaco__utf8_is_whole(&state))
            return i + 1;
    }
    return 0;
}

static void
put_string(struct guaco__json_writer *w, struct guaco_slice text)
{
    size_t from = 0;

    put(w, "\"", 1);
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.at[i];
        size_t n = c < 0x80 ? 1 : char_len(text.at + i, text.len - i);
        if (n > 0 && c >= 0x20 && c != '"' && c != '\\') {
            i += n;
            continue;
        }
        put(w, text.at + from, i - from);
        if (n > 0)
            put_escaped(w, c);
        else
            put(w, "\xef\xbf\xbd", 3);
        from = ++i;
    }
    if (text.len > from) /* no text may have no place */
        put(w, text.at + from, text.len - from);
    put(w, "\"", 1);
}

void
guaco__json_name(struct guaco__json_writer *w, const char *name)
{
    if (w->rc != GUACO_OK)
        return;
    assert(w->depth > 0);
    assert(w->open[w->depth - 1] == '{');
    put_comma(w);
    put_string(w, (struct guaco_slice){name, strlen(name)});
    put(w, ":", 1);
    w->comma = false;
}

void
guaco__json_put_null(struct guaco__json_writer *w)
{
    put_word(w, "null");
}

void
guaco__json_put_bool(struct guaco__json_writer *w, bool value)
{
    put_word(w, value ? "true" : "false");
}

void
guaco__json_put_int(struct guaco__json_writer *w, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    put_word(w, text);
}

void
guaco__json_put_real(struct guaco__json_writer *w, double value)
{
    char text[40];

    if (!isfinite(value)) {
        guaco__json_put_null(w);
        return;
    }
    size_t len = (size_t)snprintf(text, sizeof text - 2, "%.17g", value);
    assert(len < sizeof text - 2);
    /* The decimal point is the locale's; JSON's is '.'.  Without a point or an
     * exponent it would be read back as an integer. */
    size_t digits = strspn(text, "-0123456789");
    if (text[digits] == '\0')
        memcpy(text + len, ".0", 3);
    else if (text[digits] != 'e')
        text[digits] = '.';
    put_word(w, text);
}

void
guaco__json_put_text(struct guaco__json_writer *w, const char *text)
{
    guaco__json_put_slice(w, (struct guaco_slice){text, strlen(text)});
}

void
guaco__json_put_slice(struct guaco__json_writer *w, struct guaco_slice text)
{
    put_comma(w);
    put_string(w, text);
}

int
guaco__json_end(struct guaco__json_writer *w)
{
    assert(w->rc != GUACO_OK || w->depth == 0);
    return w->rc;
}
