#ifndef GUACO_ROUTE_H
#define GUACO_ROUTE_H

/*
 * A table of routes for applications in C: method and path to a function.
 * Header only, so that a shared object with an application in it needs no
 * symbol of the executable.
 *
 *     static const struct guaco_route routes[] = {
 *         {"GET", "/", hello},
 *         {"POST", "/echo", echo},
 *         {"GET", "/static/" "*", file},       everything below /static/
 *         {NULL, NULL, NULL},
 *     };
 *
 * The path of a request is compared as it was sent, still percent-encoded.
 * Threads: no state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "guaco/http/app.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begin to answer `x`.  Returns as ops->begin of the waist. */
typedef int guaco_route_fn(struct guaco_app *app, struct guaco_exchange *x);

struct guaco_route {
    const char *method; /* NULL ends the table; "GET" serves HEAD too */
    const char *path;   /* whole, or a prefix when it ends in an asterisk */
    guaco_route_fn *fn;
};

static inline bool
guaco_route_has_path(const struct guaco_route *route, struct guaco_slice path)
{
    size_t len = strlen(route->path);

    if (len > 0 && route->path[len - 1] == '*')
        return path.len >= len - 1 &&
               memcmp(path.at, route->path, len - 1) == 0;
    return path.len == len && memcmp(path.at, route->path, len) == 0;
}

static inline bool
guaco_route_has_method(const struct guaco_route *route,
                       struct guaco_slice method)
{
    size_t len = strlen(route->method);

    if (method.len == 4 && memcmp(method.at, "HEAD", 4) == 0)
        return strcmp(route->method, "GET") == 0;
    return method.len == len && memcmp(method.at, route->method, len) == 0;
}

/*
 * The first route for this request, or NULL with *status 404, or 405 when the
 * path is in the table with other methods.
 */
static inline const struct guaco_route *
guaco_route_find(const struct guaco_route *routes,
                 const struct guaco_request *request, int *status)
{
    *status = 404;
    for (; routes->method != NULL; routes++) {
        if (!guaco_route_has_path(routes, request->path))
            continue;
        if (guaco_route_has_method(routes, request->method))
            return routes;
        *status = 405;
    }
    return NULL;
}

/* Answer with one piece of text, copied.  Returns as guaco_exchange_start()
 * and guaco_exchange_body(), but for GUACO_E_AGAIN, which is 0. */
static inline int
guaco_route_text(struct guaco_exchange *x, int status, struct guaco_slice text)
{
    struct guaco_field type = {GUACO_SLICE("content-type"),
                               GUACO_SLICE("text/plain; charset=utf-8")};
    struct guaco_bytes body = {text.at, text.len, NULL, NULL};
    int rc = guaco_exchange_start(x, status, &type, 1, false);

    if (rc == GUACO_OK)
        rc = guaco_exchange_body(x, body, false);
    return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
}

/* Dispatch: what an application's begin may consist of. */
static inline int
guaco_route_begin(const struct guaco_route *routes, struct guaco_app *app,
                  struct guaco_exchange *x)
{
    int status;
    const struct guaco_route *route =
        guaco_route_find(routes, x->request, &status);

    if (route != NULL)
        return route->fn(app, x);
    return guaco_route_text(x, status,
                            status == 404
                                ? GUACO_SLICE("Not Found\n")
                                : GUACO_SLICE("Method Not Allowed\n"));
}

#ifdef __cplusplus
}
#endif

#endif
