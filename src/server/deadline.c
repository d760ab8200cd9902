/* Deadlines: the idea is in deadline.h. */

#include "server/deadline.h"

#include <assert.h>
#include <string.h>

#include "io/loop.h"

static void
arm(struct guaco__deadlines *all, uint64_t at_ms)
{
    if (all->timer.loop == NULL || at_ms >= all->armed_ms)
        return;
    all->armed_ms = at_ms;
    guaco__timer_start(&all->timer, at_ms * UINT64_C(1000000));
}

static void
on_timer(struct guaco__timer *timer)
{
    struct guaco__deadlines *all =
        GUACO__OF(timer, struct guaco__deadlines, timer);

    all->armed_ms = UINT64_MAX;
    guaco__deadlines_run(all, guaco__loop_now_ns(timer->loop) / 1000000);
    arm(all, guaco__deadlines_next_ms(all));
}

void
guaco__deadlines_init(struct guaco__deadlines *all, struct guaco__loop *loop,
                      void (*on_expired)(struct guaco__deadlines *all,
                                         struct guaco__deadline *deadline,
                                         enum guaco__deadline_kind kind))
{
    memset(all, 0, sizeof(*all));
    for (int i = 0; i < GUACO__DEADLINE_COUNT; i++)
        guaco__list_init(&all->lists[i]);
    if (loop != NULL)
        guaco__timer_init(&all->timer, loop, on_timer);
    all->armed_ms = UINT64_MAX;
    all->on_expired = on_expired;
}

void
guaco__deadlines_release(struct guaco__deadlines *all)
{
    for (int i = 0; i < GUACO__DEADLINE_COUNT; i++)
        assert(guaco__list_is_empty(&all->lists[i]));
    if (all->timer.loop != NULL)
        guaco__timer_stop(&all->timer);
    all->armed_ms = UINT64_MAX;
}

void
guaco__deadline_init(struct guaco__deadline *deadline)
{
    guaco__list_init(&deadline->link);
    deadline->at_ms = 0;
    deadline->kind = GUACO__DEADLINE_COUNT;
}

void
guaco__deadline_set(struct guaco__deadlines *all,
                    struct guaco__deadline *deadline,
                    enum guaco__deadline_kind kind, uint64_t now_ms)
{
    assert(kind < GUACO__DEADLINE_COUNT);
    guaco__deadline_clear(deadline);
    if (all->lengths_ms[kind] == 0)
        return;
    deadline->at_ms = now_ms + all->lengths_ms[kind];
    deadline->kind = (uint8_t)kind;
    guaco__list_push(&all->lists[kind], &deadline->link);
    arm(all, deadline->at_ms);
}

void
guaco__deadline_clear(struct guaco__deadline *deadline)
{
    guaco__list_remove(&deadline->link);
    deadline->kind = GUACO__DEADLINE_COUNT;
}

/* The first of a kind, or NULL. */
static struct guaco__deadline *
first_of(const struct guaco__deadlines *all, int kind)
{
    struct guaco__list *link = guaco__list_first(&all->lists[kind]);

    return link == NULL ? NULL : GUACO__OF(link, struct guaco__deadline, link);
}

void
guaco__deadlines_run(struct guaco__deadlines *all, uint64_t now_ms)
{
    for (int kind = 0; kind < GUACO__DEADLINE_COUNT; kind++) {
        struct guaco__deadline *first;

        /* ends: what is set meanwhile is due after now_ms */
        while ((first = first_of(all, kind)) != NULL &&
               first->at_ms <= now_ms) {
            guaco__deadline_clear(first);
            all->on_expired(all, first, (enum guaco__deadline_kind)kind);
        }
    }
}

uint64_t
guaco__deadlines_next_ms(const struct guaco__deadlines *all)
{
    uint64_t next_ms = UINT64_MAX;

    for (int kind = 0; kind < GUACO__DEADLINE_COUNT; kind++) {
        const struct guaco__deadline *first = first_of(all, kind);

        if (first != NULL && first->at_ms < next_ms)
            next_ms = first->at_ms;
    }
    return next_ms;
}
