#include "url.h"

#include <string.h>

/* ---- pieces ---- */

static int
hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decode %XX in place; false when it is none, or a NUL. */
static bool
decode(char *text)
{
    char *to = text;

    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        int high = hex_of(at[1]);
        int low = high < 0 ? -1 : hex_of(at[2]);
        if (low < 0 || high * 16 + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        at += 2;
    }
    *to = '\0';
    return true;
}

/* Cut `text` at the first `mark` and give what stands behind it, or NULL. */
static char *
cut(char *text, char mark)
{
    char *at = strchr(text, mark);

    if (at != NULL)
        *at++ = '\0';
    return at;
}

int
guaco__url_number(const char *key, const char *text, uint64_t max,
                  uint64_t *out, struct guaco_error *err)
{
    uint64_t value = 0;

    for (const char *at = text; *at != '\0' || at == text; at++) {
        if (*at < '0' || *at > '9' || value > max / 10 ||
            value * 10 + (uint64_t)(*at - '0') > max)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "%s=%.20s is no number from 0 to %llu", key, text,
                              (unsigned long long)max);
        value = value * 10 + (uint64_t)(*at - '0');
    }
    *out = value;
    return GUACO_OK;
}

/* ---- parts ---- */

static int
read_host(struct guaco__url *url, char *text, struct guaco_error *err)
{
    struct guaco__url_host *host = &url->hosts[url->host_count];
    char *port;
    uint64_t number = 0;

    if (url->host_count == GUACO__URL_HOSTS_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0, "more than %u hosts",
                          GUACO__URL_HOSTS_MAX);
    if (*text == '[') {
        char *end = cut(++text, ']');
        if (end == NULL || (*end != ':' && *end != '\0'))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "the host '[%.64s' has no end", text);
        port = *end == ':' ? end + 1 : NULL;
    } else {
        port = cut(text, ':');
    }
    if (!decode(text) || *text == '\0')
        return guaco_fail(err, GUACO_E_INVALID, 0, "a host without a name");
    int rc = port == NULL
                 ? GUACO_OK
                 : guaco__url_number("port", port, 65535, &number, err);
    if (rc != GUACO_OK)
        return rc;
    host->name = text;
    host->port = (uint16_t)number;
    url->host_count++;
    return GUACO_OK;
}

static int
read_hosts(struct guaco__url *url, char *text, struct guaco_error *err)
{
    int rc = GUACO_OK;

    if (*text == '\0')
        return GUACO_OK;
    while (text != NULL && rc == GUACO_OK) {
        char *next = cut(text, ',');
        rc = read_host(url, text, err);
        text = next;
    }
    return rc;
}

static int
read_login(struct guaco__url *url, char *text, struct guaco_error *err)
{
    char *password = cut(text, ':');

    if (!decode(text) || (password != NULL && !decode(password)))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a %% in the user or password that is no %%XX");
    url->user = text;
    url->password = password;
    return GUACO_OK;
}

static int
read_options(struct guaco__url *url, char *text, struct guaco_error *err)
{
    while (text != NULL && *text != '\0') {
        char *next = cut(text, '&');
        char *value = cut(text, '=');
        if (url->option_count == sizeof url->options / sizeof url->options[0])
            return guaco_fail(err, GUACO_E_INVALID, 0, "too many options");
        if (value == NULL || !decode(text) || !decode(value))
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "an option that is not KEY=VALUE");
        url->options[url->option_count].key = text;
        url->options[url->option_count++].value = value;
        text = next;
    }
    return GUACO_OK;
}

/* The last @ before the path: a password may hold one. */
static char *
cut_login(char *text)
{
    size_t len = strcspn(text, "/");

    while (len > 0 && text[len - 1] != '@')
        len--;
    if (len == 0)
        return NULL;
    text[len - 1] = '\0';
    return text + len;
}

static int
read_path(struct guaco__url *url, const char *text, struct guaco_error *err)
{
    memcpy(url->path, text, strlen(text) + 1);
    return decode(url->path) ? GUACO_OK
                             : guaco_fail(err, GUACO_E_INVALID, 0,
                                          "a %% in the path that is no %%XX");
}

int
guaco__url_read(struct guaco__url *url, const char *rest,
                struct guaco_error *err)
{
    size_t len = strlen(rest);
    char *text = url->bytes;

    url->user = "";
    url->password = NULL;
    url->path = url->path_bytes;
    url->path[0] = '\0';
    url->host_count = url->option_count = 0;
    if (len + 1 > sizeof url->bytes)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "a URL of more than %u bytes", GUACO__URL_BYTES_MAX);
    memcpy(text, rest, len + 1);
    int rc = read_options(url, cut(text, '?'), err);
    if (rc != GUACO_OK)
        return rc;
    if (strncmp(text, "//", 2) != 0)
        return read_path(url, text, err); /* a path alone */
    text += 2;
    char *hosts = cut_login(text);
    if (hosts != NULL)
        rc = read_login(url, text, err);
    else
        hosts = text;
    char *path = strchr(hosts, '/');
    if (rc == GUACO_OK && path != NULL)
        rc = read_path(url, path, err);
    if (path != NULL)
        *path = '\0';
    return rc == GUACO_OK ? read_hosts(url, hosts, err) : rc;
}

/* ---- for people ---- */

void
guaco__url_redact(const char *url, char *out, size_t room)
{
    size_t head = strcspn(url, ":");
    const char *login = url[head] == '\0' ? NULL : url + head + 1;
    size_t len = strlen(url), keep = len, tail = len;

    if (login != NULL && strncmp(login, "//", 2) == 0) {
        /* Also where a password has a ? that was not encoded. */
        size_t end = strcspn(login + 2, "/");
        const char *at = memchr(login + 2, ':', end);
        while (end > 0 && login[1 + end] != '@')
            end--;
        if (end > 0 && at != NULL && at < login + 1 + end) {
            keep = (size_t)(at - url) + 1;
            tail = (size_t)(login - url) + 1 + end;
        }
    }
    /* Options may be secret too; a ? of the password begins none. */
    size_t begin = tail < len ? tail : 0;
    size_t options = begin + strcspn(url + begin, "?");
    size_t n = 0;
    for (size_t i = 0; i < len && i < options && n + 4 < room; i++) {
        if (i == keep) {
            memcpy(out + n, "***", 3);
            n += 3;
        }
        if (i < keep || i >= tail)
            out[n++] = url[i];
    }
    out[n] = '\0';
}
