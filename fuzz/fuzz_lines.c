/*
 * Fuzz the three line tables: the first byte chooses one, the next two are an
 * offset.  Lines stay in bounds, and a table that is cut never reads on.
 */

#include "fuzz.h"

#include "profile/lines.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum guaco__line_table kind = (enum guaco__line_table)(data[0] % 3);
    uint32_t offset = (uint32_t)(data[1] | data[2] << 8);
    struct guaco_slice table = {(const char *)data + 3, size - 3};

    int32_t line = guaco__lines_find(kind, table, 1, offset);
    MUST(line >= -(1 << 30) && line <= 1 << 30);
    line = guaco__lines_find(kind, table, INT32_MIN, UINT32_MAX);
    MUST(line >= -(1 << 30) && line <= 1 << 30);
    return 0;
}
