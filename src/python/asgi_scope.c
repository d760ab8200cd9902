/*
 * The scope of a request (ASGI 3.0, "HTTP connection scope" and "WebSocket
 * connection scope").
 *
 * It is a copy of a template with what differs set, 14 keys for the price of a
 * few.  A client on a kept connection sends nearly the same bytes each time,
 * and many clients are the same program, so the headers of the connection's
 * last request, and of the last request at all, are compared byte by byte, and
 * what is equal is the same tuple again.  Tuples of bytes cannot be changed,
 * so that nobody can tell; all dicts and the list are fresh.
 */

#include "asgi.h"

#include "module.h"

/* Longer headers are not remembered: an idle connection must stay small. */
#define SEEN_BYTES_MAX 512

/* ---- templates ---------------------------------------------------------- */

/* All keys in the order of the specification, the usual values in them. */
static PyObject *
template_new(struct guaco__asgi *asgi, bool is_websocket)
{
    struct guaco__gateway_state *gw = &asgi->st->gateway;
    PyObject *dict = PyDict_New();
    struct {
        PyObject *key, *value;
    } const items[] = {
        {gw->t_type, is_websocket ? gw->t_websocket : gw->t_http},
        {gw->t_asgi, Py_None},
        {gw->t_http_version, gw->t_version_11},
        {gw->t_method, is_websocket ? NULL : gw->t_GET},
        {gw->t_scheme, is_websocket ? gw->t_ws : gw->t_http},
        {gw->t_path, Py_None},
        {gw->t_raw_path, Py_None},
        {gw->t_query_string, gw->empty_bytes},
        {gw->t_root_path, asgi->options.root_path},
        {gw->t_headers, Py_None},
        {gw->t_client, Py_None},
        {gw->t_server, Py_None},
        {gw->t_subprotocols, is_websocket ? Py_None : NULL},
        {gw->t_state, asgi->options.state != Py_None ? Py_None : NULL},
        {gw->t_extensions, Py_None},
    };

    if (dict == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (items[i].value == NULL)
            continue;
        if (PyDict_SetItem(dict, items[i].key, items[i].value) < 0) {
            Py_DECREF(dict);
            return NULL;
        }
    }
    return dict;
}

static PyObject *
request_event_new(const struct guaco__gateway_state *gw)
{
    PyObject *event = PyDict_New();
    if (event == NULL)
        return NULL;
    if (PyDict_SetItem(event, gw->t_type, gw->t_http_request) < 0 ||
        PyDict_SetItem(event, gw->t_body, gw->empty_bytes) < 0 ||
        PyDict_SetItem(event, gw->t_more_body, Py_False) < 0)
        Py_CLEAR(event);
    return event;
}

int
guaco__asgi_templates(struct guaco__asgi *asgi)
{
    asgi->about =
        Py_BuildValue("{ssss}", "version", "3.0", "spec_version", "2.5");
    asgi->http_scope = template_new(asgi, false);
    asgi->websocket_scope = template_new(asgi, true);
    asgi->request_event = request_event_new(&asgi->st->gateway);
    return asgi->about == NULL || asgi->http_scope == NULL ||
                   asgi->websocket_scope == NULL || asgi->request_event == NULL
               ? -1
               : 0;
}

/* ---- what was seen before ----------------------------------------------- */

void
guaco__asgi_seen_clear(struct guaco__asgi_seen *seen)
{
    Py_CLEAR(seen->raw_path);
    Py_CLEAR(seen->path);
    while (seen->count > 0) {
        seen->count--;
        Py_CLEAR(seen->pairs[seen->count]);
    }
}

void
guaco__asgi_peer_free(struct guaco__asgi_peer *peer)
{
    if (peer == NULL)
        return;
    Py_CLEAR(peer->client);
    Py_CLEAR(peer->server);
    Py_CLEAR(peer->tls);
    guaco__asgi_seen_clear(&peer->seen);
    PyMem_Free(peer);
}

/* The pair at `i`, borrowed, if it is this field. */
static PyObject *
seen_pair(const struct guaco__asgi_seen *seen, size_t i,
          const struct guaco_field *field)
{
    if (i >= seen->count)
        return NULL;
    PyObject *pair = seen->pairs[i];
    return guaco__bytes_equal(PyTuple_GET_ITEM(pair, 1), field->value) &&
                   guaco__bytes_equal(PyTuple_GET_ITEM(pair, 0), field->name)
               ? pair
               : NULL;
}

static void
seen_keep(struct guaco__asgi_seen *seen, size_t i, PyObject *pair)
{
    if (i < seen->count) {
        Py_SETREF(seen->pairs[i], Py_NewRef(pair));
    } else if (i == seen->count && i < GUACO__ASGI_PAIRS) {
        seen->pairs[seen->count++] = Py_NewRef(pair);
    }
}

static PyObject *
pair_new(const struct guaco__gateway_state *gw, const struct guaco_field *field,
         uint8_t id)
{
    PyObject *name = id != GUACO__FIELD_OTHER && id < GUACO__FIELD_COUNT
                         ? Py_NewRef(gw->field_names[id])
                         : guaco__bytes_of(gw, field->name);
    PyObject *value = guaco__bytes_of(gw, field->value);
    PyObject *pair = name != NULL && value != NULL ? PyTuple_New(2) : NULL;

    if (pair == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, name);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

/* A new reference to the pair of field i. */
static PyObject *
pair_of(struct guaco__asgi *asgi, struct guaco__asgi_seen *own,
        const struct guaco_request *request, size_t i)
{
    const struct guaco_field *field = &request->fields[i];
    PyObject *pair = seen_pair(own, i, field);
    if (pair != NULL)
        return Py_NewRef(pair);

    bool is_short = field->name.len + field->value.len <= SEEN_BYTES_MAX;
    pair = seen_pair(&asgi->seen, i, field);
    if (pair != NULL) {
        Py_INCREF(pair);
    } else {
        pair = pair_new(&asgi->st->gateway, field, request->field_ids[i]);
        if (pair != NULL && is_short)
            seen_keep(&asgi->seen, i, pair);
    }
    if (pair != NULL && is_short)
        seen_keep(own, i, pair);
    return pair;
}

static PyObject *
headers_of(struct guaco__asgi *asgi, struct guaco__asgi_seen *own,
           const struct guaco_request *request)
{
    PyObject *list = PyList_New((Py_ssize_t)request->field_count);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < request->field_count; i++) {
        PyObject *pair = pair_of(asgi, own, request, i);
        if (pair == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    return list;
}

/* ---- the connection's part ---------------------------------------------- */

/* (host, port); the path of a Unix socket has no port (ASGI: None). */
static PyObject *
address_of(const char *host, uint16_t port, bool is_unix)
{
    if (host == NULL)
        return Py_NewRef(Py_None);
    PyObject *text = PyUnicode_DecodeFSDefault(host);
    PyObject *number =
        is_unix ? Py_NewRef(Py_None) : PyLong_FromLong((long)port);
    PyObject *address =
        text != NULL && number != NULL ? PyTuple_Pack(2, text, number) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(number);
    return address;
}

static struct guaco__asgi_peer *
peer_of(const struct guaco_request *request)
{
    struct guaco_peer *of = (struct guaco_peer *)request->peer;
    struct guaco__asgi_peer *peer = of->app_cache;

    if (peer != NULL)
        return peer;
    peer = PyMem_Calloc(1, sizeof *peer);
    if (peer == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    peer->client = address_of(of->client_host, of->client_port, false);
    peer->server = address_of(of->server_host, of->server_port, of->is_unix);
    if (of->tls != NULL)
        peer->tls = guaco__asgi_tls_new(of->tls);
    if (peer->client == NULL || peer->server == NULL ||
        (of->tls != NULL && peer->tls == NULL)) {
        guaco__asgi_peer_free(peer);
        return NULL;
    }
    of->app_cache = peer;
    return peer;
}

/* ---- the path ----------------------------------------------------------- */

static PyObject *
path_new(PyObject *root, struct guaco_slice raw)
{
    PyObject *path = guaco__path_decode(raw, false);
    if (path == NULL || PyUnicode_GET_LENGTH(root) == 0)
        return path;
    /* The proxy took the prefix off; a path includes it (ASGI, root_path). */
    PyObject *full = PyUnicode_Concat(root, path);
    Py_DECREF(path);
    return full;
}

/* Both forms of the path into `seen`, from where the scope takes them. */
static int
path_see(const struct guaco__asgi *asgi, struct guaco__asgi_seen *seen,
         struct guaco_slice raw)
{
    if (seen->raw_path != NULL && guaco__bytes_equal(seen->raw_path, raw))
        return 0;
    PyObject *raw_path = guaco__bytes_of(&asgi->st->gateway, raw);
    PyObject *path = path_new(asgi->options.root_path, raw);
    if (raw_path == NULL || path == NULL) {
        Py_XDECREF(raw_path);
        Py_XDECREF(path);
        return -1;
    }
    Py_XSETREF(seen->raw_path, raw_path);
    Py_XSETREF(seen->path, path);
    return 0;
}

/* The proxy names the root path of this request, in place of the option. */
static int
put_prefix(PyObject *scope, const struct guaco__gateway_state *gw,
           const struct guaco_request *request)
{
    PyObject *root = guaco__path_decode(request->prefix, false);
    PyObject *path = root == NULL ? NULL : path_new(root, request->path);
    int rc = path == NULL ? -1
             : PyDict_SetItem(scope, gw->t_root_path, root) < 0
                 ? -1
                 : PyDict_SetItem(scope, gw->t_path, path);

    Py_XDECREF(root);
    Py_XDECREF(path);
    return rc;
}

/* dict[key] = value, taken; value NULL is a failure before. */
static int
put(PyObject *dict, PyObject *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int rc = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return rc;
}

/* ---- extensions --------------------------------------------------------- */

static int
offer(PyObject *extensions, PyObject *name)
{
    PyObject *about = PyDict_New();
    if (about == NULL)
        return -1;
    int rc = PyDict_SetItem(extensions, name, about);
    Py_DECREF(about);
    return rc;
}

/* Only what this very request can use. */
static PyObject *
extensions_of(const struct guaco__gateway_state *gw,
              const struct guaco__asgi_peer *peer,
              const struct guaco_request *request)
{
    PyObject *extensions = PyDict_New();
    int rc = 0;

    if (extensions == NULL)
        return NULL;
    if (peer->tls != NULL)
        rc |= put(extensions, gw->t_tls, PyDict_Copy(peer->tls));
    if (request->kind == GUACO_REQUEST_WEBSOCKET) {
        rc |= offer(extensions, gw->t_websocket_response);
    } else {
        rc |= offer(extensions, gw->t_pathsend);
        rc |= offer(extensions, gw->t_zerocopysend);
        if (request->version_major > 1 || request->version_minor > 0)
            rc |= offer(extensions, gw->t_early_hint);
        if (request->accepts_trailers)
            rc |= offer(extensions, gw->t_response_trailers);
    }
    if (rc < 0)
        Py_CLEAR(extensions);
    return extensions;
}

/* ---- the scope ---------------------------------------------------------- */

static PyObject *
version_of(const struct guaco__gateway_state *gw,
           const struct guaco_request *request)
{
    if (request->version_major == 2)
        return gw->t_version_2;
    return request->version_minor == 0 ? gw->t_version_10 : gw->t_version_11;
}

static PyObject *
subprotocols_of(struct guaco_slice list)
{
    PyObject *names = PyList_New(0);
    struct guaco_slice name;

    while (names != NULL && guaco__list_next(&list, &name)) {
        PyObject *text =
            PyUnicode_DecodeLatin1(name.at, (Py_ssize_t)name.len, NULL);
        if (text == NULL || PyList_Append(names, text) < 0)
            Py_CLEAR(names);
        Py_XDECREF(text);
    }
    return names;
}

/* What is seldom other than in the template. */
static int
put_unusual(struct guaco__asgi *asgi, PyObject *scope,
            const struct guaco_request *request)
{
    struct guaco__gateway_state *gw = &asgi->st->gateway;
    bool is_websocket = request->kind == GUACO_REQUEST_WEBSOCKET;

    if ((request->version_major != 1 || request->version_minor != 1) &&
        PyDict_SetItem(scope, gw->t_http_version, version_of(gw, request)) < 0)
        return -1;
    if (guaco__is_secure(request) &&
        PyDict_SetItem(scope, gw->t_scheme,
                       is_websocket ? gw->t_wss : gw->t_https) < 0)
        return -1;
    if (!is_websocket &&
        !guaco_slice_equals(request->method, GUACO_SLICE("GET")) &&
        put(scope, gw->t_method, guaco__method_of(gw, request->method)) < 0)
        return -1;
    if (request->query.len > 0 &&
        put(scope, gw->t_query_string, guaco__bytes_of(gw, request->query)) < 0)
        return -1;
    if (request->prefix.len > 0 && put_prefix(scope, gw, request) < 0)
        return -1;
    if (asgi->options.state != Py_None &&
        put(scope, gw->t_state, PyDict_Copy(asgi->options.state)) < 0)
        return -1;
    return is_websocket ? put(scope, gw->t_subprotocols,
                              subprotocols_of(request->subprotocols))
                        : 0;
}

static int
fill(struct guaco__asgi *asgi, PyObject *scope,
     const struct guaco_request *request)
{
    struct guaco__gateway_state *gw = &asgi->st->gateway;
    struct guaco__asgi_peer *peer = peer_of(request);

    if (peer == NULL || path_see(asgi, &peer->seen, request->path) < 0)
        return -1;
    if (PyDict_SetItem(scope, gw->t_client, peer->client) < 0 ||
        PyDict_SetItem(scope, gw->t_server, peer->server) < 0 ||
        PyDict_SetItem(scope, gw->t_path, peer->seen.path) < 0 ||
        PyDict_SetItem(scope, gw->t_raw_path, peer->seen.raw_path) < 0 ||
        put(scope, gw->t_asgi, PyDict_Copy(asgi->about)) < 0 ||
        put(scope, gw->t_extensions, extensions_of(gw, peer, request)) < 0 ||
        put(scope, gw->t_headers, headers_of(asgi, &peer->seen, request)) < 0)
        return -1;
    return put_unusual(asgi, scope, request);
}

PyObject *
guaco__asgi_scope(struct guaco__asgi *asgi, const struct guaco_request *request)
{
    PyObject *scope = PyDict_Copy(request->kind == GUACO_REQUEST_WEBSOCKET
                                      ? asgi->websocket_scope
                                      : asgi->http_scope);
    if (scope != NULL && fill(asgi, scope, request) < 0)
        Py_CLEAR(scope);
    return scope;
}
