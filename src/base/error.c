/* Status codes and error text: the contract is in guaco/error.h. */

#include "guaco/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
guaco_strerror(int code)
{
    switch (code) {
    case GUACO_OK: return "success";
#define X(name, number, text) \
    case GUACO_E_##name: return text;
        GUACO_ERROR_MAP(X)
#undef X
    }
    return "unknown error code";
}

/* Append ": <text of errno>" where there is room for it. */
static void
append_errno(struct guaco_error *err, int sys)
{
    size_t used = strlen(err->text);
    char name[96];

    /* The GNU strerror_r may answer with a constant instead of the buffer,
     * the POSIX one with a number: both are served by the two branches. */
#if defined(__GLIBC__)
    const char *text = strerror_r(sys, name, sizeof name);
#else
    const char *text = name;
    if (strerror_r(sys, name, sizeof name) != 0)
        snprintf(name, sizeof name, "errno %d", sys);
#endif
    snprintf(err->text + used, sizeof err->text - used, ": %s", text);
}

int
guaco_fail(struct guaco_error *err, int code, int sys, const char *fmt, ...)
{
    assert(code < 0);

    if (err == NULL)
        return code;

    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = sys;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (sys != 0)
        append_errno(err, sys);
    return code;
}
