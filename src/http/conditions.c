/* Conditions and ranges: the contract is in conditions.h. */

#include "conditions.h"

#include <string.h>

#include "base/date.h"
#include "fields.h"
#include "scan.h"

enum {
    GAP_BYTES = 128, /* less than the head of a part: one range is shorter */
};

/* ---- fields ---- */

/* The value of a field; NULL when there is none, or more than one. */
static const struct guaco_slice *
find_one(const struct guaco_request *r, enum guaco__field_id id)
{
    const struct guaco_slice *found = NULL;

    for (size_t i = 0; i < r->field_count; i++) {
        if (r->field_ids[i] != id)
            continue;
        if (found != NULL)
            return NULL;
        found = &r->fields[i].value;
    }
    return found;
}

static bool
has_field(const struct guaco_request *r, enum guaco__field_id id)
{
    for (size_t i = 0; i < r->field_count; i++)
        if (r->field_ids[i] == id)
            return true;
    return false;
}

/* ---- entity tags ---- */

static bool
is_weak(struct guaco_slice tag)
{
    return tag.len >= 2 && tag.at[0] == 'W' && tag.at[1] == '/';
}

/* Without W/. */
static struct guaco_slice
opaque_of(struct guaco_slice tag)
{
    if (is_weak(tag))
        return (struct guaco_slice){tag.at + 2, tag.len - 2};
    return tag;
}

/* Take an entity tag off the front of a list; false at its end and at what is
 * none.  A tag may hold commas, so that this is no list of tokens. */
static bool
next_tag(struct guaco_slice *list, struct guaco_slice *tag)
{
    struct guaco_slice opaque;
    const char *close;

    while (list->len > 0 && (list->at[0] == ',' ||
                             guaco__char_is(list->at[0], GUACO__CHAR_SPACE)))
        *list = (struct guaco_slice){list->at + 1, list->len - 1};
    opaque = opaque_of(*list);
    if (opaque.len < 2 || opaque.at[0] != '"')
        return false;
    close = memchr(opaque.at + 1, '"', opaque.len - 1);
    if (close == NULL)
        return false;
    *tag = (struct guaco_slice){list->at, (size_t)(close + 1 - list->at)};
    list->at += tag->len;
    list->len -= tag->len;
    return true;
}

/* Weak comparison, or the strong one (RFC 9110 8.8.3.2). */
static bool
tags_match(struct guaco_slice a, struct guaco_slice b, bool is_strong)
{
    if (is_strong && (is_weak(a) || is_weak(b)))
        return false;
    return guaco_slice_equals(opaque_of(a), opaque_of(b));
}

/* One of the tags in the lines of this field is ours, or there is a "*". */
static bool
lists_tag(const struct guaco_request *r, enum guaco__field_id id,
          struct guaco_slice etag, bool is_strong)
{
    for (size_t i = 0; i < r->field_count; i++) {
        struct guaco_slice list = r->fields[i].value;
        struct guaco_slice tag;

        if (r->field_ids[i] != id)
            continue;
        if (guaco_slice_equals(list, GUACO_SLICE("*")))
            return true;
        while (next_tag(&list, &tag))
            if (tags_match(tag, etag, is_strong))
                return true;
    }
    return false;
}

/* ---- conditions ---- */

/* The date of a field; false when it is missing or none. */
static bool
read_date(const struct guaco_request *r, enum guaco__field_id id,
          const struct guaco__validators *v, int64_t *date_s)
{
    const struct guaco_slice *value = find_one(r, id);

    return value != NULL &&
           guaco__date_parse_http(*value, v->now_s, date_s) == GUACO_OK;
}

int
guaco__conditions_judge(const struct guaco_request *r,
                        const struct guaco__validators *v)
{
    int64_t date_s;

    if (has_field(r, GUACO__FIELD_IF_MATCH)) {
        if (!lists_tag(r, GUACO__FIELD_IF_MATCH, v->etag, true))
            return 412;
    } else if (read_date(r, GUACO__FIELD_IF_UNMODIFIED_SINCE, v, &date_s)) {
        if (v->modified_s > date_s)
            return 412;
    }
    if (has_field(r, GUACO__FIELD_IF_NONE_MATCH))
        return lists_tag(r, GUACO__FIELD_IF_NONE_MATCH, v->etag, false) ? 304
                                                                        : 0;
    if (read_date(r, GUACO__FIELD_IF_MODIFIED_SINCE, v, &date_s) &&
        v->modified_s <= date_s)
        return 304;
    return 0;
}

/* ---- ranges ---- */

/* If-Range is not there, or names what would be sent.  A date does only when
 * it is strong: the file was not changed in that second (RFC 9110 8.8.2.2). */
static bool
if_range_holds(const struct guaco_request *r, const struct guaco__validators *v)
{
    const struct guaco_slice *value = find_one(r, GUACO__FIELD_IF_RANGE);
    struct guaco_slice list, tag;
    int64_t date_s;

    if (value == NULL)
        return !has_field(r, GUACO__FIELD_IF_RANGE);
    list = *value;
    if (next_tag(&list, &tag))
        return list.len == 0 && tags_match(tag, v->etag, true);
    return guaco__date_parse_http(*value, v->now_s, &date_s) == GUACO_OK &&
           date_s == v->modified_s && v->now_s > v->modified_s + 1;
}

/* A number at the front, saturated; false when there is none. */
static bool
take_number(struct guaco_slice *text, uint64_t *number)
{
    size_t n = 0;

    *number = 0;
    for (; n < text->len && text->at[n] >= '0' && text->at[n] <= '9'; n++) {
        unsigned digit = (unsigned)(text->at[n] - '0');

        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX
                                                      : *number * 10 + digit;
    }
    text->at += n;
    text->len -= n;
    return n > 0;
}

enum spec { SPEC_BAD, SPEC_NONE, SPEC_RANGE };

/* "0-499", "500-" or "-500" of `size` bytes; SPEC_NONE: it has no byte. */
static enum spec
read_spec(struct guaco_slice text, uint64_t size, struct guaco__range *range)
{
    bool has_from = take_number(&text, &range->from);
    bool has_to;

    if (text.len == 0 || text.at[0] != '-')
        return SPEC_BAD;
    text.at++;
    text.len--;
    has_to = take_number(&text, &range->to);
    if (text.len > 0 || (!has_from && !has_to) ||
        (has_from && has_to && range->to < range->from))
        return SPEC_BAD;
    if (size == 0 || (has_from ? range->from >= size : range->to == 0))
        return SPEC_NONE;
    if (!has_from)
        range->from = range->to >= size ? 0 : size - range->to;
    if (!has_from || !has_to || range->to >= size)
        range->to = size - 1;
    return SPEC_RANGE;
}

/* One is within the other, or at most GAP_BYTES lie between them. */
static bool
are_near(const struct guaco__range *a, const struct guaco__range *b)
{
    return a->from <= b->to + GAP_BYTES + 1 && b->from <= a->to + GAP_BYTES + 1;
}

/* Add a range, joined with those that it is near to. */
static size_t
join(struct guaco__range *ranges, size_t count, struct guaco__range range)
{
    size_t at = count;

    for (size_t i = 0; i < count;) {
        if (!are_near(&ranges[i], &range)) {
            i++;
            continue;
        }
        if (ranges[i].from < range.from)
            range.from = ranges[i].from;
        if (ranges[i].to > range.to)
            range.to = ranges[i].to;
        /* it takes the place of the first, and may now be near to others */
        at = i < at ? i : at;
        memmove(&ranges[i], &ranges[i + 1],
                (count - i - 1) * sizeof(ranges[0]));
        count--;
        i = 0;
    }
    memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(ranges[0]));
    ranges[at] = range;
    return count + 1;
}

int
guaco__ranges_read(const struct guaco_request *r,
                   const struct guaco__validators *v, uint64_t size,
                   struct guaco__range ranges[GUACO__RANGES_MAX])
{
    const struct guaco_slice unit = GUACO_SLICE("bytes=");
    const struct guaco_slice *value = find_one(r, GUACO__FIELD_RANGE);
    struct guaco_slice list, item;
    size_t specs = 0;
    size_t count = 0;

    if (value == NULL || value->len <= unit.len || !if_range_holds(r, v))
        return 0;
    list = (struct guaco_slice){value->at, unit.len};
    if (!guaco__equals_lower(list, unit))
        return 0;
    list = (struct guaco_slice){value->at + unit.len, value->len - unit.len};
    while (guaco__list_next(&list, &item)) {
        struct guaco__range range;
        enum spec spec = read_spec(item, size, &range);

        if (spec == SPEC_BAD || ++specs > GUACO__RANGES_MAX)
            return 0;
        if (spec == SPEC_RANGE)
            count = join(ranges, count, range);
    }
    return specs == 0 ? 0 : count == 0 ? -1 : (int)count;
}
