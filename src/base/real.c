/* Decimal text: the contract is in base/real.h. */

#include "base/real.h"

#include <assert.h>
#include <locale.h>
#include <stdlib.h>

#include "guaco/error.h"

int
guaco__real_read(const char *text, double *real)
{
    /* The locale "C" is a constant of the C library: nothing is allocated. */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *end;

    if (c == (locale_t)0)
        return GUACO_E_NOMEM;
    *real = strtod_l(text, &end, c);
    freelocale(c);
    assert(*end == '\0');
    return GUACO_OK;
}
