#ifndef GUACO_HTTP_WS_H
#define GUACO_HTTP_WS_H

/*
 * The server's end of one WebSocket after its handshake (RFC 6455 5 to 7):
 * bytes in, events out; messages in, bytes out.  No socket and no clock: when
 * to ping, and how long to wait for the peer's close, is the caller's.
 *
 *   OPEN --close sent--> CLOSING --close received--> CLOSED
 *   OPEN --close received--> (answer with guaco__ws_write_close) --> CLOSED
 *
 * Frames are read by wslay's frame layer.  Its event layer is not used: it
 * queues what is to be sent, answers pings and close by itself and knows no
 * limits on frames and fragments.  Frame heads that are sent, 2 to 10 bytes
 * without a mask, are written here, because wslay writes a head only together
 * with a payload that it copies.
 *
 * Threads: one at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/http/app.h"
#include "ws_handshake.h"

struct guaco__ws_limits {
    size_t frame_bytes;   /* payload of one frame, as sent: else 1009 */
    size_t message_bytes; /* whole message, inflated: else 1009 */
    uint32_t fragments;   /* frames of one message: else 1008 */
    size_t deflate_from;  /* shorter messages are sent as they are */
};

#define GUACO__WS_LIMITS_DEFAULT                          \
    {                                                     \
        16U * 1024 * 1024, 16U * 1024 * 1024, 131072, 256 \
    }

enum guaco__ws_event_type {
    GUACO__WS_NEED_MORE,
    GUACO__WS_MESSAGE, /* message and data */
    GUACO__WS_PING,    /* data: answer with guaco__ws_write_pong */
    GUACO__WS_PONG,    /* data */
    GUACO__WS_CLOSE,   /* code, and data: the reason */
};

struct guaco__ws_event {
    enum guaco__ws_event_type type;
    enum guaco_message_type message; /* TEXT or BINARY */
    struct guaco_slice data;         /* borrowed until the next call */
    uint16_t code; /* CLOSE: the peer's, 1005 for none; with a failure: the
                      code to close with */
    size_t used;   /* bytes of the input to drop, with every event */
};

struct guaco__ws;

/* Begin behind the handshake.  Borrows `limits` for its life, copies
 * `deflate` (is_on false: none was agreed).  Gives *ws, to be freed with
 * guaco__ws_free().  Returns 0 or GUACO_E_NOMEM. */
int guaco__ws_new(struct guaco__ws **ws, const struct guaco__ws_limits *limits,
                  const struct guaco__ws_deflate *deflate);
void guaco__ws_free(struct guaco__ws *ws);

/*
 * Take the next event from data[0..len).  Call again with what was not used,
 * even when that is nothing, until it answers NEED_MORE; a few KiB may have
 * been used ahead of the events.
 *
 * The same bytes in any split give the same events and the same verdict; of
 * two faults the one that stands first in the stream decides.  One exception:
 * with client_bits under 15, deflated data may refer back past the agreed
 * window, which no sender that keeps to RFC 7692 does.  zlib reads such a
 * reference rightly while its target is in the output of the same call, else
 * the answer is GUACO_E_PROTO, 1007; the events before it are the same.
 *
 * Returns 0; GUACO_E_PROTO, GUACO_E_LIMIT or GUACO_E_NOMEM: close with
 * event->code, nothing more is read; GUACO_E_CLOSED after the peer's close.
 */
int guaco__ws_next(struct guaco__ws *ws, const char *data, size_t len,
                   struct guaco__ws_event *event);

/*
 * Append a whole message, deflated when that was agreed and it is long enough.
 * Returns 0; GUACO_E_INVALID: text that is not UTF-8; GUACO_E_STATE after
 * close was sent; GUACO_E_LIMIT or GUACO_E_NOMEM.  After a failure *out is as it
 * was.
 */
int guaco__ws_write(struct guaco__ws *ws, struct guaco__buf *out,
                    enum guaco_message_type type, struct guaco_slice data);

/* True when a message of `len` bytes would be sent as it is: then the head
 * below and the payload itself may be written without a copy. */
bool guaco__ws_is_sent_plain(const struct guaco__ws *ws, size_t len);

/* The head alone of an unfragmented message of `len` bytes that follow. */
#define GUACO__WS_HEAD_BYTES 10
size_t guaco__ws_write_frame_head(char out[GUACO__WS_HEAD_BYTES],
                                  enum guaco_message_type type, uint64_t len);

/* Append a ping or pong of at most 125 bytes (more: GUACO_E_INVALID).
 * Returns as guaco__ws_write(). */
int guaco__ws_write_ping(struct guaco__ws *ws, struct guaco__buf *out,
                         struct guaco_slice data);
int guaco__ws_write_pong(struct guaco__ws *ws, struct guaco__buf *out,
                         struct guaco_slice data);

/*
 * Append the close frame; code 1005 sends an empty one.  Returns 0;
 * GUACO_E_INVALID: a code that an endpoint must not send (RFC 6455 7.4), a
 * reason over 123 bytes or not UTF-8; GUACO_E_STATE: it was sent already;
 * GUACO_E_LIMIT or GUACO_E_NOMEM.
 */
int guaco__ws_write_close(struct guaco__ws *ws, struct guaco__buf *out,
                          uint16_t code, struct guaco_slice reason);

/* True once both ends have sent their close: the connection may be shut. */
bool guaco__ws_is_closed(const struct guaco__ws *ws);

#endif
