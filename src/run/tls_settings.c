/* Options of TLS: the contract is in run/tls_settings.h. */

#include "run/tls_settings.h"

#include <string.h>

#include "base/base64.h"

_Static_assert((int)GUACO__OPTION_LIST_MAX <= (int)GUACO__TLS_PAIRS_MAX,
               "what a list holds has its place");

static enum guaco__tls_verify
verify_of(const char *word)
{
    if (strcmp(word, "required") == 0 || strcmp(word, "2") == 0)
        return GUACO__TLS_VERIFY_REQUIRED;
    if (strcmp(word, "optional") == 0 || strcmp(word, "1") == 0)
        return GUACO__TLS_VERIFY_OPTIONAL;
    return GUACO__TLS_VERIFY_NONE;
}

static void
begin(struct guaco__tls_settings *settings)
{
    *settings = (struct guaco__tls_settings){.options = {0}};
    settings->options.cert_files = settings->certs;
    settings->options.key_files = settings->keys;
}

/* ---- from a command ---- */

bool
guaco__tls_is_wanted(const struct guaco__options *options)
{
    return guaco__options_get(options, "ssl-certfile")->count > 0;
}

static size_t
read_list(const struct guaco__options *options, const char *name,
          const char **out)
{
    const struct guaco__option_value *list = guaco__options_get(options, name);

    for (size_t i = 0; i < list->count; i++)
        out[i] = list->items[i];
    return list->count;
}

void
guaco__tls_settings_read(struct guaco__tls_settings *settings,
                         const struct guaco__options *from)
{
    struct guaco__tls_options *o = &settings->options;

    begin(settings);
    o->cert_count = read_list(from, "ssl-certfile", settings->certs);
    o->key_count = read_list(from, "ssl-keyfile", settings->keys);
    o->key_password = guaco__options_text(from, "ssl-keyfile-password");
    o->key_password_file =
        guaco__options_text(from, "ssl-keyfile-password-file");
    o->ca_file = guaco__options_text(from, "ssl-ca-certs");
    o->verify = verify_of(guaco__options_text(from, "ssl-cert-reqs"));
    o->ciphers = guaco__options_text(from, "ssl-ciphers");
    o->only_13 =
        strcmp(guaco__options_text(from, "ssl-min-version"), "1.3") == 0;
    o->has_h1 = guaco__options_number(from, "http1") != 0;
    o->has_h2 = guaco__options_number(from, "http2") != 0;
}

/* ---- from a message ---- */

static size_t
take_list(const struct guaco__json *from, const char *name, const char **out)
{
    const struct guaco__json *list = guaco__json_get(from, name);
    size_t count = 0;

    if (list == NULL || list->type != GUACO__JSON_ARRAY)
        return 0;
    for (list = list->as.items.first;
         list != NULL && count < GUACO__TLS_PAIRS_MAX; list = list->next)
        if (list->type == GUACO__JSON_TEXT)
            out[count++] = list->as.text.at;
    return count;
}

static void
take_secret(struct guaco__tls_settings *settings,
            const struct guaco__json *hello)
{
    const char *text = guaco__json_text(hello, "ticket_secret", "");
    unsigned char secret[48];
    size_t len = 0;

    if (strlen(text) == guaco__base64_bytes(GUACO__TLS_SECRET_BYTES) &&
        guaco__base64_decode(text, strlen(text), secret, &len) == GUACO_OK &&
        len == GUACO__TLS_SECRET_BYTES) {
        memcpy(settings->secret, secret, len);
        settings->options.secret = settings->secret;
    }
}

bool
guaco__tls_settings_take(struct guaco__tls_settings *settings,
                         const struct guaco__json *hello)
{
    const struct guaco__json *from = guaco__json_get(hello, "options");
    struct guaco__tls_options *o = &settings->options;

    begin(settings);
    o->cert_count = take_list(from, "ssl_certfile", settings->certs);
    o->key_count = take_list(from, "ssl_keyfile", settings->keys);
    o->key_password = guaco__json_text(from, "ssl_keyfile_password", NULL);
    o->key_password_file =
        guaco__json_text(from, "ssl_keyfile_password_file", NULL);
    o->ca_file = guaco__json_text(from, "ssl_ca_certs", NULL);
    o->verify = verify_of(guaco__json_text(from, "ssl_cert_reqs", "none"));
    o->ciphers = guaco__json_text(from, "ssl_ciphers", NULL);
    o->only_13 =
        strcmp(guaco__json_text(from, "ssl_min_version", ""), "1.3") == 0;
    o->has_h1 = guaco__json_bool(from, "http1", true);
    o->has_h2 = guaco__json_bool(from, "http2", true);
    take_secret(settings, hello);
    return o->cert_count > 0;
}
