#ifndef GUACO_HTTP_COMPRESS_H
#define GUACO_HTTP_COMPRESS_H

/*
 * One response in a content coding, piece by piece: brotli, Zstandard or gzip
 * behind one face, with windows of 64 KiB (gzip: 32) so that what a stream
 * holds while it is open has a bound, and at levels that cost a few µs a KiB.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/slice.h"
#include "http/coding.h"

/* Of one compressor, whichever it is; tests measure it. */
#define GUACO__COMPRESSOR_BYTES_MAX (1024 * 1024)

struct guaco__compressor;

enum guaco__compress {
    GUACO__COMPRESS_FLUSH, /* what was given can be read at the other end */
    GUACO__COMPRESS_END,   /* and nothing follows */
};

/* For one response of `bytes` (-1: not known) in `coding`, which is none but
 * IDENTITY.  Returns 0 or GUACO_E_NOMEM. */
int guaco__compressor_new(struct guaco__compressor **compressor,
                          enum guaco__coding coding, int64_t bytes);
void guaco__compressor_free(struct guaco__compressor *compressor);

/*
 * Compress a piece and append what comes of it, all that `how` asks for, to
 * *out.  Returns 0; GUACO_E_NOMEM or GUACO_E_LIMIT (of *out): the stream is
 * broken, and only free may follow.
 */
int
guaco__compress(struct guaco__compressor *compressor, struct guaco_slice piece,
                enum guaco__compress how, struct guaco__buf *out);

#endif
