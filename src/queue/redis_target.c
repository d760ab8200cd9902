/* The URL of a Redis store. */

#include <string.h>

#include "redis_link.h"

#define TIMEOUT_MS 10000u
#define CONNECT_MS 5000u
#define MS_MAX     3600000u
#define DB_MAX     1000000u
#define PREFIX_MAX 100u

/* Options on their way in. */
struct reading {
    struct guaco__redis_target *target;
    struct guaco__tls_options tls;
    const char *verify;
    bool has_tls;
};

static bool
is_prefix(const char *text)
{
    size_t len = strlen(text);

    return len >= 1 && len <= PREFIX_MAX && strpbrk(text, "{}") == NULL;
}

/* Where an option that is a text goes, or NULL. */
static const char **
place_of(struct reading *in, const char *key)
{
    struct guaco__redis_target *target = in->target;
    const struct {
        const char *key;
        const char **place;
        bool is_tls;
    } places[] = {
        {"prefix", &target->prefix, false},
        {"user", &target->user, false},
        {"password", &target->password, false},
        {"sentinel_user", &target->sentinel_user, false},
        {"sentinel_password", &target->sentinel_password, false},
        {"tls_ca", &in->tls.ca_path, true},
        {"tls_cert", &in->tls.cert_path, true},
        {"tls_key", &in->tls.key_path, true},
        {"tls_name", &in->tls.name, true},
        {"tls_verify", &in->verify, true},
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(key, places[i].key) == 0) {
            in->has_tls = in->has_tls || places[i].is_tls;
            return places[i].place;
        }
    return NULL;
}

static int
read_option(struct reading *in, const char *key, const char *value,
            struct guaco_error *err)
{
    struct guaco__redis_target *target = in->target;
    const char **place = place_of(in, key);

    if (place != NULL) {
        *place = value;
        return GUACO_OK;
    }
    if (strcmp(key, "db") == 0)
        return guaco__url_number(key, value, DB_MAX, &target->db, err);
    if (strcmp(key, "timeout_ms") == 0)
        return guaco__url_number(key, value, MS_MAX, &target->timeout_ms, err);
    if (strcmp(key, "connect_timeout_ms") == 0)
        return guaco__url_number(key, value, MS_MAX,
                                 &target->connect_timeout_ms, err);
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "redis: no option '%.40s'; known are db, user, password, "
                      "prefix, timeout_ms, connect_timeout_ms, "
                      "sentinel_user, sentinel_password, tls_ca, tls_cert, "
                      "tls_key, tls_name, tls_verify",
                      key);
}

/* "/5", "/service/5" with Sentinel, "" and "/" for the first database. */
static int
read_path(struct guaco__redis_target *target, bool has_service,
          struct guaco_error *err)
{
    char *path = target->url.path[0] == '\0' ? NULL : target->url.path + 1;

    if (has_service) {
        char *rest = path == NULL ? NULL : strchr(path, '/');
        if (rest != NULL)
            *rest++ = '\0';
        if (path == NULL || *path == '\0')
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "redis: a service of Sentinel is wanted: "
                              "redis+sentinel://HOST/SERVICE");
        target->service = path;
        path = rest;
    }
    if (path == NULL || *path == '\0')
        return GUACO_OK;
    return guaco__url_number("db", path, DB_MAX, &target->db, err);
}

static int
read_place(struct guaco__redis_target *target, const char *scheme,
           struct guaco_error *err)
{
    struct guaco__url *url = &target->url;
    bool has_service = strstr(scheme, "sentinel") != NULL;

    target->is_tls = strncmp(scheme, "rediss", 6) == 0;
    if (strstr(scheme, "unix") != NULL) {
        target->socket = url->path;
        if (url->host_count > 0 || *url->path != '/')
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "redis: an absolute path is wanted: "
                              "redis+unix:///PATH");
        return GUACO_OK;
    }
    if (url->host_count > 1 && !has_service)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: one host, not %zu; several are for "
                          "redis+sentinel://",
                          url->host_count);
    if (url->host_count == 0)
        url->hosts[url->host_count++].name = "localhost";
    for (size_t i = 0; i < url->host_count; i++)
        if (url->hosts[i].port == 0)
            url->hosts[i].port = has_service ? 26379 : 6379;
    return read_path(target, has_service, err);
}

static int
check(const struct reading *in, struct guaco_error *err)
{
    const struct guaco__redis_target *target = in->target;

    if (!is_prefix(target->prefix))
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: prefix= is 1 to %u bytes without braces",
                          PREFIX_MAX);
    if (in->has_tls && !target->is_tls)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: tls_ options are for rediss://");
    if (in->verify != NULL && strcmp(in->verify, "full") != 0 &&
        strcmp(in->verify, "none") != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: tls_verify is full or none");
    if (target->timeout_ms == 0 || target->connect_timeout_ms == 0)
        return guaco_fail(err, GUACO_E_INVALID, 0, "redis: a timeout of 0 ms");
    if (*target->user != '\0' && target->password == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "redis: a user without a password");
    return GUACO_OK;
}

int
guaco__redis_target_init(struct guaco__redis_target *target, const char *scheme,
                         const char *rest, struct guaco_error *err)
{
    struct reading in = {.target = target};
    int rc = guaco__url_read(&target->url, rest, err);

    if (rc != GUACO_OK)
        return rc;
    target->user = target->url.user;
    target->password = target->url.password;
    target->socket = target->service = NULL;
    target->sentinel_user = "";
    target->sentinel_password = NULL;
    target->prefix = "guaco";
    target->db = 0;
    target->timeout_ms = TIMEOUT_MS;
    target->connect_timeout_ms = CONNECT_MS;
    target->tls = (struct guaco__tls){0};
    rc = read_place(target, scheme, err);
    for (size_t i = 0; rc == GUACO_OK && i < target->url.option_count; i++)
        rc = read_option(&in, target->url.options[i].key,
                         target->url.options[i].value, err);
    if (rc == GUACO_OK)
        rc = check(&in, err);
    in.tls.is_unverified = in.verify != NULL && strcmp(in.verify, "none") == 0;
    if (rc == GUACO_OK && target->is_tls)
        rc = guaco__tls_init(&target->tls, &in.tls, err);
    return rc;
}

void
guaco__redis_target_release(struct guaco__redis_target *target)
{
    if (target->tls.ctx != NULL)
        guaco__tls_release(&target->tls);
}
