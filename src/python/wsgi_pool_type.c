/*
 * Pool: threads that run WSGI applications.  In Python it would read
 *
 *     class Pool:
 *         def run(self): ...      # the target of each thread, until close()
 *         def close(self): ...
 *
 * The threads are Python's own (threading.Thread), so that everything knows
 * them.  The loop's thread queues a call and signals; it never waits.  A thread
 * leaves what is to be sent in the call, posts it to the loop, and waits, while
 * more than a cap is left, without the GIL.
 *
 * Threads: `lock` guards `signals` and `is_closed`; it is held for a few
 * instructions, never while waiting for the GIL.  The queue is guarded by the
 * GIL.
 */

#include "wsgi.h"

#include <assert.h>
#include <pthread.h>

#include "module.h"

typedef struct {
    PyObject_HEAD
    struct guaco__list jobs; /* of struct guaco__wsgi_call.job_link */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    size_t signals; /* calls queued and not yet taken, or more */
    bool is_closed;
} PoolObject;

/* ---- the loop's side ---------------------------------------------------- */

void
guaco__pool_put(PyObject *pool, struct guaco__wsgi_call *call)
{
    PoolObject *self = (PoolObject *)pool;

    call->is_pooled = true;
    guaco__list_push(&self->jobs, &call->job_link);
    pthread_mutex_lock(&self->lock);
    self->signals++;
    pthread_cond_signal(&self->ready);
    pthread_mutex_unlock(&self->lock);
}

void
guaco__pool_wake(struct guaco__wsgi_call *call)
{
    if (!call->is_waiting)
        return;
    call->is_waiting = false;
    PyThread_release_lock(call->room);
}

static void
piece_free(struct guaco__wsgi_call *call, struct guaco__wsgi_piece *piece)
{
    if (PyBytes_Check(piece->data))
        call->piece_bytes -= (size_t)PyBytes_GET_SIZE(piece->data);
    Py_DECREF(piece->data);
    PyMem_Free(piece);
}

/* Send what can be sent.  The first failure is the last: the rest is dropped
 * and the thread sees that nobody listens. */
void
guaco__pool_flush(struct guaco__wsgi_call *call)
{
    struct guaco__list *link;

    while (!call->is_full &&
           (link = guaco__list_shift(&call->pieces)) != NULL) {
        struct guaco__wsgi_piece *piece =
            GUACO__OF(link, struct guaco__wsgi_piece, link);
        int rc = call->is_over
                     ? GUACO_E_CLOSED
                     : guaco__wsgi_give(call, piece->data, !piece->is_last);
        call->is_full = rc == GUACO_E_AGAIN;
        if (rc == GUACO_E_INVALID && call->given > 0)
            guaco__wsgi_report(call,
                               "the body is longer than its Content-Length");
        else if (rc < 0 && rc != GUACO_E_AGAIN && rc != GUACO_E_CLOSED)
            call->is_failed = true;
        if ((rc < 0 && rc != GUACO_E_AGAIN) || piece->is_last)
            call->is_over = true;
        piece_free(call, piece);
    }
    if (call->is_failed && guaco__list_is_empty(&call->pieces)) {
        call->is_failed = false;
        call->is_over = true;
        if (call->x != NULL)
            guaco_exchange_abort(call->x);
    }
    guaco__pool_wake(call);
}

/* ---- a thread's side ---------------------------------------------------- */

static bool
must_wait(const struct guaco__wsgi_call *call, size_t ahead)
{
    return call->x != NULL && !call->is_over &&
           (call->piece_bytes > ahead || call->is_full);
}

/* Wait until at most `ahead` bytes are left, or nobody listens. */
static int
wait_for_room(struct guaco__wsgi_call *call, size_t ahead)
{
    while (must_wait(call, ahead)) {
        if (call->room == NULL) {
            call->room = PyThread_allocate_lock();
            if (call->room == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            PyThread_acquire_lock(call->room, NOWAIT_LOCK);
        }
        call->is_waiting = true;
        Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(call->room, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    return 0;
}

int
guaco__pool_give(struct guaco__wsgi_call *call, PyObject *data, bool last)
{
    if (call->x == NULL || (call->is_over && !last)) {
        PyErr_SetString(call->st->gateway.ClientDisconnected,
                        "the client is gone");
        return -1;
    }
    struct guaco__wsgi_piece *piece = PyMem_Malloc(sizeof *piece);
    if (piece == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    guaco__list_init(&piece->link);
    piece->data = Py_NewRef(data);
    piece->is_last = last;
    if (PyBytes_Check(data))
        call->piece_bytes += (size_t)PyBytes_GET_SIZE(data);
    call->is_committed = true;
    guaco__list_push(&call->pieces, &piece->link);
    guaco__wsgi_post(call);
    return last ? 0 : wait_for_room(call, GUACO__WSGI_AHEAD_MAX);
}

static int
give_list(struct guaco__wsgi_call *call)
{
    PyObject *items = call->iterable;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items);
    int64_t sum = 0;

    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(items, i);
        if (guaco__wsgi_check_bytes(item) < 0)
            return -1;
        sum += PyBytes_GET_SIZE(item);
    }
    if (n != 1 && !call->is_committed)
        call->add_length = sum;
    for (Py_ssize_t i = 0; i < n; i++)
        if (guaco__pool_give(call, PySequence_Fast_GET_ITEM(items, i),
                             i + 1 == n) < 0)
            return -1;
    return n > 0 ? 0
                 : guaco__pool_give(call, call->st->gateway.empty_bytes, true);
}

static int
give_iterator(struct guaco__wsgi_call *call)
{
    PyObject *piece = NULL;
    int rc = 0;

    if (guaco__wsgi_iterate(call) < 0)
        return -1;
    while (rc == 0 && (piece = PyIter_Next(call->iterator)) != NULL) {
        rc = guaco__wsgi_check_bytes(piece);
        if (rc == 0 && PyBytes_GET_SIZE(piece) > 0) {
            rc = guaco__wsgi_check_started(call);
            if (rc == 0)
                rc = guaco__pool_give(call, piece, call->is_single);
        }
        Py_DECREF(piece);
    }
    if (rc < 0 || PyErr_Occurred() || guaco__wsgi_check_started(call) < 0)
        return -1;
    return guaco__pool_give(call, call->st->gateway.empty_bytes, true);
}

static int
give_result(struct guaco__wsgi_call *call)
{
    const struct guaco__gateway_state *gw = &call->st->gateway;
    uint64_t count;
    off_t offset;
    int fd;
    bool is_list =
        PyList_CheckExact(call->iterable) || PyTuple_CheckExact(call->iterable);
    bool is_file =
        !is_list && Py_IS_TYPE(call->iterable, gw->FileWrapperType) &&
        guaco__file_wrapper_span(gw, call->iterable, &fd, &offset, &count);

    if (!is_list && !is_file)
        return give_iterator(call);
    if (guaco__wsgi_check_started(call) < 0)
        return -1;
    if (is_list)
        return give_list(call);
    /* A file is closed when the loop has taken its own descriptor of it. */
    int rc = guaco__pool_give(call, call->iterable, true);
    while (rc == 0 && call->x != NULL && !guaco__list_is_empty(&call->pieces)) {
        call->piece_bytes++;
        rc = wait_for_room(call, call->piece_bytes - 1);
        call->piece_bytes--;
    }
    return rc;
}

/* From start to end, in this thread. */
static void
run_call(struct guaco__wsgi_call *call)
{
    PyObject *callable = Py_NewRef(call->wsgi->options.callable);
    PyObject *own = call->environ;
    PyObject *args[] = {NULL, own, (PyObject *)call};

    call->environ = NULL;
    guaco__py_board_begin(call->st);
    call->iterable = PyObject_Vectorcall(
        callable, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(own);
    Py_DECREF(callable);
    if (call->iterable == NULL || give_result(call) < 0) {
        if (!PyErr_ExceptionMatches(call->st->gateway.ClientDisconnected))
            guaco__wsgi_report(call, "exception in the WSGI application");
        PyErr_Clear();
        call->is_failed = true;
    }
    guaco__wsgi_close(call);
    guaco__py_board_end(call->st);
    call->is_running = false;
    if (call->wsgi == NULL)
        Py_CLEAR(call->write); /* the server ended meanwhile */
    guaco__wsgi_post(call);    /* what is left, and the end */
}

/* ---- the type ----------------------------------------------------------- */

/* True when a call may be queued, false to end. */
static bool
wait_for_signal(PoolObject *self)
{
    bool open;

    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&self->lock);
    while (self->signals == 0 && !self->is_closed)
        pthread_cond_wait(&self->ready, &self->lock);
    open = self->signals > 0;
    if (open)
        self->signals--;
    pthread_mutex_unlock(&self->lock);
    Py_END_ALLOW_THREADS return open;
}

static PyObject *
pool_run(PoolObject *self, PyObject *Py_UNUSED(none))
{
    while (wait_for_signal(self)) {
        struct guaco__list *link = guaco__list_shift(&self->jobs);
        if (link == NULL)
            continue; /* its client left before a thread was free */
        struct guaco__wsgi_call *call =
            GUACO__OF(link, struct guaco__wsgi_call, job_link);
        Py_INCREF(call);
        call->is_running = true;
        run_call(call);
        Py_DECREF(call);
    }
    Py_RETURN_NONE;
}

static PyObject *
pool_close(PoolObject *self, PyObject *Py_UNUSED(none))
{
    pthread_mutex_lock(&self->lock);
    self->is_closed = true;
    pthread_cond_broadcast(&self->ready);
    pthread_mutex_unlock(&self->lock);
    Py_RETURN_NONE;
}

static PyObject *
pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 ||
        (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Pool() takes no arguments");
        return NULL;
    }
    PoolObject *self = (PoolObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    guaco__list_init(&self->jobs);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->ready, NULL);
    return (PyObject *)self;
}

static void
pool_dealloc(PoolObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    assert(guaco__list_is_empty(&self->jobs));
    pthread_cond_destroy(&self->ready);
    pthread_mutex_destroy(&self->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef pool_methods[] = {
    {"run", (PyCFunction)pool_run, METH_NOARGS,
     "run($self, /)\n--\n\nRun calls until close(); the target of a thread."},
    {"close", (PyCFunction)pool_close, METH_NOARGS,
     "close($self, /)\n--\n\nLet the threads end when the queue is empty."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, (void *)"Pool()\n--\n\nA queue of WSGI calls for threads."},
    {Py_tp_new, pool_new},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_methods, pool_methods},
    {0, NULL},
};

static PyType_Spec pool_spec = {
    .name = "guaco._core.Pool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_slots,
};

int
guaco__pool_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.PoolType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &pool_spec, NULL);
    if (st->gateway.PoolType == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "Pool",
                                 (PyObject *)st->gateway.PoolType);
}
