/* The order of a set's encoded items: RFC 8949 section 4.2.1, bytewise. */

#include "queue_types.h"

#include <stdlib.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

static int
compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int order = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);

    if (order != 0)
        return order;
    return x->len < y->len ? -1 : x->len > y->len;
}

int
guaco__items_sort(char *data, size_t from, const size_t *ends, size_t n)
{
    size_t len = ends[n - 1] - from;
    char *out = data + from;
    struct span *spans = malloc(n * sizeof *spans);
    char *copy = malloc(len);
    int rc = GUACO_E_NOMEM;

    if (spans != NULL && copy != NULL) {
        memcpy(copy, out, len);
        for (size_t i = 0; i < n; i++) {
            size_t start = i == 0 ? 0 : ends[i - 1] - from;
            spans[i] = (struct span){copy + start, ends[i] - from - start};
        }
        qsort(spans, n, sizeof *spans, compare_spans);
        for (size_t i = 0; i < n; i++) {
            memcpy(out, spans[i].at, spans[i].len);
            out += spans[i].len;
        }
        rc = GUACO_OK;
    }
    free(copy);
    free(spans);
    return rc;
}
