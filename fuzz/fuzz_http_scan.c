/*
 * Fuzz the scans against their table versions: the same stop, the same bytes
 * made lower case, none behind the stop touched; at every alignment of the
 * start.
 */

#include "fuzz.h"

#include <string.h>

#include "http/scan.h"

static void
compare(const uint8_t *data, size_t size)
{
    /* Exact allocations, so that a sanitizer sees every byte past the end. */
    char *fast = malloc(size + (size == 0));
    char *table = malloc(size + (size == 0));

    MUST(fast != NULL && table != NULL);
    memcpy(fast, data, size);
    memcpy(table, data, size);
    MUST(guaco__scan_value(fast, fast + size) ==
         guaco__scan_value_scalar(fast, fast + size));
    MUST(guaco__scan_target(fast, fast + size) ==
         guaco__scan_target_scalar(fast, fast + size));
    MUST(guaco__scan_name(fast, fast + size) - fast ==
         guaco__scan_name_scalar(table, table + size) - table);
    MUST(memcmp(fast, table, size) == 0);
    free(fast);
    free(table);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1024)
        return 0;
    for (size_t skip = 0; skip < 17 && skip < size; skip++)
        compare(data + skip, size - skip);
    return 0;
}
