/*
 * Cron expressions: text to sets of bits, and the search for the next match.
 *
 * A piece is expanded only after its ends are known to lie inside the field,
 * so that no text, however large its numbers, costs more than its own length
 * and sixty steps a piece.
 */

#include "cron.h"

#include <assert.h>
#include <string.h>

#include "base/date.h"
#include "base/scan.h"

#define DAY_S      86400
#define STEP_MAX   999999999
#define FIELDS_MAX 6

/* A name of three letters is the value `from` plus its place in the list. */
struct field {
    const char *name; /* for errors */
    int from;
    int to;
    int places;        /* of the circle that a range may wrap around */
    const char *words; /* "janfeb...", or "" */
};

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY };

static const struct field fields[FIELDS_MAX] = {
    [SECOND] = {"second", 0, 59, 60, ""},
    [MINUTE] = {"minute", 0, 59, 60, ""},
    [HOUR] = {"hour", 0, 23, 24, ""},
    [DAY] = {"day of month", 1, 31, 31, ""},
    [MONTH] = {"month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    /* 7 is Sunday too, and is folded after the expansion. */
    [WEEKDAY] = {"weekday", 0, 7, 7, "sunmontuewedthufrisat"},
};

static const struct {
    const char *name;
    const char *text;
} macros[] = {
    {"@yearly", "0 0 1 1 *"},  {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

/* ---- one field ---- */

static int
refuse(struct guaco_error *err, const struct field *field,
       struct guaco_slice piece, const char *why)
{
    return guaco_fail(err, GUACO_E_INVALID, 0, "cron: %s '%.*s': %s",
                      field->name, (int)(piece.len < 40 ? piece.len : 40),
                      piece.at, why);
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_word(const char *text, const char *word)
{
    return lower(text[0]) == word[0] && lower(text[1]) == word[1] &&
           lower(text[2]) == word[2];
}

/* A number or a name; false leaves the reason to the caller. */
static bool
take_value(struct guaco__scan *scan, const struct field *field, int *value)
{
    int64_t number = 0;

    if (guaco__scan_number(scan, field->to, &number)) {
        *value = (int)number;
        return number >= field->from;
    }
    if (scan->end - scan->at < 3)
        return false;
    for (const char *word = field->words; *word != '\0'; word += 3) {
        if (is_word(scan->at, word)) {
            *value = field->from + (int)(word - field->words) / 3;
            scan->at += 3;
            return true;
        }
    }
    return false;
}

/* Set each step-th value of first..last, which wraps when last < first. */
static void
expand(const struct field *field, int first, int last, int64_t step,
       uint64_t *bits)
{
    bool wraps = last < first;
    int length = last - first + (wraps ? field->places : 0);

    for (int64_t i = 0; i <= length; i += step) {
        int value = first + (int)i;
        if (wraps && value >= field->from + field->places)
            value -= field->places;
        *bits |= UINT64_C(1) << value;
    }
}

/* One piece: *, a, a-b, and the latter or * with a step. */
static int
parse_piece(const struct field *field, struct guaco_slice piece, uint64_t *bits,
            struct guaco_error *err)
{
    struct guaco__scan scan = guaco__scan_of(piece);
    int first = field->from, last = field->to;
    bool is_range = guaco__scan_take(&scan, '*');
    int64_t step = 1;

    if (!is_range) {
        if (!take_value(&scan, field, &first))
            return refuse(err, field, piece, "no such value");
        last = first;
        if (guaco__scan_take(&scan, '-')) {
            is_range = true;
            if (!take_value(&scan, field, &last))
                return refuse(err, field, piece, "no such end of a range");
        }
    }
    if (guaco__scan_take(&scan, '/')) {
        if (!is_range)
            return refuse(err, field, piece, "a step needs a range before it");
        if (!guaco__scan_number(&scan, STEP_MAX, &step) || step == 0)
            return refuse(err, field, piece, "no such step");
    }
    if (!guaco__scan_done(&scan))
        return refuse(err, field, piece, "cannot be read to its end");
    expand(field, first, last, step, bits);
    return GUACO_OK;
}

static int
parse_field(const struct field *field, struct guaco_slice text, uint64_t *bits,
            struct guaco_error *err)
{
    *bits = 0;
    for (size_t at = 0; at <= text.len;) {
        const char *start = text.at + at;
        const char *comma = memchr(start, ',', text.len - at);
        size_t len = comma ? (size_t)(comma - start) : text.len - at;

        int rc =
            parse_piece(field, (struct guaco_slice){start, len}, bits, err);
        if (rc != GUACO_OK)
            return rc;
        at += len + 1;
    }
    return GUACO_OK;
}

/* ---- a whole expression ---- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next word; empty at the end. */
static struct guaco_slice
take_word(struct guaco__scan *scan)
{
    while (!guaco__scan_done(scan) && is_blank(*scan->at))
        scan->at++;
    const char *start = scan->at;
    while (!guaco__scan_done(scan) && !is_blank(*scan->at))
        scan->at++;
    return (struct guaco_slice){start, (size_t)(scan->at - start)};
}

static bool
begins_with_star(struct guaco_slice word)
{
    return word.len > 0 && word.at[0] == '*';
}

/* Refuse what no year has, such as the 30th of February.  Whatever passes comes
 * at least once in 40 years: 29 February on a Monday, over a century's end. */
static int
check_days(const struct guaco__cron *cron, struct guaco_error *err)
{
    static const uint32_t months_of_30 = 1 << 4 | 1 << 6 | 1 << 9 | 1 << 11;
    uint32_t possible = (UINT32_C(1) << 30) - 1; /* up to the 29th */

    if (cron->month & ~(UINT32_C(1) << 2))
        possible |= UINT32_C(1) << 30;
    if (cron->month & ~(months_of_30 | UINT32_C(1) << 2))
        possible |= UINT32_C(1) << 31;
    if ((cron->day & possible) == 0 && cron->needs_both)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "cron: day of month: none of these days comes in "
                          "these months");
    return GUACO_OK;
}

/* words[0..5] are the six fields. */
static int
parse_fields(struct guaco__cron *cron, const struct guaco_slice *words,
             bool needs_both, struct guaco_error *err)
{
    uint64_t bits[FIELDS_MAX];

    for (size_t i = 0; i < FIELDS_MAX; i++) {
        int rc = parse_field(&fields[i], words[i], &bits[i], err);
        if (rc != GUACO_OK)
            return rc;
    }
    cron->second = bits[SECOND];
    cron->minute = bits[MINUTE];
    cron->hour = (uint32_t)bits[HOUR];
    cron->day = (uint32_t)bits[DAY];
    cron->month = (uint32_t)bits[MONTH];
    cron->weekday = (uint32_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f);
    cron->needs_both = needs_both || begins_with_star(words[DAY]) ||
                       begins_with_star(words[WEEKDAY]);
    cron->is_wildcard = begins_with_star(words[SECOND]) ||
                        begins_with_star(words[MINUTE]) ||
                        begins_with_star(words[HOUR]);
    return check_days(cron, err);
}

static int
expand_macro(struct guaco_slice *text, struct guaco_error *err)
{
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++) {
        if (text->len == strlen(macros[i].name) &&
            memcmp(text->at, macros[i].name, text->len) == 0) {
            *text =
                (struct guaco_slice){macros[i].text, strlen(macros[i].text)};
            return GUACO_OK;
        }
    }
    return guaco_fail(err, GUACO_E_INVALID, 0, "cron: '%.*s' is not known",
                      (int)(text->len < 40 ? text->len : 40), text->at);
}

int
guaco__cron_parse(struct guaco__cron *cron, struct guaco_slice text,
                  struct guaco_error *err)
{
    struct guaco_slice words[FIELDS_MAX] = {[SECOND] = GUACO_SLICE("0")};
    struct guaco__scan scan = guaco__scan_of(text);
    struct guaco_slice word = take_word(&scan);
    bool needs_both = guaco_slice_equals(word, GUACO_SLICE("all"));
    size_t count = 0;

    if (needs_both)
        word = take_word(&scan);
    if (word.len > 0 && word.at[0] == '@') {
        int rc = expand_macro(&word, err);
        if (rc != GUACO_OK)
            return rc;
        if (take_word(&scan).len > 0)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "cron: nothing may follow an @ name");
        scan = guaco__scan_of(word);
        word = take_word(&scan);
    }
    struct guaco_slice all[FIELDS_MAX];
    for (; word.len > 0 && count < FIELDS_MAX; word = take_word(&scan))
        all[count++] = word;
    if (word.len > 0 || count < FIELDS_MAX - 1)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "cron: 5 fields (minute, hour, day, month, weekday) "
                          "or 6 with seconds first; here are %s%zu",
                          word.len > 0 ? "more than " : "", count);
    memcpy(words + (FIELDS_MAX - count), all, count * sizeof all[0]);
    return parse_fields(cron, words, needs_both, err);
}

/* ---- the search ---- */

/* The lowest bit of `bits` that is at least `from` (at most 63), or -1. */
static int
next_bit(uint64_t bits, int from)
{
    uint64_t left = bits >> from << from;

    return left == 0 ? -1 : __builtin_ctzll(left);
}

static int
first_bit(uint64_t bits)
{
    assert(bits != 0);
    return __builtin_ctzll(bits);
}

/* The days of a month that match, bits 1 to 31. */
static uint32_t
month_days(const struct guaco__cron *cron, int64_t year, int month)
{
    int64_t first = guaco__date_days(year, month, 1);
    int weekday = (int)(((first + 4) % 7 + 7) % 7); /* of the 1st */
    uint32_t all =
        (uint32_t)((UINT64_C(2) << guaco__date_month_days(year, month)) - 2);
    /* The week, turned so that bit 0 is the 1st, and repeated five times. */
    uint64_t week =
        (cron->weekday >> weekday | cron->weekday << (7 - weekday)) & 0x7f;
    uint64_t weeks = week | week << 7 | week << 14 | week << 21 | week << 28;
    uint32_t by_weekday = (uint32_t)(weeks << 1);

    return all &
           (cron->needs_both ? cron->day & by_weekday : cron->day | by_weekday);
}

/* The first matching time of a day at or after `from_s` seconds of it, or -1. */
static int
next_in_day(const struct guaco__cron *cron, int from_s)
{
    int h = from_s / 3600, m = from_s / 60 % 60;
    int second = next_bit(cron->second, from_s % 60);
    int minute = m, hour = h;

    /* From the smallest hand up: one that has run out moves the next on. */
    if (second < 0)
        minute++;
    minute = minute > 59 ? -1 : next_bit(cron->minute, minute);
    if (minute < 0)
        hour++;
    hour = hour > 23 ? -1 : next_bit(cron->hour, hour);
    if (hour < 0)
        return -1;
    if (hour > h)
        minute = first_bit(cron->minute);
    if (hour > h || minute > m || second < 0)
        second = first_bit(cron->second);
    return hour * 3600 + minute * 60 + second;
}

int
guaco__cron_next(const struct guaco__cron *cron, int64_t from_s,
                 int64_t *local_s)
{
    assert(from_s >= GUACO__DATE_MIN_S);
    assert(cron->second && cron->minute && cron->hour && cron->month);

    if (from_s > GUACO__DATE_MAX_S)
        return GUACO_E_MISSING;
    struct guaco__date date = guaco__date_of(from_s);
    int from = date.day;
    int time_s = date.hour * 3600 + date.minute * 60 + date.second;

    for (int64_t year = date.year; year <= 9999; year++) {
        int month = year == date.year ? date.month : 1;
        for (; (month = next_bit(cron->month, month)) > 0; month++) {
            uint32_t days = month_days(cron, year, month);
            bool is_first = year == date.year && month == date.month;
            int day = next_bit(days, is_first ? from : 1);
            int in_day = -1;
            if (is_first && day == from) {
                in_day = next_in_day(cron, time_s);
                if (in_day < 0)
                    day = next_bit(days, from + 1);
            }
            if (day < 0)
                continue;
            if (in_day < 0)
                in_day = next_in_day(cron, 0);
            *local_s = guaco__date_days(year, month, day) * DAY_S + in_day;
            return GUACO_OK;
        }
    }
    return GUACO_E_MISSING;
}
