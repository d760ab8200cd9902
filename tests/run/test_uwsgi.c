/* The promises of run/uwsgi.h. */

#include "run/uwsgi.h"

#include <stdio.h>
#include <string.h>

#include "run/options.h"
#include "run/toml.h"

#include "../failing_malloc.h"
#include "../test.h"

static struct guaco__buf out;
static struct guaco_error err;

static int
import(const char *text, size_t *left)
{
    guaco__buf_release(&out);
    guaco__buf_init(&out, 1 << 20);
    return guaco__uwsgi_import((struct guaco_slice){text, strlen(text)},
                               "/etc/uwsgi/shop.ini", &out, left, &err);
}

static const char *
text_of(const char *ini, size_t left_wanted)
{
    const char *text;
    size_t left;

    assert_int_equal(import(ini, &left), GUACO_OK);
    assert_int_equal(left, left_wanted);
    assert_int_equal(guaco__buf_text(&out, &text), GUACO_OK);
    return text;
}

static const char ordinary[] = "; a shop\n"
                               "[uwsgi]\n"
                               "base = /srv/%n\n"
                               "chdir = %(base)\n"
                               "home=%(base)/venv\n"
                               "module = shop.wsgi\n"
                               "callable = app\n"
                               "master = true\n"
                               "processes = 4\n"
                               "threads = 2\n"
                               "http = :8000\n"
                               "http-socket = /run/shop.sock\n"
                               "harakiri = 30\n"
                               "max-requests = 1000\n"
                               "reload-on-rss = 256\n"
                               "static-map = /static=%(base)/static\n"
                               "static-map = /media=%(base)/media\n"
                               "env = A=1\n"
                               "env = B=\"two\"\n"
                               "disable-logging = true\n"
                               "py-autoreload = 0\n"
                               "socket = 127.0.0.1:3031\n"
                               "cron = 0 3 -1 -1 -1 backup\n"
                               "unheard-of = 5\n"
                               "[other]\n"
                               "processes = 99\n";

static void
what_is_known_becomes_tool_guaco(void **state)
{
    (void)state;
    assert_string_equal(
        text_of(ordinary, 4),
        "# From uWSGI; start it with: guaco serve shop.wsgi:app\n"
        "[tool.guaco]\n"
        "chdir = \"/srv/shop\"\n"
        "python = \"/srv/shop/venv/bin/python\"\n"
        "workers = 4\n"
        "threads = 2\n"
        "bind = [\"0.0.0.0:8000\", \"unix:/run/shop.sock\"]\n"
        "timeout-worker = \"30\"\n"
        "limit-max-requests = 1000\n"
        "worker-max-rss = \"256m\"\n"
        "static = [\"/static=/srv/shop/static\", \"/media=/srv/shop/media\"]\n"
        "env = [\"A=1\", \"B=\\\"two\\\"\"]\n"
        "access-log = false\n"
        "\n# Not carried over:\n"
        "#   base = /srv/shop  : not known\n"
        "#   socket = 127.0.0.1:3031  -> http: the uwsgi protocol is not "
        "spoken; let the proxy speak HTTP to an address of `bind`\n"
        "#   cron = 0 3 -1 -1 -1 backup  -> @queue.periodic_task(crontab(...))\n"
        "#   unheard-of = 5  : not known\n");
}

static void
our_option_reader_takes_every_line(void **state)
{
    static struct guaco__options options;
    const char *const none[] = {NULL};
    const struct guaco__toml *root;
    struct guaco__arena arena;
    const char *text = text_of(ordinary, 4);

    (void)state;
    guaco__arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(guaco__toml_read(&arena, text, strlen(text), &root, &err),
                     GUACO_OK);
    if (guaco__options_resolve(&options, GUACO__SERVE, none, 0, none, root,
                               &err) != GUACO_OK)
        fail_msg("%s", err.text);
    assert_int_equal(guaco__options_number(&options, "workers"), 4);
    assert_int_equal(guaco__options_number(&options, "timeout-worker"), 30000);
    assert_int_equal(guaco__options_number(&options, "worker-max-rss"),
                     256 << 20);
    assert_int_equal(guaco__options_get(&options, "static")->count, 2);
    guaco__options_release(&options);
    guaco__arena_release(&arena);
}

static void
the_last_value_counts_and_a_file_names_the_module(void **state)
{
    (void)state;
    assert_string_equal(text_of("[uwsgi]\nworkers=1\np=3\nprocesses=2\n"
                                "wsgi-file = /srv/app/main.py\n"
                                "https = :443,/c.pem,/k.pem,HIGH\n",
                                0),
                        "# From uWSGI; start it with: guaco serve "
                        "main:application\n[tool.guaco]\nworkers = 2\n"
                        "bind = [\"https://0.0.0.0:443\"]\n"
                        "ssl-certfile = [\"/c.pem\"]\n"
                        "ssl-keyfile = [\"/k.pem\"]\n");
}

static void
values_that_are_open_or_wrong_are_named(void **state)
{
    const char *text = text_of(
        "[uwsgi]\nchdir = %(nobody)/x\nuid = $(WHO)\nworkers = many\n", 3);

    (void)state;
    assert_non_null(strstr(text, "chdir = \"%(nobody)/x\"\n"));
    assert_non_null(strstr(text, "#   chdir = %(nobody)/x  : look at the %"));
    assert_non_null(strstr(text, "#   uid = $(WHO)  : look at the %"));
    assert_non_null(strstr(text, "#   workers = many  : its value cannot"));
    assert_null(strstr(text, "\nworkers ="));
}

static void
what_is_no_ini_is_refused_with_its_line(void **state)
{
    size_t left;

    (void)state;
    assert_int_equal(import("[uwsgi]\nworkers\n", &left), GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "line 2"));
    assert_int_equal(import("workers = 1\n", &left), GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "no section [uwsgi]"));
    assert_int_equal(import("", &left), GUACO_E_INVALID);
    assert_int_equal(import("[uwsgi\n", &left), GUACO_E_INVALID);
    assert_int_equal(import("[uwsgi]\nmodule=caf\xe9\n", &left),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "line 2: not UTF-8"));
    assert_int_equal(import("[uwsgi]\n# \xe9\nmod\1ule=a\n", &left),
                     GUACO_E_INVALID);
    assert_non_null(strstr(err.text, "line 3: not UTF-8"));
}

/* Each key may stand for what stands before it: no more is made of a file than
 * the caps allow. */
static void
a_value_that_grows_without_end_hits_a_limit(void **state)
{
    static char text[16384];
    size_t len =
        (size_t)snprintf(text, sizeof text, "[uwsgi]\na0 = xxxxxxxx\n");
    size_t left;

    (void)state;
    for (int i = 1; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "a%d = %%(a%d)%%(a%d)\n", i, i - 1, i - 1);
    assert_int_equal(import(text, &left), GUACO_E_LIMIT);
}

static void
every_allocation_may_fail(void **state)
{
    size_t left;
    bool was_refused = true;

    (void)state;
    for (long n = 0; was_refused; n++) {
        fail_after(n);
        int rc = import(ordinary, &left);
        was_refused = fail_stop();
        assert_int_equal(rc, was_refused ? GUACO_E_NOMEM : GUACO_OK);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_becomes_tool_guaco),
        cmocka_unit_test(our_option_reader_takes_every_line),
        cmocka_unit_test(the_last_value_counts_and_a_file_names_the_module),
        cmocka_unit_test(values_that_are_open_or_wrong_are_named),
        cmocka_unit_test(what_is_no_ini_is_refused_with_its_line),
        cmocka_unit_test(a_value_that_grows_without_end_hits_a_limit),
        cmocka_unit_test(every_allocation_may_fail),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    guaco__buf_release(&out);
    return failed;
}
