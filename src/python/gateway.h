#ifndef GUACO_PY_GATEWAY_H
#define GUACO_PY_GATEWAY_H

/*
 * What the ASGI and the WSGI face keep for one import of the module: their
 * types, and the texts, header names and environ keys that every request
 * needs, built once.
 */

#include "compat.h"

#include <stdbool.h>

#include "guaco/http/app.h"
#include "guaco/slice.h"
#include "http/fields.h"

/* Keys and values of the two interfaces: member, text. */
#define GUACO__GATEWAY_TEXTS(X)                            \
    X(type, "type")                                        \
    X(status, "status")                                    \
    X(headers, "headers")                                  \
    X(trailers, "trailers")                                \
    X(body, "body")                                        \
    X(more_body, "more_body")                              \
    X(more_trailers, "more_trailers")                      \
    X(path, "path")                                        \
    X(file, "file")                                        \
    X(offset, "offset")                                    \
    X(count, "count")                                      \
    X(links, "links")                                      \
    X(bytes, "bytes")                                      \
    X(text, "text")                                        \
    X(code, "code")                                        \
    X(reason, "reason")                                    \
    X(subprotocol, "subprotocol")                          \
    X(subprotocols, "subprotocols")                        \
    X(asgi, "asgi")                                        \
    X(extensions, "extensions")                            \
    X(http_version, "http_version")                        \
    X(method, "method")                                    \
    X(scheme, "scheme")                                    \
    X(raw_path, "raw_path")                                \
    X(query_string, "query_string")                        \
    X(root_path, "root_path")                              \
    X(client, "client")                                    \
    X(server, "server")                                    \
    X(state, "state")                                      \
    X(pathsend, "http.response.pathsend")                  \
    X(zerocopysend, "http.response.zerocopysend")          \
    X(early_hint, "http.response.early_hint")              \
    X(response_trailers, "http.response.trailers")         \
    X(websocket_response, "websocket.http.response")       \
    X(tls, "tls")                                          \
    X(on, "on")                                            \
    X(SSL_CLIENT_CERT, "SSL_CLIENT_CERT")                  \
    X(SSL_CLIENT_S_DN, "SSL_CLIENT_S_DN")                  \
    X(http, "http")                                        \
    X(https, "https")                                      \
    X(ws, "ws")                                            \
    X(wss, "wss")                                          \
    X(websocket, "websocket")                              \
    X(http_request, "http.request")                        \
    X(http_disconnect, "http.disconnect")                  \
    X(websocket_connect, "websocket.connect")              \
    X(websocket_receive, "websocket.receive")              \
    X(websocket_disconnect, "websocket.disconnect")        \
    X(version_10, "1.0")                                   \
    X(version_11, "1.1")                                   \
    X(version_2, "2")                                      \
    X(GET, "GET")                                          \
    X(HEAD, "HEAD")                                        \
    X(POST, "POST")                                        \
    X(PUT, "PUT")                                          \
    X(PATCH, "PATCH")                                      \
    X(DELETE, "DELETE")                                    \
    X(OPTIONS, "OPTIONS")                                  \
    X(HTTP_10, "HTTP/1.0")                                 \
    X(HTTP_11, "HTTP/1.1")                                 \
    X(HTTP_2, "HTTP/2")                                    \
    X(REQUEST_METHOD, "REQUEST_METHOD")                    \
    X(REQUEST_URI, "REQUEST_URI")                          \
    X(RAW_URI, "RAW_URI")                                  \
    X(PATH_INFO, "PATH_INFO")                              \
    X(SCRIPT_NAME, "SCRIPT_NAME")                          \
    X(QUERY_STRING, "QUERY_STRING")                        \
    X(SERVER_NAME, "SERVER_NAME")                          \
    X(SERVER_PORT, "SERVER_PORT")                          \
    X(SERVER_PROTOCOL, "SERVER_PROTOCOL")                  \
    X(SERVER_SOFTWARE, "SERVER_SOFTWARE")                  \
    X(GATEWAY_INTERFACE, "GATEWAY_INTERFACE")              \
    X(REMOTE_ADDR, "REMOTE_ADDR")                          \
    X(REMOTE_PORT, "REMOTE_PORT")                          \
    X(HTTPS, "HTTPS")                                      \
    X(CONTENT_TYPE, "CONTENT_TYPE")                        \
    X(CONTENT_LENGTH, "CONTENT_LENGTH")                    \
    X(HTTP_COOKIE, "HTTP_COOKIE")                          \
    X(wsgi_version, "wsgi.version")                        \
    X(wsgi_url_scheme, "wsgi.url_scheme")                  \
    X(wsgi_input, "wsgi.input")                            \
    X(wsgi_errors, "wsgi.errors")                          \
    X(wsgi_multithread, "wsgi.multithread")                \
    X(wsgi_multiprocess, "wsgi.multiprocess")              \
    X(wsgi_run_once, "wsgi.run_once")                      \
    X(wsgi_file_wrapper, "wsgi.file_wrapper")              \
    X(wsgi_input_terminated, "wsgi.input_terminated")      \
    X(asyncio_future_blocking, "_asyncio_future_blocking") \
    X(set_result, "set_result")                            \
    X(done, "done")                                        \
    X(result, "result")                                    \
    X(cancel, "cancel")                                    \
    X(add_done_callback, "add_done_callback")              \
    X(tell, "tell")                                        \
    X(seek, "seek")                                        \
    X(read, "read")                                        \
    X(close, "close")

struct guaco_state;

struct guaco__gateway_state {
    PyTypeObject *ServerType;
    PyTypeObject *GuestType;
    PyTypeObject *CallType; /* one ASGI request or WebSocket */
    PyTypeObject *SendType;
    PyTypeObject *ReceiveType;
    PyTypeObject *FailedType; /* an awaitable that raises */
    PyTypeObject *WsgiCallType;
    PyTypeObject *InputType;
    PyTypeObject *FileWrapperType;
    PyTypeObject *PoolType;
    PyObject *ClientDisconnected;
    PyObject *stop;        /* a StopIteration, reused while nobody has it */
    PyObject *empty_bytes; /* b"" */
    PyObject *empty_text;  /* "" */
    PyObject *empty_tuple;
    PyObject *field_names[GUACO__FIELD_COUNT]; /* b"user-agent" */
    PyObject *field_keys[GUACO__FIELD_COUNT];  /* "HTTP_USER_AGENT" */
#define X(member, text) PyObject *t_##member;
    GUACO__GATEWAY_TEXTS(X)
#undef X
};

/* Parts of the module's exec, traverse and clear. */
int guaco__gateway_init(PyObject *module, struct guaco_state *st);
int guaco__gateway_traverse(struct guaco__gateway_state *gw, visitproc visit,
                            void *arg);
void guaco__gateway_clear(struct guaco__gateway_state *gw);

/* One type each, added to the state: 0, or -1 with an exception. */
int guaco__call_type_add(PyObject *module, struct guaco_state *st);
int guaco__send_type_add(PyObject *module, struct guaco_state *st);
int guaco__receive_type_add(PyObject *module, struct guaco_state *st);
int guaco__failed_type_add(PyObject *module, struct guaco_state *st);
int guaco__wsgi_call_type_add(PyObject *module, struct guaco_state *st);
int guaco__input_type_add(PyObject *module, struct guaco_state *st);
int guaco__file_wrapper_type_add(PyObject *module, struct guaco_state *st);
int guaco__pool_type_add(PyObject *module, struct guaco_state *st);
int guaco__server_type_add(PyObject *module, struct guaco_state *st);

/* ---- text from the wire ------------------------------------------------- */

/* A new bytes object; the shared empty one when there is nothing. */
PyObject *
guaco__bytes_of(const struct guaco__gateway_state *gw, struct guaco_slice text);

/* "user-agent" -> "HTTP_USER_AGENT", but for the two that PEP 3333 names
 * without HTTP_; not interned. */
PyObject *guaco__environ_key(struct guaco_slice name);

/* The method as str, one of the prebuilt where it is a usual one. */
PyObject *guaco__method_of(const struct guaco__gateway_state *gw,
                           struct guaco_slice method);

/* `path` without percent-encoding (RFC 3986 2.1; what is no valid triplet
 * stays), as str: of UTF-8 with replacement characters, or of Latin-1. */
PyObject *guaco__path_decode(struct guaco_slice path, bool latin1);

/* "https" or "wss". */
static inline bool
guaco__is_secure(const struct guaco_request *request)
{
    return guaco_slice_equals(request->scheme, GUACO_SLICE("https")) ||
           guaco_slice_equals(request->scheme, GUACO_SLICE("wss"));
}

/* True when `text` holds exactly the bytes of `want`. */
static inline bool
guaco__bytes_equal(PyObject *text, struct guaco_slice want)
{
    return (size_t)PyBytes_GET_SIZE(text) == want.len &&
           memcmp(PyBytes_AS_STRING(text), want.at, want.len) == 0;
}

/* ---- awaiting ----------------------------------------------------------- */

/* Raise StopIteration(value), borrowed: how an iterator returns. */
void guaco__stop_with(struct guaco__gateway_state *gw, PyObject *value);

/* An awaitable that raises what is raised now; NULL when even that fails. */
PyObject *guaco__failed_new(struct guaco__gateway_state *gw);

/* throw(type[, value[, traceback]]) of a coroutine that is not running. */
PyObject *guaco__throw(PyObject *const *args, Py_ssize_t nargs);

#endif
