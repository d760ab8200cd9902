/* Heads of requests in HTTP/2: the contract is in h2_head.h. */

#include "h2_head.h"

#include <assert.h>
#include <string.h>

#include "fields.h"
#include "h1_int.h"

enum { PAST_MEASURE = 4 }; /* times the limit */

static const char *const pseudo_names[GUACO__H2_PSEUDO_COUNT] = {
    [GUACO__H2_METHOD] = ":method",     [GUACO__H2_PATH] = ":path",
    [GUACO__H2_SCHEME] = ":scheme",     [GUACO__H2_AUTHORITY] = ":authority",
    [GUACO__H2_PROTOCOL] = ":protocol",
};

void
guaco__h2_head_init(struct guaco__h2_head *head,
                    const struct guaco_http_limits *limits)
{
    *head = (struct guaco__h2_head){.limits = limits};
    /* beside the fields: the name of host and the joined cookies */
    guaco__buf_init(&head->text, 2 * (size_t)limits->head_bytes + 64);
    guaco__buf_init(&head->entries, ((size_t)limits->fields + 2) *
                                        sizeof(struct guaco__h2_entry));
}

void
guaco__h2_head_release(struct guaco__h2_head *head)
{
    guaco__buf_release(&head->text);
    guaco__buf_release(&head->entries);
}

void
guaco__h2_head_begin(struct guaco__h2_head *head)
{
    guaco__buf_reset(&head->text);
    guaco__buf_reset(&head->entries);
    memset(head->pseudo, 0, sizeof(head->pseudo));
    head->total_bytes = 0;
    head->cookies = 0;
    head->fault = GUACO_HTTP_FAULT_NONE;
}

/* ---- gathering ---- */

static int
keep(struct guaco__h2_head *head, struct guaco_slice text,
     struct guaco__h2_span *span)
{
    *span =
        (struct guaco__h2_span){(uint32_t)head->text.len, (uint32_t)text.len};
    return guaco__buf_append(&head->text, text.at, text.len);
}

static int
add_pseudo(struct guaco__h2_head *head, struct guaco_slice name,
           struct guaco_slice value)
{
    for (int i = 0; i < GUACO__H2_PSEUDO_COUNT; i++)
        if (strlen(pseudo_names[i]) == name.len &&
            memcmp(pseudo_names[i], name.at, name.len) == 0)
            return keep(head, value, &head->pseudo[i]);
    return GUACO_OK; /* nghttp2 lets no other through */
}

static int
add_entry(struct guaco__h2_head *head, struct guaco_slice name,
          struct guaco_slice value)
{
    struct guaco__h2_entry entry = {.id = (uint8_t)guaco__field_find(name)};
    int rc = keep(head, name, &entry.name);

    if (rc == GUACO_OK)
        rc = keep(head, value, &entry.value);
    if (rc == GUACO_OK)
        rc = guaco__buf_append(&head->entries, &entry, sizeof(entry));
    head->cookies += entry.id == GUACO__FIELD_COOKIE;
    return rc;
}

/* The limits that hold in HTTP/1, of what would be the same lines there. */
static enum guaco_http_fault
measure(const struct guaco__h2_head *head, struct guaco_slice name,
        struct guaco_slice value)
{
    const struct guaco_http_limits *limits = head->limits;

    if (head->total_bytes > limits->head_bytes)
        return GUACO_HTTP_FAULT_HEAD_LONG;
    if (name.at[0] == ':')
        return GUACO_HTTP_FAULT_NONE;
    if (name.len + value.len + 2 > limits->field_bytes)
        return GUACO_HTTP_FAULT_FIELD_LONG;
    if (head->entries.len >= limits->fields * sizeof(struct guaco__h2_entry))
        return GUACO_HTTP_FAULT_FIELD_COUNT;
    return GUACO_HTTP_FAULT_NONE;
}

int
guaco__h2_head_add(struct guaco__h2_head *head, struct guaco_slice name,
                   struct guaco_slice value)
{
    int rc;

    head->total_bytes += name.len + value.len + 4;
    if (head->total_bytes / PAST_MEASURE > head->limits->head_bytes)
        return GUACO_E_LIMIT;
    if (head->fault == GUACO_HTTP_FAULT_NONE && name.len > 0)
        head->fault = measure(head, name, value);
    if (head->fault != GUACO_HTTP_FAULT_NONE || name.len == 0)
        return GUACO_OK;
    rc = name.at[0] == ':' ? add_pseudo(head, name, value)
                           : add_entry(head, name, value);
    return rc == GUACO_E_LIMIT ? GUACO_E_NOMEM : rc;
}

/* ---- judging ---- */

static struct guaco_slice
text_of(const struct guaco__h2_head *head, struct guaco__h2_span span)
{
    const char *at = guaco__buf_data(&head->text);

    return (struct guaco_slice){at == NULL ? "" : at + span.from, span.len};
}

static struct guaco_slice
pseudo_of(const struct guaco__h2_head *head, enum guaco__h2_pseudo which)
{
    return text_of(head, head->pseudo[which]);
}

/* One cookie field of all its crumbs, at the end of the text. */
static bool
join_cookies(struct guaco__h2_head *head, struct guaco__h2_span *joined)
{
    const struct guaco__h2_entry *entries =
        (const void *)guaco__buf_data(&head->entries);
    size_t count = head->entries.len / sizeof(*entries);
    bool is_first = true;

    joined->from = (uint32_t)head->text.len;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].id != GUACO__FIELD_COOKIE)
            continue;
        if (guaco__buf_reserve(&head->text, entries[i].value.len + 2) < 0)
            return false;
        if (!is_first)
            guaco__buf_append(&head->text, "; ", 2);
        is_first = false;
        guaco__buf_append(&head->text,
                          guaco__buf_data(&head->text) + entries[i].value.from,
                          entries[i].value.len);
    }
    joined->len = (uint32_t)head->text.len - joined->from;
    return true;
}

static void
put(struct guaco_http_head *out, struct guaco_slice name,
    struct guaco_slice value, uint8_t id)
{
    out->fields[out->field_count] = (struct guaco_field){name, value};
    out->ids[out->field_count++] = id;
}

/* The fields, host before all others. */
static enum guaco_http_fault
fill_fields(struct guaco__h2_head *head, struct guaco_http_head *out)
{
    struct guaco__h2_span host_name;
    struct guaco__h2_span cookie = {0, 0};
    size_t count = head->entries.len / sizeof(struct guaco__h2_entry);
    bool has_authority = head->pseudo[GUACO__H2_AUTHORITY].len > 0;

    if (count + has_authority > head->limits->fields)
        return GUACO_HTTP_FAULT_FIELD_COUNT;
    if (keep(head, GUACO_SLICE("host"), &host_name) < 0 ||
        (head->cookies > 1 && !join_cookies(head, &cookie)))
        return GUACO_HTTP_FAULT_HEAD_LONG;

    const struct guaco__h2_entry *entries =
        (const void *)guaco__buf_data(&head->entries);
    struct guaco_slice authority = pseudo_of(head, GUACO__H2_AUTHORITY);

    if (has_authority)
        put(out, text_of(head, host_name), authority, GUACO__FIELD_HOST);
    for (size_t i = 0; i < count; i++) {
        struct guaco_slice value = text_of(head, entries[i].value);

        if (entries[i].id == GUACO__FIELD_HOST && has_authority) {
            if (!guaco_slice_equals(value, authority))
                return GUACO_HTTP_FAULT_HOST_MISMATCH;
            continue; /* said twice */
        }
        if (entries[i].id == GUACO__FIELD_COOKIE && head->cookies > 1) {
            if (cookie.len == 0)
                continue;
            value = text_of(head, cookie);
            cookie.len = 0;
        }
        put(out, text_of(head, entries[i].name), value, entries[i].id);
    }
    return GUACO_HTTP_FAULT_NONE;
}

static bool
is_method(struct guaco_slice method)
{
    for (size_t i = 0; i < method.len; i++)
        if (method.at[i] >= 'a' && method.at[i] <= 'z')
            return false;
    return guaco__is_token(method);
}

/* As the scan of a request line. */
static bool
is_target(struct guaco_slice target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.at[i] <= ' ' || target.at[i] >= 0x7f || target.at[i] == '#')
            return false;
    return target.len > 0;
}

static bool
is_twin(struct guaco_slice name)
{
    return guaco_slice_equals(name, GUACO_SLICE("content_length")) ||
           guaco_slice_equals(name, GUACO_SLICE("transfer_encoding"));
}

/* Method and target; of extended CONNECT the path is the target. */
static enum guaco_http_fault
fill_line(const struct guaco__h2_head *head, struct guaco_http_head *out,
          bool is_websocket)
{
    const struct guaco_http_limits *limits = head->limits;
    struct guaco_slice method = pseudo_of(head, GUACO__H2_METHOD);
    int rc;

    out->method = method;
    out->target = pseudo_of(head, GUACO__H2_PATH);
    if (method.len > limits->method_bytes)
        return GUACO_HTTP_FAULT_METHOD_LONG;
    if (!is_method(method))
        return GUACO_HTTP_FAULT_METHOD;
    if (out->target.len > limits->target_bytes)
        return GUACO_HTTP_FAULT_TARGET_LONG;
    if (out->target.len == 0 && !is_websocket) /* of CONNECT, or not at all */
        return GUACO_HTTP_FAULT_METHOD_UNKNOWN;
    if (!is_target(out->target))
        return GUACO_HTTP_FAULT_TARGET;
    if (is_websocket)
        out->method = GUACO_SLICE("GET"); /* what the rules are those of */
    rc = guaco__h1_target(out);
    out->method = method;
    if (rc == H1_OK && out->form == GUACO_HTTP_ABSOLUTE_FORM)
        return GUACO_HTTP_FAULT_TARGET_FORM;
    return (enum guaco_http_fault)rc;
}

static enum guaco_http_fault
apply_rules(const struct guaco__h2_head *head, struct guaco_http_head *out,
            bool is_last)
{
    bool has_length = false;
    bool expects = false;
    int rc;

    for (size_t i = 0; i < out->field_count; i++) {
        has_length |= out->ids[i] == GUACO__FIELD_CONTENT_LENGTH;
        expects |= out->ids[i] == GUACO__FIELD_EXPECT;
        if (out->ids[i] == GUACO__FIELD_OTHER && is_twin(out->fields[i].name))
            return GUACO_HTTP_FAULT_FIELD_TWIN;
    }
    out->version_minor = 1; /* the rules of the one that is alike */
    rc = guaco__h1_head_rules(head->limits, out, out->ids);
    out->version_minor = 0;
    out->keep_alive = true;
    out->upgrade = (struct guaco_slice){NULL, 0};
    if (rc == H1_OK && is_last && out->body_bytes > 0)
        return GUACO_HTTP_FAULT_LENGTH;
    if (!is_last && !has_length)
        out->body_bytes = -1;
    out->expects_continue = expects && !is_last;
    return (enum guaco_http_fault)rc;
}

enum guaco_http_fault
guaco__h2_head_judge(struct guaco__h2_head *head, struct guaco_http_head *out,
                     bool is_last, bool *is_websocket)
{
    struct guaco_slice protocol = pseudo_of(head, GUACO__H2_PROTOCOL);
    enum guaco_http_fault fault = head->fault;

    *is_websocket = guaco__equals_lower(protocol, GUACO_SLICE("websocket"));
    out->field_count = 0;
    if (fault == GUACO_HTTP_FAULT_NONE)
        fault = fill_fields(head, out);
    /* from here on the text does not move */
    out->method = pseudo_of(head, GUACO__H2_METHOD);
    out->target = pseudo_of(head, GUACO__H2_PATH);
    if (fault == GUACO_HTTP_FAULT_NONE && protocol.len > 0 && !*is_websocket)
        fault = GUACO_HTTP_FAULT_METHOD_UNKNOWN;
    if (fault == GUACO_HTTP_FAULT_NONE)
        fault = fill_line(head, out, *is_websocket);
    if (fault == GUACO_HTTP_FAULT_NONE)
        fault = apply_rules(head, out, is_last);
    out->bytes = head->text.len;
    return fault;
}
