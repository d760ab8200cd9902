/* Layers: every op passed on.  The contract is in layer.h. */

#include "server/layer.h"

#include <stdalign.h>

static int
start(struct guaco_app *app, struct guaco_error *err)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    return inner->ops->start(inner, err);
}

static int
begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    return inner->ops->begin(inner, x);
}

static void
body(struct guaco_app *app, struct guaco_exchange *x, struct guaco_slice data)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->body(inner, x, data);
}

static void
end(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->end(inner, x);
}

static void
message(struct guaco_app *app, struct guaco_exchange *x,
        enum guaco_message_type type, struct guaco_slice data, uint16_t code)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->message(inner, x, type, data, code);
}

static void
writable(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->writable(inner, x);
}

static void
half_closed(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->half_closed(inner, x);
}

static void
gone(struct guaco_app *app, struct guaco_exchange *x,
     enum guaco_gone_reason reason)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->gone(inner, x, reason);
}

static void
peer_gone(struct guaco_app *app, struct guaco_peer *peer)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->peer_gone(inner, peer);
}

static void
drain(struct guaco_app *app)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    inner->ops->drain(inner);
}

void
guaco__layer_init(struct guaco__layer *layer, struct guaco_app *inner,
                  size_t space_bytes)
{
    const struct guaco_app_ops *ops = inner->ops;
    size_t step = alignof(max_align_t);

    layer->inner = inner;
    layer->app.ops = &layer->ops;
    layer->space_at = (ops->exchange_bytes + step - 1) / step * step;
    layer->ops = (struct guaco_app_ops){
        .abi = ops->abi,
        .name = ops->name,
        .exchange_bytes = layer->space_at + space_bytes,
        .wants_whole_body = ops->wants_whole_body,
        .start = ops->start == NULL ? NULL : start,
        .begin = begin,
        .body = body,
        .end = end,
        .message = message,
        .writable = writable,
        .half_closed = ops->half_closed == NULL ? NULL : half_closed,
        .gone = gone,
        .peer_gone = ops->peer_gone == NULL ? NULL : peer_gone,
        .drain = ops->drain == NULL ? NULL : drain,
    };
}
