/* Names of files: the contract is in file_path.h. */

#include "file_path.h"

#include <string.h>

#include "scan.h"

struct guaco_slice
guaco__route_rest(struct guaco_slice path, struct guaco_slice route)
{
    if (path.len < route.len || memcmp(path.at, route.at, route.len) != 0 ||
        (path.len > route.len && path.at[route.len] != '/'))
        return (struct guaco_slice){NULL, 0};
    return (struct guaco_slice){path.at + route.len, path.len - route.len};
}

/* One byte, decoded; -1 for an escape that is none or hides what it may not. */
static int
take_byte(struct guaco_slice *raw)
{
    int byte = (unsigned char)raw->at[0];
    size_t len = 1;

    if (byte == '%') {
        if (raw->len < 3)
            return -1;
        int high = guaco__hex_value[(unsigned char)raw->at[1]];
        int low = guaco__hex_value[(unsigned char)raw->at[2]];
        if (high < 0 || low < 0)
            return -1;
        byte = high << 4 | low;
        len = 3;
        if (byte == '/')
            return -1;
    }
    raw->at += len;
    raw->len -= len;
    return byte == '\0' ? -1 : byte;
}

/* The segment may stand in a file's path. */
static bool
is_segment(const char *at, size_t len, bool is_first, bool has_dots)
{
    struct guaco_slice segment = {at, len};

    if (len == 0 || guaco_slice_equals(segment, GUACO_SLICE(".")) ||
        guaco_slice_equals(segment, GUACO_SLICE("..")))
        return false;
    return at[0] != '.' || has_dots ||
           (is_first &&
            guaco_slice_equals(segment, GUACO_SLICE(".well-known")));
}

int
guaco__file_path(struct guaco_slice rest, bool has_dots,
                 char out[GUACO__FILE_PATH_BYTES], bool *is_folder)
{
    size_t len = 0;
    size_t start = 0; /* of the segment */
    int status = 0;

    *is_folder = rest.len > 0;
    if (rest.len > 0) {
        rest.at++;
        rest.len--;
    }
    while (rest.len > 0) {
        bool is_slash = rest.at[0] == '/';
        int byte = take_byte(&rest);

        if (byte < 0)
            return 400;
        if (is_slash &&
            !is_segment(out + start, len - start, start == 0, has_dots))
            status = 404;
        *is_folder = is_slash;
        if (len + 1 == GUACO__FILE_PATH_BYTES)
            return 404;
        out[len++] = (char)byte;
        if (is_slash)
            start = len;
    }
    if (len > start &&
        !is_segment(out + start, len - start, start == 0, has_dots))
        status = 404;
    if (*is_folder && len > 0)
        len--; /* the slash */
    out[len] = '\0';
    return status;
}

bool
guaco__file_is_hashed(struct guaco_slice path)
{
    size_t digits = 0; /* hexadecimal ones just before */
    bool has_decimal = false;
    bool is_open = false; /* they began behind a dot or a hyphen */

    for (size_t i = 0; i < path.len; i++) {
        char c = path.at[i];

        if (c == '.' && is_open && digits >= 8 && has_decimal &&
            memchr(path.at + i, '/', path.len - i) == NULL)
            return true;
        if (c == '.' || c == '-') {
            is_open = true;
            digits = 0;
            has_decimal = false;
        } else if (guaco__hex_value[(unsigned char)c] >= 0) {
            digits++;
            has_decimal |= c <= '9';
        } else {
            is_open = false;
        }
    }
    return false;
}
