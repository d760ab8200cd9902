#ifndef GUACO__SERVER_REQUEST_H
#define GUACO__SERVER_REQUEST_H

/* The request's side of an exchange: what the application is told of it. */

#include "server/exchange.h"

/*
 * Tell the application that a request begins, or start to collect its body if
 * it wants that whole; `here_bytes` were read behind the head.  Returns 0, or
 * what the application failed with.
 */
int guaco__request_begin(struct guaco__exchange *x, size_t here_bytes);

/* Pass on what the parser found in the body.  Returns 0, what begin failed
 * with, GUACO_E_NOMEM or GUACO_E_IO. */
int guaco__request_event(struct guaco__exchange *x,
                         const struct guaco_http_event *event);

/* The application has not consumed enough to be told more. */
bool guaco__request_is_full(const struct guaco__exchange *x);

/* guaco_exchange_ops: consumed and spooled. */
void guaco__request_consumed_op(struct guaco_exchange *x, size_t bytes);
int guaco__request_spooled_op(struct guaco_exchange *x,
                              struct guaco_slice *data, int *fd);

#endif
