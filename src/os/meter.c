/* The meters of a tree: the contract is in os/meter.h. */

#include "os/meter.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define METER_MAGIC "guacomt3" /* changes with the layout */
#define METER_SHM   "guaco-meter"
#define LOOKS       8 /* before a call that keeps changing is given up */

struct meters {
    _Alignas(64) char magic[8];
    uint64_t bytes;
    _Alignas(64) _Atomic uint32_t crowd[GUACO__METER_SLOTS];
    _Atomic uint64_t restarts[GUACO__METER_REASONS];
    struct guaco__meter_counts retired;
    struct guaco__meter slots[GUACO__METER_SLOTS];
};

_Static_assert(sizeof(struct guaco__meter_call) == 128, "two lines a call");

#define COUNTS (sizeof(struct guaco__meter_counts) / sizeof(uint64_t))
_Static_assert(COUNTS * sizeof(_Atomic uint64_t) ==
                   sizeof(struct guaco__meter_counts),
               "counts are words and nothing else");

const uint64_t guaco__meter_bounds_us[GUACO__METER_BUCKETS] = {
    500,    1000,   2500,    5000,    10000,   25000,    50000,     100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000, UINT64_MAX};

static const char names[GUACO__METER_METHODS][8] = {
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"};

/* ---- the memory ---- */

static void
set(struct guaco__meters *meters)
{
    struct meters *m = meters->shm.at;

    meters->retired = &m->retired;
    meters->restarts = m->restarts;
    meters->crowd = m->crowd;
    meters->slots = m->slots;
}

int
guaco__meters_open(struct guaco__meters *meters, struct guaco_error *err)
{
    *meters = (struct guaco__meters){.shm = {.fd = -1}};
    int rc = guaco__shm_open_anonymous(&meters->shm, METER_SHM,
                                       sizeof(struct meters), err);
    if (rc != GUACO_OK)
        return rc;

    struct meters *m = meters->shm.at;
    m->bytes = sizeof *m;
    memcpy(m->magic, METER_MAGIC, sizeof m->magic);
    set(meters);
    return GUACO_OK;
}

int
guaco__meters_map(struct guaco__meters *meters, int fd, struct guaco_error *err)
{
    struct stat st;

    *meters = (struct guaco__meters){
        .shm = {.fd = fd, .bytes = sizeof(struct meters)}};
    if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(struct meters)) {
        guaco__shm_close(&meters->shm);
        return guaco_fail(err, GUACO_E_PROTO, 0, "meters of another version");
    }
    void *at = mmap(NULL, sizeof(struct meters), PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        int sys = errno;
        guaco__shm_close(&meters->shm);
        return guaco_fail(err, GUACO_E_IO, sys, "map the meters");
    }
    meters->shm.at = at;
    const struct meters *m = at;
    if (memcmp(m->magic, METER_MAGIC, sizeof m->magic) != 0 ||
        m->bytes != sizeof *m) {
        guaco__meters_close(meters);
        return guaco_fail(err, GUACO_E_PROTO, 0, "meters of another version");
    }
    set(meters);
    return GUACO_OK;
}

void
guaco__meters_close(struct guaco__meters *meters)
{
    guaco__shm_close(&meters->shm);
    meters->retired = NULL;
    meters->restarts = NULL;
    meters->crowd = NULL;
    meters->slots = NULL;
}

/* ---- slots ---- */

int
guaco__meters_take(struct guaco__meters *meters, uint32_t pid)
{
    assert(pid != 0);

    for (int i = 0; meters->slots != NULL && i < GUACO__METER_SLOTS; i++) {
        struct guaco__meter *m = &meters->slots[i];
        uint32_t nobody = 0;
        if (atomic_load_explicit(&m->pid, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&m->pid, &nobody, pid))
            return i;
    }
    return -1;
}

static void
add_counts(struct guaco__meter_counts *to,
           const struct guaco__meter_counts *add)
{
    _Atomic uint64_t *out = (_Atomic uint64_t *)(void *)to;
    const _Atomic uint64_t *in = (const _Atomic uint64_t *)(const void *)add;

    for (size_t i = 0; i < COUNTS; i++)
        atomic_fetch_add_explicit(
            &out[i], atomic_load_explicit(&in[i], memory_order_relaxed),
            memory_order_relaxed);
}

void
guaco__meters_give(struct guaco__meters *meters, int index)
{
    if (index < 0 || meters->slots == NULL)
        return;
    assert(index < GUACO__METER_SLOTS);

    struct guaco__meter *m = &meters->slots[index];
    assert(atomic_load(&m->pid) != 0);
    atomic_store(&meters->crowd[index], 0);
    add_counts(meters->retired, &m->counts);
    memset((char *)m + sizeof m->pid, 0, sizeof *m - sizeof m->pid);
    atomic_store(&m->pid, 0); /* last: it may be taken from here on */
}

void
guaco__meters_sum(const struct guaco__meters *meters,
                  struct guaco__meter_counts *sum)
{
    memset(sum, 0, sizeof *sum);
    if (meters->slots == NULL)
        return;
    add_counts(sum, meters->retired);
    for (size_t i = 0; i < GUACO__METER_SLOTS; i++)
        if (atomic_load_explicit(&meters->slots[i].pid, memory_order_relaxed) !=
            0)
            add_counts(sum, &meters->slots[i].counts);
}

/* ---- requests ---- */

const char *
guaco__meter_method_name(enum guaco__meter_method method)
{
    return method < GUACO__METER_METHODS ? names[method] : "OTHER";
}

enum guaco__meter_method
guaco__meter_method_of(struct guaco_slice method)
{
    for (int i = 0; i < GUACO__METER_OTHER; i++)
        if (strlen(names[i]) == method.len &&
            memcmp(names[i], method.at, method.len) == 0)
            return (enum guaco__meter_method)i;
    return GUACO__METER_OTHER;
}

void
guaco__meter_request(struct guaco__meter *meter,
                     enum guaco__meter_method method, int status,
                     uint64_t took_us)
{
    int class = status >= 100 && status < 600 ? status / 100 : 0;
    int bucket = 0;

    assert(method < GUACO__METER_METHODS);
    guaco__meter_add(&meter->counts.requests[method][class], 1);
    if (status == 101)
        return;
    while (took_us > guaco__meter_bounds_us[bucket])
        bucket++;
    guaco__meter_add(&meter->counts.durations[bucket], 1);
    guaco__meter_add(&meter->counts.duration_us, took_us);
}

/* Only the owner of the slot changes `seq`. */
static void
open_call(struct guaco__meter_call *call)
{
    uint32_t seq = atomic_load_explicit(&call->seq, memory_order_relaxed);

    atomic_store_explicit(&call->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void
close_call(struct guaco__meter_call *call)
{
    uint32_t seq = atomic_load_explicit(&call->seq, memory_order_relaxed);

    atomic_store_explicit(&call->seq, seq + 1, memory_order_release);
}

int
guaco__meter_begin(struct guaco__meter *meter, enum guaco__meter_method method,
                   struct guaco_slice target, uint64_t since_ns)
{
    uint64_t words[GUACO__METER_TARGET_BYTES / 8];
    size_t len = target.len < sizeof words ? target.len : sizeof words - 1;
    size_t used = len / 8 + 1; /* with the NUL */

    assert(since_ns != 0);
    for (int i = 0; i < GUACO__METER_CALLS; i++) {
        struct guaco__meter_call *call = &meter->calls[i];
        if (atomic_load_explicit(&call->since_ns, memory_order_relaxed) != 0)
            continue;
        words[used - 1] = 0;
        memcpy(words, target.at, len);
        open_call(call);
        atomic_store_explicit(&call->method, method, memory_order_relaxed);
        for (size_t k = 0; k < used; k++)
            atomic_store_explicit(&call->target[k], words[k],
                                  memory_order_relaxed);
        atomic_store_explicit(&call->since_ns, since_ns, memory_order_relaxed);
        close_call(call);
        return i;
    }
    return -1;
}

void
guaco__meter_end(struct guaco__meter *meter, int place)
{
    if (place < 0)
        return;
    assert(place < GUACO__METER_CALLS);

    struct guaco__meter_call *call = &meter->calls[place];
    open_call(call);
    atomic_store_explicit(&call->since_ns, 0, memory_order_relaxed);
    close_call(call);
}

/* One try; false when it changed meanwhile. */
static bool
copy_call(const struct guaco__meter_call *call, struct guaco__meter_view *view)
{
    uint64_t words[GUACO__METER_TARGET_BYTES / 8];
    uint32_t before = atomic_load_explicit(&call->seq, memory_order_acquire);

    uint32_t method = atomic_load_explicit(&call->method, memory_order_relaxed);
    view->since_ns =
        atomic_load_explicit(&call->since_ns, memory_order_relaxed);
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        words[k] = atomic_load_explicit(&call->target[k], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    uint32_t after = atomic_load_explicit(&call->seq, memory_order_relaxed);
    view->method = method < GUACO__METER_METHODS
                       ? (enum guaco__meter_method)method
                       : GUACO__METER_OTHER;
    memcpy(view->target, words, sizeof words);
    view->target[sizeof view->target - 1] = '\0';
    return before == after && before % 2 == 0;
}

int
guaco__meter_look(const struct guaco__meter *meter, size_t place,
                  struct guaco__meter_view *view)
{
    assert(place < GUACO__METER_CALLS);
    for (int looks = 0; looks < LOOKS; looks++)
        if (copy_call(&meter->calls[place], view))
            return view->since_ns == 0 ? GUACO_E_MISSING : GUACO_OK;
    return GUACO_E_AGAIN;
}
