/*
 * A C program that enqueues what somebody else runs, Python or C, and waits for
 * the result:
 *
 *     enqueue sqlite:///tasks.db c tasks.add 2 3
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guaco/broker.h"
#include "guaco/payload.h"

#define ARGUMENTS_MAX 16
#define WAIT_MS       10000

static struct guaco_slice
slice_of(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

/* A number, else a text. */
static struct guaco_value
value_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *text != '\0' && *end == '\0' ? guaco_value_int(number)
                                         : guaco_value_text(slice_of(text));
}

static int
print_result(const struct guaco_result *result)
{
    struct guaco_value value;

    if (result->state != GUACO_TASK_DONE ||
        guaco_payload_read(result->body, &value) != GUACO_OK) {
        fprintf(stderr, "it ended in state %d\n", (int)result->state);
        return 1;
    }
    switch (value.kind) {
    case GUACO_VALUE_INT: printf("%lld\n", (long long)value.integer); break;
    case GUACO_VALUE_REAL: printf("%g\n", value.real); break;
    case GUACO_VALUE_TEXT:
        printf("%.*s\n", (int)value.bytes.len, value.bytes.at);
        break;
    case GUACO_VALUE_BOOL: puts(value.integer != 0 ? "True" : "False"); break;
    case GUACO_VALUE_NONE: puts("None"); break;
    case GUACO_VALUE_BYTES:
    case GUACO_VALUE_OTHER: printf("%zu bytes\n", value.bytes.len); break;
    }
    return 0;
}

static int
run(struct guaco_broker *broker, char **words, int count,
    struct guaco_error *err)
{
    struct guaco_value args[ARGUMENTS_MAX];
    unsigned char body[4096];
    struct guaco_task task = {.queue = slice_of(words[0]),
                              .name = slice_of(words[1])};
    struct guaco_news news;
    uint64_t id;
    size_t len;
    size_t n = 0;

    for (; n < ARGUMENTS_MAX && (int)n < count - 2; n++)
        args[n] = value_of(words[n + 2]);
    int rc = guaco_payload_arguments(args, n, NULL, 0, body, sizeof body, &len);
    if (rc != GUACO_OK)
        return rc;
    task.body = (struct guaco_slice){(char *)body, len};
    rc = guaco_broker_put(broker, &task, 1, &id, err);
    if (rc == GUACO_OK)
        rc = guaco_broker_wait(broker, id, true, WAIT_MS, &news, err);
    if (rc != GUACO_OK)
        return rc;
    int code = print_result(news.result);
    guaco_news_release(&news);
    return code;
}

int
main(int argc, char **argv)
{
    struct guaco_broker *broker = NULL;
    struct guaco_error err = {0};

    if (argc < 4) {
        fprintf(stderr, "usage: enqueue URL QUEUE TASK [ARGUMENT ...]\n");
        return 2;
    }
    int rc = guaco_broker_open(&broker, argv[1], &err);
    if (rc == GUACO_OK)
        rc = run(broker, argv + 2, argc - 2, &err);
    guaco_broker_close(broker);
    if (rc < 0)
        fprintf(stderr, "enqueue: %s\n", err.text);
    return rc < 0 ? 1 : rc;
}
