/*
 * Guest: what a host loop calls to run a server.  In Python it would read
 *
 *     class Guest:                          # made by Server only
 *         def on_readable(self) -> None: ...
 *         def on_queued(self) -> None: ...      # by the host's call_soon
 *         def on_timer(self) -> None: ...
 *         def trap(self, callback, *args, context=None): ...
 *
 * One timer of the host's serves all of the server's: it is armed again only
 * for an earlier deadline, since most of ours are postponed, not met.  When it
 * comes too early, a turn finds nothing due and arms it for what is next.
 */

#include "guest.h"

#include <assert.h>

#include "module.h"
#include "os/clock.h"
#include "spawn.h"

struct guaco__guest {
    PyObject_HEAD
    struct guaco_state *st;
    struct guaco__loop *loop; /* NULL once closed */
    PyThreadState *detached;  /* in the midst of a wait */
    PyObject *host;
    PyObject *owner;
    PyObject *on_queued; /* methods of this object, bound once; NULL once
                            closed */
    PyObject *on_timer;
    PyObject *timer;       /* the host's handle, or NULL */
    uint64_t timer_due_ns; /* UINT64_MAX: none */
    struct guaco__spawner spawner;
    PyObject *error; /* what ends the host's run */
    bool is_running;
    bool is_wanted; /* a turn, by guaco__guest_touch() */
    bool is_queued; /* on_queued, in the host */
};

static const uint64_t ns_per_ms = 1000000;

/* Turns that are run at once when one leaves work for the next: it has
 * descriptors to tell the kernel of after each connection that comes. */
static const int turns_max = 4;

static struct guaco__guest *
guest_of(PyObject *object)
{
    return (struct guaco__guest *)(void *)object;
}

/* ---- what the host is asked for ----------------------------------------- */

static int
queue_turn(struct guaco__guest *guest)
{
    guest->is_wanted = true;
    if (guest->is_queued)
        return 0;
    PyObject *handle = PyObject_CallMethodOneArg(
        guest->host, guest->st->loop.s_call_soon, guest->on_queued);
    Py_XDECREF(handle);
    if (handle == NULL)
        return -1;
    guest->is_queued = true;
    return 0;
}

static void
drop_timer(struct guaco__guest *guest)
{
    PyObject *timer = guest->timer;

    guest->timer = NULL;
    guest->timer_due_ns = UINT64_MAX;
    if (timer == NULL)
        return;
    PyObject *done =
        PyObject_CallMethodNoArgs(timer, guest->st->gateway.t_cancel);
    if (done == NULL)
        PyErr_WriteUnraisable(timer);
    Py_XDECREF(done);
    Py_DECREF(timer);
}

/* Whole milliseconds, as uvloop rounds to them, up, so that it is not early. */
static int
set_timer(struct guaco__guest *guest, uint64_t due_ns)
{
    if (due_ns >= guest->timer_due_ns)
        return 0;
    drop_timer(guest);
    uint64_t now_ns = guaco__clock_mono_ns();
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    uint64_t wait_ms = wait_ns / ns_per_ms + (wait_ns % ns_per_ms != 0);
    PyObject *delay = PyFloat_FromDouble((double)wait_ms / 1e3);
    if (delay == NULL)
        return -1;
    guest->timer =
        PyObject_CallMethodObjArgs(guest->host, guest->st->loop.s_call_later,
                                   delay, guest->on_timer, NULL);
    Py_DECREF(delay);
    if (guest->timer == NULL)
        return -1;
    guest->timer_due_ns = due_ns;
    return 0;
}

/* ---- turns -------------------------------------------------------------- */

/* The guest itself never waits, but an application may in the midst of a turn. */
static void
on_before_wait(void *ctx)
{
    struct guaco__guest *guest = ctx;

    guest->detached = PyEval_SaveThread();
}

static void
on_after_wait(void *ctx)
{
    struct guaco__guest *guest = ctx;

    PyEval_RestoreThread(guest->detached);
    guest->detached = NULL;
}

/* When the next is due. */
static uint64_t
run_turns(struct guaco__guest *guest)
{
    uint64_t due_ns = 0;

    guest->is_wanted = false;
    guest->is_running = true;
    for (int i = 0; i < turns_max && due_ns == 0 && guest->error == NULL; i++) {
        int rc = guaco__loop_run(guest->loop, GUACO__LOOP_NOWAIT);
        if (rc < 0) /* a forked child: the host's loop is no good either */
            due_ns = UINT64_MAX;
        else
            due_ns = guaco__loop_backend_due_ns(guest->loop);
    }
    guest->is_running = false;
    return due_ns;
}

static PyObject *
turn(struct guaco__guest *guest)
{
    if (guest->loop == NULL || guest->is_running)
        Py_RETURN_NONE;
    uint64_t due_ns = run_turns(guest);
    int rc = due_ns == 0 ? queue_turn(guest) : set_timer(guest, due_ns);

    PyObject *error = guest->error;
    guest->error = NULL;
    if (error != NULL) {
        if (rc < 0)
            PyErr_WriteUnraisable(guest->host);
        guaco__exc_raise(error);
        return NULL;
    }
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
guest_on_readable(PyObject *self, PyObject *Py_UNUSED(none))
{
    return turn(guest_of(self));
}

/* What was wanted may have been done by a turn for another reason. */
static PyObject *
guest_on_queued(PyObject *self, PyObject *Py_UNUSED(none))
{
    struct guaco__guest *guest = guest_of(self);

    guest->is_queued = false;
    if (!guest->is_wanted)
        Py_RETURN_NONE;
    return turn(guest);
}

static PyObject *
guest_on_timer(PyObject *self, PyObject *Py_UNUSED(none))
{
    struct guaco__guest *guest = guest_of(self);

    Py_CLEAR(guest->timer);
    guest->timer_due_ns = UINT64_MAX;
    return turn(guest);
}

void
guaco__guest_touch(struct guaco__guest *guest)
{
    if (guest == NULL || guest->is_running || guest->is_wanted ||
        guest->on_queued == NULL)
        return;
    PyObject *exc = guaco__exc_take(); /* may be on its way out of send() */
    if (queue_turn(guest) < 0) /* the host is closed: there is no turn */
        PyErr_Clear();
    if (exc != NULL)
        guaco__exc_raise(exc);
}

void
guaco__guest_break(struct guaco__guest *guest)
{
    Py_XSETREF(guest->error, guaco__exc_take());
    guaco__guest_touch(guest);
}

bool
guaco__guest_is_running(const struct guaco__guest *guest)
{
    return guest->is_running;
}

struct guaco__loop *
guaco__guest_loop(const struct guaco__guest *guest)
{
    return guest->loop;
}

/* ---- tasks -------------------------------------------------------------- */

/* What stands in for the host's call_soon while a Task is made, see spawn.h. */
static PyObject *
guest_trap(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    struct guaco__guest *guest = guest_of(self);
    struct guaco__loop_state *ls = &guest->st->loop;

    if (nargs == 1 && kwnames != NULL && PyTuple_GET_SIZE(kwnames) == 1 &&
        PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, 0), ls->s_context) == 0 &&
        guaco__spawner_capture(&guest->spawner, ls, args[0], args[1]))
        Py_RETURN_NONE;
    guaco__spawner_end_capture(&guest->spawner, ls);
    PyObject *method = PyObject_GetAttr(guest->host, ls->s_call_soon);
    if (method == NULL)
        return NULL;
    PyObject *result =
        PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
    Py_DECREF(method);
    return result;
}

PyObject *
guaco__guest_spawn(struct guaco__guest *guest, PyObject *coro)
{
    struct guaco__loop_state *ls = &guest->st->loop;
    PyObject *factory =
        PyObject_CallMethodNoArgs(guest->host, ls->s_get_task_factory);

    if (factory == NULL)
        return NULL;
    bool is_plain = Py_IsNone(factory);
    Py_DECREF(factory);
    return is_plain ? guaco__spawner_run(&guest->spawner, ls, coro)
                    : PyObject_CallMethodOneArg(guest->host, ls->s_create_task,
                                                coro);
}

/* ---- life --------------------------------------------------------------- */

/* A host without a dict of its own cannot be given a trap. */
static int
set_trap(struct guaco__guest *guest)
{
    if (PY_VERSION_HEX >= 0x030c0000)
        return 0;
    PyObject *attributes = PyObject_GetAttrString(guest->host, "__dict__");
    if (attributes == NULL || !PyDict_CheckExact(attributes)) {
        Py_XDECREF(attributes);
        PyErr_Clear();
        return 0;
    }
    guest->spawner.trap = PyObject_GetAttrString((PyObject *)guest, "trap");
    if (guest->spawner.trap == NULL) {
        Py_DECREF(attributes);
        return -1;
    }
    guest->spawner.attributes = attributes;
    return 0;
}

static int
attach(struct guaco__guest *guest)
{
    PyObject *self = (PyObject *)guest;

    guest->on_queued = PyObject_GetAttrString(self, "on_queued");
    guest->on_timer = PyObject_GetAttrString(self, "on_timer");
    PyObject *on_readable = PyObject_GetAttrString(self, "on_readable");
    if (guest->on_queued == NULL || guest->on_timer == NULL ||
        on_readable == NULL) {
        Py_XDECREF(on_readable);
        return -1;
    }
    PyObject *done =
        PyObject_CallMethod(guest->host, "add_reader", "iO",
                            guaco__loop_backend_fd(guest->loop), on_readable);
    Py_DECREF(on_readable);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* The host may be closed, or half way through the garbage collector. */
static void
detach(struct guaco__guest *guest)
{
    PyObject *done = PyObject_CallMethod(guest->host, "remove_reader", "i",
                                         guaco__loop_backend_fd(guest->loop));
    if (done == NULL)
        PyErr_Clear();
    Py_XDECREF(done);
    drop_timer(guest);
}

struct guaco__guest *
guaco__guest_new(struct guaco_state *st, PyObject *host, PyObject *owner)
{
    struct guaco_error err = {0};

    if (guaco__loop_state_import(&st->loop) < 0)
        return NULL;
    PyTypeObject *type = st->gateway.GuestType;
    struct guaco__guest *guest = guest_of(type->tp_alloc(type, 0));
    if (guest == NULL)
        return NULL;
    guest->st = st;
    guest->timer_due_ns = UINT64_MAX;
    guest->host = Py_NewRef(host);
    guest->owner = Py_NewRef(owner);
    guest->spawner.loop = host;
    int rc = guaco__loop_new(&guest->loop, &err);
    if (rc < 0)
        guaco_raise(st, rc, &err);
    else
        guaco__loop_set_host(guest->loop, &(struct guaco__loop_host){
                                              .before_wait = on_before_wait,
                                              .after_wait = on_after_wait,
                                              .ctx = guest});
    if (rc < 0 || set_trap(guest) < 0 || attach(guest) < 0) {
        guaco__guest_close(guest);
        return NULL;
    }
    return guest;
}

static int
guest_clear(PyObject *self)
{
    struct guaco__guest *guest = guest_of(self);

    Py_CLEAR(guest->on_queued);
    Py_CLEAR(guest->on_timer);
    Py_CLEAR(guest->error);
    guaco__spawner_clear(&guest->spawner);
    Py_CLEAR(guest->owner);
    return 0;
}

void
guaco__guest_close(struct guaco__guest *guest)
{
    if (guest == NULL)
        return;
    assert(!guest->is_running);
    if (guest->loop != NULL) {
        PyObject *exc = guaco__exc_take();
        detach(guest);
        guaco__loop_free(guest->loop);
        guest->loop = NULL;
        if (exc != NULL)
            guaco__exc_raise(exc);
    }
    (void)guest_clear((PyObject *)guest);
    Py_DECREF((PyObject *)guest);
}

static int
guest_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct guaco__guest *guest = guest_of(self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(guest->host);
    Py_VISIT(guest->owner);
    Py_VISIT(guest->on_queued);
    Py_VISIT(guest->on_timer);
    Py_VISIT(guest->timer);
    Py_VISIT(guest->error);
    return guaco__spawner_traverse(&guest->spawner, visit, arg);
}

/* Its loop is gone: the server, which closes it, holds a reference. */
static void
guest_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    assert(guest_of(self)->loop == NULL);
    (void)guest_clear(self);
    Py_CLEAR(guest_of(self)->timer);
    Py_CLEAR(guest_of(self)->host);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- table -------------------------------------------------------------- */

static PyMethodDef guest_methods[] = {
    {"on_readable", guest_on_readable, METH_NOARGS, NULL},
    {"on_queued", guest_on_queued, METH_NOARGS, NULL},
    {"on_timer", guest_on_timer, METH_NOARGS, NULL},
    {"trap", (PyCFunction)(void (*)(void))guest_trap,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot guest_slots[] = {
    {Py_tp_doc, (void *)"What a host loop calls; made by Server."},
    {Py_tp_dealloc, guest_dealloc},
    {Py_tp_traverse, guest_traverse},
    {Py_tp_clear, guest_clear},
    {Py_tp_methods, guest_methods},
    {0, NULL},
};

static PyType_Spec guest_spec = {
    .name = "guaco._core.Guest",
    .basicsize = sizeof(struct guaco__guest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = guest_slots,
};

int
guaco__guest_type_add(PyObject *module, struct guaco_state *st)
{
    st->gateway.GuestType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &guest_spec, NULL);
    return st->gateway.GuestType == NULL ? -1 : 0;
}
