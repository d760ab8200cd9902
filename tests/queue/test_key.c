/* Keys and locks, the same for every store. */

#include <stdlib.h>
#include <string.h>

#include "guaco/key.h"
#include "store.h"

/* ---- keys ---- */

static bool
put(struct fixture *f, const char *key, const char *value, uint64_t ttl_ms,
    bool if_empty)
{
    bool was;

    assert_int_equal(guaco_key_put(f->broker, TEXT(key), TEXT(value), ttl_ms,
                                   if_empty, &was, NULL),
                     GUACO_OK);
    return was;
}

static void
check(struct fixture *f, const char *key, bool take, const char *value)
{
    char *got;
    size_t len;
    int rc = guaco_key_get(f->broker, TEXT(key), take, 0, &got, &len, NULL);

    assert_int_equal(rc, value == NULL ? GUACO_E_MISSING : GUACO_OK);
    if (value == NULL)
        return;
    assert_int_equal(len, strlen(value));
    assert_memory_equal(got, value, len);
    free(got);
}

static void
a_key_keeps_its_value_until_it_is_taken(void **state)
{
    struct fixture *f = *state;
    bool was;

    check(f, "k", false, NULL);
    put(f, "k", "one", 0, false);
    check(f, "k", false, "one");
    put(f, "k", "two", 0, false);
    check(f, "k", true, "two");
    check(f, "k", true, NULL);
    put(f, "k", "", 0, false);
    check(f, "k", false, "");
    assert_int_equal(guaco_key_drop(f->broker, TEXT("k"), &was, NULL), 0);
    assert_true(was);
    assert_int_equal(guaco_key_drop(f->broker, TEXT("k"), &was, NULL), 0);
    assert_false(was);
}

static void
a_put_if_empty_changes_nothing_that_is_there(void **state)
{
    struct fixture *f = *state;

    assert_false(put(f, "k", "one", 0, true));
    assert_true(put(f, "k", "two", 0, true));
    check(f, "k", false, "one");
}

static void
a_key_goes_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    struct guaco__op sweep = {.kind = GUACO__OP_SWEEP, .sweep = {.limit = 10}};

    put(f, "k", "one", 5000, false);
    put(f, "stays", "x", 0, false);
    check(f, "k", false, "one");
    fixture_clock_shift_ms(5001);
    check(f, "k", false, NULL);
    assert_false(put(f, "k", "two", 1000, true));
    fixture_clock_shift_ms(1001);
    assert_int_equal(guaco__front_run_one(f->broker, &sweep, NULL), GUACO_OK);
    assert_int_equal(sweep.sweep.count, 1);
    check(f, "stays", false, "x");
}

static void
a_counter_counts_and_what_is_none_is_refused(void **state)
{
    struct fixture *f = *state;
    int64_t sum;

    assert_int_equal(guaco_key_add(f->broker, TEXT("n"), 5, 0, &sum, NULL), 0);
    assert_int_equal(sum, 5);
    assert_int_equal(guaco_key_add(f->broker, TEXT("n"), -7, 0, &sum, NULL), 0);
    assert_int_equal(sum, -2);
    check(f, "n", false, "-2");
    assert_int_equal(
        guaco_key_add(f->broker, TEXT("n"), INT64_MIN, 0, &sum, NULL),
        GUACO_E_STATE);
    check(f, "n", false, "-2");
    put(f, "n", "many", 0, false);
    assert_int_equal(guaco_key_add(f->broker, TEXT("n"), 1, 0, &sum, NULL),
                     GUACO_E_STATE);
}

struct listed {
    char text[64];
    size_t len;
};

static void
note(void *ctx, struct guaco_slice key, struct guaco_slice value)
{
    struct listed *listed = ctx;

    memcpy(listed->text + listed->len, key.at, key.len);
    listed->len += key.len;
    listed->text[listed->len++] = '=';
    memcpy(listed->text + listed->len, value.at, value.len);
    listed->len += value.len;
    listed->text[listed->len++] = ' ';
}

static void
keys_are_listed_by_prefix_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct listed all = {0}, rest = {0};

    put(f, "b:2", "two", 0, false);
    put(f, "b:1", "one", 0, false);
    put(f, "a:1", "no", 0, false);
    put(f, "c:1", "no", 0, false);
    put(f, "b:3", "three", 0, false);
    put(f, "b:0", "gone", 1000, false);
    fixture_clock_shift_ms(1001);
    assert_int_equal(
        guaco_key_list(f->broker, TEXT("b:"), TEXT(""), 2, note, &all, NULL),
        GUACO_OK);
    assert_string_equal(all.text, "b:1=one b:2=two ");
    assert_int_equal(guaco_key_list(f->broker, TEXT("b:"), TEXT("b:2"), 10,
                                    note, &rest, NULL),
                     GUACO_OK);
    assert_string_equal(rest.text, "b:3=three ");
}

static void *
put_it(void *arg)
{
    struct fixture *f = arg;

    put(f, "k", "late", 0, false);
    return NULL;
}

static void
who_waits_for_a_key_is_told(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    char *got;
    size_t len;

    assert_int_equal(
        guaco_key_get(f->broker, TEXT("k"), true, 1, &got, &len, NULL),
        GUACO_E_TIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, put_it, f), 0);
    assert_int_equal(
        guaco_key_get(f->broker, TEXT("k"), true, 20000, &got, &len, NULL),
        GUACO_OK);
    assert_memory_equal(got, "late", 4);
    free(got);
    pthread_join(thread, NULL);
}

/* ---- locks ---- */

static struct guaco_lock
lock_of(uint32_t slots, uint32_t lease_ms)
{
    return (struct guaco_lock){
        .name = TEXT("l"), .slots = slots, .lease_ms = lease_ms};
}

static uint32_t
holders(struct fixture *f, bool clear)
{
    uint32_t n;

    assert_int_equal(guaco_lock_holders(f->broker, TEXT("l"), clear, &n, NULL),
                     GUACO_OK);
    return n;
}

static void
a_lock_has_as_many_holders_as_slots(void **state)
{
    struct fixture *f = *state;
    struct guaco_lock a = lock_of(2, 60000), b = a, c = a;

    assert_int_equal(holders(f, false), 0);
    assert_int_equal(guaco_lock_take(f->broker, &a, 0, NULL), GUACO_OK);
    assert_int_equal(guaco_lock_take(f->broker, &b, 0, NULL), GUACO_OK);
    assert_true(b.token > a.token);
    assert_int_equal(guaco_lock_take(f->broker, &c, 0, NULL), GUACO_E_AGAIN);
    assert_int_equal(holders(f, false), 2);
    assert_int_equal(guaco_lock_free(f->broker, &a, NULL), GUACO_OK);
    assert_int_equal(guaco_lock_free(f->broker, &a, NULL), GUACO_E_LOST);
    assert_int_equal(guaco_lock_take(f->broker, &c, 0, NULL), GUACO_OK);
    assert_true(c.token > b.token);
    assert_int_equal(guaco_lock_renew(f->broker, &c, NULL), GUACO_OK);
    assert_int_equal(holders(f, true), 2);
    assert_int_equal(holders(f, false), 0);
    assert_int_equal(guaco_lock_renew(f->broker, &c, NULL), GUACO_E_LOST);
}

static void
a_lease_that_ends_frees_the_lock_for_who_waits(void **state)
{
    struct fixture *f = *state;
    struct guaco_lock a = lock_of(1, 30), b = lock_of(1, 60000);

    assert_int_equal(guaco_lock_take(f->broker, &a, 0, NULL), GUACO_OK);
    assert_int_equal(guaco_lock_take(f->broker, &b, 20000, NULL), GUACO_OK);
    assert_int_equal(guaco_lock_free(f->broker, &a, NULL), GUACO_E_LOST);
}

static void *
free_it(void *arg)
{
    struct fixture *f = arg;

    holders(f, true);
    return NULL;
}

static void
who_waits_for_a_lock_is_told(void **state)
{
    struct fixture *f = *state;
    struct guaco_lock a = lock_of(1, 60000), b = a;
    pthread_t thread;

    assert_int_equal(guaco_lock_take(f->broker, &a, 0, NULL), GUACO_OK);
    assert_int_equal(guaco_lock_take(f->broker, &b, 1, NULL), GUACO_E_TIMEOUT);
    assert_int_equal(pthread_create(&thread, NULL, free_it, f), 0);
    assert_int_equal(guaco_lock_take(f->broker, &b, 20000, NULL), GUACO_OK);
    pthread_join(thread, NULL);
}

static void
a_lock_goes_with_its_owner(void **state)
{
    struct fixture *f = *state;
    struct guaco__op op = {.kind = GUACO__OP_LOCK,
                           .lock = {.verb = GUACO__LOCK_TAKE,
                                    .name = GUACO_SLICE("l"),
                                    .slots = 1,
                                    .owner = f->owner,
                                    .lease_ms = 60000}};

    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_OK);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_E_AGAIN);
    assert_true(op.lock.free_ms > 0 && op.lock.free_ms <= 60000);
    assert_int_equal(fixture_reap(f, f->owner, true), GUACO_OK);
    assert_int_equal(holders(f, false), 0);
    assert_int_equal(guaco__front_run_one(f->broker, &op, NULL), GUACO_E_LOST);
}

static void
what_is_no_key_is_refused(void **state)
{
    struct fixture *f = *state;
    char big[GUACO_KEY_MAX + 1] = {1};
    struct guaco_lock a = lock_of(0, 60000), b = lock_of(1, 0);
    struct guaco_slice key = {big, sizeof big};
    bool was;

    assert_int_equal(
        guaco_key_put(f->broker, TEXT(""), TEXT("x"), 0, false, &was, NULL),
        GUACO_E_INVALID);
    assert_int_equal(
        guaco_key_put(f->broker, key, TEXT("x"), 0, false, &was, NULL),
        GUACO_E_INVALID);
    assert_int_equal(guaco_lock_take(f->broker, &a, 0, NULL), GUACO_E_INVALID);
    assert_int_equal(guaco_lock_take(f->broker, &b, 0, NULL), GUACO_E_INVALID);
}

#define TESTS(X)                                      \
    X(a_key_keeps_its_value_until_it_is_taken)        \
    X(a_put_if_empty_changes_nothing_that_is_there)   \
    X(a_key_goes_when_its_time_is_over)               \
    X(a_counter_counts_and_what_is_none_is_refused)   \
    X(keys_are_listed_by_prefix_in_their_order)       \
    X(who_waits_for_a_key_is_told)                    \
    X(a_lock_has_as_many_holders_as_slots)            \
    X(a_lease_that_ends_frees_the_lock_for_who_waits) \
    X(who_waits_for_a_lock_is_told)                   \
    X(a_lock_goes_with_its_owner)                     \
    X(what_is_no_key_is_refused)

#include "each_store.h"
