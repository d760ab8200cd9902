/* The extension "tls" of a scope: what the handshake has settled. */

#include "asgi.h"

#include "module.h"

/* dict[key] = value, taken; value NULL is a failure before. */
static int
put(PyObject *dict, const char *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int rc = PyDict_SetItemString(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static PyObject *
text_or_none(struct guaco_slice text)
{
    if (text.len == 0)
        return Py_NewRef(Py_None);
    return PyUnicode_DecodeUTF8(text.at, (Py_ssize_t)text.len, "replace");
}

/* Where the PEM block behind this one begins. */
static size_t
block_bytes(struct guaco_slice pem)
{
    static const char begin[] = "-----BEGIN ";
    const char *next = pem.len <= 1 ? NULL
                                    : memmem(pem.at + 1, pem.len - 1, begin,
                                             sizeof(begin) - 1);

    return next == NULL ? pem.len : (size_t)(next - pem.at);
}

/* A tuple: it cannot be changed, so that requests may share it. */
static PyObject *
chain_of(struct guaco_slice pem)
{
    PyObject *list = PyList_New(0);

    while (list != NULL && pem.len > 0) {
        size_t len = block_bytes(pem);
        PyObject *one = text_or_none((struct guaco_slice){pem.at, len});

        if (one == NULL || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
        pem.at += len;
        pem.len -= len;
    }
    if (list == NULL)
        return NULL;
    PyObject *chain = PyList_AsTuple(list);
    Py_DECREF(list);
    return chain;
}

PyObject *
guaco__asgi_tls_new(const struct guaco_tls *tls)
{
    PyObject *about = PyDict_New();

    if (about == NULL)
        return NULL;
    if (put(about, "server_cert", text_or_none(tls->server_cert)) < 0 ||
        put(about, "client_cert_chain", chain_of(tls->client_certs)) < 0 ||
        put(about, "client_cert_name", text_or_none(tls->client_name)) < 0 ||
        /* one that cannot be verified ends the handshake */
        put(about, "client_cert_error", Py_NewRef(Py_None)) < 0 ||
        put(about, "tls_version", PyLong_FromLong(tls->version)) < 0 ||
        put(about, "cipher_suite", PyLong_FromLong(tls->cipher_suite)) < 0)
        Py_CLEAR(about);
    return about;
}
