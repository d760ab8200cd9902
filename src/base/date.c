/*
 * Dates: the contract is in base/date.h.
 *
 * The arithmetic counts years from March, so that the leap day is the last of
 * its year, in eras of 400 years, which are all alike (Hinnant, "chrono-
 * compatible low-level date algorithms").
 */

#include "base/date.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "guaco/error.h"

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_day_names[] = {
    "Sunday",   "Monday", "Tuesday",  "Wednesday",
    "Thursday", "Friday", "Saturday",
};

/* Division that rounds down; b is positive. */
static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t
guaco__date_days(int64_t year, int month, int day)
{
    assert(month >= 1);
    assert(month <= 12);

    int64_t y = year - (month <= 2);
    int64_t era = floor_div(y, 400);
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + days - 719468;
}

int
guaco__date_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    assert(month >= 1);
    assert(month <= 12);
    return month == 2 && leap ? 29 : days[month - 1];
}

struct guaco__date
guaco__date_of(int64_t unix_s)
{
    int64_t days = floor_div(unix_s, 86400);
    int second = (int)(unix_s - days * 86400);
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (int)((5 * doy + 2) / 153);
    int month = mp + (mp < 10 ? 3 : -9);

    assert(doy >= 0);
    assert(doy <= 365);
    return (struct guaco__date){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
        .weekday = (int)(days + 4 - floor_div(days + 4, 7) * 7),
    };
}

int64_t
guaco__date_unix(const struct guaco__date *date)
{
    return guaco__date_days(date->year, date->month, date->day) * 86400 +
           date->hour * 3600 + date->minute * 60 + date->second;
}

/* Write `value` as `width` digits and give the place behind. */
static char *
put_digits(char *at, int64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    assert(value == 0);
    return at + width;
}

static char *
put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* "08:49:37" */
static char *
put_time(char *at, const struct guaco__date *d)
{
    at = put_digits(at, d->hour, 2);
    *at++ = ':';
    at = put_digits(at, d->minute, 2);
    *at++ = ':';
    return put_digits(at, d->second, 2);
}

void
guaco__date_format_http(int64_t unix_s, char out[GUACO__DATE_HTTP_BYTES])
{
    assert(unix_s >= GUACO__DATE_MIN_S);
    assert(unix_s <= GUACO__DATE_MAX_S);

    struct guaco__date d = guaco__date_of(unix_s);
    char *at = put_text(out, day_names + (ptrdiff_t)d.weekday * 3, 3);
    at = put_text(at, ", ", 2);
    at = put_digits(at, d.day, 2);
    *at++ = ' ';
    at = put_text(at, month_names + (ptrdiff_t)(d.month - 1) * 3, 3);
    *at++ = ' ';
    at = put_digits(at, d.year, 4);
    *at++ = ' ';
    at = put_time(at, &d);
    at = put_text(at, " GMT", 5);
    assert(at == out + GUACO__DATE_HTTP_BYTES);
}

void
guaco__date_format_iso(int64_t unix_ms, char out[GUACO__DATE_ISO_BYTES])
{
    int64_t unix_s = floor_div(unix_ms, 1000);
    assert(unix_s >= GUACO__DATE_MIN_S);
    assert(unix_s <= GUACO__DATE_MAX_S);

    struct guaco__date d = guaco__date_of(unix_s);
    char *at = put_digits(out, d.year, 4);
    *at++ = '-';
    at = put_digits(at, d.month, 2);
    *at++ = '-';
    at = put_digits(at, d.day, 2);
    *at++ = 'T';
    at = put_time(at, &d);
    *at++ = '.';
    at = put_digits(at, unix_ms - unix_s * 1000, 3);
    at = put_text(at, "Z", 2);
    assert(at == out + GUACO__DATE_ISO_BYTES);
}

/* ---- reading ---- */

/* What is left to read; `ok` goes false at the first thing not as expected,
 * and stays so. */
struct reader {
    struct guaco_slice text;
    bool ok;
};

static void
expect(struct reader *r, const char *text)
{
    size_t len = strlen(text);

    if (!r->ok || r->text.len < len || memcmp(r->text.at, text, len) != 0) {
        r->ok = false;
        return;
    }
    r->text.at += len;
    r->text.len -= len;
}

static int
digits(struct reader *r, size_t width)
{
    int value = 0;

    if (!r->ok || r->text.len < width) {
        r->ok = false;
        return 0;
    }
    for (size_t i = 0; i < width; i++) {
        char c = r->text.at[i];
        if (c < '0' || c > '9') {
            r->ok = false;
            return 0;
        }
        value = value * 10 + (c - '0');
    }
    r->text.at += width;
    r->text.len -= width;
    return value;
}

/* The number of a three-letter name of `count`. */
static int
name_of(struct reader *r, const char *names, int count)
{
    for (int i = 0; r->ok && r->text.len >= 3 && i < count; i++)
        if (memcmp(r->text.at, names + (ptrdiff_t)i * 3, 3) == 0) {
            r->text.at += 3;
            r->text.len -= 3;
            return i;
        }
    r->ok = false;
    return 0;
}

static void
read_time(struct reader *r, struct guaco__date *d)
{
    d->hour = digits(r, 2);
    expect(r, ":");
    d->minute = digits(r, 2);
    expect(r, ":");
    d->second = digits(r, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static struct guaco__date
read_imf(struct reader *r)
{
    struct guaco__date d = {0};

    d.weekday = name_of(r, day_names, 7);
    expect(r, ", ");
    d.day = digits(r, 2);
    expect(r, " ");
    d.month = name_of(r, month_names, 12) + 1;
    expect(r, " ");
    d.year = digits(r, 4);
    expect(r, " ");
    read_time(r, &d);
    expect(r, " GMT");
    return d;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static struct guaco__date
read_rfc850(struct reader *r, size_t comma, int64_t now_s)
{
    struct guaco__date d = {0};

    d.weekday = 7;
    for (int i = 0; i < 7; i++)
        if (strlen(long_day_names[i]) == comma &&
            memcmp(r->text.at, long_day_names[i], comma) == 0)
            d.weekday = i;
    r->ok = d.weekday < 7;
    r->text.at += comma;
    r->text.len -= comma;
    expect(r, ", ");
    d.day = digits(r, 2);
    expect(r, "-");
    d.month = name_of(r, month_names, 12) + 1;
    expect(r, "-");
    int64_t limit = guaco__date_of(now_s).year + 50;
    d.year = digits(r, 2);
    d.year += (limit - d.year) / 100 * 100;
    expect(r, " ");
    read_time(r, &d);
    expect(r, " GMT");
    return d;
}

/* "Sun Nov  6 08:49:37 1994" */
static struct guaco__date
read_asctime(struct reader *r)
{
    struct guaco__date d = {0};

    d.weekday = name_of(r, day_names, 7);
    expect(r, " ");
    d.month = name_of(r, month_names, 12) + 1;
    expect(r, " ");
    if (r->ok && r->text.len > 0 && r->text.at[0] == ' ') {
        expect(r, " ");
        d.day = digits(r, 1);
    } else {
        d.day = digits(r, 2);
    }
    expect(r, " ");
    read_time(r, &d);
    expect(r, " ");
    d.year = digits(r, 4);
    return d;
}

int
guaco__date_parse_http(struct guaco_slice text, int64_t now_s, int64_t *unix_s)
{
    struct reader r = {text, true};
    struct guaco__date d;
    const char *comma = text.len == 0 ? NULL : memchr(text.at, ',', text.len);

    if (comma == NULL)
        d = read_asctime(&r);
    else if (comma - text.at == 3)
        d = read_imf(&r);
    else
        d = read_rfc850(&r, (size_t)(comma - text.at), now_s);

    if (!r.ok || r.text.len != 0)
        return GUACO_E_PROTO;
    if (d.day < 1 || d.day > guaco__date_month_days(d.year, d.month))
        return GUACO_E_PROTO;
    if (d.second == 60) /* a leap second: the grammar has it, POSIX not */
        d.second = 59;
    if (d.hour > 23 || d.minute > 59 || d.second > 59)
        return GUACO_E_PROTO;
    *unix_s = guaco__date_unix(&d);
    return GUACO_OK;
}
