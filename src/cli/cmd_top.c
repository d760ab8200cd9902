/*
 * guaco top [--once] [--interval SECONDS] [ADDRESS]: the workers of a running
 * tree and the requests that they are at, asked from its --admin socket.  The
 * address is that of --admin; without one, what GUACO_ADMIN or [tool.guaco]
 * says.  When the output is no terminal it is printed once.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <ncurses.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "command.h"
#include "os/clock.h"
#include "run/supervisor.h"
#include "top_view.h"

#define REPLY_BYTES_MAX (4u << 20)
#define TIMEOUT_S       5
#define INTERVAL_MS     1000
#define PLAIN_ROWS      1000
#define PLAIN_COLUMNS   200

struct top {
    const char *address;
    bool once;
    int interval_ms;
    struct guaco__options options; /* hold the address, if resolved */
    bool has_options;
};

/* ---- asking ---- */

static int
connect_unix(const char *path, struct guaco_error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof at.sun_path)
        return guaco_fail(err, GUACO_E_INVALID, 0, "no such path: %.100s",
                          path);
    memcpy(at.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    int sys = errno;
    if (fd >= 0)
        close(fd);
    return guaco_fail(err, GUACO_E_IO, sys, "connect to unix:%.100s", path);
}

static int
connect_tcp(const char *text, struct guaco_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(text, ':');
    bool quoted = *text == '[';
    char host[256];

    size_t len = colon == NULL ? 0 : (size_t)(colon - text) - 2 * quoted;
    if (colon == NULL || len >= sizeof host)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "%.100s is neither HOST:PORT nor unix:PATH", text);
    snprintf(host, sizeof host, "%.*s", (int)len, text + quoted);
    int why = getaddrinfo(*host == '\0' ? "127.0.0.1" : host, colon + 1, &hints,
                          &found);
    if (why != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "%.100s: %s", text,
                          gai_strerror(why));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    int sys = errno;
    freeaddrinfo(found);
    if (ok)
        return fd;
    if (fd >= 0)
        close(fd);
    return guaco_fail(err, GUACO_E_IO, sys, "connect to %.100s", text);
}

static int
exchange(int fd, struct guaco__buf *reply)
{
    static const char request[] =
        "GET /-/status HTTP/1.1\r\nhost: guaco\r\n\r\n";
    char piece[16384];
    ssize_t n;

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return GUACO_E_IO;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) {
        int rc = guaco__buf_append(reply, piece, (size_t)n);
        if (rc != GUACO_OK)
            return rc;
    }
    return n == 0 ? GUACO_OK : GUACO_E_IO;
}

/* The body of a whole answer with status 200. */
static int
find_body(const struct guaco__buf *reply, struct guaco_slice *body)
{
    const char *at = guaco__buf_data(reply);
    const char *end =
        reply->len == 0 ? NULL : memmem(at, reply->len, "\r\n\r\n", 4);

    if (end == NULL || reply->len < 12 || memcmp(at, "HTTP/1.1 200", 12) != 0)
        return GUACO_E_PROTO;
    body->at = end + 4;
    body->len = reply->len - (size_t)(end + 4 - at);
    return GUACO_OK;
}

static int
ask(const char *address, struct guaco__buf *reply, struct guaco_error *err)
{
    const struct timeval most = {.tv_sec = TIMEOUT_S};
    int fd = strncmp(address, "unix:", 5) == 0
                 ? connect_unix(address + 5, err)
                 : connect_tcp(strncmp(address, "http://", 7) == 0 ? address + 7
                                                                   : address,
                               err);
    if (fd < 0)
        return fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    int rc = exchange(fd, reply);
    close(fd);
    return rc == GUACO_OK
               ? rc
               : guaco_fail(err, rc, 0, "%.100s does not answer", address);
}

/* The view of one look, appended to `out`. */
static int
look(const struct top *top, struct guaco__top_before *before, size_t rows,
     size_t columns, struct guaco__buf *out, struct guaco_error *err)
{
    struct guaco__arena arena;
    struct guaco__buf reply;
    struct guaco_slice body;
    const struct guaco__json *status = NULL;

    guaco__arena_init(&arena, 65536, 8 * REPLY_BYTES_MAX);
    guaco__buf_init(&reply, REPLY_BYTES_MAX);
    int rc = ask(top->address, &reply, err);
    if (rc == GUACO_OK) {
        rc = find_body(&reply, &body);
        if (rc == GUACO_OK)
            rc = guaco__json_read(&arena, body.at, body.len, &status, NULL);
        if (rc == GUACO_OK)
            rc = guaco__top_view(status, guaco__clock_mono_ms(), before, rows,
                                 columns, out);
        if (rc != GUACO_OK)
            guaco_fail(err, rc, 0, "%.100s is no admin socket of guaco",
                       top->address);
    }
    guaco__buf_release(&reply);
    guaco__arena_release(&arena);
    return rc;
}

/* ---- showing ---- */

static int
complain(const struct guaco_error *err, int code)
{
    fprintf(stderr, "guaco top: %s\n", err->text);
    return code;
}

static int
show_once(const struct top *top)
{
    struct guaco__top_before before = {0};
    struct guaco_error err = {0};
    struct guaco__buf out;

    guaco__buf_init(&out, REPLY_BYTES_MAX);
    int rc = look(top, &before, PLAIN_ROWS, PLAIN_COLUMNS, &out, &err);
    if (rc == GUACO_OK && out.len > 0)
        fwrite(guaco__buf_data(&out), 1, out.len, stdout);
    guaco__buf_release(&out);
    if (rc == GUACO_OK && fflush(stdout) == 0)
        return GUACO__EXIT_OK;
    return complain(&err, GUACO__EXIT_CRASH);
}

static void
draw(const struct guaco__buf *out, const struct guaco_error *err)
{
    const char *at = out->len > 0 ? guaco__buf_data(out) : "";
    const char *end = at + out->len;

    erase();
    for (int row = 0; at < end && row < LINES - 1; row++) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL)
            line = end;
        mvaddnstr(row, 0, at, (int)(line - at));
        at = line + (line < end);
    }
    attron(A_DIM);
    mvaddnstr(LINES - 1, 0,
              err->text[0] != '\0' ? err->text : "q quit   p pause",
              COLS > 0 ? COLS - 1 : 0);
    attroff(A_DIM);
    refresh();
}

/* False when it is to end. */
static bool
take_key(bool *is_paused)
{
    switch (getch()) {
    case 'q':
    case 'Q':
    case 3: return false;
    case 'p':
    case ' ': *is_paused = !*is_paused; return true;
    default: return true; /* ERR: the interval is over */
    }
}

static int
show_screen(const struct top *top)
{
    struct guaco__top_before before = {0};
    struct guaco__buf out;
    bool is_paused = false;

    setlocale(LC_CTYPE, "");
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen == NULL)
        return show_once(top);
    cbreak();
    noecho();
    curs_set(0);
    timeout(top->interval_ms);
    guaco__buf_init(&out, REPLY_BYTES_MAX);
    do {
        struct guaco_error err = {0};
        if (!is_paused) {
            guaco__buf_reset(&out);
            (void)look(top, &before, (size_t)LINES - 1, (size_t)COLS, &out,
                       &err);
        }
        draw(&out, &err);
    } while (take_key(&is_paused));
    guaco__buf_release(&out);
    endwin();
    delscreen(screen);
    return GUACO__EXIT_OK;
}

/* ---- arguments ---- */

static int
read_interval(const char *text, int *ms, struct guaco_error *err)
{
    char *end;
    double seconds = text == NULL ? 0 : strtod(text, &end);

    if (text == NULL || *end != '\0' || !(seconds >= 0.05) || seconds > 3600)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--interval takes 0.05 to 3600 seconds");
    *ms = (int)(seconds * 1000);
    return GUACO_OK;
}

static int
read_args(struct top *top, const char *const *args, size_t count,
          struct guaco_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(args[i], "--once") == 0) {
            top->once = true;
        } else if (strcmp(args[i], "--interval") == 0) {
            i++;
            int rc = read_interval(i < count ? args[i] : NULL,
                                   &top->interval_ms, err);
            if (rc != GUACO_OK)
                return rc;
        } else if (args[i][0] == '-' || top->address != NULL) {
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "%.60s is not understood", args[i]);
        } else {
            top->address = args[i];
        }
    }
    return GUACO_OK;
}

/* The address that guaco serve would serve --admin at. */
static int
find_address(struct top *top, struct guaco_error *err)
{
    if (top->address != NULL)
        return GUACO_OK;
    int rc = guaco__cli_resolve(&top->options, GUACO__SERVE, NULL, 0, err);
    if (rc != GUACO_OK)
        return rc;
    top->has_options = true;
    top->address = guaco__options_text(&top->options, "admin");
    return top->address != NULL
               ? GUACO_OK
               : guaco_fail(err, GUACO_E_INVALID, 0,
                            "where? name the address of --admin, here, in "
                            "GUACO_ADMIN or as \"admin\" in [tool.guaco]");
}

int
guaco__command_top(const struct guaco__command *command,
                   const char *const *args, size_t count)
{
    struct top top = {.interval_ms = INTERVAL_MS};
    struct guaco_error err = {0};
    int code;

    for (size_t i = 0; i < count; i++)
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0) {
            printf("usage: guaco top %s\n\n%s\n", command->operands,
                   command->summary);
            return GUACO__EXIT_OK;
        }
    int rc = read_args(&top, args, count, &err);
    if (rc == GUACO_OK)
        rc = find_address(&top, &err);
    if (rc != GUACO_OK)
        code = complain(&err, GUACO__EXIT_USAGE);
    else if (top.once || isatty(STDIN_FILENO) != 1 ||
             isatty(STDOUT_FILENO) != 1)
        code = show_once(&top);
    else
        code = show_screen(&top);
    if (top.has_options)
        guaco__options_release(&top.options);
    return code;
}
