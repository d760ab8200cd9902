/* Content codings: the contract is in coding.h. */

#include "coding.h"

#include <string.h>

#include "fields.h"
#include "scan.h"

struct guaco_slice
guaco__coding_name(enum guaco__coding coding)
{
    switch (coding) {
    case GUACO__CODING_BR: return GUACO_SLICE("br");
    case GUACO__CODING_ZSTD: return GUACO_SLICE("zstd");
    case GUACO__CODING_GZIP: return GUACO_SLICE("gzip");
    case GUACO__CODING_COUNT: break;
    }
    return GUACO_SLICE("identity");
}

/* "0.5" in thousandths (RFC 9110 12.4.2); 0 when it is none. */
static int
read_weight(struct guaco_slice text)
{
    int weight = 0;
    int unit = 100;

    if (text.len == 0 || text.len > 5 ||
        (text.at[0] != '0' && text.at[0] != '1'))
        return 0;
    weight = (text.at[0] - '0') * 1000;
    if (text.len > 1 && text.at[1] != '.')
        return 0;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        weight += (text.at[i] - '0') * unit;
    }
    return weight <= 1000 ? weight : 0;
}

/* "gzip;q=0.5" as its name and its weight. */
static struct guaco_slice
split_weight(struct guaco_slice item, int *weight)
{
    const char *mark = memchr(item.at, ';', item.len);
    struct guaco_slice rest;

    *weight = 1000;
    if (mark == NULL)
        return item;
    rest = guaco__trim((struct guaco_slice){
        mark + 1, item.len - (size_t)(mark - item.at) - 1});
    item = guaco__trim((struct guaco_slice){item.at, (size_t)(mark - item.at)});
    *weight = 0;
    if (rest.len > 2 && (rest.at[0] | 0x20) == 'q' && rest.at[1] == '=')
        *weight = read_weight((struct guaco_slice){rest.at + 2, rest.len - 2});
    return item;
}

/* Which coding of ours has this name; x-gzip is gzip (RFC 9110 8.4.1.3). */
static enum guaco__coding
find_coding(struct guaco_slice name)
{
    for (int i = 0; i < GUACO__CODING_COUNT; i++)
        if (guaco__equals_lower(name,
                                guaco__coding_name((enum guaco__coding)i)))
            return (enum guaco__coding)i;
    return guaco__equals_lower(name, GUACO_SLICE("x-gzip"))
               ? GUACO__CODING_GZIP
               : GUACO__CODING_COUNT;
}

static void
read_list(struct guaco_slice list, int weights[GUACO__CODING_COUNT + 1],
          int *others)
{
    struct guaco_slice item;

    while (guaco__list_next(&list, &item)) {
        int weight;
        struct guaco_slice name = split_weight(item, &weight);
        enum guaco__coding coding = find_coding(name);

        if (guaco_slice_equals(name, GUACO_SLICE("*")))
            *others = weight;
        else if (coding != GUACO__CODING_COUNT)
            weights[coding] = weight;
        else if (guaco__equals_lower(name, GUACO_SLICE("identity")))
            weights[GUACO__CODING_IDENTITY] = weight;
    }
}

size_t
guaco__codings_read(const struct guaco_request *request,
                    enum guaco__coding codings[GUACO__CODING_COUNT])
{
    int weights[GUACO__CODING_COUNT + 1] = {-1, -1, -1, -1};
    int others = 0;
    size_t count = 0;

    for (size_t i = 0; i < request->field_count; i++)
        if (request->field_ids[i] == GUACO__FIELD_ACCEPT_ENCODING)
            read_list(request->fields[i].value, weights, &others);
    for (int c = 0; c < GUACO__CODING_COUNT; c++) {
        int weight = weights[c] < 0 ? others : weights[c];
        size_t at = count;

        if (weight <= 0 || weight < weights[GUACO__CODING_IDENTITY])
            continue;
        weights[c] = weight;
        while (at > 0 && weights[codings[at - 1]] < weight) {
            codings[at] = codings[at - 1];
            at--;
        }
        codings[at] = (enum guaco__coding)c;
        count++;
    }
    return count;
}
