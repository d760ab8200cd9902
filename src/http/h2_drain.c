/* Streams that are read away: the contract is in h2_drain.h. */

#include "h2_drain.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 4 };

void
guaco__h2_drains_release(struct guaco__h2_drains *d)
{
    free(d->list);
    *d = (struct guaco__h2_drains){0};
}

static bool
has_room(struct guaco__h2_drains *d)
{
    uint32_t room = d->room > 0 ? 2 * d->room : ROOM_MIN;
    struct guaco__h2_drain *list;

    if (d->count < d->room)
        return true;
    list = realloc(d->list, room * sizeof(*list));
    if (list == NULL)
        return false;
    d->list = list;
    d->room = room;
    return true;
}

static void
take_out(struct guaco__h2_drains *d, struct guaco__h2_drain *drain)
{
    size_t behind = (size_t)(d->list + d->count - (drain + 1));

    memmove(drain, drain + 1, behind * sizeof(*drain));
    if (--d->count == 0)
        guaco__h2_drains_release(d);
}

/* Half of the streams stay for requests that somebody waits for. */
static bool
is_crowded(const struct guaco__h2_drains *d,
           const struct guaco__h2_limits *limits)
{
    return d->count > (limits->streams + 1) / 2;
}

uint32_t
guaco__h2_drains_add(struct guaco__h2_drains *d,
                     const struct guaco__h2_limits *limits, uint32_t id,
                     uint64_t now_ms)
{
    struct guaco__h2_drain *oldest;

    if (!has_room(d))
        return id;
    d->list[d->count++] = (struct guaco__h2_drain){id, now_ms};
    oldest = &d->list[0];
    if (!is_crowded(d, limits) &&
        now_ms - oldest->since_ms <= GUACO__H2_DRAIN_AGE_MS)
        return 0;
    id = oldest->id;
    take_out(d, oldest);
    return id;
}

bool
guaco__h2_drains_remove(struct guaco__h2_drains *d, uint32_t id)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->list[i].id == id) {
            take_out(d, &d->list[i]);
            return true;
        }
    }
    return false;
}
