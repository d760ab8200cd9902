#ifndef GUACO_QUEUE_WIRE_H
#define GUACO_QUEUE_WIRE_H

/*
 * How operations travel between a process and the keeper that holds its
 * memory store (broker_remote.c, memory_server.c).  No I/O here: both ends
 * take what they receive for the work of an enemy.
 *
 *     frame     length of the payload (4, little end first) | version (1) |
 *               type (1) | payload
 *     payload   numbers as LEB128 varints, signed ones zigzag; bytes behind
 *               their length
 *
 *     up        HELLO    -, with a socket for notices as SCM_RIGHTS
 *               RUN      count, then each op: kind, its inputs
 *               LISTEN   on, notice
 *               RING     notice
 *     down      WELCOME  -
 *               ANSWER   rc, then if it is 0: each op: rc, and if it is 0 its
 *                        outputs; else the text of the error
 *
 * A notice is a packet of its own on the socket of HELLO.  LISTEN and RING
 * have no answer; RUN has one, and no other RUN is sent before it came.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "broker_int.h"

#define GUACO__WIRE_VERSION    2
#define GUACO__WIRE_HEAD_BYTES 6u
#define GUACO__WIRE_UP_MAX     (96u << 20)  /* bytes of a payload */
#define GUACO__WIRE_DOWN_MAX   (320u << 20) /* 256 tasks of the largest size */
#define GUACO__WIRE_NOTICE_MAX 128u         /* bytes of a notice's packet */

enum guaco__wire_type {
    GUACO__WIRE_HELLO = 1,
    GUACO__WIRE_WELCOME,
    GUACO__WIRE_RUN,
    GUACO__WIRE_ANSWER,
    GUACO__WIRE_LISTEN,
    GUACO__WIRE_RING,
};

struct guaco__wire_frame {
    enum guaco__wire_type type;
    struct guaco_slice payload; /* into the bytes read */
};

/* ---- frames ---- */

/*
 * Begin a frame at the end of `out`, and end it once its payload was appended
 * behind; *start is the caller's between them.  Both return 0, GUACO_E_NOMEM
 * or GUACO_E_LIMIT (also when the payload is over `max`).
 */
int guaco__wire_begin(struct guaco__buf *out, enum guaco__wire_type type,
                      size_t *start);
int guaco__wire_end(struct guaco__buf *out, size_t start, size_t max);

/*
 * Take the frame at the front of `in`.  Returns 0 and how long it was in
 * *taken; GUACO_E_AGAIN when it is not whole yet; GUACO_E_UNSUPPORTED for
 * another version; GUACO_E_PROTO for an unknown type or over `max`.
 */
int guaco__wire_frame(struct guaco_slice in, size_t max,
                      struct guaco__wire_frame *frame, size_t *taken);

/* ---- notices ---- */

/* Into out[0..GUACO__WIRE_NOTICE_MAX); gives the length. */
size_t guaco__wire_put_notice(char *out, const struct guaco__notice *notice);
/* 0 or GUACO_E_PROTO.  A queue's name is a valid one then. */
int guaco__wire_get_notice(struct guaco_slice in, struct guaco__notice *notice);

/* ---- operations ---- */

/* Append one op's inputs.  Returns 0, GUACO_E_NOMEM or GUACO_E_LIMIT. */
int guaco__wire_put_op(struct guaco__buf *out, const struct guaco__op *op);

/* The rows of a listing on their way back, encoded as they come. */
struct guaco__wire_rows {
    struct guaco__buf bytes;
    uint64_t count;
    int rc;
};

struct guaco__wire_run {
    struct guaco__op *ops; /* in the arena; all the front promises holds */
    size_t n;
    struct guaco__wire_rows rows; /* of the one listing there may be */
};

/* Read the ops of a RUN; what they point to is in `arena` or `payload`.
 * Whatever it returns, guaco__wire_run_release follows: 0, GUACO_E_PROTO or
 * GUACO_E_NOMEM. */
int guaco__wire_get_run(struct guaco__arena *arena, struct guaco_slice payload,
                        struct guaco__wire_run *run);
/* Also frees what the ops gave. */
void guaco__wire_run_release(struct guaco__wire_run *run);

/* Append an ANSWER's payload for what a store made of a run; `rc` and `err` are
 * of the whole.  Returns 0, GUACO_E_NOMEM or GUACO_E_LIMIT. */
int guaco__wire_put_answer(struct guaco__buf *out,
                           const struct guaco__wire_run *run, int rc,
                           const struct guaco_error *err);

/*
 * Read an ANSWER to ops[0..n), filling their outputs as a store does, and call
 * the functions of listings.  Returns the store's rc (with *err), or
 * GUACO_E_PROTO or GUACO_E_NOMEM; when it is not 0 no op gave anything.
 */
int guaco__wire_get_answer(struct guaco_slice payload, struct guaco__op **ops,
                           size_t n, struct guaco_error *err);

#endif
