/* Results and events of the memory store. */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

#define EVENTS_KEPT_MS (24LL * 3600 * 1000) /* of a task without a result */

static bool
ends_before(const struct guaco__heap_node *a, const struct guaco__heap_node *b)
{
    return GUACO__OF(a, struct memory_record, node)->end_ms <
           GUACO__OF(b, struct memory_record, node)->end_ms;
}

static struct memory_record *
find_record(struct memory_store *self, uint64_t id)
{
    return guaco__map_get(&self->records, memory_key(&id));
}

static struct memory_record *
make_record(struct memory_store *self, uint64_t id, struct memory_queue *queue)
{
    struct memory_record *record = find_record(self, id);
    if (record != NULL)
        return record;

    record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    record->id = id;
    record->queue = queue;
    record->end_ms = self->now_ms + EVENTS_KEPT_MS;
    guaco__list_init(&record->events);
    if (guaco__map_put(&self->records, memory_key(&record->id), record) !=
        GUACO_OK) {
        free(record);
        return NULL;
    }
    if (self->ends.less == NULL)
        guaco__heap_init(&self->ends, ends_before);
    guaco__heap_insert(&self->ends, &record->node);
    return record;
}

void
guaco__memory_record_free(struct memory_record *record)
{
    struct guaco__list *link;

    while ((link = guaco__list_shift(&record->events)) != NULL)
        free(GUACO__OF(link, struct memory_event, link));
    free(record->bytes);
    free(record);
}

static void
drop_record(struct memory_store *self, struct memory_record *record)
{
    (void)guaco__map_take(&self->records, memory_key(&record->id));
    guaco__heap_remove(&self->ends, &record->node);
    if (record->has_result)
        record->queue->results--;
    guaco__memory_record_free(record);
}

void
guaco__memory_forget(struct memory_store *self, uint64_t id)
{
    struct memory_record *record = find_record(self, id);

    if (record != NULL)
        drop_record(self, record);
}

static void
set_end(struct memory_store *self, struct memory_record *record, int64_t end_ms)
{
    guaco__heap_remove(&self->ends, &record->node);
    record->end_ms = end_ms;
    guaco__heap_insert(&self->ends, &record->node);
    guaco__touched_due(&self->base.touched, end_ms);
}

int
guaco__memory_result(struct memory_store *self, struct memory_queue *queue,
                     const struct guaco_result *result, uint32_t ttl_s)
{
    char *bytes = malloc(result->body.len + result->reason.len + 1);
    if (bytes == NULL)
        return GUACO_E_NOMEM;
    struct memory_record *record = make_record(self, result->id, queue);
    if (record == NULL) {
        free(bytes);
        return GUACO_E_NOMEM;
    }

    if (result->body.len > 0)
        memcpy(bytes, result->body.at, result->body.len);
    if (result->reason.len > 0)
        memcpy(bytes + result->body.len, result->reason.at, result->reason.len);
    free(record->bytes);
    record->bytes = bytes;
    record->result = *result;
    record->result.body.at = bytes;
    record->result.reason.at = bytes + result->body.len;
    if (!record->has_result)
        queue->results++;
    record->has_result = true;
    set_end(self, record, self->now_ms + (int64_t)ttl_s * 1000);
    return GUACO_OK;
}

int
guaco__memory_event(struct memory_store *self,
                    const struct guaco__op_event *event)
{
    struct memory_task *task =
        guaco__memory_holds(self, event->id, event->owner, event->attempt);
    if (task == NULL)
        return GUACO_E_LOST;

    struct memory_event *note = malloc(sizeof *note + event->body.len);
    struct memory_record *record =
        note == NULL ? NULL : make_record(self, event->id, task->queue);
    if (record == NULL) {
        free(note);
        return GUACO_E_NOMEM;
    }
    guaco__list_init(&note->link);
    note->number = ++record->last_event;
    note->len = event->body.len;
    if (note->len > 0)
        memcpy(note->body, event->body.at, note->len);
    guaco__list_push(&record->events, &note->link);
    if (++record->event_count > GUACO_EVENTS_MAX) {
        free(GUACO__OF(guaco__list_shift(&record->events), struct memory_event,
                       link));
        record->event_count--;
    }
    set_end(self, record, self->now_ms + EVENTS_KEPT_MS);
    return GUACO_OK;
}

int
guaco__memory_read(struct memory_store *self, struct guaco__op_read *read)
{
    struct memory_record *record = find_record(self, read->id);
    uint64_t number = read->id >> 32;

    if (read->members)
        return guaco__memory_members(self, read->id, read->news);
    if (record == NULL)
        return number == 0 || number == self->number ? GUACO_OK : GUACO_E_LOST;
    struct guaco__list *head = &record->events;
    for (struct guaco__list *l = head->next; l != head; l = l->next) {
        const struct memory_event *note =
            GUACO__OF(l, struct memory_event, link);
        struct guaco_slice body = {note->body, note->len};
        if (note->number <= read->after)
            continue;
        int rc = guaco__news_event(read->news, note->number, body);
        if (rc != GUACO_OK)
            return rc;
    }
    if (!record->has_result)
        return GUACO_OK;
    int rc = guaco__news_result(read->news, &record->result);
    if (rc == GUACO_OK && read->take)
        drop_record(self, record);
    return rc;
}

int
guaco__memory_sweep(struct memory_store *self, struct guaco__op_sweep *sweep)
{
    struct guaco__heap_node *node;

    sweep->next_end_ms = INT64_MAX;
    while ((node = guaco__heap_min(&self->ends)) != NULL) {
        struct memory_record *record =
            GUACO__OF(node, struct memory_record, node);

        if (record->end_ms > self->now_ms || sweep->count == sweep->limit) {
            sweep->next_end_ms = record->end_ms;
            break;
        }
        drop_record(self, record);
        sweep->count++;
    }
    sweep->count += guaco__memory_unique_sweep(
        self, sweep->limit - sweep->count, &sweep->next_end_ms);
    sweep->count += guaco__memory_key_sweep(self, sweep->limit - sweep->count,
                                            &sweep->next_end_ms);
    return GUACO_OK;
}
