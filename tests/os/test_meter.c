/* The promises of os/meter.h. */

#include "os/meter.h"

#include <string.h>
#include <unistd.h>

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__meters meters;

static int
setup(void **state)
{
    (void)state;
    return guaco__meters_open(&meters, NULL);
}

static int
teardown(void **state)
{
    (void)state;
    guaco__meters_close(&meters);
    return 0;
}

static uint64_t
gotten(const struct guaco__meter_counts *counts, int class)
{
    return counts->requests[GUACO__METER_GET][class];
}

static void
what_an_ended_process_counted_is_kept_and_told_once(void **state)
{
    struct guaco__meter_counts sum;

    (void)state;
    int one = guaco__meters_take(&meters, 11);
    int two = guaco__meters_take(&meters, 12);
    assert_int_not_equal(one, two);
    for (int i = 0; i < 3; i++)
        guaco__meter_request(&meters.slots[one], GUACO__METER_GET, 200, 700);
    guaco__meter_request(&meters.slots[two], GUACO__METER_GET, 503, 100);
    guaco__meters_sum(&meters, &sum);
    assert_int_equal(gotten(&sum, 2), 3);
    guaco__meters_give(&meters, one);
    guaco__meters_give(&meters, -1);
    guaco__meters_sum(&meters, &sum);
    assert_int_equal(gotten(&sum, 2), 3);
    assert_int_equal(gotten(&sum, 5), 1);
    assert_int_equal(sum.duration_us, 2200);
    assert_int_equal(sum.durations[0], 1);
    assert_int_equal(sum.durations[1], 3);
    assert_int_equal(guaco__meters_take(&meters, 13), one);
    guaco__meters_sum(&meters, &sum);
    assert_int_equal(gotten(&sum, 2), 3);
}

static void
durations_fall_into_the_bucket_that_holds_them(void **state)
{
    struct guaco__meter *m = &meters.slots[guaco__meters_take(&meters, 1)];

    (void)state;
    guaco__meter_request(m, GUACO__METER_PUT, 200, 0);
    guaco__meter_request(m, GUACO__METER_PUT, 200, 500);
    guaco__meter_request(m, GUACO__METER_PUT, 200, 501);
    guaco__meter_request(m, GUACO__METER_PUT, 200, UINT64_MAX);
    assert_int_equal(m->counts.durations[0], 2);
    assert_int_equal(m->counts.durations[1], 1);
    assert_int_equal(m->counts.durations[GUACO__METER_BUCKETS - 1], 1);
    guaco__meter_request(m, GUACO__METER_GET, 101, 5);
    assert_int_equal(m->counts.durations[0], 2);
    assert_int_equal(gotten(&m->counts, 1), 1);
    guaco__meter_request(m, GUACO__METER_GET, 0, 5);
    guaco__meter_request(m, GUACO__METER_GET, 999, 5);
    assert_int_equal(gotten(&m->counts, 0), 2);
}

static void
methods_are_known_by_their_whole_name(void **state)
{
    (void)state;
    assert_int_equal(guaco__meter_method_of(GUACO_SLICE("GET")),
                     GUACO__METER_GET);
    assert_int_equal(guaco__meter_method_of(GUACO_SLICE("OPTIONS")),
                     GUACO__METER_OPTIONS);
    assert_int_equal(guaco__meter_method_of(GUACO_SLICE("GETS")),
                     GUACO__METER_OTHER);
    assert_int_equal(guaco__meter_method_of(GUACO_SLICE("OTHER")),
                     GUACO__METER_OTHER);
    assert_string_equal(guaco__meter_method_name(GUACO__METER_PATCH), "PATCH");
}

static void
requests_in_flight_are_seen_until_they_end(void **state)
{
    struct guaco__meter *m = &meters.slots[guaco__meters_take(&meters, 1)];
    struct guaco__meter_view view;
    char lengthy[2 * GUACO__METER_TARGET_BYTES];

    (void)state;
    int a = guaco__meter_begin(m, GUACO__METER_POST, GUACO_SLICE("/a"), 5);
    assert_int_equal(guaco__meter_look(m, (size_t)a, &view), GUACO_OK);
    assert_string_equal(view.target, "/a");
    assert_int_equal(view.method, GUACO__METER_POST);
    assert_int_equal(view.since_ns, 5);
    guaco__meter_end(m, a);
    assert_int_equal(guaco__meter_look(m, (size_t)a, &view), GUACO_E_MISSING);

    memset(lengthy, 'x', sizeof lengthy);
    struct guaco_slice target = {lengthy, sizeof lengthy};
    for (int i = 0; i < GUACO__METER_CALLS; i++)
        assert_int_equal(guaco__meter_begin(m, GUACO__METER_GET, target, 9), i);
    assert_int_equal(guaco__meter_begin(m, GUACO__METER_GET, target, 9), -1);
    guaco__meter_end(m, -1);
    assert_int_equal(guaco__meter_look(m, 3, &view), GUACO_OK);
    assert_int_equal(strlen(view.target), GUACO__METER_TARGET_BYTES - 1);
}

static void
a_call_that_keeps_changing_is_given_up(void **state)
{
    struct guaco__meter *m = &meters.slots[guaco__meters_take(&meters, 1)];
    struct guaco__meter_view view;

    (void)state;
    m->calls[2].since_ns = 1;
    m->calls[2].seq = 3; /* a writer that died in the middle */
    assert_int_equal(guaco__meter_look(m, 2, &view), GUACO_E_AGAIN);
    m->calls[2].seq = 4;
    m->calls[2].method = 77; /* of a later version, or damaged */
    assert_int_equal(guaco__meter_look(m, 2, &view), GUACO_OK);
    assert_int_equal(view.method, GUACO__METER_OTHER);
}

static void
another_process_maps_the_same_memory(void **state)
{
    struct guaco__meters other;

    (void)state;
    int slot = guaco__meters_take(&meters, 5);
    assert_int_equal(guaco__meters_map(&other, dup(meters.shm.fd), NULL),
                     GUACO_OK);
    guaco__meter_request(&other.slots[slot], GUACO__METER_GET, 200, 1);
    assert_int_equal(gotten(&meters.slots[slot].counts, 2), 1);
    guaco__meters_close(&other);
}

static void
what_is_no_meter_is_refused(void **state)
{
    struct guaco__meters other;
    struct guaco__shm shm;
    struct guaco_error err = {0};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    assert_int_equal(guaco__meters_map(&other, ends[0], &err), GUACO_E_PROTO);
    assert_int_equal(
        guaco__shm_open_anonymous(&shm, "x", meters.shm.bytes, NULL), GUACO_OK);
    assert_int_equal(guaco__meters_map(&other, dup(shm.fd), &err),
                     GUACO_E_PROTO);
    assert_null(other.slots);
    guaco__shm_close(&shm);
}

static void
all_slots_can_be_taken_and_no_more(void **state)
{
    (void)state;
    for (int i = 0; i < GUACO__METER_SLOTS; i++)
        assert_int_equal(guaco__meters_take(&meters, 1), i);
    assert_int_equal(guaco__meters_take(&meters, 1), -1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_an_ended_process_counted_is_kept_and_told_once),
        T(durations_fall_into_the_bucket_that_holds_them),
        T(methods_are_known_by_their_whole_name),
        T(requests_in_flight_are_seen_until_they_end),
        T(a_call_that_keeps_changing_is_given_up),
        T(another_process_maps_the_same_memory),
        T(what_is_no_meter_is_refused),
        T(all_slots_can_be_taken_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
