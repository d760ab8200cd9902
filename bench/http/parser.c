/*
 * What parsing a request head costs: the least of many runs, over requests
 * that stand one behind the other in a buffer as pipelining leaves them.
 *
 *     ninja -C BUILD bench/bench_http_parser && BUILD/bench/bench_http_parser
 *
 * The buffer is copied afresh before each run, outside of the time: names are
 * lower-cased in place, and a second pass would find them so already.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guaco/http/parser.h"

enum { REQUESTS = 64, RUNS = 20000, FIELDS = 100 };

static const char hello[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

/* 13 fields, as a browser sends them. */
static const char browser[] =
    "GET /assets/app/main.css?v=20261123 HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, "
    "like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Accept: text/css,*/*;q=0.1\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Sec-Fetch-Dest: style\r\n"
    "Referer: https://www.example.org/articles/2026/11/23/index.html\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,es;q=0.8\r\n"
    "\r\n";

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Parse all; gives the number of requests. */
static int
parse_all(char *data, size_t len)
{
    static const struct guaco_http_limits limits = GUACO_HTTP_LIMITS_DEFAULT;
    struct guaco_http_parser parser;
    struct guaco_field fields[FIELDS];
    uint8_t ids[FIELDS];
    struct guaco_http_head head = {.fields = fields, .ids = ids};
    struct guaco_http_event event;
    int done = 0;

    guaco_http_parser_init(&parser, &limits);
    for (size_t at = 0; at < len; at += event.used) {
        if (guaco_http_parser_next(&parser, data + at, len - at, &head,
                                   &event) != 0)
            abort();
        done += event.type == GUACO_HTTP_HEAD;
    }
    return done;
}

static void
measure(const char *name, const char *request, size_t len)
{
    char *fresh = malloc(len * REQUESTS);
    char *data = malloc(len * REQUESTS);
    uint64_t least = UINT64_MAX;

    if (fresh == NULL || data == NULL)
        abort();
    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(fresh + i * len, request, len);
    for (int run = 0; run < RUNS; run++) {
        memcpy(data, fresh, len * REQUESTS);
        uint64_t start = now_ns();
        int done = parse_all(data, len * REQUESTS);
        uint64_t took = now_ns() - start;
        if (done != REQUESTS)
            abort();
        if (took < least)
            least = took;
    }
    double ns = (double)least / REQUESTS;
    printf("%-8s %4zu bytes  %6.1f ns  %5.2f GB/s\n", name, len, ns,
           (double)len / ns);
    free(fresh);
    free(data);
}

int
main(void)
{
    measure("hello", hello, sizeof(hello) - 1);
    measure("browser", browser, sizeof(browser) - 1);
    return 0;
}
