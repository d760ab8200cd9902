/* A flame graph as SVG: what it looks like is in flamegraph.h. */

#include "flamegraph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "flamegraph_script.h"
#include "flamegraph_style.h"
#include "place.h"
#include "tally_list.h"

#define WIDTH_DEFAULT 1200u
#define WIDTH_LEAST   300u
#define WIDTH_MOST    100000u
#define PAD           10.0
#define ROW           18.0
#define CHAR          6.62 /* of the 11 px monospaced font */
#define LABEL_PAD     4.0
#define HEAD          64.0 /* title, subtitle */
#define FOOT          52.0 /* details, legend */

struct picture {
    struct guaco__buf *out;
    const struct guaco__flamegraph_options *options;
    double width, height, pixels; /* pixels a sample */
    uint32_t depth;               /* rows */
    uint64_t total, total_before;
    double most_change; /* of a frame's own share, for the colours of a diff */
};

/* ---- text -------------------------------------------------------------------- */

/* Bytes of the valid character at text[at], at least two, or 0. */
static size_t
character_at(struct guaco_slice text, size_t at)
{
    unsigned char lead = (unsigned char)text.at[at];
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

    return at + len <= text.len && guaco__utf8_is_valid(text.at + at, len) ? len
                                                                           : 0;
}

/* As XML: other controls than a tab have no place in its version 1.0. */
static int
put_escaped(struct guaco__buf *out, struct guaco_slice text)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < text.len && rc == GUACO_OK; i++) {
        char c = text.at[i];
        if (c == '&') {
            rc = guaco__buf_append_text(out, "&amp;");
        } else if (c == '<') {
            rc = guaco__buf_append_text(out, "&lt;");
        } else if (c == '>') {
            rc = guaco__buf_append_text(out, "&gt;");
        } else if (c == '"') {
            rc = guaco__buf_append_text(out, "&quot;");
        } else if ((unsigned char)c < 0x80) {
            c = (unsigned char)c < 0x20 && c != '\t' ? '?' : c;
            rc = guaco__buf_append_byte(out, c);
        } else {
            size_t len = character_at(text, i);
            rc = len == 0 ? guaco__buf_append_text(out, "\xef\xbf\xbd")
                          : guaco__buf_append(out, text.at + i, len);
            i += len == 0 ? 0 : len - 1;
        }
    }
    return rc;
}

/* ---- colour -------------------------------------------------------------------- */

struct rgb {
    unsigned r, g, b;
};

static uint32_t
hash_of(struct guaco_slice text)
{
    uint32_t h = 2166136261u; /* FNV-1a: a name keeps its shade for ever */

    for (size_t i = 0; i < text.len; i++)
        h = (h ^ (unsigned char)text.at[i]) * 16777619u;
    return h;
}

/* A family of colour for where the code comes from, a shade for the name. */
static struct rgb
colour_of(const struct guaco__place *place)
{
    uint32_t h = hash_of(guaco__place_split(place).name);
    unsigned a = h % 22, b = (h >> 8) % 34;

    switch (guaco__place_origin(place)) {
    case GUACO__ORIGIN_PROJECT: return (struct rgb){233 + a, 136 + b, 62 + a};
    case GUACO__ORIGIN_PACKAGE: return (struct rgb){118 + b, 186 + a, 118 + a};
    case GUACO__ORIGIN_STDLIB: return (struct rgb){118 + b, 168 + a, 220 + a};
    case GUACO__ORIGIN_NATIVE: return (struct rgb){186 + a, 150 + b, 216 + a};
    case GUACO__ORIGIN_NONE: return (struct rgb){206 + a, 206 + a, 210 + a};
    }
    return (struct rgb){200, 200, 200};
}

/* By how much a node's own share of all samples grew: -1 to 1. */
static double
change_of(const struct picture *p, const struct guaco__tally_node *node)
{
    double now = p->total == 0 ? 0 : (double)node->self / (double)p->total;
    double before = p->total_before == 0
                        ? 0
                        : (double)node->self_before / (double)p->total_before;

    return now - before;
}

static struct rgb
colour_of_change(const struct picture *p, const struct guaco__tally_node *node)
{
    double change = change_of(p, node);

    if (p->most_change <= 0 || (change < 1e-9 && change > -1e-9))
        return (struct rgb){238, 238, 236};
    double share = (change < 0 ? -change : change) / p->most_change;
    unsigned fade = (unsigned)(205 * (1 - share)); /* towards white */
    return change > 0 ? (struct rgb){235, 40 + fade, 30 + fade}
                      : (struct rgb){30 + fade, 70 + fade * 4 / 5, 235};
}

static struct rgb
colour(const struct picture *p, const struct guaco__tally_node *node)
{
    if (node->place == NULL)
        return (struct rgb){222, 222, 226};
    return p->options->is_diff ? colour_of_change(p, node)
                               : colour_of(node->place);
}

/* ---- frames --------------------------------------------------------------------- */

/* The last part of a path. */
static struct guaco_slice
base_of(struct guaco_slice path)
{
    const char *slash = path.len == 0 ? NULL : memrchr(path.at, '/', path.len);

    if (slash == NULL)
        return path;
    return (struct guaco_slice){slash + 1,
                                path.len - (size_t)(slash + 1 - path.at)};
}

/* "name file.py:3", as much of it as fits; the script does the same. */
static int
put_label(struct picture *p, const struct guaco__place *place, double width)
{
    char text[256];
    size_t room =
        width < 2 * LABEL_PAD ? 0 : (size_t)((width - 2 * LABEL_PAD) / CHAR);
    struct guaco__place_parts parts = {.name = GUACO_SLICE("all")};

    if (room < 3)
        return GUACO_OK;
    if (place != NULL)
        parts = guaco__place_split(place);
    struct guaco_slice file = base_of(parts.file);
    char line[16] = "";
    if (parts.line > 0)
        snprintf(line, sizeof line, ":%d", (int)parts.line);
    int len = snprintf(text, sizeof text, "%.*s%s%.*s%s", (int)parts.name.len,
                       parts.name.at, file.len > 0 ? " " : "", (int)file.len,
                       file.at, file.len > 0 ? line : "");
    if ((size_t)len < sizeof text && (size_t)len <= room)
        return put_escaped(p->out, (struct guaco_slice){text, (size_t)len});
    size_t cut = room < sizeof text ? room - 1 : sizeof text - 2;
    while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--; /* not inside a character */
    int rc = put_escaped(p->out, (struct guaco_slice){text, cut});
    return rc == GUACO_OK ? guaco__buf_append_text(p->out, "\xe2\x80\xa6") : rc;
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

/* "name (3 samples, 75.00%)"; of a diff "(3 samples, 75.00%, before 50.00%)". */
static int
put_title(struct picture *p, struct guaco_slice text,
          const struct guaco__tally_node *node)
{
    int rc = put_escaped(p->out, text);

    if (rc == GUACO_OK)
        rc = guaco__buf_printf(
            p->out, " (%llu %.*s, %.2f%%", (unsigned long long)node->total,
            (int)p->options->count_name.len, p->options->count_name.at,
            percent(node->total, p->total));
    if (rc == GUACO_OK && p->options->is_diff)
        rc = guaco__buf_printf(p->out, ", before %.2f%%; own %+.2f%%",
                               percent(node->total_before, p->total_before),
                               100 * change_of(p, node));
    return rc == GUACO_OK ? guaco__buf_append_byte(p->out, ')') : rc;
}

static int
put_frame(struct picture *p, const struct guaco__tally_node *node,
          struct guaco_slice text, uint64_t begin, uint32_t depth)
{
    double x = PAD + (double)begin * p->pixels;
    double w = (double)node->total * p->pixels;
    double y = p->options->is_icicle
                   ? HEAD + depth * ROW
                   : HEAD + (double)(p->depth - 1 - depth) * ROW;
    struct rgb c = colour(p, node);

    if (w < p->options->min_width || node->total == 0)
        return GUACO_OK;
    int rc = guaco__buf_append_text(p->out, "<g><title>");
    if (rc == GUACO_OK)
        rc = put_title(p, text, node);
    if (rc == GUACO_OK)
        rc = guaco__buf_printf(
            p->out,
            "</title><rect x=\"%.4f\" y=\"%.1f\" width=\"%.4f\" "
            "height=\"%.1f\" fill=\"rgb(%u,%u,%u)\" rx=\"2\"/>"
            "<text x=\"%.2f\" y=\"%.1f\">",
            x, y, w, ROW - 1, c.r, c.g, c.b, x + LABEL_PAD, y + ROW - 5.5);
    if (rc == GUACO_OK)
        rc = put_label(p, node->place, w);
    return rc == GUACO_OK ? guaco__buf_append_text(p->out, "</text></g>\n")
                          : rc;
}

/* The text of a node's frame, in `scratch`. */
static int
text_of(const struct guaco__tally_node *node, struct guaco__buf *scratch,
        struct guaco_slice *text)
{
    guaco__buf_reset(scratch);
    int rc = node->place == NULL
                 ? guaco__buf_append_text(scratch, "all")
                 : guaco__place_write_folded(node->place, scratch);
    *text = guaco__buf_slice(scratch);
    return rc;
}

/* All frames, callers before what they call. */
static int
put_frames(struct picture *p, const struct guaco__tally_node *root)
{
    const struct guaco__tally_node *node = root;
    struct guaco__buf scratch;
    uint64_t begin = 0; /* samples to the left of `node` */
    uint32_t depth = 0;
    int rc = GUACO_OK;

    guaco__buf_init(&scratch, (size_t)1 << 20);
    while (node != NULL && rc == GUACO_OK) {
        struct guaco_slice text;
        rc = text_of(node, &scratch, &text);
        if (rc == GUACO_OK)
            rc = put_frame(p, node, text, begin, depth);
        if (node->first_child != NULL) {
            node = node->first_child;
            depth++;
            continue;
        }
        begin += node->self;
        while (node != NULL && node->next_sibling == NULL) {
            node = node->parent;
            depth--;
            if (node != NULL)
                begin += node->self;
        }
        if (node != NULL)
            node = node->next_sibling;
    }
    guaco__buf_release(&scratch);
    return rc;
}

/* ---- the page -------------------------------------------------------------------- */

static int
put_head(struct picture *p)
{
    int rc = guaco__buf_printf(
        p->out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
        "width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "data-width=\"%.0f\" data-pad=\"%.0f\" data-top=\"%.0f\" "
        "data-bottom=\"%.0f\" data-row=\"%.0f\" data-char=\"%.2f\" "
        "data-label=\"%.0f\" data-icicle=\"%d\">\n<style><![CDATA[\n",
        p->width, p->height, p->width, p->height, p->width, PAD, HEAD,
        HEAD + p->depth * ROW, ROW, CHAR, LABEL_PAD, p->options->is_icicle);

    if (rc == GUACO_OK)
        rc = guaco__buf_append(p->out, flamegraph_style, flamegraph_style_len);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(
            p->out, "]]></style>\n<rect id=\"page\" width=\"100%\" "
                    "height=\"100%\"/>\n");
    return rc;
}

/* <text id="ID" x="X" y="Y" ...>TEXT</text> */
static int
put_text(struct picture *p, const char *attributes, double x, double y,
         struct guaco_slice text)
{
    int rc = guaco__buf_printf(p->out, "<text %s x=\"%.0f\" y=\"%.0f\">",
                               attributes, x, y);

    if (rc == GUACO_OK)
        rc = put_escaped(p->out, text);
    return rc == GUACO_OK ? guaco__buf_append_text(p->out, "</text>\n") : rc;
}

static int
put_texts(struct picture *p)
{
    const struct {
        const char *attributes;
        double x, y;
        struct guaco_slice text;
    } rows[] = {
        {"id=\"title\"", PAD, 26,
         p->options->title.len > 0 ? p->options->title
                                   : GUACO_SLICE("Flame Graph")},
        {"id=\"subtitle\"", PAD, 47, p->options->subtitle},
        {"id=\"unzoom\" class=\"control hide\"", p->width - 180, 26,
         GUACO_SLICE("Reset zoom")},
        {"id=\"search\" class=\"control\"", p->width - 92, 26,
         GUACO_SLICE("Search")},
        {"id=\"icicle\" class=\"control\"", p->width - PAD, 26,
         GUACO_SLICE("Flip")},
        {"id=\"matched\"", p->width - PAD, 47, GUACO_SLICE(" ")},
        {"id=\"details\"", PAD, p->height - 30, GUACO_SLICE(" ")},
    };
    int rc = GUACO_OK;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && rc == GUACO_OK; i++)
        rc =
            put_text(p, rows[i].attributes, rows[i].x, rows[i].y, rows[i].text);
    return rc;
}

static int
put_legend(struct picture *p)
{
    static const char *const by_origin[][2] = {
        {"project", "#f39849"},
        {"packages", "#8ac580"},
        {"standard library", "#8ab2e6"},
        {"native", "#c4a3e2"},
    };
    static const char *const by_change[][2] = {
        {"more than before", "#eb5a4e"},
        {"less than before", "#4e6aeb"},
        {"as before", "#eeeeec"},
    };
    bool is_diff = p->options->is_diff;
    size_t count = is_diff ? 3 : 4;
    double x = PAD, y = p->height - 12;
    int rc = GUACO_OK;

    for (size_t i = 0; i < count && rc == GUACO_OK; i++) {
        const char *const *row = is_diff ? by_change[i] : by_origin[i];
        rc = guaco__buf_printf(p->out,
                               "<rect x=\"%.0f\" y=\"%.0f\" width=\"10\" "
                               "height=\"10\" rx=\"2\" fill=\"%s\"/>",
                               x, y - 9, row[1]);
        if (rc == GUACO_OK)
            rc = put_text(p, "class=\"legend\"", x + 15, y,
                          (struct guaco_slice){row[0], strlen(row[0])});
        x += 40 + 6.2 * (double)strlen(row[0]);
    }
    return rc;
}

static int
put_foot(struct picture *p)
{
    int rc = guaco__buf_append_text(
        p->out, "</g>\n<script type=\"text/ecmascript\"><![CDATA[\n");

    if (rc == GUACO_OK)
        rc =
            guaco__buf_append(p->out, flamegraph_script, flamegraph_script_len);
    return rc == GUACO_OK
               ? guaco__buf_append_text(p->out, "]]></script>\n</svg>\n")
               : rc;
}

static double
most_change(const struct picture *p, const struct guaco__tally_node *root)
{
    double most = 0;

    for (const struct guaco__tally_node *node = root; node != NULL;
         node = guaco__tally_next(node)) {
        double change = change_of(p, node);
        change = change < 0 ? -change : change;
        most = change > most ? change : most;
    }
    return most;
}

int
guaco__flamegraph_draw(const struct guaco__tally_node *root,
                       const struct guaco__flamegraph_options *options,
                       struct guaco__buf *out)
{
    uint32_t width = options->width == 0 ? WIDTH_DEFAULT : options->width;

    if (width < WIDTH_LEAST || width > WIDTH_MOST)
        return GUACO_E_INVALID;

    struct picture p = {
        .out = out,
        .options = options,
        .width = width,
        .depth = guaco__tally_depth(root),
        .total = root->total,
        .total_before = root->total_before,
    };
    p.height = HEAD + p.depth * ROW + FOOT;
    p.pixels = p.total == 0 ? 0 : (p.width - 2 * PAD) / (double)p.total;
    if (options->is_diff)
        p.most_change = most_change(&p, root);
    int rc = put_head(&p);
    if (rc == GUACO_OK)
        rc = put_texts(&p);
    if (rc == GUACO_OK)
        rc = put_legend(&p);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(out, "<g id=\"frames\">\n");
    if (rc == GUACO_OK)
        rc = put_frames(&p, root);
    return rc == GUACO_OK ? put_foot(&p) : rc;
}

int
guaco__flamegraph_write(struct guaco__tally *tally,
                        const struct guaco__flamegraph_options *options,
                        struct guaco__buf *out)
{
    guaco__tally_sum(&tally->root);
    assert(tally->root.total == tally->samples);
    int rc = guaco__tally_sort(tally);
    return rc == GUACO_OK ? guaco__flamegraph_draw(&tally->root, options, out)
                          : rc;
}
