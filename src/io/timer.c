/*
 * One heap for all timers of a loop.
 *
 * Timeouts are mostly postponed, not met: a connection moves its deadline with
 * each request.  So a timer that is moved to a later deadline keeps its place
 * in the heap (`heap_ns`), and finds its new one when the old place comes to
 * the top.
 */

#include "timer.h"

#include <assert.h>

#include "loop_int.h"

static struct guaco__timer *
timer_of(struct guaco__heap_node *node)
{
    return GUACO__OF(node, struct guaco__timer, node);
}

static bool
is_before(const struct guaco__heap_node *a, const struct guaco__heap_node *b)
{
    const struct guaco__timer *first =
        GUACO__OF((struct guaco__heap_node *)a, struct guaco__timer, node);
    const struct guaco__timer *second =
        GUACO__OF((struct guaco__heap_node *)b, struct guaco__timer, node);

    if (first->heap_ns != second->heap_ns)
        return first->heap_ns < second->heap_ns;
    return first->heap_serial < second->heap_serial;
}

static void
place(struct guaco__timer *timer, uint64_t heap_ns)
{
    timer->heap_ns = heap_ns;
    timer->heap_serial = timer->serial;
    guaco__heap_insert(&timer->loop->timers, &timer->node);
}

void
guaco__timer_init(struct guaco__timer *timer, struct guaco__loop *loop,
                  void (*fn)(struct guaco__timer *timer))
{
    *timer = (struct guaco__timer){.loop = loop, .fn = fn};
}

void
guaco__timer_start(struct guaco__timer *timer, uint64_t due_ns)
{
    struct guaco__loop *loop = timer->loop;

    assert(due_ns < UINT64_MAX);
    timer->due_ns = due_ns;
    timer->serial = loop->timer_serial++;
    if (timer->is_armed && due_ns >= timer->heap_ns)
        return;
    guaco__timer_stop(timer);
    timer->is_armed = true;
    bool is_past = loop->is_firing && due_ns < loop->now_ns;
    place(timer, is_past ? loop->now_ns : due_ns);
}

void
guaco__timer_start_ms(struct guaco__timer *timer, uint64_t delay_ms)
{
    static const uint64_t ns_per_ms = 1000000;
    uint64_t now_ns = timer->loop->now_ns;

    if (delay_ms > (UINT64_MAX - 1 - now_ns) / ns_per_ms)
        guaco__timer_start(timer, UINT64_MAX - 1);
    else
        guaco__timer_start(timer, now_ns + delay_ms * ns_per_ms);
}

void
guaco__timer_stop(struct guaco__timer *timer)
{
    if (!timer->is_armed)
        return;
    timer->is_armed = false;
    guaco__heap_remove(&timer->loop->timers, &timer->node);
}

void
guaco__timers_init(struct guaco__loop *loop)
{
    guaco__heap_init(&loop->timers, is_before);
}

uint64_t
guaco__timers_next_ns(struct guaco__loop *loop)
{
    struct guaco__heap_node *node;

    /* Postponed ones on top find their place now, or they would wake us. */
    while ((node = guaco__heap_min(&loop->timers)) != NULL) {
        struct guaco__timer *timer = timer_of(node);
        if (timer->heap_serial == timer->serial)
            return timer->due_ns;
        guaco__heap_remove(&loop->timers, node);
        place(timer, timer->due_ns);
    }
    return UINT64_MAX;
}

/* Timers that are armed meanwhile have later serials, and places behind all
 * that are due, and wait for the next turn: one which always starts itself
 * again cannot hold up the others. */
void
guaco__timers_run(struct guaco__loop *loop)
{
    uint64_t end = loop->timer_serial;

    loop->is_firing = true;
    while (guaco__timers_next_ns(loop) <= loop->now_ns) {
        struct guaco__timer *timer = timer_of(guaco__heap_min(&loop->timers));
        if (timer->serial >= end)
            break;
        guaco__timer_stop(timer);
        timer->fn(timer);
    }
    loop->is_firing = false;
}
