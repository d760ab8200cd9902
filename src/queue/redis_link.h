#ifndef GUACO_QUEUE_REDIS_LINK_H
#define GUACO_QUEUE_REDIS_LINK_H

/*
 * A connection to a Redis server: finding it (a host, a socket, or by asking
 * Sentinels), logging in, commands and replies.
 *
 * Threads: one at a time.
 */

#include "connection.h"
#include "redis_reply.h"
#include "url.h"

#define GUACO__SHA_BYTES 41 /* 40 hex digits and a NUL */

extern const char guaco__redis_store[];
extern const char guaco__redis_bell[];

/* Where to, of a URL (guaco/broker.h). */
struct guaco__redis_target {
    struct guaco__url url; /* what the strings below are in */
    bool is_tls;
    const char *socket;          /* path of a Unix socket, or NULL */
    const char *service;         /* of Sentinel, or NULL */
    const char *user, *password; /* "" and NULL when there is none */
    const char *sentinel_user, *sentinel_password;
    const char *prefix;
    uint64_t db;
    uint64_t timeout_ms;         /* of a batch, with all attempts */
    uint64_t connect_timeout_ms; /* of one attempt */
    struct guaco__tls tls;
};

/* `scheme` is the one of the URL, `rest` what stands behind its colon.  0,
 * GUACO_E_INVALID, GUACO_E_NOMEM. */
int
guaco__redis_target_init(struct guaco__redis_target *target, const char *scheme,
                         const char *rest, struct guaco_error *err);
void guaco__redis_target_release(struct guaco__redis_target *target);

struct guaco__redis_link {
    struct guaco__connection conn; /* fd -1: not connected */
    struct guaco__replies replies;
    struct guaco__buf in;
    char host[256]; /* of the server we are at, with Sentinel */
    uint16_t port;
    char run_id[64]; /* of the server, or "" when it does not say */
    char store_sha[GUACO__SHA_BYTES];
    char bell_sha[GUACO__SHA_BYTES];
    char warning[200]; /* about its settings, or "" */
};

void guaco__redis_link_init(struct guaco__redis_link *link);

/*
 * Connect, log in and make both scripts known.  With Sentinel the master is
 * asked for first.
 *
 * Returns 0, or what may pass: GUACO_E_IO (nobody is there, it is a replica or
 * loads its data), GUACO_E_TIMEOUT, GUACO_E_NOMEM; or what will not:
 * GUACO_E_INVALID (the login, a certificate), GUACO_E_UNSUPPORTED (too old),
 * GUACO_E_PROTO.
 */
int guaco__redis_link_open(struct guaco__redis_link *link,
                           const struct guaco__redis_target *target,
                           uint64_t deadline_ns, struct guaco_error *err);

/* Connect to the server at which `other` is, and subscribe to `channel`. */
int guaco__redis_link_subscribe(struct guaco__redis_link *link,
                                const struct guaco__redis_target *target,
                                const struct guaco__redis_link *other,
                                const char *channel, uint64_t deadline_ns,
                                struct guaco_error *err);

/* End the connection, if there is one. */
void guaco__redis_link_close(struct guaco__redis_link *link);

/* The next reply, alive until the next but one call or guaco__replies_forget.
 * As guaco__connection_receive, and GUACO_E_PROTO, GUACO_E_LIMIT. */
int guaco__redis_link_reply(struct guaco__redis_link *link,
                            const struct guaco__reply **out,
                            uint64_t deadline_ns, struct guaco_error *err);

/* Whether the other side has closed it; does not wait. */
bool guaco__redis_link_is_dead(const struct guaco__redis_link *link);

/*
 * What an error reply means.  Sets *may_pass when the same command may succeed
 * later, perhaps at another server.  Returns a GUACO_E_* and fills `err`.
 */
int guaco__redis_error(const struct guaco__reply *reply, bool *may_pass,
                       struct guaco_error *err);

/* ---- commands ---- */

/* "*N": a command of `n` arguments follows.  As guaco__buf_append. */
int guaco__redis_begin(struct guaco__buf *out, size_t n);
int guaco__redis_arg(struct guaco__buf *out, struct guaco_slice arg);
/* One argument of two pieces. */
int guaco__redis_two(struct guaco__buf *out, struct guaco_slice a,
                     struct guaco_slice b);
int guaco__redis_text(struct guaco__buf *out, const char *arg);

#endif
