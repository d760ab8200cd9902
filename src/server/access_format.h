#ifndef GUACO__SERVER_ACCESS_FORMAT_H
#define GUACO__SERVER_ACCESS_FORMAT_H

/*
 * The form of access log lines: "common", "combined", "json", or a text with
 * gunicorn's atoms, read once into a list of steps.
 *
 *     %(h)s client's address    %(r)s request line    %(s)s status
 *     %(l)s -                   %(m)s method          %(B)s bytes of the body
 *     %(u)s -                   %(U)s path            %(b)s the same, - for 0
 *     %(t)s [date]              %(q)s query           %(f)s Referer
 *     %(p)s process             %(H)s protocol        %(a)s User-Agent
 *     %(T)s seconds taken       %(M)s milliseconds    %(D)s microseconds
 *     %(L)s decimal seconds     %({name}i)s a field of the request
 *     %%    a percent sign
 *
 * Whatever comes from a client is escaped, so that a line is one line and its
 * fields stay where they are: \xHH for quotes, backslashes and what is not
 * visible ASCII; in JSON as JSON does.
 *
 * Threads: a format may be read by all at once.
 */

#include <stdint.h>

#include "guaco/error.h"
#include "guaco/http/app.h"

#define GUACO__ACCESS_STEPS_MAX 64
#define GUACO__ACCESS_TEXT_MAX  1024  /* of a format, bytes */
#define GUACO__ACCESS_LINE_MAX  16384 /* longer lines are cut */

/* What a line tells of a request. */
struct guaco__access_entry {
    const struct guaco_peer *peer;
    const struct guaco_request *request; /* NULL: it was not understood */
    struct guaco_slice method;
    struct guaco_slice target;
    int version_major;
    int version_minor;
    int status;
    uint64_t bytes;
    uint64_t took_us;
    const char *stamp; /* "[23/Nov/2026:12:00:00 +0000]" */
    const char *time;  /* "2026-11-23T12:00:00.000Z" */
};

enum guaco__access_step_kind {
    GUACO__ACCESS_LITERAL,
    GUACO__ACCESS_HOST,
    GUACO__ACCESS_DASH,
    GUACO__ACCESS_STAMP,
    GUACO__ACCESS_TIME,
    GUACO__ACCESS_REQUEST_LINE,
    GUACO__ACCESS_METHOD,
    GUACO__ACCESS_TARGET,
    GUACO__ACCESS_PATH,
    GUACO__ACCESS_QUERY,
    GUACO__ACCESS_PROTOCOL,
    GUACO__ACCESS_STATUS,
    GUACO__ACCESS_BYTES,
    GUACO__ACCESS_BYTES_OR_DASH,
    GUACO__ACCESS_SECONDS,
    GUACO__ACCESS_MILLISECONDS,
    GUACO__ACCESS_MICROSECONDS,
    GUACO__ACCESS_DECIMAL,
    GUACO__ACCESS_PROCESS,
    GUACO__ACCESS_FIELD,
};

struct guaco__access_step {
    enum guaco__access_step_kind kind;
    struct guaco_slice text; /* LITERAL; FIELD: its name, lower case */
};

struct guaco__access_format {
    char text[GUACO__ACCESS_TEXT_MAX]; /* private: what steps point into */
    struct guaco__access_step steps[GUACO__ACCESS_STEPS_MAX];
    size_t count; /* 0: no log */
    bool is_json;
    int64_t pid; /* asking for it each time costs a system call */
};

/* Returns 0, GUACO_E_INVALID (an atom that is not known) or GUACO_E_LIMIT. */
int guaco__access_format_read(struct guaco__access_format *format,
                              const char *text, struct guaco_error *err);

/* Write a line with its newline at out, which has GUACO__ACCESS_LINE_MAX bytes;
 * gives its end. */
char *
guaco__access_format_put(const struct guaco__access_format *format,
                         const struct guaco__access_entry *entry, char *out);

#endif
