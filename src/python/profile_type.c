/*
 * guaco._core.Profile: the Python face of struct guaco_profile, which
 * guaco.profile makes pleasant.  In Python it would read
 *
 *     class Profile:
 *         def __new__(cls, pid: int, threads: int, period_us: int,
 *                     counts_idle: bool, by_function: bool, title: str, /): ...
 *         def start(self) -> None: ...
 *         def stop(self) -> None: ...
 *         def sample(self) -> bool: ...
 *         def counts(self) -> tuple[int, int, int, bool]: ...
 *         def render(self, form: int, /) -> bytes: ...
 *         def dump(self, locals: bool, /) -> bytes: ...
 *         def close(self) -> None: ...
 *
 * Threads: the core's functions are called detached, so that the sampling
 * thread, which reads this process's memory and never asks for the interpreter,
 * can neither wait for it nor be waited for with it.  The GIL guards `users`.
 */

#include "module.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

#include "base/buf.h"
#include "guaco/profile.h"
#include "profile_type.h"

#define OUTPUT_BYTES_MAX ((size_t)1 << 30)

typedef struct {
    PyObject_HEAD
    struct guaco_profile *profile; /* NULL once closed */
    size_t users;                  /* calls inside */
    struct guaco_state *st;
} ProfileObject;

/* ---- failures ---------------------------------------------------------------------- */

static PyObject *
fail(const struct guaco_state *st, int rc, const struct guaco_error *err)
{
    const char *text = err->text[0] != '\0' ? err->text : guaco_strerror(rc);

    if (rc == GUACO_E_CLOSED)
        PyErr_SetString(PyExc_ProcessLookupError, text);
    else if (rc == GUACO_E_IO &&
             (err->sys == 0 || err->sys == EPERM || err->sys == EACCES))
        PyErr_SetString(PyExc_PermissionError, text);
    else
        guaco_raise(st, rc, err);
    return NULL;
}

/* ---- life -------------------------------------------------------------------------- */

static PyObject *
profile_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    int pid, threads, counts_idle, by_function;
    unsigned period_us;
    const char *title;

    if (!PyArg_ParseTuple(args, "iiIpps:Profile", &pid, &threads, &period_us,
                          &counts_idle, &by_function, &title))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &guaco_module_def);
    if (module == NULL)
        return NULL;
    ProfileObject *self = (ProfileObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->st = guaco_state_of(module);

    struct guaco_profile_options options = {
        .threads = (enum guaco_profile_threads)threads,
        .period_us = period_us,
        .counts_idle = counts_idle != 0,
        .by_function = by_function != 0,
        .keeps_time = true,
        .title = title,
    };
    struct guaco_error err = {0};
    int rc;
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_profile_open(&self->profile, pid, &options, &err);
    Py_END_ALLOW_THREADS if (rc < 0)
    {
        fail(self->st, rc, &err);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static struct guaco_profile *
enter(ProfileObject *self)
{
    if (self->profile == NULL) {
        PyErr_SetString(self->st->Error, "the profile is closed");
        return NULL;
    }
    self->users++;
    return self->profile;
}

static void
leave(ProfileObject *self)
{
    assert(self->users > 0);
    self->users--;
}

static void
end(ProfileObject *self)
{
    struct guaco_profile *profile = self->profile;

    self->profile = NULL;
    Py_BEGIN_ALLOW_THREADS guaco_profile_close(profile);
    Py_END_ALLOW_THREADS
}

static PyObject *
profile_close(ProfileObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->users > 0) {
        PyErr_SetString(self->st->Error, "the profile is in use");
        return NULL;
    }
    end(self);
    Py_RETURN_NONE;
}

static void
profile_dealloc(ProfileObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    end(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- sampling ----------------------------------------------------------------------- */

static PyObject *
profile_start(ProfileObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_profile *profile = enter(self);
    struct guaco_error err = {0};
    int rc;

    if (profile == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = guaco_profile_start(profile, &err);
    Py_END_ALLOW_THREADS leave(self);
    if (rc < 0)
        return fail(self->st, rc, &err);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(profile_stop_doc,
             "stop($self, /)\n--\n\n"
             "End the thread of start() and wait for it.  The end of the\n"
             "process is no failure.");

static PyObject *
profile_stop(ProfileObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_profile *profile = enter(self);
    struct guaco_error err = {0};
    int rc;

    if (profile == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = guaco_profile_stop(profile);
    Py_END_ALLOW_THREADS leave(self);
    if (rc < 0 && rc != GUACO_E_CLOSED)
        return fail(self->st, rc, &err);
    Py_RETURN_NONE;
}

static PyObject *
profile_sample(ProfileObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_profile *profile = enter(self);
    struct guaco_error err = {0};
    int rc;

    if (profile == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS rc = guaco_profile_sample(profile);
    Py_END_ALLOW_THREADS leave(self);
    if (rc < 0 && rc != GUACO_E_CLOSED)
        return fail(self->st, rc, &err);
    return PyBool_FromLong(rc == 0);
}

static PyObject *
profile_counts(ProfileObject *self, PyObject *Py_UNUSED(ignored))
{
    struct guaco_profile *profile = enter(self);
    struct guaco_profile_counts counts;

    if (profile == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS guaco_profile_counts(profile, &counts);
    Py_END_ALLOW_THREADS leave(self);
    return Py_BuildValue("(KKKN)", (unsigned long long)counts.samples,
                         (unsigned long long)counts.stacks,
                         (unsigned long long)counts.dropped,
                         PyBool_FromLong(counts.has_ended));
}

/* ---- what was seen ------------------------------------------------------------------ */

static int
collect(void *ctx, const void *data, size_t len)
{
    return guaco__buf_append(ctx, data, len);
}

/* `out` as bytes, released; or the failure. */
static PyObject *
bytes_of(ProfileObject *self, int rc, struct guaco__buf *out,
         const struct guaco_error *err)
{
    PyObject *bytes = rc < 0 ? fail(self->st, rc, err)
                             : PyBytes_FromStringAndSize(guaco__buf_data(out),
                                                         (Py_ssize_t)out->len);
    guaco__buf_release(out);
    return bytes;
}

static PyObject *
profile_render(ProfileObject *self, PyObject *arg)
{
    long form = PyLong_AsLong(arg);

    if (form == -1 && PyErr_Occurred())
        return NULL;
    if (form < 0 || form > GUACO_PROFILE_CHROME) {
        PyErr_SetString(PyExc_ValueError, "no such form");
        return NULL;
    }
    struct guaco_profile *profile = enter(self);
    struct guaco_error err = {0};
    struct guaco__buf out;
    int rc;
    if (profile == NULL)
        return NULL;
    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    Py_BEGIN_ALLOW_THREADS rc = guaco_profile_render(
        profile, (enum guaco_profile_format)form, collect, &out, &err);
    Py_END_ALLOW_THREADS leave(self);
    return bytes_of(self, rc, &out, &err);
}

static PyObject *
profile_dump(ProfileObject *self, PyObject *arg)
{
    int locals = PyObject_IsTrue(arg);

    if (locals < 0)
        return NULL;
    struct guaco_profile *profile = enter(self);
    struct guaco_error err = {0};
    struct guaco__buf out;
    int rc;
    if (profile == NULL)
        return NULL;
    guaco__buf_init(&out, OUTPUT_BYTES_MAX);
    Py_BEGIN_ALLOW_THREADS rc =
        guaco_profile_dump(profile, locals != 0, collect, &out, &err);
    Py_END_ALLOW_THREADS leave(self);
    return bytes_of(self, rc, &out, &err);
}

static PyMethodDef profile_methods[] = {
    {"start", (PyCFunction)profile_start, METH_NOARGS,
     "start($self, /)\n--\n\nHave a native thread sample from now on."},
    {"stop", (PyCFunction)profile_stop, METH_NOARGS, profile_stop_doc},
    {"sample", (PyCFunction)profile_sample, METH_NOARGS,
     "sample($self, /)\n--\n\nTake one; False: the process has ended."},
    {"counts", (PyCFunction)profile_counts, METH_NOARGS,
     "counts($self, /)\n--\n\n(samples, stacks, dropped, has_ended)"},
    {"render", (PyCFunction)profile_render, METH_O,
     "render($self, form, /)\n--\n\nWhat was counted, in one of the forms."},
    {"dump", (PyCFunction)profile_dump, METH_O,
     "dump($self, locals, /)\n--\n\nWhat each thread does now, as JSON."},
    {"close", (PyCFunction)profile_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop and free it; idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot profile_slots[] = {
    {Py_tp_doc, (void *)"Samples of a process.  See guaco.profile."},
    {Py_tp_new, profile_new},
    {Py_tp_dealloc, profile_dealloc},
    {Py_tp_methods, profile_methods},
    {0, NULL},
};

static PyType_Spec profile_spec = {
    .name = "guaco._core.Profile",
    .basicsize = sizeof(ProfileObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = profile_slots,
};

int
guaco__profile_type_add(PyObject *module, struct guaco_state *st)
{
    st->ProfileType =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &profile_spec, NULL);
    if (st->ProfileType == NULL)
        return -1;
    return PyModule_AddType(module, st->ProfileType);
}
