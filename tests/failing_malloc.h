#ifndef GUACO_TEST_FAILING_MALLOC_H
#define GUACO_TEST_FAILING_MALLOC_H

/*
 * Make allocations fail on purpose.  Programs that use it are linked with
 * tests/failing_malloc.c and -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
 * (the variables failing_malloc_src and failing_malloc_args of Meson).  Only
 * calls from code linked into the program are counted, not those that happen
 * inside shared libraries.
 *
 *     for (long n = 0;; n++) {
 *         fail_after(n);
 *         int rc = what_is_tested();
 *         if (!fail_stop())
 *             break;           (it went through without meeting the failure)
 *         assert_int_equal(rc, GUACO_E_NOMEM);
 *     }
 */

#include <stdbool.h>

/* Let the next n allocations of this thread pass and fail all that follow. */
void fail_after(long n);

/* Let all pass again; tells whether one was refused since fail_after(). */
bool fail_stop(void);

#endif
