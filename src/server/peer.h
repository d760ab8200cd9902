#ifndef GUACO__SERVER_PEER_H
#define GUACO__SERVER_PEER_H

#include <sys/socket.h>

#include "guaco/http/app.h"

struct guaco__tls_about;

/* The two ends of a connection with the text of their addresses. */
struct guaco__peer {
    struct guaco_peer face;
    char client_host[48];
    char server_host[108];
};

/* Name both ends of the socket `fd`, whose other end is `from`. */
void guaco__peer_init(struct guaco__peer *peer, int fd,
                      const struct sockaddr_storage *from);

/* Its TLS handshake has settled *about, which outlives the peer.  Returns 0 or
 * GUACO_E_NOMEM. */
int guaco__peer_set_tls(struct guaco__peer *peer,
                        const struct guaco__tls_about *about);

void guaco__peer_release(struct guaco__peer *peer);

#endif
