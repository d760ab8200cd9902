/*
 * Huey's crontab() arguments as a spec: guaco_crontab_spec of guaco/schedule.h.
 *
 * The grammar of a piece is that of cron with less in it, and it means the same
 * where Huey reads it: so a piece that Huey would read is copied, one that it
 * would ignore is left out, and cron.c reads what comes of it.
 */

#include "guaco/schedule.h"

#include <assert.h>
#include <string.h>

#include "cron.h"
#include "base/scan.h"

#define STEP_MAX 999999999

struct argument {
    const char *name;
    int from;
    int to;
    bool has_step; /* whether * / n is taken */
};

/* One for each argument of crontab(). */
static const struct argument month = {"month", 1, 12, true};
static const struct argument day = {"day", 1, 31, true};
static const struct argument day_of_week = {"day_of_week", 0, 7, false};
static const struct argument hour = {"hour", 0, 23, true};
static const struct argument minute = {"minute", 0, 59, true};

enum verdict { PIECE_READ, PIECE_IGNORED, PIECE_WRONG };

/* The spec as it is being written. */
struct out {
    char *at;
    size_t len;
    size_t cap;
};

/* Cut silently when full: the end checks. */
static void
put(struct out *out, const char *text, size_t len)
{
    if (out->len + len < out->cap)
        memcpy(out->at + out->len, text, len);
    out->len += len;
}

static bool
is_number(struct guaco_slice piece)
{
    for (size_t i = 0; i < piece.len; i++)
        if (piece.at[i] < '0' || piece.at[i] > '9')
            return false;
    return piece.len > 0;
}

/* A number that may be too great to be read still has the form of one. */
static bool
take_digits(struct guaco__scan *scan)
{
    const char *start = scan->at;

    while (!guaco__scan_done(scan) && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at != start;
}

/* a-b or a-b/n, by form alone. */
static bool
has_range_form(struct guaco_slice piece)
{
    struct guaco__scan scan = guaco__scan_of(piece);

    if (!take_digits(&scan) || !guaco__scan_take(&scan, '-') ||
        !take_digits(&scan))
        return false;
    if (guaco__scan_take(&scan, '/') && !take_digits(&scan))
        return false;
    return guaco__scan_done(&scan);
}

static bool
has_every_form(struct guaco_slice piece)
{
    struct guaco__scan scan = guaco__scan_of(piece);

    return guaco__scan_take(&scan, '*') && guaco__scan_take(&scan, '/') &&
           take_digits(&scan) && guaco__scan_done(&scan);
}

static bool
take_inside(struct guaco__scan *scan, const struct argument *argument)
{
    int64_t value = 0;

    return guaco__scan_number(scan, argument->to, &value) &&
           value >= argument->from;
}

static bool
take_step(struct guaco__scan *scan)
{
    int64_t step = 0;

    return guaco__scan_take(scan, '/') &&
           guaco__scan_number(scan, STEP_MAX, &step) && step > 0;
}

static enum verdict
judge(const struct argument *argument, struct guaco_slice piece)
{
    struct guaco__scan scan = guaco__scan_of(piece);
    bool is_right = false;

    if (guaco_slice_equals(piece, GUACO_SLICE("*")))
        return PIECE_READ;
    if (is_number(piece)) {
        is_right = take_inside(&scan, argument);
    } else if (has_range_form(piece)) {
        is_right = take_inside(&scan, argument) &&
                   guaco__scan_take(&scan, '-') &&
                   take_inside(&scan, argument) &&
                   (guaco__scan_done(&scan) || take_step(&scan));
    } else if (has_every_form(piece)) {
        guaco__scan_take(&scan, '*');
        is_right = argument->has_step && take_step(&scan);
    } else {
        return PIECE_IGNORED;
    }
    return is_right ? PIECE_READ : PIECE_WRONG;
}

static int
refuse(const struct argument *argument, struct guaco_slice text,
       const char *why, struct guaco_error *err)
{
    return guaco_fail(err, GUACO_E_INVALID, 0, "crontab: %s='%.*s': %s",
                      argument->name, (int)(text.len < 40 ? text.len : 40),
                      text.at, why);
}

/* A blank and what is read of one argument. */
static int
put_argument(struct out *out, const struct argument *argument,
             struct guaco_slice text, bool is_strict, struct guaco_error *err)
{
    const char *mark = " ";

    if (text.len == 0)
        return refuse(argument, GUACO_SLICE(""), "matches no values", err);
    for (size_t at = 0; at <= text.len;) {
        const char *start = text.at + at;
        const char *comma = memchr(start, ',', text.len - at);
        struct guaco_slice piece = {start, comma ? (size_t)(comma - start)
                                                 : text.len - at};
        enum verdict verdict = judge(argument, piece);

        if (verdict == PIECE_WRONG)
            return refuse(argument, piece, "not a valid input", err);
        if (verdict == PIECE_IGNORED && is_strict)
            return refuse(argument, piece, "cannot be read", err);
        if (verdict == PIECE_READ) {
            put(out, mark, 1);
            put(out, piece.at, piece.len);
            mark = ",";
        }
        at += piece.len + 1;
    }
    return *mark == ',' ? GUACO_OK
                        : refuse(argument, text, "matches no values", err);
}

int
guaco_crontab_spec(const struct guaco_crontab *fields, bool is_strict,
                   char *spec, size_t cap, struct guaco_error *err)
{
    const struct {
        const struct argument *argument;
        struct guaco_slice text;
    } order[] = {
        {&minute, fields->minute},
        {&hour, fields->hour},
        {&day, fields->day},
        {&month, fields->month},
        {&day_of_week, fields->day_of_week},
    };
    struct out out = {spec, 0, cap};
    struct guaco__cron cron;

    put(&out, "all", 3);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        int rc = put_argument(&out, order[i].argument, order[i].text, is_strict,
                              err);
        if (rc != GUACO_OK)
            return rc;
    }
    if (out.len >= cap || out.len > GUACO_SCHEDULE_SPEC_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "crontab: more than %d bytes",
                          GUACO_SCHEDULE_SPEC_MAX);
    spec[out.len] = '\0';
    return guaco__cron_parse(&cron, (struct guaco_slice){spec, out.len}, err);
}
