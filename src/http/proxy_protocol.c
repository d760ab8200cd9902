/* The PROXY protocol: the contract is in proxy_protocol.h. */

#include "proxy_protocol.h"

#include <string.h>

enum {
    V1_BYTES_MAX = 107, /* with CRLF, says the specification */
    V2_HEAD_BYTES = 16,
    V2_UNIX_BYTES = 108, /* of one path */
};

static const char v1_mark[] = "PROXY ";
static const char v2_mark[] = "\r\n\r\n\0\r\nQUIT\n"; /* 12 bytes */

/* ---- version 1 ---- */

/* The next word up to a single space; false when there is none. */
static bool
next_word(struct guaco_slice *line, struct guaco_slice *word)
{
    const char *space = memchr(line->at, ' ', line->len);
    size_t len = space == NULL ? line->len : (size_t)(space - line->at);

    *word = (struct guaco_slice){line->at, len};
    len += space != NULL;
    line->at += len;
    line->len -= len;
    return word->len > 0;
}

/* Decimal without leading zeros, at most 65535. */
static bool
read_port(struct guaco_slice text, uint16_t *port)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* An address of the family that the line has named. */
static bool
read_address(struct guaco_slice text, bool is_v6,
             struct guaco__address *address)
{
    bool has_colon = memchr(text.at, ':', text.len) != NULL;

    return has_colon == is_v6 && guaco__address_parse(text, address);
}

/* What stands between "PROXY " and CRLF. */
static int
read_line(struct guaco_slice line, struct guaco__proxy_header *h)
{
    struct guaco_slice family, words[4];
    bool is_v6;

    if (!next_word(&line, &family))
        return GUACO_E_PROTO;
    if (guaco_slice_equals(family, GUACO_SLICE("UNKNOWN")))
        return GUACO_OK; /* the rest of the line says nothing */
    is_v6 = guaco_slice_equals(family, GUACO_SLICE("TCP6"));
    if (!is_v6 && !guaco_slice_equals(family, GUACO_SLICE("TCP4")))
        return GUACO_E_PROTO;
    for (int i = 0; i < 4; i++)
        if (!next_word(&line, &words[i]))
            return GUACO_E_PROTO;
    /* a space behind the last word would have left an empty one */
    if (line.len > 0 || words[3].at + words[3].len != line.at ||
        !read_address(words[0], is_v6, &h->client) ||
        !read_address(words[1], is_v6, &h->server) ||
        !read_port(words[2], &h->client_port) ||
        !read_port(words[3], &h->server_port))
        return GUACO_E_PROTO;
    return GUACO_OK;
}

static int
read_v1(const char *data, size_t len, struct guaco__proxy_header *h,
        size_t *used)
{
    const size_t mark = sizeof(v1_mark) - 1;
    size_t most = len < V1_BYTES_MAX ? len : V1_BYTES_MAX;
    const char *end = memchr(data, '\n', most);

    if (end == NULL && len < V1_BYTES_MAX)
        return memchr(data, '\0', len) != NULL ? GUACO_E_PROTO : GUACO_E_AGAIN;
    if (end == NULL)
        return GUACO_E_LIMIT;
    *used = (size_t)(end + 1 - data);
    if (end[-1] != '\r' || memchr(data, '\0', *used) != NULL)
        return GUACO_E_PROTO;
    return read_line((struct guaco_slice){data + mark, *used - mark - 2}, h);
}

/* ---- version 2 ---- */

static uint16_t
load16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* Every type-length-value fits; what they say is of no use here. */
static bool
are_tlvs(const uint8_t *at, size_t len)
{
    while (len > 0) {
        size_t size;

        if (len < 3)
            return false;
        size = 3 + (size_t)load16(at + 1);
        if (size > len)
            return false;
        at += size;
        len -= size;
    }
    return true;
}

static void
take_addresses(enum guaco__address_kind kind, const uint8_t *at, size_t size,
               struct guaco__proxy_header *h)
{
    h->client = guaco__address_of(kind, at);
    h->server = guaco__address_of(kind, at + size);
    h->client_port = load16(at + 2 * size);
    h->server_port = load16(at + 2 * size + 2);
}

/* The part behind the fixed head: addresses by `family`, then TLVs. */
static int
read_body(uint8_t command, uint8_t family, const uint8_t *at, size_t len,
          struct guaco__proxy_header *h)
{
    bool is_stream = (family & 15) == 1;
    size_t size = 0;

    if ((family & 15) > 2 || family >> 4 > 3)
        return GUACO_E_PROTO;
    if (command == 0)
        return GUACO_OK; /* LOCAL: the rest is to be ignored */
    switch (family >> 4) {
    case 1: size = 12; break;
    case 2: size = 36; break;
    case 3: size = 2 * (size_t)V2_UNIX_BYTES; break;
    default: break;
    }
    if (len < size)
        return GUACO_E_PROTO;
    if (is_stream && family >> 4 == 1)
        take_addresses(GUACO__ADDRESS_IPV4, at, 4, h);
    else if (is_stream && family >> 4 == 2)
        take_addresses(GUACO__ADDRESS_IPV6, at, 16, h);
    else if (is_stream && family >> 4 == 3)
        h->client.kind = h->server.kind = GUACO__ADDRESS_UNIX;
    return are_tlvs(at + size, len - size) ? GUACO_OK : GUACO_E_PROTO;
}

static int
read_v2(const char *data, size_t len, struct guaco__proxy_header *h,
        size_t *used)
{
    const uint8_t *at = (const uint8_t *)data;
    size_t size;

    if (len >= 13 && (at[12] >> 4 != 2 || (at[12] & 15) > 1))
        return GUACO_E_PROTO;
    if (len < V2_HEAD_BYTES)
        return GUACO_E_AGAIN;
    size = V2_HEAD_BYTES + (size_t)load16(at + 14);
    if (size > GUACO__PROXY_BYTES_MAX)
        return GUACO_E_LIMIT;
    if (len < size)
        return GUACO_E_AGAIN;
    *used = size;
    return read_body(at[12] & 15, at[13], at + V2_HEAD_BYTES,
                     size - V2_HEAD_BYTES, h);
}

/* ---- which of them ---- */

/* data[0..len) begins with the mark, or is a beginning of it. */
static bool
begins(const char *data, size_t len, const char *mark, size_t mark_len)
{
    return memcmp(data, mark, len < mark_len ? len : mark_len) == 0;
}

int
guaco__proxy_read(const char *data, size_t len,
                  struct guaco__proxy_header *header, size_t *used)
{
    const size_t v1_len = sizeof(v1_mark) - 1;
    const size_t v2_len = sizeof(v2_mark) - 1;

    *header = (struct guaco__proxy_header){.client_port = 0};
    *used = 0;
    if (len == 0)
        return GUACO_E_AGAIN;
    if (begins(data, len, v1_mark, v1_len))
        return len < v1_len ? GUACO_E_AGAIN : read_v1(data, len, header, used);
    if (begins(data, len, v2_mark, v2_len))
        return len < v2_len ? GUACO_E_AGAIN : read_v2(data, len, header, used);
    return GUACO_E_PROTO;
}
