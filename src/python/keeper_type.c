/*
 * guaco._core.Keeper: the Python face of struct guaco_keeper, which looks
 * after a store on a thread of its own.  In Python it would read
 *
 *     class Keeper:
 *         def __new__(cls, broker: Broker, box: Mailbox, /): ...
 *         def close(self) -> None: ...
 *
 * Threads: the GIL guards the fields; the keeper's thread touches no Python:
 * what it logs is a letter.
 */

#include "queue_types.h"

#include <stdio.h>
#include <stdlib.h>

#include "guaco/keeper.h"

typedef struct {
    PyObject_HEAD
    struct guaco_keeper *keeper; /* NULL once closed */
    PyObject *broker;            /* entered while keeper is not NULL */
    MailboxObject *box;          /* gets what it logs */
    struct guaco_log log;
} KeeperObject;

static void
on_log(void *ctx, int level, const char *line, size_t len)
{
    struct guaco__letter *letter = calloc(1, sizeof *letter);

    if (letter == NULL)
        return;
    letter->kind = GUACO__LETTER_LOG;
    letter->number[0] = level;
    snprintf(letter->err.text, sizeof letter->err.text, "%.*s", (int)len, line);
    guaco__mailbox_post(ctx, letter);
}

static PyObject *
keeper_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *broker, *mailbox;

    if (!guaco__no_keywords("Keeper", kwargs) ||
        !PyArg_ParseTuple(args, "OO:Keeper", &broker, &mailbox))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    struct guaco_state *st = guaco_state_of(module);
    MailboxObject *box = guaco__mailbox_of(st, mailbox);
    if (box == NULL)
        return NULL;
    struct guaco_broker *open = guaco__broker_enter(st, broker);
    if (open == NULL)
        return NULL;
    KeeperObject *self = (KeeperObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        guaco__broker_leave(broker);
        return NULL;
    }
    self->broker = Py_NewRef(broker);
    self->box = (MailboxObject *)Py_NewRef(mailbox);
    self->log = (struct guaco_log){GUACO_LOG_WARNING, on_log, box};

    struct guaco_error err = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_keeper_open(&self->keeper, open, &self->log, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        Py_DECREF(self);
        return guaco_raise(st, rc, &err);
    }
    return (PyObject *)self;
}

static void
keeper_end(KeeperObject *self)
{
    struct guaco_keeper *keeper = self->keeper;
    PyObject *broker = self->broker;

    self->keeper = NULL;
    self->broker = NULL;
    if (broker == NULL)
        return;
    if (keeper != NULL && guaco__broker_is_ours(broker)) {
        Py_BEGIN_ALLOW_THREADS guaco_keeper_close(keeper);
        Py_END_ALLOW_THREADS
    }
    guaco__broker_leave(broker);
    Py_DECREF(broker);
}

static PyObject *
keeper_close(KeeperObject *self, PyObject *Py_UNUSED(ignored))
{
    keeper_end(self);
    Py_RETURN_NONE;
}

static int
keeper_traverse(KeeperObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->broker);
    Py_VISIT((PyObject *)self->box);
    return 0;
}

static void
keeper_dealloc(KeeperObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    keeper_end(self);
    Py_XDECREF((PyObject *)self->box);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef keeper_methods[] = {
    {"close", (PyCFunction)keeper_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop it; idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot keeper_slots[] = {
    {Py_tp_doc, (void *)"Looks after a store from a thread of its own."},
    {Py_tp_new, keeper_new},
    {Py_tp_dealloc, keeper_dealloc},
    {Py_tp_traverse, keeper_traverse},
    {Py_tp_methods, keeper_methods},
    {0, NULL},
};

static PyType_Spec keeper_spec = {
    .name = "guaco._core.Keeper",
    .basicsize = sizeof(KeeperObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = keeper_slots,
};

int
guaco__keeper_type_add(PyObject *module, struct guaco_state *st)
{
    st->KeeperType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &keeper_spec, NULL);
    if (st->KeeperType == NULL)
        return -1;
    return PyModule_AddType(module, st->KeeperType);
}
