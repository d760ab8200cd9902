#ifndef GUACO_HTTP_H2_FRAMES_H
#define GUACO_HTTP_H2_FRAMES_H

/*
 * The heads of frames, read before nghttp2 gets the bytes, for the limits that
 * it lacks or that its older releases lack: a frame that costs us work and says
 * nothing fills a bucket, and so does a stream that is begun only to be broken
 * off (CVE-2023-44487), or to make us break it off (CVE-2025-8671).  And nghttp2
 * forgets closed streams when RFC 7540's priorities are off, so that what comes
 * on them is judged here.
 *
 * Private to h2*.c.
 */

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "h2.h"

enum {
    /* streams of which a client may not know yet that they are over */
    GUACO__H2_RESET_IDS = 128,
    GUACO__H2_CONTINUATIONS_MAX = 16, /* behind one HEADERS */
};

struct guaco__h2_bucket {
    uint64_t level; /* thousandths */
    uint64_t at_ms;
    uint32_t size;
};

struct guaco__h2_frames {
    struct guaco__h2_bucket resets;
    struct guaco__h2_bucket controls;
    uint64_t now_ms;
    size_t to_skip;                            /* of preface or payload */
    unsigned char frame[GUACO__H2_FRAME_HEAD]; /* of the next head */
    uint8_t frame_len;
    bool is_in_block; /* HEADERS without END_HEADERS */
    bool preface_is_read;
    bool is_leaving; /* what is new is ignored */
    uint8_t reset_count;
    uint8_t depends_len;
    unsigned char depends_on[4]; /* the front of PRIORITY's payload */
    uint32_t continuations;
    uint32_t seen_id;                        /* of HEADERS */
    uint32_t reset_ids[GUACO__H2_RESET_IDS]; /* a ring */
    uint32_t code;                           /* why it failed, for GOAWAY */
};

/* Begin with the preface. */
void guaco__h2_frames_init(struct guaco__h2_frames *frames,
                           const struct guaco__h2_limits *limits);

/*
 * Take bytes up to the end of the frame that they begin in, at most, from
 * data[0..len), which is not empty; gives how many.  What nghttp2 is to read for
 * them is *first and then *rest, either perhaps empty: a head is kept until it
 * is whole, because nghttp2 counts each call in the midst of one of
 * CONTINUATION as another.  A frame that is one too many or misplaced sets
 * frames->code, and is not to be read.
 */
size_t
guaco__h2_frames_cut(struct guaco__h2_frames *frames, nghttp2_session *session,
                     const char *data, size_t len, struct guaco_slice *first,
                     struct guaco_slice *rest);

/* Add to a bucket; false: it overflows.  Or take out: what costs us work for a
 * reason lets as much go by. */
bool guaco__h2_pour(struct guaco__h2_bucket *bucket, uint32_t drops,
                    uint64_t now_ms);
void guaco__h2_scoop(struct guaco__h2_bucket *bucket, uint32_t drops);

/* We broke a stream off. */
void guaco__h2_frames_reset(struct guaco__h2_frames *frames, uint32_t id);

static inline uint32_t
guaco__h2_be32(const void *at)
{
    const unsigned char *u = (const unsigned char *)at;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
           u[3];
}

#endif
