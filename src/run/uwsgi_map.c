/*
 * What uWSGI's options are here, and the TOML that says so.  A key of the table
 * that is not known is named with nothing to use; one of ours that does not
 * exist is found by the test, which gives the result to the option reader.
 */

#include <stdio.h>
#include <string.h>

#include "run/uwsgi.h"

enum kind {
    TEXT,   /* as it is */
    COUNT,  /* a whole number */
    BYTES,  /* the same */
    MBYTES, /* a number of megabytes */
    ITEM,   /* of a list */
    BIND,   /* an address to listen on, an item of `bind` */
    TLS,    /* "ADDRESS,CERTIFICATE,KEY" */
    MAP,    /* "/route=folder", an item of `static` */
    VENV,   /* a folder with bin/python */
    TRUE,   /* `own` is true if it is */
    FALSE,  /* `own` is false if it is */
    TARGET, /* part of what is started */
    HOLDS,  /* holds here anyway */
    OTHER,  /* has no option; `own` says what to use */
};

static const struct mapping {
    const char *key;
    enum kind kind;
    const char *own;
} mappings[] = {
    {"http", BIND, "bind"},
    {"http-socket", BIND, "bind"},
    {"http11-socket", BIND, "bind"},
    {"https", TLS, "bind"},
    {"https-socket", TLS, "bind"},
    {"listen", COUNT, "backlog"},
    {"processes", COUNT, "workers"},
    {"workers", COUNT, "workers"},
    {"p", COUNT, "workers"},
    {"threads", COUNT, "threads"},
    {"harakiri", TEXT, "timeout-worker"},
    {"max-requests", COUNT, "limit-max-requests"},
    {"max-requests-delta", COUNT, "limit-max-requests-jitter"},
    {"max-worker-lifetime", TEXT, "worker-lifetime"},
    {"reload-on-rss", MBYTES, "worker-max-rss"},
    {"evil-reload-on-rss", MBYTES, "worker-max-rss"},
    {"buffer-size", BYTES, "limit-head-bytes"},
    {"limit-post", BYTES, "limit-body-bytes"},
    {"http-timeout", TEXT, "timeout-body"},
    {"socket-timeout", TEXT, "timeout-send"},
    {"http-keepalive", TEXT, "timeout-keep-alive"},
    {"worker-reload-mercy", TEXT, "timeout-graceful-shutdown"},
    {"reload-mercy", TEXT, "timeout-graceful-shutdown"},
    {"static-map", MAP, "static"},
    {"static-index", ITEM, "static-index"},
    {"chdir", TEXT, "chdir"},
    {"pythonpath", TEXT, "app-dir"},
    {"python-path", TEXT, "app-dir"},
    {"pp", TEXT, "app-dir"},
    {"home", VENV, "python"},
    {"virtualenv", VENV, "python"},
    {"venv", VENV, "python"},
    {"uid", TEXT, "user"},
    {"gid", TEXT, "group"},
    {"umask", TEXT, "umask"},
    {"pidfile", TEXT, "pid-file"},
    {"procname", TEXT, "name"},
    {"procname-prefix", TEXT, "name"},
    {"logto", TEXT, "error-logfile"},
    {"daemonize", TEXT, "error-logfile"},
    {"req-logger", OTHER, "access-logfile"},
    {"disable-logging", FALSE, "access-log"},
    {"env", ITEM, "env"},
    {"py-autoreload", TRUE, "reload"},
    {"python-auto-reload", TRUE, "reload"},
    {"stats", OTHER, "--admin, and /metrics there"},
    {"module", TARGET, ""},
    {"wsgi", TARGET, ""},
    {"w", TARGET, ""},
    {"wsgi-file", TARGET, ""},
    {"file", TARGET, ""},
    {"callable", TARGET, ""},
    {"master", HOLDS, ""},
    {"vacuum", HOLDS, ""},
    {"die-on-term", HOLDS, ""},
    {"need-app", HOLDS, ""},
    {"strict", HOLDS, ""},
    {"thunder-lock", HOLDS, ""},
    {"enable-threads", HOLDS, ""},
    {"single-interpreter", HOLDS, ""},
    {"lazy", HOLDS, ""},
    {"lazy-apps", HOLDS, ""},
    {"close-on-exec", HOLDS, ""},
    {"plugin", HOLDS, ""},
    {"plugins", HOLDS, ""},
    {"no-orphans", HOLDS, ""},
    {"auto-procname", HOLDS, ""},
    {"so-keepalive", HOLDS, ""},
    {"reuse-port", HOLDS, ""},
    {"offload-threads", HOLDS, ""},
    {"http-websockets", HOLDS, ""},
    {"post-buffering", HOLDS, ""},
    {"log-date", HOLDS, ""},
    {"memory-report", HOLDS, ""},
    {"py-call-osafterfork", HOLDS, ""},
    {"socket", OTHER,
     "http: the uwsgi protocol is not spoken; let the proxy speak HTTP to an "
     "address of `bind`"},
    {"uwsgi-socket", OTHER, "http, as for socket"},
    {"s", OTHER, "http, as for socket"},
    {"http-to", OTHER, "nothing: the gateway is in front anyway"},
    {"chmod-socket", OTHER, "umask, before the socket is made"},
    {"chown-socket", OTHER, "user and group"},
    {"cheaper", OTHER, "SIGTTIN and SIGTTOU, from what scales"},
    {"cheaper-algo", OTHER, "as cheaper"},
    {"cheaper-initial", OTHER, "as cheaper"},
    {"cheaper-step", OTHER, "as cheaper"},
    {"spooler", OTHER, "a guaco.Queue and guaco up: tasks that nothing loses"},
    {"spooler-processes", OTHER, "--task-workers of guaco up"},
    {"cron", OTHER, "@queue.periodic_task(crontab(...))"},
    {"cron2", OTHER, "@queue.periodic_task(crontab(...))"},
    {"timer", OTHER, "@queue.periodic_task with every="},
    {"mule", OTHER, "a guaco.Queue, or a service of its own"},
    {"mules", OTHER, "a guaco.Queue"},
    {"attach-daemon", OTHER, "a service of its own"},
    {"smart-attach-daemon", OTHER, "a service of its own"},
    {"emperor", OTHER, "a service for each application"},
    {"py-tracebacker", OTHER, "guaco profile -d -p PID"},
    {"gevent", OTHER, "threads, or an ASGI application"},
    {"async", OTHER, "threads, or an ASGI application"},
    {"ugreen", OTHER, "an ASGI application"},
    {"touch-reload", OTHER, "SIGHUP, or reload with reload-dir"},
    {"static-expires", OTHER, "static-max-age"},
    {"check-static", OTHER, "static with a route"},
    {"log-format", OTHER, "access-log-format"},
    {"log-maxsize", OTHER, "logrotate and SIGUSR1"},
    {"mount", OTHER, "a router in the application"},
    {"manage-script-name", OTHER, "root-path"},
    {"ssl-verify-depth", OTHER, "ssl-ca-certs and ssl-cert-reqs"},
    {"show-config", OTHER, "--print-config"},
};

#define MAPPINGS (sizeof mappings / sizeof mappings[0])

static const struct mapping *
find(struct guaco_slice key)
{
    for (size_t i = 0; i < MAPPINGS; i++) {
        size_t len = strlen(mappings[i].key);
        size_t same = 0;
        while (same < len && same < key.len &&
               (key.at[same] == '_' ? '-' : key.at[same]) ==
                   mappings[i].key[same])
            same++;
        if (same == len && len == key.len)
            return &mappings[i];
    }
    return NULL;
}

/* ---- values ---- */

static bool
is_true(struct guaco_slice value)
{
    return value.len == 4 ? memcmp(value.at, "true", 4) == 0
                          : value.len == 1 && *value.at == '1';
}

static bool
is_number(struct guaco_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
    return value.len > 0 && value.len < 16;
}

/* A TOML string; control characters by their numbers. */
static int
put_string(struct guaco__buf *out, struct guaco_slice text)
{
    int rc = guaco__buf_append_byte(out, '"');

    for (size_t i = 0; i < text.len && rc == GUACO_OK; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < 0x20 || c == 0x7f)
            rc = guaco__buf_printf(out, "\\u%04x", c);
        else
            rc = guaco__buf_printf(out, c == '"' || c == '\\' ? "\\%c" : "%c",
                                   c);
    }
    return rc != GUACO_OK ? rc : guaco__buf_append_byte(out, '"');
}

/* Up to the first comma. */
static struct guaco_slice
first_part(struct guaco_slice value)
{
    const char *comma =
        value.len == 0 ? NULL : memchr(value.at, ',', value.len);

    return comma == NULL
               ? value
               : (struct guaco_slice){value.at, (size_t)(comma - value.at)};
}

/* uWSGI's ":8000" is every address; a path is a Unix socket. */
static int
put_bind(struct guaco__buf *out, struct guaco_slice address, bool is_tls)
{
    char text[512];
    bool is_path = memchr(address.at, '/', address.len) != NULL;
    bool is_all = address.len > 0 && *address.at == ':';

    int len =
        snprintf(text, sizeof text, "%s%s%.*s", is_tls ? "https://" : "",
                 is_path  ? "unix:"
                 : is_all ? "0.0.0.0"
                          : "",
                 (int)(address.len < 400 ? address.len : 400), address.at);
    return put_string(out, (struct guaco_slice){text, (size_t)len});
}

static int
put_suffixed(struct guaco__buf *out, struct guaco_slice value,
             const char *suffix)
{
    char text[512];
    int len =
        snprintf(text, sizeof text, "%.*s%s",
                 (int)(value.len < 400 ? value.len : 400), value.at, suffix);

    return put_string(out, (struct guaco_slice){text, (size_t)len});
}

static int
put_value(struct guaco__buf *out, enum kind kind, struct guaco_slice value)
{
    switch (kind) {
    case COUNT:
    case BYTES: return guaco__buf_append(out, value.at, value.len);
    case MBYTES: return put_suffixed(out, value, "m");
    case VENV: return put_suffixed(out, value, "/bin/python");
    case BIND: return put_bind(out, value, false);
    case TLS: return put_bind(out, first_part(value), true);
    case TRUE: return guaco__buf_append_text(out, "true");
    case FALSE: return guaco__buf_append_text(out, "false");
    case TEXT:
    case ITEM:
    case MAP:
    case TARGET:
    case HOLDS:
    case OTHER: break;
    }
    return put_string(out, value);
}

/* Whether the key's value can be carried over. */
static bool
is_usable(const struct mapping *m, const struct guaco__uwsgi_entry *e)
{
    switch (m->kind) {
    case COUNT:
    case BYTES:
    case MBYTES: return is_number(e->value);
    case TRUE:
    case FALSE: return true;
    case TARGET:
    case HOLDS:
    case OTHER: return m->kind != OTHER;
    case TEXT:
    case ITEM:
    case BIND:
    case TLS:
    case MAP:
    case VENV: break;
    }
    return e->value.len > 0;
}

/* ---- the file ---- */

static bool
is_list(enum kind kind)
{
    return kind == ITEM || kind == MAP || kind == BIND || kind == TLS;
}

/* Whether an entry gives something to `own`, the name of an option. */
static bool
gives(const struct guaco__uwsgi_entry *e, const char *own)
{
    const struct mapping *m = find(e->key);

    return m != NULL && m->kind != OTHER && strcmp(m->own, own) == 0 &&
           is_usable(m, e) &&
           ((m->kind != TRUE && m->kind != FALSE) || is_true(e->value));
}

/* All that is given to the option of entry `at`, at its first one: a list, or
 * the last value. */
static int
put_option(const struct guaco__uwsgi_file *file, size_t at,
           const struct mapping *m, struct guaco__buf *out)
{
    int rc = guaco__buf_printf(out, "%s = ", m->own);
    bool is_first = true;
    size_t last = at;

    for (size_t i = at; i < file->count; i++)
        if (gives(&file->entries[i], m->own))
            last = i;
    if (!is_list(m->kind)) {
        if (rc == GUACO_OK)
            rc = put_value(out, find(file->entries[last].key)->kind,
                           file->entries[last].value);
        return rc != GUACO_OK ? rc : guaco__buf_append_byte(out, '\n');
    }
    for (size_t i = at; i <= last && rc == GUACO_OK; i++) {
        const struct guaco__uwsgi_entry *e = &file->entries[i];
        if (!gives(e, m->own))
            continue;
        rc = guaco__buf_append_text(out, is_first ? "[" : ", ");
        is_first = false;
        if (rc == GUACO_OK)
            rc = put_value(out, find(e->key)->kind, e->value);
    }
    return rc != GUACO_OK ? rc : guaco__buf_append_text(out, "]\n");
}

/* The files of "ADDRESS,CERTIFICATE,KEY". */
static int
put_certificate(const struct guaco__uwsgi_entry *e, struct guaco__buf *out)
{
    static const char *const names[] = {"ssl-certfile", "ssl-keyfile"};
    struct guaco_slice rest = e->value;
    int rc = GUACO_OK;

    for (size_t i = 0; i < 2 && rc == GUACO_OK; i++) {
        size_t used = first_part(rest).len + 1;
        if (used > rest.len)
            return GUACO_OK;
        rest = (struct guaco_slice){rest.at + used, rest.len - used};
        rc = guaco__buf_printf(out, "%s = [", names[i]);
        if (rc == GUACO_OK)
            rc = put_string(out, first_part(rest));
        if (rc == GUACO_OK)
            rc = guaco__buf_append_text(out, "]\n");
    }
    return rc;
}

static int
put_options(const struct guaco__uwsgi_file *file, struct guaco__buf *out)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < file->count && rc == GUACO_OK; i++) {
        const struct guaco__uwsgi_entry *e = &file->entries[i];
        const struct mapping *m = find(e->key);
        bool is_first = m != NULL && *m->own != '\0' && gives(e, m->own);
        for (size_t k = 0; k < i && is_first; k++)
            is_first = !gives(&file->entries[k], m->own);
        if (is_first)
            rc = put_option(file, i, m, out);
        if (rc == GUACO_OK && m != NULL && m->kind == TLS)
            rc = put_certificate(e, out);
    }
    return rc;
}

/* A comment holds one line. */
static int
put_comment_text(struct guaco__buf *out, struct guaco_slice text)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < text.len && rc == GUACO_OK; i++) {
        unsigned char c = (unsigned char)text.at[i];
        rc = guaco__buf_append_byte(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
    return rc;
}

/* Name an entry that was not, or not wholly, carried over. */
static int
put_rest(const struct guaco__uwsgi_entry *e, struct guaco__buf *out,
         size_t *left)
{
    const struct mapping *m = find(e->key);
    const char *why = NULL;

    if (m == NULL)
        why = "not known";
    else if (m->kind == OTHER)
        why = m->own;
    else if (!is_usable(m, e))
        why = "its value cannot be read";
    else if (e->is_open)
        why = "look at the % or $( in its value";
    if (why == NULL)
        return GUACO_OK;
    int rc = guaco__buf_append_text(
        out, (*left)++ == 0 ? "\n# Not carried over:\n#   " : "#   ");
    if (rc == GUACO_OK)
        rc = put_comment_text(out, e->key);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(out, " = ");
    if (rc == GUACO_OK)
        rc = put_comment_text(out, e->value);
    return rc != GUACO_OK
               ? rc
               : guaco__buf_printf(
                     out, "%s%s\n",
                     m != NULL && m->kind == OTHER ? "  -> " : "  : ", why);
}

/* "app:application", of module and callable, or of a file and its callable. */
static int
put_target(const struct guaco__uwsgi_file *file, struct guaco__buf *out)
{
    static const char *const modules[] = {"module", "wsgi", "w"};
    static const char *const files[] = {"wsgi-file", "file"};
    const struct guaco_slice *callable = guaco__uwsgi_find(file, "callable");
    struct guaco_slice name = GUACO_SLICE("MODULE");
    struct guaco_slice attribute =
        callable != NULL ? *callable : GUACO_SLICE("application");

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct guaco_slice *path = guaco__uwsgi_find(file, files[i]);
        if (path == NULL || path->len == 0)
            continue;
        const char *slash = memrchr(path->at, '/', path->len);
        const char *from = slash == NULL ? path->at : slash + 1;
        size_t len = (size_t)(path->at + path->len - from);
        bool is_py = len > 3 && memcmp(from + len - 3, ".py", 3) == 0;
        name = (struct guaco_slice){from, is_py ? len - 3 : len};
    }
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        const struct guaco_slice *module = guaco__uwsgi_find(file, modules[i]);
        if (module != NULL && module->len > 0)
            name = *module;
    }
    int rc = put_comment_text(out, name);
    if (rc != GUACO_OK || memchr(name.at, ':', name.len) != NULL)
        return rc;
    rc = guaco__buf_append_byte(out, ':');
    return rc != GUACO_OK ? rc : put_comment_text(out, attribute);
}

int
guaco__uwsgi_write(const struct guaco__uwsgi_file *file, struct guaco__buf *out,
                   size_t *left)
{
    int rc = guaco__buf_append_text(out, "# From uWSGI; start it with: guaco "
                                         "serve ");

    if (rc == GUACO_OK)
        rc = put_target(file, out);
    if (rc == GUACO_OK)
        rc = guaco__buf_append_text(out, "\n[tool.guaco]\n");
    if (rc == GUACO_OK)
        rc = put_options(file, out);
    for (size_t i = 0; i < file->count && rc == GUACO_OK; i++)
        rc = put_rest(&file->entries[i], out, left);
    return rc;
}
