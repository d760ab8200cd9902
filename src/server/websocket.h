#ifndef GUACO__SERVER_WEBSOCKET_H
#define GUACO__SERVER_WEBSOCKET_H

/*
 * WebSocket as an exchange: the codec of src/http joined to a connection.
 *
 *   CONNECTING --accept--> OPEN --close sent--> CLOSING --close read--> over
 *        |                   '------close read (answered)--------------> over
 *        '--close: 403, or an HTTP answer
 *
 * The application is told the end once, by a message of type CLOSE, before
 * gone: with the peer's code, or with the one that explains why there was none.
 */

#include "http/ws.h"
#include "server/conn.h"

struct guaco__socket {
    struct guaco__ws_request handshake;
    struct guaco__ws *codec; /* NULL before accept */
    bool close_is_sent;
    bool close_is_told;
};

/*
 * Judge a head: 0 an ordinary request, 101 a WebSocket (then *request is
 * filled), else the status to refuse it with.
 */
int guaco__socket_judge(const struct guaco__server *server,
                        const struct guaco_http_head *head,
                        struct guaco__ws_request *request);

/* Make x one, before begin is told.  Returns 0 or GUACO_E_NOMEM. */
int guaco__socket_prepare(struct guaco__exchange *x,
                          const struct guaco_http_head *head,
                          const struct guaco__ws_request *request);

/* Read on from *in, in state SOCKET.  The exchange is over when its answer
 * says so afterwards. */
void guaco__socket_run(struct guaco__exchange *x, struct guaco__input *in);

/* A deadline of kind WS_* passed. */
void guaco__socket_expired(struct guaco__exchange *x,
                           enum guaco__deadline_kind kind);

/* The exchange ends for `reason`: tell the application if it does not know,
 * say why to the peer if that is possible, free the codec. */
void
guaco__socket_end(struct guaco__exchange *x, enum guaco_gone_reason reason);

/* guaco_exchange_ops. */
int guaco__socket_accept_op(struct guaco_exchange *x,
                            struct guaco_slice subprotocol,
                            const struct guaco_field *fields, size_t count);
int
guaco__socket_send_op(struct guaco_exchange *x, enum guaco_message_type type,
                      struct guaco_bytes data);
int guaco__socket_close_op(struct guaco_exchange *x, uint16_t code,
                           struct guaco_slice reason);

#endif
