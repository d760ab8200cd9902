/*
 * Fuzz the reader of ELF files.  What it answers lies in the file, whatever the
 * file says.
 */

#include "fuzz.h"

#include "profile/elf_file.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guaco_slice image = {(const char *)data, size};
    struct guaco__elf elf;
    struct guaco__elf_place place = {0, 0};
    uint64_t bias;

    int rc = guaco__elf_open(&elf, image, NULL);
    MUST(rc == GUACO_OK || rc == GUACO_E_PROTO);
    if (rc != GUACO_OK)
        return 0;
    rc = guaco__elf_symbol(&elf, "_PyRuntime", &place);
    MUST(rc == GUACO_OK || rc == GUACO_E_MISSING);
    rc = guaco__elf_section(&elf, ".PyRuntime", &place);
    MUST(rc == GUACO_OK || rc == GUACO_E_MISSING);
    guaco__elf_bias(&elf, 0x7f0000000000, 0, &bias);
    struct guaco_slice bytes = guaco__elf_bytes(&elf, place.address, 4);
    if (bytes.at != NULL) {
        MUST(bytes.at >= image.at && bytes.len >= 4);
        MUST(bytes.at + bytes.len <= image.at + image.len);
    }
    return 0;
}
