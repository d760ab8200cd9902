/* What all readers share. */

#include "memory.h"

#include <assert.h>
#include <stdlib.h>

int
guaco__vmem_read(struct guaco__vmem *memory, const struct guaco__span *spans,
                 size_t count, size_t *done)
{
    assert(count <= GUACO__SPANS_MAX);

    size_t ignored;
    memory->reads++;
    return memory->ops->read(memory, spans, count,
                             done != NULL ? done : &ignored);
}

void
guaco__vmem_close(struct guaco__vmem *memory)
{
    if (memory == NULL)
        return;
    memory->ops->close(memory);
    free(memory);
}
