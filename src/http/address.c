/*
 * Addresses as text (RFC 4291 2.2, RFC 5952), strictly: no leading zeros in
 * IPv4, which some read as octal.  Ours, because this folder includes nothing
 * of the system's network; a test compares it with inet_pton() and inet_ntop().
 */

#include "address.h"

#include <stdio.h>
#include <string.h>

#include "scan.h"

struct guaco__address
guaco__address_of(enum guaco__address_kind kind, const uint8_t *bytes)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
    struct guaco__address address = {.kind = kind};

    if (kind == GUACO__ADDRESS_IPV6 &&
        memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        address.kind = GUACO__ADDRESS_IPV4;
        bytes += sizeof(mapped);
    }
    if (address.kind == GUACO__ADDRESS_IPV4)
        memcpy(address.bytes, bytes, 4);
    else if (address.kind == GUACO__ADDRESS_IPV6)
        memcpy(address.bytes, bytes, 16);
    return address;
}

/* ---- reading ---- */

/* All of [at, end) as four decimal bytes. */
static bool
read_ipv4(const char *at, const char *end, uint8_t bytes[4])
{
    for (int i = 0; i < 4; i++) {
        const char *start = at;
        unsigned value = 0;

        for (; at < end && *at >= '0' && *at <= '9' && at - start < 3; at++)
            value = value * 10 + (unsigned)(*at - '0');
        if (at == start || value > 255 || (*start == '0' && at - start > 1))
            return false;
        bytes[i] = (uint8_t)value;
        if (i < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

/* At most four hexadecimal digits; the byte behind them. */
static const char *
read_group(const char *at, const char *end, uint8_t bytes[2])
{
    const char *start = at;
    unsigned value = 0;

    for (; at < end && at - start < 4 && guaco__hex_value[(uint8_t)*at] >= 0;
         at++)
        value = value << 4 | (unsigned)guaco__hex_value[(uint8_t)*at];
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
    return at;
}

static bool
read_ipv6(const char *at, const char *end, uint8_t bytes[16])
{
    size_t filled = 0;
    size_t gap = 17; /* where "::" stands; 17: nowhere */

    memset(bytes, 0, 16);
    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = 0;
        at += 2;
    }
    while (at < end) {
        const char *start = at;

        if (filled == 16)
            return false;
        at = read_group(at, end, bytes + filled);
        if (at < end && *at == '.') {
            if (filled > 12 || !read_ipv4(start, end, bytes + filled))
                return false;
            filled += 4;
            break;
        }
        if (at == start)
            return false;
        filled += 2;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return false;
        if (*at == ':') {
            if (gap <= 16)
                return false;
            gap = filled;
            at++;
        }
    }
    if (gap > 16)
        return filled == 16;
    if (filled == 16)
        return false; /* "::" stands for one group at least */
    memmove(bytes + 16 - (filled - gap), bytes + gap, filled - gap);
    memset(bytes + gap, 0, 16 - filled);
    return true;
}

bool
guaco__address_parse(struct guaco_slice text, struct guaco__address *address)
{
    const char *end = text.at + text.len;
    uint8_t bytes[16];

    *address = (struct guaco__address){.kind = GUACO__ADDRESS_NONE};
    if (text.len == 0 || text.len >= GUACO__ADDRESS_TEXT_BYTES)
        return false;
    if (read_ipv4(text.at, end, bytes))
        *address = guaco__address_of(GUACO__ADDRESS_IPV4, bytes);
    else if (read_ipv6(text.at, end, bytes))
        *address = guaco__address_of(GUACO__ADDRESS_IPV6, bytes);
    return address->kind != GUACO__ADDRESS_NONE;
}

/* ---- writing ---- */

/* The first longest run of two zero groups or more; false when there is none. */
static bool
find_gap(const uint8_t *bytes, int *from, int *to)
{
    *from = *to = 0;
    for (int i = 0; i < 8; i++) {
        int end = i;

        while (end < 8 && bytes[2 * end] == 0 && bytes[2 * end + 1] == 0)
            end++;
        if (end - i > *to - *from) {
            *from = i;
            *to = end;
        }
        if (end > i)
            i = end - 1;
    }
    return *to - *from >= 2;
}

static void
format_ipv6(const uint8_t *bytes, char *out)
{
    int from, to;
    char *at = out;
    bool has_gap = find_gap(bytes, &from, &to);

    for (int i = 0; i < 8; i++) {
        if (has_gap && i == from) {
            *at++ = ':';
            *at++ = ':';
            i = to - 1;
            continue;
        }
        if (i > 0 && at[-1] != ':')
            *at++ = ':';
        at += snprintf(at, 5, "%x", bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }
    *at = '\0';
}

void
guaco__address_format(const struct guaco__address *address,
                      char out[GUACO__ADDRESS_TEXT_BYTES])
{
    const uint8_t *b = address->bytes;

    out[0] = '\0';
    if (address->kind == GUACO__ADDRESS_IPV4)
        snprintf(out, GUACO__ADDRESS_TEXT_BYTES, "%d.%d.%d.%d", b[0], b[1],
                 b[2], b[3]);
    else if (address->kind == GUACO__ADDRESS_IPV6)
        format_ipv6(b, out);
}
