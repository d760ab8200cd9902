/* Line tables: what each one is, is in lines.h. */

#include "lines.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

/* Sums of hostile deltas must not overflow; real lines are far below. */
#define LINE_MAX_ABS (INT32_C(1) << 30)

static int32_t
line_add(int32_t line, int64_t delta)
{
    int64_t sum = line + delta;

    if (sum > LINE_MAX_ABS || sum < -LINE_MAX_ABS)
        return line;
    return (int32_t)sum;
}

/* Pairs of an unsigned address increment and a signed line increment. */
static int32_t
find_lnotab(struct guaco_slice table, int32_t line, uint32_t offset)
{
    uint64_t address = 0;

    for (size_t i = 0; i + 1 < table.len; i += 2) {
        address += (unsigned char)table.at[i];
        if (address > offset)
            break;
        line = line_add(line, (signed char)table.at[i + 1]);
    }
    return line;
}

/* Pairs of a length in bytes and a line increment that holds for that range;
 * -128 says that the range has no line. */
static int32_t
find_ranges(struct guaco_slice table, int32_t line, uint32_t offset)
{
    uint64_t end = 0;
    int32_t shown = line;

    for (size_t i = 0; i + 1 < table.len; i += 2) {
        int delta = (signed char)table.at[i + 1];
        end += (unsigned char)table.at[i];
        if (delta != -128) {
            line = line_add(line, delta);
            shown = line;
        }
        if (end > offset)
            break;
    }
    return shown;
}

/* ---- the location table ------------------------------------------------- */

/* Six bits a byte, the least significant first; 0x40 says that more follow. */
static uint32_t
varint(struct guaco_slice table, size_t *at)
{
    uint32_t value = 0;

    for (unsigned shift = 0; *at < table.len && shift < 30; shift += 6) {
        unsigned byte = (unsigned char)table.at[(*at)++];
        value |= (byte & 0x3fu) << shift;
        if ((byte & 0x40u) == 0)
            break;
    }
    return value;
}

/* The sign is the lowest bit. */
static int64_t
signed_varint(struct guaco_slice table, size_t *at)
{
    uint32_t value = varint(table, at);
    int64_t half = value >> 1;

    return value & 1 ? -half : half;
}

enum location_code {
    LOCATION_ONE_LINE_0 = 10, /* 10, 11, 12: that many lines further */
    LOCATION_ONE_LINE_2 = 12,
    LOCATION_NO_COLUMNS = 13,
    LOCATION_LONG = 14,
    LOCATION_NONE = 15,
};

/* Where the next entry begins: the first byte with the top bit set. */
static size_t
next_entry(struct guaco_slice table, size_t at)
{
    while (at < table.len && ((unsigned char)table.at[at] & 0x80u) == 0)
        at++;
    return at;
}

/* What an entry adds to the line; its columns are passed over. */
static int64_t
line_delta(struct guaco_slice table, unsigned code, size_t at)
{
    if (code == LOCATION_LONG || code == LOCATION_NO_COLUMNS)
        return signed_varint(table, &at);
    if (code >= LOCATION_ONE_LINE_0 && code <= LOCATION_ONE_LINE_2)
        return (int64_t)code - LOCATION_ONE_LINE_0;
    return 0; /* short forms stay on the line, NONE has none */
}

static int32_t
find_locations(struct guaco_slice table, int32_t line, uint32_t offset)
{
    uint64_t end = 0;
    int32_t shown = line;

    for (size_t at = next_entry(table, 0); at < table.len;) {
        unsigned head = (unsigned char)table.at[at++];
        unsigned code = (head >> 3) & 15u;
        end += ((head & 7u) + 1) * 2; /* code units of two bytes */
        line = line_add(line, line_delta(table, code, at));
        if (code != LOCATION_NONE)
            shown = line;
        if (end > offset)
            break;
        at = next_entry(table, at);
    }
    return shown;
}

int32_t
guaco__lines_find(enum guaco__line_table kind, struct guaco_slice table,
                  int32_t first_line, uint32_t offset)
{
    assert(table.at != NULL || table.len == 0);

    if (first_line > LINE_MAX_ABS || first_line < -LINE_MAX_ABS)
        first_line = 0;
    switch (kind) {
    case GUACO__LINES_LNOTAB: return find_lnotab(table, first_line, offset);
    case GUACO__LINES_RANGES: return find_ranges(table, first_line, offset);
    case GUACO__LINES_LOCATIONS:
        return find_locations(table, first_line, offset);
    }
    return first_line;
}
