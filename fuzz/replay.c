/* Run a fuzz target's entry point over every file of a folder, whole and cut at
 * each of its first lengths: how the normal tests keep what fuzzing found. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_BYTES_MAX = 1 << 20, CUTS_MAX = 256 };

/* In an allocation of its own size, so that a sanitizer sees the first byte
 * that is read behind it. */
static int
run_one(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (copy == NULL)
        return 1;
    memcpy(copy, data, len);
    int rc = LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    return rc;
}

static int
replay(const char *folder, const char *name, uint8_t *room)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t len = fread(room, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    int failed = 0;
    for (size_t cut = 0; cut < len && cut < CUTS_MAX; cut++)
        failed |= run_one(room, cut);
    return failed | run_one(room, len);
}

int
main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    int failed = 0;
    int count = 0;

    if (folder == NULL || room == NULL) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        failed |= replay(argv[1], entry->d_name, room);
        count++;
    }
    closedir(folder);
    free(room);
    printf("%d inputs\n", count);
    return failed || count == 0;
}
