#ifndef GUACO_TEST_PROFILE_IMAGE_H
#define GUACO_TEST_PROFILE_IMAGE_H

/* Memory of a process that never was: ranges put together by hand and read
 * through a fixture.  Ranges are added in ascending order. */

#include <stddef.h>
#include <stdint.h>

#include "profile/memory.h"

struct image {
    struct {
        uint64_t address;
        char bytes[4096];
        size_t len;
    } ranges[16];
    size_t count;
};

/* A range of `len` zero bytes; gives its bytes to be filled in. */
char *image_add(struct image *image, uint64_t address, size_t len);

void image_word(char *at, size_t offset, uint64_t word, size_t bytes);

/* The memory, or NULL when out of memory. */
struct guaco__vmem *image_open(const struct image *image);

#endif
