/* Which form is which: the list is in formats.h. */

#include "formats.h"

#include <assert.h>
#include <string.h>

#include "flamegraph.h"
#include "folded.h"

static const struct {
    const char *name;
    enum guaco__format format;
} names[] = {
    {"folded", GUACO__FORMAT_FOLDED},
    {"raw", GUACO__FORMAT_FOLDED}, /* py-spy's word */
    {"svg", GUACO__FORMAT_SVG},
    {"flamegraph", GUACO__FORMAT_SVG}, /* the same */
    {"speedscope", GUACO__FORMAT_SPEEDSCOPE},
    {"pprof", GUACO__FORMAT_PPROF},
    {"gecko", GUACO__FORMAT_GECKO},
    {"chrome", GUACO__FORMAT_CHROME},
    {"chrometrace", GUACO__FORMAT_CHROME}, /* the same */
};

static const struct {
    const char *end;
    enum guaco__format format;
} ends[] = {
    {".svg", GUACO__FORMAT_SVG},
    {".speedscope.json", GUACO__FORMAT_SPEEDSCOPE},
    {".speedscope", GUACO__FORMAT_SPEEDSCOPE},
    {".pb", GUACO__FORMAT_PPROF},
    {".pprof", GUACO__FORMAT_PPROF},
    {".gecko.json", GUACO__FORMAT_GECKO},
    {".trace.json", GUACO__FORMAT_CHROME},
    {".chrome.json", GUACO__FORMAT_CHROME},
};

bool
guaco__format_has_time(enum guaco__format format, bool in_time)
{
    switch (format) {
    case GUACO__FORMAT_SPEEDSCOPE:
    case GUACO__FORMAT_GECKO:
    case GUACO__FORMAT_CHROME:
    case GUACO__FORMAT_CHART: return true;
    case GUACO__FORMAT_SVG: return in_time;
    case GUACO__FORMAT_FOLDED:
    case GUACO__FORMAT_PPROF: return false;
    }
    return false;
}

bool
guaco__format_find(const char *name, enum guaco__format *format)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i].name) == 0) {
            *format = names[i].format;
            return true;
        }
    return false;
}

enum guaco__format
guaco__format_of_file(const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i].end);
        if (len >= end && strcmp(path + len - end, ends[i].end) == 0)
            return ends[i].format;
    }
    return GUACO__FORMAT_FOLDED;
}

static int
svg_write(const struct guaco__report *report, struct guaco__buf *out)
{
    struct guaco__flamegraph_options options = {
        .title = report->title,
        .subtitle = report->subtitle,
        .count_name = {"samples", 7},
        .min_width = 0.1,
        .is_icicle = report->is_icicle,
        .in_time = report->in_time,
    };
    struct guaco__tally_node *root;
    struct guaco__arena arena;

    if (!report->in_time)
        return guaco__flamegraph_write(report->tally, &options, out);
    guaco__arena_init(&arena, (size_t)256 << 10, (size_t)1 << 30);
    int rc = guaco__timeline_tree(report->timeline, &arena, &root);
    if (rc == GUACO_OK)
        rc = guaco__flamegraph_draw(root, &options, out);
    guaco__arena_release(&arena);
    return rc;
}

int
guaco__report_write(const struct guaco__report *report,
                    enum guaco__format format, struct guaco__buf *out)
{
    assert(report->timeline != NULL ||
           !guaco__format_has_time(format, report->in_time));

    switch (format) {
    case GUACO__FORMAT_FOLDED: return guaco__folded_write(report->tally, out);
    case GUACO__FORMAT_SVG: return svg_write(report, out);
    case GUACO__FORMAT_SPEEDSCOPE: return guaco__speedscope_write(report, out);
    case GUACO__FORMAT_PPROF: return guaco__pprof_write(report, out);
    case GUACO__FORMAT_GECKO: return guaco__gecko_write(report, out);
    case GUACO__FORMAT_CHROME: return guaco__chrome_write(report, out);
    case GUACO__FORMAT_CHART: return guaco__chart_write(report, out);
    }
    return GUACO_E_INVALID;
}
