/* guaco._core: the module object, its state and its exceptions. */

#include "module.h"

#include <assert.h>

#include "profile_type.h"
#include "queue_types.h"

struct guaco_state *
guaco_state_of(PyObject *module)
{
    struct guaco_state *st = PyModule_GetState(module);
    assert(st != NULL);
    return st;
}

PyObject *
guaco_raise(const struct guaco_state *st, int rc, const struct guaco_error *err)
{
    const char *text =
        err != NULL && err->text[0] ? err->text : guaco_strerror(rc);

    switch (rc) {
    case GUACO_E_NOMEM: return PyErr_NoMemory();
    case GUACO_E_INVALID: PyErr_SetString(PyExc_ValueError, text); return NULL;
    case GUACO_E_TIMEOUT:
        PyErr_SetString(PyExc_TimeoutError, text);
        return NULL;
    default: PyErr_SetString(st->Error, text); return NULL;
    }
}

static int
module_exec(PyObject *module)
{
    struct guaco_state *st = guaco_state_of(module);

#define X(name)                                                       \
    if ((st->str_##name = PyUnicode_InternFromString(#name)) == NULL) \
        return -1;
    GUACO_PY_STRINGS(X)
#undef X
    st->Error = PyErr_NewException("guaco.Error", NULL, NULL);
    if (st->Error == NULL)
        return -1;
    if (PyModule_AddObjectRef(module, "Error", st->Error) < 0)
        return -1;
    guaco__own_pid_open(&st->own_pid);
    if (guaco__queue_types_add(module, st) < 0)
        return -1;
    if (guaco__loop_state_init(module, st) < 0)
        return -1;
    if (guaco__gateway_init(module, st) < 0)
        return -1;
    if (guaco__profile_type_add(module, st) < 0)
        return -1;
    if (guaco__py_board_add(module, st) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", GUACO_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct guaco_state *st = guaco_state_of(module);
    Py_VISIT(st->Error);
    int rc = guaco__loop_state_traverse(&st->loop, visit, arg);
    if (rc != 0)
        return rc;
    rc = guaco__gateway_traverse(&st->gateway, visit, arg);
    if (rc != 0)
        return rc;
    Py_VISIT(st->PayloadError);
    Py_VISIT(st->CodecType);
    Py_VISIT(st->SealType);
    Py_VISIT(st->MailboxType);
    Py_VISIT(st->WatchType);
    Py_VISIT(st->BrokerType);
    Py_VISIT(st->KeeperType);
    Py_VISIT(st->RunType);
    Py_VISIT(st->WorkerType);
    Py_VISIT(st->ProfileType);
    Py_VISIT(st->ConnectionType);
    return guaco__py_board_traverse(st, visit, arg);
}

static int
module_clear(PyObject *module)
{
    struct guaco_state *st = guaco_state_of(module);
    Py_CLEAR(st->Error);
    guaco__loop_state_clear(&st->loop);
    guaco__gateway_clear(&st->gateway);
    Py_CLEAR(st->PayloadError);
    Py_CLEAR(st->CodecType);
    Py_CLEAR(st->SealType);
    Py_CLEAR(st->MailboxType);
    Py_CLEAR(st->WatchType);
    Py_CLEAR(st->BrokerType);
    Py_CLEAR(st->KeeperType);
    Py_CLEAR(st->RunType);
    Py_CLEAR(st->WorkerType);
    Py_CLEAR(st->ProfileType);
    Py_CLEAR(st->ConnectionType);
    guaco__py_board_clear(st);
#define X(name) Py_CLEAR(st->str_##name);
    GUACO_PY_STRINGS(X)
#undef X
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
    guaco__own_pid_close(&guaco_state_of(module)->own_pid);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef guaco_module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "guaco._core",
    .m_size = sizeof(struct guaco_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&guaco_module_def);
}
