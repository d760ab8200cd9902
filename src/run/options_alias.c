/* The flags of others: what each column means is in run/options_alias.h. */

#include "options_alias.h"

#include "options_int.h"

#define WEB  (GUACO__SERVE | GUACO__UP)
#define TREE (GUACO__SERVE | GUACO__UP | GUACO__WORK)

#define SAME(n, l, c, o, w)                                               \
    {                                                                     \
        .name = n, .letter = l, .commands = c, .kind = GUACO__ALIAS_SAME, \
        .own = o, .whose = w                                              \
    }
#define FIXED(n, l, c, o, t, w)                                            \
    {                                                                      \
        .name = n, .letter = l, .commands = c, .kind = GUACO__ALIAS_FIXED, \
        .own = o, .text = t, .whose = w                                    \
    }
#define NOTED(n, l, c, v, t, w)                                            \
    {                                                                      \
        .name = n, .letter = l, .commands = c, .kind = GUACO__ALIAS_NOTED, \
        .operand = v, .text = t, .whose = w                                \
    }
#define REFUSED(n, l, c, t, w)                                               \
    {                                                                        \
        .name = n, .letter = l, .commands = c, .kind = GUACO__ALIAS_REFUSED, \
        .text = t, .whose = w                                                \
    }

#define U "uvicorn"
#define G "gunicorn"
#define H "huey_consumer"
#define C "celery"

/* clang-format off */
const struct guaco__option_alias guaco__alias_table[] = {
    /* ---- uvicorn ---- */
    SAME("h11-max-incomplete-event-size", 0, WEB, "limit-head-bytes", U),
    SAME("ws-max-size", 0, WEB, "limit-ws-message-bytes", U),
    SAME("ws-per-message-deflate", 0, WEB, "ws-deflate", U),
    SAME("timeout-worker-healthcheck", 0, WEB, "timeout-worker", U),
    NOTED("http", 0, WEB, "IMPLEMENTATION", "there is one parser", U),
    NOTED("ws", 0, WEB, "IMPLEMENTATION",
          "there is one WebSocket implementation", U),
    NOTED("ws-max-queue", 0, WEB, "N",
          "what is not taken stays in the kernel, not in a queue", U),
    NOTED("use-colors", 0, TREE, NULL, "the log has no colours", U),
    NOTED("no-use-colors", 0, TREE, NULL, "the log has no colours", U),
    NOTED("reload-delay", 0, TREE, "SECONDS",
          "changes are told by the kernel, not looked for", U),
    REFUSED("log-config", 0, TREE,
            "configure logging where the application is imported, and the "
            "level by --log-level", U),
    REFUSED("header", 0, WEB,
            "add it in the application or its middleware", U),
    REFUSED("ssl-version", 0, WEB, "--ssl-min-version", U),
    REFUSED("contextvars", 0, WEB,
            "nothing: each request has a context of its own", U),

    /* ---- gunicorn ---- */
    SAME("certfile", 0, WEB, "ssl-certfile", G),
    SAME("keyfile", 0, WEB, "ssl-keyfile", G),
    SAME("ca-certs", 0, WEB, "ssl-ca-certs", G),
    SAME("cert-reqs", 0, WEB, "ssl-cert-reqs", G),
    SAME("ciphers", 0, WEB, "ssl-ciphers", G),
    SAME("max-requests", 0, WEB, "limit-max-requests", G),
    SAME("max-requests-jitter", 0, WEB, "limit-max-requests-jitter", G),
    SAME("timeout", 't', WEB, "timeout-worker", G),
    SAME("graceful-timeout", 0, WEB, "timeout-graceful-shutdown", G),
    SAME("keep-alive", 0, WEB, "timeout-keep-alive", G),
    SAME("worker-connections", 0, WEB, "limit-connections", G),
    SAME("limit-request-fields", 0, WEB, "limit-fields", G),
    SAME("limit-request-line", 0, WEB, "limit-head-bytes", G),
    SAME("pid", 'p', TREE, "pid-file", G),
    SAME("pythonpath", 0, TREE, "app-dir", G),
    SAME("proc-name", 'n', WEB, "name", G),
    SAME("log-file", 0, TREE, "error-logfile", G),
    FIXED("disable-access-log", 0, WEB, "access-log", "false", G),
    NOTED("worker-class", 'k', GUACO__SERVE, "CLASS",
          "what the application speaks is seen (--interface)", G),
    NOTED("limit-request-field-size", 0, WEB, "BYTES",
          "--limit-head-bytes holds for the whole head", G),
    NOTED("no-sendfile", 0, WEB, NULL,
          "files leave by sendfile where the connection allows it", G),
    NOTED("worker-tmp-dir", 0, WEB, "FOLDER",
          "heartbeats are in shared memory, not in files", G),
    NOTED("capture-output", 0, TREE, NULL,
          "stdout and stderr go where guaco's go", G),
    NOTED("enable-stdio-inheritance", 'R', TREE, NULL,
          "stdout and stderr go where guaco's go", G),
    NOTED("reload-engine", 0, TREE, "ENGINE",
          "changes are told by the kernel", G),
    REFUSED("daemon", 'D', TREE, "a service manager, or nohup", G),
    REFUSED("config", 'c', GUACO__SERVE, "[tool.guaco] of pyproject.toml", G),
    REFUSED("paste", 0, WEB, "--factory with a function that loads it", G),
    REFUSED("statsd-host", 0, WEB, "/metrics of --admin", G),
    REFUSED("log-syslog", 0, TREE, "a service manager's journal", G),
    REFUSED("spew", 0, WEB, "guaco profile -d -p PID", G),

    /* ---- huey_consumer ---- */
    FIXED("no-periodic", 'n', GUACO__WORK, "periodic", "false", H),
    FIXED("verbose", 'v', GUACO__WORK, "log-level", "debug", H),
    FIXED("quiet", 'q', GUACO__WORK, "log-level", "warning", H),
    SAME("worker-type", 0, GUACO__WORK, "worker-kind", H),
    SAME("logfile", 'l', GUACO__WORK, "error-logfile", H),
    NOTED("simple", 'S', GUACO__WORK, NULL, "the log has one form", H),
    NOTED("delay", 'd', GUACO__WORK, "SECONDS",
          "workers are woken, they do not poll", H),
    NOTED("max-delay", 'm', GUACO__WORK, "SECONDS",
          "workers are woken, they do not poll", H),
    NOTED("backoff", 'b', GUACO__WORK, "FACTOR",
          "workers are woken, they do not poll", H),
    NOTED("scheduler-interval", 's', GUACO__WORK, "SECONDS",
          "schedules fire on the second that they name", H),
    NOTED("health-check-interval", 0, GUACO__WORK, "SECONDS",
          "a dead worker is seen at once", H),
    NOTED("disable-health-check", 'C', GUACO__WORK, NULL,
          "a dead worker is seen at once", H),
    NOTED("flush-locks", 'f', GUACO__WORK, NULL,
          "a lock ends with the process that holds it", H),

    /* ---- celery ---- */
    SAME("max-tasks-per-child", 0, GUACO__WORK | GUACO__UP, "max-tasks", C),
};
/* clang-format on */

const size_t guaco__alias_count =
    sizeof guaco__alias_table / sizeof guaco__alias_table[0];

const struct guaco__option_alias *
guaco__alias_find(enum guaco__option_command command, const char *name,
                  size_t len)
{
    for (size_t i = 0; i < guaco__alias_count; i++) {
        const struct guaco__option_alias *alias = &guaco__alias_table[i];
        if ((alias->commands & command) != 0 &&
            guaco__options_is_named(alias->name, name, len))
            return alias;
    }
    return NULL;
}

const struct guaco__option_alias *
guaco__alias_find_letter(enum guaco__option_command command, char letter)
{
    for (size_t i = 0; i < guaco__alias_count; i++) {
        const struct guaco__option_alias *alias = &guaco__alias_table[i];
        if ((alias->commands & command) != 0 && letter != 0 &&
            alias->letter == letter)
            return alias;
    }
    return NULL;
}
