/*
 * The line before a chunk (RFC 9112 7.1):
 *
 *     chunk-size [ ";" name [ "=" ( token / quoted-string ) ] ]* CRLF
 *
 * White space, which the RFC calls bad, is refused everywhere but in quoted
 * strings: readers that skip it and readers that do not disagree about sizes.
 */

#include "h1_int.h"
#include "scan.h"

enum { CHUNK_DIGITS_MAX = 16 };

/* Skip a token of at least one byte. */
static int
skip_token(const char **at, const char *end)
{
    const char *start = *at;

    while (*at < end && guaco__char_is(**at, GUACO__CHAR_TOKEN))
        (*at)++;
    if (*at == end)
        return H1_MORE;
    return *at > start ? H1_OK : GUACO_HTTP_FAULT_CHUNK_EXTENSION;
}

/* Skip a quoted string from behind its opening quote. */
static int
skip_quoted(const char **at, const char *end)
{
    for (; *at < end; (*at)++) {
        if (**at == '"') {
            (*at)++;
            return H1_OK;
        }
        if (**at == '\\') {
            if (++*at == end)
                return H1_MORE;
            if (!guaco__char_is(**at, GUACO__CHAR_VALUE))
                return GUACO_HTTP_FAULT_CHUNK_EXTENSION;
        } else if (!guaco__char_is(**at, GUACO__CHAR_QUOTABLE)) {
            return GUACO_HTTP_FAULT_CHUNK_EXTENSION;
        }
    }
    return H1_MORE;
}

/* Skip one extension from behind its semicolon. */
static int
skip_extension(const char **at, const char *end)
{
    int rc = skip_token(at, end);
    if (rc != H1_OK || **at != '=')
        return rc;
    if (++*at == end)
        return H1_MORE;
    if (**at != '"')
        return skip_token(at, end);
    ++*at;
    return skip_quoted(at, end);
}

/* Skip all extensions; they may take `allowance` bytes. */
static int
skip_extensions(const char **at, const char *end, uint32_t allowance)
{
    const char *start = *at;
    const char *stop =
        (size_t)(end - start) > allowance ? start + allowance + 1 : end;
    int rc = H1_OK;

    while (rc == H1_OK && *at < stop && **at == ';') {
        ++*at;
        rc = skip_extension(at, stop);
    }
    bool is_long = (size_t)(*at - start) > allowance;
    if (is_long && (rc == H1_OK || rc == H1_MORE))
        return GUACO_HTTP_FAULT_CHUNK_EXTENSION_LONG;
    return rc;
}

static int
read_size(const char **at, const char *end, uint64_t *size)
{
    const char *start = *at;

    *size = 0;
    for (; *at < end; (*at)++) {
        int digit = guaco__hex_value[(uint8_t) * *at];
        if (digit < 0)
            break;
        if (*at - start == CHUNK_DIGITS_MAX)
            return GUACO_HTTP_FAULT_CHUNK_SIZE;
        *size = *size << 4 | (unsigned)digit;
    }
    if (*at == end)
        return H1_MORE;
    if (*at == start || *size > INT64_MAX)
        return GUACO_HTTP_FAULT_CHUNK_SIZE;
    if (**at == '\n')
        return GUACO_HTTP_FAULT_LINE_END;
    return **at == ';' || **at == '\r' ? H1_OK : GUACO_HTTP_FAULT_CHUNK_SIZE;
}

int
guaco__h1_chunk_line(struct h1_cursor *cursor, uint32_t allowance,
                     uint64_t *size, uint32_t *extension_bytes)
{
    const char *at = cursor->at;
    int rc = read_size(&at, cursor->end, size);
    if (rc != H1_OK)
        return rc;

    const char *extensions = at;
    rc = skip_extensions(&at, cursor->end, allowance);
    if (rc != H1_OK)
        return rc;
    *extension_bytes = (uint32_t)(at - extensions);

    if (at == cursor->end)
        return H1_MORE;
    if (*at != '\r')
        return *at == '\n' ? GUACO_HTTP_FAULT_LINE_END
                           : GUACO_HTTP_FAULT_CHUNK_EXTENSION;
    if (at + 1 == cursor->end)
        return H1_MORE;
    if (at[1] != '\n')
        return GUACO_HTTP_FAULT_LINE_END;
    cursor->at += at + 2 - cursor->at;
    return H1_OK;
}
