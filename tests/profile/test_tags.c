/* The board of this process, read as if it were another's. */

#include "test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "profile/tags.h"

static struct guaco__board board;
static struct guaco__vmem *memory;
static struct guaco__tags *tags;

static int
setup(void **state)
{
    (void)state;
    assert_int_equal(guaco__board_open(&board, NULL), 0);
    assert_int_equal(guaco__vmem_of_process(&memory, getpid(), NULL), 0);
    assert_int_equal(guaco__tags_open(&tags, getpid(), memory, NULL), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    guaco__tags_close(tags);
    guaco__vmem_close(memory);
    guaco__board_close(&board);
    return 0;
}

static void
a_thread_is_found_by_its_number(void **state)
{
    struct guaco__board_slot *slot = guaco__board_take(&board, 77);
    struct guaco__board_view view;
    size_t slot_at;

    (void)state;
    guaco__board_take(&board, 78);
    guaco__board_set(slot, GUACO__BOARD_TASK,
                     guaco__board_name(&board, GUACO_SLICE("send_mail")), 5, 0);
    assert_int_equal(guaco__tags_find(tags, 77, &view, &slot_at),
                     GUACO_E_MISSING);
    assert_int_equal(guaco__tags_look(tags), 0);
    assert_int_equal(guaco__tags_find(tags, 77, &view, &slot_at), 0);
    assert_int_equal(view.kind, GUACO__BOARD_TASK);
    assert_string_equal(view.name, "send_mail");
    assert_int_equal(guaco__tags_find(tags, 78, &view, &slot_at),
                     GUACO_E_MISSING);
    assert_int_equal(guaco__tags_find(tags, 0, &view, &slot_at),
                     GUACO_E_MISSING);
}

static void
what_changed_meanwhile_holds_no_more(void **state)
{
    struct guaco__board_slot *slot = guaco__board_take(&board, 77);
    struct guaco__board_view view;
    size_t slot_at;

    (void)state;
    guaco__board_set(slot, GUACO__BOARD_TASK, 0, 1, 0);
    assert_int_equal(guaco__tags_look(tags), 0);
    assert_int_equal(guaco__tags_find(tags, 77, &view, &slot_at), 0);
    assert_true(guaco__tags_still_hold(tags, slot_at));
    guaco__board_set(slot, GUACO__BOARD_TASK, 0, 1, 0); /* the same again */
    assert_false(guaco__tags_still_hold(tags, slot_at));
    assert_true(guaco__tags_still_hold(tags, GUACO__BOARD_SLOTS));
}

static void
new_names_are_fetched_when_they_are_there(void **state)
{
    struct guaco__board_slot *slot = guaco__board_take(&board, 1);
    struct guaco__board_view view;
    size_t slot_at;
    char name[16];

    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "n%d", i);
        struct guaco_slice text = {name, strlen(name)};
        guaco__board_set(slot, GUACO__BOARD_TASK,
                         guaco__board_name(&board, text), 1, 0);
        assert_int_equal(guaco__tags_look(tags), 0);
        assert_int_equal(guaco__tags_find(tags, 1, &view, &slot_at), 0);
        assert_string_equal(view.name, name);
    }
}

static void
an_answer_comes_later(void **state)
{
    char name[GUACO__BOARD_NAME_BYTES];
    uint64_t id = guaco__board_next_id(&board);

    (void)state;
    assert_int_equal(guaco__tags_ask(tags, id, name), GUACO_E_AGAIN);
    guaco__board_answer(&board, id,
                        guaco__board_name(&board, GUACO_SLICE("/x")));
    assert_int_equal(guaco__tags_look(tags), 0);
    assert_int_equal(guaco__tags_ask(tags, id, name), 0);
    assert_string_equal(name, "/x");
}

static void
a_process_without_one_is_told(void **state)
{
    struct guaco_error err = {0};
    struct guaco__tags *none = NULL;

    (void)state;
    guaco__board_close(&board);
    assert_int_equal(guaco__tags_open(&none, getpid(), memory, &err),
                     GUACO_E_MISSING);
    assert_non_null(strstr(err.text, "--profile-socket"));
    assert_int_equal(guaco__board_open(&board, NULL), 0);
}

/* Its process says that it has more names than there can be, or other ones. */
static void
lies_are_bounded(void **state)
{
    struct guaco__board_slot *slot = guaco__board_take(&board, 9);
    struct guaco__board_view view;
    size_t slot_at;
    char *head = board.shm.at;
    uint32_t many = UINT32_MAX;

    (void)state;
    guaco__board_set(slot, GUACO__BOARD_TASK, UINT32_MAX, 1, 0);
    memcpy(head + 16, &many, 4);
    assert_int_equal(guaco__tags_look(tags), 0);
    assert_int_equal(guaco__tags_find(tags, 9, &view, &slot_at),
                     GUACO_E_MISSING);
    memset(head, 'x', 8);
    assert_int_equal(guaco__tags_look(tags), 0);
    assert_int_equal(guaco__tags_find(tags, 9, &view, &slot_at),
                     GUACO_E_MISSING);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_thread_is_found_by_its_number),
        T(what_changed_meanwhile_holds_no_more),
        T(new_names_are_fetched_when_they_are_there),
        T(an_answer_comes_later),
        T(a_process_without_one_is_told),
        T(lies_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
