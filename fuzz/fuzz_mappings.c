/*
 * Fuzz the reader of /proc/PID/maps.  Mappings ascend, do not overlap, and each
 * is found by its first and last address.
 */

#include "fuzz.h"

#include "profile/mappings.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco__mappings maps;
    uint64_t low = 0;

    int rc = guaco__mappings_parse(&maps, (const char *)data, size, NULL);
    MUST(rc == GUACO_OK || rc == GUACO_E_PROTO || rc == GUACO_E_LIMIT);
    if (rc != GUACO_OK)
        return 0;
    for (size_t i = 0; i < maps.count; i++) {
        const struct guaco__mapping *map = &maps.at[i];
        MUST(map->start >= low && map->start < map->end);
        MUST(guaco__mappings_find(&maps, map->start) == map);
        MUST(guaco__mappings_find(&maps, map->end - 1) == map);
        MUST(map->path.len <= size);
        low = map->end;
    }
    guaco__mappings_release(&maps);
    return 0;
}
