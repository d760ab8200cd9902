/*
 * Sec-WebSocket-Extensions: offers separated by commas, parameters by
 * semicolons, values that are tokens or quoted strings (RFC 6455 9.1).  Of the
 * offers of permessage-deflate the first that can be met is taken; one with a
 * parameter that is not known, repeated or malformed is passed over, as RFC
 * 7692 7.1 wants.
 */

#include <string.h>

#include "fields.h"
#include "ws_handshake.h"

enum { BITS_MIN = 8, BITS_MAX = 15, BITS_SERVER_MIN = 9 };

struct param {
    struct guaco_slice name;
    struct guaco_slice value; /* without quotes */
    bool has_value;
};

/* What one offer asks. */
struct offer {
    bool server_no_takeover;
    bool client_no_takeover;
    bool has_server_bits;
    bool has_client_bits;
    int server_bits; /* 0: none was said */
    int client_bits;
};

/* The text up to the separator, which is skipped; quotes are respected. */
static struct guaco_slice
cut(struct guaco_slice *rest, char separator)
{
    bool is_quoted = false;
    size_t i = 0;

    for (; i < rest->len; i++) {
        if (rest->at[i] == '"')
            is_quoted = !is_quoted;
        else if (rest->at[i] == separator && !is_quoted)
            break;
    }
    struct guaco_slice piece = {rest->at, i};
    size_t skip = i < rest->len ? i + 1 : i;
    rest->at += skip;
    rest->len -= skip;
    return guaco__trim(piece);
}

static bool
read_param(struct guaco_slice text, struct param *param)
{
    struct guaco_slice rest = text;

    param->name = cut(&rest, '=');
    param->has_value = param->name.len < text.len;
    param->value = guaco__trim(rest);
    if (!guaco__is_token(param->name))
        return false;
    if (!param->has_value)
        return true;
    size_t len = param->value.len;
    if (len >= 2 && param->value.at[0] == '"' &&
        param->value.at[len - 1] == '"') {
        param->value.at++;
        param->value.len = len - 2;
    }
    return guaco__is_token(param->value);
}

/* 8 to 15 without a leading zero; 0 for anything else. */
static int
read_bits(struct guaco_slice text)
{
    int bits = 0;

    if (text.len == 0 || text.len > 2 || text.at[0] == '0')
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        bits = bits * 10 + (text.at[i] - '0');
    }
    return bits >= BITS_MIN && bits <= BITS_MAX ? bits : 0;
}

static bool
set_flag(bool *flag, bool has_value)
{
    if (*flag || has_value)
        return false;
    *flag = true;
    return true;
}

static bool
set_bits(bool *has, int *bits, const struct param *param)
{
    if (*has)
        return false;
    *has = true;
    *bits = param->has_value ? read_bits(param->value) : 0;
    return !param->has_value || *bits > 0;
}

static bool
take_param(struct offer *offer, const struct param *param)
{
    struct guaco_slice name = param->name;

    if (guaco_slice_equals(name, GUACO_SLICE("server_no_context_takeover")))
        return set_flag(&offer->server_no_takeover, param->has_value);
    if (guaco_slice_equals(name, GUACO_SLICE("client_no_context_takeover")))
        return set_flag(&offer->client_no_takeover, param->has_value);
    if (guaco_slice_equals(name, GUACO_SLICE("client_max_window_bits")))
        return set_bits(&offer->has_client_bits, &offer->client_bits, param);
    if (guaco_slice_equals(name, GUACO_SLICE("server_max_window_bits")))
        return set_bits(&offer->has_server_bits, &offer->server_bits, param) &&
               param->has_value;
    return false;
}

static bool
read_offer(struct guaco_slice text, struct offer *offer)
{
    *offer = (struct offer){0};
    struct guaco_slice name = cut(&text, ';');
    if (!guaco_slice_equals(name, GUACO_SLICE("permessage-deflate")))
        return false;
    while (text.len > 0) {
        struct param param;
        if (!read_param(cut(&text, ';'), &param) || !take_param(offer, &param))
            return false;
    }
    return true;
}

static uint8_t
smaller(int ours, int theirs)
{
    return (uint8_t)(theirs > 0 && theirs < ours ? theirs : ours);
}

/* zlib cannot deflate with a window of 8 bits. */
static bool
agree(const struct offer *offer, const struct guaco__ws_deflate *ours,
      struct guaco__ws_deflate *agreed)
{
    if (offer->server_bits > 0 && offer->server_bits < BITS_SERVER_MIN)
        return false;
    agreed->is_on = true;
    agreed->server_no_takeover =
        ours->server_no_takeover || offer->server_no_takeover;
    agreed->client_no_takeover =
        ours->client_no_takeover || offer->client_no_takeover;
    agreed->server_bits = smaller(ours->server_bits, offer->server_bits);
    /* RFC 7692 7.1.2.2: a client that did not offer it cannot be asked. */
    agreed->client_bits = offer->has_client_bits
                              ? smaller(ours->client_bits, offer->client_bits)
                              : BITS_MAX;
    return true;
}

bool
guaco__ws_negotiate(struct guaco_slice offers,
                    const struct guaco__ws_deflate *ours,
                    struct guaco__ws_deflate *agreed)
{
    struct offer offer;

    while (offers.len > 0)
        if (read_offer(cut(&offers, ','), &offer) &&
            agree(&offer, ours, agreed))
            return true;
    return false;
}
