/*
 * Fuzz conditions, ranges and codings: the input is lines of a request about a
 * file.  Ranges that come out lie in the file, in order, and apart.
 */

#include "fuzz.h"

#include <string.h>

#include "http/coding.h"
#include "http/conditions.h"
#include "http/fields.h"

static void
check_ranges(const struct guaco__range *ranges, int count, uint64_t size)
{
    for (int i = 0; i < count; i++) {
        MUST(ranges[i].from <= ranges[i].to && ranges[i].to < size);
        for (int j = 0; j < i; j++)
            MUST(ranges[i].to < ranges[j].from ||
                 ranges[j].to < ranges[i].from);
    }
}

static void
check_codings(const struct guaco_request *request)
{
    enum guaco__coding codings[GUACO__CODING_COUNT];
    size_t count = guaco__codings_read(request, codings);
    unsigned seen = 0;

    MUST(count <= GUACO__CODING_COUNT);
    for (size_t i = 0; i < count; i++) {
        MUST((seen & 1U << codings[i]) == 0);
        seen |= 1U << codings[i];
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum guaco__field_id known[] = {
        GUACO__FIELD_RANGE,
        GUACO__FIELD_IF_RANGE,
        GUACO__FIELD_IF_MATCH,
        GUACO__FIELD_IF_NONE_MATCH,
        GUACO__FIELD_IF_MODIFIED_SINCE,
        GUACO__FIELD_IF_UNMODIFIED_SINCE,
        GUACO__FIELD_ACCEPT_ENCODING,
    };
    struct guaco_field fields[8];
    uint8_t ids[8];
    struct guaco_request request = {.fields = fields, .field_ids = ids};
    struct guaco__validators v = {.etag = GUACO_SLICE("\"a\""),
                                  .modified_s = 784111777,
                                  .now_s = 784111877};
    struct guaco__range ranges[GUACO__RANGES_MAX];

    if (size < 2 || size > 4096)
        return 0;

    char *copy = malloc(size);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    uint64_t bytes = (uint64_t)data[0] * data[0] * 16;
    const char *at = copy + 1;
    size_t left = size - 1;
    while (left > 0 && request.field_count < 8) {
        const char *end = memchr(at, '\n', left);
        size_t len = end == NULL ? left : (size_t)(end - at);

        ids[request.field_count] =
            (uint8_t)known[(uint8_t)at[0] % (sizeof known / sizeof *known)];
        fields[request.field_count++] =
            (struct guaco_field){{NULL, 0}, {at + (len > 0), len - (len > 0)}};
        len += end != NULL;
        at += len;
        left -= len;
    }
    int status = guaco__conditions_judge(&request, &v);
    MUST(status == 0 || status == 304 || status == 412);
    int count = guaco__ranges_read(&request, &v, bytes, ranges);
    MUST(count >= -1 && count <= GUACO__RANGES_MAX);
    check_ranges(ranges, count, bytes);
    check_codings(&request);
    free(copy);
    return 0;
}
