#ifndef GUACO__SERVER_ANSWER_H
#define GUACO__SERVER_ANSWER_H

/* Putting a response's head together; used by answer.c and websocket.c. */

#include "server/exchange.h"

/* What the fields of an application say that the server must know. */
struct guaco__head_facts {
    size_t bytes;    /* of all fields as lines */
    uint64_t length; /* of Content-Length */
    bool has_length;
    bool has_date;
    bool has_server;
    bool wants_close; /* Connection: close */
};

/*
 * Check the fields of a response (RFC 9110 5.1, 5.5) and say what they mean.
 * Returns 0, or GUACO_E_INVALID: a name is not a token, a value has a control,
 * Content-Length is not one number.
 */
int guaco__head_check(const struct guaco_field *fields, size_t count,
                      struct guaco__head_facts *facts);

/* Most bytes that guaco__head_format() writes. */
size_t guaco__head_bytes_max(const struct guaco__server *server,
                             const struct guaco__head_facts *facts);

/*
 * Write the status line, the checked fields (but those that are the server's
 * own: Connection, Transfer-Encoding, Keep-Alive) and Server and Date if the
 * application gave none.  The empty line is not written.  Gives the end.
 */
char *guaco__head_format(struct guaco__server *server, int status,
                         const struct guaco_field *fields, size_t count,
                         const struct guaco__head_facts *facts, char *out);

/* Copy a slice, which may be the empty one without bytes; gives the end. */
static inline char *
guaco__put(char *out, struct guaco_slice text)
{
    if (text.len > 0)
        memcpy(out, text.at, text.len);
    return out + text.len;
}

/* Write a number in decimal, at most 20 bytes; gives the end. */
char *guaco__put_number(char *out, uint64_t number);

#endif
