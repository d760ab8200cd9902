/*
 * More and fewer workers while the tree runs.
 *
 * A slot that is given up is parked, not removed: its TCP sockets stay open,
 * because the kernel goes on queueing connections on them (closing one would
 * reset what waits there), and another slot serves them from then on.
 */

#include <assert.h>
#include <stdio.h>

#include "supervisor_int.h"

/* The role that SIGTTIN and SIGTTOU mean. */
static enum role
scaled_role(const struct tree *tree)
{
    return tree->binds.count > 0 ? ROLE_WEB : ROLE_TASKS;
}

static size_t
count_active(const struct tree *tree, enum role role)
{
    const struct slot *slot;
    size_t n = 0;

    EACH_SLOT(tree, slot)
    n += slot->role == role && !slot->is_parked;
    return n;
}

static size_t
count_slots(const struct tree *tree, enum role role)
{
    const struct slot *slot;
    size_t n = 0;

    EACH_SLOT(tree, slot)
    n += slot->role == role;
    return n;
}

/* Slots are parked from the end: the active ones are those below the count. */
static struct slot *
slot_at(const struct tree *tree, enum role role, size_t index)
{
    struct slot *slot;

    EACH_SLOT(tree, slot)
    if (slot->role == role && slot->index == index)
        return slot;
    return NULL;
}

/* Tasks that run on threads of one process are no processes to be counted. */
static bool
can_scale(const struct tree *tree, enum role role)
{
    const struct slot *first = slot_at(tree, role, 0);

    if (tree->state == TREE_STOPPING)
        return false;
    if (first != NULL && (role == ROLE_WEB || first->concurrency == 1))
        return true;
    guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
               "only web workers, and tasks of --worker-kind process, can be "
               "made more or fewer");
    return false;
}

static struct slot *
add_slot(struct tree *tree, enum role role, size_t index)
{
    struct guaco_error err = {0};
    struct slot *slot = NULL;

    if (index >= GUACO__BIND_SLOTS_MAX)
        guaco_fail(&err, GUACO_E_LIMIT, 0, "there are %zu already", index);
    else if (role != ROLE_WEB ||
             guaco__binds_grow(&tree->binds, index + 1, &err) == GUACO_OK)
        slot = guaco__tree_add_slot(tree, role, index, role == ROLE_TASKS);
    if (slot == NULL)
        guaco__log(tree->log, GUACO_LOG_ERROR, "supervisor",
                   "no worker more: %s",
                   err.text[0] == '\0' ? "out of memory" : err.text);
    return slot;
}

static void
say_count(const struct tree *tree, enum role role)
{
    guaco__log(tree->log, GUACO_LOG_INFO, "supervisor", "%zu %s workers now",
               count_active(tree, role), guaco__role_name(role));
}

void
guaco__tree_grow(struct tree *tree)
{
    enum role role = scaled_role(tree);
    size_t active = count_active(tree, role);

    if (!can_scale(tree, role))
        return;
    struct slot *slot = slot_at(tree, role, active);
    if (slot == NULL)
        slot = add_slot(tree, role, active);
    if (slot == NULL)
        return;
    guaco__slot_start(slot);
    say_count(tree, role);
}

/* ---- sockets of parked slots ---- */

/* The sockets that are a slot's alone; fds has room for all addresses. */
static size_t
own_sockets(const struct tree *tree, size_t index, int *fds)
{
    size_t count = 0;

    for (size_t i = 0; i < tree->binds.count; i++)
        if (guaco__binds_is_own(&tree->binds, i))
            fds[count++] = guaco__binds_fd(&tree->binds, i, index);
    return count;
}

static void
give_sockets(struct worker *worker, size_t parked)
{
    const struct guaco__binds *binds = &worker->tree->binds;
    int fds[GUACO__BINDS_MAX];
    char text[64 + 16 * GUACO__BINDS_MAX];
    size_t count = own_sockets(worker->tree, parked, fds);
    int len =
        snprintf(text, sizeof text, "{\"command\":\"listen\",\"sockets\":[");

    if (count == 0)
        return;
    for (size_t i = 0; i < binds->count; i++)
        if (guaco__binds_is_own(binds, i))
            len +=
                snprintf(text + len, sizeof text - (size_t)len, "{\"tls\":%s},",
                         binds->items[i].is_tls ? "true" : "false");
    len--; /* the last comma */
    len += snprintf(text + len, sizeof text - (size_t)len, "]}");
    assert((size_t)len < sizeof text);
    guaco__worker_command(worker, text, fds, count);
}

/* The first web slot is never parked alone: it serves for those that are. */
void
guaco__worker_give_parked(struct worker *worker)
{
    const struct slot *other;

    if (worker->slot->role != ROLE_WEB || worker->slot->index != 0)
        return;
    EACH_SLOT(worker->tree, other)
    if (other->role == ROLE_WEB && other->is_parked)
        give_sockets(worker, other->index);
}

/* Whether the first slot can serve the sockets of one parked slot more. */
static bool
can_park(const struct tree *tree, enum role role)
{
    int fds[GUACO__BINDS_MAX];
    size_t parked = count_slots(tree, role) - count_active(tree, role);
    size_t each = own_sockets(tree, 0, fds);

    if (role != ROLE_WEB ||
        tree->binds.count + (parked + 1) * each <= GUACO__CHANNEL_FDS_MAX)
        return true;
    guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
               "no worker less: their sockets are too many for one; restart "
               "with another --workers");
    return false;
}

void
guaco__tree_shrink(struct tree *tree)
{
    enum role role = scaled_role(tree);
    size_t active = count_active(tree, role);

    if (!can_scale(tree, role))
        return;
    if (active <= 1) {
        guaco__log(tree->log, GUACO_LOG_WARNING, "supervisor",
                   "the last worker stays");
        return;
    }
    if (!can_park(tree, role))
        return;
    struct slot *slot = slot_at(tree, role, active - 1);
    struct slot *first = slot_at(tree, role, 0);
    assert(slot != NULL && first != NULL);
    guaco__slot_park(slot);
    if (role == ROLE_WEB && first->now != NULL)
        give_sockets(first->now, slot->index);
    if (role == ROLE_WEB && first->next != NULL)
        give_sockets(first->next, slot->index);
    say_count(tree, role);
}

/* ---- all of them ---- */

void
guaco__tree_park_web(struct tree *tree)
{
    struct slot *slot;

    EACH_SLOT(tree, slot)
    if (slot->role == ROLE_WEB && !slot->is_parked)
        guaco__slot_park(slot);
}

/* Only when all are parked: that was SIGWINCH, not SIGTTOU. */
void
guaco__tree_unpark_web(struct tree *tree)
{
    struct slot *slot;

    if (tree->state == TREE_STOPPING || count_active(tree, ROLE_WEB) > 0 ||
        count_slots(tree, ROLE_WEB) == 0)
        return;
    EACH_SLOT(tree, slot)
    if (slot->role == ROLE_WEB)
        guaco__slot_start(slot);
}
