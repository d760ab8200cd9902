/* Conditions and ranges, by table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "http/conditions.h"
#include "http/fields.h"

#define THEN  "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"
#define SOON  "Sun, 06 Nov 1994 08:49:36 GMT"

enum { THEN_S = 784111777 };

static struct guaco_field fields[8];
static uint8_t ids[8];

/* A request with these "name: value" lines. */
static struct guaco_request
request_of(const char *text)
{
    struct guaco_request r = {.fields = fields, .field_ids = ids};

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t name = strcspn(text, ":");
        struct guaco_field *field = &fields[r.field_count];

        field->name = (struct guaco_slice){text, name};
        field->value = (struct guaco_slice){text + name + 2, len - name - 2};
        ids[r.field_count++] = (uint8_t)guaco__field_find(field->name);
        text += len + (text[len] == '\n');
    }
    return r;
}

struct condition_case {
    const char *etag;
    const char *fields;
    int status;
};

static const struct condition_case condition_cases[] = {
    {"\"a\"", "", 0},
    {"\"a\"", "if-none-match: \"a\"", 304},
    {"\"a\"", "if-none-match: W/\"a\"", 304}, /* weak comparison */
    {"W/\"a\"", "if-none-match: \"a\"", 304},
    {"\"a\"", "if-none-match: \"b\"", 0},
    {"\"a\"", "if-none-match: \"b\", \"a\"", 304},
    {"\"a\"", "if-none-match: \"b\"\nif-none-match: \"a\"", 304},
    {"\"a,b\"", "if-none-match: \"x\", \"a,b\"", 304},
    {"\"a\"", "if-none-match: *", 304},
    {"\"a\"", "if-none-match: a", 0}, /* no tag without quotes */
    {"\"a\"", "if-none-match: \"a", 0},
    {"\"a\"", "if-none-match: w/\"a\"", 0}, /* W is upper case */
    {"\"a\"", "if-none-match: ", 0},
    {"\"a\"", "if-match: \"a\"", 0},
    {"\"a\"", "if-match: *", 0},
    {"\"a\"", "if-match: \"b\"", 412},
    {"\"a\"", "if-match: \"b\", \"a\"", 0},
    {"\"a\"", "if-match: W/\"a\"", 412}, /* strong comparison */
    {"W/\"a\"", "if-match: W/\"a\"", 412},
    {"\"a\"", "if-match: ", 412},
    {"\"a\"", "if-modified-since: " THEN, 304},
    {"\"a\"", "if-modified-since: " LATER, 304},
    {"\"a\"", "if-modified-since: " SOON, 0},
    {"\"a\"", "if-modified-since: yesterday", 0},
    {"\"a\"", "if-modified-since: " THEN "\nif-modified-since: " THEN, 0},
    {"\"a\"", "if-modified-since: Sunday, 06-Nov-94 08:49:37 GMT", 304},
    {"\"a\"", "if-modified-since: Sun Nov  6 08:49:37 1994", 304},
    {"\"a\"", "if-unmodified-since: " THEN, 0},
    {"\"a\"", "if-unmodified-since: " SOON, 412},
    {"\"a\"", "if-unmodified-since: yesterday", 0},
    /* the order of RFC 9110 13.2.2 */
    {"\"a\"", "if-modified-since: " THEN "\nif-none-match: \"b\"", 0},
    {"\"a\"", "if-modified-since: " SOON "\nif-none-match: \"a\"", 304},
    {"\"a\"", "if-unmodified-since: " SOON "\nif-match: \"a\"", 0},
    {"\"a\"", "if-none-match: \"a\"\nif-match: \"b\"", 412},
    {"\"a\"", "if-none-match: \"a\"\nif-match: \"a\"", 304},
    {"\"a\"", "if-modified-since: " THEN "\nif-unmodified-since: " SOON, 412},
};

static void
conditions_are_judged_in_the_order_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(condition_cases) / sizeof(*condition_cases);
         i++) {
        const struct condition_case *c = &condition_cases[i];
        struct guaco__validators v = {
            .etag = {c->etag, strlen(c->etag)},
            .modified_s = THEN_S,
            .now_s = THEN_S + 100,
        };
        struct guaco_request r = request_of(c->fields);
        int status = guaco__conditions_judge(&r, &v);

        if (status != c->status)
            fail_msg("%s: %d, not %d", c->fields, status, c->status);
    }
}

struct range_case {
    const char *fields;
    uint64_t size;
    const char *ranges; /* "0-4 10-19", "" the whole, "416" */
};

#define MANY8                                                \
    "0-0,1000-1000,2000-2000,3000-3000,4000-4000,5000-5000," \
    "6000-6000,7000-7000"

static const struct range_case range_cases[] = {
    {"", 1000, ""},
    {"range: bytes=0-499", 1000, "0-499"},
    {"range: bytes=500-", 1000, "500-999"},
    {"range: bytes=-500", 1000, "500-999"},
    {"range: bytes=-5000", 1000, "0-999"},
    {"range: bytes=0-5000", 1000, "0-999"},
    {"range: BYTES=0-0", 1000, "0-0"},
    {"range: bytes=999-999", 1000, "999-999"},
    {"range: bytes=1000-1000", 1000, "416"},
    {"range: bytes=1000-", 1000, "416"},
    {"range: bytes=-0", 1000, "416"},
    {"range: bytes=0-0", 0, "416"},
    {"range: bytes=-1", 0, "416"},
    {"range: bytes=18446744073709551616-", 1000, "416"},
    {"range: bytes=0-99999999999999999999999", 1000, "0-999"},
    {"range: bytes=-99999999999999999999999", 1000, "0-999"},
    /* malformed: as if it were not there */
    {"range: bytes=5-4", 1000, ""},
    {"range: bytes=", 1000, ""},
    {"range: bytes=-", 1000, ""},
    {"range: bytes=a-b", 1000, ""},
    {"range: bytes=0-4x", 1000, ""},
    {"range: bytes=+0-4", 1000, ""},
    {"range: bytes 0-4", 1000, ""},
    {"range: bytes=0-4,x", 1000, ""},
    {"range: lines=0-4", 1000, ""},
    {"range: bytes=0-4\nrange: bytes=0-4", 1000, ""},
    {"range: bytes=,,", 1000, ""},
    /* several */
    {"range: bytes=0-4, 500-504", 1000, "0-4 500-504"},
    {"range: bytes=500-504,0-4", 1000, "500-504 0-4"}, /* as asked for */
    {"range: bytes=0-4,2000-,500-504", 1000, "0-4 500-504"},
    {"range: bytes=2000-,3000-", 1000, "416"},
    {"range: bytes=0-9,5-14", 1000, "0-14"},
    {"range: bytes=0-9,10-19", 1000, "0-19"},
    {"range: bytes=0-9,100-109", 1000, "0-109"}, /* a part's head is longer */
    {"range: bytes=0-9,138-139", 1000, "0-139"},
    {"range: bytes=0-9,139-140", 1000, "0-9 139-140"},
    {"range: bytes=0-0,400-400,800-800,0-999", 1000, "0-999"},
    {"range: bytes=400-500,0-0,450-460", 1000, "400-500 0-0"},
    {"range: bytes=0-,0-,0-", 1000, "0-999"},
    {"range: bytes=" MANY8 "," MANY8, 9000,
     "0-0 1000-1000 2000-2000 3000-3000 4000-4000 5000-5000 6000-6000 "
     "7000-7000"},
    {"range: bytes=" MANY8 "," MANY8 ",0-0", 9000, ""}, /* 17: too many */
    /* If-Range */
    {"if-range: \"a\"\nrange: bytes=0-4", 1000, "0-4"},
    {"if-range: \"b\"\nrange: bytes=0-4", 1000, ""},
    {"if-range: W/\"a\"\nrange: bytes=0-4", 1000, ""},
    {"if-range: \"a\", \"b\"\nrange: bytes=0-4", 1000, ""},
    {"if-range: " THEN "\nrange: bytes=0-4", 1000, "0-4"},
    {"if-range: " LATER "\nrange: bytes=0-4", 1000, ""},
    {"if-range: x\nrange: bytes=0-4", 1000, ""},
    {"if-range: \"a\"\nif-range: \"a\"\nrange: bytes=0-4", 1000, ""},
};

static const char *
ranges_text(const char *text, uint64_t size, int64_t age_s)
{
    static char out[512];
    struct guaco__range ranges[GUACO__RANGES_MAX];
    struct guaco__validators v = {
        .etag = GUACO_SLICE("\"a\""),
        .modified_s = THEN_S,
        .now_s = THEN_S + age_s,
    };
    struct guaco_request r = request_of(text);
    int count = guaco__ranges_read(&r, &v, size, ranges);
    size_t len = 0;

    if (count < 0)
        return "416";
    out[0] = '\0';
    for (int i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%llu-%llu",
                                i > 0 ? " " : "",
                                (unsigned long long)ranges[i].from,
                                (unsigned long long)ranges[i].to);
    return out;
}

static void
ranges_are_read_joined_and_capped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(range_cases) / sizeof(*range_cases); i++) {
        const struct range_case *c = &range_cases[i];
        const char *text = ranges_text(c->fields, c->size, 100);

        if (strcmp(text, c->ranges) != 0)
            fail_msg("%s: '%s', not '%s'", c->fields, text, c->ranges);
    }
}

static void
a_date_does_for_if_range_only_when_it_is_strong(void **state)
{
    (void)state;
    assert_string_equal(
        ranges_text("if-range: " THEN "\nrange: bytes=0-4", 10, 1), "");
    assert_string_equal(
        ranges_text("if-range: " THEN "\nrange: bytes=0-4", 10, 2), "0-4");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_judged_in_the_order_of_the_rfc),
        cmocka_unit_test(ranges_are_read_joined_and_capped),
        cmocka_unit_test(a_date_does_for_if_range_only_when_it_is_strong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
