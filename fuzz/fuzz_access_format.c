/*
 * Fuzz the access log's formats: the input is a format, a newline, and what a
 * client sent.  Whatever it is, a line is one line, within its limit.
 */

#include "fuzz.h"

#include "server/access_format.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char out[GUACO__ACCESS_LINE_MAX];
    static struct guaco__access_format format;
    struct guaco_error err = {0};
    const char *text = (const char *)data;
    const char *cut = size == 0 ? NULL : memchr(text, '\n', size);
    char name[2 * GUACO__ACCESS_TEXT_MAX];

    if (cut == NULL || (size_t)(cut - text) >= sizeof name)
        return 0;
    memcpy(name, text, (size_t)(cut - text));
    name[cut - text] = '\0';
    if (guaco__access_format_read(&format, name, &err) < 0) {
        MUST(err.text[0] != '\0');
        return 0;
    }
    struct guaco_slice said = {cut + 1, size - (size_t)(cut + 1 - text)};
    struct guaco_field field = {.name = said, .value = said};
    struct guaco_peer peer = {.client_host = "::1"};
    struct guaco_request request = {
        .path = said, .query = said, .fields = &field, .field_count = 1};
    struct guaco__access_entry entry = {.peer = &peer,
                                        .request = &request,
                                        .method = said,
                                        .target = said,
                                        .status = 200,
                                        .stamp = "[]",
                                        .time = ""};
    char *end = guaco__access_format_put(&format, &entry, out);
    MUST(end > out && end <= out + sizeof out);
    MUST(memchr(out, '\n', (size_t)(end - out)) == end - 1);
    return 0;
}
