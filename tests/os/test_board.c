/* The promises of os/board.h. */

#include "os/board.h"

#include <stdio.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__board board;

static int
setup(void **state)
{
    (void)state;
    return guaco__board_open(&board, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    guaco__board_close(&board);
    return 0;
}

static int
look(size_t index, struct guaco__board_view *view)
{
    return guaco__board_look(board.shm.at, board.shm.bytes, index, view);
}

static void
a_reader_sees_what_a_thread_does(void **state)
{
    struct guaco__board_view view;

    (void)state;
    assert_int_equal(look(0, &view), GUACO_E_MISSING);
    struct guaco__board_slot *slot = guaco__board_take(&board, 77);
    uint32_t name = guaco__board_name(&board, GUACO_SLICE("demo.add"));
    guaco__board_set(slot, GUACO__BOARD_TASK, name, 5, 123);
    assert_int_equal(look(0, &view), GUACO_OK);
    assert_int_equal(view.tid, 77);
    assert_int_equal(view.kind, GUACO__BOARD_TASK);
    assert_int_equal(view.id, 5);
    assert_int_equal(view.since_ns, 123);
    assert_string_equal(view.name, "demo.add");
    guaco__board_give(slot);
    assert_int_equal(look(0, &view), GUACO_E_MISSING);
}

static void
slots_end_and_come_back(void **state)
{
    struct guaco__board_slot *first = guaco__board_take(&board, 1);

    (void)state;
    for (uint32_t i = 2; i <= GUACO__BOARD_SLOTS; i++)
        assert_non_null(guaco__board_take(&board, i));
    assert_null(guaco__board_take(&board, 9999));
    guaco__board_set(NULL, GUACO__BOARD_IDLE, 0, 0, 0); /* nothing happens */
    guaco__board_give(NULL);
    guaco__board_give(first);
    assert_ptr_equal(guaco__board_take(&board, 9999), first);
}

static void
equal_names_have_one_number_and_long_ones_are_cut(void **state)
{
    struct guaco__board_view view;
    char longer[200];

    (void)state;
    memset(longer, 'x', sizeof longer);
    uint32_t a = guaco__board_name(&board, GUACO_SLICE("a"));
    assert_int_not_equal(a, 0);
    assert_int_equal(guaco__board_name(&board, GUACO_SLICE("a")), a);
    assert_int_equal(guaco__board_name(&board, GUACO_SLICE("")), 0);
    struct guaco_slice cut = {longer, sizeof longer};
    uint32_t n = guaco__board_name(&board, cut);
    cut.len = GUACO__BOARD_NAME_BYTES;
    assert_int_equal(guaco__board_name(&board, cut), n);
    guaco__board_set(guaco__board_take(&board, 1), GUACO__BOARD_REQUEST, n, 0,
                     0);
    assert_int_equal(look(0, &view), GUACO_OK);
    assert_int_equal(strlen(view.name), GUACO__BOARD_NAME_BYTES - 1);
}

static void
names_past_the_table_are_other(void **state)
{
    char name[16];

    (void)state;
    for (int i = 1; i < GUACO__BOARD_NAMES; i++) {
        int n = snprintf(name, sizeof name, "n%d", i);
        struct guaco_slice s = {name, (size_t)n};
        assert_int_equal(guaco__board_name(&board, s), i);
    }
    assert_int_equal(guaco__board_name(&board, GUACO_SLICE("more")), 0);
    assert_int_equal(guaco__board_name(&board, GUACO_SLICE("n7")), 7);
}

static void
bytes_that_are_no_board_are_refused(void **state)
{
    static _Alignas(64) char copy[1 << 20];
    struct guaco__board_view view;
    size_t bytes = guaco__board_bytes();

    (void)state;
    struct guaco__board_slot *slot = guaco__board_take(&board, 1);
    memcpy(copy, board.shm.at, bytes);
    assert_int_equal(guaco__board_look(copy, bytes, 0, &view), GUACO_OK);
    assert_int_equal(guaco__board_look(copy, bytes - 1, 0, &view),
                     GUACO_E_PROTO);
    assert_int_equal(guaco__board_look(copy, bytes, 1u << 20, &view),
                     GUACO_E_MISSING);
    copy[0] ^= 1;
    assert_int_equal(guaco__board_look(copy, bytes, 0, &view), GUACO_E_PROTO);

    guaco__board_set(slot, GUACO__BOARD_TASK, 4000000000u, 0, 0);
    assert_int_equal(look(0, &view), GUACO_E_PROTO); /* no such name */
    atomic_fetch_add(&slot->seq, 1); /* its writer died half-way */
    assert_int_equal(look(0, &view), GUACO_E_AGAIN);
    atomic_fetch_add(&slot->seq, 1);
}

static int
ask(uint64_t id, char name[GUACO__BOARD_NAME_BYTES])
{
    return guaco__board_ask(board.shm.at, board.shm.bytes, id, name);
}

static void
a_request_is_named_by_its_answer(void **state)
{
    char name[GUACO__BOARD_NAME_BYTES];
    struct guaco__board_view view;

    (void)state;
    struct guaco__board_slot *slot = guaco__board_take(&board, 1);
    uint64_t id = guaco__board_next_id(&board);
    guaco__board_set(slot, GUACO__BOARD_REQUEST, 0, id, 0);
    assert_int_equal(look(0, &view), GUACO_OK);
    assert_false(view.is_named);
    assert_int_equal(ask(view.id, name), GUACO_E_AGAIN);
    uint32_t route = guaco__board_name(&board, GUACO_SLICE("/orders/{id}"));
    guaco__board_answer(&board, id, route);
    assert_int_equal(ask(view.id, name), GUACO_OK);
    assert_string_equal(name, "/orders/{id}");
    guaco__board_set(slot, GUACO__BOARD_REQUEST, route, id, 0);
    assert_int_equal(look(0, &view), GUACO_OK);
    assert_true(view.is_named);
    guaco__board_set(slot, GUACO__BOARD_TASK, 0, 7, 0); /* "other" */
    assert_int_equal(look(0, &view), GUACO_OK);
    assert_true(view.is_named);
}

static void
answers_are_overwritten_by_later_ones(void **state)
{
    char name[GUACO__BOARD_NAME_BYTES];

    (void)state;
    uint64_t first = guaco__board_next_id(&board);
    guaco__board_answer(&board, first + GUACO__BOARD_ANSWERS, 0);
    assert_int_equal(ask(first, name), GUACO_E_LOST);
    assert_int_equal(ask(first + GUACO__BOARD_ANSWERS, name), GUACO_OK);
    assert_int_equal(ask(first + 2 * GUACO__BOARD_ANSWERS, name),
                     GUACO_E_AGAIN);
    /* Past 2^32 the numbers go round. */
    uint64_t last = UINT32_MAX - 1023u;
    guaco__board_answer(&board, last, 0);
    assert_int_equal(ask(last + GUACO__BOARD_ANSWERS, name), GUACO_E_AGAIN);
    guaco__board_answer(&board, last + GUACO__BOARD_ANSWERS, 4000000000u);
    assert_int_equal(ask(last, name), GUACO_E_LOST);
    assert_int_equal(ask(last + GUACO__BOARD_ANSWERS, name), GUACO_E_PROTO);
}

static void
a_copy_is_as_long_as_its_names(void **state)
{
    (void)state;
    size_t before = guaco__board_used_bytes(board.shm.at);
    assert_int_equal(before,
                     guaco__board_head_bytes() + GUACO__BOARD_NAME_BYTES);
    guaco__board_name(&board, GUACO_SLICE("a"));
    assert_int_equal(guaco__board_used_bytes(board.shm.at),
                     before + GUACO__BOARD_NAME_BYTES);
    assert_true(guaco__board_head_bytes() < guaco__board_bytes());
}

static void
without_memory_a_name_is_other(void **state)
{
    (void)state;
    fail_after(0);
    uint32_t id = guaco__board_name(&board, GUACO_SLICE("x"));
    assert_true(fail_stop());
    assert_int_equal(id, 0);
    assert_int_equal(guaco__board_name(&board, GUACO_SLICE("x")), 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_reader_sees_what_a_thread_does),
        T(slots_end_and_come_back),
        T(equal_names_have_one_number_and_long_ones_are_cut),
        T(names_past_the_table_are_other),
        T(bytes_that_are_no_board_are_refused),
        T(a_request_is_named_by_its_answer),
        T(answers_are_overwritten_by_later_ones),
        T(a_copy_is_as_long_as_its_names),
        T(without_memory_a_name_is_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
