/*
 * guaco._core.Watch: what Broker.watch() gives.  In Python it would read
 *
 *     class Watch:
 *         def close(self) -> None: ...
 *
 * While it is there, news of one task go to a mailbox; dropping the last
 * reference ends the watch as close() does.
 *
 * Threads: the store's thread reads `box` and `tag`, which never change while
 * the watch lasts; everything else under the GIL.
 */

#include "queue_types.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD
    PyObject *broker;          /* entered; NULL once closed */
    struct guaco_broker *open; /* of broker */
    struct guaco_watch *watch;
    MailboxObject *box;
    uint64_t tag;
} WatchObject;

/* On the store's thread. */
static void
on_news(void *ctx, int rc, const struct guaco_news *news)
{
    WatchObject *self = ctx;
    struct guaco__letter *letter = calloc(1, sizeof *letter);

    /* Without memory the letter is lost, as its sender has no one to tell;
     * who waits goes by the timeout that it gave. */
    if (letter != NULL) {
        letter->kind = GUACO__LETTER_NEWS;
        letter->tag = self->tag;
        letter->rc = rc;
        if (rc == 0) {
            letter->news = guaco__news_copy_of(news);
            if (letter->news == NULL)
                letter->rc = GUACO_E_NOMEM;
        }
        guaco__mailbox_post(self->box, letter);
    }
}

static void
watch_end(WatchObject *self)
{
    struct guaco_watch *watch = self->watch;
    struct guaco_broker *open = self->open;

    self->watch = NULL;
    if (watch != NULL && guaco__broker_is_ours(self->broker)) {
        Py_BEGIN_ALLOW_THREADS guaco_broker_unwatch(open, watch);
        Py_END_ALLOW_THREADS
    }
    if (self->broker != NULL) {
        guaco__broker_leave(self->broker);
        Py_CLEAR(self->broker);
    }
}

PyObject *
guaco__watch_new(const struct guaco_state *st, PyObject *broker,
                 MailboxObject *box, uint64_t id, uint32_t after, uint64_t tag)
{
    struct guaco_broker *open = guaco__broker_enter(st, broker);
    if (open == NULL)
        return NULL;

    PyTypeObject *type = st->WatchType;
    WatchObject *self = (WatchObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        guaco__broker_leave(broker);
        return NULL;
    }
    self->broker = Py_NewRef(broker);
    self->open = open;
    self->box = (MailboxObject *)Py_NewRef((PyObject *)box);
    self->tag = tag;

    struct guaco_error err = {0};
    struct guaco_watch *watch = NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_broker_watch(open, id, after, false, on_news, self, &watch, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        Py_DECREF(self);
        return guaco_raise(st, rc, &err);
    }
    self->watch = watch;
    return (PyObject *)self;
}

static PyObject *
watch_close(WatchObject *self, PyObject *Py_UNUSED(ignored))
{
    watch_end(self);
    Py_RETURN_NONE;
}

static int
watch_traverse(WatchObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->broker);
    Py_VISIT((PyObject *)self->box);
    return 0;
}

static void
watch_dealloc(WatchObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    watch_end(self);
    Py_XDECREF((PyObject *)self->box);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef watch_methods[] = {
    {"close", (PyCFunction)watch_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnd the watch; idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot watch_slots[] = {
    {Py_tp_doc, (void *)"A watch of one task; made by Broker.watch()."},
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_methods, watch_methods},
    {0, NULL},
};

static PyType_Spec watch_spec = {
    .name = "guaco._core.Watch",
    .basicsize = sizeof(WatchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = watch_slots,
};

int
guaco__watch_type_add(PyObject *module, struct guaco_state *st)
{
    st->WatchType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &watch_spec, NULL);
    if (st->WatchType == NULL)
        return -1;
    return PyModule_AddType(module, st->WatchType);
}
