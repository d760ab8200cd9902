/* A guaco_news: one block that grows while a store fills it. */

#include <assert.h>
#include <stdlib.h>

#include "broker_int.h"

struct news_store {
    struct guaco_result result;
    char *bytes; /* of the result */
    size_t room; /* events allocated */
    struct guaco_event *events;
    size_t member_room;
    struct guaco_member *members;
};

static struct news_store *
store_of(struct guaco_news *news)
{
    if (news->store_private == NULL)
        news->store_private = calloc(1, sizeof(struct news_store));
    return news->store_private;
}

/* Copies in one allocation, that begins with the body of `a`. */
static char *
copy_two(struct guaco_slice a, struct guaco_slice b)
{
    char *copy = malloc(a.len + b.len + 1);

    if (copy != NULL && a.len > 0)
        memcpy(copy, a.at, a.len);
    if (copy != NULL && b.len > 0)
        memcpy(copy + a.len, b.at, b.len);
    return copy;
}

static int
grow_events(struct news_store *store)
{
    size_t room = store->room == 0 ? 4 : store->room * 2;

    struct guaco_event *events = realloc(store->events, room * sizeof *events);
    if (events == NULL)
        return GUACO_E_NOMEM;
    store->events = events;
    store->room = room;
    return GUACO_OK;
}

int
guaco__news_event(struct guaco_news *news, uint32_t number,
                  struct guaco_slice body)
{
    struct news_store *store = store_of(news);

    if (store == NULL)
        return GUACO_E_NOMEM;
    if (news->event_count == store->room && grow_events(store) != GUACO_OK)
        return GUACO_E_NOMEM;
    char *copy = copy_two(body, (struct guaco_slice){0});
    if (copy == NULL)
        return GUACO_E_NOMEM;
    store->events[news->event_count++] =
        (struct guaco_event){.number = number, .body = {copy, body.len}};
    news->events = store->events;
    return GUACO_OK;
}

int
guaco__news_member(struct guaco_news *news, const struct guaco_member *member)
{
    struct news_store *store = store_of(news);

    if (store == NULL)
        return GUACO_E_NOMEM;
    if (news->member_count == store->member_room) {
        size_t room = store->member_room == 0 ? 8 : store->member_room * 2;
        struct guaco_member *members =
            realloc(store->members, room * sizeof *members);
        if (members == NULL)
            return GUACO_E_NOMEM;
        store->members = members;
        store->member_room = room;
    }
    char *copy = copy_two(member->body, (struct guaco_slice){0});
    if (copy == NULL)
        return GUACO_E_NOMEM;
    store->members[news->member_count] = *member;
    store->members[news->member_count++].body.at = copy;
    news->members = store->members;
    return GUACO_OK;
}

int
guaco__news_result(struct guaco_news *news, const struct guaco_result *result)
{
    struct news_store *store = store_of(news);

    assert(news->result == NULL);
    if (store == NULL)
        return GUACO_E_NOMEM;
    store->bytes = copy_two(result->body, result->reason);
    if (store->bytes == NULL)
        return GUACO_E_NOMEM;
    store->result = *result;
    store->result.body.at = store->bytes;
    store->result.reason.at = store->bytes + result->body.len;
    news->result = &store->result;
    return GUACO_OK;
}

void
guaco_news_release(struct guaco_news *news)
{
    struct news_store *store = news->store_private;

    if (store != NULL) {
        for (size_t i = 0; i < news->event_count; i++)
            free((void *)(uintptr_t)store->events[i].body.at);
        for (size_t i = 0; i < news->member_count; i++)
            free((void *)(uintptr_t)store->members[i].body.at);
        free(store->members);
        free(store->events);
        free(store->bytes);
        free(store);
    }
    *news = (struct guaco_news){0};
}
