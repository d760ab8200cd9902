/* Allocations that fail on purpose: see failing_malloc.h. */

#include "failing_malloc.h"

#include <stddef.h>

static _Thread_local long left = -1; /* -1: all pass */
static _Thread_local bool refused;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void
fail_after(long n)
{
    left = n;
    refused = false;
}

bool
fail_stop(void)
{
    left = -1;
    return refused;
}

static bool
spent(void)
{
    if (left < 0)
        return false;
    if (left == 0) {
        refused = true;
        return true;
    }
    left--;
    return false;
}

void *
__wrap_malloc(size_t size)
{
    return spent() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return spent() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
    return spent() ? NULL : __real_realloc(p, size);
}
