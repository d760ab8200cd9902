/*
 * The requests that must be refused: one named test each, run whole, byte by
 * byte, and cut in two at every place.  The classes are those that differ
 * between servers in public comparisons (request smuggling, RFC 9112 11.2).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "h1_trace.h"

struct reject {
    const char *name;
    const char *bytes;
    size_t len;
    enum guaco_http_fault fault;
};

#define GET   "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST  "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNK POST "Transfer-Encoding: chunked\r\n\r\n"

#define R(fault, name, bytes)                                    \
    {                                                            \
        name, bytes, sizeof(bytes) - 1, GUACO_HTTP_FAULT_##fault \
    }

static const struct reject rejects[] = {
    /* request line, RFC 9112 3 */
    R(METHOD, "a space before the method", " GET / HTTP/1.1\r\n"),
    R(METHOD, "a tab between method and target", "GET\t/ HTTP/1.1\r\n"),
    R(METHOD, "a method with a colon", "GE:T / HTTP/1.1\r\n"),
    R(METHOD, "a method with a control byte", "G\001T / HTTP/1.1\r\n"),
    R(METHOD, "a method with a byte above 127", "G\xc3T / HTTP/1.1\r\n"),
    R(METHOD, "a method with NUL", "GET\0 / HTTP/1.1\r\n"),
    R(METHOD, "a request line of the method alone", "GET\r\n"),
    R(METHOD, "a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01"),
    R(METHOD, "two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n"),
    R(METHOD, "a bare LF first", "\nGET / HTTP/1.1\r\n"),
    R(LINE_END, "a bare CR first", "\rGET / HTTP/1.1\r\n"),
    R(METHOD_UNKNOWN, "a method in lower case", "get / HTTP/1.1\r\n"),
    R(METHOD_UNKNOWN, "CONNECT", "CONNECT a:443 HTTP/1.1\r\n"),
    R(METHOD_UNKNOWN, "TRACE", "TRACE / HTTP/1.1\r\n"),
    R(METHOD_LONG, "a method of 33 bytes",
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n"),
    R(REQUEST_LINE, "two spaces before the target", "GET  / HTTP/1.1\r\n"),
    R(VERSION, "two spaces before the version", "GET /  HTTP/1.1\r\n"),
    R(VERSION, "a space in the target", "GET /a b HTTP/1.1\r\n"),
    R(REQUEST_LINE, "HTTP/0.9", "GET /\r\n"),
    R(REQUEST_LINE, "HTTP/0.9 with LF", "GET /\n"),
    R(TARGET, "a tab before the version", "GET /\tHTTP/1.1\r\n"),
    R(TARGET, "a form feed in the target", "GET /\fa HTTP/1.1\r\n"),
    R(TARGET, "NUL in the target", "GET /\0a HTTP/1.1\r\n"),
    R(TARGET, "DEL in the target", "GET /\177 HTTP/1.1\r\n"),
    R(TARGET, "a byte above 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\n"),
    R(TARGET, "a fragment", "GET /a#b HTTP/1.1\r\n"),
    R(REQUEST_LINE, "CR in the target", "GET /\rX: y HTTP/1.1\r\n"),
    R(TARGET_FORM, "a relative target", "GET a/b HTTP/1.1\r\n"),
    R(TARGET_FORM, "authority-form with GET", "GET a:80 HTTP/1.1\r\n"),
    R(TARGET_FORM, "origin-form with CONNECT", "CONNECT / HTTP/1.1\r\n"),
    R(TARGET_FORM, "the asterisk with GET", "GET * HTTP/1.1\r\n"),
    R(TARGET_FORM, "a query after the asterisk", "OPTIONS *?a HTTP/1.1\r\n"),
    R(TARGET_FORM, "another scheme", "GET ftp://a/ HTTP/1.1\r\n"),
    R(TARGET_FORM, "a scheme without slashes", "GET http:a HTTP/1.1\r\n"),
    R(TARGET_FORM, "absolute-form, empty host", "GET http:/// HTTP/1.1\r\n"),
    R(TARGET_FORM, "absolute-form, user", "GET http://u@a/ HTTP/1.1\r\n"),
    R(TARGET_FORM, "absolute-form, bad port", "GET http://a:x/ HTTP/1.1\r\n"),
    R(VERSION, "a version in lower case", "GET / http/1.1\r\n"),
    R(VERSION, "a version without a minor", "GET / HTTP/1\r\n"),
    R(VERSION, "a leading zero in the major", "GET / HTTP/01.1\r\n"),
    R(VERSION, "a leading zero in the minor", "GET / HTTP/1.01\r\n"),
    R(VERSION, "a version of ten digits", "GET / HTTP/1.1000000000\r\n"),
    R(VERSION, "a space inside the version", "GET / HTTP/ 1.1\r\n"),
    R(VERSION, "a space behind the version", "GET / HTTP/1.1 \r\n"),
    R(VERSION, "another protocol", "GET / HTTPS/1.1\r\n"),
    R(VERSION_UNKNOWN, "HTTP/1.2", "GET / HTTP/1.2\r\n"),
    R(VERSION_UNKNOWN, "HTTP/0.9 by name", "GET / HTTP/0.9\r\n"),
    R(VERSION_UNKNOWN, "HTTP/3.0", "GET / HTTP/3.0\r\n"),
    R(VERSION_UNKNOWN, "the HTTP/2 preface",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    R(LINE_END, "a request line that ends in LF", "GET / HTTP/1.1\nHost: a\n"),
    R(LINE_END, "a request line that ends in CR", "GET / HTTP/1.1\rHost: a\r"),

    /* fields, RFC 9112 5 and RFC 9110 5 */
    R(FIELD_NAME, "a space before the colon", GET "A : b\r\n"),
    R(FIELD_NAME, "a tab before the colon", GET "A\t: b\r\n"),
    R(FIELD_NAME, "a control before the colon", GET "A\v: b\r\n"),
    R(FIELD_NAME, "no colon", GET "Abc\r\n"),
    R(FIELD_NAME, "an empty name", GET ": b\r\n"),
    R(FIELD_NAME, "NUL in a name", GET "A\0b: c\r\n"),
    R(FIELD_NAME, "a byte above 127 in a name", GET "A\x80: b\r\n"),
    R(FIELD_NAME, "0xff in a name", GET "\xff: b\r\n"),
    R(FIELD_NAME, "a bracket in a name", GET "A[0]: b\r\n"),
    R(FIELD_NAME, "a space inside a name", GET "A b: c\r\n"),
    R(FIELD_NAME, "CR in a name", GET "A\rb: c\r\n"),
    R(FIELD_NAME, "LF in a name", GET "A\nb: c\r\n"),
    R(FIELD_FOLDED, "white space before the first field",
      "GET / HTTP/1.1\r\n Host: a\r\n"),
    R(FIELD_FOLDED, "a tab before the first field",
      "GET / HTTP/1.1\r\n\tHost: a\r\n"),
    R(FIELD_FOLDED, "a folded value", GET "A: b\r\n c\r\n"),
    R(FIELD_FOLDED, "a value folded with a tab", GET "A: b\r\n\tc\r\n"),
    R(FIELD_FOLDED, "a folded Content-Length", GET "Content-Length:\r\n 1\r\n"),
    R(LINE_END, "CR in a value", GET "A: b\rc\r\n"),
    R(LINE_END, "LF at the end of a field", GET "A: b\nC: d\r\n"),
    R(LINE_END, "CR CR LF at the end of a field", GET "A: b\r\r\n"),
    R(LINE_END, "LF for the empty line", GET "\n"),
    R(LINE_END, "CR and a letter for the empty line", GET "\rX"),
    R(LINE_END, "CR CR for the empty line", GET "\r\r\n"),
    R(FIELD_VALUE, "NUL in a value", GET "A: b\0c\r\n"),
    R(FIELD_VALUE, "a bell in a value", GET "A: \ab\r\n"),
    R(FIELD_VALUE, "ESC in a value", GET "A: \033[2J\r\n"),
    R(FIELD_VALUE, "DEL in a value", GET "A: b\177\r\n"),
    R(FIELD_VALUE, "a vertical tab around a value", GET "A:\vb\r\n"),
    R(FIELD_VALUE, "a form feed after a value", GET "A: b\f\r\n"),
    R(FIELD_VALUE, "a control far into a value",
      GET "A: 0123456789abcdef0123456789abcdef0123456\x1f\r\n"),
    R(FIELD_TWIN, "Content_Length", GET "Content_Length: 5\r\n"),
    R(FIELD_TWIN, "Transfer_Encoding", GET "Transfer_Encoding: chunked\r\n"),
    R(FIELD_REPEATED, "Content-Type twice",
      GET "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n"),

    /* host, RFC 9112 3.2 */
    R(HOST_MISSING, "no Host in 1.1", "GET / HTTP/1.1\r\n\r\n"),
    R(HOST_REPEATED, "Host twice", GET "Host: b\r\n\r\n"),
    R(HOST_REPEATED, "Host twice with one value", GET "Host: a\r\n\r\n"),
    R(HOST, "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    R(HOST, "a list in Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    R(HOST, "a comma in Host", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    R(HOST, "a user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    R(HOST, "a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    R(HOST, "a query in Host", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    R(HOST, "a scheme in Host", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
    R(HOST, "a byte above 127 in Host", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n"),
    R(HOST, "a port of letters", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    R(HOST, "a port over 65535", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    R(HOST, "two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    R(HOST, "an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    R(HOST, "a name in brackets", "GET / HTTP/1.1\r\nHost: [a.b]\r\n\r\n"),
    R(HOST, "a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    R(HOST, "half a percent escape", "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n"),
    R(HOST_MISMATCH, "absolute-form and Host differ",
      "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    R(HOST, "a bad Host in 1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n"),

    /* length, RFC 9112 6.3 */
    R(LENGTH, "a plus sign", POST "Content-Length: +5\r\n\r\n"),
    R(LENGTH, "minus zero", POST "Content-Length: -0\r\n\r\n"),
    R(LENGTH, "a negative length", POST "Content-Length: -1\r\n\r\n"),
    R(LENGTH, "a hexadecimal length", POST "Content-Length: 0x5\r\n\r\n"),
    R(LENGTH, "an underscore", POST "Content-Length: 1_0\r\n\r\n"),
    R(LENGTH, "two numbers", POST "Content-Length: 1 2\r\n\r\n"),
    R(LENGTH, "a letter behind", POST "Content-Length: 1Z\r\n\r\n"),
    R(LENGTH, "a fraction", POST "Content-Length: 5.0\r\n\r\n"),
    R(LENGTH, "an empty length", POST "Content-Length:\r\n\r\n"),
    R(LENGTH, "a list of equal lengths", POST "Content-Length: 5, 5\r\n\r\n"),
    R(LENGTH, "a list of two lengths", POST "Content-Length: 5, 6\r\n\r\n"),
    R(LENGTH, "a comma behind", POST "Content-Length: 5,\r\n\r\n"),
    R(LENGTH, "a digit above 127", POST "Content-Length: \xb2\r\n\r\n"),
    R(LENGTH, "2^63", POST "Content-Length: 9223372036854775808\r\n\r\n"),
    R(LENGTH, "2^64", POST "Content-Length: 18446744073709551616\r\n\r\n"),
    R(LENGTH, "2^64 + 5", POST "Content-Length: 18446744073709551621\r\n\r\n"),
    R(BODY_LONG, "2^63 - 1",
      POST "Content-Length: 9223372036854775807\r\n\r\n"),
    R(LENGTH_REPEATED, "two equal lengths",
      POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    R(LENGTH_REPEATED, "two lengths",
      POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    R(LENGTH_AND_CODING, "a length, then chunked",
      POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    R(LENGTH_AND_CODING, "chunked, then a length",
      POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    R(CODING_VERSION, "chunked in 1.0",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    R(CODING, "an empty coding", POST "Transfer-Encoding:\r\n\r\n"),
    R(CODING, "a comma first", POST "Transfer-Encoding: ,chunked\r\n\r\n"),
    R(CODING, "a comma last", POST "Transfer-Encoding: chunked,\r\n\r\n"),
    R(CODING, "xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n"),
    R(CODING, "chunkedx", POST "Transfer-Encoding: chunkedx\r\n\r\n"),
    R(CODING, "chunked in quotes",
      POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    R(CODING, "identity", POST "Transfer-Encoding: identity\r\n\r\n"),
    R(CODING, "gzip alone", POST "Transfer-Encoding: gzip\r\n\r\n"),
    R(CODING, "chunked twice in a list",
      POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    R(CODING, "chunked before identity",
      POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    R(CODING, "chunked with a parameter",
      POST "Transfer-Encoding: chunked;a=b\r\n\r\n"),
    R(CODING, "two words", POST "Transfer-Encoding: gzip chunked\r\n\r\n"),
    R(CODING, "0x85 behind chunked",
      POST "Transfer-Encoding: chunked\x85\r\n\r\n"),
    R(CODING, "0xa0 before chunked",
      POST "Transfer-Encoding: \xa0"
           "chunked\r\n\r\n"),
    R(FIELD_VALUE, "a vertical tab before chunked",
      POST "Transfer-Encoding: \vchunked\r\n\r\n"),
    R(FIELD_VALUE, "NUL behind chunked",
      POST "Transfer-Encoding: chunked\0\r\n\r\n"),
    R(CODING_REPEATED, "two Transfer-Encoding fields",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    R(CODING_UNKNOWN, "gzip, chunked",
      POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    R(EXPECT, "another expectation", POST "Expect: 200-ok\r\n\r\n"),
    R(EXPECT, "a list of expectations", POST "Expect: 100-continue, x\r\n\r\n"),

    /* chunks, RFC 9112 7.1 */
    R(CHUNK_SIZE, "an empty chunk size", CHUNK "\r\nabc\r\n"),
    R(CHUNK_SIZE, "a plus before the size", CHUNK "+3\r\nabc\r\n"),
    R(CHUNK_SIZE, "a minus before the size", CHUNK "-3\r\nabc\r\n"),
    R(CHUNK_SIZE, "0x before the size", CHUNK "0x3\r\nabc\r\n"),
    R(CHUNK_SIZE, "an underscore in the size", CHUNK "0_3\r\nabc\r\n"),
    R(CHUNK_SIZE, "a space before the size", CHUNK " 3\r\nabc\r\n"),
    R(CHUNK_SIZE, "a space behind the size", CHUNK "3 \r\nabc\r\n"),
    R(CHUNK_SIZE, "a tab behind the size", CHUNK "3\t;a\r\nabc\r\n"),
    R(CHUNK_SIZE, "a letter in the size", CHUNK "3g\r\nabc\r\n"),
    R(CHUNK_SIZE, "17 digits", CHUNK "00000000000000003\r\nabc\r\n"),
    R(CHUNK_SIZE, "a size of 2^63", CHUNK "8000000000000000\r\n"),
    R(CHUNK_SIZE, "a size of 2^64 - 1", CHUNK "ffffffffffffffff\r\n"),
    R(BODY_LONG, "a size of 2^63 - 1", CHUNK "7fffffffffffffff\r\n"),
    R(BODY_LONG, "sizes that wrap together",
      CHUNK "1\r\na\r\n7fffffffffffffff\r\n"),
    R(CHUNK_EXTENSION, "an extension without name", CHUNK "3;\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "a value without name", CHUNK "3;=a\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "a name without value", CHUNK "3;a=\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "a space in an extension", CHUNK "3; a\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "CR in an extension name", CHUNK "3;\ra\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "LF in a quoted extension",
      CHUNK "3;a=\"\n\"\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "CRLF in a quoted extension",
      CHUNK "3;a=\"b\r\n\"\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "NUL in an extension", CHUNK "3;a\0\r\nabc\r\n"),
    R(CHUNK_EXTENSION, "an escaped control", CHUNK "3;a=\"\\\n\"\r\nabc\r\n"),
    R(LINE_END, "LF behind the size", CHUNK "3\nabc\r\n"),
    R(LINE_END, "LF behind an extension", CHUNK "3;a\nabc\r\n"),
    R(LINE_END, "CR and a letter behind the size", CHUNK "3\rabc\r\n"),
    R(CHUNK_END, "more data than the size", CHUNK "3\r\nabcd\r\n0\r\n\r\n"),
    R(CHUNK_END, "LF behind the data", CHUNK "3\r\nabc\n0\r\n\r\n"),
    R(CHUNK_END, "CR alone behind the data", CHUNK "3\r\nabc\r0\r\n\r\n"),
    R(CHUNK_END, "two bytes that are not CRLF", CHUNK "3\r\nabcXX0\r\n\r\n"),
    R(LINE_END, "LF for the last empty line", CHUNK "0\r\n\n"),
    R(LINE_END, "CR and a letter for the last empty line", CHUNK "0\r\n\rX"),
    R(FIELD_NAME, "the next request without the last CRLF", CHUNK "0\r\n" GET),
    R(TRAILER, "Content-Length in trailers",
      CHUNK "0\r\nContent-Length: 5\r\n\r\n"),
    R(TRAILER, "Transfer-Encoding in trailers",
      CHUNK "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    R(TRAILER, "Host in trailers", CHUNK "0\r\nHost: a\r\n\r\n"),
    R(TRAILER, "Content-Type in trailers",
      CHUNK "0\r\nContent-Type: a/b\r\n\r\n"),
    R(TRAILER, "Authorization in trailers",
      CHUNK "0\r\nAuthorization: Basic YQ==\r\n\r\n"),
    R(FIELD_TWIN, "Content_Length in trailers",
      CHUNK "0\r\nContent_Length: 5\r\n\r\n"),
    R(FIELD_FOLDED, "a folded trailer", CHUNK "0\r\nA: b\r\n c\r\n\r\n"),
    R(FIELD_NAME, "a space before a trailer's colon",
      CHUNK "0\r\nA : b\r\n\r\n"),
    R(FIELD_VALUE, "NUL in a trailer", CHUNK "0\r\nA: \0\r\n\r\n"),
};

static const struct guaco_http_limits limits = GUACO_HTTP_LIMITS_DEFAULT;

static void
assert_rejected(const struct reject *reject, size_t first, size_t step,
                const struct h1_trace *whole)
{
    static struct h1_trace trace;

    h1_trace_run(&trace, &limits, reject->bytes, reject->len, first, step);
    assert_string_equal(guaco_http_fault_text(trace.fault),
                        guaco_http_fault_text(reject->fault));
    assert_true(trace.rc == GUACO_E_PROTO || trace.rc == GUACO_E_LIMIT);
    if (whole != NULL)
        assert_string_equal(trace.text, whole->text);
}

static void
is_rejected_in_any_split(void **state)
{
    static struct h1_trace whole;
    const struct reject *reject = *state;

    h1_trace_run(&whole, &limits, reject->bytes, reject->len, 0, 0);
    assert_rejected(reject, 0, 0, NULL);
    assert_rejected(reject, 0, 1, &whole);
    for (size_t cut = 1; cut < reject->len; cut++)
        assert_rejected(reject, cut, 0, &whole);
}

int
main(void)
{
    enum { COUNT = sizeof(rejects) / sizeof(rejects[0]) };
    struct CMUnitTest tests[COUNT];

    for (size_t i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = rejects[i].name,
            .test_func = is_rejected_in_any_split,
            .initial_state = (void *)(uintptr_t)&rejects[i],
        };
    return cmocka_run_group_tests_name("requests that are refused", tests, NULL,
                                       NULL);
}
