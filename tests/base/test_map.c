/* The promises of base/map.h, against an array as the model. */

#include "base/map.h"

#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "guaco/error.h"

#include "../failing_malloc.h"
#include "../test.h"

#define KEYS 200

static char keys[KEYS][8];

static int
make_keys(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "k%d", i);
    return 0;
}

static void
finds_what_was_put_and_nothing_else(void **state)
{
    struct guaco__map map;

    (void)state;
    guaco__map_init(&map, 10);
    assert_null(guaco__map_get(&map, TEXT("a")));
    assert_null(guaco__map_take(&map, TEXT("a")));
    assert_int_equal(guaco__map_put(&map, TEXT("a"), keys[0]), GUACO_OK);
    assert_int_equal(guaco__map_put(&map, TEXT(""), keys[1]), GUACO_OK);
    assert_int_equal(guaco__map_put(&map, TEXT("a"), keys[2]), GUACO_E_EXISTS);
    assert_ptr_equal(guaco__map_get(&map, TEXT("a")), keys[0]);
    assert_ptr_equal(guaco__map_get(&map, TEXT("")), keys[1]);
    assert_null(guaco__map_get(&map, TEXT("b")));
    assert_ptr_equal(guaco__map_take(&map, TEXT("a")), keys[0]);
    assert_null(guaco__map_get(&map, TEXT("a")));
    assert_int_equal(map.count, 1);
    guaco__map_release(&map);
}

static void
agrees_with_a_model_while_entries_come_and_go(void **state)
{
    struct guaco__map map;
    struct guaco__rand rand;
    bool inside[KEYS] = {false};

    (void)state;
    guaco__map_init(&map, KEYS);
    guaco__rand_init(&rand, 3);
    for (int turn = 0; turn < 50000; turn++) {
        size_t i = guaco__rand_below(&rand, KEYS);
        struct guaco_slice key = TEXT(keys[i]);
        if (inside[i])
            assert_ptr_equal(guaco__map_take(&map, key), keys[i]);
        else
            assert_int_equal(guaco__map_put(&map, key, keys[i]), GUACO_OK);
        inside[i] = !inside[i];
        size_t k = guaco__rand_below(&rand, KEYS);
        assert_ptr_equal(guaco__map_get(&map, TEXT(keys[k])),
                         inside[k] ? keys[k] : NULL);
    }
    guaco__map_release(&map);
}

static void
next_visits_each_entry_once(void **state)
{
    struct guaco__map map;
    int seen[KEYS] = {0};
    struct guaco_slice key;
    void *value;
    size_t at = 0;

    (void)state;
    guaco__map_init(&map, KEYS);
    assert_false(guaco__map_next(&map, &at, &key, &value));
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(guaco__map_put(&map, TEXT(keys[i]), keys[i]),
                         GUACO_OK);
    for (at = 0; guaco__map_next(&map, &at, &key, &value);) {
        assert_ptr_equal(key.at, value);
        seen[((char *)value - keys[0]) / 8]++;
    }
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
    guaco__map_release(&map);
}

static void
the_cap_is_kept(void **state)
{
    struct guaco__map map;

    (void)state;
    guaco__map_init(&map, 2);
    assert_int_equal(guaco__map_put(&map, TEXT("a"), keys[0]), GUACO_OK);
    assert_int_equal(guaco__map_put(&map, TEXT("b"), keys[0]), GUACO_OK);
    assert_int_equal(guaco__map_put(&map, TEXT("c"), keys[0]), GUACO_E_LIMIT);
    guaco__map_take(&map, TEXT("a"));
    assert_int_equal(guaco__map_put(&map, TEXT("c"), keys[0]), GUACO_OK);
    guaco__map_release(&map);
}

static void
without_memory_the_entries_stay(void **state)
{
    struct guaco__map map;
    int i;

    (void)state;
    guaco__map_init(&map, KEYS);
    fail_after(1); /* the first table, not the second */
    for (i = 0; guaco__map_put(&map, TEXT(keys[i]), keys[i]) == GUACO_OK; i++)
        ;
    assert_true(fail_stop());
    assert_int_equal(map.count, i);
    while (i-- > 0)
        assert_ptr_equal(guaco__map_get(&map, TEXT(keys[i])), keys[i]);
    guaco__map_release(&map);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put_and_nothing_else),
        cmocka_unit_test(agrees_with_a_model_while_entries_come_and_go),
        cmocka_unit_test(next_visits_each_entry_once),
        cmocka_unit_test(the_cap_is_kept),
        cmocka_unit_test(without_memory_the_entries_stay),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
