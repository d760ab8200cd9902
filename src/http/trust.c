/* Who is trusted: the contract is in trust.h. */

#include "trust.h"

#include <string.h>

#include "fields.h"

/* The first `bits` bits of both are the same. */
static bool
has_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned mask = 0xff00U >> bits % 8 & 0xffU;

    return memcmp(a, b, whole) == 0 &&
           (mask == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool
has_host_bits(const struct guaco__network *network, unsigned most)
{
    for (unsigned bit = network->bits; bit < most; bit++)
        if ((network->address.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return true;
    return false;
}

/* At most three digits. */
static int
read_bits(struct guaco_slice text)
{
    int bits = 0;

    if (text.len == 0 || text.len > 3)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        bits = bits * 10 + (text.at[i] - '0');
    }
    return bits;
}

/* "10.0.0.0/8" or "::1". */
static const char *
read_network(struct guaco_slice text, struct guaco__network *network)
{
    const char *slash = memchr(text.at, '/', text.len);
    size_t len = slash == NULL ? text.len : (size_t)(slash - text.at);
    struct guaco_slice host = {text.at, len};

    if (!guaco__address_parse(host, &network->address))
        return "is no address, network, unix or *";

    unsigned most = network->address.kind == GUACO__ADDRESS_IPV4 ? 32 : 128;
    int bits = (int)most;
    if (slash != NULL)
        bits = read_bits((struct guaco_slice){slash + 1, text.len - (len + 1)});
    /* ::ffff:10.0.0.0/104 is 10.0.0.0/8 */
    if (slash != NULL && most == 32 && memchr(host.at, ':', host.len) != NULL)
        bits -= 96;
    if (bits < 0 || (unsigned)bits > most)
        return "has no such prefix length";
    network->bits = (uint8_t)bits;
    return has_host_bits(network, most) ? "is an address inside its network"
                                        : NULL;
}

static int
add_item(struct guaco__trust *trust, struct guaco_slice item,
         struct guaco_error *err)
{
    struct guaco__network network;
    const char *why;

    if (guaco_slice_equals(item, GUACO_SLICE("*"))) {
        trust->has_all = true;
        return GUACO_OK;
    }
    if (guaco_slice_equals(item, GUACO_SLICE("unix")) ||
        guaco_slice_equals(item, GUACO_SLICE("unix:"))) {
        trust->has_unix = true;
        return GUACO_OK;
    }
    why = read_network(item, &network);
    if (why != NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "'%.*s' %s",
                          (int)(item.len < 64 ? item.len : 64), item.at, why);
    if (trust->count == GUACO__TRUST_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "more than %d addresses and networks",
                          GUACO__TRUST_MAX);
    trust->networks[trust->count++] = network;
    return GUACO_OK;
}

int
guaco__trust_add(struct guaco__trust *trust, struct guaco_slice text,
                 struct guaco_error *err)
{
    struct guaco_slice item;

    while (guaco__list_next(&text, &item)) {
        int rc = add_item(trust, item, err);

        if (rc < 0)
            return rc;
    }
    return GUACO_OK;
}

bool
guaco__trust_has(const struct guaco__trust *trust,
                 const struct guaco__address *address)
{
    if (trust->has_all)
        return true;
    if (address->kind == GUACO__ADDRESS_UNIX)
        return trust->has_unix;
    for (size_t i = 0; i < trust->count; i++) {
        const struct guaco__network *network = &trust->networks[i];

        if (network->address.kind == address->kind &&
            has_prefix(network->address.bytes, address->bytes, network->bits))
            return true;
    }
    return false;
}
