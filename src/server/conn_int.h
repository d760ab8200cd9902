#ifndef GUACO__SERVER_CONN_INT_H
#define GUACO__SERVER_CONN_INT_H

/* What conn.c, which runs connections, and conn_step.c, which moves them from
 * state to state, share. */

#include "server/conn.h"

enum guaco__conn_next {
    GUACO__CONN_NEXT_STEP, /* the state may go on at once */
    GUACO__CONN_NEXT_WAIT, /* for the client, the application or the loop */
};

/* One step. */
enum guaco__conn_next
guaco__conn_step(struct guaco__conn *conn, struct guaco__input *in);

/* What is queued leaves, then comes the end; no exchange is left. */
void guaco__conn_start_closing(struct guaco__conn *conn);

/* Nothing can be sent any more, or nothing should. */
enum guaco__conn_next
guaco__conn_break_off(struct guaco__conn *conn, enum guaco_gone_reason reason);

/* Answer without the application and close. */
enum guaco__conn_next
guaco__conn_refuse(struct guaco__conn *conn, const struct guaco_http_head *head,
                   int status);

/* Break the exchange off: by an answer with this status if none has begun, else
 * by ending the connection in its midst. */
enum guaco__conn_next
guaco__conn_fail_exchange(struct guaco__conn *conn,
                          enum guaco_gone_reason reason, int status);

#endif
