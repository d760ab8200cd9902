/* queue/tz.h: what is read, and each kind of damage that is refused. */

#include "queue/tz.h"

#include <stdio.h>
#include <string.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "../test.h"

#define HOUR 3600

/* ---- making files ---- */

struct file {
    unsigned char at[1024];
    size_t len;
};

static void
add(struct file *file, const void *data, size_t len)
{
    assert_true(file->len + len <= sizeof file->at);
    if (len > 0)
        memcpy(file->at + file->len, data, len);
    file->len += len;
}

static void
add_number(struct file *file, int64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        unsigned char byte = (unsigned char)((uint64_t)value >> (8 * i));
        add(file, &byte, 1);
    }
}

static void
add_header(struct file *file, char version, const int64_t counts[6])
{
    static const char zeros[15];

    add(file, "TZif", 4);
    add(file, &version, 1);
    add(file, zeros, sizeof zeros);
    for (int i = 0; i < 6; i++)
        add_number(file, counts[i], 4);
}

static void
add_type(struct file *file, int32_t offset_s, int is_summer, int name)
{
    add_number(file, offset_s, 4);
    add_number(file, is_summer, 1);
    add_number(file, name, 1);
}

/* A file of version 2 with two changes, 0 s to +1 h and 1000 s to +2 h, before
 * them UTC, and a footer. */
static struct file
two_changes(const char *footer)
{
    static const int64_t none[6] = {0, 0, 0, 0, 1, 1};
    static const int64_t two[6] = {0, 0, 0, 2, 3, 4};
    struct file file = {.len = 0};

    add_header(&file, '2', none);
    add_type(&file, 0, 0, 0);
    add(&file, "", 1);
    add_header(&file, '2', two);
    add_number(&file, 0, 8);
    add_number(&file, 1000, 8);
    add(&file, "\1\2", 2);
    add_type(&file, 0, 0, 0);
    add_type(&file, HOUR, 0, 0);
    add_type(&file, 2 * HOUR, 1, 0);
    add(&file, "ABC", 4);
    add(&file, "\n", 1);
    add(&file, footer, strlen(footer));
    add(&file, "\n", 1);
    return file;
}

/* Where things lie in it. */
#define SECOND_HEADER (44 + 6 + 1)
#define SECOND_BLOCK  (SECOND_HEADER + 44)
#define KINDS         (SECOND_BLOCK + 16)
#define TYPES         (KINDS + 2)

static struct guaco__tz *
parsed(const struct file *file)
{
    struct guaco__tz *tz = NULL;
    struct guaco_error err = {0};

    if (guaco__tz_parse(&tz, file->at, file->len, &err) != GUACO_OK)
        fail_msg("refused: %s", err.text);
    return tz;
}

static void
is_refused(const struct file *file, int code, const char *text)
{
    struct guaco__tz *tz = NULL;
    struct guaco_error err = {0};

    assert_int_equal(guaco__tz_parse(&tz, file->at, file->len, &err), code);
    assert_null(tz);
    if (strstr(err.text, text) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, text);
}

/* ---- what is read ---- */

static void
spans_are_those_of_the_list(void **state)
{
    struct file file = two_changes("");
    struct guaco__tz *tz = parsed(&file);

    (void)state;
    struct guaco__tz_span span = guaco__tz_at(tz, -1);
    assert_true(span.start_s == INT64_MIN && span.end_s == 0);
    assert_int_equal(span.offset_s, 0);
    span = guaco__tz_at(tz, 0);
    assert_true(span.start_s == 0 && span.end_s == 1000);
    assert_int_equal(span.offset_s, HOUR);
    span = guaco__tz_at(tz, 1000);
    assert_true(span.start_s == 1000 && span.end_s == INT64_MAX);
    assert_int_equal(span.offset_s, 2 * HOUR);
    guaco__tz_free(tz);
}

static void
the_footer_holds_after_the_list(void **state)
{
    struct file file = two_changes("CET-1CEST,M3.5.0,M10.5.0/3");
    struct guaco__tz *tz = parsed(&file);

    (void)state;
    /* Until the end of March 1970 the footer says winter time. */
    struct guaco__tz_span span = guaco__tz_at(tz, 2000);
    assert_true(span.start_s == 1000);
    assert_int_equal(span.offset_s, HOUR);
    assert_true(span.end_s == 7520400);  /* 1970-03-29 01:00 UTC */
    span = guaco__tz_at(tz, 1752000000); /* July 2025 */
    assert_int_equal(span.offset_s, 2 * HOUR);
    assert_true(span.start_s == 1743296400); /* 2025-03-30 01:00 UTC */
    assert_true(span.end_s == 1761440400);   /* 2025-10-26 01:00 UTC */
    guaco__tz_free(tz);
}

static void
version_1_has_short_times_and_no_footer(void **state)
{
    static const int64_t one[6] = {0, 0, 0, 1, 2, 1};
    struct file file = {.len = 0};

    (void)state;
    add_header(&file, '\0', one);
    add_number(&file, -1000, 4);
    add(&file, "\1", 1);
    add_type(&file, 0, 0, 0);
    add_type(&file, -HOUR, 0, 0);
    add(&file, "", 1);
    struct guaco__tz *tz = parsed(&file);
    assert_int_equal(guaco__tz_at(tz, -1001).offset_s, 0);
    assert_int_equal(guaco__tz_at(tz, -1000).offset_s, -HOUR);
    guaco__tz_free(tz);
}

static void
footers_of_all_forms_are_read(void **state)
{
    static const struct {
        const char *footer;
        int32_t january_s; /* of 2025 */
        int32_t july_s;
    } rows[] = {
        {"UTC0", 0, 0},
        {"EST5", -5 * HOUR, -5 * HOUR},
        {"<+0545>-5:45", 20700, 20700},
        {"LMT-0:30:15", 1815, 1815},
        {"EST5EDT,M3.2.0,M11.1.0", -5 * HOUR, -4 * HOUR},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 11 * HOUR, 37800},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 0, HOUR},
        {"AAA0BBB,J60,J300", 0, HOUR},
        {"AAA0BBB,59/0,299/0", 0, HOUR},
        {"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", -3 * HOUR, -2 * HOUR},
        {"XXX3EDT4,0/0,J365/23", -4 * HOUR, -4 * HOUR}, /* RFC 9636, 3.3.2 */
        {"AAA-24BBB-24:59:59,M3.1.0/-167,M3.5.0/167", 86400, 86400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct file file = two_changes(rows[i].footer);
        struct guaco__tz *tz = parsed(&file);
        struct guaco__tz_span january = guaco__tz_at(tz, 1737000000);
        struct guaco__tz_span july = guaco__tz_at(tz, 1752000000);
        if (january.offset_s != rows[i].january_s ||
            july.offset_s != rows[i].july_s)
            fail_msg("%s: %d, %d", rows[i].footer, january.offset_s,
                     july.offset_s);
        guaco__tz_free(tz);
    }
}

/* ---- what is refused ---- */

static void
a_file_cut_anywhere_is_refused(void **state)
{
    struct file file = two_changes("UTC0");
    size_t len = file.len;

    (void)state;
    for (file.len = 0; file.len < len; file.len++)
        is_refused(&file, GUACO_E_PROTO, "time zone file: ");
}

static void
each_kind_of_damage_is_named(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t len;
        const char *said;
    } rows[] = {
        {0, "TZIF", 4, "does not begin"},
        {4, "1", 1, "version"},
        {4, "5", 1, "version"},
        {20, "\xff\xff\xff\xff", 4, "greater than the file"},
        {SECOND_HEADER, "T!", 2, "does not begin"},
        {SECOND_HEADER + 20, "\0\0\0\2", 4, "isutcnt"},
        {SECOND_HEADER + 24, "\0\0\0\2", 4, "isstdcnt"},
        {SECOND_HEADER + 36, "\0\0\0\0", 4, "types of local time"},
        {SECOND_HEADER + 40, "\0\0\0\0", 4, "no abbreviations"},
        {SECOND_HEADER + 40, "\0\0\1\0", 4, "ends too early"},
        {SECOND_BLOCK + 8, "\0\0\0\0\0\0\0\0", 8, "do not ascend"},
        {SECOND_BLOCK + 8, "\xff\0\0\0\0\0\0\0", 8, "do not ascend"},
        {KINDS, "\3", 1, "not there"},
        {TYPES, "\0\1\x6d\xa0", 4, "beyond a day"}, /* 93600 */
        {TYPES, "\x80\0\0\0", 4, "beyond a day"},
        {TYPES + 4, "\2", 1, "isdst"},
        {TYPES + 5, "\4", 1, "abbreviation"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct file file = two_changes("UTC0");
        memcpy(file.at + rows[i].at, rows[i].bytes, rows[i].len);
        is_refused(&file, GUACO_E_PROTO, rows[i].said);
    }
}

static void
a_footer_that_is_no_rule_is_refused(void **state)
{
    static const char *const rows[] = {
        "X0",
        "ABC",
        "ABC25",
        "ABC0:60",
        "<ABC0",
        "<A+>0",
        "ABC0DEF",
        "ABC0DEF,",
        "ABC0DEF,M3",
        "ABC0DEF,M3.5.0",
        "ABC0DEF,M0.1.0,M3.1.0",
        "ABC0DEF,M3.6.0,M4.1.0",
        "ABC0DEF,M3.1.7,M4.1.0",
        "ABC0DEF,J0,J1",
        "ABC0DEF,366,1",
        "ABC0DEF,1/168,2",
        "ABC0DEF,1,2/-168",
        "ABC0DEF,1,2,3",
        "ABC99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct file file = two_changes(rows[i]);
        is_refused(&file, GUACO_E_PROTO, rows[i]);
    }
}

static void
leap_seconds_are_not_supported(void **state)
{
    static const int64_t leap[6] = {0, 0, 1, 0, 1, 1};
    struct file file = {.len = 0};

    (void)state;
    add_header(&file, '\0', leap);
    add_type(&file, 0, 0, 0);
    add(&file, "", 1);
    add_number(&file, 78796800, 4);
    add_number(&file, 1, 4);
    is_refused(&file, GUACO_E_UNSUPPORTED, "leap seconds");
}

static void
a_file_over_the_limit_is_refused(void **state)
{
    static unsigned char large[GUACO__TZ_BYTES_MAX + 1];
    struct guaco__tz *tz = NULL;

    (void)state;
    assert_int_equal(guaco__tz_parse(&tz, large, sizeof large, NULL),
                     GUACO_E_LIMIT);
}

/* ---- finding ---- */

static void
folders_are_searched_in_order(void **state)
{
    struct file file = two_changes("");
    struct guaco__tz *tz = NULL;
    char dirs[FOLDER_PATH_MAX + 32];

    (void)state;
    folder_make();
    folder_write("Area/Zone", file.at, file.len);
    snprintf(dirs, sizeof dirs, ":/nowhere::%s:", folder_path("."));
    assert_int_equal(guaco__tz_open(&tz, TEXT("Area/Zone"), dirs, NULL),
                     GUACO_OK);
    assert_int_equal(guaco__tz_at(tz, 5).offset_s, HOUR);
    guaco__tz_free(tz);
    assert_int_equal(guaco__tz_open(&tz, TEXT("Area/Zone"), "/nowhere", NULL),
                     GUACO_E_MISSING);
    assert_int_equal(guaco__tz_open(&tz, TEXT("UTC"), "", NULL), GUACO_OK);
    assert_int_equal(guaco__tz_at(tz, 5).offset_s, 0);
    guaco__tz_free(tz);
    folder_remove();
}

static void
without_memory_nothing_is_left(void **state)
{
    struct file file = two_changes("UTC0");

    (void)state;
    for (long n = 0;; n++) {
        struct guaco__tz *tz = NULL;
        fail_after(n);
        int rc = guaco__tz_parse(&tz, file.at, file.len, NULL);
        if (!fail_stop()) {
            assert_int_equal(rc, GUACO_OK);
            guaco__tz_free(tz);
            assert_true(n > 0);
            break;
        }
        assert_int_equal(rc, GUACO_E_NOMEM);
        assert_null(tz);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_those_of_the_list),
        cmocka_unit_test(the_footer_holds_after_the_list),
        cmocka_unit_test(version_1_has_short_times_and_no_footer),
        cmocka_unit_test(footers_of_all_forms_are_read),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(each_kind_of_damage_is_named),
        cmocka_unit_test(a_footer_that_is_no_rule_is_refused),
        cmocka_unit_test(leap_seconds_are_not_supported),
        cmocka_unit_test(a_file_over_the_limit_is_refused),
        cmocka_unit_test(folders_are_searched_in_order),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
