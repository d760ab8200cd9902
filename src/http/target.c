#include "target.h"

#include <string.h>

#include "scan.h"

bool
guaco__is_plain(struct guaco_slice raw)
{
    return raw.len == 0 || memchr(raw.at, '%', raw.len) == NULL;
}

/* The byte that an escape stands for, -1 when it is not one. */
static int
read_escape(const char *at, const char *end)
{
    if (end - at < 3)
        return -1;
    int high = guaco__hex_value[(unsigned char)at[1]];
    int low = guaco__hex_value[(unsigned char)at[2]];
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

struct guaco__decoded
guaco__percent_decode(struct guaco_slice raw, char *out)
{
    struct guaco__decoded result = {.is_ascii = true};
    const char *at = raw.at;
    const char *end = at + raw.len;

    while (at < end) {
        int byte = (unsigned char)*at;
        int escaped = byte == '%' ? read_escape(at, end) : -1;
        if (escaped >= 0) {
            byte = escaped;
            at += 3;
        } else {
            result.is_malformed |= byte == '%';
            at++;
        }
        result.is_ascii &= byte < 0x80;
        out[result.len++] = (char)byte;
    }
    return result;
}
