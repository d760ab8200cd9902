/*
 * Fuzz the names of static files: what is let through stays below the folder,
 * whatever the file system makes of it, and has no dot in front.
 */

#include "fuzz.h"

#include <string.h>

#include "http/file_path.h"
#include "http/media_type.h"

static void
check_path(const char *path, bool has_dots)
{
    MUST(path[0] != '/');
    while (*path != '\0') {
        size_t len = strcspn(path, "/");

        MUST(len > 0);
        MUST(!(len == 1 && path[0] == '.'));
        MUST(!(len == 2 && path[0] == '.' && path[1] == '.'));
        MUST(has_dots || path[0] != '.' ||
             strncmp(path, ".well-known", 11) == 0);
        path += len;
        if (*path == '/') {
            path++;
            MUST(*path != '\0');
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[GUACO__FILE_PATH_BYTES];
    bool is_folder;

    if (size < 1 || size > 4096)
        return 0;

    char *copy = malloc(size);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    copy[0] = '/';
    bool has_dots = (data[0] & 1) != 0;
    struct guaco_slice rest = {copy, size};
    int status = guaco__file_path(rest, has_dots, path, &is_folder);
    MUST(status == 0 || status == 400 || status == 404);
    if (status == 0) {
        struct guaco_slice name = {path, strlen(path)};

        MUST(name.len < size);
        check_path(path, has_dots);
        MUST(is_folder == (copy[size - 1] == '/'));
        MUST(guaco__media_type_of(name).len > 0);
        guaco__file_is_hashed(name);
    }
    free(copy);
    return 0;
}
