/* ELF files: the contract is in elf_file.h. */

#include "elf_file.h"

#include <elf.h>
#include <string.h>

/* Segments and sections past these counts are not believed. */
#define SEGMENTS_MAX 512u
#define SECTIONS_MAX 65535u
#define PAGE_BYTES   UINT64_C(4096)

/* Copy a struct out of the image, which need not be aligned there. */
static bool
get(const struct guaco__elf *elf, uint64_t offset, void *to, size_t len)
{
    if (len > elf->image.len || offset > elf->image.len - len)
        return false;
    memcpy(to, elf->image.at + offset, len);
    return true;
}

static struct guaco_slice
cut(const struct guaco__elf *elf, uint64_t offset, uint64_t len)
{
    struct guaco_slice none = {NULL, 0};

    if (len > elf->image.len || offset > elf->image.len - len)
        return none;
    return (struct guaco_slice){elf->image.at + offset, (size_t)len};
}

static bool
segment_get(const struct guaco__elf *elf, uint32_t i, Elf64_Phdr *segment)
{
    return get(elf, elf->segment_offset + (uint64_t)i * sizeof *segment,
               segment, sizeof *segment);
}

static bool
section_get(const struct guaco__elf *elf, uint32_t i, Elf64_Shdr *section)
{
    return get(elf, elf->section_offset + (uint64_t)i * sizeof *section,
               section, sizeof *section);
}

/* Whether the NUL-terminated string at `offset` of a table is `name`. */
static bool
is_named(struct guaco_slice table, uint64_t offset, const char *name)
{
    size_t len = strlen(name) + 1;

    return offset <= table.len && len <= table.len - offset &&
           memcmp(table.at + offset, name, len) == 0;
}

static bool
head_is_ours(const Elf64_Ehdr *head)
{
    return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
           head->e_ident[EI_CLASS] == ELFCLASS64 &&
           head->e_ident[EI_DATA] == ELFDATA2LSB &&
           head->e_phentsize == sizeof(Elf64_Phdr) &&
           head->e_phnum <= SEGMENTS_MAX;
}

int
guaco__elf_open(struct guaco__elf *elf, struct guaco_slice image,
                struct guaco_error *err)
{
    Elf64_Ehdr head;
    Elf64_Shdr names;

    *elf = (struct guaco__elf){.image = image};
    if (!get(elf, 0, &head, sizeof head) || !head_is_ours(&head))
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "not a 64-bit little-endian ELF file");
    elf->segment_offset = head.e_phoff;
    elf->segment_count = head.e_phnum;
    if (cut(elf, head.e_phoff, (uint64_t)head.e_phnum * sizeof(Elf64_Phdr))
            .at == NULL)
        return guaco_fail(err, GUACO_E_PROTO, 0,
                          "ELF file with segments outside of it");
    /* A file without section headers is a good file. */
    if (head.e_shentsize != sizeof(Elf64_Shdr) ||
        cut(elf, head.e_shoff, (uint64_t)head.e_shnum * sizeof names).at ==
            NULL)
        return GUACO_OK;
    elf->section_offset = head.e_shoff;
    elf->section_count = head.e_shnum;
    if (head.e_shstrndx < head.e_shnum &&
        section_get(elf, head.e_shstrndx, &names))
        elf->section_names = cut(elf, names.sh_offset, names.sh_size);
    return GUACO_OK;
}

int
guaco__elf_section(const struct guaco__elf *elf, const char *name,
                   struct guaco__elf_place *place)
{
    for (uint32_t i = 0; i < elf->section_count; i++) {
        Elf64_Shdr section;
        if (!section_get(elf, i, &section))
            break;
        if (is_named(elf->section_names, section.sh_name, name)) {
            *place =
                (struct guaco__elf_place){section.sh_addr, section.sh_size};
            return GUACO_OK;
        }
    }
    return GUACO_E_MISSING;
}

struct guaco_slice
guaco__elf_bytes(const struct guaco__elf *elf, uint64_t address, size_t len)
{
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        Elf64_Phdr segment;
        if (!segment_get(elf, i, &segment))
            break;
        if (segment.p_type != PT_LOAD || address < segment.p_vaddr)
            continue;
        uint64_t skip = address - segment.p_vaddr;
        if (skip > segment.p_filesz || len > segment.p_filesz - skip ||
            skip > UINT64_MAX - segment.p_offset)
            continue;
        struct guaco_slice all = cut(elf, segment.p_offset, segment.p_filesz);
        if (all.at != NULL)
            return (struct guaco_slice){all.at + skip, all.len - (size_t)skip};
    }
    return (struct guaco_slice){NULL, 0};
}

int
guaco__elf_bias(const struct guaco__elf *elf, uint64_t address, uint64_t offset,
                uint64_t *bias)
{
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        Elf64_Phdr segment;
        if (!segment_get(elf, i, &segment))
            break;
        /* The kernel maps whole pages around what the segment says. */
        uint64_t begin = segment.p_offset & ~(PAGE_BYTES - 1);
        if (segment.p_type != PT_LOAD || offset < begin ||
            offset - begin >= segment.p_filesz + PAGE_BYTES)
            continue;
        *bias = address - (segment.p_vaddr - segment.p_offset + offset);
        return GUACO_OK;
    }
    return GUACO_E_MISSING;
}

/* ---- symbols ------------------------------------------------------------ */

/* The tables that PT_DYNAMIC names. */
struct dynamic {
    struct guaco_slice hash, symbols, strings;
};

static bool
dynamic_read(const struct guaco__elf *elf, struct guaco_slice entries,
             struct dynamic *dynamic)
{
    uint64_t hash = 0, symbols = 0, strings = 0;

    for (size_t at = 0; at + sizeof(Elf64_Dyn) <= entries.len;
         at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        memcpy(&entry, entries.at + at, sizeof entry);
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_GNU_HASH)
            hash = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_SYMTAB)
            symbols = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_STRTAB)
            strings = entry.d_un.d_ptr;
    }
    dynamic->hash = guaco__elf_bytes(elf, hash, 16);
    dynamic->symbols = guaco__elf_bytes(elf, symbols, sizeof(Elf64_Sym));
    dynamic->strings = guaco__elf_bytes(elf, strings, 1);
    return hash != 0 && dynamic->hash.at != NULL &&
           dynamic->symbols.at != NULL && dynamic->strings.at != NULL;
}

static bool
dynamic_find(const struct guaco__elf *elf, struct dynamic *dynamic)
{
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        Elf64_Phdr segment;
        if (!segment_get(elf, i, &segment))
            break;
        if (segment.p_type == PT_DYNAMIC)
            return dynamic_read(
                elf, cut(elf, segment.p_offset, segment.p_filesz), dynamic);
    }
    return false;
}

static uint32_t
gnu_hash(const char *name)
{
    uint32_t h = 5381;

    for (; *name != '\0'; name++)
        h = h * 33 + (unsigned char)*name;
    return h;
}

static bool
word_at(struct guaco_slice table, uint64_t index, uint32_t *word)
{
    if (index >= table.len / sizeof *word)
        return false;
    memcpy(word, table.at + index * sizeof *word, sizeof *word);
    return true;
}

static bool
symbol_is(struct guaco_slice symbols, struct guaco_slice strings,
          uint64_t index, const char *name, struct guaco__elf_place *place)
{
    Elf64_Sym symbol;

    if (index >= symbols.len / sizeof symbol)
        return false;
    memcpy(&symbol, symbols.at + index * sizeof symbol, sizeof symbol);
    if (symbol.st_shndx == SHN_UNDEF ||
        !is_named(strings, symbol.st_name, name))
        return false;
    *place = (struct guaco__elf_place){symbol.st_value, symbol.st_size};
    return true;
}

/* The bloom filter is skipped: it saves time for absent names only. */
static bool
symbol_by_hash(const struct dynamic *d, const char *name,
               struct guaco__elf_place *place)
{
    uint32_t buckets, first, bloom, index, link;
    uint32_t want = gnu_hash(name);

    if (!word_at(d->hash, 0, &buckets) || !word_at(d->hash, 1, &first) ||
        !word_at(d->hash, 2, &bloom) || buckets == 0)
        return false;
    uint64_t bucket_at = 4 + (uint64_t)bloom * 2;
    uint64_t chain_at = bucket_at + buckets;
    if (!word_at(d->hash, bucket_at + want % buckets, &index) || index < first)
        return false;
    for (;; index++) {
        if (!word_at(d->hash, chain_at + (index - first), &link))
            return false;
        if ((link | 1) == (want | 1) &&
            symbol_is(d->symbols, d->strings, index, name, place))
            return true;
        if (link & 1)
            return false;
    }
}

static bool
symbol_by_scan(const struct guaco__elf *elf, uint32_t type, const char *name,
               struct guaco__elf_place *place)
{
    for (uint32_t i = 0; i < elf->section_count; i++) {
        Elf64_Shdr table, names;
        if (!section_get(elf, i, &table))
            break;
        if (table.sh_type != type || table.sh_link >= elf->section_count ||
            !section_get(elf, table.sh_link, &names))
            continue;
        struct guaco_slice symbols = cut(elf, table.sh_offset, table.sh_size);
        struct guaco_slice strings = cut(elf, names.sh_offset, names.sh_size);
        for (size_t n = 0; n < symbols.len / sizeof(Elf64_Sym); n++)
            if (symbol_is(symbols, strings, n, name, place))
                return true;
    }
    return false;
}

int
guaco__elf_symbol(const struct guaco__elf *elf, const char *name,
                  struct guaco__elf_place *place)
{
    struct dynamic dynamic;

    if (dynamic_find(elf, &dynamic)) {
        if (symbol_by_hash(&dynamic, name, place))
            return GUACO_OK;
    } else if (symbol_by_scan(elf, SHT_DYNSYM, name, place)) {
        return GUACO_OK;
    }
    return symbol_by_scan(elf, SHT_SYMTAB, name, place) ? GUACO_OK
                                                        : GUACO_E_MISSING;
}
