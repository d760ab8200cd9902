/* The server's meter: see metering.h. */

#include "server/metering.h"

#include <assert.h>
#include <unistd.h>

#include "os/meter.h"

enum { CROWD_GAP_MAX = 64 };

/*
 * The supervisor looks after the loops of its tree only while one of them
 * moves: whoever begins to move while nobody is watched says so, once.
 */
static void
on_busy(void *ctx, uint64_t now_ns)
{
    const struct guaco__server *server = ctx;
    struct guaco__meter *meter = server->options.meter;
    uint64_t one = 1;

    atomic_store_explicit(&meter->busy_since_ns, now_ns, memory_order_relaxed);
    if (server->options.pulse_fd < 0 ||
        atomic_load_explicit(&meter->is_watched, memory_order_relaxed) != 0)
        return;
    atomic_store_explicit(&meter->is_watched, 1, memory_order_relaxed);
    /* A counter that is full is as good as told. */
    if (write(server->options.pulse_fd, &one, sizeof one) < 0)
        return;
}

static void
on_idle(void *ctx)
{
    const struct guaco__server *server = ctx;

    atomic_store_explicit(&server->options.meter->busy_since_ns, 0,
                          memory_order_relaxed);
}

void
guaco__metering_start(struct guaco__server *server)
{
    struct guaco__loop_pulse pulse = {on_busy, on_idle, server};

    if (server->options.meter != NULL)
        guaco__loop_set_pulse(server->loop, &pulse);
}

void
guaco__metering_stop(struct guaco__server *server)
{
    if (server->options.meter == NULL)
        return;
    guaco__loop_set_pulse(server->loop, NULL);
    guaco__metering_crowd(server);
    on_idle(server);
    guaco__metering_turn(server);
}

void
guaco__metering_crowd(struct guaco__server *server)
{
    bool accepts =
        server->state == GUACO__SERVER_OPEN && !server->accepting_is_paused;

    if (server->options.crowd != NULL)
        atomic_store_explicit(
            &server->options.crowd[server->options.crowd_place],
            accepts ? server->stats.connections_open + 1 : 0,
            memory_order_relaxed);
}

/* The places are taken from the first on, and few: looking ends behind a run of
 * free ones. */
bool
guaco__metering_may_accept(const struct guaco__server *server)
{
    const _Atomic uint32_t *crowd = server->options.crowd;
    uint32_t own = server->stats.connections_open + 1;
    unsigned free_run = 0;

    for (uint32_t i = 0;
         crowd != NULL && i < GUACO__METER_SLOTS && free_run < CROWD_GAP_MAX;
         i++) {
        uint32_t other = atomic_load_explicit(&crowd[i], memory_order_relaxed);
        free_run = other == 0 ? free_run + 1 : 0;
        if (other != 0 && own > other + other / 16)
            return false;
    }
    return true;
}

static void
put(_Atomic uint64_t *count, uint64_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

/* The server is the only one of its process: its counts are the slot's. */
void
guaco__metering_turn(struct guaco__server *server)
{
    const struct guaco__server_stats *s = &server->stats;
    struct guaco__meter *m = server->options.meter;

    if (m == NULL)
        return;
    put(&m->counts.connections, s->connections);
    put(&m->counts.bytes_in, s->bytes_in);
    put(&m->counts.bytes_out, s->bytes_out);
    put(&m->counts.refused, s->errors);
    put(&m->counts.timeouts, s->timeouts);
    put(&m->counts.log_lines_dropped, server->access.dropped_total);
    atomic_store_explicit(&m->open_connections, s->connections_open,
                          memory_order_relaxed);
    atomic_store_explicit(&m->in_flight, s->exchanges_open,
                          memory_order_relaxed);
}

void
guaco__metering_begin(struct guaco__exchange *x)
{
    struct guaco__server *server = x->server;
    struct guaco__meter *m = server->options.meter;

    if (m == NULL)
        return;
    assert(x->begun_ns != 0);
    atomic_store_explicit(&m->in_flight, server->stats.exchanges_open,
                          memory_order_relaxed);
    x->meter_place =
        guaco__meter_begin(m, guaco__meter_method_of(x->request.method),
                           x->request.target, x->begun_ns);
}

void
guaco__metering_end(struct guaco__exchange *x)
{
    if (x->server->options.meter != NULL)
        guaco__meter_end(x->server->options.meter, x->meter_place);
}
