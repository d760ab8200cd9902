/* The messages of ASGI's WebSocket scope, in and out. */

#include "asgi.h"

#include <assert.h>

#include "module.h"

/* ---- messages that wait for receive() ----------------------------------- */

void
guaco__asgi_messages_clear(struct guaco__asgi_call *call)
{
    for (size_t i = 0; i < call->message_count; i++)
        Py_DECREF(call->messages[call->message_first + i].data);
    PyMem_Free(call->messages);
    call->messages = NULL;
    call->message_first = 0;
    call->message_count = 0;
    call->message_room = 0;
}

/* Room for one more at the end. */
static int
messages_reserve(struct guaco__asgi_call *call)
{
    if (call->message_first + call->message_count < call->message_room)
        return 0;
    if (call->message_count >= GUACO__ASGI_MESSAGES_MAX)
        return GUACO_E_LIMIT;
    if (call->message_first > call->message_count) {
        memmove(call->messages, call->messages + call->message_first,
                call->message_count * sizeof *call->messages);
        call->message_first = 0;
        return 0;
    }
    size_t room = call->message_room == 0 ? 4 : call->message_room * 2;
    struct guaco__asgi_message *grown =
        PyMem_Realloc(call->messages, room * sizeof *grown);
    if (grown == NULL)
        return GUACO_E_NOMEM;
    call->messages = grown;
    call->message_room = room;
    return 0;
}

static int
messages_push(struct guaco__asgi_call *call, PyObject *data, size_t bytes)
{
    int rc = data == NULL ? GUACO_E_NOMEM : messages_reserve(call);
    if (rc < 0) {
        PyErr_Clear();
        Py_XDECREF(data);
        return rc;
    }
    struct guaco__asgi_message *at =
        &call->messages[call->message_first + call->message_count++];
    at->data = data;
    at->bytes = bytes;
    return 0;
}

static struct guaco__asgi_message
messages_take(struct guaco__asgi_call *call)
{
    assert(call->message_count > 0);
    struct guaco__asgi_message taken = call->messages[call->message_first];

    call->message_first =
        --call->message_count > 0 ? call->message_first + 1 : 0;
    return taken;
}

/* What comes after it is not told: the application sees one end. */
static void
closed_by_peer(struct guaco__asgi_call *call, uint16_t code,
               struct guaco_slice reason)
{
    if (call->is_closed)
        return;
    call->is_closed = true;
    call->close_code = code;
    call->close_reason =
        PyUnicode_DecodeUTF8(reason.at, (Py_ssize_t)reason.len, "replace");
    if (call->close_reason == NULL)
        PyErr_Clear();
}

void
guaco__asgi_websocket_message(struct guaco__asgi_call *call,
                              enum guaco_message_type type,
                              struct guaco_slice data, uint16_t code)
{
    int rc = 0;

    switch (type) {
    case GUACO_MESSAGE_TEXT:
        rc = messages_push(
            call, PyUnicode_DecodeUTF8(data.at, (Py_ssize_t)data.len, NULL),
            data.len);
        break;
    case GUACO_MESSAGE_BINARY:
        rc = messages_push(call, guaco__bytes_of(&call->st->gateway, data),
                           data.len);
        break;
    case GUACO_MESSAGE_CLOSE: closed_by_peer(call, code, data); break;
    }
    if (rc < 0)
        guaco_exchange_abort(call->x);
    guaco__asgi_wake(call, &call->receivers);
}

/* ---- receive() ---------------------------------------------------------- */

static PyObject *
connect_event(const struct guaco__gateway_state *gw)
{
    PyObject *event = PyDict_New();
    if (event != NULL &&
        PyDict_SetItem(event, gw->t_type, gw->t_websocket_connect) < 0)
        Py_CLEAR(event);
    return event;
}

static PyObject *
message_event(struct guaco__asgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    PyObject *event = PyDict_New();

    if (event == NULL)
        return NULL;
    struct guaco__asgi_message taken = messages_take(call);
    PyObject *key = PyUnicode_Check(taken.data) ? gw->t_text : gw->t_bytes;
    if (PyDict_SetItem(event, gw->t_type, gw->t_websocket_receive) < 0 ||
        PyDict_SetItem(event, key, taken.data) < 0)
        Py_CLEAR(event);
    Py_DECREF(taken.data);
    if (call->x != NULL)
        guaco_exchange_consumed(call->x, taken.bytes);
    return event;
}

static PyObject *
disconnect_event(const struct guaco__asgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    uint16_t code = call->is_closed ? call->close_code
                    : call->gone_reason == GUACO_GONE_SHUTDOWN ? 1012
                                                               : 1006;
    PyObject *number = PyLong_FromLong(code);
    PyObject *event = number == NULL ? NULL : PyDict_New();

    if (event != NULL &&
        (PyDict_SetItem(event, gw->t_type, gw->t_websocket_disconnect) < 0 ||
         PyDict_SetItem(event, gw->t_code, number) < 0 ||
         PyDict_SetItem(event, gw->t_reason,
                        call->close_reason != NULL ? call->close_reason
                                                   : gw->empty_text) < 0))
        Py_CLEAR(event);
    Py_XDECREF(number);
    return event;
}

int
guaco__asgi_websocket_event(struct guaco__asgi_call *call, PyObject **event)
{
    if (!call->is_connect_given) {
        call->is_connect_given = true;
        *event = connect_event(&call->st->gateway);
    } else if (call->message_count > 0) {
        *event = message_event(call);
    } else if (call->is_closed || call->x == NULL) {
        *event = disconnect_event(call);
    } else {
        return 0;
    }
    return *event == NULL ? -1 : 1;
}

/* ---- websocket.accept --------------------------------------------------- */

/* The text of message[key] in *text, borrowed; an absent or None one is
 * `missing`. */
static int
text_of(PyObject *message, PyObject *key, const char *name,
        struct guaco_slice *text)
{
    PyObject *value;
    int found = guaco__asgi_get(message, key, &value);

    if (found < 0)
        return -1;
    *text = (struct guaco_slice){0};
    if (found == 0 || value == Py_None)
        return 0;
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "\"%s\" must be str, not %.100s", name,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t len;
    text->at = PyUnicode_AsUTF8AndSize(value, &len);
    text->len = text->at == NULL ? 0 : (size_t)len;
    return text->at == NULL ? -1 : 0;
}

/* The subprotocol has a key of its own, so that it is given once. */
static int
check_accept_fields(const struct guaco__asgi_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        if (guaco__equals_lower(fields->at[i].name,
                                GUACO_SLICE("sec-websocket-protocol"))) {
            PyErr_SetString(PyExc_ValueError,
                            "websocket.accept: give \"subprotocol\", not a "
                            "sec-websocket-protocol header");
            return -1;
        }
    return 0;
}

static int
accept_with(struct guaco__asgi_call *call, struct guaco_slice subprotocol,
            const struct guaco__asgi_fields *fields)
{
    if (call->x == NULL)
        return guaco__asgi_disconnected(call);
    int rc =
        guaco_exchange_accept(call->x, subprotocol, fields->at, fields->count);
    if (rc == GUACO_E_INVALID) {
        PyErr_SetString(PyExc_ValueError,
                        "websocket.accept: a header that cannot be sent, or a "
                        "subprotocol that was not offered");
        return -1;
    }
    return guaco__asgi_answered(call, rc, "websocket.accept");
}

int
guaco__asgi_websocket_accept(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    struct guaco__asgi_fields fields;
    struct guaco_slice subprotocol;
    PyObject *headers;

    if (call->phase == GUACO__ASGI_OVER)
        return guaco__asgi_disconnected(call);
    if (call->phase != GUACO__ASGI_CONNECTING)
        return guaco__asgi_unexpected(call, message);
    if (text_of(message, gw->t_subprotocol, "subprotocol", &subprotocol) < 0 ||
        guaco__asgi_get(message, gw->t_headers, &headers) < 0)
        return -1;

    int rc = guaco__asgi_fields_read(&fields, headers);
    if (rc == 0)
        rc = check_accept_fields(&fields);
    if (rc == 0)
        rc = accept_with(call, subprotocol, &fields);
    guaco__asgi_fields_release(&fields);
    if (rc == 0)
        call->phase = GUACO__ASGI_OPEN;
    return rc;
}

/* ---- websocket.send ----------------------------------------------------- */

static void
release_owner(void *owner)
{
    Py_DECREF((PyObject *)owner);
}

/* Hand `owner`, taken, and its bytes over. */
static int
send_owned(struct guaco__asgi_call *call, enum guaco_message_type type,
           struct guaco_slice data, PyObject *owner)
{
    struct guaco_bytes bytes = {
        .at = data.at,
        .len = data.len,
        .release = release_owner,
        .owner = owner,
    };
    int rc = guaco_exchange_send(call->x, type, bytes);

    if (rc != 0 && rc != GUACO_E_AGAIN)
        Py_DECREF(owner);
    return guaco__asgi_answered(call, rc, "websocket.send");
}

static int
send_text(struct guaco__asgi_call *call, PyObject *text)
{
    Py_ssize_t len;

    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "\"text\" must be str, not %.100s",
                     Py_TYPE(text)->tp_name);
        return -1;
    }
    const char *at = PyUnicode_AsUTF8AndSize(text, &len);
    if (at == NULL)
        return -1;
    return send_owned(call, GUACO_MESSAGE_TEXT,
                      (struct guaco_slice){at, (size_t)len}, Py_NewRef(text));
}

static int
send_binary(struct guaco__asgi_call *call, PyObject *data)
{
    if (!PyObject_CheckBuffer(data)) {
        PyErr_Format(PyExc_TypeError, "\"bytes\" must be bytes, not %.100s",
                     Py_TYPE(data)->tp_name);
        return -1;
    }
    PyObject *owner =
        PyBytes_CheckExact(data) ? Py_NewRef(data) : PyBytes_FromObject(data);
    if (owner == NULL)
        return -1;
    struct guaco_slice slice = {PyBytes_AS_STRING(owner),
                                (size_t)PyBytes_GET_SIZE(owner)};
    return send_owned(call, GUACO_MESSAGE_BINARY, slice, owner);
}

int
guaco__asgi_websocket_send(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    PyObject *text, *data;

    if (call->phase == GUACO__ASGI_OVER || call->is_closed)
        return guaco__asgi_disconnected(call);
    if (call->phase != GUACO__ASGI_OPEN)
        return guaco__asgi_unexpected(call, message);
    int has_text = guaco__asgi_get(message, gw->t_text, &text);
    int has_data = guaco__asgi_get(message, gw->t_bytes, &data);
    if (has_text < 0 || has_data < 0)
        return -1;
    has_text = has_text && text != Py_None;
    has_data = has_data && data != Py_None;
    if (has_text == has_data) {
        PyErr_SetString(PyExc_ValueError,
                        "websocket.send has either \"text\" or \"bytes\"");
        return -1;
    }
    return has_text ? send_text(call, text) : send_binary(call, data);
}

/* ---- websocket.close ---------------------------------------------------- */

static int
code_of(const struct guaco__gateway_state *gw, PyObject *message)
{
    PyObject *value;
    int found = guaco__asgi_get(message, gw->t_code, &value);

    if (found < 0)
        return -1;
    if (found == 0 || value == Py_None)
        return 1000;
    if (!PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "\"code\" must be int");
        return -1;
    }
    int overflow;
    long code = PyLong_AsLongAndOverflow(value, &overflow);
    if (code == -1 && PyErr_Occurred())
        return -1;
    /* 1005 stands for "none was sent": an endpoint does not send it */
    if (overflow != 0 || code < 1000 || code > 4999 || code == 1005) {
        PyErr_Format(PyExc_ValueError, "close code %R is not sendable", value);
        return -1;
    }
    return (int)code;
}

int
guaco__asgi_websocket_close(struct guaco__asgi_call *call, PyObject *message)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    struct guaco_slice reason;

    if (call->phase == GUACO__ASGI_OVER || call->is_closed)
        return guaco__asgi_disconnected(call);
    if (call->phase != GUACO__ASGI_OPEN &&
        call->phase != GUACO__ASGI_CONNECTING)
        return guaco__asgi_unexpected(call, message);
    int code = code_of(gw, message);
    if (code < 0 || text_of(message, gw->t_reason, "reason", &reason) < 0)
        return -1;
    int rc = guaco_exchange_close(call->x, (uint16_t)code, reason);
    if (rc == GUACO_E_INVALID) {
        PyErr_Format(PyExc_ValueError,
                     "websocket.close: code %d or a reason of %zu bytes "
                     "cannot be sent",
                     code, reason.len);
        return -1;
    }
    if (guaco__asgi_answered(call, rc, "websocket.close") < 0)
        return -1;
    call->phase = GUACO__ASGI_OVER;
    return 0;
}
