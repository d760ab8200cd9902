/*
 * guaco._core.Codec: Python values to CBOR bytes and back.  In Python it
 * would read
 *
 *     class Codec:
 *         def __new__(cls, reducers: dict[type, Callable[[Any], tuple]],
 *                     builders: dict[str, Callable[..., Any]],
 *                     bytes_max: int, /): ...
 *         def encode(self, value: object, /) -> bytes: ...
 *         def decode(self, data: Buffer, /) -> object: ...
 *
 * Native here are None, bool, int, float, str, bytes, list, tuple, dict, set
 * and frozenset.  A reducer turns a value of exactly its type into (name,
 * argument, ...); builders[name](argument, ...) makes it again.  On the wire
 *
 *     payload := VERSION item          VERSION is one byte
 *     set     := tag 258 array         items in the order of their bytes
 *     other   := tag 27 [name, argument...]      also "tuple", "frozenset"
 *     int     := head, or tag 2 or 3 with the bytes of a big one
 *
 * A value whose type is not exactly one of these is refused, subclasses too:
 * what comes back is what went in, or there is an error before anything is
 * stored.  Decoding runs builders only, never a name that the data chose.
 *
 * Threads: immutable after construction; the GIL guards the values walked.
 */

#include "queue_types.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/cbor.h"

enum { VERSION = 1, DEPTH_MAX = 64 };
enum { TAG_BIG = 2, TAG_BIG_NEGATIVE = 3, TAG_OBJECT = 27, TAG_SET = 258 };

typedef struct {
    PyObject_HEAD
    PyObject *reducers; /* dict: type -> callable */
    PyObject *builders; /* dict: name -> callable */
    size_t bytes_max;
    struct guaco_state *st; /* as long as the type, which holds the module */
} CodecObject;

/* ---- encoding ---------------------------------------------------------- */

struct encoder {
    CodecObject *codec;
    struct guaco__buf out;
};

static int encode_value(struct encoder *e, PyObject *value, unsigned depth);

static int
fail_size(const struct encoder *e)
{
    PyErr_Format(PyExc_ValueError,
                 "the value is larger than %zu bytes when serialized",
                 e->codec->bytes_max);
    return -1;
}

static int
put_bytes(struct encoder *e, const void *data, size_t len)
{
    int rc = guaco__buf_append(&e->out, data, len);

    if (rc == GUACO_E_NOMEM) {
        PyErr_NoMemory();
        return -1;
    }
    return rc < 0 ? fail_size(e) : 0;
}

static int
put_head(struct encoder *e, enum guaco__cbor_kind kind, uint64_t value)
{
    unsigned char head[GUACO__CBOR_HEAD_MAX];

    return put_bytes(e, head, guaco__cbor_put_head(head, kind, value));
}

static int
put_text(struct encoder *e, const char *text, size_t len)
{
    if (put_head(e, GUACO__CBOR_TEXT, len) < 0)
        return -1;
    return put_bytes(e, text, len);
}

static int
encode_str(struct encoder *e, PyObject *value)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);

    return text == NULL ? -1 : put_text(e, text, (size_t)len);
}

static int
encode_blob(struct encoder *e, PyObject *value)
{
    size_t len = (size_t)PyBytes_GET_SIZE(value);

    if (put_head(e, GUACO__CBOR_BYTES, len) < 0)
        return -1;
    return put_bytes(e, PyBytes_AS_STRING(value), len);
}

/* An int outside int64: its magnitude as bytes.  Rare, so by its methods. */
static int
encode_big(struct encoder *e, PyObject *value)
{
    PyObject *zero = NULL, *bits = NULL, *bytes = NULL;
    PyObject *magnitude = NULL;
    int rc = -1;

    zero = PyLong_FromLong(0);
    if (zero == NULL)
        goto out;
    int negative = PyObject_RichCompareBool(value, zero, Py_LT);
    if (negative < 0)
        goto out;
    /* CBOR: tag 3 holds -1 - n, which is ~n. */
    magnitude = negative ? PyNumber_Invert(value) : Py_NewRef(value);
    if (magnitude == NULL)
        goto out;
    bits = PyObject_CallMethod(magnitude, "bit_length", NULL);
    if (bits == NULL)
        goto out;
    size_t count = PyLong_AsSize_t(bits);
    if (count == (size_t)-1 && PyErr_Occurred())
        goto out;
    bytes = PyObject_CallMethod(magnitude, "to_bytes", "ns",
                                (Py_ssize_t)(count / 8 + 1), "big");
    if (bytes == NULL)
        goto out;
    if (put_head(e, GUACO__CBOR_TAG, negative ? TAG_BIG_NEGATIVE : TAG_BIG) < 0)
        goto out;

    /* The shortest form: without the leading zero byte, if there is one. */
    const char *digits = PyBytes_AS_STRING(bytes);
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);
    size_t skip = digits[0] == 0 ? 1 : 0;
    if (put_head(e, GUACO__CBOR_BYTES, len - skip) < 0)
        goto out;
    rc = put_bytes(e, digits + skip, len - skip);
out:
    Py_XDECREF(magnitude);
    Py_XDECREF(bytes);
    Py_XDECREF(bits);
    Py_XDECREF(zero);
    return rc;
}

static int
encode_int(struct encoder *e, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);

    if (overflow != 0)
        return encode_big(e, value);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (number < 0)
        return put_head(e, GUACO__CBOR_NINT, (uint64_t)(-1 - number));
    return put_head(e, GUACO__CBOR_UINT, (uint64_t)number);
}

static int
encode_float(struct encoder *e, PyObject *value)
{
    unsigned char out[GUACO__CBOR_HEAD_MAX];

    return put_bytes(e, out,
                     guaco__cbor_put_float(out, PyFloat_AS_DOUBLE(value)));
}

static int
fail_changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "container changed while serialized");
    return -1;
}

static int
encode_list(struct encoder *e, PyObject *value, unsigned depth)
{
    Py_ssize_t n = PyList_GET_SIZE(value);

    if (put_head(e, GUACO__CBOR_ARRAY, (uint64_t)n) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (PyList_GET_SIZE(value) != n)
            return fail_changed(); /* a reducer ran Python code */
        PyObject *item = Py_NewRef(PyList_GET_ITEM(value, i));
        int rc = encode_value(e, item, depth);
        Py_DECREF(item);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* The items from `first` on of a tuple, after `extra` others. */
static int
encode_items(struct encoder *e, PyObject *tuple, Py_ssize_t first,
             unsigned depth)
{
    for (Py_ssize_t i = first; i < PyTuple_GET_SIZE(tuple); i++) {
        if (encode_value(e, PyTuple_GET_ITEM(tuple, i), depth) < 0)
            return -1;
    }
    return 0;
}

/* The head of a tagged [name, ...] of `count` arguments. */
static int
put_object(struct encoder *e, const char *name, size_t len, uint64_t count)
{
    if (put_head(e, GUACO__CBOR_TAG, TAG_OBJECT) < 0)
        return -1;
    if (put_head(e, GUACO__CBOR_ARRAY, count + 1) < 0)
        return -1;
    return put_text(e, name, len);
}

static int
encode_tuple(struct encoder *e, PyObject *value, unsigned depth)
{
    uint64_t n = (uint64_t)PyTuple_GET_SIZE(value);

    if (put_object(e, "tuple", 5, n) < 0)
        return -1;
    return encode_items(e, value, 0, depth);
}

static int
encode_dict(struct encoder *e, PyObject *value, unsigned depth)
{
    Py_ssize_t n = PyDict_GET_SIZE(value), at = 0, seen = 0;
    PyObject *key, *item;

    if (put_head(e, GUACO__CBOR_MAP, (uint64_t)n) < 0)
        return -1;
    while (PyDict_Next(value, &at, &key, &item)) {
        Py_INCREF(key);
        Py_INCREF(item);
        int rc = encode_value(e, key, depth);
        if (rc == 0)
            rc = encode_value(e, item, depth);
        Py_DECREF(key);
        Py_DECREF(item);
        if (rc < 0)
            return -1;
        if (++seen > n || PyDict_GET_SIZE(value) != n)
            return fail_changed();
    }
    return seen == n ? 0 : fail_changed();
}

/* The items of a set as they come; ends[i] is where each ends. */
static int
encode_members(struct encoder *e, PyObject *value, size_t *ends, unsigned depth)
{
    Py_ssize_t n = PySet_GET_SIZE(value), seen = 0;
    PyObject *items = PyObject_GetIter(value);
    PyObject *item;
    int rc = 0;

    if (items == NULL)
        return -1;
    while (rc == 0 && seen < n && (item = PyIter_Next(items)) != NULL) {
        rc = encode_value(e, item, depth);
        Py_DECREF(item);
        ends[seen++] = e->out.len;
    }
    Py_DECREF(items);
    if (rc < 0 || PyErr_Occurred())
        return -1;
    return seen == n && PySet_GET_SIZE(value) == n ? 0 : fail_changed();
}

/* The order of a set's items differs from process to process (a str's hash
 * does), its encoding does not: they stand in the order of their bytes. */
static int
encode_set(struct encoder *e, PyObject *value, unsigned depth)
{
    Py_ssize_t n = PySet_GET_SIZE(value);
    int rc;

    if (PySet_CheckExact(value)) {
        rc = put_head(e, GUACO__CBOR_TAG, TAG_SET);
        if (rc == 0)
            rc = put_head(e, GUACO__CBOR_ARRAY, (uint64_t)n);
    } else {
        rc = put_object(e, "frozenset", 9, (uint64_t)n);
    }
    if (rc < 0 || n == 0)
        return rc;

    size_t from = e->out.len;
    size_t *ends = PyMem_New(size_t, (size_t)n);
    if (ends == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    rc = encode_members(e, value, ends, depth);
    if (rc == 0 && n > 1 &&
        guaco__items_sort(guaco__buf_data(&e->out), from, ends, (size_t)n) !=
            GUACO_OK) {
        PyErr_NoMemory();
        rc = -1;
    }
    PyMem_Free(ends);
    return rc;
}

static int
fail_type(PyObject *value)
{
    PyErr_Format(
        PyExc_TypeError,
        "a value of type %.200s cannot be stored by the default serializer: "
        "it takes None, bool, int, float, str, bytes, list, tuple, dict, set, "
        "frozenset, datetime, date, time, timedelta, Decimal, UUID and "
        "exceptions, and no subclass of them; convert it, or open the queue "
        "with serializer=\"pickle\"",
        Py_TYPE(value)->tp_name);
    return -1;
}

/* An exception's class has no end of names: one reducer serves them all. */
static PyObject *
find_reducer(const CodecObject *codec, PyObject *value)
{
    PyObject *found =
        PyDict_GetItemWithError(codec->reducers, (PyObject *)Py_TYPE(value));

    if (found == NULL && !PyErr_Occurred() && PyExceptionInstance_Check(value))
        found = PyDict_GetItemWithError(codec->reducers, PyExc_BaseException);
    return Py_XNewRef(found);
}

static int
encode_other(struct encoder *e, PyObject *value, unsigned depth)
{
    PyObject *reducer = find_reducer(e->codec, value);

    if (reducer == NULL)
        return PyErr_Occurred() ? -1 : fail_type(value);

    PyObject *parts = PyObject_CallOneArg(reducer, value);
    Py_DECREF(reducer);
    if (parts == NULL)
        return -1;

    int rc = -1;
    Py_ssize_t len;
    if (!PyTuple_CheckExact(parts) || PyTuple_GET_SIZE(parts) < 1 ||
        !PyUnicode_CheckExact(PyTuple_GET_ITEM(parts, 0))) {
        PyErr_SetString(PyExc_TypeError, "a reducer gives (name, argument...)");
        goto out;
    }
    const char *name =
        PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(parts, 0), &len);
    if (name == NULL)
        goto out;
    uint64_t count = (uint64_t)PyTuple_GET_SIZE(parts) - 1;
    if (put_object(e, name, (size_t)len, count) == 0)
        rc = encode_items(e, parts, 1, depth);
out:
    Py_DECREF(parts);
    return rc;
}

static int
encode_value(struct encoder *e, PyObject *value, unsigned depth)
{
    if (value == Py_None)
        return put_head(e, GUACO__CBOR_NULL, 0);
    if (PyBool_Check(value))
        return put_head(
            e, value == Py_True ? GUACO__CBOR_TRUE : GUACO__CBOR_FALSE, 0);
    if (PyUnicode_CheckExact(value))
        return encode_str(e, value);
    if (PyLong_CheckExact(value))
        return encode_int(e, value);
    if (PyFloat_CheckExact(value))
        return encode_float(e, value);
    if (PyBytes_CheckExact(value))
        return encode_blob(e, value);
    if (depth == 0) {
        PyErr_Format(PyExc_ValueError,
                     "the value is nested deeper than %d levels", DEPTH_MAX);
        return -1;
    }
    depth--;
    if (PyList_CheckExact(value))
        return encode_list(e, value, depth);
    if (PyDict_CheckExact(value))
        return encode_dict(e, value, depth);
    if (PyTuple_CheckExact(value))
        return encode_tuple(e, value, depth);
    if (PySet_CheckExact(value) || PyFrozenSet_CheckExact(value))
        return encode_set(e, value, depth);
    return encode_other(e, value, depth);
}

PyDoc_STRVAR(codec_encode_doc,
             "encode($self, value, /)\n--\n\n"
             "The bytes of value.\n\n"
             "Raises TypeError for a type that is not known, ValueError for a\n"
             "value that is too large, too deep or holds a lone surrogate.");

static PyObject *
codec_encode(CodecObject *self, PyObject *value)
{
    struct encoder e = {.codec = self};
    PyObject *result = NULL;
    const char version = VERSION;

    guaco__buf_init(&e.out, self->bytes_max);
    if (put_bytes(&e, &version, 1) == 0 &&
        encode_value(&e, value, DEPTH_MAX) == 0)
        result = PyBytes_FromStringAndSize(guaco__buf_data(&e.out),
                                           (Py_ssize_t)e.out.len);
    guaco__buf_release(&e.out);
    return result;
}

/* ---- decoding ---------------------------------------------------------- */

struct decoder {
    CodecObject *codec;
    struct guaco__cbor_reader in;
};

static PyObject *decode_value(struct decoder *d, unsigned depth);

static PyObject *
fail_payload(const struct decoder *d, const char *why)
{
    PyErr_Format(d->codec->st->PayloadError, "not a payload: %s", why);
    return NULL;
}

/* A builder, or a hash, refused what the data said: that is the data's fault.
 * Only what is not an Exception, and lack of memory, pass as they are. */
static PyObject *
wrap_failure(const struct decoder *d)
{
    if (PyErr_ExceptionMatches(PyExc_MemoryError) ||
        PyErr_ExceptionMatches(d->codec->st->PayloadError) ||
        !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL;
    PyErr_Clear();
    return fail_payload(d, "a value has the wrong form");
}

static PyObject *
decode_list(struct decoder *d, uint64_t count, unsigned depth)
{
    PyObject *list = PyList_New((Py_ssize_t)count); /* <= bytes left */

    for (Py_ssize_t i = 0; list != NULL && i < (Py_ssize_t)count; i++) {
        PyObject *item = decode_value(d, depth);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

static PyObject *
decode_tuple(struct decoder *d, uint64_t count, unsigned depth)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);

    for (Py_ssize_t i = 0; tuple != NULL && i < (Py_ssize_t)count; i++) {
        PyObject *item = decode_value(d, depth);
        if (item == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

static PyObject *
decode_dict(struct decoder *d, uint64_t count, unsigned depth)
{
    PyObject *dict = PyDict_New();

    for (uint64_t i = 0; dict != NULL && i < count; i++) {
        PyObject *key = decode_value(d, depth);
        PyObject *item = key == NULL ? NULL : decode_value(d, depth);
        if (item == NULL)
            Py_CLEAR(dict);
        else if (PyDict_SetItem(dict, key, item) < 0) {
            wrap_failure(d);
            Py_CLEAR(dict);
        }
        Py_XDECREF(key);
        Py_XDECREF(item);
    }
    if (dict != NULL && (uint64_t)PyDict_GET_SIZE(dict) != count) {
        Py_DECREF(dict);
        return fail_payload(d, "a key occurs twice");
    }
    return dict;
}

/* A set or frozenset of the next `count` items. */
static PyObject *
decode_set(struct decoder *d, uint64_t count, unsigned depth, bool frozen)
{
    PyObject *items = decode_tuple(d, count, depth);
    if (items == NULL)
        return NULL;

    PyObject *set = frozen ? PyFrozenSet_New(items) : PySet_New(items);
    Py_DECREF(items);
    if (set == NULL)
        return wrap_failure(d);
    if ((uint64_t)PySet_GET_SIZE(set) != count) {
        Py_DECREF(set);
        return fail_payload(d, "an element occurs twice");
    }
    return set;
}

static PyObject *
decode_big(struct decoder *d, bool negative)
{
    struct guaco__cbor_item item;

    if (guaco__cbor_next(&d->in, &item) < 0 || item.kind != GUACO__CBOR_BYTES ||
        item.bytes.len < 8 || item.bytes.at[0] == 0)
        return fail_payload(d, "a big integer has the wrong form");

    PyObject *number =
        PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "y#s",
                            item.bytes.at, (Py_ssize_t)item.bytes.len, "big");
    if (number == NULL || !negative)
        return number;
    Py_SETREF(number, PyNumber_Invert(number));
    return number;
}

static PyObject *
decode_object(struct decoder *d, unsigned depth)
{
    struct guaco__cbor_item array, name;

    if (guaco__cbor_next(&d->in, &array) < 0 ||
        array.kind != GUACO__CBOR_ARRAY || array.value < 1 ||
        guaco__cbor_next(&d->in, &name) < 0 || name.kind != GUACO__CBOR_TEXT)
        return fail_payload(d, "an object has the wrong form");

    uint64_t count = array.value - 1;
    if (guaco_slice_equals(name.bytes, GUACO_SLICE("tuple")))
        return decode_tuple(d, count, depth);
    if (guaco_slice_equals(name.bytes, GUACO_SLICE("frozenset")))
        return decode_set(d, count, depth, true);

    PyObject *key =
        PyUnicode_DecodeUTF8(name.bytes.at, (Py_ssize_t)name.bytes.len, NULL);
    if (key == NULL)
        return wrap_failure(d);
    PyObject *builder = PyDict_GetItemWithError(d->codec->builders, key);
    Py_DECREF(key);
    if (builder == NULL)
        return PyErr_Occurred() ? NULL
                                : fail_payload(d, "an object of unknown type");

    PyObject *arguments = decode_tuple(d, count, depth);
    if (arguments == NULL)
        return NULL;
    PyObject *value = PyObject_CallObject(builder, arguments);
    Py_DECREF(arguments);
    return value == NULL ? wrap_failure(d) : value;
}

static PyObject *
decode_tag(struct decoder *d, uint64_t tag, unsigned depth)
{
    struct guaco__cbor_item item;

    switch (tag) {
    case TAG_BIG: return decode_big(d, false);
    case TAG_BIG_NEGATIVE: return decode_big(d, true);
    case TAG_OBJECT: return decode_object(d, depth);
    case TAG_SET:
        if (guaco__cbor_next(&d->in, &item) < 0 ||
            item.kind != GUACO__CBOR_ARRAY)
            return fail_payload(d, "a set has the wrong form");
        return decode_set(d, item.value, depth, false);
    default: return fail_payload(d, "a tag that is not known");
    }
}

static PyObject *
decode_nint(uint64_t value)
{
    return PyLong_FromLongLong(-1 - (long long)value);
}

static PyObject *
decode_nested(struct decoder *d, const struct guaco__cbor_item *item,
              unsigned depth)
{
    if (depth == 0)
        return fail_payload(d, "nested too deep");
    if (item->kind == GUACO__CBOR_ARRAY)
        return decode_list(d, item->value, depth - 1);
    if (item->kind == GUACO__CBOR_MAP)
        return decode_dict(d, item->value, depth - 1);
    return decode_tag(d, item->value, depth - 1);
}

static PyObject *
decode_value(struct decoder *d, unsigned depth)
{
    struct guaco__cbor_item item;
    PyObject *text;

    if (guaco__cbor_next(&d->in, &item) < 0)
        return fail_payload(d, "the bytes are damaged");
    switch (item.kind) {
    case GUACO__CBOR_UINT: return PyLong_FromUnsignedLongLong(item.value);
    case GUACO__CBOR_NINT: return decode_nint(item.value);
    case GUACO__CBOR_BYTES:
        return PyBytes_FromStringAndSize(item.bytes.at,
                                         (Py_ssize_t)item.bytes.len);
    case GUACO__CBOR_TEXT:
        text = PyUnicode_DecodeUTF8(item.bytes.at, (Py_ssize_t)item.bytes.len,
                                    NULL);
        return text == NULL ? wrap_failure(d) : text;
    case GUACO__CBOR_FALSE: Py_RETURN_FALSE;
    case GUACO__CBOR_TRUE: Py_RETURN_TRUE;
    case GUACO__CBOR_NULL: Py_RETURN_NONE;
    case GUACO__CBOR_FLOAT: return PyFloat_FromDouble(item.number);
    case GUACO__CBOR_ARRAY:
    case GUACO__CBOR_MAP:
    case GUACO__CBOR_TAG: return decode_nested(d, &item, depth);
    }
    assert(0 && "every kind is above");
    return NULL;
}

PyDoc_STRVAR(codec_decode_doc,
             "decode($self, data, /)\n--\n\n"
             "The value whose bytes data (bytes-like) are.\n\n"
             "Raises PayloadError when they are not one whole payload.");

static PyObject *
codec_decode(CodecObject *self, PyObject *data)
{
    Py_buffer view;

    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;

    struct decoder d = {self,
                        guaco__cbor_reader_of(view.buf, (size_t)view.len)};
    PyObject *value = NULL;
    if ((size_t)view.len > self->bytes_max)
        fail_payload(&d, "too large");
    else if (view.len < 1 || *d.in.at++ != VERSION)
        fail_payload(&d, "another serializer or version wrote it");
    else
        value = decode_value(&d, DEPTH_MAX);
    if (value != NULL && d.in.at != d.in.end) {
        Py_CLEAR(value);
        fail_payload(&d, "bytes after its end");
    }
    PyBuffer_Release(&view);
    return value;
}

/* ---- life, and the type ------------------------------------------------ */

static PyObject *
codec_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *reducers, *builders;
    Py_ssize_t bytes_max;

    if (!guaco__no_keywords("Codec", kwargs) ||
        !PyArg_ParseTuple(args, "O!O!n:Codec", &PyDict_Type, &reducers,
                          &PyDict_Type, &builders, &bytes_max))
        return NULL;
    if (bytes_max < 1) {
        PyErr_SetString(PyExc_ValueError, "bytes_max must be at least 1");
        return NULL;
    }
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    CodecObject *self = (CodecObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->st = guaco_state_of(module);
    self->reducers = Py_NewRef(reducers);
    self->builders = Py_NewRef(builders);
    self->bytes_max = (size_t)bytes_max;
    return (PyObject *)self;
}

static int
codec_traverse(CodecObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->reducers);
    Py_VISIT(self->builders);
    return 0;
}

static int
codec_clear(CodecObject *self)
{
    Py_CLEAR(self->reducers);
    Py_CLEAR(self->builders);
    return 0;
}

static void
codec_dealloc(CodecObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    codec_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef codec_methods[] = {
    {"encode", (PyCFunction)codec_encode, METH_O, codec_encode_doc},
    {"decode", (PyCFunction)codec_decode, METH_O, codec_decode_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot codec_slots[] = {
    {Py_tp_doc, (void *)"Python values to bytes and back, typed and safe."},
    {Py_tp_new, codec_new},
    {Py_tp_dealloc, codec_dealloc},
    {Py_tp_traverse, codec_traverse},
    {Py_tp_clear, codec_clear},
    {Py_tp_methods, codec_methods},
    {0, NULL},
};

static PyType_Spec codec_spec = {
    .name = "guaco._core.Codec",
    .basicsize = sizeof(CodecObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = codec_slots,
};

int
guaco__codec_type_add(PyObject *module, struct guaco_state *st)
{
    PyObject *bases = PyTuple_Pack(2, st->Error, PyExc_ValueError);
    if (bases == NULL)
        return -1;
    st->PayloadError = PyErr_NewExceptionWithDoc(
        "guaco.PayloadError",
        "The bytes of a task or a result are not what its serializer wrote.",
        bases, NULL);
    Py_DECREF(bases);
    if (st->PayloadError == NULL ||
        PyModule_AddObjectRef(module, "PayloadError", st->PayloadError) < 0)
        return -1;
    st->CodecType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &codec_spec, NULL);
    if (st->CodecType == NULL)
        return -1;
    return PyModule_AddType(module, st->CodecType);
}
