#ifndef GUACO_BASE_REAL_H
#define GUACO_BASE_REAL_H

/* Decimal text to double with '.' as the decimal point, whatever the locale of
 * the process says. */

/* Read the whole of `text`, whose form the caller has checked against the
 * grammar of C.  Out of range gives infinity.  Returns 0 or GUACO_E_NOMEM. */
int guaco__real_read(const char *text, double *real);

#endif
