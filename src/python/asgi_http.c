/* The messages of ASGI's HTTP scope, in and out, but for those with files. */

#include "asgi.h"

#include <assert.h>

#include "module.h"

/* ---- helpers of all handlers -------------------------------------------- */

int
guaco__asgi_get(PyObject *message, PyObject *key, PyObject **value)
{
    *value = PyDict_GetItemWithError(message, key);
    if (*value != NULL)
        return 1;
    return PyErr_Occurred() ? -1 : 0;
}

int
guaco__asgi_flag(PyObject *message, PyObject *key, bool missing)
{
    PyObject *value;
    int found = guaco__asgi_get(message, key, &value);

    if (found <= 0)
        return found < 0 ? -1 : missing;
    return value == Py_True || (value != Py_False && PyObject_IsTrue(value));
}

int
guaco__asgi_unexpected(const struct guaco__asgi_call *call, PyObject *message)
{
    PyObject *type = PyDict_GetItemWithError(message, call->st->gateway.t_type);
    static const char *const after[] = {
        [GUACO__ASGI_BEGUN] = "before http.response.start",
        [GUACO__ASGI_STARTED] = "after the response was started",
        [GUACO__ASGI_TRAILERS] = "after the last body, trailers are due",
        [GUACO__ASGI_CONNECTING] = "before the WebSocket was accepted",
        [GUACO__ASGI_OPEN] = "after the WebSocket was accepted",
        [GUACO__ASGI_DENIED] = "after the denial was started",
        [GUACO__ASGI_OVER] = "after the end",
    };

    PyErr_Format(PyExc_RuntimeError, "unexpected message %R %s",
                 type != NULL ? type : Py_None, after[call->phase]);
    return -1;
}

int
guaco__asgi_disconnected(const struct guaco__asgi_call *call)
{
    static const char *const texts[] = {
        [GUACO_GONE_DONE] = "the exchange is over",
        [GUACO_GONE_CLIENT] = "the client is gone",
        [GUACO_GONE_TIMEOUT] = "the client was too slow",
        [GUACO_GONE_PROTO] = "the client broke the protocol",
        [GUACO_GONE_LIMIT] = "the client passed a limit",
        [GUACO_GONE_ABORTED] = "the exchange was broken off",
        [GUACO_GONE_SHUTDOWN] = "the server is shutting down",
    };

    PyErr_SetString(call->st->gateway.ClientDisconnected,
                    call->x != NULL ? "the client is gone"
                                    : texts[call->gone_reason]);
    return -1;
}

int
guaco__asgi_answered(struct guaco__asgi_call *call, int rc, const char *what)
{
    switch (rc) {
    case GUACO_OK: return 0;
    case GUACO_E_AGAIN: call->is_full = true; return 0;
    case GUACO_E_CLOSED:
        call->is_told_gone = true;
        return guaco__asgi_disconnected(call);
    case GUACO_E_NOMEM: PyErr_NoMemory(); return -1;
    case GUACO_E_INVALID:
        PyErr_Format(PyExc_ValueError, "%s: not acceptable", what);
        return -1;
    case GUACO_E_STATE:
        PyErr_Format(PyExc_RuntimeError, "%s: not allowed now", what);
        return -1;
    default:
        PyErr_Format(call->st->Error, "%s: %s", what, guaco_strerror(rc));
        return -1;
    }
}

void
guaco__asgi_over(struct guaco__asgi_call *call)
{
    call->phase = GUACO__ASGI_OVER;
    guaco__asgi_wake(call, &call->receivers);
}

/* ---- http.response.start ------------------------------------------------ */

static int
status_of(const struct guaco__asgi_call *call, PyObject *message)
{
    PyObject *value;
    int found = guaco__asgi_get(message, call->st->gateway.t_status, &value);

    if (found < 0)
        return -1;
    if (!found || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a response has a \"status\", which "
                                         "is an int");
        return -1;
    }
    int overflow;
    long status = PyLong_AsLongAndOverflow(value, &overflow);
    if (status == -1 && PyErr_Occurred())
        return -1;
    if (overflow != 0 || status < 200 || status > 999) {
        PyErr_Format(PyExc_ValueError, "status %R is not from 200 to 999",
                     value);
        return -1;
    }
    return (int)status;
}

int
guaco__asgi_http_start(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    struct guaco__asgi_fields fields;
    PyObject *headers;

    if (call->phase != GUACO__ASGI_BEGUN &&
        call->phase != GUACO__ASGI_CONNECTING)
        return guaco__asgi_unexpected(call, message);
    int status = status_of(call, message);
    int trailers = guaco__asgi_flag(message, gw->t_trailers, false);
    if (status < 0 || trailers < 0 ||
        guaco__asgi_get(message, gw->t_headers, &headers) < 0)
        return -1;

    int rc = guaco__asgi_fields_read(&fields, headers);
    /* Reading an iterator ran Python code: the client may have left. */
    if (rc == 0 && call->x == NULL)
        rc = guaco__asgi_disconnected(call);
    if (rc == 0) {
        rc = guaco_exchange_start(call->x, status, fields.at, fields.count,
                                  trailers);
        rc = rc == GUACO_E_INVALID
                 ? guaco__asgi_fields_blame(&fields, "http.response.start")
                 : guaco__asgi_answered(call, rc, "http.response.start");
    }
    guaco__asgi_fields_release(&fields);
    if (rc < 0)
        return -1;
    call->has_trailers = trailers;
    call->phase = call->is_websocket ? GUACO__ASGI_DENIED : GUACO__ASGI_STARTED;
    return 0;
}

/* ---- http.response.body ------------------------------------------------- */

static void
release_bytes(void *owner)
{
    Py_DECREF((PyObject *)owner);
}

/* message["body"] as bytes: a new reference, NULL with an exception. */
static PyObject *
body_of(const struct guaco__gateway_state *gw, PyObject *message)
{
    PyObject *body;
    int found = guaco__asgi_get(message, gw->t_body, &body);

    if (found <= 0)
        return found < 0 ? NULL : Py_NewRef(gw->empty_bytes);
    if (PyBytes_CheckExact(body))
        return Py_NewRef(body);
    if (PyObject_CheckBuffer(body))
        return PyBytes_FromObject(body); /* it may change: a copy */
    PyErr_Format(PyExc_TypeError, "\"body\" must be bytes, not %.100s",
                 Py_TYPE(body)->tp_name);
    return NULL;
}

/* Hand `body`, taken, over; the server releases it when it is sent. */
static int
give_body(struct guaco__asgi_call *call, PyObject *body, bool more)
{
    struct guaco_bytes bytes = {
        .at = PyBytes_AS_STRING(body),
        .len = (size_t)PyBytes_GET_SIZE(body),
        .release = release_bytes,
        .owner = body,
    };
    int rc = guaco_exchange_body(call->x, bytes, more);

    if (rc != 0 && rc != GUACO_E_AGAIN)
        Py_DECREF(body);
    return rc;
}

/* The last piece was given. */
static void
body_ended(struct guaco__asgi_call *call)
{
    if (call->has_trailers)
        call->phase = GUACO__ASGI_TRAILERS;
    else
        guaco__asgi_over(call);
}

int
guaco__asgi_http_body(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;

    if (call->phase != GUACO__ASGI_STARTED && call->phase != GUACO__ASGI_DENIED)
        return guaco__asgi_unexpected(call, message);
    int more = guaco__asgi_flag(message, gw->t_more_body, false);
    PyObject *body = more < 0 ? NULL : body_of(gw, message);
    if (body == NULL)
        return -1;

    int rc = give_body(call, body, more);
    if (rc == GUACO_E_INVALID) {
        guaco__asgi_over(call); /* the server cut it there */
        PyErr_SetString(PyExc_RuntimeError,
                        "the body is longer than its Content-Length");
        return -1;
    }
    if (guaco__asgi_answered(call, rc, "http.response.body") < 0)
        return -1;
    if (!more)
        body_ended(call);
    return 0;
}

/* ---- trailers and hints ------------------------------------------------- */

/* All trailers of the response leave together, so they are kept until the last
 * message; a list, so that what an iterator gave is still there. */
static int
keep_trailers(struct guaco__asgi_call *call, PyObject *headers)
{
    if (call->trailer_list == NULL)
        call->trailer_list = PyList_New(0);
    if (call->trailer_list == NULL)
        return -1;
    if (headers == NULL)
        return 0;
    Py_ssize_t end = PyList_GET_SIZE(call->trailer_list);
    if (end > GUACO__ASGI_FIELDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many trailers");
        return -1;
    }
    PyObject *list = PySequence_List(headers);
    int rc =
        list == NULL ? -1 : PyList_SetSlice(call->trailer_list, end, end, list);
    Py_XDECREF(list);
    return rc;
}

static int
send_trailers(struct guaco__asgi_call *call)
{
    struct guaco__asgi_fields fields;
    int rc = guaco__asgi_fields_read(&fields, call->trailer_list);

    if (rc == 0 && call->x == NULL)
        rc = guaco__asgi_disconnected(call);
    if (rc == 0) {
        rc = guaco_exchange_trailers(call->x, fields.at, fields.count);
        rc = rc == GUACO_E_INVALID
                 ? guaco__asgi_fields_blame(&fields, "http.response.trailers")
                 : guaco__asgi_answered(call, rc, "http.response.trailers");
    }
    guaco__asgi_fields_release(&fields);
    if (rc == 0)
        guaco__asgi_over(call);
    return rc;
}

int
guaco__asgi_http_trailers(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    PyObject *headers;

    if (call->phase != GUACO__ASGI_TRAILERS)
        return guaco__asgi_unexpected(call, message);
    int more = guaco__asgi_flag(message, gw->t_more_trailers, false);
    if (more < 0 || guaco__asgi_get(message, gw->t_headers, &headers) < 0 ||
        keep_trailers(call, headers) < 0)
        return -1;
    return more ? 0 : send_trailers(call);
}

/* The links as fields; they stay the list's. */
static int
links_read(PyObject *list, struct guaco_field *fields)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *link = PyList_GET_ITEM(list, i);
        if (!PyBytes_Check(link)) {
            PyErr_SetString(PyExc_TypeError, "\"links\" must be bytes");
            return -1;
        }
        fields[i].name = GUACO_SLICE("link");
        fields[i].value.at = PyBytes_AS_STRING(link);
        fields[i].value.len = (size_t)PyBytes_GET_SIZE(link);
    }
    return 0;
}

/* The specification lets it follow the start; where the head is on its way
 * already a hint is late, and it lets a server ignore it. */
int
guaco__asgi_http_early_hint(struct guaco__asgi_call *call, PyObject *message)
{
    struct guaco_field fields[16];
    PyObject *links;

    if (call->phase != GUACO__ASGI_BEGUN && call->phase != GUACO__ASGI_STARTED)
        return guaco__asgi_unexpected(call, message);
    int found = guaco__asgi_get(message, call->st->gateway.t_links, &links);
    if (found <= 0) {
        if (found == 0)
            PyErr_SetString(PyExc_ValueError, "an early hint has \"links\"");
        return -1;
    }
    PyObject *list = PySequence_List(links);
    if (list == NULL)
        return -1;
    int rc = -1;
    if ((size_t)PyList_GET_SIZE(list) > sizeof fields / sizeof *fields)
        PyErr_SetString(PyExc_ValueError, "more than 16 links in a hint");
    else if (links_read(list, fields) == 0 && call->x == NULL)
        rc = guaco__asgi_disconnected(call);
    else if (!PyErr_Occurred()) {
        rc = guaco_exchange_inform(call->x, 103, fields,
                                   (size_t)PyList_GET_SIZE(list));
        rc = rc == GUACO_E_STATE || rc == GUACO_E_UNSUPPORTED
                 ? 0
                 : guaco__asgi_answered(call, rc, "http.response.early_hint");
    }
    Py_DECREF(list);
    return rc;
}

/* ---- receive() ---------------------------------------------------------- */

static PyObject *
disconnect_event(const struct guaco__gateway_state *gw)
{
    PyObject *event = PyDict_New();
    if (event != NULL &&
        PyDict_SetItem(event, gw->t_type, gw->t_http_disconnect) < 0)
        Py_CLEAR(event);
    return event;
}

/* All that is here of the body, the pieces as they came: a new reference. */
static PyObject *
take_body(struct guaco__asgi_call *call)
{
    PyObject *body = call->piece;

    call->piece = NULL;
    if (body != NULL)
        return body;
    body = guaco__bytes_of(&call->st->gateway, guaco__buf_slice(&call->rest));
    if (body != NULL)
        guaco__buf_release(&call->rest);
    return body;
}

static PyObject *
body_event(struct guaco__asgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    PyObject *event = PyDict_Copy(call->asgi->request_event);
    bool is_empty = call->piece == NULL && call->rest.len == 0;
    PyObject *body = event == NULL || is_empty ? NULL : take_body(call);

    if (event == NULL || (!is_empty && body == NULL)) {
        Py_XDECREF(event);
        return NULL;
    }
    bool more = !call->is_whole || call->rest.len > 0;
    if ((body != NULL && PyDict_SetItem(event, gw->t_body, body) < 0) ||
        (more && PyDict_SetItem(event, gw->t_more_body, Py_True) < 0))
        Py_CLEAR(event);
    if (body != NULL && call->x != NULL)
        guaco_exchange_consumed(call->x, (size_t)PyBytes_GET_SIZE(body));
    Py_XDECREF(body);
    call->is_last_given = !more;
    return event;
}

int
guaco__asgi_http_event(struct guaco__asgi_call *call, PyObject **event)
{
    bool is_over = call->x == NULL || call->phase == GUACO__ASGI_OVER;
    bool is_here = call->piece != NULL || call->rest.len > 0 || call->is_whole;

    /* A whole body is the application's even when its client has left. */
    if (!call->is_last_given && is_here && call->asgi != NULL &&
        (call->is_whole || !is_over)) {
        *event = body_event(call);
        return *event == NULL ? -1 : 1;
    }
    if (is_over || (call->is_last_given && call->is_half_closed)) {
        call->is_told_gone |= !is_over;
        *event = disconnect_event(&call->st->gateway);
        return *event == NULL ? -1 : 1;
    }
    if (!call->has_asked && !call->is_last_given) {
        call->has_asked = true;
        guaco_exchange_consumed(call->x, 0); /* 100 Continue */
    }
    return 0;
}
