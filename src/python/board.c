/* What this process does, told to a profiler: see board.h. */

#include "board.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module.h"

#define ROUTES 64 /* remembered; a power of two */

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

struct guaco__py_board {
    struct guaco__board board;
    pthread_key_t slot; /* of each thread, given back at its end */
    PyObject *var;      /* ContextVar of tags */
    PyTypeObject *TagType;
    uint32_t unrouted;
    struct {
        PyObject *route; /* the framework's object, kept alive */
        uint32_t name;
    } routes[ROUTES];
};

/* ---- slots ------------------------------------------------------------------------- */

static void
on_thread_end(void *slot)
{
    guaco__board_give(slot);
}

struct guaco__board_slot *
guaco__py_board_slot(struct guaco_state *st)
{
    struct guaco__py_board *self = st->board;

    if (self == NULL)
        return NULL;
    struct guaco__board_slot *slot = pthread_getspecific(self->slot);
    if (slot != NULL)
        return slot;
    slot = guaco__board_take(&self->board, (uint32_t)syscall(SYS_gettid));
    if (slot != NULL && pthread_setspecific(self->slot, slot) != 0) {
        guaco__board_give(slot);
        slot = NULL;
    }
    return slot;
}

/* ---- tags -------------------------------------------------------------------------- */

static void
tag_dealloc(TagObject *tag)
{
    PyTypeObject *type = Py_TYPE(tag);

    PyObject_GC_UnTrack(tag);
    Py_CLEAR(tag->scope);
    type->tp_free(tag);
    Py_DECREF(type);
}

static int
tag_traverse(TagObject *tag, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(tag));
    Py_VISIT(tag->scope);
    return 0;
}

static int
tag_clear(TagObject *tag)
{
    Py_CLEAR(tag->scope);
    return 0;
}

static PyType_Slot tag_slots[] = {
    {Py_tp_doc, (void *)"What a request or task is called on the board."},
    {Py_tp_dealloc, tag_dealloc},
    {Py_tp_traverse, tag_traverse},
    {Py_tp_clear, tag_clear},
    {0, NULL},
};

static PyType_Spec tag_spec = {
    .name = "guaco._core._Tag",
    .basicsize = sizeof(TagObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = tag_slots,
};

static TagObject *
tag_new(struct guaco_state *st, enum guaco__board_kind kind, uint64_t id,
        uint32_t name)
{
    PyTypeObject *type = st->board->TagType;
    TagObject *tag = (TagObject *)type->tp_alloc(type, 0);

    if (tag == NULL)
        return NULL;
    tag->st = st;
    tag->kind = kind;
    tag->id = id;
    tag->name = name;
    return tag;
}

TagObject *
guaco__tag_of_request(struct guaco_state *st, PyObject *scope)
{
    TagObject *tag = tag_new(st, GUACO__BOARD_REQUEST,
                             guaco__board_next_id(&st->board->board), 0);
    if (tag != NULL)
        tag->scope = Py_NewRef(scope);
    return tag;
}

PyObject *
guaco__tag_enter(TagObject *tag)
{
    return PyContextVar_Set(tag->st->board->var, (PyObject *)tag);
}

void
guaco__tag_leave(TagObject *tag, PyObject *token)
{
    PyObject *exc = guaco__exc_take();

    if (PyContextVar_Reset(tag->st->board->var, token) < 0)
        PyErr_WriteUnraisable(tag->st->board->var);
    Py_DECREF(token);
    if (exc != NULL)
        guaco__exc_raise(exc);
}

void
guaco__tag_show(const TagObject *tag, struct guaco__board_slot *slot)
{
    if (tag != NULL)
        guaco__board_set(slot, tag->kind, tag->name, tag->id, 0);
    else
        guaco__board_set(slot, GUACO__BOARD_IDLE, 0, 0, 0);
}

/* ---- routes ------------------------------------------------------------------------- */

/* The number of a route's template; 0 when it has none.  Frameworks keep one
 * object a route, so that its address finds it. */
static uint32_t
name_of_route(struct guaco_state *st, PyObject *route)
{
    struct guaco__py_board *self = st->board;
    size_t at = ((uintptr_t)route >> 4) % ROUTES;
    Py_ssize_t len;

    if (self->routes[at].route == route)
        return self->routes[at].name;
    PyObject *path = PyUnicode_Check(route)
                         ? Py_NewRef(route)
                         : PyObject_GetAttr(route, st->str_path);
    const char *text = path == NULL || !PyUnicode_Check(path)
                           ? NULL
                           : PyUnicode_AsUTF8AndSize(path, &len);
    uint32_t name = 0;
    if (text != NULL && len > 0) {
        name = guaco__board_name(&self->board,
                                 (struct guaco_slice){text, (size_t)len});
        Py_XSETREF(self->routes[at].route, Py_NewRef(route));
        self->routes[at].name = name;
    }
    PyErr_Clear();
    Py_XDECREF(path);
    return name;
}

void
guaco__tag_look(TagObject *tag, bool is_end)
{
    struct guaco_state *st = tag->st;
    PyObject *scope = tag->scope;

    if (scope == NULL)
        return;
    PyObject *exc = guaco__exc_take();
    PyObject *route = PyDict_GetItemWithError(scope, st->str_route);
    if (route != NULL) {
        Py_INCREF(route);
        tag->name = name_of_route(st, route);
        Py_DECREF(route);
    }
    PyErr_Clear();
    if (tag->name == 0 && is_end)
        tag->name = st->board->unrouted;
    if (tag->name != 0) {
        guaco__board_answer(&st->board->board, tag->id, tag->name);
        Py_CLEAR(tag->scope);
    }
    if (exc != NULL)
        guaco__exc_raise(exc);
}

/* ---- steps ------------------------------------------------------------------------- */

TagObject *
guaco__py_board_step(struct guaco_state *st, struct guaco__board_slot *slot)
{
    PyObject *tag = NULL;

    if (PyContextVar_Get(st->board->var, NULL, &tag) < 0) {
        PyErr_Clear();
        tag = NULL;
    }
    guaco__tag_show((TagObject *)tag, slot);
    return (TagObject *)tag;
}

void
guaco__py_board_stepped(TagObject *tag, struct guaco__board_slot *slot)
{
    guaco__board_set(slot, GUACO__BOARD_IDLE, 0, 0, 0);
    if (tag == NULL)
        return;
    guaco__tag_look(tag, false);
    Py_DECREF(tag);
}

void
guaco__py_board_begin(struct guaco_state *st)
{
    if (st->board != NULL)
        guaco__board_set(guaco__py_board_slot(st), GUACO__BOARD_REQUEST,
                         st->board->unrouted, 0, 0);
}

void
guaco__py_board_end(struct guaco_state *st)
{
    if (st->board != NULL)
        guaco__board_set(guaco__py_board_slot(st), GUACO__BOARD_IDLE, 0, 0, 0);
}

/* ---- Python's face ------------------------------------------------------------------ */

static int
board_make(PyObject *module, struct guaco_state *st)
{
    struct guaco__py_board *self = calloc(1, sizeof *self);
    struct guaco_error err = {0};

    if (self == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int rc = guaco__board_open(&self->board, &err);
    if (rc != GUACO_OK) {
        free(self);
        guaco_raise(st, rc, &err);
        return -1;
    }
    if (pthread_key_create(&self->slot, on_thread_end) != 0) {
        guaco__board_close(&self->board);
        free(self);
        PyErr_NoMemory();
        return -1;
    }
    self->unrouted = guaco__board_name(&self->board, GUACO_SLICE("unrouted"));
    self->var = PyContextVar_New("guaco_tag", NULL);
    self->TagType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &tag_spec, NULL);
    st->board = self; /* as far as it came; cleared with the module */
    return self->var == NULL || self->TagType == NULL ? -1 : 0;
}

PyDoc_STRVAR(board_open_doc,
             "board_open($module, tracer, /)\n--\n\n"
             "From now on show a profiler what this process does, and let\n"
             "process ``tracer`` and its children read its memory (0: those\n"
             "who may anyway).");

static PyObject *
board_open(PyObject *module, PyObject *tracer)
{
    struct guaco_state *st = guaco_state_of(module);
    unsigned long pid = PyLong_AsUnsignedLong(tracer);

    if (PyErr_Occurred())
        return NULL;
    if (st->board == NULL && board_make(module, st) < 0)
        return NULL;
    if (pid != 0) /* unknown where there is no Yama: nothing forbids it then */
        (void)prctl(PR_SET_PTRACER, pid, 0, 0, 0);
    Py_RETURN_NONE;
}

static uint32_t
name_of(struct guaco_state *st, const char *text, Py_ssize_t len)
{
    return guaco__board_name(&st->board->board,
                             (struct guaco_slice){text, (size_t)len});
}

static PyObject *
board_is_open(PyObject *module, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(guaco_state_of(module)->board != NULL);
}

PyDoc_STRVAR(board_set_doc,
             "board_set($module, kind, name, id, /)\n--\n\n"
             "This thread runs something called ``name`` from now on; kind 2\n"
             "is a task, 3 a schedule, 4 the start of the program, 0 nothing.");

static PyObject *
board_set(PyObject *module, PyObject *args)
{
    struct guaco_state *st = guaco_state_of(module);
    unsigned kind;
    const char *name;
    Py_ssize_t len;
    unsigned long long id;

    if (!PyArg_ParseTuple(args, "Is#K:board_set", &kind, &name, &len, &id))
        return NULL;
    if (kind > GUACO__BOARD_START) {
        PyErr_SetString(PyExc_ValueError, "no such kind");
        return NULL;
    }
    if (st->board != NULL)
        guaco__board_set(guaco__py_board_slot(st), (enum guaco__board_kind)kind,
                         name_of(st, name, len), id, 0);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(board_tag_doc,
             "board_tag($module, kind, name, id, /)\n--\n\n"
             "What runs in the current context, and in copies of it, is\n"
             "called so: a guaco.loop.Loop shows it at each step.");

static PyObject *
board_tag(PyObject *module, PyObject *args)
{
    struct guaco_state *st = guaco_state_of(module);
    unsigned kind;
    const char *name;
    Py_ssize_t len;
    unsigned long long id;

    if (!PyArg_ParseTuple(args, "Is#K:board_tag", &kind, &name, &len, &id))
        return NULL;
    if (kind == GUACO__BOARD_REQUEST || kind > GUACO__BOARD_START) {
        PyErr_SetString(PyExc_ValueError, "no such kind");
        return NULL;
    }
    if (st->board == NULL)
        Py_RETURN_NONE;
    TagObject *tag =
        tag_new(st, (enum guaco__board_kind)kind, id, name_of(st, name, len));
    PyObject *token = tag == NULL ? NULL : guaco__tag_enter(tag);
    struct guaco__board_slot *slot = guaco__py_board_slot(st);
    if (token != NULL && slot != NULL)
        guaco__tag_show(tag, slot); /* this step is part of it */
    Py_XDECREF(tag);
    if (token == NULL)
        return NULL;
    Py_DECREF(token);
    Py_RETURN_NONE;
}

static PyMethodDef board_functions[] = {
    {"board_open", board_open, METH_O, board_open_doc},
    {"board_is_open", board_is_open, METH_NOARGS,
     "board_is_open($module, /)\n--\n\nWhether anything is shown."},
    {"board_set", board_set, METH_VARARGS, board_set_doc},
    {"board_tag", board_tag, METH_VARARGS, board_tag_doc},
    {NULL, NULL, 0, NULL},
};

int
guaco__py_board_add(PyObject *module, struct guaco_state *st)
{
    (void)st;
    return PyModule_AddFunctions(module, board_functions);
}

int
guaco__py_board_traverse(struct guaco_state *st, visitproc visit, void *arg)
{
    struct guaco__py_board *self = st->board;

    if (self == NULL)
        return 0;
    Py_VISIT(self->var);
    Py_VISIT(self->TagType);
    for (size_t i = 0; i < ROUTES; i++)
        Py_VISIT(self->routes[i].route);
    return 0;
}

/* The memory stays: other threads may have slots in it until they end. */
void
guaco__py_board_clear(struct guaco_state *st)
{
    struct guaco__py_board *self = st->board;

    if (self == NULL)
        return;
    st->board = NULL;
    Py_CLEAR(self->var);
    Py_CLEAR(self->TagType);
    for (size_t i = 0; i < ROUTES; i++)
        Py_CLEAR(self->routes[i].route);
}
