#ifndef GUACO__SERVER_LAYER_H
#define GUACO__SERVER_LAYER_H

/*
 * A layer is an application that stands before another: it takes what it
 * answers itself and passes the rest on, so that what it does works for every
 * protocol in front and every kind of application behind.
 *
 * The application behind keeps its own space at the exchange's app_space; the
 * layer's follows it.
 */

#include <stddef.h>

#include "guaco/http/app.h"

struct guaco__layer {
    struct guaco_app app;     /* first: what the server sees */
    struct guaco_app_ops ops; /* all pass on; the layer puts its own in place */
    struct guaco_app *inner;
    size_t space_at; /* of the layer's space in the exchange's */
};

/* A layer before `inner` (borrowed) with `space_bytes` of zeroed space in each
 * exchange. */
void guaco__layer_init(struct guaco__layer *layer, struct guaco_app *inner,
                       size_t space_bytes);

static inline struct guaco__layer *
guaco__layer_of(struct guaco_app *app)
{
    return (struct guaco__layer *)(void *)app;
}

static inline void *
guaco__layer_space(const struct guaco__layer *layer,
                   const struct guaco_exchange *x)
{
    return (char *)x->app_space + layer->space_at;
}

#endif
