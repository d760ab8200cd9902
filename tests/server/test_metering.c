/* What a server shows in its meter: see server/metering.h. */

#include "os/meter.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fixture.h"

struct world {
    struct fixture f;
    struct client c;
    struct guaco__meters meters;
    struct guaco__meter *meter;
};

static int
open_world(void **state)
{
    static struct world w;

    memset(&w, 0, sizeof w);
    assert_int_equal(guaco__meters_open(&w.meters, NULL), GUACO_OK);
    w.meter = &w.meters.slots[guaco__meters_take(&w.meters, 7)];
    fixture_init(&w.f);
    w.f.options.meter = w.meter;
    w.f.options.pulse_fd = eventfd(0, EFD_NONBLOCK);
    fixture_open(&w.f);
    client_open(&w.c, &w.f);
    *state = &w;
    return 0;
}

static int
close_world(void **state)
{
    struct world *w = *state;

    client_close(&w->c);
    fixture_close(&w->f);
    close(w->f.options.pulse_fd);
    guaco__meters_close(&w->meters);
    return 0;
}

static uint64_t
count(const struct world *w, enum guaco__meter_method method, int class)
{
    return w->meter->counts.requests[method][class];
}

static void
requests_are_counted_by_method_and_status(void **state)
{
    struct world *w = *state;

    client_say(&w->c, GET("/") GET("/"));
    client_say(&w->c, "POST /echo HTTP/1.1\r\nhost: a\r\n"
                      "content-length: 2\r\n\r\nhi");
    client_say(&w->c, "GET /a b HTTP/1.1\r\n\r\n"); /* refused */
    assert_int_equal(count(w, GUACO__METER_GET, 2), 2);
    assert_int_equal(count(w, GUACO__METER_POST, 2), 1);
    assert_int_equal(
        count(w, GUACO__METER_GET, 4) + count(w, GUACO__METER_OTHER, 4), 1);
    assert_int_equal(w->meter->counts.refused, 1);
    assert_int_equal(w->meter->counts.connections, 1);
    assert_true(w->meter->counts.bytes_in > 100);
    assert_true(w->meter->counts.bytes_out > 100);
}

static void
bytes_of_a_connection_that_stays_open_are_counted(void **state)
{
    struct world *w = *state;

    client_say(&w->c, GET("/"));
    client_hear(&w->c);
    assert_int_equal(w->meter->counts.bytes_out, w->c.total);
    client_say(&w->c, GET("/"));
    client_hear(&w->c);
    assert_int_equal(w->meter->counts.bytes_out, w->c.total);
}

static void
a_request_in_flight_is_shown_until_it_is_over(void **state)
{
    struct world *w = *state;
    struct guaco__meter_view view;

    client_say(&w->c, GET("/later"));
    assert_int_equal(w->meter->in_flight, 1);
    assert_int_equal(w->meter->open_connections, 1);
    assert_int_equal(guaco__meter_look(w->meter, 0, &view), GUACO_OK);
    assert_string_equal(view.target, "/later");
    guaco_exchange_abort(w->f.later); /* which is answered 500 */
    fixture_turns(&w->f);
    assert_int_equal(guaco__meter_look(w->meter, 0, &view), GUACO_E_MISSING);
    assert_int_equal(w->meter->in_flight, 0);
    assert_int_equal(count(w, GUACO__METER_GET, 5), 1);
}

static void
who_begins_to_move_says_so_once_while_nobody_watches(void **state)
{
    struct world *w = *state;
    uint64_t told = 0;

    client_say(&w->c, GET("/"));
    client_say(&w->c, GET("/"));
    assert_int_equal(read(w->f.options.pulse_fd, &told, sizeof told), 8);
    assert_int_equal(told, 1);
    assert_int_equal(w->meter->is_watched, 1);
    assert_int_equal(w->meter->busy_since_ns, 0); /* it waits */
    w->meter->is_watched = 0;
    client_say(&w->c, GET("/"));
    assert_int_equal(read(w->f.options.pulse_fd, &told, sizeof told), 8);
    assert_int_equal(told, 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(requests_are_counted_by_method_and_status),
        T(bytes_of_a_connection_that_stays_open_are_counted),
        T(a_request_in_flight_is_shown_until_it_is_over),
        T(who_begins_to_move_says_so_once_while_nobody_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
