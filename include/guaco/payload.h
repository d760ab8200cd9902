#ifndef GUACO_PAYLOAD_H
#define GUACO_PAYLOAD_H

/*
 * What a task is called with and what it gives, as Python's queues write it by
 * default: so that a program in C enqueues what Python runs, and the other way
 * round.  A payload is a byte 1 and one item of CBOR (RFC 8949); a task's body
 * is [[argument, ...], {"name": argument, ...}].
 *
 *     struct guaco_value args[] = {guaco_value_int(2), guaco_value_int(3)};
 *     unsigned char body[64];
 *     size_t len;
 *     guaco_payload_arguments(args, 2, NULL, 0, body, sizeof body, &len);
 *
 * Queues with a serializer or a seal of their own write something else, which
 * is GUACO_E_PROTO here.
 *
 * Threads: no state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guaco/error.h"
#include "guaco/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum guaco_value_kind {
    GUACO_VALUE_NONE,
    GUACO_VALUE_BOOL,  /* integer: 0 or 1 */
    GUACO_VALUE_INT,   /* integer */
    GUACO_VALUE_REAL,  /* real */
    GUACO_VALUE_TEXT,  /* bytes: UTF-8, without a NUL behind it */
    GUACO_VALUE_BYTES, /* bytes */
    GUACO_VALUE_OTHER, /* read: a list, a date ...; bytes: its CBOR.  Written:
                          the CBOR of one item, as it is */
};

/* A value; its bytes are borrowed from whoever made it. */
struct guaco_value {
    enum guaco_value_kind kind;
    int64_t integer;
    double real;
    struct guaco_slice bytes;
};

/* A keyword argument. */
struct guaco_argument {
    struct guaco_slice name;
    struct guaco_value value;
};

static inline struct guaco_value
guaco_value_int(int64_t integer)
{
    struct guaco_value value = {GUACO_VALUE_INT, 0, 0, {NULL, 0}};
    value.integer = integer;
    return value;
}

static inline struct guaco_value
guaco_value_real(double real)
{
    struct guaco_value value = {GUACO_VALUE_REAL, 0, 0, {NULL, 0}};
    value.real = real;
    return value;
}

static inline struct guaco_value
guaco_value_text(struct guaco_slice text)
{
    struct guaco_value value = {GUACO_VALUE_TEXT, 0, 0, {NULL, 0}};
    value.bytes = text;
    return value;
}

/*
 * Write the body of a task that is called with args[0..n) and keywords[0..k) to
 * out[0..cap).
 *
 * Returns 0 and *len, GUACO_E_INVALID (a text or name that is no UTF-8, OTHER
 * that is not one item), or GUACO_E_LIMIT (it does not fit).
 */
GUACO_API int
guaco_payload_arguments(const struct guaco_value *args, size_t n,
                        const struct guaco_argument *keywords, size_t k,
                        void *out, size_t cap, size_t *len);

/* Write a list of values, or a dict.  Returns as above. */
GUACO_API int guaco_payload_list(const struct guaco_value *values, size_t n,
                                 void *out, size_t cap, size_t *len);
GUACO_API int guaco_payload_map(const struct guaco_argument *pairs, size_t n,
                                void *out, size_t cap, size_t *len);

/* Write one value, as a task's result is.  Returns as above. */
GUACO_API int guaco_payload_value(const struct guaco_value *value, void *out,
                                  size_t cap, size_t *len);

/*
 * Read argument `index` (from 0) of a task's body.  *value borrows from it.
 * Returns 0, GUACO_E_MISSING (there are fewer), or GUACO_E_PROTO (not such a
 * body).
 */
GUACO_API int guaco_payload_argument(struct guaco_slice body, size_t index,
                                     struct guaco_value *value);

/* The same for the keyword argument `name`. */
GUACO_API int
guaco_payload_keyword(struct guaco_slice body, struct guaco_slice name,
                      struct guaco_value *value);

/* Read one value, as of a result that is done; an empty body is NONE.  Returns
 * 0 or GUACO_E_PROTO. */
GUACO_API int
guaco_payload_read(struct guaco_slice body, struct guaco_value *value);

#ifdef __cplusplus
}
#endif

#endif
