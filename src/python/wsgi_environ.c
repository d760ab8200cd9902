/*
 * The environ of a request (PEP 3333, "environ Variables"): a copy of a
 * template with the request's part set.  As for ASGI, a field that is byte by
 * byte the one of before gets the same str objects again.
 */

#include "wsgi.h"

#include "module.h"

/* Longer values are not remembered: an idle connection must stay small. */
#define SEEN_BYTES_MAX 512

/* ---- the template ------------------------------------------------------- */

int
guaco__wsgi_template(struct guaco__wsgi *wsgi)
{
    struct guaco__gateway_state *gw = &wsgi->st->gateway;
    PyObject *version = Py_BuildValue("(ii)", 1, 0);
    PyObject *software = PyUnicode_FromString("guaco/" GUACO_VERSION);
    PyObject *cgi = PyUnicode_FromString("CGI/1.1");
    PyObject *dict = PyDict_New();
    bool threads = wsgi->options.pool != Py_None;
    struct {
        PyObject *key, *value;
    } const items[] = {
        {gw->t_wsgi_version, version},
        {gw->t_wsgi_url_scheme, gw->t_http},
        {gw->t_wsgi_input, wsgi->empty_input},
        {gw->t_wsgi_errors, wsgi->options.errors},
        {gw->t_wsgi_multithread, threads ? Py_True : Py_False},
        {gw->t_wsgi_multiprocess,
         wsgi->options.multiprocess ? Py_True : Py_False},
        {gw->t_wsgi_run_once, Py_False},
        {gw->t_wsgi_file_wrapper, (PyObject *)gw->FileWrapperType},
        {gw->t_wsgi_input_terminated, Py_True},
        {gw->t_GATEWAY_INTERFACE, cgi},
        {gw->t_SERVER_SOFTWARE, software},
        {gw->t_REQUEST_METHOD, gw->t_GET},
        {gw->t_SCRIPT_NAME, wsgi->options.root_path},
        {gw->t_PATH_INFO, gw->empty_text},
        {gw->t_QUERY_STRING, gw->empty_text},
        {gw->t_SERVER_PROTOCOL, gw->t_HTTP_11},
    };
    bool failed =
        version == NULL || software == NULL || cgi == NULL || dict == NULL;

    for (size_t i = 0; !failed && i < sizeof items / sizeof *items; i++)
        failed = PyDict_SetItem(dict, items[i].key, items[i].value) < 0;
    Py_XDECREF(version);
    Py_XDECREF(software);
    Py_XDECREF(cgi);
    if (failed)
        Py_CLEAR(dict);
    wsgi->environ = dict;
    return dict == NULL ? -1 : 0;
}

/* ---- what was seen before ----------------------------------------------- */

static void
pair_clear(struct guaco__wsgi_pair *pair)
{
    Py_CLEAR(pair->name);
    Py_CLEAR(pair->key);
    Py_CLEAR(pair->value);
}

void
guaco__wsgi_seen_clear(struct guaco__wsgi_seen *seen)
{
    while (seen->count > 0)
        pair_clear(&seen->pairs[--seen->count]);
}

void
guaco__wsgi_peer_free(struct guaco__wsgi_peer *peer)
{
    if (peer == NULL)
        return;
    Py_CLEAR(peer->remote_addr);
    Py_CLEAR(peer->remote_port);
    Py_CLEAR(peer->server_name);
    Py_CLEAR(peer->server_port);
    Py_CLEAR(peer->target);
    Py_CLEAR(peer->path);
    guaco__wsgi_seen_clear(&peer->seen);
    PyMem_Free(peer);
}

static PyObject *
latin1(struct guaco_slice text)
{
    return PyUnicode_DecodeLatin1(text.at, (Py_ssize_t)text.len, NULL);
}

/* A str that was made by latin1() against bytes. */
static bool
text_equals(PyObject *text, struct guaco_slice want)
{
    return (size_t)PyUnicode_GET_LENGTH(text) == want.len &&
           memcmp(PyUnicode_1BYTE_DATA(text), want.at, want.len) == 0;
}

static bool
pair_is(const struct guaco__wsgi_seen *seen, size_t i,
        const struct guaco_field *field)
{
    return i < seen->count && text_equals(seen->pairs[i].value, field->value) &&
           guaco__bytes_equal(seen->pairs[i].name, field->name);
}

/* Names with `_` are left out: they would pass for those with `-`, which a
 * proxy in front may have checked. */
static int
pair_init(const struct guaco__gateway_state *gw, struct guaco__wsgi_pair *pair,
          const struct guaco_field *field, uint8_t id)
{
    bool is_known = id != GUACO__FIELD_OTHER && id < GUACO__FIELD_COUNT;
    bool is_hidden =
        !is_known && memchr(field->name.at, '_', field->name.len) != NULL;

    pair->name = is_known ? Py_NewRef(gw->field_names[id])
                          : guaco__bytes_of(gw, field->name);
    pair->key = is_hidden  ? NULL
                : is_known ? Py_NewRef(gw->field_keys[id])
                           : guaco__environ_key(field->name);
    pair->value = latin1(field->value);
    if (pair->name != NULL && pair->value != NULL &&
        (is_hidden || pair->key != NULL))
        return 0;
    pair_clear(pair);
    return -1;
}

static struct guaco__wsgi_pair
pair_share(const struct guaco__wsgi_pair *pair)
{
    return (struct guaco__wsgi_pair){
        Py_NewRef(pair->name), Py_XNewRef(pair->key), Py_NewRef(pair->value)};
}

static void
seen_keep(struct guaco__wsgi_seen *seen, size_t i,
          const struct guaco__wsgi_pair *pair)
{
    if (i < seen->count) {
        struct guaco__wsgi_pair old = seen->pairs[i];
        seen->pairs[i] = pair_share(pair);
        pair_clear(&old);
    } else if (i == seen->count && i < GUACO__WSGI_PAIRS) {
        seen->pairs[seen->count++] = pair_share(pair);
    }
}

/* Field i of the request in *pair, with references of its own. */
static int
pair_of(struct guaco__wsgi *wsgi, struct guaco__wsgi_seen *own,
        const struct guaco_request *request, size_t i,
        struct guaco__wsgi_pair *pair)
{
    const struct guaco_field *field = &request->fields[i];
    bool is_short = field->name.len + field->value.len <= SEEN_BYTES_MAX;

    if (pair_is(own, i, field)) {
        *pair = pair_share(&own->pairs[i]);
        return 0;
    }
    if (pair_is(&wsgi->seen, i, field)) {
        *pair = pair_share(&wsgi->seen.pairs[i]);
    } else {
        if (pair_init(&wsgi->st->gateway, pair, field, request->field_ids[i]) <
            0)
            return -1;
        if (is_short)
            seen_keep(&wsgi->seen, i, pair);
    }
    if (is_short)
        seen_keep(own, i, pair);
    return 0;
}

/* ---- the fields --------------------------------------------------------- */

/* The key is there already: RFC 9110 5.3, and RFC 6265 5.4 for cookies. */
static int
join(const struct guaco__gateway_state *gw, PyObject *env,
     const struct guaco__wsgi_pair *pair, PyObject *before)
{
    PyObject *joined = PyUnicode_FromFormat(
        pair->key == gw->t_HTTP_COOKIE ||
                PyUnicode_Compare(pair->key, gw->t_HTTP_COOKIE) == 0
            ? "%U; %U"
            : "%U,%U",
        before, pair->value);
    if (joined == NULL)
        return -1;
    int rc = PyDict_SetItem(env, pair->key, joined);
    Py_DECREF(joined);
    return rc;
}

static int
put_field(const struct guaco__gateway_state *gw, PyObject *env,
          const struct guaco__wsgi_pair *pair)
{
    if (pair->key == NULL)
        return 0;
    Py_ssize_t size = PyDict_GET_SIZE(env);
    PyObject *value = PyDict_SetDefault(env, pair->key, pair->value);
    if (value == NULL)
        return -1;
    return PyDict_GET_SIZE(env) > size ? 0 : join(gw, env, pair, value);
}

static int
put_fields(struct guaco__wsgi *wsgi, struct guaco__wsgi_seen *own,
           PyObject *env, const struct guaco_request *request)
{
    for (size_t i = 0; i < request->field_count; i++) {
        struct guaco__wsgi_pair pair = {0};
        if (pair_of(wsgi, own, request, i, &pair) < 0)
            return -1;
        int rc = put_field(&wsgi->st->gateway, env, &pair);
        pair_clear(&pair);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* ---- the connection's part ---------------------------------------------- */

static int
peer_init(struct guaco__wsgi_peer *peer, const struct guaco_peer *of)
{
    if (of->client_host != NULL) {
        peer->remote_addr = PyUnicode_FromString(of->client_host);
        peer->remote_port = PyUnicode_FromFormat("%d", of->client_port);
        if (peer->remote_addr == NULL || peer->remote_port == NULL)
            return -1;
    }
    /* Both must be there and not empty, so that a URL can be built. */
    bool has_name = !of->is_unix && of->server_host != NULL;
    peer->server_name =
        PyUnicode_FromString(has_name ? of->server_host : "localhost");
    peer->server_port =
        PyUnicode_FromFormat("%d", has_name ? of->server_port : 80);
    return peer->server_name == NULL || peer->server_port == NULL ? -1 : 0;
}

static struct guaco__wsgi_peer *
peer_of(const struct guaco_request *request)
{
    struct guaco_peer *of = (struct guaco_peer *)request->peer;
    struct guaco__wsgi_peer *peer = of->app_cache;

    if (peer != NULL)
        return peer;
    peer = PyMem_Calloc(1, sizeof *peer);
    if (peer == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (peer_init(peer, of) < 0) {
        guaco__wsgi_peer_free(peer);
        return NULL;
    }
    of->app_cache = peer;
    return peer;
}

/* `path` without the root path, when it has it and more or nothing after. */
static PyObject *
path_info(PyObject *root, struct guaco_slice raw)
{
    PyObject *path = guaco__path_decode(raw, true);
    Py_ssize_t prefix = PyUnicode_GET_LENGTH(root);

    if (path == NULL || prefix == 0 || PyUnicode_GET_LENGTH(path) < prefix ||
        PyUnicode_Tailmatch(path, root, 0, PY_SSIZE_T_MAX, -1) != 1 ||
        (PyUnicode_GET_LENGTH(path) > prefix &&
         PyUnicode_READ_CHAR(path, prefix) != '/'))
        return path;
    PyObject *rest = PyUnicode_Substring(path, prefix, PY_SSIZE_T_MAX);
    Py_DECREF(path);
    return rest;
}

static int
target_see(const struct guaco__wsgi *wsgi, struct guaco__wsgi_peer *peer,
           const struct guaco_request *request)
{
    if (peer->target != NULL && text_equals(peer->target, request->target))
        return 0;
    PyObject *target = latin1(request->target);
    PyObject *path = path_info(wsgi->options.root_path, request->path);
    if (target == NULL || path == NULL) {
        Py_XDECREF(target);
        Py_XDECREF(path);
        return -1;
    }
    Py_XSETREF(peer->target, target);
    Py_XSETREF(peer->path, path);
    return 0;
}

/* ---- the environ -------------------------------------------------------- */

static int
put(PyObject *dict, PyObject *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int rc = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static int
put_input(struct guaco__wsgi *wsgi, PyObject *env, struct guaco_exchange *x)
{
    struct guaco_slice data = {0};
    int fd = -1;

    if (x->request->body_bytes == 0 ||
        guaco_exchange_spooled(x, &data, &fd) < 0 || (fd < 0 && data.len == 0))
        return 0;
    PyObject *bytes = NULL;
    if (fd < 0) {
        bytes = guaco__bytes_of(&wsgi->st->gateway, data);
        if (bytes == NULL)
            return -1;
    }
    int rc = put(env, wsgi->st->gateway.t_wsgi_input,
                 guaco__input_new(wsgi->st, bytes, fd));
    Py_XDECREF(bytes);
    return rc;
}

/* The proxy says where the application is mounted, in place of the option. */
static int
put_prefix(const struct guaco__gateway_state *gw, PyObject *env,
           const struct guaco_request *request)
{
    PyObject *root = guaco__path_decode(request->prefix, true);
    if (root == NULL)
        return -1;
    int rc = PyDict_SetItem(env, gw->t_SCRIPT_NAME, root);
    if (rc == 0)
        rc = put(env, gw->t_PATH_INFO, path_info(root, request->path));
    Py_DECREF(root);
    return rc;
}

/* By the names that CGI programs know from mod_ssl. */
static int
put_tls(struct guaco__gateway_state *gw, PyObject *env,
        const struct guaco_tls *tls)
{
    if (PyDict_SetItem(env, gw->t_wsgi_url_scheme, gw->t_https) < 0 ||
        PyDict_SetItem(env, gw->t_HTTPS, gw->t_on) < 0)
        return -1;
    if (tls == NULL || tls->client_name.len == 0)
        return 0;
    if (put(env, gw->t_SSL_CLIENT_CERT, latin1(tls->client_certs)) < 0)
        return -1;
    return put(env, gw->t_SSL_CLIENT_S_DN, latin1(tls->client_name));
}

static int
put_unusual(struct guaco__gateway_state *gw, PyObject *env,
            const struct guaco_request *request)
{
    if ((request->version_major != 1 || request->version_minor != 1) &&
        PyDict_SetItem(env, gw->t_SERVER_PROTOCOL,
                       request->version_major == 2 ? gw->t_HTTP_2
                                                   : gw->t_HTTP_10) < 0)
        return -1;
    if (guaco__is_secure(request) && put_tls(gw, env, request->peer->tls) < 0)
        return -1;
    if (request->prefix.len > 0 && put_prefix(gw, env, request) < 0)
        return -1;
    if (request->query.len > 0 &&
        put(env, gw->t_QUERY_STRING, latin1(request->query)) < 0)
        return -1;
    if (guaco_slice_equals(request->method, GUACO_SLICE("GET")))
        return 0;
    return put(env, gw->t_REQUEST_METHOD,
               guaco__method_of(gw, request->method));
}

static int
fill(struct guaco__wsgi *wsgi, PyObject *env, struct guaco_exchange *x)
{
    struct guaco__gateway_state *gw = &wsgi->st->gateway;
    const struct guaco_request *request = x->request;
    struct guaco__wsgi_peer *peer = peer_of(request);

    if (peer == NULL || target_see(wsgi, peer, request) < 0)
        return -1;
    if (PyDict_SetItem(env, gw->t_PATH_INFO, peer->path) < 0 ||
        PyDict_SetItem(env, gw->t_REQUEST_URI, peer->target) < 0 ||
        PyDict_SetItem(env, gw->t_RAW_URI, peer->target) < 0 ||
        PyDict_SetItem(env, gw->t_SERVER_NAME, peer->server_name) < 0 ||
        PyDict_SetItem(env, gw->t_SERVER_PORT, peer->server_port) < 0)
        return -1;
    if (peer->remote_addr != NULL &&
        (PyDict_SetItem(env, gw->t_REMOTE_ADDR, peer->remote_addr) < 0 ||
         PyDict_SetItem(env, gw->t_REMOTE_PORT, peer->remote_port) < 0))
        return -1;
    if (put_unusual(gw, env, request) < 0 ||
        put_fields(wsgi, &peer->seen, env, request) < 0)
        return -1;
    return put_input(wsgi, env, x);
}

PyObject *
guaco__wsgi_environ(struct guaco__wsgi *wsgi, struct guaco_exchange *x)
{
    PyObject *env = PyDict_Copy(wsgi->environ);

    if (env != NULL && fill(wsgi, env, x) < 0)
        Py_CLEAR(env);
    return env;
}
