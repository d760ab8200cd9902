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

/* The same for a request of HTTP/2 that asks for one. */
int guaco__socket_judge_h2(const struct guaco__server *server,
                           const struct guaco_http_head *head,
                           struct guaco__ws_request *request);

/* Read on from *in, behind which nothing more comes when `is_eof`.  True: it
 * stopped for the others' sake.  The exchange is over when its answer says so
 * afterwards. */
bool guaco__socket_run(struct guaco__exchange *x, struct guaco__input *in,
                       bool is_eof);

/* Nothing more is read: the application or the client has to catch up. */
bool guaco__socket_is_held(const struct guaco__exchange *x);

/* Set its deadline after a run; bytes came in that, or not. */
void guaco__socket_settle(struct guaco__exchange *x, bool has_read);

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
