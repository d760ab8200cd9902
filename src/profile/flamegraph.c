/* A flame graph as SVG: what it looks like is in flamegraph.h. */

#include "flamegraph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "flamegraph_script.h"
#include "place.h"

#define WIDTH_DEFAULT 1200u
#define WIDTH_LEAST   300u
#define WIDTH_MOST    100000u
#define PAD           10.0
#define ROW           16.0
#define FONT          12.0
#define CHAR          (FONT * 0.59) /* of Verdana, on average */
#define HEAD          64.0          /* title, subtitle */
#define FOOT          32.0          /* details */

struct picture {
    struct guaco__buf *out;
    const struct guaco__flamegraph_options *options;
    double width, height, pixels; /* pixels a sample */
    uint32_t depth;               /* rows */
    uint64_t total;
};

/* ---- text -------------------------------------------------------------------- */

static int
put_escaped(struct guaco__buf *out, struct guaco_slice text)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < text.len && rc == GUACO_OK; i++) {
        char c = text.at[i];
        switch (c) {
        case '&': rc = guaco__buf_append_text(out, "&amp;"); break;
        case '<': rc = guaco__buf_append_text(out, "&lt;"); break;
        case '>': rc = guaco__buf_append_text(out, "&gt;"); break;
        case '"': rc = guaco__buf_append_text(out, "&quot;"); break;
        default:
            /* Other controls have no place in XML 1.0. */
            if ((unsigned char)c < 0x20 && c != '\t')
                c = '?';
            rc = guaco__buf_append_byte(out, c);
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
    uint32_t h = hash_of(place->name);
    unsigned a = h % 40, b = (h >> 8) % 60;

    switch (guaco__place_origin(place)) {
    case GUACO__ORIGIN_PROJECT: return (struct rgb){215 + a, 110 + b, 40};
    case GUACO__ORIGIN_PACKAGE: return (struct rgb){90 + b, 170 + a, 90};
    case GUACO__ORIGIN_STDLIB: return (struct rgb){90 + a, 150 + b, 215};
    case GUACO__ORIGIN_NONE: return (struct rgb){170 + a, 170 + a, 175 + a};
    }
    return (struct rgb){200, 200, 200};
}

/* ---- frames --------------------------------------------------------------------- */

static int
put_label(struct picture *p, struct guaco_slice text, double width)
{
    size_t room = width < 6 ? 0 : (size_t)((width - 6) / CHAR);

    if (room < 3)
        return GUACO_OK;
    if (text.len <= room)
        return put_escaped(p->out, text);
    size_t cut = room - 2;
    while (cut > 0 && ((unsigned char)text.at[cut] & 0xc0) == 0x80)
        cut--; /* not inside a character */
    int rc = put_escaped(p->out, (struct guaco_slice){text.at, cut});
    return rc == GUACO_OK ? guaco__buf_append_text(p->out, "..") : rc;
}

static int
put_title(struct picture *p, struct guaco_slice text, uint64_t samples)
{
    double share =
        p->total == 0 ? 0 : 100.0 * (double)samples / (double)p->total;

    int rc = put_escaped(p->out, text);
    if (rc != GUACO_OK)
        return rc;
    return guaco__buf_printf(
        p->out, " (%llu %.*s, %.2f%%)", (unsigned long long)samples,
        (int)p->options->count_name.len, p->options->count_name.at, share);
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
    struct rgb c = node->place == NULL ? (struct rgb){200, 200, 205}
                                       : colour_of(node->place);

    if (w < p->options->min_width)
        return GUACO_OK;
    int rc = guaco__buf_append_text(p->out, "<g><title>");
    if (rc == GUACO_OK)
        rc = put_title(p, text, node->total);
    if (rc == GUACO_OK)
        rc = guaco__buf_printf(
            p->out,
            "</title><rect x=\"%.4f\" y=\"%.1f\" width=\"%.4f\" "
            "height=\"%.1f\" fill=\"rgb(%u,%u,%u)\" rx=\"1\"/>"
            "<text x=\"%.2f\" y=\"%.1f\">",
            x, y, w, ROW - 1, c.r, c.g, c.b, x + 3, y + ROW - 5);
    if (rc == GUACO_OK)
        rc = put_label(p, text, w);
    return rc == GUACO_OK ? guaco__buf_append_text(p->out, "</text></g>\n")
                          : rc;
}

/* The text of a node's frame, in `scratch`. */
static int
text_of(const struct guaco__tally_node *node, struct guaco__buf *scratch,
        struct guaco_slice *text)
{
    guaco__buf_reset(scratch);
    int rc = node->place == NULL ? guaco__buf_append_text(scratch, "all")
                                 : guaco__place_write(node->place, scratch);
    *text = guaco__buf_slice(scratch);
    return rc;
}

/* All frames, callers before what they call. */
static int
put_frames(struct picture *p, struct guaco__tally *tally)
{
    const struct guaco__tally_node *node = &tally->root;
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
    static const char style[] =
        "<style>text{font-family:Verdana,sans-serif;font-size:12px;"
        "fill:#000}#title{font-size:17px;text-anchor:middle}"
        "#subtitle{text-anchor:middle;fill:#666}"
        "#frames&gt;g{cursor:pointer}#frames&gt;g:hover{stroke:#000;"
        "stroke-width:.5}#frames&gt;g:hover text{stroke:none}"
        ".control{cursor:pointer;fill:#246}.hide{display:none}"
        ".parent{opacity:.5}.match rect{fill:#e600e6}</style>\n";

    return guaco__buf_printf(
        p->out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" "
        "width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "data-width=\"%.0f\" data-pad=\"%.0f\" data-top=\"%.0f\" "
        "data-bottom=\"%.0f\" data-row=\"%.0f\" data-char=\"%.2f\" "
        "data-icicle=\"%d\">\n%s"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#f8f8f4\"/>\n",
        p->width, p->height, p->width, p->height, p->width, PAD, HEAD,
        HEAD + p->depth * ROW, ROW, CHAR, p->options->is_icicle, style);
}

static int
put_texts(struct picture *p)
{
    struct guaco_slice title = p->options->title;

    if (title.len == 0)
        title = GUACO_SLICE("Flame Graph");
    int rc = guaco__buf_printf(p->out,
                               "<text id=\"title\" x=\"%.0f\" "
                               "y=\"24\">",
                               p->width / 2);
    if (rc == GUACO_OK)
        rc = put_escaped(p->out, title);
    if (rc == GUACO_OK)
        rc = guaco__buf_printf(p->out,
                               "</text>\n<text id=\"subtitle\" x=\"%.0f\" "
                               "y=\"44\">",
                               p->width / 2);
    if (rc == GUACO_OK)
        rc = put_escaped(p->out, p->options->subtitle);
    if (rc != GUACO_OK)
        return rc;
    return guaco__buf_printf(
        p->out,
        "</text>\n"
        "<text id=\"unzoom\" class=\"control hide\" x=\"%.0f\" y=\"24\">"
        "Reset Zoom</text>\n"
        "<text id=\"icicle\" class=\"control\" x=\"%.0f\" y=\"44\">"
        "Turn over</text>\n"
        "<text id=\"search\" class=\"control\" x=\"%.0f\" y=\"24\">"
        "Search</text>\n"
        "<text id=\"matched\" x=\"%.0f\" y=\"44\"> </text>\n"
        "<text id=\"details\" x=\"%.0f\" y=\"%.0f\"> </text>\n"
        "<g id=\"frames\">\n",
        PAD, PAD, p->width - 110, p->width - 110, PAD,
        p->height - FOOT / 2 + 4);
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

int
guaco__flamegraph_write(struct guaco__tally *tally,
                        const struct guaco__flamegraph_options *options,
                        struct guaco__buf *out)
{
    uint32_t width = options->width == 0 ? WIDTH_DEFAULT : options->width;

    if (width < WIDTH_LEAST || width > WIDTH_MOST)
        return GUACO_E_INVALID;
    guaco__tally_sum(tally);
    int rc = guaco__tally_sort(tally);
    if (rc != GUACO_OK)
        return rc;

    struct picture p = {
        .out = out,
        .options = options,
        .width = width,
        .depth = guaco__tally_depth(tally),
        .total = tally->samples,
    };
    p.height = HEAD + p.depth * ROW + FOOT;
    p.pixels = p.total == 0 ? 0 : (p.width - 2 * PAD) / (double)p.total;
    rc = put_head(&p);
    if (rc == GUACO_OK)
        rc = put_texts(&p);
    if (rc == GUACO_OK)
        rc = put_frames(&p, tally);
    return rc == GUACO_OK ? put_foot(&p) : rc;
}
