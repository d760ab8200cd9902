/* The promises of base/heap.h, against sorting as the model. */

#include "base/heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/rand.h"

#include "../test.h"

struct item {
    struct guaco__heap_node node;
    int key;
    bool inside;
};

static bool
item_less(const struct guaco__heap_node *a, const struct guaco__heap_node *b)
{
    return GUACO__OF(a, struct item, node)->key <
           GUACO__OF(b, struct item, node)->key;
}

static void
gives_all_back_in_order(void **state)
{
    struct guaco__heap heap;
    struct item items[500];
    struct guaco__rand rand;
    int last = -1;

    (void)state;
    guaco__rand_init(&rand, 1);
    guaco__heap_init(&heap, item_less);
    assert_null(guaco__heap_min(&heap));
    for (size_t i = 0; i < 500; i++) {
        items[i].key = (int)guaco__rand_below(&rand, 300);
        guaco__heap_insert(&heap, &items[i].node);
    }
    for (size_t i = 0; i < 500; i++) {
        struct guaco__heap_node *min = guaco__heap_min(&heap);
        int key = GUACO__OF(min, struct item, node)->key;
        assert_true(key >= last);
        last = key;
        guaco__heap_remove(&heap, min);
    }
    assert_int_equal(heap.count, 0);
    assert_null(guaco__heap_min(&heap));
}

/* The least key inside, or -1. */
static int
model_min(const struct item *items, size_t n)
{
    int least = -1;

    for (size_t i = 0; i < n; i++)
        if (items[i].inside && (least < 0 || items[i].key < least))
            least = items[i].key;
    return least;
}

static void
any_node_may_leave_at_any_time(void **state)
{
    struct guaco__heap heap;
    struct item items[64];
    struct guaco__rand rand;

    (void)state;
    memset(items, 0, sizeof items);
    guaco__rand_init(&rand, 2);
    guaco__heap_init(&heap, item_less);
    for (int turn = 0; turn < 20000; turn++) {
        struct item *item = &items[guaco__rand_below(&rand, 64)];
        if (item->inside) {
            guaco__heap_remove(&heap, &item->node);
        } else {
            item->key = (int)guaco__rand_below(&rand, 50);
            guaco__heap_insert(&heap, &item->node);
        }
        item->inside = !item->inside;

        struct guaco__heap_node *min = guaco__heap_min(&heap);
        int key = min == NULL ? -1 : GUACO__OF(min, struct item, node)->key;
        assert_int_equal(key, model_min(items, 64));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_all_back_in_order),
        cmocka_unit_test(any_node_may_leave_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
