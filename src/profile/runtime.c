/* Finding the interpreter: the order of the search is in runtime.h. */

#include "runtime.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_file.h"
#include "map_file.h"

/* ---- the version ---------------------------------------------------------- */

/* Symbols that came with a version: the newest that is there tells it. */
static const struct {
    const char *symbol;
    uint32_t version;
} fingerprints[] = {
    {"PyDict_ContainsString", GUACO__VERSION(3, 13)},
    {"PyErr_GetRaisedException", GUACO__VERSION(3, 12)},
    {"PyFrame_GetLasti", GUACO__VERSION(3, 11)},
    {"Py_Is", GUACO__VERSION(3, 10)},
    {"PyFrame_GetCode", GUACO__VERSION(3, 9)},
};

static uint32_t
version_by_symbols(const struct guaco__elf *elf)
{
    struct guaco__elf_place place;

    for (size_t i = 0; i < sizeof fingerprints / sizeof fingerprints[0]; i++)
        if (guaco__elf_symbol(elf, fingerprints[i].symbol, &place) == GUACO_OK)
            return fingerprints[i].version;
    return GUACO__VERSION(3, 8);
}

/* "libpython3.8.so.1.0" and "python3.8" say it; 0 when the name does not. */
static uint32_t
version_by_name(struct guaco_slice path)
{
    static const char word[] = "python3.";
    const size_t len = sizeof word - 1;

    for (size_t i = path.len; i-- > 0 && path.at[i] != '/';) {
        if (path.len - i <= len || memcmp(path.at + i, word, len) != 0)
            continue;
        uint32_t minor = 0;
        size_t at = i + len;
        while (at < path.len && path.at[at] >= '0' && path.at[at] <= '9' &&
               minor < 100)
            minor = minor * 10 + (uint32_t)(path.at[at++] - '0');
        if (at > i + len && minor < 256)
            return GUACO__VERSION(3, minor);
    }
    return 0;
}

/* Py_Version is exported from 3.11 on, a constant in the file itself. */
static uint32_t
version_by_constant(const struct guaco__elf *elf)
{
    struct guaco__elf_place place;
    uint32_t hex;

    if (guaco__elf_symbol(elf, "Py_Version", &place) != GUACO_OK)
        return 0;
    struct guaco_slice bytes = guaco__elf_bytes(elf, place.address, sizeof hex);
    if (bytes.at == NULL)
        return 0;
    memcpy(&hex, bytes.at, sizeof hex);
    return hex;
}

/* ---- one file -------------------------------------------------------------- */

static int
layout_published(struct guaco__runtime *runtime, struct guaco__vmem *memory,
                 struct guaco_error *err)
{
    char head[GUACO__DEBUG_OFFSETS_BYTES];
    struct guaco_slice slice = {head, sizeof head};

    int rc = guaco__vmem_get(memory, runtime->address, head, sizeof head);
    if (rc != GUACO_OK)
        return guaco_fail(err, rc, 0, "_PyRuntime cannot be read");
    rc = guaco__layout_debug_version(slice, &runtime->hexversion);
    return rc == GUACO_OK ? guaco__layout_debug(&runtime->layout, slice, err)
                          : rc;
}

static int
layout_of_version(struct guaco__runtime *runtime, const struct guaco__elf *elf,
                  struct guaco_slice path, struct guaco_error *err)
{
    runtime->hexversion = version_by_constant(elf);
    uint32_t version = runtime->hexversion >> 16;
    if (version == 0)
        version = version_by_name(path);
    if (version == 0)
        version = version_by_symbols(elf);
    if (runtime->hexversion == 0)
        runtime->hexversion = version << 16;

    const struct guaco__layout *fixed = guaco__layout_fixed(version);
    if (fixed == NULL)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "Python %u.%u is not among the known versions "
                          "(3.8 to 3.15)",
                          version >> 8, version & 255u);
    runtime->layout = *fixed;
    return GUACO_OK;
}

int
guaco__runtime_in_file(struct guaco__runtime *runtime,
                       struct guaco__vmem *memory, struct guaco_slice image,
                       uint64_t mapped_at, uint64_t offset,
                       struct guaco_slice path, struct guaco_error *err)
{
    struct guaco__elf elf;
    struct guaco__elf_place place;
    uint64_t bias;

    if (guaco__elf_open(&elf, image, NULL) != GUACO_OK)
        return GUACO_E_MISSING;
    if (guaco__elf_symbol(&elf, "_PyRuntime", &place) != GUACO_OK &&
        guaco__elf_section(&elf, ".PyRuntime", &place) != GUACO_OK) {
        if (guaco__elf_symbol(&elf, "_PyThreadState_Current", &place) !=
            GUACO_OK)
            return GUACO_E_MISSING;
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "Python before 3.7 is not among the known versions "
                          "(3.8 to 3.15)");
    }
    if (guaco__elf_bias(&elf, mapped_at, offset, &bias) != GUACO_OK)
        return GUACO_E_MISSING;

    *runtime = (struct guaco__runtime){.address = place.address + bias};
    int rc = layout_published(runtime, memory, err);
    if (rc == GUACO_E_MISSING)
        rc = layout_of_version(runtime, &elf, path, err);
    return rc;
}

/* ---- the files of a process ------------------------------------------------ */

enum rank { RANK_EXECUTABLE, RANK_NAMED, RANK_OTHER, RANK_COUNT };

static bool
holds(struct guaco_slice path, const char *word)
{
    return memmem(path.at, path.len, word, strlen(word)) != NULL;
}

static enum rank
rank_of(const struct guaco__mapping *map, struct guaco_slice executable)
{
    if (guaco_slice_equals(map->path, executable))
        return RANK_EXECUTABLE;
    return holds(map->path, "libpython") ? RANK_NAMED : RANK_OTHER;
}

/* The file of a mapping, to be unmapped; empty where it cannot be read. */
static struct guaco_slice
map_image(int pid, const struct guaco__mapping *map, struct guaco_slice program)
{
    struct guaco_slice image = {NULL, 0};
    int fd = guaco__map_open(pid, map, program);

    if (fd < 0)
        return image;
    image = guaco__map_image(fd);
    close(fd);
    return image;
}

static int
try_map(struct guaco__runtime *runtime, int pid, struct guaco__vmem *memory,
        const struct guaco__mapping *map, struct guaco_slice program,
        struct guaco_error *err)
{
    struct guaco_slice image = map_image(pid, map, program);
    if (image.at == NULL)
        return GUACO_E_MISSING;
    int rc = guaco__runtime_in_file(runtime, memory, image, map->start,
                                    map->offset, map->path, err);
    munmap((void *)(uintptr_t)image.at, image.len);
    return rc;
}

static int
section_in_map(int pid, const struct guaco__mapping *map,
               struct guaco_slice program, const char *name, uint64_t *address)
{
    struct guaco_slice image = map_image(pid, map, program);
    struct guaco__elf elf;
    struct guaco__elf_place place;
    uint64_t bias;

    if (image.at == NULL)
        return GUACO_E_MISSING;
    int rc = guaco__elf_open(&elf, image, NULL);
    if (rc == GUACO_OK)
        rc = guaco__elf_section(&elf, name, &place);
    if (rc == GUACO_OK)
        rc = guaco__elf_bias(&elf, map->start, map->offset, &bias);
    if (rc == GUACO_OK)
        *address = place.address + bias;
    munmap((void *)(uintptr_t)image.at, image.len);
    return rc == GUACO_OK ? GUACO_OK : GUACO_E_MISSING;
}

/* The first mapping of each file of this rank: a file's mappings lie one
 * behind the other. */
static int
try_rank(struct guaco__runtime *runtime, int pid, struct guaco__vmem *memory,
         const struct guaco__mappings *maps, struct guaco_slice executable,
         enum rank rank, struct guaco_error *err)
{
    struct guaco_slice last = {NULL, 0};

    for (size_t i = 0; i < maps->count; i++) {
        const struct guaco__mapping *map = &maps->at[i];
        if (!guaco__map_is_file(map) || guaco_slice_equals(map->path, last))
            continue;
        last = map->path;
        if (rank_of(map, executable) != rank)
            continue;
        int rc = try_map(runtime, pid, memory, map, executable, err);
        if (rc != GUACO_E_MISSING)
            return rc;
    }
    return GUACO_E_MISSING;
}

int
guaco__runtime_find(struct guaco__runtime *runtime, int pid,
                    struct guaco__vmem *memory, struct guaco_error *err)
{
    struct guaco__mappings maps;
    char link[PATH_MAX];

    int rc = guaco__maps_read(&maps, pid, err);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_slice executable = guaco__map_program(pid, link, sizeof link);
    rc = GUACO_E_MISSING;
    for (int rank = 0; rank < RANK_COUNT && rc == GUACO_E_MISSING; rank++)
        rc = try_rank(runtime, pid, memory, &maps, executable, (enum rank)rank,
                      err);
    guaco__mappings_release(&maps);
    if (rc == GUACO_E_MISSING)
        return guaco_fail(err, rc, 0, "process %d runs no Python", pid);
    return rc;
}

int
guaco__section_find(int pid, const char *name, const char *word,
                    uint64_t *address, struct guaco_error *err)
{
    struct guaco__mappings maps;
    struct guaco_slice last = {NULL, 0};
    char link[PATH_MAX];

    int rc = guaco__maps_read(&maps, pid, err);
    if (rc != GUACO_OK)
        return rc;
    struct guaco_slice executable = guaco__map_program(pid, link, sizeof link);
    rc = GUACO_E_MISSING;
    for (size_t i = 0; i < maps.count && rc == GUACO_E_MISSING; i++) {
        const struct guaco__mapping *map = &maps.at[i];
        if (!guaco__map_is_file(map) || guaco_slice_equals(map->path, last))
            continue;
        last = map->path;
        enum rank rank = rank_of(map, executable);
        if (rank != RANK_OTHER || holds(map->path, word))
            rc = section_in_map(pid, map, executable, name, address);
    }
    guaco__mappings_release(&maps);
    return rc;
}
