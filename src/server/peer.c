/* Addresses as text: the contract is in peer.h. */

#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "io/tls.h"

static void
name_address(const struct sockaddr_storage *at, char *host, size_t size,
             uint16_t *port)
{
    if (at->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)at;

        inet_ntop(AF_INET, &in4->sin_addr, host, (socklen_t)size);
        *port = ntohs(in4->sin_port);
    } else if (at->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)at;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, (socklen_t)size);
        *port = ntohs(in6->sin6_port);
    } else if (at->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)at;
        size_t len = strnlen(un->sun_path, sizeof(un->sun_path));

        /* an abstract name begins with a NUL and is no path */
        memcpy(host, un->sun_path, len < size ? len : size - 1);
    }
}

static struct guaco__address
address_of(const struct sockaddr_storage *at)
{
    if (at->ss_family == AF_INET)
        return guaco__address_of(
            GUACO__ADDRESS_IPV4,
            (const void *)&((const struct sockaddr_in *)(const void *)at)
                ->sin_addr);
    if (at->ss_family == AF_INET6)
        return guaco__address_of(
            GUACO__ADDRESS_IPV6,
            (const void *)&((const struct sockaddr_in6 *)(const void *)at)
                ->sin6_addr);
    return (struct guaco__address){.kind = at->ss_family == AF_UNIX
                                               ? GUACO__ADDRESS_UNIX
                                               : GUACO__ADDRESS_NONE};
}

void
guaco__peer_init(struct guaco__peer *peer, int fd,
                 const struct sockaddr_storage *from)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);

    memset(peer, 0, sizeof(*peer));
    name_address(from, peer->client_host, sizeof(peer->client_host),
                 &peer->face.client_port);
    if (getsockname(fd, (struct sockaddr *)&own, &len) == 0)
        name_address(&own, peer->server_host, sizeof(peer->server_host),
                     &peer->face.server_port);
    peer->face.is_unix = own.ss_family == AF_UNIX;
    peer->face.server_host = peer->server_host;
    if (!peer->face.is_unix && peer->client_host[0] != '\0')
        peer->face.client_host = peer->client_host;
    peer->client = address_of(from);
}

void
guaco__peer_announce(struct guaco__peer *peer,
                     const struct guaco__proxy_header *header)
{
    if (header->client.kind == GUACO__ADDRESS_NONE)
        return;
    peer->client = header->client;
    peer->face.is_unix = header->client.kind == GUACO__ADDRESS_UNIX;
    peer->face.client_port = header->client_port;
    peer->face.server_port = header->server_port;
    guaco__address_format(&header->client, peer->client_host);
    peer->face.client_host =
        peer->client_host[0] == '\0' ? NULL : peer->client_host;
    if (!peer->face.is_unix)
        guaco__address_format(&header->server, peer->server_host);
}

void
guaco__peer_copy(struct guaco__peer *peer, const struct guaco__peer *from)
{
    *peer = *from;
    peer->face.app_cache = NULL;
    peer->face.server_host = peer->server_host;
    if (from->face.client_host != NULL)
        peer->face.client_host = peer->client_host;
}

static struct guaco_slice
text_or_empty(const char *text)
{
    return (struct guaco_slice){text, text == NULL ? 0 : strlen(text)};
}

int
guaco__peer_set_tls(struct guaco__peer *peer,
                    const struct guaco__tls_about *about)
{
    struct guaco_tls *tls = malloc(sizeof(*tls));

    if (tls == NULL)
        return GUACO_E_NOMEM;
    *tls = (struct guaco_tls){
        .version = about->version,
        .cipher_suite = about->cipher_suite,
        .server_name = text_or_empty(about->server_name),
        .server_cert = about->server_pem,
        .client_certs = about->client_pem,
        .client_name = text_or_empty(about->client_name),
    };
    peer->face.is_tls = true;
    peer->face.tls = tls;
    return GUACO_OK;
}

void
guaco__peer_release(struct guaco__peer *peer)
{
    free((void *)(uintptr_t)peer->face.tls);
    peer->face.tls = NULL;
}
