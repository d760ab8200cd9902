/* Samples joined to what ran: see labels.h. */

#include "labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "tags.h"

#define BOARDS_MAX 4096 /* processes */

/* The stack is read a few microseconds after the board; when it took longer
 * (we were not on a CPU), a label of before is no evidence. */
#define UNSURE_NS 100000

struct board {
    int32_t pid;
    struct guaco__tags *tags; /* NULL: it has none */
};

struct guaco__labels {
    const struct guaco__label_filter *filter;
    struct board *boards;
    size_t count, room;
    const struct board *now; /* of the process looked at last */
    uint64_t looked_ns;
    struct guaco__list held;
    size_t held_count;
};

int
guaco__labels_new(struct guaco__labels **labels,
                  const struct guaco__label_filter *filter)
{
    struct guaco__labels *self = calloc(1, sizeof *self);

    if (self == NULL)
        return GUACO_E_NOMEM;
    self->filter = filter;
    guaco__list_init(&self->held);
    *labels = self;
    return GUACO_OK;
}

void
guaco__labels_forget(struct guaco__labels *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        guaco__tags_close(labels->boards[i].tags);
    labels->count = 0;
    labels->now = NULL;
}

void
guaco__labels_free(struct guaco__labels *labels)
{
    struct guaco__list *link;

    if (labels == NULL)
        return;
    while ((link = guaco__list_shift(&labels->held)) != NULL)
        free(GUACO__OF(link, struct guaco__held, link));
    guaco__labels_forget(labels);
    free(labels->boards);
    free(labels);
}

/* ---- boards ------------------------------------------------------------------------ */

static int
board_add(struct guaco__labels *self, int32_t pid, struct guaco__target *target,
          struct board **board)
{
    struct guaco_error ignored;

    if (self->count == BOARDS_MAX)
        return GUACO_E_LIMIT;
    if (self->count == self->room) {
        size_t room = self->room == 0 ? 16 : self->room * 2;
        struct board *boards = realloc(self->boards, room * sizeof *boards);
        if (boards == NULL)
            return GUACO_E_NOMEM;
        self->boards = boards;
        self->room = room;
    }
    *board = &self->boards[self->count];
    **board = (struct board){.pid = pid};
    int rc = guaco__tags_open(&(*board)->tags, pid,
                              guaco__target_memory(target), &ignored);
    if (rc == GUACO_E_NOMEM)
        return rc;
    self->count++;
    return GUACO_OK;
}

int
guaco__labels_look(struct guaco__labels *self, int32_t pid,
                   struct guaco__target *target)
{
    struct board *board = NULL;
    int rc = GUACO_OK;

    for (size_t i = 0; i < self->count && board == NULL; i++)
        if (self->boards[i].pid == pid)
            board = &self->boards[i];
    if (board == NULL)
        rc = board_add(self, pid, target, &board);
    if (rc != GUACO_OK)
        return rc;
    self->now = board;
    self->looked_ns = guaco__clock_mono_ns();
    if (board->tags != NULL)
        rc = guaco__tags_look(board->tags);
    if (rc != GUACO_E_AGAIN)
        return rc;
    self->now = NULL; /* it is mapped there no more */
    return GUACO_OK;
}

/* ---- labels ------------------------------------------------------------------------ */

static const char *
word_of(uint32_t kind)
{
    switch ((enum guaco__board_kind)kind) {
    case GUACO__BOARD_REQUEST: return "request";
    case GUACO__BOARD_TASK: return "task";
    case GUACO__BOARD_SCHEDULE: return "schedule";
    case GUACO__BOARD_START: return "start";
    case GUACO__BOARD_IDLE: break;
    }
    return "other";
}

/* As far as a board keeps a name. */
static bool
is_same(const char *wanted, const char *name)
{
    return strncmp(wanted, name, GUACO__BOARD_NAME_BYTES - 1) == 0;
}

static bool
is_wanted(const struct guaco__label_filter *filter, uint32_t kind,
          const char *name)
{
    const char *dot = strrchr(name, '.');

    if (filter->route == NULL && filter->task == NULL)
        return true;
    if (filter->route != NULL && kind == GUACO__BOARD_REQUEST)
        return is_same(filter->route, name);
    if (filter->task == NULL || kind != GUACO__BOARD_TASK)
        return false;
    return is_same(filter->task, name) ||
           (dot != NULL && is_same(filter->task, dot + 1));
}

/* What would break a folded line is replaced; false: not wanted. */
static bool
write_label(const struct guaco__labels *self, uint32_t kind, const char *name,
            char text[GUACO__LABEL_BYTES])
{
    text[0] = '\0';
    if (!is_wanted(self->filter, kind, name))
        return false;
    snprintf(text, GUACO__LABEL_BYTES, "%s %s", word_of(kind), name);
    for (char *c = text; *c != '\0'; c++)
        if (*c == ';' || (unsigned char)*c < ' ')
            *c = '_';
    return true;
}

bool
guaco__labels_want_none(const struct guaco__labels *labels)
{
    return labels->filter->route == NULL && labels->filter->task == NULL;
}

enum guaco__label_kind
guaco__labels_of(const struct guaco__labels *self, int32_t native_id,
                 char text[GUACO__LABEL_BYTES], uint64_t *id)
{
    struct guaco__board_view view;
    size_t slot;

    if (self->now == NULL || self->now->tags == NULL)
        return GUACO__LABEL_NONE;
    int rc = guaco__tags_find(self->now->tags, native_id, &view, &slot);
    if (!guaco__tags_still_hold(self->now->tags, slot) &&
        guaco__clock_mono_ns() - self->looked_ns > UNSURE_NS)
        return GUACO__LABEL_UNSURE;
    if (rc != GUACO_OK)
        return GUACO__LABEL_NONE;
    if (!view.is_named) {
        *id = view.id;
        return GUACO__LABEL_UNNAMED;
    }
    return write_label(self, view.kind, view.name, text)
               ? GUACO__LABEL_NAMED
               : GUACO__LABEL_UNWANTED;
}

/* ---- what is held back -------------------------------------------------------------- */

struct guaco__held *
guaco__labels_hold(struct guaco__labels *self, uint64_t id, size_t depth)
{
    if (self->held_count == GUACO__HELD_MAX)
        return NULL;
    struct guaco__held *held =
        calloc(1, sizeof *held + depth * sizeof held->places[0]);
    if (held == NULL)
        return NULL;
    held->id = id;
    held->depth = depth;
    held->pid = self->now->pid;
    guaco__list_init(&held->link);
    guaco__list_push(&self->held, &held->link);
    self->held_count++;
    return held;
}

/* Whether it can be told by now; its name then. */
static bool
is_told(const struct guaco__labels *self, const struct guaco__held *held,
        bool is_end, char name[GUACO__BOARD_NAME_BYTES])
{
    int rc = GUACO_E_AGAIN;

    if (self->now != NULL && self->now->pid == held->pid &&
        self->now->tags != NULL)
        rc = guaco__tags_ask(self->now->tags, held->id, name);
    if (rc == GUACO_OK)
        return true;
    snprintf(name, GUACO__BOARD_NAME_BYTES, "unrouted");
    return is_end || rc != GUACO_E_AGAIN;
}

struct guaco__held *
guaco__labels_next(struct guaco__labels *self, bool is_end,
                   char text[GUACO__LABEL_BYTES])
{
    char name[GUACO__BOARD_NAME_BYTES];

    for (struct guaco__list *link = self->held.next; link != &self->held;
         link = link->next) {
        struct guaco__held *held = GUACO__OF(link, struct guaco__held, link);
        if (!is_told(self, held, is_end, name))
            continue;
        guaco__list_remove(&held->link);
        self->held_count--;
        write_label(self, GUACO__BOARD_REQUEST, name, text);
        return held;
    }
    return NULL;
}
