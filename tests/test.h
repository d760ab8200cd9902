#ifndef GUACO_TEST_H
#define GUACO_TEST_H

/* What every test program includes: cmocka with the headers it wants before
 * its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* A borrowed slice of a C string. */
#define TEXT(s) ((struct guaco_slice){(s), strlen(s)})

#endif
