/*
 * The table of options: what each column means is in run/options.h.  A default
 * stands here and nowhere else.
 */

#include "run/options.h"

#define WEB  (GUACO__SERVE | GUACO__UP)
#define TASK (GUACO__WORK | GUACO__UP)
#define TREE (WEB | TASK)
#define ALL  (TREE | GUACO__QUEUE)

#define FLAG(n, c, d, h)                                                      \
    {                                                                         \
        .name = n, .commands = c, .kind = GUACO__OPTION_FLAG, .otherwise = d, \
        .help = h                                                             \
    }
#define COUNT(n, c, o, d, lo, hi, h)                                         \
    {                                                                        \
        .name = n, .commands = c, .kind = GUACO__OPTION_COUNT, .operand = o, \
        .otherwise = d, .min = lo, .max = hi, .help = h                      \
    }
#define BYTES(n, c, d, lo, hi, h)                                           \
    {                                                                       \
        .name = n, .commands = c, .kind = GUACO__OPTION_BYTES,              \
        .operand = "BYTES", .otherwise = d, .min = lo, .max = hi, .help = h \
    }
#define SECONDS(n, c, d, hi_s, h)                                             \
    {                                                                         \
        .name = n, .commands = c, .kind = GUACO__OPTION_SECONDS,              \
        .operand = "SECONDS", .otherwise = d, .max = (hi_s)*1000LL, .help = h \
    }
#define TEXT(n, c, o, d, h)                                                 \
    {                                                                       \
        .name = n, .commands = c, .kind = GUACO__OPTION_TEXT, .operand = o, \
        .otherwise = d, .help = h                                           \
    }
#define CHOICE(n, c, w, d, h)                                                 \
    {                                                                         \
        .name = n, .commands = c, .kind = GUACO__OPTION_CHOICE, .operand = w, \
        .words = w, .otherwise = d, .help = h                                 \
    }
#define LIST(n, c, o, h)                                                    \
    {                                                                       \
        .name = n, .commands = c, .kind = GUACO__OPTION_LIST, .operand = o, \
        .help = h                                                           \
    }

#define HOUR 3600
#define MIB  (1024 * 1024LL)
#define GIB  (1024 * MIB)

/* clang-format off */
const struct guaco__option guaco__option_table[] = {
    /* ---- what to listen on ---- */
    {.name = "bind", .letter = 'b', .commands = WEB,
     .kind = GUACO__OPTION_LIST, .operand = "ADDRESS",
     .help = "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N, with https:// or "
             "http:// before it to have one with or without TLS; may be "
             "repeated"},
    TEXT("host", WEB, "HOST", NULL,
         "host of the first address (127.0.0.1)"),
    COUNT("port", WEB, "PORT", NULL, 0, 65535,
          "port of the first address (8000); 0: any free one"),
    TEXT("uds", WEB, "PATH", NULL, "listen on a Unix socket"),
    COUNT("fd", WEB, "N", NULL, 0, 65535,
          "listen on an inherited socket"),
    COUNT("backlog", WEB, "N", "2048", 1, 65535,
          "connections that the kernel queues for each socket"),
    FLAG("reuse-port", WEB, "false",
         "a socket for each worker, among which the kernel divides "
         "connections by chance; else the worker with the fewest takes the "
         "next"),

    /* ---- TLS ---- */
    LIST("ssl-certfile", WEB, "FILE",
         "certificate chain (PEM), which turns TLS on; one for each of "
         "several host names"),
    LIST("ssl-keyfile", WEB, "FILE",
         "key of the certificate in the same place (the certificate's own "
         "file)"),
    {.name = "ssl-keyfile-password", .commands = WEB,
     .kind = GUACO__OPTION_TEXT, .operand = "TEXT", .is_secret = true,
     .help = "password of the keys; other users see it in the list of "
             "processes: prefer the variable or the file"},
    TEXT("ssl-keyfile-password-file", WEB, "FILE", NULL,
         "file whose first line is the password of the keys"),
    TEXT("ssl-ca-certs", WEB, "FILE", NULL,
         "CAs that sign clients' certificates (PEM) (the system's)"),
    CHOICE("ssl-cert-reqs", WEB, "none|optional|required|0|1|2", "none",
           "whether a client shows a certificate"),
    TEXT("ssl-ciphers", WEB, "LIST", NULL,
         "ciphers in OpenSSL's form, of TLS 1.3 when the list begins with "
         "TLS_ (ECDHE with AES-GCM or ChaCha20)"),
    CHOICE("ssl-min-version", WEB, "1.2|1.3", "1.2",
           "least version of TLS"),

    /* ---- processes ---- */
    {.name = "workers", .letter = 'w', .commands = WEB,
     .kind = GUACO__OPTION_COUNT, .operand = "N", .words = "auto",
     .otherwise = "1", .min = 1, .max = 256, .variable = "WEB_CONCURRENCY",
     .help = "web worker processes; auto: one for each CPU that the "
             "container may use"},
    {.name = "workers", .letter = 'w', .commands = GUACO__WORK,
     .kind = GUACO__OPTION_COUNT, .operand = "N", .words = "auto",
     .otherwise = "auto", .min = 1, .max = 1024,
     .help = "tasks that run at the same time; auto: one for each CPU that "
             "the container may use"},
    {.name = "task-workers", .letter = 'c', .commands = GUACO__UP,
     .kind = GUACO__OPTION_COUNT, .operand = "N", .words = "auto",
     .otherwise = "auto", .min = 1, .max = 1024,
     .help = "tasks that run at the same time; auto: one for each CPU that "
             "the container may use"},
    {.name = "worker-kind", .letter = 'k', .commands = TASK,
     .kind = GUACO__OPTION_CHOICE, .operand = "thread|process|async|greenlet",
     .words = "thread|process|async|greenlet", .otherwise = "thread",
     .help = "what runs a task"},
    COUNT("threads", WEB, "N", "1", 1, 1024,
          "threads that call a WSGI application"),
    TEXT("python", ALL, "PATH", NULL,
         "the interpreter of the workers (python3 beside guaco, of "
         "VIRTUAL_ENV, of PATH)"),
    FLAG("preload", WEB, "false",
         "import the application once and fork the workers from there"),
    FLAG("reload", TREE, "false",
         "restart the workers when a Python file changes"),
    LIST("reload-dir", TREE, "FOLDER",
         "folder to watch for --reload (the --app-dir); may be repeated"),
    LIST("reload-include", TREE, "GLOB",
         "names of files that count for --reload beside *.py; may be repeated"),
    LIST("reload-exclude", TREE, "GLOB",
         "names of files and folders that do not; may be repeated"),
    TEXT("name", TREE, "NAME", NULL,
         "shown in the workers' command lines in place of the target"),
    TEXT("pid-file", TREE, "PATH", NULL,
         "file that holds the supervisor's process id"),
    {.name = "user", .letter = 'u', .commands = TREE,
     .kind = GUACO__OPTION_TEXT, .operand = "USER",
     .help = "user, by name or number, that the whole tree becomes once it "
             "listens"},
    {.name = "group", .letter = 'g', .commands = TREE,
     .kind = GUACO__OPTION_TEXT, .operand = "GROUP",
     .help = "group, by name or number (the user's own)"},
    TEXT("umask", TREE, "OCTAL", NULL, "mask of the files that are made"),
    TEXT("chdir", ALL, "FOLDER", NULL, "folder to work in"),
    {.name = "env", .letter = 'e', .commands = ALL,
     .kind = GUACO__OPTION_LIST, .operand = "NAME=VALUE",
     .help = "variable for the workers; may be repeated"},
    TEXT("env-file", ALL, "PATH", NULL,
         "file of variables for the workers, read again at each reload; "
         "those that are set already win"),
    TEXT("admin", TREE, "ADDRESS", NULL,
         "HOST:PORT, unix:PATH or fd:N for /metrics, /-/live, /-/ready and "
         "guaco top; for nobody but the operator"),

    /* ---- proxies in front ---- */
    FLAG("proxy-headers", WEB, "true",
         "let the proxies of --forwarded-allow-ips say client, scheme, host "
         "and prefix"),
    {.name = "forwarded-allow-ips", .commands = WEB,
     .kind = GUACO__OPTION_LIST, .operand = "ADDRESS",
     .variable = "FORWARDED_ALLOW_IPS",
     .help = "address, network, unix or * of a proxy (nobody); may be "
             "repeated"},
    CHOICE("forwarded-header", WEB, "x-forwarded|forwarded", "x-forwarded",
           "what these proxies write: X-Forwarded-* or the one of RFC 7239"),
    FLAG("proxy-protocol", WEB, "false",
         "each connection begins with a PROXY header, version 1 or 2"),
    LIST("proxy-allow-from", WEB, "ADDRESS",
         "who may connect then (those of --forwarded-allow-ips); may be "
         "repeated"),

    /* ---- files ---- */
    LIST("static", WEB, "ROUTE=FOLDER",
         "serve the files of a folder, before the application; may be "
         "repeated"),
    SECONDS("static-max-age", WEB, NULL, 366 * 24 * HOUR,
            "that a client may keep a file without asking again"),
    FLAG("static-immutable", WEB, "false",
         "a file with a hash in its name may be kept for ever"),
    TEXT("static-index", WEB, "NAME", "index.html",
         "file that stands for its folder; empty: none"),
    FLAG("static-dotfiles", WEB, "false",
         "serve files and folders with a dot in front"),
    FLAG("static-precompressed", WEB, "true",
         "serve FILE.br, FILE.zst or FILE.gz for FILE to who accepts it"),

    /* ---- compression ---- */
    FLAG("compress", WEB, "false",
         "compress responses by br, zstd or gzip, what the client likes best"),
    BYTES("compress-min-bytes", WEB, "500", 0, GIB,
          "smaller ones are sent as they are"),
    LIST("compress-type", WEB, "TYPE",
         "media type to compress (text, JSON, XML ...), text/* for all of a "
         "kind; may be repeated"),

    TEXT("profile-socket", TREE, "PATH", NULL,
         "let guaco profile --socket PATH look into the workers: what they "
         "do for which route and task"),

    /* ---- the application ---- */
    CHOICE("interface", WEB, "auto|asgi|wsgi", "auto",
           "what the application speaks"),
    FLAG("factory", WEB, "false",
         "the target is a function that makes the application"),
    TEXT("app-dir", ALL, "FOLDER", ".",
         "folder that is put first into sys.path"),
    TEXT("root-path", WEB, "PATH", "",
         "where a proxy has mounted the application"),
    CHOICE("lifespan", WEB, "auto|on|off", "auto",
           "whether the ASGI lifespan protocol is spoken"),
    CHOICE("loop", WEB, "guaco|asyncio|uvloop", "guaco",
           "the event loop of ASGI applications"),
    LIST("queue", GUACO__UP, "MODULE:QUEUE",
         "queue to run beside those that the application makes; may be "
         "repeated"),
    FLAG("periodic", TASK, "true", "run the schedules too"),

    /* ---- log ---- */
    FLAG("access-log", WEB, "true", "log each request"),
    TEXT("access-logfile", WEB, "PATH", "-",
         "where; -: stdout; opened again at SIGUSR1"),
    TEXT("access-log-format", WEB, "FORMAT", "combined",
         "common, combined, json, or gunicorn's atoms as in %(h)s %(s)s"),
    TEXT("error-logfile", TREE, "PATH", "-",
         "where all other lines go; -: stderr; opened again at SIGUSR1"),
    CHOICE("log-level", ALL, "trace|debug|info|warning|error|critical",
           "info", "least level that is logged"),

    /* ---- time ---- */
    SECONDS("timeout-keep-alive", WEB, "75", HOUR,
            "between two requests of a connection"),
    SECONDS("timeout-handshake", WEB, "10", HOUR,
            "for a handshake of TLS"),
    SECONDS("timeout-head", WEB, "15", HOUR,
            "from the first byte to the last of a request's head"),
    SECONDS("timeout-body", WEB, "30", HOUR,
            "between two pieces of a request's body"),
    SECONDS("timeout-send", WEB, "30", HOUR,
            "in which a client takes nothing of its response"),
    SECONDS("timeout-graceful-shutdown", WEB, "30", 24 * HOUR,
            "for open requests at shutdown or reload"),
    SECONDS("timeout-worker-start", TREE, "60", HOUR,
            "for a worker to import the application and be ready"),
    SECONDS("timeout-worker", WEB, "60", HOUR,
            "in which the loop of a web worker does not move on: its Python "
            "stacks are logged and it is replaced; 0: never, and so with "
            "--reload"),
    SECONDS("worker-lifetime", TREE, "0", 366 * 24 * HOUR,
            "after which a worker is replaced; 0: never"),
    COUNT("prefetch", TASK, "N", "64", 0, 256,
          "tasks that a worker claims ahead at most, while they are short "
          "beside a claim; 0: none"),
    SECONDS("grace", TASK, "30", 24 * HOUR,
            "for running tasks at shutdown or reload"),

    /* ---- limits ---- */
    COUNT("limit-concurrency", WEB, "N", "0", 0, 1000000,
          "requests that a worker handles at once, 503 above; 0: no limit"),
    COUNT("limit-connections", WEB, "N", "10000", 1, 1000000,
          "connections that a worker holds at once"),
    COUNT("limit-max-requests", WEB, "N", "0", 0, 1000000000000,
          "requests after which a worker is replaced; 0: never"),
    COUNT("limit-max-requests-jitter", WEB, "N", "0", 0, 1000000000000,
          "up to so many more, by chance, so that not all are replaced at "
          "once"),
    COUNT("max-tasks", TASK, "N", "0", 0, 1000000000000,
          "tasks after which a worker is replaced; 0: never"),
    COUNT("max-tasks-jitter", TASK, "N", "0", 0, 1000000000000,
          "up to so many more, by chance, so that not all are replaced at "
          "once"),
    BYTES("worker-max-rss", TREE, "0", 0, 1024 * GIB,
          "of memory with which a worker is replaced; 0: never"),
    COUNT("limit-keep-alive-requests", WEB, "N", "0", 0, 1000000000,
          "requests on one connection; 0: no limit"),
    BYTES("limit-head-bytes", WEB, "32k", 1024, 16 * MIB,
          "of request line and fields, 431 above"),
    COUNT("limit-fields", WEB, "N", "100", 1, 10000,
          "fields of a request, 431 above"),
    BYTES("limit-body-bytes", WEB, "1g", 0, 1024 * GIB,
          "of a request's body, 413 above"),
    BYTES("limit-ws-message-bytes", WEB, "1m", 1, GIB,
          "of a WebSocket message, close 1009 above"),

    COUNT("limit-h2-streams", WEB, "N", "128", 1, 100000,
          "requests at once on a connection of HTTP/2; more are refused"),
    COUNT("limit-h2-resets", WEB, "N", "200", 1, 1000000,
          "streams that a client may break off in a burst, a tenth of it "
          "each second after that"),
    COUNT("limit-h2-controls", WEB, "N", "2000", 1, 10000000,
          "frames without content (PING, SETTINGS, empty DATA) in a burst, a "
          "tenth of it each second after that"),
    BYTES("limit-h2-window-bytes", WEB, "1m", 65535, GIB,
          "of bodies that a connection of HTTP/2 sends ahead of the "
          "application"),

    /* ---- protocol ---- */
    FLAG("http1", WEB, "true",
         "speak HTTP/1; without it clients begin with HTTP/2"),
    FLAG("http2", WEB, "true",
         "speak HTTP/2 to clients that ask for it, with TLS and without"),
    SECONDS("ws-ping-interval", WEB, "20", HOUR,
            "between pings on an idle WebSocket; 0: none"),
    SECONDS("ws-ping-timeout", WEB, "20", HOUR,
            "for an answer to a ping"),
    FLAG("ws-deflate", WEB, "true", "offer permessage-deflate"),
    FLAG("server-header", WEB, "true", "send a Server field"),
    FLAG("date-header", WEB, "true", "send a Date field"),
};
/* clang-format on */

const size_t guaco__option_count =
    sizeof guaco__option_table / sizeof guaco__option_table[0];

_Static_assert(sizeof guaco__option_table / sizeof guaco__option_table[0] <=
                   GUACO__OPTIONS_MAX,
               "each row has its value");
