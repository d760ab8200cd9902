#ifndef GUACO__SERVER_STATICS_H
#define GUACO__SERVER_STATICS_H

/*
 * Files below folders, served before the application is asked: GET and HEAD,
 * conditions, ranges, compressed siblings.  A file leaves by sendfile; nothing
 * of it is kept between two requests, so that a file that is replaced is the
 * new one from then on.
 *
 * Below its route a folder owns every path: what is no file there is 404.  The
 * route "/" shares: what is no file is the application's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/http/app.h"
#include "guaco/slice.h"
#include "os/beneath.h"

struct guaco__server;

#define GUACO__STATIC_MOUNTS_MAX  16
#define GUACO__STATIC_ROUTE_BYTES 256
#define GUACO__STATIC_INDEX_BYTES 64

struct guaco__static_mount {
    char route[GUACO__STATIC_ROUTE_BYTES]; /* "/static"; "" for "/" */
    size_t route_len;
    struct guaco__beneath folder;
};

/* A part of the server's options; see guaco__statics_init(). */
struct guaco__statics {
    struct guaco__static_mount mounts[GUACO__STATIC_MOUNTS_MAX];
    unsigned count;
    int64_t max_age_s;        /* of Cache-Control; -1: none is sent */
    bool hashes_are_for_ever; /* names with a hash are immutable */
    bool has_dots;            /* names with a dot in front are served */
    bool has_siblings;        /* x.br, x.zst and x.gz stand for x */
    char index[GUACO__STATIC_INDEX_BYTES]; /* file of a folder; "": none */
};

/* No folder, and the defaults. */
void guaco__statics_init(struct guaco__statics *statics);

/*
 * Add "ROUTE=FOLDER", "/static=./public"; the folder is opened now.  Returns 0;
 * GUACO_E_INVALID: malformed, or the route is there already; GUACO_E_MISSING:
 * no such folder; GUACO_E_LIMIT; GUACO_E_IO.
 */
int guaco__statics_add(struct guaco__statics *statics, struct guaco_slice text,
                       struct guaco_error *err);

/* Set the name of the file that stands for a folder: one segment, or "".
 * Returns 0 or GUACO_E_INVALID. */
int guaco__statics_set_index(struct guaco__statics *statics,
                             struct guaco_slice name, struct guaco_error *err);

/* Close the folders. */
void guaco__statics_release(struct guaco__statics *statics);

/*
 * A layer before `inner` that serves server->options.statics (borrowed).
 * Gives the application to use in its place, to be freed by
 * guaco__statics_layer_free(); NULL when out of memory.
 */
struct guaco_app *
guaco__statics_layer_new(struct guaco__server *server, struct guaco_app *inner);
void guaco__statics_layer_free(struct guaco_app *app);

/*
 * Answer the request of `x` from `mount`; `rest` is its path behind the route.
 * Returns 0: answered; GUACO_E_MISSING: it is the application's; or what
 * starting an answer failed with.
 */
int guaco__static_answer(struct guaco__server *server,
                         struct guaco__static_mount *mount,
                         struct guaco_slice rest, struct guaco_exchange *x);

#endif
