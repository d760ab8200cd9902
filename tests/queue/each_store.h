/*
 * The end of a test program whose TESTS(X) are to hold for every store: set up
 * and run for each, on Redis where there is a server to start.
 *
 * A program that starts itself once more as something else defines
 * EACH_STORE_MAIN, int (int argc, char **argv): what that exits with, or -1 when
 * it was started to test.
 */

int
main(int argc, char **argv)
{
#ifdef EACH_STORE_MAIN
    int rc = EACH_STORE_MAIN(argc, argv);
    if (rc >= 0)
        return rc;
#else
    (void)argc;
    (void)argv;
#endif
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_memory, fixture_teardown),
    const struct CMUnitTest memory[] = {TESTS(X)};
#undef X
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_remote, fixture_teardown),
    const struct CMUnitTest remote[] = {TESTS(X)};
#undef X
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_sqlite, fixture_teardown),
    const struct CMUnitTest sqlite[] = {TESTS(X)};
#undef X
#define X(name) \
    cmocka_unit_test_setup_teardown(name, fixture_on_redis, fixture_teardown),
    const struct CMUnitTest redis[] = {TESTS(X)};
#undef X
#define X(name)                                                  \
    cmocka_unit_test_setup_teardown(name, fixture_on_postgresql, \
                                    fixture_teardown),
    const struct CMUnitTest postgresql[] = {TESTS(X)};
#undef X
    fixture_clock_init();
    int failed = cmocka_run_group_tests(memory, NULL, NULL) +
                 cmocka_run_group_tests(remote, NULL, NULL) +
                 cmocka_run_group_tests(sqlite, NULL, NULL);
    if (fixture_has("redis"))
        failed += cmocka_run_group_tests(redis, NULL, NULL);
    if (fixture_has("postgresql"))
        failed += cmocka_run_group_tests(postgresql, NULL, NULL);
    fixture_end();
    return failed;
}
