#ifndef GUACO_BASE_JSON_H
#define GUACO_BASE_JSON_H

/*
 * JSON (RFC 8259): a strict reader that gives a small tree in an arena, and a
 * writer that appends to a buffer.
 *
 * The reader is for messages and files of our own, so it refuses what an
 * own writer never writes: other encodings than UTF-8, duplicate names (RFC
 * 8259 leaves them open), nesting over GUACO__JSON_DEPTH_MAX, a lone
 * surrogate.  The caller caps the size by the arena.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"

#define GUACO__JSON_DEPTH_MAX 32
#define GUACO__JSON_NAMES_MAX 1024 /* members of one object */

enum guaco__json_type {
    GUACO__JSON_NULL,
    GUACO__JSON_BOOL,
    GUACO__JSON_INT,  /* no fraction or exponent, and it fits */
    GUACO__JSON_REAL, /* any other number */
    GUACO__JSON_TEXT,
    GUACO__JSON_ARRAY,
    GUACO__JSON_OBJECT,
};

struct guaco__json {
    enum guaco__json_type type;
    struct guaco_slice name;        /* of a member of an object */
    const struct guaco__json *next; /* in its array or object, or NULL */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct guaco_slice text; /* NUL-terminated; may hold NULs */
        struct {
            const struct guaco__json *first; /* NULL when empty */
            size_t count;
        } items; /* of an array or object, in order */
    } as;
};

/*
 * Read the whole of text[0..len), white space around it allowed, into a tree
 * that lives as long as the arena's contents; nothing points into `text`.
 *
 * Returns 0; GUACO_E_AGAIN: the text ends before the value does (a longer one
 * that begins like this may be valid); GUACO_E_PROTO: it is not JSON;
 * GUACO_E_LIMIT: nested too deep, or an object has too many members;
 * GUACO_E_NOMEM: also when the arena's cap is reached.
 */
int guaco__json_read(struct guaco__arena *arena, const char *text, size_t len,
                     const struct guaco__json **value, struct guaco_error *err);

/* The member `name` of `object`, or NULL when there is none or `object` is
 * NULL or no object; so look-ups can be chained. */
const struct guaco__json *
guaco__json_get(const struct guaco__json *object, const char *name);

/* The member's value, or `otherwise` when it is missing or of another type. */
const char *guaco__json_text(const struct guaco__json *object, const char *name,
                             const char *otherwise);
int64_t guaco__json_int(const struct guaco__json *object, const char *name,
                        int64_t otherwise);
bool guaco__json_bool(const struct guaco__json *object, const char *name,
                      bool otherwise);

/*
 * A writer: the calls give one value, commas come by themselves.  The first
 * failure sticks, later calls do nothing, and guaco__json_end() reports it.
 *
 *     guaco__json_begin(&w, &buf);
 *     guaco__json_open(&w, '{');
 *     guaco__json_name(&w, "event");
 *     guaco__json_put_text(&w, "ready");
 *     guaco__json_close(&w, '}');
 *     rc = guaco__json_end(&w);
 */
struct guaco__json_writer {
    struct guaco__buf *out; /* private */
    int rc;                 /* private */
    unsigned depth;         /* private: containers open */
    bool comma;             /* private: one goes before the next value */
    char open[GUACO__JSON_DEPTH_MAX]; /* private: their brackets */
};

/* Begin at the end of `out`, borrowed until guaco__json_end(). */
void guaco__json_begin(struct guaco__json_writer *w, struct guaco__buf *out);

/* Open a container with '{' or '[', close it with its counterpart.  Deeper
 * than GUACO__JSON_DEPTH_MAX is GUACO_E_LIMIT. */
void guaco__json_open(struct guaco__json_writer *w, char bracket);
void guaco__json_close(struct guaco__json_writer *w, char bracket);

/* The name of the next value, in an object. */
void guaco__json_name(struct guaco__json_writer *w, const char *name);

/* A value.  In text, bytes that are not UTF-8 are replaced by U+FFFD; a real
 * that is not finite is written as null. */
void guaco__json_put_null(struct guaco__json_writer *w);
void guaco__json_put_bool(struct guaco__json_writer *w, bool value);
void guaco__json_put_int(struct guaco__json_writer *w, int64_t value);
void guaco__json_put_real(struct guaco__json_writer *w, double value);
void guaco__json_put_text(struct guaco__json_writer *w, const char *text);
void
guaco__json_put_slice(struct guaco__json_writer *w, struct guaco_slice text);

/* All containers are closed.  Returns 0, GUACO_E_NOMEM or GUACO_E_LIMIT; on
 * failure what was appended is to be thrown away. */
int guaco__json_end(struct guaco__json_writer *w);

#endif
