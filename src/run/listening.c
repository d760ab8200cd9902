/* What a tree listens on: the addresses of its options, what a service manager
 * has activated, what its predecessor hands over; and its certificates. */

#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "run/tls_settings.h"
#include "server/access_format.h"
#include "supervisor_int.h"

/* --host and --port are one address, which also is the default. */
static int
bind_host(struct tree *tree, bool otherwise, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    const struct guaco__option_value *port = guaco__options_get(o, "port");
    const char *host = guaco__options_text(o, "host");
    char address[300];

    if (host == NULL && port->origin == GUACO__ORIGIN_UNSET && !otherwise)
        return GUACO_OK;
    if (host == NULL)
        host = "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL && *host != '[';
    snprintf(address, sizeof address, v6 ? "[%.250s]:%s" : "%.250s:%s", host,
             port->text == NULL ? "8000" : port->text);
    return guaco__binds_add(&tree->binds, address, err);
}

/* Read the certificates once, so that one that is wrong is told before any
 * worker is started; the workers read them again. */
static int
check_tls(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    struct guaco__tls_settings settings;
    struct guaco__tls *tls = NULL;

    tree->has_tls = guaco__tls_is_wanted(o);
    if (!tree->has_tls)
        return guaco__options_get(o, "ssl-keyfile")->count == 0
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_INVALID, 0,
                                "--ssl-keyfile without --ssl-certfile");
    guaco__tls_settings_read(&settings, o);

    int rc = guaco__tls_new(&tls, &settings.options, err);

    if (rc == GUACO_OK &&
        guaco__rand_bytes(tree->ticket_secret, sizeof tree->ticket_secret) < 0)
        rc = guaco_fail(err, GUACO_E_IO, 0, "no random bytes");
    guaco__tls_unref(tls);
    return rc;
}

/* One that is wrong is told before any worker is started. */
static int
check_format(const struct guaco__options *o, struct guaco_error *err)
{
    struct guaco__access_format format;

    return guaco__access_format_read(
        &format, guaco__options_text(o, "access-log-format"), err);
}

/* What the service manager activated, but not the admin's. */
static int
bind_activated(struct tree *tree, struct guaco_error *err)
{
    int rc = GUACO_OK;

    for (size_t i = 0; i < tree->inherited.count && rc == GUACO_OK; i++) {
        const struct guaco__inherited_item *item = &tree->inherited.items[i];
        if (!item->is_taken && strncmp(item->words, "fd:", 3) == 0 &&
            strcmp(item->name, "admin") != 0 &&
            strcmp(item->words, "fd:admin") != 0)
            rc = guaco__binds_add(&tree->binds, item->words, err);
    }
    return rc;
}

static int
bind_options(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;
    const struct guaco__option_value *binds = guaco__options_get(o, "bind");
    const struct guaco__option_value *fd = guaco__options_get(o, "fd");
    const char *uds = guaco__options_text(o, "uds");
    char address[PATH_MAX];
    int rc = GUACO_OK;

    for (size_t i = 0; i < binds->count && rc == GUACO_OK; i++)
        rc = guaco__binds_add(&tree->binds, binds->items[i], err);
    if (rc == GUACO_OK && uds != NULL) {
        snprintf(address, sizeof address, "unix:%.4000s", uds);
        rc = guaco__binds_add(&tree->binds, address, err);
    }
    if (rc == GUACO_OK && fd->origin != GUACO__ORIGIN_UNSET) {
        snprintf(address, sizeof address, "fd:%s", fd->text);
        rc = guaco__binds_add(&tree->binds, address, err);
    }
    return rc != GUACO_OK ? rc : bind_host(tree, false, err);
}

int
guaco__listening_open(struct tree *tree, struct guaco_error *err)
{
    const struct guaco__options *o = tree->setup->options;

    int rc = check_tls(tree, err);
    if (rc == GUACO_OK)
        rc = check_format(o, err);
    if (rc == GUACO_OK)
        rc = guaco__inherited_add_activated(&tree->inherited, tree->setup->envp,
                                            err);
    guaco__binds_init(&tree->binds, guaco__tree_worker_count(tree, "workers"),
                      (int)guaco__options_number(o, "backlog"));
    tree->binds.has_tls = tree->has_tls;
    tree->binds.is_divided = guaco__options_number(o, "reuse-port") != 0;
    tree->binds.inherited = &tree->inherited;
    if (rc == GUACO_OK)
        rc = bind_options(tree, err);
    if (rc == GUACO_OK && tree->binds.count == 0)
        rc = bind_activated(tree, err);
    if (rc == GUACO_OK && tree->binds.count == 0)
        rc = bind_host(tree, true, err);
    /* What was inherited may have fewer, or more, sockets than slots. */
    if (rc == GUACO_OK)
        rc = guaco__binds_grow(&tree->binds, tree->binds.slots, err);
    return rc;
}
