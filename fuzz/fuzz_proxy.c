/*
 * Fuzz the PROXY protocol and the fields of proxies.  A header in two pieces
 * is the header in one: a beginning of it says AGAIN, or fails where the whole
 * does.  The input is then read as field lines of either family.
 */

#include "fuzz.h"

#include <string.h>

#include "http/forwarded.h"
#include "http/proxy_protocol.h"

static void
check_header(const char *data, size_t len)
{
    struct guaco__proxy_header whole, part;
    size_t used, part_used;
    int rc = guaco__proxy_read(data, len, &whole, &used);

    MUST(rc != GUACO_E_AGAIN || len < GUACO__PROXY_BYTES_MAX);
    MUST(rc != GUACO_OK || (used > 0 && used <= len));
    for (size_t n = 0; n < len && n < 64; n++) {
        int part_rc = guaco__proxy_read(data, n, &part, &part_used);

        if (rc == GUACO_OK && n < used)
            MUST(part_rc == GUACO_E_AGAIN);
        else if (rc == GUACO_E_AGAIN)
            MUST(part_rc == GUACO_E_AGAIN);
        else if (rc == GUACO_OK)
            MUST(part_rc == GUACO_OK && part_used == used &&
                 memcmp(&part, &whole, sizeof part) == 0);
    }
}

/* What came out stands for something. */
static void
check_forwarded(enum guaco__forwarded_family family,
                const struct guaco_field *fields, size_t count)
{
    struct guaco__trust trust = {.has_unix = true};
    struct guaco__forwarded out;
    char text[GUACO__ADDRESS_TEXT_BYTES];
    const char *why;

    MUST(guaco__trust_add(&trust, GUACO_SLICE("10.0.0.0/8, fd00::/8"), NULL) ==
         0);
    int rc = guaco__forwarded_read(family, fields, count, &trust, &out, &why);
    MUST((rc == GUACO_OK) == (why == NULL));
    if (rc < 0)
        return;
    struct guaco__address again;
    guaco__address_format(&out.client, text);
    MUST((out.client.kind == GUACO__ADDRESS_NONE) == (*text == '\0'));
    if (*text != '\0')
        MUST(guaco__address_parse((struct guaco_slice){text, strlen(text)},
                                  &again) &&
             memcmp(&again, &out.client, sizeof again) == 0);
    MUST(out.prefix.len == 0 || out.prefix.at[0] == '/');
    MUST(out.scheme.len == 0 || out.scheme.len == 4 || out.scheme.len == 5);
}

/* Lines "name:value". */
static size_t
split_lines(const char *at, size_t len, struct guaco_field *fields, size_t most)
{
    size_t count = 0;

    while (len > 0 && count < most) {
        const char *end = memchr(at, '\n', len);
        size_t line = end == NULL ? len : (size_t)(end - at);
        const char *colon = memchr(at, ':', line);

        if (colon != NULL)
            fields[count++] = (struct guaco_field){
                {at, (size_t)(colon - at)},
                {colon + 1, line - (size_t)(colon - at) - 1}};
        line += end != NULL;
        at += line;
        len -= line;
    }
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_field fields[8];
    struct guaco__trust trust = {.count = 0};

    if (size == 0 || size > 8192)
        return 0;

    char *copy = malloc(size);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    check_header(copy, size);
    size_t count = split_lines(copy, size, fields, 8);
    check_forwarded(GUACO__FORWARDED_X, fields, count);
    check_forwarded(GUACO__FORWARDED_RFC7239, fields, count);
    guaco__trust_add(&trust, (struct guaco_slice){copy, size}, NULL);
    free(copy);
    return 0;
}
