#ifndef GUACO__SERVER_CONN_H
#define GUACO__SERVER_CONN_H

/*
 * One connection.  guaco__conn_run() moves it from state to state; reading the
 * switch at the end of conn_step.c is reading its life:
 *
 *   (PROXY) -> (HANDSHAKE) -> HEAD          a load balancer's word, TLS
 *   HEAD -> EXCHANGE -> HEAD ...            requests, one after another
 *           EXCHANGE -> SKIP -> HEAD        the body was not read by anyone
 *           EXCHANGE -> SOCKET -> CLOSING   a WebSocket
 *   HANDSHAKE or HEAD -> H2 -> CLOSING      HTTP/2 (h2_conn.h)
 *   any  -> CLOSING -> LINGER -> CLOSED     what is queued leaves, then the end
 *
 * One exchange at a time: what a client sends ahead of its turn stays in `in`,
 * and beyond a cap in the kernel.  An idle connection owns this struct and no
 * buffer.
 */

#include "base/buf.h"
#include "server/exchange.h"
#include "server/peer.h"
#include "server/server_int.h"

enum guaco__conn_state {
    GUACO__CONN_PROXY,
    GUACO__CONN_HANDSHAKE,
    GUACO__CONN_HEAD,
    GUACO__CONN_EXCHANGE,
    GUACO__CONN_SKIP,
    GUACO__CONN_SOCKET,
    GUACO__CONN_H2,
    GUACO__CONN_CLOSING,
    GUACO__CONN_LINGER,
    GUACO__CONN_CLOSED,
};

/* What was read and not consumed: in the server's buffer during a read, else
 * in conn->in. */
struct guaco__input {
    char *at;
    size_t len;
};

struct guaco__conn {
    struct guaco__stream stream; /* first */
    struct guaco__server *server;
    struct guaco__list link;         /* of server->conns */
    struct guaco__list touched_link; /* of server->touched */
    struct guaco__exchange *x;       /* in EXCHANGE and SOCKET */
    struct guaco__h2_conn *h2;       /* in H2; else NULL */
    struct guaco_http_parser parser;
    struct guaco__buf in;
    struct guaco__deadline deadline;      /* for the client's next step */
    struct guaco__deadline send_deadline; /* for its taking of what we send */
    uint64_t sent_mark;     /* stream.sent_bytes at send_deadline; counted */
    uint64_t skipped_bytes; /* in SKIP */
    uint32_t request_count;
    uint8_t state;         /* enum guaco__conn_state */
    bool is_running;       /* inside guaco__conn_run() */
    bool is_eof;           /* the client shut its sending side */
    bool has_failed;       /* reset, or sending failed */
    bool closes_when_idle; /* the server drains */
    bool must_linger;      /* the client may still be sending */
    bool has_more;         /* a step stopped early: run it again next turn */
    bool has_unread;       /* bytes stay unread for want of a window */
    struct guaco__peer peer;
};

/* Take the connected, non-blocking socket `fd`.  Returns 0, GUACO_E_NOMEM,
 * GUACO_E_IO, or GUACO_E_INVALID: the peer may not send the PROXY header that
 * is wanted here; on failure fd stays the caller's. */
int guaco__conn_open(struct guaco__server *server, int fd,
                     const struct sockaddr_storage *from, bool is_tls);

/* There is nothing more to hear from a load balancer: TLS or HTTP begins. */
void guaco__conn_greeted(struct guaco__conn *conn);

/* Go on as far as it goes; may free the connection.  Not from inside an op. */
void guaco__conn_run(struct guaco__conn *conn);

/* What waits in conn->in. */
struct guaco__input guaco__input_kept(const struct guaco__conn *conn);

/* Read once: behind what waits in conn->in, else into the server's buffer.
 * Gives all that there is then; *has_read tells whether it became more. */
struct guaco__input guaco__input_read(struct guaco__conn *conn, bool *has_read);

/* Keep what was not used. */
void guaco__input_keep(struct guaco__conn *conn, const struct guaco__input *in);

/* Read once, behind what waits in `in`.  Returns 0 or GUACO_E_LIMIT: there is
 * no room. */
int guaco__conn_read_more(struct guaco__conn *conn);

/* A request has begun. */
void guaco__conn_count_request(struct guaco__conn *conn);

/* Tell the application that x, one of the connection's, is over, and let go of
 * it; of HTTP/2 its stream too. */
void
guaco__conn_end_exchange(struct guaco__conn *conn, struct guaco__exchange *x,
                         enum guaco_gone_reason reason);

/* Something changed by an answer call: run it before this turn ends. */
void guaco__conn_touch(struct guaco__conn *conn);

/* After a run of a connection that lives on: set its deadlines and what it is
 * told; bytes were read in that run, or not. */
void guaco__conn_settle(struct guaco__conn *conn, bool has_read);

/* Run what was touched. */
void guaco__conns_run_touched(struct guaco__server *server);

/* A deadline of one of the connections is over. */
void guaco__conn_expired(struct guaco__deadlines *all,
                         struct guaco__deadline *deadline,
                         enum guaco__deadline_kind kind);

/* The server drains: close it if it is idle. */
void guaco__conn_drain(struct guaco__conn *conn);

/* Break it off now; frees it.  Not from inside an op. */
void guaco__conn_abort(struct guaco__conn *conn, enum guaco_gone_reason reason);

#endif
