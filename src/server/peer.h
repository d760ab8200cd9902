#ifndef GUACO__SERVER_PEER_H
#define GUACO__SERVER_PEER_H

#include <sys/socket.h>

#include "guaco/http/app.h"
#include "http/proxy_protocol.h"

struct guaco__tls_about;

/* The two ends of a connection with the text of their addresses. */
struct guaco__peer {
    struct guaco_peer face;
    struct guaco__address client; /* of client_host, for trust */
    char client_host[48];
    char server_host[108];
};

/* Name both ends of the socket `fd`, whose other end is `from`. */
void guaco__peer_init(struct guaco__peer *peer, int fd,
                      const struct sockaddr_storage *from);

/* What a PROXY header says of both ends; nothing where it does not know. */
void guaco__peer_announce(struct guaco__peer *peer,
                          const struct guaco__proxy_header *header);

/* A copy with texts of its own, of which the application knows nothing yet. */
void guaco__peer_copy(struct guaco__peer *peer, const struct guaco__peer *from);

/* Its TLS handshake has settled *about, which outlives the peer.  Returns 0 or
 * GUACO_E_NOMEM. */
int guaco__peer_set_tls(struct guaco__peer *peer,
                        const struct guaco__tls_about *about);

void guaco__peer_release(struct guaco__peer *peer);

#endif
