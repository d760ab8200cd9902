#ifndef GUACO_PY_BOARD_H
#define GUACO_PY_BOARD_H

/*
 * What this process does, told to a profiler (os/board.h): the loop says whose
 * step it runs, the worker whose task.
 *
 * What belongs to a request or task carries a tag in its context, so that the
 * tasks that it makes carry it too; the loop reads it before each step.  A
 * route is `scope["route"]` as the framework sets it: looked for after each
 * step until it is there.
 *
 * Off unless guaco._core.board_open() was called (--profile-socket): then
 * st->board is NULL, and that is all that is looked at.
 *
 * Threads: all of it needs the interpreter.
 */

#include "compat.h"

#include <stdbool.h>
#include <stdint.h>

#include "os/board.h"

struct guaco_state;
struct guaco__py_board; /* NULL: off */

/* A request or task: what the loop shows while it runs a step of it. */
typedef struct {
    PyObject_HEAD
    struct guaco_state *st;
    PyObject *scope; /* dict, until its route is known; else NULL */
    uint64_t id;
    enum guaco__board_kind kind;
    uint32_t name; /* 0: not known yet */
} TagObject;

/* Add guaco._core.board_open() and its kin.  0 or -1. */
int guaco__py_board_add(PyObject *module, struct guaco_state *st);
void guaco__py_board_clear(struct guaco_state *st);
int
guaco__py_board_traverse(struct guaco_state *st, visitproc visit, void *arg);

/* The slot of this thread; NULL: off, or all are taken. */
struct guaco__board_slot *guaco__py_board_slot(struct guaco_state *st);

/* ---- for the loop: `slot` is not NULL ---- */

/* Show whose step this is, by the context that was entered.  Gives the tag, a
 * new reference, or NULL: nobody's. */
TagObject *
guaco__py_board_step(struct guaco_state *st, struct guaco__board_slot *slot);

/* The step is over; takes the tag, which may be NULL. */
void guaco__py_board_stepped(TagObject *tag, struct guaco__board_slot *slot);

/* ---- for the gateway: only when st->board is not NULL ---- */

/* A tag for a new request, or NULL with an exception. */
TagObject *guaco__tag_of_request(struct guaco_state *st, PyObject *scope);

/* Have the current context carry it: gives what guaco__tag_leave() takes, or
 * NULL with an exception. */
PyObject *guaco__tag_enter(TagObject *tag);
void guaco__tag_leave(TagObject *tag, PyObject *token);

/* Show it, and later what was shown before. */
void guaco__tag_show(const TagObject *tag, struct guaco__board_slot *slot);

/* See whether the route is known by now; at the end it is, or it is
 * "unrouted".  Clears no exception that is set before. */
void guaco__tag_look(TagObject *tag, bool is_end);

/* A request whose route nobody can tell (WSGI) begins and ends in this
 * thread; harmless when the board is off. */
void guaco__py_board_begin(struct guaco_state *st);
void guaco__py_board_end(struct guaco_state *st);

#endif
