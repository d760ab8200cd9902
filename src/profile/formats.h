#ifndef GUACO_PROFILE_FORMATS_H
#define GUACO_PROFILE_FORMATS_H

/*
 * A recording in its own forms and in those of other programs.  Weights are
 * samples times the time between two of them.
 *
 *     form         order  for
 *     folded       -      flamegraph.pl and its kin
 *     svg          both   a browser: see flamegraph.h
 *     speedscope   time   https://www.speedscope.app
 *     pprof        -      go tool pprof and its kin
 *     gecko        time   https://profiler.firefox.com
 *     chrome       time   chrome://tracing, https://ui.perfetto.dev
 *     chart        time   pyflame's --flamechart
 *
 * All functions return as guaco__buf_append(), or GUACO_E_NOMEM.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "tally.h"
#include "timeline.h"

enum guaco__format {
    GUACO__FORMAT_FOLDED,
    GUACO__FORMAT_SVG,
    GUACO__FORMAT_SPEEDSCOPE,
    GUACO__FORMAT_PPROF,
    GUACO__FORMAT_GECKO,
    GUACO__FORMAT_CHROME,
    GUACO__FORMAT_CHART,
};

/* What is written of; all borrowed. */
struct guaco__report {
    struct guaco__tally *tally;             /* may be sorted and summed */
    const struct guaco__timeline *timeline; /* for those of time order */
    struct guaco_slice title;               /* "python app.py" */
    struct guaco_slice subtitle;            /* "process 12, every 10 ms" */
    uint64_t period_ns;                     /* between two samples */
    int64_t begin_wall_ns;                  /* since 1970 */
    bool in_time;   /* svg: in the order of time, not merged */
    bool is_icicle; /* svg: the outermost frame on top */
};

/* Whether a form is written from the timeline, which must then be there. */
bool guaco__format_has_time(enum guaco__format format, bool in_time);

/* The form of this name ("svg", or py-spy's "flamegraph"); false: there is
 * none. */
bool guaco__format_find(const char *name, enum guaco__format *format);

/* The form that a file's name ends like ("x.svg"), else folded. */
enum guaco__format guaco__format_of_file(const char *path);

/* Append the report in that form. */
int guaco__report_write(const struct guaco__report *report,
                        enum guaco__format format, struct guaco__buf *out);

/* ---- the forms, each a file: out_*.c ---- */

/*
 * speedscope's JSON (https://www.speedscope.app/file-format-schema.json): one
 * "sampled" profile a thread, its samples in the order of time.
 */
int guaco__speedscope_write(const struct guaco__report *report,
                            struct guaco__buf *out);

/*
 * pprof's protobuf (github.com/google/pprof, proto/profile.proto), not
 * compressed, which its readers accept.  Two values a stack: samples and wall
 * time in nanoseconds.
 */
int
guaco__pprof_write(const struct guaco__report *report, struct guaco__buf *out);

/* The Gecko profile format, version 24, as the Firefox Profiler imports it. */
int
guaco__gecko_write(const struct guaco__report *report, struct guaco__buf *out);

/* Chrome's trace events: B and E for each call that lasted from one sample to
 * another. */
int
guaco__chrome_write(const struct guaco__report *report, struct guaco__buf *out);

/* pyflame's chart: a line with the time in microseconds since 1970, then a line
 * with the stack. */
int
guaco__chart_write(const struct guaco__report *report, struct guaco__buf *out);

#endif
