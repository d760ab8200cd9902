/*
 * What the fields of a whole head mean for the framing of its body and for the
 * connection (RFC 9112 3.2, 6 and 9).  Everything that two readers might take
 * in two ways is refused.
 */

#include <string.h>

#include "fields.h"
#include "h1_int.h"
#include "scan.h"

/* What was found on the way through the fields. */
struct rules {
    const struct guaco_slice *host;
    const struct guaco_slice *length;
    const struct guaco_slice *coding;
    const struct guaco_slice *type;
    const struct guaco_slice *upgrade;
    bool closes;
    bool keeps;
    bool upgrades;
    bool expects;
};

static int
set_once(const struct guaco_slice **slot, const struct guaco_slice *value,
         enum guaco_http_fault repeated)
{
    if (*slot != NULL)
        return (int)repeated;
    *slot = value;
    return H1_OK;
}

static void
read_connection(struct rules *rules, struct guaco_slice list)
{
    struct guaco_slice option;

    while (guaco__list_next(&list, &option)) {
        if (guaco__equals_lower(option, GUACO_SLICE("keep-alive")))
            rules->keeps = true;
        else if (guaco__equals_lower(option, GUACO_SLICE("close")))
            rules->closes = true;
        else if (guaco__equals_lower(option, GUACO_SLICE("upgrade")))
            rules->upgrades = true;
    }
}

static int
read_expect(struct rules *rules, struct guaco_slice value)
{
    if (!guaco__equals_lower(value, GUACO_SLICE("100-continue")))
        return GUACO_HTTP_FAULT_EXPECT;
    rules->expects = true;
    return H1_OK;
}

static int
read_field(struct rules *rules, struct guaco_http_head *head,
           enum guaco__field_id id, const struct guaco_slice *value)
{
    if (id > GUACO__FIELD_UPGRADE) /* the ones that matter have low numbers */
        return H1_OK;
    if (id == GUACO__FIELD_HOST)
        return set_once(&rules->host, value, GUACO_HTTP_FAULT_HOST_REPEATED);
    if (id == GUACO__FIELD_CONNECTION)
        read_connection(rules, *value);
    else if (id == GUACO__FIELD_CONTENT_LENGTH)
        return set_once(&rules->length, value,
                        GUACO_HTTP_FAULT_LENGTH_REPEATED);
    else if (id == GUACO__FIELD_TRANSFER_ENCODING)
        return set_once(&rules->coding, value,
                        GUACO_HTTP_FAULT_CODING_REPEATED);
    else if (id == GUACO__FIELD_CONTENT_TYPE)
        return set_once(&rules->type, value, GUACO_HTTP_FAULT_FIELD_REPEATED);
    else if (id == GUACO__FIELD_EXPECT)
        return read_expect(rules, *value);
    else if (id == GUACO__FIELD_TE)
        head->accepts_trailers |=
            guaco__list_has(*value, GUACO_SLICE("trailers"));
    else if (id == GUACO__FIELD_UPGRADE && rules->upgrade == NULL)
        rules->upgrade = value;
    return H1_OK;
}

static bool
equals_folded(struct guaco_slice a, struct guaco_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        int fold_a = guaco__char_is(a.at[i], GUACO__CHAR_UPPER) ? 0x20 : 0;
        int fold_b = guaco__char_is(b.at[i], GUACO__CHAR_UPPER) ? 0x20 : 0;
        if ((a.at[i] | fold_a) != (b.at[i] | fold_b))
            return false;
    }
    return true;
}

/* RFC 9112 3.2: one Host in 1.1, and a well-formed one.  An empty Host is
 * refused too, as RFC 9110 4.2.1 asks for http URIs without a host. */
static int
check_host(const struct rules *rules, struct guaco_http_head *head)
{
    if (rules->host == NULL)
        return head->version_minor > 0 ? GUACO_HTTP_FAULT_HOST_MISSING : H1_OK;
    if (!guaco__h1_is_host(*rules->host))
        return GUACO_HTTP_FAULT_HOST;
    if (head->form != GUACO_HTTP_ABSOLUTE_FORM)
        head->authority = *rules->host;
    else if (!equals_folded(head->authority, *rules->host))
        return GUACO_HTTP_FAULT_HOST_MISMATCH;
    return H1_OK;
}

/* 1*DIGIT below 2^63; leading zeros are only zeros. */
static int
read_length(const struct guaco_http_limits *limits, struct guaco_slice value,
            int64_t *length)
{
    uint64_t n = 0;

    if (value.len == 0)
        return GUACO_HTTP_FAULT_LENGTH;
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned)(uint8_t)value.at[i] - '0';
        if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
            return GUACO_HTTP_FAULT_LENGTH;
        n = n * 10 + digit;
    }
    if (n > limits->body_bytes)
        return GUACO_HTTP_FAULT_BODY_LONG;
    *length = (int64_t)n;
    return H1_OK;
}

/*
 * "chunked" and nothing else.  A list of tokens that ends in its only
 * "chunked" is a coding that could be but is not known here (501); everything
 * else is malformed, empty elements and parameters among it.
 */
static int
check_coding(struct guaco_slice value)
{
    const struct guaco_slice chunked = GUACO_SLICE("chunked");
    if (guaco__equals_lower(value, chunked))
        return H1_OK;

    while (value.len > 0) {
        const char *comma = memchr(value.at, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.at) : value.len;
        struct guaco_slice coding =
            guaco__trim((struct guaco_slice){value.at, len});
        bool is_chunked = guaco__equals_lower(coding, chunked);

        if (!guaco__is_token(coding) || is_chunked != (comma == NULL))
            return GUACO_HTTP_FAULT_CODING;
        if (comma == NULL)
            return GUACO_HTTP_FAULT_CODING_UNKNOWN;
        value.at += len + 1;
        value.len -= len + 1;
    }
    return GUACO_HTTP_FAULT_CODING;
}

static int
check_framing(const struct guaco_http_limits *limits, const struct rules *rules,
              struct guaco_http_head *head)
{
    if (rules->coding == NULL)
        return rules->length == NULL
                   ? H1_OK
                   : read_length(limits, *rules->length, &head->body_bytes);
    if (rules->length != NULL)
        return GUACO_HTTP_FAULT_LENGTH_AND_CODING;
    if (head->version_minor == 0)
        return GUACO_HTTP_FAULT_CODING_VERSION;
    head->body_bytes = -1;
    return check_coding(*rules->coding);
}

static void
set_connection(const struct rules *rules, struct guaco_http_head *head)
{
    bool is_11 = head->version_minor > 0;

    head->keep_alive = !rules->closes && (is_11 || rules->keeps);
    /* RFC 9110 10.1.1 and 7.8: both mean nothing in HTTP/1.0. */
    head->expects_continue = rules->expects && is_11 && head->body_bytes != 0;
    if (is_11 && rules->upgrades && rules->upgrade != NULL)
        head->upgrade = *rules->upgrade;
}

int
guaco__h1_head_rules(const struct guaco_http_limits *limits,
                     struct guaco_http_head *head, const uint8_t *ids)
{
    struct rules rules = {0};

    head->upgrade = (struct guaco_slice){NULL, 0};
    head->body_bytes = 0;
    head->accepts_trailers = false;
    for (size_t i = 0; i < head->field_count; i++) {
        int rc = ids[i] == GUACO__FIELD_OTHER
                     ? H1_OK
                     : read_field(&rules, head, (enum guaco__field_id)ids[i],
                                  &head->fields[i].value);
        if (rc != H1_OK)
            return rc;
    }

    int rc = check_host(&rules, head);
    if (rc == H1_OK)
        rc = check_framing(limits, &rules, head);
    if (rc == H1_OK)
        set_connection(&rules, head);
    return rc;
}

bool
guaco__h1_is_forbidden_trailer(unsigned id)
{
    static const uint8_t forbidden[] = {
        GUACO__FIELD_HOST,
        GUACO__FIELD_CONNECTION,
        GUACO__FIELD_CONTENT_LENGTH,
        GUACO__FIELD_TRANSFER_ENCODING,
        GUACO__FIELD_CONTENT_TYPE,
        GUACO__FIELD_CONTENT_ENCODING,
        GUACO__FIELD_CONTENT_RANGE,
        GUACO__FIELD_EXPECT,
        GUACO__FIELD_TE,
        GUACO__FIELD_TRAILER,
        GUACO__FIELD_UPGRADE,
        GUACO__FIELD_KEEP_ALIVE,
        GUACO__FIELD_PROXY_CONNECTION,
        GUACO__FIELD_AUTHORIZATION,
        GUACO__FIELD_PROXY_AUTHORIZATION,
        GUACO__FIELD_COOKIE,
        GUACO__FIELD_SET_COOKIE,
        GUACO__FIELD_CACHE_CONTROL,
        GUACO__FIELD_MAX_FORWARDS,
        GUACO__FIELD_RANGE,
        GUACO__FIELD_IF_MATCH,
        GUACO__FIELD_IF_NONE_MATCH,
        GUACO__FIELD_IF_MODIFIED_SINCE,
        GUACO__FIELD_IF_UNMODIFIED_SINCE,
        GUACO__FIELD_IF_RANGE,
    };

    return id != GUACO__FIELD_OTHER &&
           memchr(forbidden, (int)id, sizeof(forbidden)) != NULL;
}
