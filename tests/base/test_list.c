/* The promises of base/list.h. */

#include "base/list.h"

#include "../test.h"

struct item {
    int value;
    struct guaco__list link;
};

static void
order_is(const struct guaco__list *head, int a, int b, int c)
{
    const int want[] = {a, b, c};
    const struct guaco__list *link = head->next;

    for (int i = 0; i < 3; i++, link = link->next) {
        assert_ptr_not_equal(link, head);
        assert_int_equal(GUACO__OF(link, struct item, link)->value, want[i]);
    }
    assert_ptr_equal(link, head);
}

static void
links_enter_and_leave_at_both_ends_and_in_between(void **state)
{
    struct guaco__list head;
    struct item items[4];

    (void)state;
    guaco__list_init(&head);
    assert_true(guaco__list_is_empty(&head));
    assert_null(guaco__list_first(&head));
    assert_null(guaco__list_shift(&head));
    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        guaco__list_init(&items[i].link);
    }
    guaco__list_push(&head, &items[1].link);
    guaco__list_push(&head, &items[2].link);
    guaco__list_push_front(&head, &items[0].link);
    order_is(&head, 0, 1, 2);
    guaco__list_insert(&items[1].link, &items[3].link);
    guaco__list_remove(&items[1].link);
    guaco__list_remove(&items[1].link); /* out already: nothing happens */
    order_is(&head, 0, 3, 2);
    assert_ptr_equal(guaco__list_shift(&head), &items[0].link);
    assert_true(guaco__list_is_empty(&items[0].link));
    guaco__list_push(&head, &items[0].link);
    order_is(&head, 3, 2, 0);
}

static void
a_list_moves_behind_another(void **state)
{
    struct guaco__list to;
    struct guaco__list from;
    struct item items[3];

    (void)state;
    guaco__list_init(&to);
    guaco__list_init(&from);
    guaco__list_splice(&to, &from);
    assert_true(guaco__list_is_empty(&to));
    for (int i = 0; i < 3; i++) {
        items[i].value = i;
        guaco__list_init(&items[i].link);
        guaco__list_push(i == 0 ? &to : &from, &items[i].link);
    }
    guaco__list_splice(&to, &from);
    order_is(&to, 0, 1, 2);
    assert_true(guaco__list_is_empty(&from));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_enter_and_leave_at_both_ends_and_in_between),
        cmocka_unit_test(a_list_moves_behind_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
