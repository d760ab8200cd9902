/*
 * The memory store's tasks by id.  Ids are given one after the other and tasks
 * mostly end in that order too, so they are kept in pages of neighbours: a put
 * writes behind the last one, without a hash of its own.
 */

#include <assert.h>
#include <stdlib.h>

#include "memory_int.h"

#define PAGES_MAX (1u << 24)

static struct memory_page *
page_of(const struct memory_index *index, uint64_t id)
{
    uint64_t number = id / MEMORY_PAGE;

    if (index->last != NULL && index->last->number == number)
        return index->last;
    return guaco__map_get(&index->pages, memory_key(&number));
}

void
guaco__memory_index_init(struct memory_index *index)
{
    guaco__map_init(&index->pages, PAGES_MAX);
    index->last = NULL;
}

void
guaco__memory_index_release(struct memory_index *index)
{
    size_t at = 0;
    void *value;

    while (guaco__map_next(&index->pages, &at, NULL, &value)) {
        struct memory_page *page = value;
        for (size_t i = 0; i < MEMORY_PAGE; i++)
            if (page->tasks[i] != NULL)
                guaco__memory_task_free(page->tasks[i]);
        free(page);
    }
    guaco__map_release(&index->pages);
}

struct memory_task *
guaco__memory_get(struct memory_store *self, uint64_t id)
{
    struct memory_page *page = page_of(&self->tasks, id);

    if (page == NULL)
        return NULL;
    self->tasks.last = page;
    return page->tasks[id % MEMORY_PAGE];
}

int
guaco__memory_add(struct memory_store *self, struct memory_task *task)
{
    struct memory_index *index = &self->tasks;
    struct memory_page *page = page_of(index, task->id);

    if (page == NULL) {
        page = calloc(1, sizeof *page);
        if (page == NULL)
            return GUACO_E_NOMEM;
        page->number = task->id / MEMORY_PAGE;
        int rc = guaco__map_put(&index->pages, memory_key(&page->number), page);
        if (rc != GUACO_OK) {
            free(page);
            return rc;
        }
    }
    index->last = page;
    struct memory_task **slot = &page->tasks[task->id % MEMORY_PAGE];
    if (*slot != NULL)
        return GUACO_E_EXISTS;
    *slot = task;
    page->count++;
    return GUACO_OK;
}

void
guaco__memory_swap(struct memory_store *self, struct memory_task *task)
{
    struct memory_page *page = page_of(&self->tasks, task->id);

    assert(page != NULL);
    assert(page->tasks[task->id % MEMORY_PAGE] != NULL);
    page->tasks[task->id % MEMORY_PAGE] = task;
}

void
guaco__memory_remove(struct memory_store *self, uint64_t id)
{
    struct memory_index *index = &self->tasks;
    struct memory_page *page = page_of(index, id);

    assert(page != NULL);
    assert(page->tasks[id % MEMORY_PAGE] != NULL);
    page->tasks[id % MEMORY_PAGE] = NULL;
    page->count--;
    /* The last one is about to be written to again. */
    if (page->count > 0 || page->number == self->last_id / MEMORY_PAGE)
        return;
    (void)guaco__map_take(&index->pages, memory_key(&page->number));
    if (index->last == page)
        index->last = NULL;
    free(page);
}
