/* The settings of a recording as a line of JSON: see profile_wire.h. */

#include "profile_wire.h"

#include <string.h>

#include "base/json.h"

#define SECONDS_MOST   (30.0 * 24 * 3600)
#define PERIOD_LEAST_S 1e-4 /* what one asks of workers that serve */

static void
put_flag(struct guaco__json_writer *w, const char *name, bool value)
{
    guaco__json_name(w, name);
    guaco__json_put_bool(w, value);
}

static void
put_text(struct guaco__json_writer *w, const char *name, const char *text)
{
    if (text == NULL)
        return;
    guaco__json_name(w, name);
    guaco__json_put_text(w, text);
}

int
guaco__wire_write(const struct guaco__profile_session *session,
                  struct guaco__buf *out)
{
    struct guaco__json_writer w;

    guaco__json_begin(&w, out);
    guaco__json_open(&w, '{');
    guaco__json_name(&w, "seconds");
    guaco__json_put_real(&w, session->seconds);
    guaco__json_name(&w, "period");
    guaco__json_put_real(&w, session->period);
    guaco__json_name(&w, "format");
    guaco__json_put_int(&w, (int64_t)session->format);
    put_flag(&w, "threads", session->threads);
    put_flag(&w, "running_only", session->running_only);
    put_flag(&w, "by_function", session->by_function);
    put_flag(&w, "by_state", session->by_state);
    put_flag(&w, "by_task", session->by_task);
    put_flag(&w, "in_time", session->in_time);
    put_flag(&w, "is_icicle", session->is_icicle);
    put_text(&w, "route", session->labels.route);
    put_text(&w, "task", session->labels.task);
    put_text(&w, "title", session->title);
    guaco__json_close(&w, '}');
    int rc = guaco__json_end(&w);
    if (rc == GUACO_OK && out->len >= GUACO__WIRE_LINE_MAX)
        rc = GUACO_E_LIMIT;
    return rc == GUACO_OK ? guaco__buf_append_byte(out, '\n') : rc;
}

/* A number, whole or not; negative when there is none. */
static double
number_of(const struct guaco__json *object, const char *name)
{
    const struct guaco__json *value = guaco__json_get(object, name);

    if (value != NULL && value->type == GUACO__JSON_REAL)
        return value->as.real;
    return value != NULL && value->type == GUACO__JSON_INT
               ? (double)value->as.integer
               : -1;
}

int
guaco__wire_read(struct guaco__arena *arena, const char *line, size_t len,
                 struct guaco__profile_session *session,
                 struct guaco_error *err)
{
    const struct guaco__json *o;

    int rc = guaco__json_read(arena, line, len, &o, err);
    if (rc != GUACO_OK)
        return rc == GUACO_E_NOMEM ? rc : GUACO_E_PROTO;
    double seconds = number_of(o, "seconds"), period = number_of(o, "period");
    int64_t format = guaco__json_int(o, "format", -1);
    if (!(seconds <= SECONDS_MOST) || !(period >= PERIOD_LEAST_S) ||
        period > 3600 || format < 0 || format > GUACO__FORMAT_CHART)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "at most 30 days, and 0.0001 to 3600 seconds between "
                          "two samples");
    *session = (struct guaco__profile_session){
        .seconds = seconds < 0 ? SECONDS_MOST : seconds,
        .period = period,
        .format = (enum guaco__format)format,
        .threads = guaco__json_bool(o, "threads", true),
        .running_only = guaco__json_bool(o, "running_only", true),
        .by_function = guaco__json_bool(o, "by_function", false),
        .by_state = guaco__json_bool(o, "by_state", false),
        .by_task = guaco__json_bool(o, "by_task", false),
        .in_time = guaco__json_bool(o, "in_time", false),
        .is_icicle = guaco__json_bool(o, "is_icicle", false),
        .has_labels = true,
        .labels = {.route = guaco__json_text(o, "route", NULL),
                   .task = guaco__json_text(o, "task", NULL)},
        .title = guaco__json_text(o, "title", NULL),
    };
    return GUACO_OK;
}
