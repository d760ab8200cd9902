#ifndef GUACO_BASE_DATE_H
#define GUACO_BASE_DATE_H

/*
 * Dates of the proleptic Gregorian calendar in UTC, without the C library's
 * time zones: arithmetic, the dates of HTTP (RFC 9110 5.6.7) and the form of
 * RFC 3339 for logs.
 */

#include <stddef.h>
#include <stdint.h>

#include "guaco/slice.h"

struct guaco__date {
    int64_t year;
    int month;   /* 1 to 12 */
    int day;     /* 1 to 31 */
    int hour;    /* 0 to 23 */
    int minute;  /* 0 to 59 */
    int second;  /* 0 to 59 */
    int weekday; /* 0 is Sunday; set by the functions, never read by them */
};

/* Least and greatest moment that has a year of four digits, 0000 to 9999. */
#define GUACO__DATE_MIN_S (-62167219200LL)
#define GUACO__DATE_MAX_S 253402300799LL

/* Days from 1970-01-01 to the given day; month 1 to 12, |year| < 2^31. */
int64_t guaco__date_days(int64_t year, int month, int day);

/* Days of a month: 28 to 31. */
int guaco__date_month_days(int64_t year, int month);

/* The date at `unix_s` seconds after 1970, |unix_s| < 2^55, and back. */
struct guaco__date guaco__date_of(int64_t unix_s);
int64_t guaco__date_unix(const struct guaco__date *date);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL; unix_s within the two limits. */
#define GUACO__DATE_HTTP_BYTES 30
void guaco__date_format_http(int64_t unix_s, char out[GUACO__DATE_HTTP_BYTES]);

/*
 * Read an HTTP date in any of its three forms.  A two-digit year is taken so
 * that it lies at most 50 years after now_s.  Returns 0 or GUACO_E_PROTO.
 */
int
guaco__date_parse_http(struct guaco_slice text, int64_t now_s, int64_t *unix_s);

/* "1994-11-06T08:49:37.250Z" and a NUL; the year as above. */
#define GUACO__DATE_ISO_BYTES 25
void guaco__date_format_iso(int64_t unix_ms, char out[GUACO__DATE_ISO_BYTES]);

#endif
