#ifndef GUACO_BASE_CBOR_H
#define GUACO_BASE_CBOR_H

/*
 * CBOR (RFC 8949): the data model of task payloads and results.
 *
 * The part of it that Guaco writes, and nothing more is accepted back: definite
 * lengths, every head in its shortest form, 64-bit floats, the simple values
 * false, true and null.  So one value has one encoding (but for the order of a
 * map's pairs, which is kept), and any reader of CBOR can open a payload.
 *
 *     item   := head | head bytes | head item*        one call, one head
 *     head   := major type (3 bits), argument (0, 1, 2, 4 or 8 bytes)
 *
 * The reader is sans-I/O and copies nothing: it answers with one head a call,
 * and the caller keeps the depth.  Input may come from anyone.
 *
 * Threads: no shared state.
 */

#include <stddef.h>
#include <stdint.h>

#include "guaco/slice.h"

enum guaco__cbor_kind {
    GUACO__CBOR_UINT,  /* value */
    GUACO__CBOR_NINT,  /* -1 - value; value <= INT64_MAX */
    GUACO__CBOR_BYTES, /* bytes */
    GUACO__CBOR_TEXT,  /* bytes; UTF-8 is not checked here */
    GUACO__CBOR_ARRAY, /* value items follow */
    GUACO__CBOR_MAP,   /* value pairs follow */
    GUACO__CBOR_TAG,   /* value is the tag, one item follows */
    GUACO__CBOR_FALSE,
    GUACO__CBOR_TRUE,
    GUACO__CBOR_NULL,
    GUACO__CBOR_FLOAT, /* number */
};

struct guaco__cbor_item {
    enum guaco__cbor_kind kind;
    uint64_t value;
    double number;
    struct guaco_slice bytes; /* into the reader's input */
};

struct guaco__cbor_reader {
    const unsigned char *at;
    const unsigned char *end;
};

static inline struct guaco__cbor_reader
guaco__cbor_reader_of(const void *data, size_t len)
{
    const unsigned char *at = data;
    return (struct guaco__cbor_reader){at, len > 0 ? at + len : at};
}

/*
 * Read one head (and the bytes of a string) and step over it.
 *
 * Returns 0 and *item; GUACO_E_PROTO when the input ends early, is not of the
 * form above, or announces more items than bytes are left (so a count may be
 * used to reserve memory).  After a failure *reader has not moved.
 */
int guaco__cbor_next(struct guaco__cbor_reader *reader,
                     struct guaco__cbor_item *item);

/*
 * Step over one whole item with everything inside it, at most `depth_max`
 * levels deep (1: no array, map or tag inside another; <= GUACO__CBOR_DEPTH).
 *
 * Returns 0, GUACO_E_PROTO as above, or GUACO_E_LIMIT when it is deeper.
 */
#define GUACO__CBOR_DEPTH 128
int guaco__cbor_skip(struct guaco__cbor_reader *reader, unsigned depth_max);

/* The longest head, bytes. */
#define GUACO__CBOR_HEAD_MAX 9

/*
 * Write the head of `kind` with argument `value` to out[0 .. HEAD_MAX) and
 * return its length.  Not for GUACO__CBOR_FLOAT.
 */
size_t guaco__cbor_put_head(unsigned char *out, enum guaco__cbor_kind kind,
                            uint64_t value);

/* Write a float, 9 bytes. */
size_t guaco__cbor_put_float(unsigned char *out, double number);

#endif
