#ifndef GUACO__SERVER_H2_CONN_H
#define GUACO__SERVER_H2_CONN_H

/*
 * A connection in state GUACO__CONN_H2: many exchanges, each on a stream, over
 * one codec (http/h2.h).
 *
 * A run reads what came, lets the codec tell it, tells applications what has
 * drained, and fills the connection's queue from the streams' as far as the
 * client takes it.  An exchange ends with its answer; what of its request still
 * comes then is read away by the codec.
 *
 *   open -> (drain: GOAWAY as a warning, drain_ms, GOAWAY for good)
 *        -> no stream is left -> CLOSING
 */

#include "server/conn.h"
#include "server/h2_stream.h"

struct guaco__h2_conn {
    struct guaco__h2 *codec;
    struct guaco__list streams;
    struct guaco__list held;  /* heads that wait for their bodies */
    struct guaco__list ready; /* streams to be looked at in the next run */
    uint32_t stream_count;
    bool is_final;              /* no new stream is taken */
    struct guaco__input *input; /* of the run that is under way, or NULL */
};

/* Speak HTTP/2 from here on.  Returns 0 or GUACO_E_NOMEM. */
int guaco__h2_open(struct guaco__conn *conn);

/* The exchanges have ended. */
void guaco__h2_close(struct guaco__conn *conn);

/* Go on with what was read.  False: the connection is over, close it once what
 * is queued was sent. */
bool guaco__h2_run(struct guaco__conn *conn, struct guaco__input *in);

/* After a flush: a run would go on. */
bool guaco__h2_has_work(const struct guaco__conn *conn);

/* Queue the heads that still wait for their framing (the end of a turn). */
void guaco__h2_push_heads(struct guaco__conn *conn);

/* Fill the connection's queue. */
void guaco__h2_pump(struct guaco__conn *conn);

/* End all exchanges for `reason`; with a `code`, tell the client so before, if
 * it can be told. */
void guaco__h2_end(struct guaco__conn *conn, enum guaco_gone_reason reason,
                   enum guaco__h2_code code);

/* The server drains; and its second step, after drain_ms. */
void guaco__h2_drain(struct guaco__conn *conn);
void guaco__h2_refuse_more(struct guaco__conn *conn);

/* A deadline of kind STREAM_* of one of the streams is over. */
void guaco__h2_expired(struct guaco__deadline *deadline,
                       enum guaco__deadline_kind kind);

/* Send an answer that was held until its request has ended, if this is one. */
void guaco__h2_let_go(struct guaco__exchange *x);

/* Look at the stream in the next run. */
void guaco__h2_set_ready(struct guaco__h2_stream *stream);

/* Break an exchange off: by an answer with this status if none has begun, else
 * by a reset.  It ends with its stream. */
void guaco__h2_fail(struct guaco__exchange *x, enum guaco_gone_reason reason,
                    int status);

extern const struct guaco__wire_ops guaco__wire_h2;

#endif
