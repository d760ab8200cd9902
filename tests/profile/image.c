#include "image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

char *
image_add(struct image *image, uint64_t address, size_t len)
{
    assert(image->count < sizeof image->ranges / sizeof image->ranges[0]);
    assert(len <= sizeof image->ranges[0].bytes);

    size_t i = image->count++;
    image->ranges[i].address = address;
    image->ranges[i].len = len;
    memset(image->ranges[i].bytes, 0, len);
    return image->ranges[i].bytes;
}

void
image_word(char *at, size_t offset, uint64_t word, size_t bytes)
{
    memcpy(at + offset, &word, bytes);
}

struct guaco__vmem *
image_open(const struct image *image)
{
    static char file[1 << 17];
    uint32_t head[2] = {1, (uint32_t)image->count};
    size_t at = 16 + image->count * 16;
    struct guaco__vmem *memory = NULL;

    memcpy(file, "GUACOMEM", 8);
    memcpy(file + 8, head, 8);
    for (size_t i = 0; i < image->count; i++) {
        uint64_t entry[2] = {image->ranges[i].address, image->ranges[i].len};
        memcpy(file + 16 + i * 16, entry, 16);
        memcpy(file + at, image->ranges[i].bytes, image->ranges[i].len);
        at += image->ranges[i].len;
    }
    return guaco__vmem_of_fixture(&memory, file, at, NULL) == GUACO_OK ? memory
                                                                       : NULL;
}
