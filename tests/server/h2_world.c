#include "h2_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const char *
talk(struct world *w)
{
    char piece[65536];
    ssize_t n;

    client_say_bytes(&w->c, (const char *)w->h2.said, w->h2.said_len);
    w->h2.said_len = 0;
    fixture_turns(&w->f);
    while ((n = recv(w->c.fd, piece, sizeof(piece), 0)) > 0) {
        h2_hear(&w->h2, piece, (size_t)n);
        fixture_turns(&w->f);
    }
    w->c.is_closed |= n == 0 || (n < 0 && errno == ECONNRESET);
    return w->h2.heard;
}

struct world *
open_plain(void)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    fixture_init(&w->f);
    h2_client_init(&w->h2);
    return w;
}

void
connect_world(struct world *w)
{
    fixture_open(&w->f);
    client_open(&w->c, &w->f);
    h2_preface(&w->h2);
    talk(w);
    h2_forget(&w->h2);
}

struct world *
open_world(void)
{
    struct world *w = open_plain();

    connect_world(w);
    return w;
}

void
close_world(struct world *w)
{
    client_close(&w->c);
    fixture_close(&w->f);
    h2_client_release(&w->h2);
    free(w);
}

void
hears(struct world *w, const char *what)
{
    talk(w);
    if (strstr(w->h2.heard, what) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", what, w->h2.heard);
}

void
hears_no(struct world *w, const char *what)
{
    talk(w);
    if (strstr(w->h2.heard, what) != NULL)
        fail_msg("\"%s\" is in \"%s\"", what, w->h2.heard);
}

void
told(struct world *w, const char *what)
{
    const char *all = fixture_told(&w->f);

    if (strcmp(all, what) != 0)
        fail_msg("told \"%s\", not \"%s\"", all, what);
}

void
the_connection_is_closed_for(struct world *w, unsigned code)
{
    char end[16];

    talk(w);
    snprintf(end, sizeof(end), " %u;", code);
    if (strchr(w->h2.heard, 'G') == NULL ||
        strstr(strchr(w->h2.heard, 'G'), end) == NULL)
        fail_msg("no GOAWAY %u in %.200s", code, w->h2.heard);
    assert_true(w->c.is_closed);
}
