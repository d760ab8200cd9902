#ifndef GUACO_HTTP_WS_DEFLATE_H
#define GUACO_HTTP_WS_DEFLATE_H

/*
 * permessage-deflate (RFC 7692 7.2) over zlib: the two streams of one
 * connection.  Each is made when it is first used, because a zlib stream costs
 * tens of KiB and most connections never send a message worth compressing.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "ws_handshake.h"

struct z_stream_s;

struct guaco__ws_codec {
    struct guaco__ws_deflate agreed;
    struct z_stream_s *inflate; /* NULL until first used */
    struct z_stream_s *deflate;
};

void guaco__ws_codec_init(struct guaco__ws_codec *codec,
                          const struct guaco__ws_deflate *agreed);
void guaco__ws_codec_release(struct guaco__ws_codec *codec);

/*
 * Inflate a piece of a message behind what *out holds; `is_last` with its last
 * piece, which may be empty.  The cap of *out bounds what a message may grow
 * to.  Returns 0, GUACO_E_PROTO, GUACO_E_LIMIT or GUACO_E_NOMEM.
 */
int guaco__ws_inflate(struct guaco__ws_codec *codec, struct guaco_slice data,
                      bool is_last, struct guaco__buf *out);

/* Append a whole message deflated.  Returns 0, GUACO_E_LIMIT or GUACO_E_NOMEM;
 * after a failure nothing was appended, and the next message stands alone. */
int guaco__ws_deflate(struct guaco__ws_codec *codec, struct guaco_slice data,
                      struct guaco__buf *out);

#endif
