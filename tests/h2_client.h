#ifndef TESTS_H2_CLIENT_H
#define TESTS_H2_CLIENT_H

/*
 * A client of HTTP/2 that may say anything: frames are put together by hand,
 * and what comes back is told as text, one item a frame:
 *
 *   H1 :status=200 content-length=5;     HEADERS of stream 1
 *   D1 hello;                            DATA (of more than 40 bytes: D1 #123;)
 *   E1;                                  its END_STREAM
 *   R1 8;                                RST_STREAM with its code
 *   G3 0;                                GOAWAY with last stream and code
 *   W0 65535;  S;  SA;  PA;              WINDOW_UPDATE, SETTINGS, the acks
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

enum { H2_SAID_MAX = 1 << 20, H2_HEARD_MAX = 1 << 16 };

struct h2_client {
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    unsigned char said[H2_SAID_MAX]; /* put together, not sent yet */
    size_t said_len;
    char heard[H2_HEARD_MAX];
    size_t heard_len;
    unsigned char partial[1 << 17]; /* a frame that is not whole */
    size_t partial_len;
    size_t data_bytes; /* of DATA, heard in all */
};

void h2_client_init(struct h2_client *c);
void h2_client_release(struct h2_client *c);

/* Append to what is to be said. */
void h2_say(struct h2_client *c, const void *data, size_t len);
void h2_frame(struct h2_client *c, unsigned type, unsigned flags, uint32_t id,
              const void *payload, size_t len);
void h2_preface(struct h2_client *c); /* with empty SETTINGS */

/* HEADERS of "name=value name=value", pseudo fields as they stand. */
void h2_headers(struct h2_client *c, uint32_t id, unsigned flags,
                const char *fields);

/* A whole request without a body, or with one to come. */
void h2_get(struct h2_client *c, uint32_t id, const char *path);
void h2_post(struct h2_client *c, uint32_t id, const char *path);
void h2_data(struct h2_client *c, uint32_t id, const char *text, bool is_last);
void
h2_number(struct h2_client *c, unsigned type, uint32_t id, uint32_t number);

/* Tell bytes of the server's; the text of all that was told is c->heard, until
 * h2_forget(). */
void h2_hear(struct h2_client *c, const void *data, size_t len);
void h2_forget(struct h2_client *c);

#endif
