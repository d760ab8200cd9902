/* What all readers share. */

#include "memory.h"

#include <assert.h>
#include <stdlib.h>

int
guaco__memory_read(struct guaco__memory *memory,
                   const struct guaco__span *spans, size_t count, size_t *done)
{
    assert(count <= GUACO__SPANS_MAX);

    size_t ignored;
    memory->reads++;
    return memory->ops->read(memory, spans, count,
                             done != NULL ? done : &ignored);
}

void
guaco__memory_close(struct guaco__memory *memory)
{
    if (memory == NULL)
        return;
    memory->ops->close(memory);
    free(memory);
}
