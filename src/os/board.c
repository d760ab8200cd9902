/* The board: the contract is in os/board.h. */

#include "os/board.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define BOARD_MAGIC "guacobd2"
#define BOARD_LOOKS 8 /* before a slot that keeps changing is given up */
#define BOARD_SHM   "guaco-board"

struct board_header {
    _Alignas(64) char magic[8]; /* changes with the layout */
    uint32_t slots;
    uint32_t names;
    _Atomic uint32_t names_used; /* those below are whole */
};

struct board {
    struct board_header head;
    struct guaco__board_slot slots[GUACO__BOARD_SLOTS];
    _Atomic uint64_t answers[GUACO__BOARD_ANSWERS]; /* id << 32 | name */
    char names[GUACO__BOARD_NAMES][GUACO__BOARD_NAME_BYTES];
};

_Static_assert(sizeof(struct guaco__board_slot) == 64, "one cache line a slot");
_Static_assert(sizeof(struct board_header) == 64, "the layout is an interface");

size_t
guaco__board_bytes(void)
{
    return sizeof(struct board);
}

size_t
guaco__board_head_bytes(void)
{
    return offsetof(struct board, names);
}

size_t
guaco__board_used_bytes(const void *at)
{
    const struct board *b = at;
    uint32_t used =
        atomic_load_explicit(&b->head.names_used, memory_order_acquire);

    return guaco__board_head_bytes() +
           (size_t)(used < GUACO__BOARD_NAMES ? used : GUACO__BOARD_NAMES) *
               GUACO__BOARD_NAME_BYTES;
}

int
guaco__board_open(struct guaco__board *board, struct guaco_error *err)
{
    *board = (struct guaco__board){0};
    int rc = guaco__shm_open_anonymous(&board->shm, BOARD_SHM,
                                       sizeof(struct board), err);
    if (rc != GUACO_OK)
        return rc;

    struct board *b = board->shm.at;
    memcpy(b->names[0], "other", sizeof "other");
    b->head.slots = GUACO__BOARD_SLOTS;
    b->head.names = GUACO__BOARD_NAMES;
    atomic_store(&b->head.names_used, 1);
    memcpy(b->head.magic, BOARD_MAGIC, sizeof b->head.magic);
    board->slots = b->slots;
    board->answers = b->answers;
    guaco__map_init(&board->ids, GUACO__BOARD_NAMES);
    pthread_mutex_init(&board->lock, NULL);
    return GUACO_OK;
}

void
guaco__board_close(struct guaco__board *board)
{
    if (board->slots == NULL)
        return;
    guaco__map_release(&board->ids);
    pthread_mutex_destroy(&board->lock);
    guaco__shm_close(&board->shm);
    board->slots = NULL;
}

struct guaco__board_slot *
guaco__board_take(struct guaco__board *board, uint32_t tid)
{
    assert(tid != 0);

    for (size_t i = 0; i < GUACO__BOARD_SLOTS; i++) {
        struct guaco__board_slot *slot = &board->slots[i];
        uint32_t nobody = 0;
        if (atomic_load_explicit(&slot->tid, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&slot->tid, &nobody, tid))
            return slot;
    }
    return NULL;
}

void
guaco__board_give(struct guaco__board_slot *slot)
{
    if (slot == NULL)
        return;
    assert(atomic_load(&slot->tid) != 0);
    guaco__board_set(slot, GUACO__BOARD_IDLE, 0, 0, 0);
    atomic_store(&slot->tid, 0);
}

/* Write a name at the end of the table, under the lock. */
static uint32_t
add_name(struct guaco__board *board, struct guaco_slice name)
{
    struct board *b = board->shm.at;
    uint32_t n =
        atomic_load_explicit(&b->head.names_used, memory_order_relaxed);

    assert(n >= 1);
    if (n == GUACO__BOARD_NAMES)
        return 0;
    assert(name.len < GUACO__BOARD_NAME_BYTES);
    memcpy(b->names[n], name.at, name.len);
    struct guaco_slice kept = {b->names[n], name.len};
    if (guaco__map_put(&board->ids, kept, b->names[n]) != GUACO_OK) {
        memset(b->names[n], 0, name.len);
        return 0;
    }
    atomic_store_explicit(&b->head.names_used, n + 1, memory_order_release);
    return n;
}

uint32_t
guaco__board_name(struct guaco__board *board, struct guaco_slice name)
{
    struct board *b = board->shm.at;

    if (name.len >= GUACO__BOARD_NAME_BYTES)
        name.len = GUACO__BOARD_NAME_BYTES - 1;
    if (name.len == 0)
        return 0;
    pthread_mutex_lock(&board->lock);
    const char *place = guaco__map_get(&board->ids, name);
    uint32_t id =
        place == NULL
            ? add_name(board, name)
            : (uint32_t)((place - b->names[0]) / GUACO__BOARD_NAME_BYTES);
    pthread_mutex_unlock(&board->lock);
    assert(id < GUACO__BOARD_NAMES);
    return id;
}

/* One try; false when the slot changed meanwhile. */
static bool
copy_slot(const struct guaco__board_slot *slot, struct guaco__board_view *view,
          uint32_t *name)
{
    uint32_t before = atomic_load_explicit(&slot->seq, memory_order_acquire);

    view->tid = atomic_load_explicit(&slot->tid, memory_order_relaxed);
    view->kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);
    view->id = atomic_load_explicit(&slot->id, memory_order_relaxed);
    view->since_ns =
        atomic_load_explicit(&slot->since_ns, memory_order_relaxed);
    *name = atomic_load_explicit(&slot->name, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    uint32_t after = atomic_load_explicit(&slot->seq, memory_order_relaxed);
    return before == after && before % 2 == 0;
}

size_t
guaco__board_slot_at(size_t index)
{
    assert(index < GUACO__BOARD_SLOTS);
    return offsetof(struct board, slots) +
           index * sizeof(struct guaco__board_slot);
}

bool
guaco__board_slot_is_same(const void *a, const void *b)
{
    return memcmp(a, b, offsetof(struct guaco__board_slot, kind)) == 0;
}

/* Whether this is a board of this version. */
static bool
is_board(const struct board *b, size_t bytes)
{
    return bytes >= sizeof *b &&
           memcmp(b->head.magic, BOARD_MAGIC, sizeof b->head.magic) == 0 &&
           b->head.slots == GUACO__BOARD_SLOTS &&
           b->head.names == GUACO__BOARD_NAMES;
}

static int
copy_name(const struct board *b, uint32_t name,
          char out[GUACO__BOARD_NAME_BYTES])
{
    if (name >=
            atomic_load_explicit(&b->head.names_used, memory_order_acquire) ||
        name >= GUACO__BOARD_NAMES)
        return GUACO_E_PROTO;
    memcpy(out, b->names[name], GUACO__BOARD_NAME_BYTES);
    out[GUACO__BOARD_NAME_BYTES - 1] = '\0';
    return GUACO_OK;
}

int
guaco__board_look(const void *at, size_t bytes, size_t index,
                  struct guaco__board_view *view)
{
    const struct board *b = at;
    uint32_t name = 0;

    if (!is_board(b, bytes))
        return GUACO_E_PROTO;
    if (index >= GUACO__BOARD_SLOTS)
        return GUACO_E_MISSING;

    int looks = 0;
    while (!copy_slot(&b->slots[index], view, &name))
        if (++looks == BOARD_LOOKS)
            return GUACO_E_AGAIN;
    if (view->tid == 0)
        return GUACO_E_MISSING;
    view->is_named =
        name != 0 || view->id == 0 || view->kind != GUACO__BOARD_REQUEST;
    return copy_name(b, name, view->name);
}

/* Numbers go round: the later of two is less than half the circle ahead. */
int
guaco__board_ask(const void *at, size_t bytes, uint64_t id,
                 char name[GUACO__BOARD_NAME_BYTES])
{
    const struct board *b = at;

    if (!is_board(b, bytes))
        return GUACO_E_PROTO;
    uint64_t word = atomic_load_explicit(&b->answers[id % GUACO__BOARD_ANSWERS],
                                         memory_order_relaxed);
    uint32_t behind = (uint32_t)(word >> 32) - (uint32_t)id;
    if (word == 0 || behind > UINT32_MAX / 2)
        return GUACO_E_AGAIN;
    return behind > 0 ? GUACO_E_LOST : copy_name(b, (uint32_t)word, name);
}
