#include "loop_state.h"

#include "handle.h"
#include "module.h"

/* module.name, as a new reference in *out. */
static int
import_from(PyObject **out, const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL)
        return -1;
    *out = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return *out == NULL ? -1 : 0;
}

int
guaco__loop_state_import(struct guaco__loop_state *ls)
{
    if (ls->base_create_task != NULL)
        return 0;
    const struct {
        PyObject **out;
        const char *module;
        const char *name;
    } wanted[] = {
        {&ls->AsyncioHandle, "asyncio.events", "Handle"},
        {&ls->AsyncioTimerHandle, "asyncio.events", "TimerHandle"},
#if PY_VERSION_HEX >= 0x030e0000
        {&ls->AsyncioThreadSafeHandle, "asyncio.events", "_ThreadSafeHandle"},
#else
        {&ls->AsyncioThreadSafeHandle, "asyncio.events", "Handle"},
#endif
        {&ls->Task, "asyncio.tasks", "Task"},
        {&ls->Future, "asyncio.futures", "Future"},
        {&ls->enter_task, "asyncio.tasks", "_enter_task"},
        {&ls->leave_task, "asyncio.tasks", "_leave_task"},
        {&ls->current_task, "asyncio.tasks", "current_task"},
        {&ls->extract_stack, "asyncio.format_helpers", "extract_stack"},
    };
    PyObject *base = NULL;

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        Py_CLEAR(*wanted[i].out); /* of an attempt that failed half-way */
        if (import_from(wanted[i].out, wanted[i].module, wanted[i].name) < 0)
            return -1;
    }
    if (import_from(&base, "asyncio.base_events", "BaseEventLoop") < 0)
        return -1;
    ls->base_create_task = PyObject_GetAttrString(base, "create_task");
    Py_DECREF(base);
    return ls->base_create_task == NULL ? -1 : 0;
}

int
guaco__loop_state_init(PyObject *module, struct guaco_state *st)
{
    struct guaco__loop_state *ls = &st->loop;

#define X(name)                                                     \
    if ((ls->s_##name = PyUnicode_InternFromString(#name)) == NULL) \
        return -1;
    GUACO__LOOP_NAMES(X)
#undef X
    ls->loop_keyword = PyTuple_Pack(1, ls->s_loop);
    ls->task_name = PyUnicode_InternFromString("guaco request");
    if (ls->loop_keyword == NULL || ls->task_name == NULL)
        return -1;
    if (guaco__handle_type_add(module, st) < 0 ||
        guaco__timer_handle_type_add(module, st) < 0 ||
        guaco__stream_io_type_add(module, st) < 0)
        return -1;
    return guaco__loop_type_add(module, st);
}

int
guaco__loop_state_traverse(struct guaco__loop_state *ls, visitproc visit,
                           void *arg)
{
    Py_VISIT(ls->LoopType);
    Py_VISIT(ls->HandleType);
    Py_VISIT(ls->TimerHandleType);
    Py_VISIT(ls->StreamIOType);
    Py_VISIT(ls->AsyncioHandle);
    Py_VISIT(ls->AsyncioTimerHandle);
    Py_VISIT(ls->AsyncioThreadSafeHandle);
    Py_VISIT(ls->Task);
    Py_VISIT(ls->Future);
    Py_VISIT(ls->base_create_task);
    Py_VISIT(ls->extract_stack);
    Py_VISIT(ls->enter_task);
    Py_VISIT(ls->leave_task);
    Py_VISIT(ls->current_task);
    return 0;
}

void
guaco__loop_state_clear(struct guaco__loop_state *ls)
{
    guaco__handle_pool_clear(ls);
    Py_CLEAR(ls->LoopType);
    Py_CLEAR(ls->HandleType);
    Py_CLEAR(ls->TimerHandleType);
    Py_CLEAR(ls->StreamIOType);
    Py_CLEAR(ls->AsyncioHandle);
    Py_CLEAR(ls->AsyncioTimerHandle);
    Py_CLEAR(ls->AsyncioThreadSafeHandle);
    Py_CLEAR(ls->Task);
    Py_CLEAR(ls->Future);
    Py_CLEAR(ls->base_create_task);
    Py_CLEAR(ls->extract_stack);
    Py_CLEAR(ls->enter_task);
    Py_CLEAR(ls->leave_task);
    Py_CLEAR(ls->current_task);
    Py_CLEAR(ls->loop_keyword);
    Py_CLEAR(ls->task_name);
#define X(name) Py_CLEAR(ls->s_##name);
    GUACO__LOOP_NAMES(X)
#undef X
}
