/* A small ELF file made here, this program's own, and broken ones. */

#include "test.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "os/file.h"
#include "profile/elf_file.h"

/* One segment of the whole file at 0x10000, a symbol in each of two tables
 * (the dynamic one by hash), and a section. */
struct file {
    Elf64_Ehdr head;
    Elf64_Phdr segments[2];
    Elf64_Shdr sections[5];
    Elf64_Dyn dynamic[4];
    Elf64_Sym hashed[2], scanned[2];
    uint32_t hash[4 + 2 + 1 + 1];
    char names[64];
};

#define BASE     UINT64_C(0x10000)
#define AT(m)    offsetof(struct file, m)
#define NAMES    "\0.PyRuntime\0_PyRuntime\0Py_Version\0"
#define N_SECT   1
#define N_HASHED 12
#define N_STATIC 23

static uint32_t
gnu_hash(const char *name)
{
    uint32_t h = 5381;

    while (*name != '\0')
        h = h * 33 + (unsigned char)*name++;
    return h;
}

static void
make(struct file *f)
{
    memset(f, 0, sizeof *f);
    memcpy(f->head.e_ident, ELFMAG, SELFMAG);
    f->head.e_ident[EI_CLASS] = ELFCLASS64;
    f->head.e_ident[EI_DATA] = ELFDATA2LSB;
    f->head.e_phoff = AT(segments);
    f->head.e_phnum = 2;
    f->head.e_phentsize = sizeof(Elf64_Phdr);
    f->head.e_shoff = AT(sections);
    f->head.e_shnum = 5;
    f->head.e_shentsize = sizeof(Elf64_Shdr);
    f->head.e_shstrndx = 1;
    f->segments[0] =
        (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = BASE, .p_filesz = sizeof *f};
    f->segments[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                                  .p_offset = AT(dynamic),
                                  .p_filesz = sizeof f->dynamic};
    f->sections[1] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                                  .sh_offset = AT(names),
                                  .sh_size = sizeof f->names};
    f->sections[2] = (Elf64_Shdr){
        .sh_name = N_SECT, .sh_addr = BASE + 0x500, .sh_size = 0x600};
    f->sections[3] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                  .sh_offset = AT(scanned),
                                  .sh_size = sizeof f->scanned,
                                  .sh_link = 1};
    memcpy(f->names, NAMES, sizeof NAMES);
    f->dynamic[0] = (Elf64_Dyn){DT_GNU_HASH, {BASE + AT(hash)}};
    f->dynamic[1] = (Elf64_Dyn){DT_SYMTAB, {BASE + AT(hashed)}};
    f->dynamic[2] = (Elf64_Dyn){DT_STRTAB, {BASE + AT(names)}};
    f->hashed[1] = (Elf64_Sym){
        .st_name = N_HASHED, .st_shndx = 2, .st_value = BASE + 8, .st_size = 9};
    f->scanned[1] = (Elf64_Sym){
        .st_name = N_STATIC, .st_shndx = 2, .st_value = BASE, .st_size = 4};
    const uint32_t hash[] = {1, 1, 1, 0, 0, 0, 1, gnu_hash("_PyRuntime") | 1};
    memcpy(f->hash, hash, sizeof hash);
}

static struct guaco_slice
image_of(const struct file *f)
{
    return (struct guaco_slice){(const char *)f, sizeof *f};
}

static void
symbols_are_found_in_both_tables(void **state)
{
    struct file f;
    struct guaco__elf elf;
    struct guaco__elf_place place;

    (void)state;
    make(&f);
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), 0);
    assert_int_equal(guaco__elf_symbol(&elf, "_PyRuntime", &place), 0);
    assert_int_equal(place.address, BASE + 8);
    assert_int_equal(place.bytes, 9);
    assert_int_equal(guaco__elf_symbol(&elf, "Py_Version", &place), 0);
    assert_int_equal(place.address, BASE);
    assert_int_equal(guaco__elf_symbol(&elf, "Py_Main", &place),
                     GUACO_E_MISSING);
}

static void
sections_and_bytes_are_found(void **state)
{
    struct file f;
    struct guaco__elf elf;
    struct guaco__elf_place place;

    (void)state;
    make(&f);
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), 0);
    assert_int_equal(guaco__elf_section(&elf, ".PyRuntime", &place), 0);
    assert_int_equal(place.address, BASE + 0x500);
    assert_int_equal(place.bytes, 0x600);
    assert_int_equal(guaco__elf_section(&elf, ".text", &place),
                     GUACO_E_MISSING);

    struct guaco_slice bytes = guaco__elf_bytes(&elf, BASE, 4);
    assert_memory_equal(bytes.at, ELFMAG, SELFMAG);
    assert_null(guaco__elf_bytes(&elf, BASE - 1, 1).at);
    assert_null(guaco__elf_bytes(&elf, BASE + sizeof f, 1).at);
    assert_null(guaco__elf_bytes(&elf, UINT64_MAX, 1).at);
}

static void
the_bias_is_what_the_kernel_added(void **state)
{
    struct file f;
    struct guaco__elf elf;
    uint64_t bias;

    (void)state;
    make(&f);
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), 0);
    assert_int_equal(guaco__elf_bias(&elf, 0x7f0000010000, 0, &bias), 0);
    assert_int_equal(bias, 0x7f0000000000);
    assert_int_equal(guaco__elf_bias(&elf, BASE, 0, &bias), 0);
    assert_int_equal(bias, 0);
    assert_int_equal(guaco__elf_bias(&elf, BASE, 0x100000, &bias),
                     GUACO_E_MISSING);
}

static void
other_files_are_refused(void **state)
{
    struct file f;
    struct guaco__elf elf;

    (void)state;
    for (size_t len = 0; len < sizeof f.head; len++) {
        make(&f);
        struct guaco_slice cut = {(const char *)&f, len};
        assert_int_equal(guaco__elf_open(&elf, cut, NULL), GUACO_E_PROTO);
    }
    make(&f);
    f.head.e_ident[EI_CLASS] = ELFCLASS32;
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), GUACO_E_PROTO);
    make(&f);
    f.head.e_phoff = UINT64_MAX - 8;
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), GUACO_E_PROTO);
    make(&f);
    f.head.e_phnum = 0xffff;
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), GUACO_E_PROTO);
}

/* Ask everything; whatever comes back lies in the image. */
static void
ask_all(struct guaco_slice image)
{
    struct guaco__elf elf;
    struct guaco__elf_place place;
    uint64_t bias;

    if (guaco__elf_open(&elf, image, NULL) != GUACO_OK)
        return;
    guaco__elf_symbol(&elf, "_PyRuntime", &place);
    guaco__elf_symbol(&elf, "Py_Version", &place);
    guaco__elf_section(&elf, ".PyRuntime", &place);
    guaco__elf_bias(&elf, BASE, 0, &bias);
    struct guaco_slice bytes = guaco__elf_bytes(&elf, BASE + 16, 4);
    if (bytes.at != NULL) {
        assert_true(bytes.at >= image.at);
        assert_true(bytes.at + bytes.len <= image.at + image.len);
    }
}

static void
every_byte_may_be_wrong(void **state)
{
    static const unsigned char wrong[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct file f;
    char *copy = malloc(sizeof f); /* of its own size, for the sanitizer */

    (void)state;
    make(&f);
    for (size_t at = 0; at < sizeof f; at++)
        for (size_t w = 0; w < sizeof wrong; w++) {
            memcpy(copy, &f, sizeof f);
            memset(copy + at, wrong[w], at + 8 <= sizeof f && w > 3 ? 8 : 1);
            ask_all((struct guaco_slice){copy, sizeof f});
        }
    free(copy);
}

static void
a_hash_chain_without_end_ends_with_the_file(void **state)
{
    struct file f;
    struct guaco__elf elf;
    struct guaco__elf_place place;

    (void)state;
    make(&f);
    f.hash[7] &= ~1u;
    f.hashed[1].st_name = 0;
    assert_int_equal(guaco__elf_open(&elf, image_of(&f), NULL), 0);
    assert_int_equal(guaco__elf_symbol(&elf, "_PyRuntime", &place),
                     GUACO_E_MISSING);
}

static void
this_program_has_a_main(void **state)
{
    struct guaco__buf image;
    struct guaco__elf elf;
    struct guaco__elf_place place;

    (void)state;
    guaco__buf_init(&image, 1 << 28);
    assert_int_equal(guaco__file_read("/proc/self/exe", &image, NULL), 0);
    assert_int_equal(guaco__elf_open(&elf, guaco__buf_slice(&image), NULL), 0);
    assert_int_equal(guaco__elf_symbol(&elf, "main", &place), 0);
    assert_int_equal(guaco__elf_section(&elf, ".text", &place), 0);
    guaco__buf_release(&image);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_are_found_in_both_tables),
        cmocka_unit_test(sections_and_bytes_are_found),
        cmocka_unit_test(the_bias_is_what_the_kernel_added),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(every_byte_may_be_wrong),
        cmocka_unit_test(a_hash_chain_without_end_ends_with_the_file),
        cmocka_unit_test(this_program_has_a_main),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
