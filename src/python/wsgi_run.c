/*
 * A WSGI request on its way: the application's result is sent piece by piece
 * (PEP 3333, "Buffering and Streaming").
 *
 * A list or tuple is all here: it leaves at once, with its length.  A file of
 * ours goes by sendfile.  Anything else is advanced one piece a turn of the
 * loop, so that each piece has left, or is on its way, before the application
 * is asked for the next, and only while the client takes what was sent.
 */

#include "wsgi.h"

#include <assert.h>

#include "module.h"

enum { EMPTY_PIECES_A_TURN = 64 };

/* ---- errors ------------------------------------------------------------- */

void
guaco__wsgi_report(struct guaco__wsgi_call *call, const char *text)
{
    PyObject *exc = guaco__exc_take();

    if (call->wsgi != NULL) {
        PyObject *hook = call->wsgi->options.report;
        PyObject *done = PyObject_CallFunction(hook, "sO", text,
                                               exc != NULL ? exc : Py_None);
        if (done == NULL)
            PyErr_WriteUnraisable(hook);
        Py_XDECREF(done);
    }
    Py_XDECREF(exc);
}

int
guaco__wsgi_check_bytes(PyObject *data)
{
    if (PyBytes_Check(data))
        return 0;
    PyErr_Format(PyExc_TypeError, "a WSGI application yields bytes, not %.100s",
                 Py_TYPE(data)->tp_name);
    return -1;
}

int
guaco__wsgi_check_started(const struct guaco__wsgi_call *call)
{
    if (call->status != 0)
        return 0;
    PyErr_SetString(PyExc_AssertionError,
                    "start_response was not called before the body");
    return -1;
}

static void
break_off(struct guaco__wsgi_call *call)
{
    call->is_over = true;
    if (call->x != NULL)
        guaco_exchange_abort(call->x);
}

void
guaco__wsgi_close(struct guaco__wsgi_call *call)
{
    PyObject *iterable = call->iterable;
    PyObject *method;

    call->iterable = NULL;
    Py_CLEAR(call->iterator);
    if (iterable == NULL)
        return;
    if (!PyList_CheckExact(iterable) && !PyTuple_CheckExact(iterable)) {
        method = PyObject_GetAttr(iterable, call->st->gateway.t_close);
        PyObject *done = method == NULL ? NULL : PyObject_CallNoArgs(method);
        if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_Clear();
        else if (done == NULL)
            guaco__wsgi_report(call, "close() of the WSGI iterable failed");
        Py_XDECREF(method);
        Py_XDECREF(done);
    }
    Py_DECREF(iterable);
}

static void
fail(struct guaco__wsgi_call *call)
{
    if (!PyErr_ExceptionMatches(call->st->gateway.ClientDisconnected))
        guaco__wsgi_report(call, "exception in the WSGI application");
    PyErr_Clear();
    break_off(call);
    guaco__wsgi_close(call);
}

/* ---- sending ------------------------------------------------------------ */

/* The str objects are Latin-1, checked by start_response: their bytes are what
 * is sent. */
static struct guaco_slice
slice_of(PyObject *text)
{
    return (struct guaco_slice){(const char *)PyUnicode_1BYTE_DATA(text),
                                (size_t)PyUnicode_GET_LENGTH(text)};
}

static int
start_with(struct guaco__wsgi_call *call, struct guaco_field *fields)
{
    size_t count = (size_t)PyTuple_GET_SIZE(call->headers);
    char digits[24];

    for (size_t i = 0; i < count; i++) {
        PyObject *pair = PyTuple_GET_ITEM(call->headers, (Py_ssize_t)i);
        fields[i].name = slice_of(PyTuple_GET_ITEM(pair, 0));
        fields[i].value = slice_of(PyTuple_GET_ITEM(pair, 1));
    }
    if (call->length < 0 && call->add_length >= 0) {
        int n = PyOS_snprintf(digits, sizeof digits, "%lld",
                              (long long)call->add_length);
        fields[count].name = GUACO_SLICE("content-length");
        fields[count].value = (struct guaco_slice){digits, (size_t)n};
        count++;
    }
    return guaco_exchange_start(call->x, call->status, fields, count, false);
}

static int
start(struct guaco__wsgi_call *call)
{
    size_t room = (size_t)PyTuple_GET_SIZE(call->headers) + 1;
    struct guaco_field local[24];
    struct guaco_field *fields = local;

    if (room > sizeof local / sizeof *local)
        fields = PyMem_Malloc(room * sizeof *fields);
    if (fields == NULL)
        return GUACO_E_NOMEM;
    call->is_started = true;
    call->is_committed = true;
    int rc = start_with(call, fields);
    if (fields != local)
        PyMem_Free(fields);
    return rc;
}

static void
release_bytes(void *owner)
{
    Py_DECREF((PyObject *)owner);
}

static int
give_bytes(struct guaco__wsgi_call *call, PyObject *data, bool more)
{
    struct guaco_bytes bytes = {
        .at = PyBytes_AS_STRING(data),
        .len = (size_t)PyBytes_GET_SIZE(data),
        .release = release_bytes,
        .owner = Py_NewRef(data),
    };
    int rc = guaco_exchange_body(call->x, bytes, more);

    if (rc != 0 && rc != GUACO_E_AGAIN)
        Py_DECREF(data);
    call->given += bytes.len;
    return rc;
}

static int
give_file(struct guaco__wsgi_call *call, PyObject *wrapper)
{
    uint64_t count;
    off_t offset;
    int fd;

    if (!guaco__file_wrapper_span(&call->st->gateway, wrapper, &fd, &offset,
                                  &count))
        return GUACO_E_IO;
    if (call->length >= 0 && count > (uint64_t)call->length)
        count = (uint64_t)call->length;
    call->given += count;
    return guaco_exchange_file(call->x, fd, offset, count, false);
}

int
guaco__wsgi_give(struct guaco__wsgi_call *call, PyObject *data, bool more)
{
    int rc = 0;

    if (call->x == NULL)
        return GUACO_E_CLOSED;
    assert(call->status != 0);
    if (!call->is_started)
        rc = start(call);
    if (rc < 0)
        return rc;
    return PyBytes_Check(data) ? give_bytes(call, data, more)
                               : give_file(call, data);
}

/* What give() answered: false when there is no use in going on. */
static bool
went_well(struct guaco__wsgi_call *call, int rc)
{
    if (rc == GUACO_E_AGAIN)
        call->is_full = true;
    if (rc == 0 || rc == GUACO_E_AGAIN)
        return true;
    if (rc == GUACO_E_INVALID && call->given > 0) {
        call->is_over = true; /* the server cut it there */
        guaco__wsgi_report(call, "the body is longer than its Content-Length");
    } else if (rc != GUACO_E_CLOSED) {
        guaco__wsgi_report(call, guaco_strerror(rc));
        break_off(call);
    }
    call->is_over = true;
    return false;
}

/* ---- results that are all here ------------------------------------------ */

/* Bytes in the items of a list or tuple; -1: one of them is not bytes. */
static int64_t
sum_of(PyObject *items)
{
    int64_t sum = 0;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(items, i);
        if (guaco__wsgi_check_bytes(item) < 0)
            return -1;
        sum += PyBytes_GET_SIZE(item);
    }
    return sum;
}

static void
run_list(struct guaco__wsgi_call *call)
{
    PyObject *items = call->iterable;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    int64_t sum = sum_of(items);

    if (sum < 0 || guaco__wsgi_check_started(call) < 0) {
        fail(call);
        return;
    }
    if (n != 1 && !call->is_committed)
        call->add_length = sum;
    bool good = true;
    for (Py_ssize_t i = 0; good && i < n; i++)
        good = went_well(
            call, guaco__wsgi_give(call, PySequence_Fast_GET_ITEM(items, i),
                                   i + 1 < n));
    if (n == 0)
        (void)went_well(
            call, guaco__wsgi_give(call, call->st->gateway.empty_bytes, false));
    call->is_over = true;
    guaco__wsgi_close(call);
}

static void
run_file(struct guaco__wsgi_call *call)
{
    if (guaco__wsgi_check_started(call) < 0) {
        fail(call);
        return;
    }
    (void)went_well(call, guaco__wsgi_give(call, call->iterable, false));
    call->is_over = true;
    guaco__wsgi_close(call);
}

/* ---- iterables ---------------------------------------------------------- */

/* One piece that is said to be the only one gets a Content-Length (PEP 3333,
 * "Handling the Content-Length Header"). */
int
guaco__wsgi_iterate(struct guaco__wsgi_call *call)
{
    PyTypeObject *type = Py_TYPE(call->iterable);

    if (call->length < 0 && type->tp_as_sequence != NULL &&
        type->tp_as_sequence->sq_length != NULL) {
        Py_ssize_t len = PyObject_Size(call->iterable);
        if (len < 0)
            return -1;
        call->is_single = len == 1;
    }
    call->iterator = PyObject_GetIter(call->iterable);
    return call->iterator == NULL ? -1 : 0;
}

/* The iterable has ended by itself. */
static void
finish(struct guaco__wsgi_call *call)
{
    if (!call->is_over) {
        if (guaco__wsgi_check_started(call) < 0) {
            fail(call);
            return;
        }
        (void)went_well(
            call, guaco__wsgi_give(call, call->st->gateway.empty_bytes, false));
        call->is_over = true;
    }
    guaco__wsgi_close(call);
}

/* Send a piece that is not empty.  True: ask for the next at once. */
static bool
send_piece(struct guaco__wsgi_call *call, PyObject *piece)
{
    if (call->is_over) {
        guaco__wsgi_report(call, "the body is longer than its Content-Length");
        guaco__wsgi_close(call);
        return false;
    }
    uint64_t after = call->given + (uint64_t)PyBytes_GET_SIZE(piece);
    bool more = !call->is_single &&
                (call->length < 0 || after < (uint64_t)call->length);

    if (!went_well(call, guaco__wsgi_give(call, piece, more))) {
        guaco__wsgi_close(call);
        return false;
    }
    call->is_over = !more;
    if (more && !call->is_full)
        guaco__wsgi_post(call);
    return !more; /* the response is whole: let the iterable end itself */
}

/* One piece, or what there is of an end.  True: go on at once. */
static bool
advance(struct guaco__wsgi_call *call)
{
    PyObject *piece = PyIter_Next(call->iterator);
    bool go_on = false;

    if (piece == NULL) {
        if (PyErr_Occurred())
            fail(call);
        else
            finish(call);
        return false;
    }
    if (guaco__wsgi_check_bytes(piece) < 0 ||
        (PyBytes_GET_SIZE(piece) > 0 && guaco__wsgi_check_started(call) < 0))
        fail(call);
    else if (PyBytes_GET_SIZE(piece) == 0)
        go_on = true;
    else
        go_on = send_piece(call, piece);
    Py_DECREF(piece);
    return go_on;
}

static void
step(struct guaco__wsgi_call *call)
{
    bool go_on = true;

    if (call->is_stepping || call->iterator == NULL || call->is_full)
        return;
    call->is_stepping = true;
    for (int i = 0; go_on && i < EMPTY_PIECES_A_TURN; i++)
        go_on = advance(call);
    call->is_stepping = false;
    if (go_on)
        guaco__wsgi_post(call);
}

void
guaco__wsgi_continue(struct guaco__wsgi_call *call)
{
    if (call->is_pooled)
        guaco__pool_flush(call);
    else if (call->x == NULL)
        guaco__wsgi_close(call);
    else
        step(call);
}

/* ---- the application ---------------------------------------------------- */

static void
run_result(struct guaco__wsgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    uint64_t count;
    off_t offset;
    int fd;

    if (PyList_CheckExact(call->iterable) ||
        PyTuple_CheckExact(call->iterable)) {
        run_list(call);
        return;
    }
    if (Py_IS_TYPE(call->iterable, gw->FileWrapperType) &&
        guaco__file_wrapper_span(gw, call->iterable, &fd, &offset, &count)) {
        run_file(call);
        return;
    }
    if (guaco__wsgi_iterate(call) < 0)
        fail(call);
    else
        step(call);
}

void
guaco__wsgi_run(struct guaco__wsgi_call *call)
{
    PyObject *env = call->environ;
    PyObject *args[] = {NULL, env, (PyObject *)call};

    call->environ = NULL;
    guaco__py_board_begin(call->st);
    call->iterable =
        PyObject_Vectorcall(call->wsgi->options.callable, args + 1,
                            2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(env);
    if (call->iterable == NULL)
        fail(call);
    else
        run_result(call);
    guaco__py_board_end(call->st);
}

/* ---- write() ------------------------------------------------------------ */

static int
write_inline(struct guaco__wsgi_call *call, PyObject *data)
{
    int rc = guaco__wsgi_give(call, data, true);

    /* The application blocks the loop: what it wrote must leave now. */
    if (rc == 0 || rc == GUACO_E_AGAIN)
        rc = guaco_exchange_wait(call->x, call->wsgi->options.send_ms);
    if (rc == 0)
        return 0;
    if (rc == GUACO_E_CLOSED || rc == GUACO_E_TIMEOUT)
        PyErr_SetString(call->st->gateway.ClientDisconnected,
                        "the client is gone");
    else
        PyErr_Format(PyExc_RuntimeError, "write(): %s", guaco_strerror(rc));
    return -1;
}

PyObject *
guaco__wsgi_write(PyObject *self, PyObject *data)
{
    struct guaco__wsgi_call *call = (struct guaco__wsgi_call *)self;

    if (guaco__wsgi_check_bytes(data) < 0 ||
        guaco__wsgi_check_started(call) < 0)
        return NULL;
    if (call->wsgi == NULL || call->is_over) {
        PyErr_SetString(PyExc_RuntimeError, "write() after the end");
        return NULL;
    }
    if (PyBytes_GET_SIZE(data) == 0)
        Py_RETURN_NONE;
    int rc = call->is_pooled ? guaco__pool_give(call, data, false)
                             : write_inline(call, data);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}
