/* The reader of --env-file: the contract is in run/env_file.h. */

#include "run/env_file.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at;
    const char *end;
    unsigned line;
    struct guaco__arena *arena;
    struct guaco_error *err;
};

static int
fail_line(const struct reader *r, unsigned line, const char *why)
{
    return guaco_fail(r->err, GUACO_E_INVALID, 0, "line %u: %s", line, why);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool
is_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static void
skip_blanks(struct reader *r)
{
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

static void
skip_line(struct reader *r)
{
    while (r->at < r->end && *r->at != '\n')
        r->at++;
}

/* Step over "export" and the blank behind it. */
static void
skip_export(struct reader *r)
{
    static const char word[] = "export";
    size_t len = sizeof word - 1;

    if ((size_t)(r->end - r->at) > len && memcmp(r->at, word, len) == 0 &&
        is_blank(r->at[len])) {
        r->at += len;
        skip_blanks(r);
    }
}

/* What stands behind a backslash in double quotes; others keep it. */
static bool
unescape(char c, char *out)
{
    static const char from[] = "nrt\"\\$";
    static const char to[] = "\n\r\t\"\\$";
    const char *p = c == '\0' ? NULL : strchr(from, c);

    if (p != NULL)
        *out = to[p - from];
    return p != NULL;
}

/* A value in quotes, appended at *out, which has room for what is left. */
static int
read_quoted(struct reader *r, char **out)
{
    unsigned begun = r->line;
    char quote = *r->at++;

    for (; r->at < r->end && *r->at != quote; r->at++) {
        r->line += *r->at == '\n';
        if (*r->at == '\0')
            return fail_line(r, r->line, "a NUL");
        if (quote == '"' && *r->at == '\\' && r->at + 1 < r->end &&
            unescape(r->at[1], *out)) {
            (*out)++;
            r->at++;
        } else {
            *(*out)++ = *r->at;
        }
    }
    if (r->at == r->end)
        return fail_line(r, begun, "a quote is not closed");
    r->at++;
    skip_blanks(r);
    if (r->at < r->end && *r->at != '\n' && *r->at != '#')
        return fail_line(r, r->line, "more behind the closing quote");
    return GUACO_OK;
}

static int
read_plain(struct reader *r, char **out)
{
    const char *from = r->at;
    const char *to;

    skip_line(r);
    to = r->at;
    for (const char *p = from; p < to; p++)
        if (*p == '#' && (p == from || is_blank(p[-1])))
            to = p;
    while (to > from && is_blank(to[-1]))
        to--;
    if (memchr(from, '\0', (size_t)(to - from)) != NULL)
        return fail_line(r, r->line, "a NUL");
    memcpy(*out, from, (size_t)(to - from));
    *out += to - from;
    return GUACO_OK;
}

/* One line with a variable; `scratch` holds the whole file. */
static int
read_variable(struct reader *r, char *scratch, guaco__env_fn *fn, void *ctx)
{
    char *out = scratch;
    int rc;

    skip_export(r);
    if (r->at == r->end || !is_name(*r->at, true))
        return fail_line(r, r->line, "not NAME=VALUE");
    while (r->at < r->end && is_name(*r->at, false))
        *out++ = *r->at++;
    size_t name_len = (size_t)(out - scratch);
    skip_blanks(r);
    if (r->at == r->end || *r->at != '=')
        return fail_line(r, r->line, "not NAME=VALUE");
    *out++ = *r->at++;
    skip_blanks(r);
    if (r->at < r->end && (*r->at == '"' || *r->at == '\''))
        rc = read_quoted(r, &out);
    else
        rc = read_plain(r, &out);
    if (rc != GUACO_OK)
        return rc;
    skip_line(r);
    char *variable =
        guaco__arena_dup(r->arena, scratch, (size_t)(out - scratch));
    if (variable == NULL)
        return guaco_fail(r->err, GUACO_E_NOMEM, 0, "reading variables");
    return fn(ctx, variable, name_len);
}

int
guaco__env_read(const char *text, size_t len, struct guaco__arena *arena,
                guaco__env_fn *fn, void *ctx, struct guaco_error *err)
{
    struct reader r = {text, text + len, 1, arena, err};
    int rc = GUACO_OK;

    if (len == 0)
        return GUACO_OK;
    char *scratch = malloc(len);
    if (scratch == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "reading variables");
    while (r.at < r.end && rc == GUACO_OK) {
        skip_blanks(&r);
        if (r.at < r.end && *r.at == '#')
            skip_line(&r);
        else if (r.at < r.end && *r.at != '\n')
            rc = read_variable(&r, scratch, fn, ctx);
        if (rc == GUACO_OK && r.at < r.end) {
            assert(*r.at == '\n');
            r.at++;
            r.line++;
        }
    }
    free(scratch);
    return rc;
}
