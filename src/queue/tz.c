/*
 * TZif files and the offset at a moment.
 *
 * A file is a header with six counts, a block of arrays whose sizes the counts
 * give, and from version 2 on the same again with 64-bit times, then a footer.
 * The first block of such a file is skipped.  All arrays of a zone lie in one
 * allocation behind the struct.
 */

#include "tz.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "os/file.h"
#include "tz_rule.h"

#define HEADER_BYTES 44
#define TYPE_BYTES   6
#define PATH_BYTES   512

struct guaco__tz {
    size_t count;    /* of listed changes */
    int32_t first_s; /* offset before the first of them */
    bool has_rule;
    struct guaco__tz_rule rule; /* holds after the last of them */
    int64_t *at_s;              /* ascending */
    int32_t *offset_s;          /* from at_s[i] on */
};

/* One header, and where its block lies. */
struct block {
    const unsigned char *data; /* behind the header */
    size_t time_bytes;         /* of one time: 4 or 8 */
    size_t isut_count;
    size_t isstd_count;
    size_t leap_count;
    size_t time_count;
    size_t type_count;
    size_t char_count;
};

static int
damaged(struct guaco_error *err, const char *what)
{
    return guaco_fail(err, GUACO_E_PROTO, 0, "time zone file: %s", what);
}

/* ---- numbers ---- */

static uint32_t
read_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
           (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static int64_t
read_time(const unsigned char *at, size_t bytes)
{
    if (bytes == 4)
        return (int32_t)read_u32(at);
    return (int64_t)((uint64_t)read_u32(at) << 32 | read_u32(at + 4));
}

/* ---- the parts of a file ---- */

static size_t
block_bytes(const struct block *block)
{
    return block->time_count * (block->time_bytes + 1) +
           block->type_count * TYPE_BYTES + block->char_count +
           block->leap_count * (block->time_bytes + 4) + block->isstd_count +
           block->isut_count;
}

/* Read the header at data[0..len) and check that its block is all there. */
static int
read_header(struct block *block, const unsigned char *data, size_t len,
            size_t time_bytes, struct guaco_error *err)
{
    if (len < HEADER_BYTES || memcmp(data, "TZif", 4) != 0)
        return damaged(err, "does not begin with TZif");

    /* No count may exceed the file, so that no sum can overflow. */
    for (size_t at = 20; at < HEADER_BYTES; at += 4)
        if (read_u32(data + at) > GUACO__TZ_BYTES_MAX)
            return damaged(err, "a count is greater than the file");
    block->data = data + HEADER_BYTES;
    block->time_bytes = time_bytes;
    block->isut_count = read_u32(data + 20);
    block->isstd_count = read_u32(data + 24);
    block->leap_count = read_u32(data + 28);
    block->time_count = read_u32(data + 32);
    block->type_count = read_u32(data + 36);
    block->char_count = read_u32(data + 40);
    if (block_bytes(block) > len - HEADER_BYTES)
        return damaged(err, "ends too early");
    return GUACO_OK;
}

static int
check_counts(const struct block *block, struct guaco_error *err)
{
    if (block->type_count == 0 || block->type_count > 256)
        return damaged(err, "not 1 to 256 types of local time");
    if (block->char_count == 0)
        return damaged(err, "no abbreviations");
    if (block->isut_count != 0 && block->isut_count != block->type_count)
        return damaged(err, "isutcnt is neither 0 nor typecnt");
    if (block->isstd_count != 0 && block->isstd_count != block->type_count)
        return damaged(err, "isstdcnt is neither 0 nor typecnt");
    if (block->leap_count != 0)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "time zone file: it counts leap seconds; use the "
                          "zone of the same name outside of 'right/'");
    return GUACO_OK;
}

/* Check one type record and give its offset. */
static int
read_type(const struct block *block, const unsigned char *types, size_t i,
          int32_t *offset_s, struct guaco_error *err)
{
    const unsigned char *type = types + i * TYPE_BYTES;
    int32_t offset = (int32_t)read_u32(type);

    if (offset < -GUACO__TZ_WEST_MAX_S || offset > GUACO__TZ_EAST_MAX_S)
        return damaged(err, "an offset is beyond a day");
    if (type[4] > 1)
        return damaged(err, "isdst is neither 0 nor 1");
    if (type[5] >= block->char_count)
        return damaged(err, "an abbreviation lies outside of the file");
    *offset_s = offset;
    return GUACO_OK;
}

/* The arrays of a block whose counts were checked. */
static int
read_block(struct guaco__tz *tz, const struct block *block,
           struct guaco_error *err)
{
    const unsigned char *times = block->data;
    const unsigned char *kinds = times + block->time_count * block->time_bytes;
    const unsigned char *types = kinds + block->time_count;
    int32_t offset_s[256];

    assert(block->type_count >= 1 && block->type_count <= 256);
    for (size_t i = 0; i < block->type_count; i++) {
        int rc = read_type(block, types, i, &offset_s[i], err);
        if (rc != GUACO_OK)
            return rc;
    }
    for (size_t i = 0; i < block->time_count; i++) {
        tz->at_s[i] =
            read_time(times + i * block->time_bytes, block->time_bytes);
        if (i > 0 && tz->at_s[i] <= tz->at_s[i - 1])
            return damaged(err, "its times do not ascend");
        if (kinds[i] >= block->type_count)
            return damaged(err, "a change is to a type that is not there");
        tz->offset_s[i] = offset_s[kinds[i]];
    }
    tz->first_s = offset_s[0];
    return GUACO_OK;
}

/* NL, the rule, NL; an empty rule says that none is known. */
static int
read_footer(struct guaco__tz *tz, const unsigned char *at, size_t len,
            struct guaco_error *err)
{
    const unsigned char *nl = NULL;

    if (len >= 2 && at[0] == '\n')
        nl = memchr(at + 1, '\n', len - 1);
    if (nl == NULL)
        return damaged(err, "its footer is not between two newlines");

    struct guaco_slice text = {(const char *)at + 1, (size_t)(nl - at) - 1};
    tz->has_rule = text.len > 0;
    return tz->has_rule ? guaco__tz_rule_parse(&tz->rule, text, err) : GUACO_OK;
}

/* ---- making ---- */

static struct guaco__tz *
tz_new(size_t count)
{
    assert(count <= GUACO__TZ_BYTES_MAX);

    struct guaco__tz *tz = calloc(
        1, sizeof *tz + count * (sizeof *tz->at_s + sizeof *tz->offset_s));
    if (tz == NULL)
        return NULL;
    _Static_assert(sizeof *tz % _Alignof(int64_t) == 0, "at_s is aligned");
    tz->count = count;
    tz->at_s = (int64_t *)(tz + 1);
    tz->offset_s = (int32_t *)(tz->at_s + count);
    return tz;
}

static int
tz_make(struct guaco__tz **tz, const struct block *block,
        const unsigned char *end, struct guaco_error *err)
{
    const unsigned char *footer = block->data + block_bytes(block);
    int rc = check_counts(block, err);

    if (rc != GUACO_OK)
        return rc;
    struct guaco__tz *made = tz_new(block->time_count);
    if (made == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "time zone");
    rc = read_block(made, block, err);
    if (rc == GUACO_OK && block->time_bytes == 8)
        rc = read_footer(made, footer, (size_t)(end - footer), err);
    if (rc != GUACO_OK) {
        guaco__tz_free(made);
        return rc;
    }
    *tz = made;
    return GUACO_OK;
}

int
guaco__tz_parse(struct guaco__tz **tz, const void *data, size_t len,
                struct guaco_error *err)
{
    const unsigned char *at = data;
    struct block block;

    if (len > GUACO__TZ_BYTES_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "time zone file: over %d bytes", GUACO__TZ_BYTES_MAX);
    int rc = read_header(&block, at, len, 4, err);
    if (rc != GUACO_OK)
        return rc;
    if (at[4] != '\0' && (at[4] < '2' || at[4] > '4'))
        return damaged(err, "its version is not 1 to 4");
    if (at[4] != '\0') {
        const unsigned char *second = block.data + block_bytes(&block);
        size_t left = len - (size_t)(second - at);
        rc = read_header(&block, second, left, 8, err);
        if (rc != GUACO_OK)
            return rc;
    }
    return tz_make(tz, &block, at + len, err);
}

void
guaco__tz_free(struct guaco__tz *tz)
{
    free(tz);
}

/* ---- finding ---- */

static bool
is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-' ||
           c == '+';
}

/* Names have neither dots nor a leading slash, so that none leads out of the
 * folder. */
static bool
is_name(struct guaco_slice name)
{
    if (name.len == 0 || name.len > 128 || name.at[0] == '/')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_letter(name.at[i]))
            return false;
    return name.at[name.len - 1] != '/';
}

static int
open_in(struct guaco__tz **tz, struct guaco_slice dir, struct guaco_slice name,
        struct guaco_error *err)
{
    char path[PATH_BYTES];
    struct guaco__buf buf;

    int len = snprintf(path, sizeof path, "%.*s/%.*s", (int)dir.len, dir.at,
                       (int)name.len, name.at);
    if (len < 0 || (size_t)len >= sizeof path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "time zones: the path of a folder is too long");
    guaco__buf_init(&buf, GUACO__TZ_BYTES_MAX);
    int rc = guaco__file_read(path, &buf, err);
    if (rc == GUACO_OK)
        rc = guaco__tz_parse(tz, guaco__buf_data(&buf), buf.len, err);
    guaco__buf_release(&buf);
    return rc;
}

int
guaco__tz_open(struct guaco__tz **tz, struct guaco_slice name, const char *dirs,
               struct guaco_error *err)
{
    if (!is_name(name))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "'%.*s' is not the name of a time zone",
                          (int)(name.len < 64 ? name.len : 64), name.at);
    if (guaco_slice_equals(name, GUACO_SLICE("UTC"))) {
        *tz = tz_new(0);
        return *tz != NULL ? GUACO_OK
                           : guaco_fail(err, GUACO_E_NOMEM, 0, "time zone");
    }
    for (const char *at = dirs; *at != '\0';) {
        struct guaco_slice dir = {at, strcspn(at, ":")};
        int rc = dir.len > 0 ? open_in(tz, dir, name, err) : GUACO_E_MISSING;
        if (rc != GUACO_E_MISSING)
            return rc;
        at += dir.len + (at[dir.len] == ':');
    }
    return guaco_fail(err, GUACO_E_MISSING, 0, "no time zone '%.*s' in %s",
                      (int)name.len, name.at, dirs);
}

/* ---- asking ---- */

/* The number of listed changes that are not after utc_s. */
static size_t
changes_until(const struct guaco__tz *tz, int64_t utc_s)
{
    size_t low = 0, high = tz->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tz->at_s[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct guaco__tz_span
guaco__tz_at(const struct guaco__tz *tz, int64_t utc_s)
{
    size_t i = changes_until(tz, utc_s);
    struct guaco__tz_span span = {
        .start_s = i > 0 ? tz->at_s[i - 1] : INT64_MIN,
        .end_s = i < tz->count ? tz->at_s[i] : INT64_MAX,
        .offset_s = i > 0 ? tz->offset_s[i - 1] : tz->first_s,
    };

    if (i == tz->count && tz->has_rule) {
        struct guaco__tz_span rule = guaco__tz_rule_at(&tz->rule, utc_s);
        span.offset_s = rule.offset_s;
        span.end_s = rule.end_s;
        if (rule.start_s > span.start_s)
            span.start_s = rule.start_s;
    }
    assert(span.start_s <= utc_s);
    assert(utc_s < span.end_s);
    return span;
}
