#ifndef GUACO_HTTP_SCAN_H
#define GUACO_HTTP_SCAN_H

/*
 * Finding the byte that ends a piece of a head: three classes of bytes, each
 * by 16 bytes at a time where the machine has SSE2 (every x86-64) and by table
 * elsewhere.  The table versions are always built; the fuzz target fuzz_scan
 * compares the two.
 *
 * Inline, because the pieces are short (a name has 10 bytes, a value 30) and a
 * call would cost as much as the scan.  There is no AVX2 version for the same
 * reason: it would have to be chosen at run time, and pieces of that length end
 * in the first or second 16 bytes.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    GUACO__CHAR_TOKEN = 1,     /* RFC 9110 5.6.2 */
    GUACO__CHAR_VALUE = 2,     /* HTAB, SP, visible, 0x80-0xff */
    GUACO__CHAR_TARGET = 4,    /* visible ASCII but '#' */
    GUACO__CHAR_UPPER = 8,     /* A-Z */
    GUACO__CHAR_LOWER = 16,    /* a-z */
    GUACO__CHAR_HOST = 32,     /* of a reg-name, '%' too but not ',' */
    GUACO__CHAR_SPACE = 64,    /* SP and HTAB */
    GUACO__CHAR_QUOTABLE = 128 /* stands for itself in a quoted string */
};

/* What classes a byte belongs to. */
extern const uint8_t guaco__char_class[256];

/* The value of a hexadecimal digit, -1 for other bytes. */
extern const int8_t guaco__hex_value[256];

static inline int
guaco__char_is(char c, int classes)
{
    return guaco__char_class[(uint8_t)c] & classes;
}

/* The table versions: the first byte of [at, end) outside the class, or end.
 * The one for names makes the bytes before it lower case. */
const char *guaco__scan_value_scalar(const char *at, const char *end);
const char *guaco__scan_target_scalar(const char *at, const char *end);
char *guaco__scan_name_scalar(char *at, const char *end);

#ifdef __SSE2__

static inline __m128i
guaco__bytes_between(__m128i bytes, char low, char high)
{
    __m128i offset = _mm_sub_epi8(bytes, _mm_set1_epi8(low));
    __m128i span = _mm_set1_epi8((char)(high - low));
    return _mm_cmpeq_epi8(_mm_min_epu8(offset, span), offset);
}

/* The first byte that may not stand in a field value, or end. */
static inline const char *
guaco__scan_value(const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = guaco__bytes_between(x, 0, 0x1f);
        __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
        __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
        __m128i bad = _mm_or_si128(_mm_andnot_si128(tab, control), del);
        int mask = _mm_movemask_epi8(bad);
        if (mask != 0)
            return at + __builtin_ctz((unsigned)mask);
    }
    return guaco__scan_value_scalar(at, end);
}

/* The first byte that may not stand in a request target, or end. */
static inline const char *
guaco__scan_target(const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i visible = guaco__bytes_between(x, 0x21, 0x7e);
        __m128i hash = _mm_cmpeq_epi8(x, _mm_set1_epi8('#'));
        int mask = _mm_movemask_epi8(_mm_andnot_si128(hash, visible));
        if (mask != 0xffff)
            return at + __builtin_ctz(~(unsigned)mask);
    }
    return guaco__scan_target_scalar(at, end);
}

/*
 * The first byte that may not stand in a token, or end; the letters before it
 * are made lower case.  Letters, digits and '-' go 16 at a time; the rarer
 * bytes of tokens restart the loop behind them.
 */
static inline char *
guaco__scan_name(char *at, const char *end)
{
    /* A load at 16 - n has ones in its first n bytes. */
    static const uint8_t ones[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255};

    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i fold = _mm_set1_epi8(0x20);
        __m128i upper = guaco__bytes_between(x, 'A', 'Z');
        __m128i lower = _mm_or_si128(x, _mm_and_si128(upper, fold));
        __m128i good =
            _mm_or_si128(_mm_or_si128(guaco__bytes_between(lower, 'a', 'z'),
                                      guaco__bytes_between(x, '0', '9')),
                         _mm_cmpeq_epi8(x, _mm_set1_epi8('-')));
        unsigned mask = (unsigned)_mm_movemask_epi8(good);
        unsigned n = (unsigned)__builtin_ctz(~mask);
        char stop = n < 16 ? at[n] : 0; /* before the store, not after it */

        const void *from = ones + 16 - n;
        __m128i before = _mm_loadu_si128((const __m128i *)from);
        __m128i change = _mm_and_si128(_mm_and_si128(upper, fold), before);
        _mm_storeu_si128((__m128i *)(void *)at, _mm_or_si128(x, change));
        at += n;
        if (n < 16) {
            if (stop == ':' || !guaco__char_is(stop, GUACO__CHAR_TOKEN))
                return at;
            at++;
        }
    }
    return guaco__scan_name_scalar(at, end);
}

#else

#define guaco__scan_value  guaco__scan_value_scalar
#define guaco__scan_target guaco__scan_target_scalar
#define guaco__scan_name   guaco__scan_name_scalar

#endif

#endif
