/* Run a fuzz target's entry point over every file of a folder: how the normal
 * tests keep what fuzzing found. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 1 << 20 };

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
    return LLVMFuzzerTestOneInput(room, len);
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
