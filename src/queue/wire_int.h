#ifndef GUACO_QUEUE_WIRE_INT_H
#define GUACO_QUEUE_WIRE_INT_H

/*
 * The parts of the wire's encoding.  A writer and a reader remember their
 * first failure and do nothing from then on, so that it is asked for once, at
 * the end; what a reader gives after it is zero or empty.
 */

#include "wire.h"

struct wire_writer {
    struct guaco__buf *out;
    int rc;
};

struct wire_reader {
    const char *at;
    const char *end;
    int rc;
};

void guaco__wire_put_number(struct wire_writer *w, uint64_t value);
void guaco__wire_put_signed(struct wire_writer *w, int64_t value);
void guaco__wire_put_bytes(struct wire_writer *w, struct guaco_slice bytes);

/* At most `max`, else the reader fails. */
uint64_t guaco__wire_get_number(struct wire_reader *r, uint64_t max);
int64_t guaco__wire_get_signed(struct wire_reader *r, int64_t min, int64_t max);
struct guaco_slice guaco__wire_get_bytes(struct wire_reader *r, size_t max);
/* A count of things that take at least `least` bytes each: what follows must
 * be able to hold so many. */
size_t guaco__wire_get_count(struct wire_reader *r, size_t max, size_t least);

/* Rules of a put; read into `rules`, with slices into what is read. */
void
guaco__wire_put_rules(struct wire_writer *w, const struct guaco_rules *rules);
void guaco__wire_get_rules(struct wire_reader *r, struct guaco_rules *rules);

/* What both directions of an op have. */
void guaco__wire_put_row(struct wire_writer *w, const struct guaco__row *row);
void guaco__wire_get_row(struct wire_reader *r, struct guaco__row *row);
void
guaco__wire_put_recur(struct wire_writer *w, const struct guaco__recur *recur);
void guaco__wire_get_recur(struct wire_reader *r, struct guaco__recur *recur);

#endif
