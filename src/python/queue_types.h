#ifndef GUACO_PY_QUEUE_TYPES_H
#define GUACO_PY_QUEUE_TYPES_H

/* What the types of the queue's Python face (codec, mailbox, watch, broker,
 * worker, run) share. */

#include "module.h"

#include <stdbool.h>

#include "guaco/broker.h"

struct guaco__news_copy;

/* For a constructor with positional parameters alone: whether there are no
 * keywords; if there are, TypeError is set. */
static inline bool
guaco__no_keywords(const char *name, PyObject *kwargs)
{
    if (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", name);
    return false;
}

/* ---- codec_order.c ---- */

/* Put n items in the order of their bytes: they stand one after the other from
 * data + from, and end at data + ends[i].  0, or GUACO_E_NOMEM. */
int guaco__items_sort(char *data, size_t from, const size_t *ends, size_t n);

/* ---- mailbox_type.c ---- */

/*
 * Where native threads leave messages for Python.
 *
 * The store's thread and a worker's own thread must not wait for the
 * interpreter lock.  So they write a letter (plain C memory) and ring an
 * eventfd; Python takes the letters when it gets round to it: an event loop
 * watches the eventfd, a thread sleeps in poll(2), which a signal ends.
 *
 *     store's thread: post(letter) --> [list] --> eventfd --> take() in Python
 */
enum guaco__letter_kind {
    GUACO__LETTER_PUT = 1,   /* number[0]: the id of the task that was put */
    GUACO__LETTER_NEWS,      /* events and perhaps the result of a task */
    GUACO__LETTER_READY,     /* the worker has something to run */
    GUACO__LETTER_INTERRUPT, /* number: id, attempt, why (a GUACO_E_*) */
    GUACO__LETTER_STUCK,     /* number: id, attempt */
    GUACO__LETTER_LOG,       /* number[0]: guaco_log_level; err.text: a line */
};

typedef struct guaco__mailbox MailboxObject;

struct guaco__letter {
    struct guaco__letter *next;
    enum guaco__letter_kind kind;
    int rc;             /* what failed, told by `err`; or 0 */
    uint64_t tag;       /* of the request, as Python chose it */
    MailboxObject *box; /* strong, or NULL; dropped with the letter */
    int64_t number[3];
    bool existed;                  /* PUT: the task of number[0] was there */
    struct guaco__news_copy *news; /* owned, or NULL */
    struct guaco_error err;
};

/* Take *letter (malloc'ed) into the box and ring.  From every thread; never
 * fails, touches no Python object. */
void guaco__mailbox_post(MailboxObject *box, struct guaco__letter *letter);

/* `value` as a mailbox, borrowed; NULL with TypeError if it is none. */
MailboxObject *guaco__mailbox_of(const struct guaco_state *st, PyObject *value);

/* ---- news.c ---- */

/* A copy of *news in one malloc'ed block, to be freed with free(); NULL when
 * memory is short.  Touches no Python object. */
struct guaco__news_copy *guaco__news_copy_of(const struct guaco_news *news);

/* The same news, pointing into the copy. */
const struct guaco_news *guaco__news_of(const struct guaco__news_copy *copy);

/* (events, result) of *news: events a list of (number, bytes); result None or
 * (state, attempt, finished_ms, bytes, reason).  A new reference. */
PyObject *guaco__news_to_python(const struct guaco_news *news);

/* ---- task_args.c ---- */

/* Fill *task from the 15 values that Broker.put documents, and *rules if it has
 * some; the slices borrow from the values.  0, or -1 with an exception. */
#define GUACO__TASK_ARGS 15
int guaco__task_from_args(PyObject *const *args, struct guaco_task *task,
                          struct guaco_rules *rules);

/* A list of tuples of such values as tasks: free() all three. */
struct guaco__task_list {
    struct guaco_task *tasks;
    struct guaco_rules *rules; /* one for each, used or not */
    bool *existed;             /* one for each; rules point to it */
    size_t n;
};

/* `sequence` is a list or tuple that does not change while the tasks are used,
 * for they borrow from it.  0, or -1 with an exception; then nothing is to be
 * freed. */
int guaco__task_list_init(struct guaco__task_list *list, PyObject *sequence);
void guaco__task_list_release(struct guaco__task_list *list);

/* An id as a put gives it: negative, if a unique key was held by that task. */
PyObject *guaco__put_id(uint64_t id, bool existed);

/* ---- broker_type.c ---- */

/* The open broker of `value`; NULL with an exception if it is no Broker or
 * closed.  It stays open until guaco__broker_leave(value). */
struct guaco_broker *
guaco__broker_enter(const struct guaco_state *st, PyObject *value);
void guaco__broker_leave(PyObject *value);

/* Whether this process opened it: the child of a fork leaves it alone. */
bool guaco__broker_is_ours(PyObject *value);

/* Fill *r from (name, spec, zone, catch_up, task), from which it borrows; 0, or
 * -1 with an exception. */
struct guaco_recurring;
int guaco__recurring_of_tuple(PyObject *item, uint64_t generation,
                              struct guaco_recurring *r);

/*
 * A call into the core by a module function whose first argument is a Broker:
 *
 *     if (!PyArg_ParseTuple(...) || !guaco__call_begin(&call, module, broker))
 *         return NULL;
 *     int rc = guaco_<noun>_<verb>(call.open, ..., &call.err);
 *     if (!guaco__call_end(&call, rc))
 *         return NULL;
 *
 * Between the two the thread is detached: no Python object may be touched.
 */
struct guaco__call {
    struct guaco_broker *open;
    struct guaco_error err;
    PyObject *module, *broker; /* borrowed from the caller */
    PyThreadState *thread;
};

/* False with an exception, if `broker` is no open Broker; then it is over. */
static inline bool
guaco__call_begin(struct guaco__call *call, PyObject *module, PyObject *broker)
{
    *call = (struct guaco__call){.module = module, .broker = broker};
    call->open = guaco__broker_enter(guaco_state_of(module), broker);
    if (call->open == NULL)
        return false;
    call->thread = PyEval_SaveThread();
    return true;
}

/* False with the exception of call->err, if rc is negative. */
static inline bool
guaco__call_end(struct guaco__call *call, int rc)
{
    PyEval_RestoreThread(call->thread);
    guaco__broker_leave(call->broker);
    if (rc < 0)
        guaco_raise(guaco_state_of(call->module), rc, &call->err);
    return rc >= 0;
}

static inline struct guaco_slice
guaco__slice_of(const char *at, Py_ssize_t len)
{
    return (struct guaco_slice){at, (size_t)len};
}

/* ---- watch_type.c ---- */

/* Begin a watch of task `id` whose letters go to `box` with `tag`. */
PyObject *
guaco__watch_new(const struct guaco_state *st, PyObject *broker,
                 MailboxObject *box, uint64_t id, uint32_t after, uint64_t tag);

/* ---- worker_type.c ---- */

/* Whether the worker of a run is open, and of this process. */
bool guaco__worker_is_open(PyObject *worker);

/* ---- news.c, members ---- */

/* [(id, state, body)] of news->members. */
PyObject *guaco__members_to_python(const struct guaco_news *news);

/* ---- run_type.c ---- */

struct guaco_run;

/* A Run for `run`, which it takes; NULL with an exception, then it did not. */
PyObject *
guaco__run_new(struct guaco_state *st, PyObject *worker, struct guaco_run *run);

/* ---- using_connection.c ---- */

/* The connection of one of sqlite3's; -1 with an exception. */
struct guaco_using;
int guaco__using_of(const struct guaco_state *st, PyObject *connection,
                    PyObject *commits, struct guaco_using *use);
extern PyMethodDef guaco__using_functions[];

/* ---- queue_steer.c, queue_keys.c: functions that take a Broker ---- */

extern PyMethodDef guaco__steer_functions[];
extern PyMethodDef guaco__key_functions[];

/* Text that borrows from a str; -1 with an exception. */
int guaco__text_of(PyObject *value, struct guaco_slice *slice);

/* ---- queue_functions.c ---- */

/* Add the functions, and all the types below. */
int guaco__queue_types_add(PyObject *module, struct guaco_state *st);

/* ---- one for each type: create it, keep it in the state, 0 or -1 ---- */

int guaco__codec_type_add(PyObject *module, struct guaco_state *st);
int guaco__seal_type_add(PyObject *module, struct guaco_state *st);
int guaco__mailbox_type_add(PyObject *module, struct guaco_state *st);
int guaco__watch_type_add(PyObject *module, struct guaco_state *st);
int guaco__broker_type_add(PyObject *module, struct guaco_state *st);
int guaco__keeper_type_add(PyObject *module, struct guaco_state *st);
int guaco__run_type_add(PyObject *module, struct guaco_state *st);
int guaco__worker_type_add(PyObject *module, struct guaco_state *st);

#endif
