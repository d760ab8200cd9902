/* What the ASGI and the WSGI face share: prebuilt objects, and text of the
 * wire turned into Python's. */

#include "gateway.h"

#include "guest.h"
#include "http/target.h"
#include "module.h"

/* ---- state -------------------------------------------------------------- */

static int
fields_init(struct guaco__gateway_state *gw)
{
    for (int id = GUACO__FIELD_OTHER + 1; id < GUACO__FIELD_COUNT; id++) {
        struct guaco_slice name = guaco__field_name((enum guaco__field_id)id);

        gw->field_names[id] =
            PyBytes_FromStringAndSize(name.at, (Py_ssize_t)name.len);
        gw->field_keys[id] = guaco__environ_key(name);
        if (gw->field_names[id] == NULL || gw->field_keys[id] == NULL)
            return -1;
        PyUnicode_InternInPlace(&gw->field_keys[id]);
    }
    return 0;
}

static int
texts_init(struct guaco__gateway_state *gw)
{
#define X(member, text)                                              \
    if ((gw->t_##member = PyUnicode_InternFromString(text)) == NULL) \
        return -1;
    GUACO__GATEWAY_TEXTS(X)
#undef X
    gw->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    gw->empty_text = PyUnicode_FromStringAndSize(NULL, 0);
    gw->empty_tuple = PyTuple_New(0);
    gw->stop = PyObject_CallNoArgs(PyExc_StopIteration);
    if (gw->empty_bytes == NULL || gw->empty_text == NULL ||
        gw->empty_tuple == NULL || gw->stop == NULL)
        return -1;
    return fields_init(gw);
}

static int
errors_init(PyObject *module, struct guaco_state *st)
{
    PyObject *bases = PyTuple_Pack(2, st->Error, PyExc_OSError);
    if (bases == NULL)
        return -1;
    st->gateway.ClientDisconnected = PyErr_NewExceptionWithDoc(
        "guaco.ClientDisconnected",
        "Raised by send() when the other side is gone (ASGI 2.4).", bases,
        NULL);
    Py_DECREF(bases);
    if (st->gateway.ClientDisconnected == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "ClientDisconnected",
                                 st->gateway.ClientDisconnected);
}

int
guaco__gateway_init(PyObject *module, struct guaco_state *st)
{
    static int (*const adds[])(PyObject *, struct guaco_state *) = {
        guaco__call_type_add,         guaco__send_type_add,
        guaco__receive_type_add,      guaco__failed_type_add,
        guaco__wsgi_call_type_add,    guaco__input_type_add,
        guaco__file_wrapper_type_add, guaco__pool_type_add,
        guaco__server_type_add,       guaco__guest_type_add,
    };

    if (texts_init(&st->gateway) < 0 || errors_init(module, st) < 0)
        return -1;
    for (size_t i = 0; i < sizeof adds / sizeof *adds; i++)
        if (adds[i](module, st) < 0)
            return -1;
    return 0;
}

int
guaco__gateway_traverse(struct guaco__gateway_state *gw, visitproc visit,
                        void *arg)
{
    Py_VISIT(gw->ServerType);
    Py_VISIT(gw->GuestType);
    Py_VISIT(gw->CallType);
    Py_VISIT(gw->SendType);
    Py_VISIT(gw->ReceiveType);
    Py_VISIT(gw->FailedType);
    Py_VISIT(gw->WsgiCallType);
    Py_VISIT(gw->InputType);
    Py_VISIT(gw->FileWrapperType);
    Py_VISIT(gw->PoolType);
    Py_VISIT(gw->ClientDisconnected);
    Py_VISIT(gw->stop);
    return 0;
}

void
guaco__gateway_clear(struct guaco__gateway_state *gw)
{
    Py_CLEAR(gw->ServerType);
    Py_CLEAR(gw->GuestType);
    Py_CLEAR(gw->CallType);
    Py_CLEAR(gw->SendType);
    Py_CLEAR(gw->ReceiveType);
    Py_CLEAR(gw->FailedType);
    Py_CLEAR(gw->WsgiCallType);
    Py_CLEAR(gw->InputType);
    Py_CLEAR(gw->FileWrapperType);
    Py_CLEAR(gw->PoolType);
    Py_CLEAR(gw->ClientDisconnected);
    Py_CLEAR(gw->stop);
    Py_CLEAR(gw->empty_bytes);
    Py_CLEAR(gw->empty_text);
    Py_CLEAR(gw->empty_tuple);
    for (int id = 0; id < GUACO__FIELD_COUNT; id++) {
        Py_CLEAR(gw->field_names[id]);
        Py_CLEAR(gw->field_keys[id]);
    }
#define X(member, text) Py_CLEAR(gw->t_##member);
    GUACO__GATEWAY_TEXTS(X)
#undef X
}

/* ---- text from the wire ------------------------------------------------- */

PyObject *
guaco__bytes_of(const struct guaco__gateway_state *gw, struct guaco_slice text)
{
    if (text.len == 0)
        return Py_NewRef(gw->empty_bytes);
    return PyBytes_FromStringAndSize(text.at, (Py_ssize_t)text.len);
}

PyObject *
guaco__environ_key(struct guaco_slice name)
{
    bool is_plain = guaco_slice_equals(name, GUACO_SLICE("content-type")) ||
                    guaco_slice_equals(name, GUACO_SLICE("content-length"));
    size_t prefix = is_plain ? 0 : 5;
    PyObject *key = PyUnicode_New((Py_ssize_t)(prefix + name.len), 127);

    if (key == NULL)
        return NULL;
    Py_UCS1 *out = PyUnicode_1BYTE_DATA(key);
    memcpy(out, "HTTP_", prefix);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        if (c == '-')
            c = '_';
        else if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        out[prefix + i] = (Py_UCS1)c;
    }
    return key;
}

PyObject *
guaco__method_of(const struct guaco__gateway_state *gw,
                 struct guaco_slice method)
{
    PyObject *const usual[] = {
        gw->t_GET,   gw->t_POST,   gw->t_HEAD,    gw->t_PUT,
        gw->t_PATCH, gw->t_DELETE, gw->t_OPTIONS,
    };

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if ((size_t)PyUnicode_GET_LENGTH(usual[i]) == method.len &&
            memcmp(PyUnicode_DATA(usual[i]), method.at, method.len) == 0)
            return Py_NewRef(usual[i]);
    return PyUnicode_DecodeLatin1(method.at, (Py_ssize_t)method.len, NULL);
}

static PyObject *
path_text(const char *at, size_t len, bool latin1)
{
    return latin1 ? PyUnicode_DecodeLatin1(at, (Py_ssize_t)len, NULL)
                  : PyUnicode_DecodeUTF8(at, (Py_ssize_t)len, "replace");
}

PyObject *
guaco__path_decode(struct guaco_slice path, bool latin1)
{
    char local[512];

    if (guaco__is_plain(path))
        return path_text(path.at, path.len, latin1);

    char *out = path.len <= sizeof local ? local : PyMem_Malloc(path.len);
    if (out == NULL)
        return PyErr_NoMemory();
    PyObject *text =
        path_text(out, guaco__percent_decode(path, out).len, latin1);
    if (out != local)
        PyMem_Free(out);
    return text;
}
