/* Response heads: the contract is in answer.h. */

#include "http/fields.h"
#include "server/answer.h"
#include "server/server_int.h"
#include "server/status.h"

enum { STATUS_LINE_MAX = 64 };

/* Fields that are the server's business, told apart by length first: most
 * names of a response are none of them. */
enum own_field {
    OWN_NONE,
    OWN_CONNECTION,
    OWN_LENGTH,
    OWN_CODING,
    OWN_KEEP_ALIVE,
    OWN_DATE,
    OWN_SERVER,
};

static enum own_field
own_field(struct guaco_slice name)
{
    switch (name.len) {
    case 4:
        if (guaco__equals_lower(name, GUACO_SLICE("date")))
            return OWN_DATE;
        break;
    case 6:
        if (guaco__equals_lower(name, GUACO_SLICE("server")))
            return OWN_SERVER;
        break;
    case 10:
        if (guaco__equals_lower(name, GUACO_SLICE("connection")))
            return OWN_CONNECTION;
        if (guaco__equals_lower(name, GUACO_SLICE("keep-alive")))
            return OWN_KEEP_ALIVE;
        break;
    case 14:
        if (guaco__equals_lower(name, GUACO_SLICE("content-length")))
            return OWN_LENGTH;
        break;
    case 17:
        if (guaco__equals_lower(name, GUACO_SLICE("transfer-encoding")))
            return OWN_CODING;
        break;
    default: break;
    }
    return OWN_NONE;
}

static int
read_length(struct guaco_slice text, struct guaco__head_facts *facts)
{
    uint64_t length = 0;

    if (facts->has_length || text.len == 0 || text.len > 18)
        return GUACO_E_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return GUACO_E_INVALID;
        length = length * 10 + (uint64_t)(text.at[i] - '0');
    }
    facts->has_length = true;
    facts->length = length;
    return GUACO_OK;
}

int
guaco__head_check(const struct guaco_field *fields, size_t count,
                  struct guaco__head_facts *facts)
{
    *facts = (struct guaco__head_facts){0};
    for (size_t i = 0; i < count; i++) {
        struct guaco_slice value = guaco__trim(fields[i].value);

        if (!guaco__is_token(fields[i].name) || !guaco__is_field_value(value))
            return GUACO_E_INVALID;
        facts->bytes += fields[i].name.len + value.len + 4;
        switch (own_field(fields[i].name)) {
        case OWN_DATE: facts->has_date = true; break;
        case OWN_SERVER: facts->has_server = true; break;
        case OWN_CONNECTION:
            facts->wants_close |= guaco__list_has(value, GUACO_SLICE("close"));
            break;
        case OWN_LENGTH:
            if (read_length(value, facts) < 0)
                return GUACO_E_INVALID;
            break;
        case OWN_CODING:
        case OWN_KEEP_ALIVE:
        case OWN_NONE: break;
        }
    }
    return GUACO_OK;
}

size_t
guaco__head_bytes_max(const struct guaco__server *server,
                      const struct guaco__head_facts *facts)
{
    return STATUS_LINE_MAX + facts->bytes + server->server_line.len +
           GUACO__DATE_LINE_MAX;
}

char *
guaco__put_number(char *out, uint64_t number)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0)
        *out++ = digits[--n];
    return out;
}

char *
guaco__head_format(struct guaco__server *server, int status,
                   const struct guaco_field *fields, size_t count,
                   const struct guaco__head_facts *facts, char *out)
{
    /* 1.1 also to a client of 1.0: the version is the server's, RFC 9110 6.2 */
    out = guaco__put(out, GUACO_SLICE("HTTP/1.1 "));
    out = guaco__put_number(out, (uint64_t)status);
    *out++ = ' ';
    out = guaco__put(out, guaco__status_reason(status));
    out = guaco__put(out, GUACO_SLICE("\r\n"));
    if (!facts->has_server)
        out = guaco__put(out, server->server_line);
    if (!facts->has_date && server->options.has_date)
        out = guaco__put(out, guaco__server_date_line(server));
    for (size_t i = 0; i < count; i++) {
        enum own_field own = own_field(fields[i].name);

        if (own == OWN_CONNECTION || own == OWN_CODING ||
            own == OWN_KEEP_ALIVE || own == OWN_LENGTH)
            continue;
        out = guaco__put(out, fields[i].name);
        out = guaco__put(out, GUACO_SLICE(": "));
        out = guaco__put(out, guaco__trim(fields[i].value));
        out = guaco__put(out, GUACO_SLICE("\r\n"));
    }
    return out;
}
