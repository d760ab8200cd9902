/* Every allocation of the response writer and of a WebSocket refused in turn:
 * the call says so, and nothing is lost or leaked. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "failing_malloc.h"
#include "http/h1_writer.h"
#include "http/ws.h"
#include "ws_trace.h"

/* Call `body` with the n-th allocation failing, until it meets no failure. */
static void
fail_each(int (*body)(void))
{
    long failed = 0;

    for (long n = 0;; n++) {
        fail_after(n);
        int rc = body();
        if (!fail_stop()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        failed++;
    }
    assert_true(failed > 0);
}

static int
write_head(void)
{
    static char long_value[900];
    memset(long_value, 'v', sizeof(long_value));
    const struct guaco_field fields[] = {
        {{"x", 1}, {long_value, sizeof(long_value)}},
        {{"y", 1}, {long_value, sizeof(long_value)}},
    };
    struct guaco__h1_response response = {
        .status = 200,
        .fields = fields,
        .field_count = 2,
        .body_bytes = -1,
        .version_minor = 1,
        .keep_alive = true,
    };
    struct guaco__h1_draft draft;
    struct guaco__buf out;

    guaco__buf_init(&out, 1 << 20);
    int rc = guaco__h1_begin_head(&out, &response, &draft);
    if (rc != 0)
        assert_int_equal(out.len, 0);
    guaco__buf_release(&out);
    return rc;
}

static const struct guaco__ws_limits limits = GUACO__WS_LIMITS_DEFAULT;

/* Two frames of one message, then the same message written. */
static int
talk(struct guaco__ws *ws, struct guaco__buf *out)
{
    static const char text[] = "hello hello hello hello";
    unsigned char bytes[128];
    struct guaco__ws_event event;

    size_t len = ws_frame(bytes, 0x01, text, 10);
    len += ws_frame(bytes + len, 0x80, text, 10);
    int rc = guaco__ws_next(ws, (const char *)bytes, len, &event);
    if (rc != 0) {
        assert_int_equal(event.code, 1011);
        return rc;
    }
    assert_int_equal(event.type, GUACO__WS_MESSAGE);
    assert_int_equal(event.data.len, 20);
    rc = guaco__ws_write(ws, out, GUACO_MESSAGE_TEXT,
                         (struct guaco_slice){text, sizeof(text) - 1});
    if (rc != 0)
        assert_int_equal(out->len, 0);
    return rc;
}

static int
open_and_talk(bool deflates)
{
    struct guaco__ws_limits all = limits;
    struct guaco__ws_deflate agreed = {deflates, false, false, 9, 9};
    struct guaco__ws *ws = NULL;
    struct guaco__buf out;

    all.deflate_from = 0;
    int rc = guaco__ws_new(&ws, &all, &agreed);
    if (rc != 0)
        return rc;
    guaco__buf_init(&out, 1 << 20);
    rc = talk(ws, &out);
    guaco__buf_release(&out);
    guaco__ws_free(ws);
    return rc;
}

static int
talk_plainly(void)
{
    return open_and_talk(false);
}

static int
talk_deflated(void)
{
    return open_and_talk(true);
}

static void
a_response_head_survives_every_refused_allocation(void **state)
{
    (void)state;
    fail_each(write_head);
}

static void
a_websocket_survives_every_refused_allocation(void **state)
{
    (void)state;
    fail_each(talk_plainly);
    fail_each(talk_deflated);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_head_survives_every_refused_allocation),
        cmocka_unit_test(a_websocket_survives_every_refused_allocation),
    };
    return cmocka_run_group_tests_name("http without memory", tests, NULL,
                                       NULL);
}
