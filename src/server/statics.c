/* Folders and their routes: the contract is in statics.h. */

#include "server/statics.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "http/file_path.h"
#include "server/layer.h"
#include "server/server_int.h"

/* ---- options ---- */

void
guaco__statics_init(struct guaco__statics *statics)
{
    *statics = (struct guaco__statics){
        .max_age_s = -1,
        .has_siblings = true,
        .index = "index.html",
    };
}

/* "/static/" as "/static", "/" as "". */
static int
read_route(struct guaco_slice route, struct guaco__static_mount *mount,
           struct guaco_error *err)
{
    char decoded[GUACO__FILE_PATH_BYTES];
    bool is_folder;

    if (route.len > 0 && route.at[route.len - 1] == '/')
        route.len--;
    if (route.len >= sizeof(mount->route))
        return guaco_fail(err, GUACO_E_INVALID, 0, "the route is too long");
    if (route.len > 0 && (route.at[0] != '/' ||
                          guaco__file_path(route, true, decoded, &is_folder)))
        return guaco_fail(err, GUACO_E_INVALID, 0, "'%.*s' is no route",
                          (int)route.len, route.at);
    memcpy(mount->route, route.at, route.len);
    mount->route_len = route.len;
    return GUACO_OK;
}

static bool
has_route(const struct guaco__statics *statics,
          const struct guaco__static_mount *mount)
{
    for (unsigned i = 0; i < statics->count; i++)
        if (strcmp(statics->mounts[i].route, mount->route) == 0)
            return true;
    return false;
}

int
guaco__statics_add(struct guaco__statics *statics, struct guaco_slice text,
                   struct guaco_error *err)
{
    struct guaco__static_mount mount = {.route_len = 0};
    char folder[PATH_MAX];
    const char *mark = memchr(text.at, '=', text.len);
    size_t len = mark == NULL ? 0 : (size_t)(mark - text.at);
    size_t left = text.len - len;
    int rc;

    /* a first '=' at 0 would be a route without its slash */
    if (len == 0 || left < 2 || left > sizeof(folder))
        return guaco_fail(err, GUACO_E_INVALID, 0, "'%.*s' is not ROUTE=FOLDER",
                          (int)(text.len < 64 ? text.len : 64), text.at);
    if (statics->count == GUACO__STATIC_MOUNTS_MAX)
        return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d folders",
                          GUACO__STATIC_MOUNTS_MAX);
    rc = read_route((struct guaco_slice){text.at, len}, &mount, err);
    if (rc < 0)
        return rc;
    if (has_route(statics, &mount))
        return guaco_fail(err, GUACO_E_INVALID, 0, "%s/ has a folder already",
                          mount.route);
    memcpy(folder, mark + 1, left - 1);
    folder[left - 1] = '\0';
    rc = guaco__beneath_open(&mount.folder, folder, err);
    if (rc < 0)
        return rc;
    statics->mounts[statics->count++] = mount;
    return GUACO_OK;
}

int
guaco__statics_set_index(struct guaco__statics *statics,
                         struct guaco_slice name, struct guaco_error *err)
{
    if (name.len >= sizeof(statics->index) ||
        (name.len > 0 &&
         (memchr(name.at, '/', name.len) != NULL ||
          memchr(name.at, '\0', name.len) != NULL || name.at[0] == '.')))
        return guaco_fail(err, GUACO_E_INVALID, 0, "'%.*s' is no file's name",
                          (int)(name.len < 64 ? name.len : 64), name.at);
    memcpy(statics->index, name.at, name.len);
    statics->index[name.len] = '\0';
    return GUACO_OK;
}

void
guaco__statics_release(struct guaco__statics *statics)
{
    while (statics->count > 0)
        guaco__beneath_close(&statics->mounts[--statics->count].folder);
}

/* ---- the layer ---- */

struct layer {
    struct guaco__layer base; /* first */
    struct guaco__server *server;
};

/* The layer's space in an exchange. */
struct own {
    bool is_ours; /* the application knows nothing of it */
};

static bool
is_ours(struct guaco_app *app, const struct guaco_exchange *x)
{
    return ((struct own *)guaco__layer_space(guaco__layer_of(app), x))->is_ours;
}

/* The folder with the longest route that has the path. */
static struct guaco__static_mount *
find_mount(struct guaco__statics *statics, struct guaco_slice path,
           struct guaco_slice *rest)
{
    struct guaco__static_mount *found = NULL;

    for (unsigned i = 0; i < statics->count; i++) {
        struct guaco__static_mount *mount = &statics->mounts[i];
        struct guaco_slice route = {mount->route, mount->route_len};
        struct guaco_slice behind = guaco__route_rest(path, route);

        if (behind.at == NULL ||
            (found != NULL && found->route_len > mount->route_len))
            continue;
        found = mount;
        *rest = behind;
    }
    return found;
}

static int
on_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct layer *layer = (struct layer *)(void *)app;
    struct guaco_app *inner = layer->base.inner;
    struct guaco_slice rest;
    struct guaco__static_mount *mount =
        find_mount(&layer->server->options.statics, x->request->path, &rest);
    int rc = GUACO_E_MISSING;

    if (mount != NULL && x->request->kind == GUACO_REQUEST_HTTP)
        rc = guaco__static_answer(layer->server, mount, rest, x);
    if (rc == GUACO_E_MISSING)
        return inner->ops->begin(inner, x);
    ((struct own *)guaco__layer_space(&layer->base, x))->is_ours = true;
    return rc;
}

static void
on_body(struct guaco_app *app, struct guaco_exchange *x,
        struct guaco_slice data)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    if (is_ours(app, x))
        guaco_exchange_consumed(x, data.len);
    else
        inner->ops->body(inner, x, data);
}

static void
on_end(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    if (!is_ours(app, x))
        inner->ops->end(inner, x);
}

static void
on_writable(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    if (!is_ours(app, x))
        inner->ops->writable(inner, x);
}

static void
on_half_closed(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    if (!is_ours(app, x))
        inner->ops->half_closed(inner, x);
}

static void
on_gone(struct guaco_app *app, struct guaco_exchange *x,
        enum guaco_gone_reason reason)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;

    if (!is_ours(app, x))
        inner->ops->gone(inner, x, reason);
}

struct guaco_app *
guaco__statics_layer_new(struct guaco__server *server, struct guaco_app *inner)
{
    struct layer *layer = calloc(1, sizeof(*layer));

    if (layer == NULL)
        return NULL;
    guaco__layer_init(&layer->base, inner, sizeof(struct own));
    layer->server = server;
    layer->base.ops.begin = on_begin;
    layer->base.ops.body = on_body;
    layer->base.ops.end = on_end;
    layer->base.ops.writable = on_writable;
    layer->base.ops.gone = on_gone;
    if (layer->base.ops.half_closed != NULL)
        layer->base.ops.half_closed = on_half_closed;
    return &layer->base.app;
}

void
guaco__statics_layer_free(struct guaco_app *app)
{
    free(app);
}
