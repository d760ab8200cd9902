/* The form of access log lines: the contract is in access_format.h. */

#include "server/access_format.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define TEXT_MAX \
    2048 /* of one text of a client, escaped; longer ones are cut */

/* ---- reading ---- */

static const char common[] = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(B)s";
static const char combined[] =
    "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(B)s \"%(f)s\" \"%(a)s\" %(D)s";
/* %(I)s and %(R)s are ours: the time of ISO 8601, the whole target. */
static const char json[] =
    "{\"time\":\"%(I)s\",\"client\":\"%(h)s\",\"method\":\"%(m)s\","
    "\"target\":\"%(R)s\",\"protocol\":\"%(H)s\",\"status\":%(s)s,"
    "\"bytes\":%(B)s,\"duration_us\":%(D)s,\"referer\":\"%(f)s\","
    "\"user_agent\":\"%(a)s\",\"pid\":%(p)s}";

static const char atoms[] = "hlutIrmRUqHsBbTMDLp";
static const enum guaco__access_step_kind kinds[] = {
    GUACO__ACCESS_HOST,         GUACO__ACCESS_DASH,
    GUACO__ACCESS_DASH,         GUACO__ACCESS_STAMP,
    GUACO__ACCESS_TIME,         GUACO__ACCESS_REQUEST_LINE,
    GUACO__ACCESS_METHOD,       GUACO__ACCESS_TARGET,
    GUACO__ACCESS_PATH,         GUACO__ACCESS_QUERY,
    GUACO__ACCESS_PROTOCOL,     GUACO__ACCESS_STATUS,
    GUACO__ACCESS_BYTES,        GUACO__ACCESS_BYTES_OR_DASH,
    GUACO__ACCESS_SECONDS,      GUACO__ACCESS_MILLISECONDS,
    GUACO__ACCESS_MICROSECONDS, GUACO__ACCESS_DECIMAL,
    GUACO__ACCESS_PROCESS,
};
_Static_assert(sizeof kinds / sizeof *kinds == sizeof atoms - 1,
               "each atom has its kind");

static int
add(struct guaco__access_format *f, enum guaco__access_step_kind kind,
    struct guaco_slice text, struct guaco_error *err)
{
    if (f->count == GUACO__ACCESS_STEPS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "an access log format has at most %d parts",
                          GUACO__ACCESS_STEPS_MAX);
    f->steps[f->count++] = (struct guaco__access_step){kind, text};
    return GUACO_OK;
}

/* "{name}i": a field of the request. */
static bool
read_field(char *name, size_t len, struct guaco_slice *out)
{
    if (len < 4 || name[0] != '{' || name[len - 2] != '}' ||
        name[len - 1] != 'i')
        return false;
    *out = (struct guaco_slice){name + 1, len - 3};
    for (size_t i = 1; i < len - 2; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
    return true;
}

static int
add_atom(struct guaco__access_format *f, char *name, size_t len,
         struct guaco_error *err)
{
    struct guaco_slice text = {NULL, 0};
    const char *known = len == 1 ? strchr(atoms, name[0]) : NULL;

    if (known != NULL)
        return add(f, kinds[known - atoms], text, err);
    if (len == 1 && name[0] == 'f')
        return add(f, GUACO__ACCESS_FIELD, GUACO_SLICE("referer"), err);
    if (len == 1 && name[0] == 'a')
        return add(f, GUACO__ACCESS_FIELD, GUACO_SLICE("user-agent"), err);
    if (read_field(name, len, &text))
        return add(f, GUACO__ACCESS_FIELD, text, err);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "access log format: %%(%.*s)s is not known",
                      (int)(len < 40 ? len : 40), name);
}

/* What begins with '%': gives the bytes that it takes, or a failure. */
static int
add_percent(struct guaco__access_format *f, char *at, struct guaco_error *err)
{
    char *close = at[1] == '(' ? strchr(at, ')') : NULL;
    int rc;

    if (at[1] == '%') {
        rc = add(f, GUACO__ACCESS_LITERAL, (struct guaco_slice){at, 1}, err);
        return rc != GUACO_OK ? rc : 2;
    }
    if (close == NULL || (close[1] != 's' && close[1] != 'd'))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "access log format: '%.20s' is not of the form "
                          "%%(name)s",
                          at);
    rc = add_atom(f, at + 2, (size_t)(close - at) - 2, err);
    return rc != GUACO_OK ? rc : (int)(close + 2 - at);
}

int
guaco__access_format_read(struct guaco__access_format *f, const char *text,
                          struct guaco_error *err)
{
    f->count = 0;
    f->pid = getpid();
    f->is_json = strcmp(text, "json") == 0;
    if (f->is_json)
        text = json;
    else if (strcmp(text, "common") == 0)
        text = common;
    else if (strcmp(text, "combined") == 0)
        text = combined;
    size_t len = strlen(text);
    if (len == 0 || len >= sizeof f->text)
        return guaco_fail(err, GUACO_E_LIMIT, 0,
                          "an access log format has 1 to %d bytes",
                          GUACO__ACCESS_TEXT_MAX - 1);
    memcpy(f->text, text, len + 1);
    if (strcspn(text, "\r\n") != len)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "an access log format is one line");
    for (char *at = f->text; *at != '\0';) {
        size_t plain = strcspn(at, "%");
        int used = (int)plain;
        int rc = plain > 0 ? add(f, GUACO__ACCESS_LITERAL,
                                 (struct guaco_slice){at, plain}, err)
                           : (used = add_percent(f, at, err));
        if (rc < 0)
            return rc;
        at += used;
    }
    return GUACO_OK;
}

/* ---- writing: `out` is moved on, and never past `end` ---- */

struct line {
    char *out;
    char *end;
    bool is_json;
};

static void
put(struct line *l, const char *text, size_t len)
{
    if (len > (size_t)(l->end - l->out))
        len = (size_t)(l->end - l->out);
    memcpy(l->out, text, len);
    l->out += len;
}

static void
put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* printf would cost more than the rest of a line. */
static void
put_number(struct line *l, uint64_t number)
{
    char digits[20];
    size_t n = sizeof digits;

    do {
        digits[--n] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(l, digits + n, sizeof digits - n);
}

/* Microseconds as seconds with six places. */
static void
put_decimal(struct line *l, uint64_t us)
{
    char places[7] = ".";
    uint64_t rest = us % 1000000;

    put_number(l, us / 1000000);
    for (int i = 6; i > 0; i--, rest /= 10)
        places[i] = (char)('0' + rest % 10);
    put(l, places, sizeof places);
}

static void
put_hex(struct line *l, const char *prefix, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char hex[2] = {digits[byte >> 4], digits[byte & 15]};

    put_text(l, prefix);
    put(l, hex, 2);
}

static void
put_escaped(struct line *l, struct guaco_slice text)
{
    const char *stop = l->end - l->out > TEXT_MAX ? l->out + TEXT_MAX : l->end;
    bool keeps_high = l->is_json && guaco__utf8_is_valid(text.at, text.len);

    for (size_t i = 0; i < text.len && l->out + 6 < stop; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        bool is_mark = byte == '"' || byte == '\\';

        if (byte >= 0x20 && byte < 0x7f && !is_mark)
            *l->out++ = (char)byte;
        else if (byte >= 0x80 && keeps_high)
            *l->out++ = (char)byte;
        else if (is_mark && l->is_json)
            put(l, (const char[]){'\\', (char)byte}, 2);
        else
            put_hex(l, l->is_json ? "\\u00" : "\\x", byte);
    }
}

/* What is missing is a dash; in JSON it is empty. */
static void
put_client(struct line *l, struct guaco_slice text)
{
    if (text.len > 0)
        put_escaped(l, text);
    else if (!l->is_json)
        put_text(l, "-");
}

static struct guaco_slice
find_field(const struct guaco_request *request, struct guaco_slice name)
{
    for (size_t i = 0; request != NULL && i < request->field_count; i++) {
        struct guaco_slice one = request->fields[i].name;
        size_t k = 0;
        while (k < one.len && k < name.len &&
               tolower((unsigned char)one.at[k]) == name.at[k])
            k++;
        if (k == one.len && k == name.len)
            return request->fields[i].value;
    }
    return (struct guaco_slice){NULL, 0};
}

static const char *
protocol_of(const struct guaco__access_entry *e)
{
    if (e->version_major == 2)
        return "HTTP/2.0";
    return e->version_minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
}

static void
put_request_line(struct line *l, const struct guaco__access_entry *e)
{
    put_client(l, e->method);
    put_text(l, " ");
    put_client(l, e->target);
    put_text(l, " ");
    put_text(l, protocol_of(e));
}

static void
put_step(struct line *l, const struct guaco__access_step *step,
         const struct guaco__access_entry *e, int64_t pid)
{
    static const struct guaco_slice none = {NULL, 0};
    const char *host = e->peer->client_host;

    switch (step->kind) {
    case GUACO__ACCESS_LITERAL: put(l, step->text.at, step->text.len); break;
    case GUACO__ACCESS_HOST:
        put_client(l, host == NULL ? none
                                   : (struct guaco_slice){host, strlen(host)});
        break;
    case GUACO__ACCESS_DASH: put_text(l, "-"); break;
    case GUACO__ACCESS_STAMP: put_text(l, e->stamp); break;
    case GUACO__ACCESS_TIME: put_text(l, e->time); break;
    case GUACO__ACCESS_REQUEST_LINE: put_request_line(l, e); break;
    case GUACO__ACCESS_METHOD: put_client(l, e->method); break;
    case GUACO__ACCESS_TARGET: put_client(l, e->target); break;
    case GUACO__ACCESS_PATH:
        put_client(l, e->request == NULL ? none : e->request->path);
        break;
    case GUACO__ACCESS_QUERY:
        if (e->request != NULL) /* as gunicorn: empty, not a dash */
            put_escaped(l, e->request->query);
        break;
    case GUACO__ACCESS_PROTOCOL: put_text(l, protocol_of(e)); break;
    case GUACO__ACCESS_STATUS: put_number(l, (uint64_t)e->status); break;
    case GUACO__ACCESS_BYTES_OR_DASH:
        if (e->bytes == 0) {
            put_text(l, "-");
            break;
        }
        put_number(l, e->bytes);
        break;
    case GUACO__ACCESS_BYTES: put_number(l, e->bytes); break;
    case GUACO__ACCESS_SECONDS: put_number(l, e->took_us / 1000000); break;
    case GUACO__ACCESS_MILLISECONDS: put_number(l, e->took_us / 1000); break;
    case GUACO__ACCESS_MICROSECONDS: put_number(l, e->took_us); break;
    case GUACO__ACCESS_DECIMAL: put_decimal(l, e->took_us); break;
    case GUACO__ACCESS_PROCESS: put_number(l, (uint64_t)pid); break;
    case GUACO__ACCESS_FIELD:
        put_client(l, find_field(e->request, step->text));
        break;
    }
}

char *
guaco__access_format_put(const struct guaco__access_format *format,
                         const struct guaco__access_entry *entry, char *out)
{
    struct line l = {out, out + GUACO__ACCESS_LINE_MAX - 1, format->is_json};

    assert(format->count > 0);
    for (size_t i = 0; i < format->count; i++)
        put_step(&l, &format->steps[i], entry, format->pid);
    *l.out++ = '\n';
    return l.out;
}
