/*
 * Fuzz the reading of HTTP/2: the same bytes in any split give the same events.
 * The preface is put before the input, so that each byte of it counts; and the
 * same is read once more with answers that are sent in between, which may make
 * a difference but no crash.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "h2_trace.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h2_trace whole;
    static struct h2_trace split;
    size_t len = GUACO__H2_PREFACE_BYTES + size;
    char *all;

    if (size > 20000)
        return 0;
    all = malloc(len);
    if (all == NULL)
        return 0;
    memcpy(all, GUACO__H2_PREFACE, GUACO__H2_PREFACE_BYTES);
    memcpy(all + GUACO__H2_PREFACE_BYTES, data, size);
    h2_trace_run(&whole, all, len, 0, 0, false);
    for (size_t step = 1; step < 4; step++) {
        h2_trace_run(&split, all, len, step, step * step, false);
        MUST(strcmp(split.text, whole.text) == 0);
    }
    h2_trace_run(&split, all, len, 0, 50, true);
    free(all);
    return 0;
}
