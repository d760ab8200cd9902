/* Places of a recording, ranked: what is counted is in ranking.h. */

#include "ranking.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"

#define NONE          UINT32_MAX
#define FUNCTIONS_MAX 1000000u
#define ARENA_BYTES   ((size_t)64 << 10)
#define ARENA_CAP     ((size_t)1 << 30)

/* A row: a function, or a line of one. */
struct row {
    struct guaco__rank rank;
    uint64_t own_at_reset, total_at_reset;
    uint64_t own_before, total_before; /* at the last look */
    uint64_t own_sum, total_sum;       /* of the tree */
    uint32_t open; /* how often it is in the stack being walked */
};

struct guaco__ranking {
    struct guaco__tally *tally;
    bool by_line;
    struct guaco__arena arena;
    struct guaco__map functions; /* struct function by its texts */
    uint32_t *row_of;            /* by the place's id; NONE: no row yet */
    uint32_t place_count;        /* of row_of */
    struct row *rows;
    uint32_t row_count, row_room;
    struct guaco__rank *ranks; /* what is given */
    size_t rank_count, rank_room;
    uint64_t samples_before;
};

struct function {
    uint32_t row;
};

int
guaco__ranking_new(struct guaco__ranking **ranking, struct guaco__tally *tally,
                   bool by_line)
{
    struct guaco__ranking *self = calloc(1, sizeof *self);

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->tally = tally;
    self->by_line = by_line;
    guaco__arena_init(&self->arena, ARENA_BYTES, ARENA_CAP);
    guaco__map_init(&self->functions, FUNCTIONS_MAX);
    *ranking = self;
    return GUACO_OK;
}

void
guaco__ranking_free(struct guaco__ranking *ranking)
{
    if (ranking == NULL)
        return;
    guaco__map_release(&ranking->functions);
    guaco__arena_release(&ranking->arena);
    free(ranking->row_of);
    free(ranking->rows);
    free(ranking->ranks);
    free(ranking);
}

/* ---- rows ------------------------------------------------------------------------- */

static int
row_add(struct guaco__ranking *self, const struct guaco__place *place,
        uint32_t *row)
{
    if (self->row_count == self->row_room) {
        uint32_t room = self->row_room == 0 ? 256 : self->row_room * 2;
        struct row *rows = realloc(self->rows, room * sizeof *rows);
        if (rows == NULL)
            return GUACO_E_NOMEM;
        self->rows = rows;
        self->row_room = room;
    }
    *row = self->row_count++;
    self->rows[*row] = (struct row){.rank.place = place};
    return GUACO_OK;
}

/* The row of a function, by file and name. */
static int
row_of_function(struct guaco__ranking *self, const struct guaco__place *place,
                uint32_t *row)
{
    size_t file = place->file.len, name = place->name.len;
    char *key = guaco__arena_alloc(&self->arena, file + name + 1);

    if (key == NULL)
        return GUACO_E_NOMEM;
    if (file > 0)
        memcpy(key, place->file.at, file);
    key[file] = '\0';
    if (name > 0)
        memcpy(key + file + 1, place->name.at, name);
    struct guaco_slice text = {key, file + name + 1};
    struct function *function = guaco__map_get(&self->functions, text);
    if (function != NULL) {
        *row = function->row;
        return GUACO_OK;
    }
    function = guaco__arena_alloc(&self->arena, sizeof *function);
    if (function == NULL)
        return GUACO_E_NOMEM;
    int rc = row_add(self, place, &function->row);
    *row = function->row;
    return rc == GUACO_OK ? guaco__map_put(&self->functions, text, function)
                          : rc;
}

/* Have row_of reach to the newest place. */
static int
grow_places(struct guaco__ranking *self)
{
    uint32_t count = self->tally->place_count;

    if (count <= self->place_count)
        return GUACO_OK;
    uint32_t *row_of = realloc(self->row_of, count * sizeof *row_of);
    if (row_of == NULL)
        return GUACO_E_NOMEM;
    memset(row_of + self->place_count, 0xff,
           (count - self->place_count) * sizeof *row_of);
    self->row_of = row_of;
    self->place_count = count;
    return GUACO_OK;
}

static int
row_get(struct guaco__ranking *self, const struct guaco__place *place,
        uint32_t *row)
{
    assert(place->id < self->place_count);
    *row = self->row_of[place->id];
    if (*row != NONE)
        return GUACO_OK;
    int rc = self->by_line ? row_add(self, place, row)
                           : row_of_function(self, place, row);
    if (rc == GUACO_OK)
        self->row_of[place->id] = *row;
    return rc;
}

/* ---- summing ---------------------------------------------------------------------- */

static int
enter(struct guaco__ranking *self, const struct guaco__tally_node *node)
{
    uint32_t row;

    int rc = row_get(self, node->place, &row);
    if (rc != GUACO_OK)
        return rc;
    self->rows[row].own_sum += node->self;
    if (self->rows[row].open++ == 0)
        self->rows[row].total_sum += node->total;
    return GUACO_OK;
}

static void
leave(struct guaco__ranking *self, const struct guaco__tally_node *node)
{
    self->rows[self->row_of[node->place->id]].open--;
}

/* The whole tree, each node entered before and left after what it calls. */
static int
sum(struct guaco__ranking *self)
{
    const struct guaco__tally_node *node = self->tally->root.first_child;
    int rc = GUACO_OK;

    for (uint32_t i = 0; i < self->row_count; i++) {
        self->rows[i].own_sum = self->rows[i].total_sum = 0;
        self->rows[i].open = 0;
    }
    while (node != NULL && node->place != NULL) {
        rc = enter(self, node);
        if (rc != GUACO_OK)
            return rc;
        if (node->first_child != NULL) {
            node = node->first_child;
            continue;
        }
        leave(self, node);
        while (node->next_sibling == NULL && node->parent->place != NULL) {
            node = node->parent;
            leave(self, node);
        }
        node = node->next_sibling;
    }
    return GUACO_OK;
}

/* ---- the list --------------------------------------------------------------------- */

static int
order_by(uint64_t a, uint64_t b, uint64_t next_a, uint64_t next_b)
{
    if (a != b)
        return a < b ? 1 : -1;
    return next_a == next_b ? 0 : next_a < next_b ? 1 : -1;
}

#define COMPARE(name, first, second)                                    \
    static int name(const void *left, const void *right)                \
    {                                                                   \
        const struct guaco__rank *a = left, *b = right;                 \
        int order = order_by(a->first, b->first, a->second, b->second); \
        return order != 0 ? order                                       \
                          : (a->place->id > b->place->id) -             \
                                (a->place->id < b->place->id);          \
    }
COMPARE(by_own_now, own_now, own)
COMPARE(by_total_now, total_now, total)
COMPARE(by_own, own, total)
COMPARE(by_total, total, own)

void
guaco__ranking_sort(struct guaco__ranking *self, enum guaco__rank_order order)
{
    static int (*const orders[])(const void *, const void *) = {
        [GUACO__RANK_OWN_NOW] = by_own_now,
        [GUACO__RANK_TOTAL_NOW] = by_total_now,
        [GUACO__RANK_OWN] = by_own,
        [GUACO__RANK_TOTAL] = by_total,
    };

    if (self->rank_count > 1)
        qsort(self->ranks, self->rank_count, sizeof *self->ranks,
              orders[order]);
}

/* The row's figures for this look; it is the one before for the next. */
static void
look_at(struct row *row)
{
    row->rank.own = row->own_sum - row->own_at_reset;
    row->rank.total = row->total_sum - row->total_at_reset;
    row->rank.own_now = row->own_sum - row->own_before;
    row->rank.total_now = row->total_sum - row->total_before;
    row->own_before = row->own_sum;
    row->total_before = row->total_sum;
}

int
guaco__ranking_look(struct guaco__ranking *self, enum guaco__rank_order order,
                    const struct guaco__rank **ranks, size_t *count,
                    uint64_t *samples_now)
{
    guaco__tally_sum(&self->tally->root);
    int rc = grow_places(self);
    if (rc == GUACO_OK)
        rc = sum(self);
    if (rc != GUACO_OK)
        return rc;
    if (self->rank_room < self->row_count) {
        struct guaco__rank *made =
            realloc(self->ranks, self->row_room * sizeof *made);
        if (made == NULL)
            return GUACO_E_NOMEM;
        self->ranks = made;
        self->rank_room = self->row_room;
    }
    self->rank_count = 0;
    for (uint32_t i = 0; i < self->row_count; i++) {
        look_at(&self->rows[i]);
        if (self->rows[i].rank.total > 0)
            self->ranks[self->rank_count++] = self->rows[i].rank;
    }
    guaco__ranking_sort(self, order);
    *ranks = self->ranks;
    *count = self->rank_count;
    *samples_now = self->tally->samples - self->samples_before;
    self->samples_before = self->tally->samples;
    return GUACO_OK;
}

void
guaco__ranking_reset(struct guaco__ranking *self)
{
    for (uint32_t i = 0; i < self->row_count; i++) {
        self->rows[i].own_at_reset = self->rows[i].own_sum;
        self->rows[i].total_at_reset = self->rows[i].total_sum;
    }
}
