/* A recorded fixture: the format is in memory.h. */

#include "memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MAX 1000000u

struct range {
    uint64_t address, bytes;
    const char *at; /* in the copy of the image */
};

struct fixture_memory {
    struct guaco__vmem base;
    char *image;
    struct range *ranges;
    size_t count;
};

/* The range that holds `address`, or NULL. */
static const struct range *
range_find(const struct fixture_memory *self, uint64_t address)
{
    size_t low = 0, high = self->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct range *range = &self->ranges[middle];
        if (address < range->address)
            high = middle;
        else if (address - range->address >= range->bytes)
            low = middle + 1;
        else
            return range;
    }
    return NULL;
}

/* Copy one span, which may run over ranges that touch. */
static int
span_copy(const struct fixture_memory *self, struct guaco__span span)
{
    char *to = span.to;

    while (span.len > 0) {
        const struct range *range = range_find(self, span.from);
        if (range == NULL)
            return GUACO_E_AGAIN;
        uint64_t skip = span.from - range->address;
        uint64_t there = range->bytes - skip;
        size_t take = there < span.len ? (size_t)there : span.len;
        memcpy(to, range->at + skip, take);
        to += take;
        span.from += take;
        span.len -= take;
    }
    return GUACO_OK;
}

static int
fixture_read(struct guaco__vmem *memory, const struct guaco__span *spans,
             size_t count, size_t *done)
{
    const struct fixture_memory *self = (struct fixture_memory *)memory;

    for (*done = 0; *done < count; (*done)++) {
        int rc = span_copy(self, spans[*done]);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

static void
fixture_close(struct guaco__vmem *memory)
{
    struct fixture_memory *self = (struct fixture_memory *)memory;

    free(self->ranges);
    free(self->image);
}

static const struct guaco__vmem_ops fixture_ops = {
    .name = "fixture",
    .read = fixture_read,
    .close = fixture_close,
};

static const char magic[8] = {'G', 'U', 'A', 'C', 'O', 'M', 'E', 'M'};
#define HEAD_BYTES  16u
#define RANGE_BYTES 16u

/* Fill in the ranges from the image; false when it is not such a file. */
static bool
ranges_read(struct fixture_memory *self, size_t len)
{
    size_t at = HEAD_BYTES + self->count * RANGE_BYTES;
    uint64_t low = 0;

    for (size_t i = 0; i < self->count; i++) {
        struct range *range = &self->ranges[i];
        const char *entry = self->image + HEAD_BYTES + i * RANGE_BYTES;
        memcpy(&range->address, entry, 8);
        memcpy(&range->bytes, entry + 8, 8);
        if (range->address < low || range->bytes > len - at ||
            range->bytes > UINT64_MAX - range->address)
            return false;
        range->at = self->image + at;
        low = range->address + range->bytes;
        at += (size_t)range->bytes;
    }
    return true;
}

/* The number of ranges that the head announces; false: not a fixture. */
static bool
head_read(const char *image, size_t len, size_t *count)
{
    uint32_t version, ranges;

    if (len < HEAD_BYTES || memcmp(image, magic, sizeof magic) != 0)
        return false;
    memcpy(&version, image + 8, 4);
    memcpy(&ranges, image + 12, 4);
    *count = ranges;
    return version == 1 && ranges <= RANGES_MAX &&
           len - HEAD_BYTES >= (size_t)ranges * RANGE_BYTES;
}

int
guaco__vmem_of_fixture(struct guaco__vmem **memory, const void *image,
                       size_t len, struct guaco_error *err)
{
    size_t count;

    if (!head_read(image, len, &count))
        return guaco_fail(err, GUACO_E_PROTO, 0, "not a memory fixture");

    struct fixture_memory *self = calloc(1, sizeof *self);
    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "memory fixture");
    self->base.ops = &fixture_ops;
    self->count = count;
    self->image = malloc(len);
    self->ranges = calloc(count + 1, sizeof *self->ranges);
    if (self->image == NULL || self->ranges == NULL) {
        guaco__vmem_close(&self->base);
        return guaco_fail(err, GUACO_E_NOMEM, 0, "memory fixture");
    }
    memcpy(self->image, image, len);
    if (!ranges_read(self, len)) {
        guaco__vmem_close(&self->base);
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "ranges of a memory fixture overlap or are cut");
    }
    *memory = &self->base;
    return GUACO_OK;
}
