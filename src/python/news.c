/* News of a task on its way from the store's thread to Python: copied there
 * into plain memory, turned into objects here.  Contract in queue_types.h. */

#include "queue_types.h"

#include <stdlib.h>
#include <string.h>

struct guaco__news_copy {
    struct guaco_news news; /* points into what follows */
    struct guaco_result result;
    struct guaco_event events[];
    /* then the bytes */
};

static struct guaco_slice
copy_slice(char **to, struct guaco_slice from)
{
    struct guaco_slice copy = {*to, from.len};

    if (from.len > 0)
        memcpy(*to, from.at, from.len);
    *to += from.len;
    return copy;
}

static size_t
count_bytes(const struct guaco_news *news)
{
    size_t sum = 0;

    for (size_t i = 0; i < news->event_count; i++)
        sum += news->events[i].body.len;
    if (news->result != NULL)
        sum += news->result->body.len + news->result->reason.len;
    return sum;
}

struct guaco__news_copy *
guaco__news_copy_of(const struct guaco_news *news)
{
    size_t table = news->event_count * sizeof(struct guaco_event);
    struct guaco__news_copy *copy =
        malloc(sizeof *copy + table + count_bytes(news) + 1);

    if (copy == NULL)
        return NULL;
    *copy = (struct guaco__news_copy){
        .news = {.events = copy->events, .event_count = news->event_count}};

    char *to = (char *)copy->events + table;
    for (size_t i = 0; i < news->event_count; i++) {
        copy->events[i].number = news->events[i].number;
        copy->events[i].body = copy_slice(&to, news->events[i].body);
    }
    if (news->result != NULL) {
        copy->result = *news->result;
        copy->result.body = copy_slice(&to, news->result->body);
        copy->result.reason = copy_slice(&to, news->result->reason);
        copy->news.result = &copy->result;
    }
    return copy;
}

const struct guaco_news *
guaco__news_of(const struct guaco__news_copy *copy)
{
    return &copy->news;
}

static PyObject *
result_to_python(const struct guaco_result *r)
{
    return Py_BuildValue(
        "(iILy#N)", (int)r->state, (unsigned)r->attempt,
        (long long)r->finished_ms, r->body.len > 0 ? r->body.at : "",
        (Py_ssize_t)r->body.len,
        PyUnicode_DecodeUTF8(r->reason.at, (Py_ssize_t)r->reason.len,
                             "replace"));
}

PyObject *
guaco__news_to_python(const struct guaco_news *news)
{
    PyObject *events = PyList_New((Py_ssize_t)news->event_count);
    PyObject *result;

    for (size_t i = 0; events != NULL && i < news->event_count; i++) {
        const struct guaco_event *e = &news->events[i];
        PyObject *item = Py_BuildValue("(Iy#)", (unsigned)e->number,
                                       e->body.len > 0 ? e->body.at : "",
                                       (Py_ssize_t)e->body.len);
        if (item == NULL)
            Py_CLEAR(events);
        else
            PyList_SET_ITEM(events, (Py_ssize_t)i, item);
    }
    if (events == NULL)
        return NULL;
    result = news->result != NULL ? result_to_python(news->result)
                                  : Py_NewRef(Py_None);
    if (result == NULL) {
        Py_DECREF(events);
        return NULL;
    }
    return Py_BuildValue("(NN)", events, result);
}

PyObject *
guaco__members_to_python(const struct guaco_news *news)
{
    PyObject *list = PyList_New((Py_ssize_t)news->member_count);

    for (size_t i = 0; list != NULL && i < news->member_count; i++) {
        const struct guaco_member *m = &news->members[i];
        PyObject *item = Py_BuildValue(
            "(Kiy#)", (unsigned long long)m->id, (int)m->state,
            m->body.len > 0 ? m->body.at : "", (Py_ssize_t)m->body.len);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}
