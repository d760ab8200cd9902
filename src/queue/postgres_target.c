/* The URL of a PostgreSQL store. */

#include <stdio.h>
#include <string.h>

#include "postgres_link.h"

#define TIMEOUT_MS 10000u
#define CONNECT_MS 5000u
#define MS_MAX     3600000u

/* What libpq is given as it is. */
static const char *const passed[] = {
    "host",
    "port",
    "user",
    "password",
    "passfile",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslsni",
    "gssencmode",
    "krbsrvname",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "channel_binding",
    "application_name",
};

static int
add(struct guaco__postgres_target *target, const char *key, const char *value,
    struct guaco_error *err)
{
    for (size_t i = 0; i < target->count; i++)
        if (strcmp(target->keys[i], key) == 0) {
            target->values[i] = value;
            return GUACO_OK;
        }
    if (target->count == POSTGRES_PARAMS_MAX)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "postgresql: too many options");
    target->keys[target->count] = key;
    target->values[target->count++] = value;
    return GUACO_OK;
}

static bool
is_schema(const char *text)
{
    size_t len = strlen(text);

    return len >= 1 && len <= POSTGRES_SCHEMA_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len &&
           (text[0] < '0' || text[0] > '9') && strncmp(text, "pg_", 3) != 0;
}

static bool
is_commit(const char *text)
{
    static const char *const all[] = {"on", "off", "local", "remote_write",
                                      "remote_apply"};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(text, all[i]) == 0)
            return true;
    return false;
}

static int
read_own(struct guaco__postgres_target *target, const char *key,
         const char *value, struct guaco_error *err)
{
    if (strcmp(key, "timeout_ms") == 0)
        return guaco__url_number(key, value, MS_MAX, &target->timeout_ms, err);
    if (strcmp(key, "connect_timeout_ms") == 0)
        return guaco__url_number(key, value, MS_MAX,
                                 &target->connect_timeout_ms, err);
    if (strcmp(key, "schema") == 0) {
        target->schema = value;
        return is_schema(value)
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_INVALID, 0,
                                "postgresql: schema= is 1 to %u of a-z, 0-9 "
                                "and _, without pg_ in front",
                                POSTGRES_SCHEMA_MAX);
    }
    if (strcmp(key, "synchronous_commit") == 0) {
        target->commit = value;
        return is_commit(value)
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_INVALID, 0,
                                "postgresql: synchronous_commit is on, off, "
                                "local, remote_write or remote_apply");
    }
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "postgresql: no option '%.40s'; known are schema, "
                      "synchronous_commit, timeout_ms, connect_timeout_ms, and "
                      "libpq's host, port, user, password, sslmode and other "
                      "ssl options, target_session_attrs",
                      key);
}

static int
read_option(struct guaco__postgres_target *target, const char *key,
            const char *value, struct guaco_error *err)
{
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        if (strcmp(key, passed[i]) == 0)
            return add(target, passed[i], value, err);
    return read_own(target, key, value, err);
}

/* libpq takes several hosts as a list of names and one of ports. */
static int
add_hosts(struct guaco__postgres_target *target, struct guaco_error *err)
{
    size_t host_len = 0, port_len = 0;

    for (size_t i = 0; i < target->url.host_count; i++) {
        const struct guaco__url_host *host = &target->url.hosts[i];
        const char *comma = i == 0 ? "" : ",";
        host_len += (size_t)snprintf(target->hosts + host_len,
                                     sizeof target->hosts - host_len, "%s%s",
                                     comma, host->name);
        port_len += (size_t)snprintf(
            target->ports + port_len, sizeof target->ports - port_len, "%s%u",
            comma, host->port == 0 ? 5432u : (unsigned)host->port);
        if (host_len >= sizeof target->hosts ||
            port_len >= sizeof target->ports)
            return guaco_fail(err, GUACO_E_INVALID, 0,
                              "postgresql: names of hosts that are too long");
    }
    int rc = host_len == 0 ? GUACO_OK : add(target, "host", target->hosts, err);
    return rc != GUACO_OK || host_len == 0
               ? rc
               : add(target, "port", target->ports, err);
}

static int
add_place(struct guaco__postgres_target *target, struct guaco_error *err)
{
    const char *db = target->url.path[0] == '/' ? target->url.path + 1 : "";
    int rc = add_hosts(target, err);

    if (rc == GUACO_OK && *target->url.user != '\0')
        rc = add(target, "user", target->url.user, err);
    if (rc == GUACO_OK && target->url.password != NULL)
        rc = add(target, "password", target->url.password, err);
    if (rc == GUACO_OK && *db != '\0')
        rc = add(target, "dbname", db, err);
    return rc;
}

/* A peer that vanished is found as connection.h says.  Plans are made while
 * tables are empty, so they must not depend on that. */
static int
add_rest(struct guaco__postgres_target *target, struct guaco_error *err)
{
    static const char *const fixed[][2] = {
        {"client_encoding", "UTF8"}, {"keepalives", "1"},
        {"keepalives_idle", "15"},   {"keepalives_interval", "5"},
        {"keepalives_count", "3"},   {"tcp_user_timeout", "15000"}};
    int rc = GUACO_OK;

    (void)snprintf(target->options, sizeof target->options,
                   "-c search_path=%s -c enable_seqscan=off "
                   "-c enable_bitmapscan=off -c jit=off "
                   "-c plan_cache_mode=force_generic_plan "
                   "-c statement_timeout=0 "
                   "-c idle_in_transaction_session_timeout=0 "
                   "-c default_transaction_isolation=read\\ committed%s%s",
                   target->schema,
                   target->commit == NULL ? "" : " -c synchronous_commit=",
                   target->commit == NULL ? "" : target->commit);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0] && rc == GUACO_OK;
         i++)
        rc = add(target, fixed[i][0], fixed[i][1], err);
    return rc != GUACO_OK ? rc : add(target, "options", target->options, err);
}

int
guaco__postgres_target_init(struct guaco__postgres_target *target,
                            const char *rest, struct guaco_error *err)
{
    int rc = guaco__url_read(&target->url, rest, err);

    if (rc != GUACO_OK)
        return rc;
    target->count = 0;
    target->schema = "guaco";
    target->commit = NULL;
    target->timeout_ms = TIMEOUT_MS;
    target->connect_timeout_ms = CONNECT_MS;
    rc = add(target, "application_name", "guaco", err);
    if (rc == GUACO_OK)
        rc = add_place(target, err);
    for (size_t i = 0; rc == GUACO_OK && i < target->url.option_count; i++)
        rc = read_option(target, target->url.options[i].key,
                         target->url.options[i].value, err);
    if (rc == GUACO_OK &&
        (target->timeout_ms == 0 || target->connect_timeout_ms == 0))
        rc = guaco_fail(err, GUACO_E_INVALID, 0,
                        "postgresql: a timeout of 0 ms");
    if (rc == GUACO_OK)
        rc = add_rest(target, err);
    target->keys[target->count] = target->values[target->count] = NULL;
    return rc;
}
