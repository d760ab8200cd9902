#ifndef GUACO_ERROR_H
#define GUACO_ERROR_H

/*
 * Status codes and error text.
 *
 * A function that can fail returns int: GUACO_OK (0) or one of the negative
 * codes below.  One that a person may have to debug (it opens, connects or
 * reads a setting) also takes `struct guaco_error *err` as its last argument.
 * err may be NULL; a failing call fills it, a successful one leaves it as it
 * was.  Nothing in the library exits the process, prints, or reports by errno.
 *
 * Threads: no shared state.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define GUACO_ERROR_MAP(X)                                         \
    X(NOMEM, -1, "out of memory")                                  \
    X(INVALID, -2, "argument not acceptable; nothing was changed") \
    X(AGAIN, -3, "nothing to do now, try later")                   \
    X(CLOSED, -4, "the other side or this object is closed")       \
    X(LIMIT, -5, "a configured limit was reached")                 \
    X(PROTO, -6, "the peer broke the protocol")                    \
    X(LOST, -7, "lost: its lease or its memory had ended")         \
    X(IO, -8, "a system call failed, see guaco_error.sys")         \
    X(TIMEOUT, -9, "the deadline passed")                          \
    X(STATE, -10, "not allowed in the present state")              \
    X(MISSING, -11, "no such thing")                               \
    X(EXISTS, -12, "it is there already")                          \
    X(UNSUPPORTED, -13, "not supported here")

enum guaco_status {
    GUACO_OK = 0,
#define X(name, number, text) GUACO_E_##name = number,
    GUACO_ERROR_MAP(X)
#undef X
};

struct guaco_error {
    int code;       /* a GUACO_E_* value */
    int sys;        /* errno of the failing system call, or 0 */
    char text[232]; /* one NUL-terminated line, no newline, for a person */
};

#if defined(__GNUC__) || defined(__clang__)
#define GUACO_API          __attribute__((visibility("default")))
#define GUACO_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define GUACO_API
#define GUACO_PRINTF(f, a)
#endif

/* The fixed English text of `code`; never NULL, never to be freed. */
GUACO_API const char *guaco_strerror(int code);

/*
 * Fill *err, if it is not NULL, and return `code`, so that failing is one line:
 *
 *     return guaco_fail(err, GUACO_E_IO, errno, "open %s", path);
 *
 * `code` is one of GUACO_E_*; when `sys` is not 0 its strerror is appended.
 * A text that is too long is cut.
 */
GUACO_API int guaco_fail(struct guaco_error *err, int code, int sys,
                         const char *fmt, ...) GUACO_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif

#endif
