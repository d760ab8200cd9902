/*
 * Fuzz the request parser: the same bytes in any split give the same events,
 * and no event reaches outside of the bytes at hand (each call sees an
 * allocation of exactly those).  The limits are small, so that inputs reach
 * them.
 */

#include "fuzz.h"

#include <string.h>

#include "h1_trace.h"

static void
compare(const struct h1_trace *whole, const char *bytes, size_t size,
        size_t first, size_t step)
{
    static struct h1_trace split;

    h1_trace_run(&split, &h1_small_limits, bytes, size, first, step);
    if (strcmp(split.text, whole->text) != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct h1_trace whole;
    const char *bytes = (const char *)data;

    if (size > 4096)
        return 0;
    h1_trace_run(&whole, &h1_small_limits, bytes, size, 0, 0);
    compare(&whole, bytes, size, 0, 1);
    compare(&whole, bytes, size, 0, 7);
    /* At most 64 cuts in two, at places that change with the size. */
    for (size_t cut = 1 + size % 3; cut < size; cut += 1 + size / 64)
        compare(&whole, bytes, size, cut, 0);
    return 0;
}
