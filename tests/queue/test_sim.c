/* The simulator; see sim.h.
 *
 *     test_sim [--store memory|sqlite] [--steps N] [--seed N] [--faults N]
 *
 * --faults: one op in so many meets one (64); 0: none.
 */

#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#include "../failing_malloc.h"
#include "../folder.h"
#include "queue/sqlite_int.h"

#include "../test.h"

#define DRAIN_EVERY  4000
#define DRAIN_ROUNDS 4000

struct sim sim;
static unsigned long long seed;
static unsigned long long fault_every = 64;
static const char *doing = "begin";

void
sim_fail(const char *format, ...)
{
    va_list ap;

    fail_stop();
    fprintf(stderr, "step %llu, %s: ", (unsigned long long)sim.steps, doing);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nagain: test_sim --store %s --seed %llu --faults %llu\n",
            sim.kind, seed, fault_every);
    folder_remove();
    exit(1);
}

/* ---- what is ours in place of the system's ---- */

int64_t __wrap_guaco__clock_wall_ms(const struct guaco_clock *clock);
uint64_t __wrap_guaco__clock_boot_ns(void);
int __wrap_guaco__rand_bytes(void *out, size_t len);

int64_t
__wrap_guaco__clock_wall_ms(const struct guaco_clock *clock)
{
    (void)clock;
    return sim.model.now_ms;
}

uint64_t
__wrap_guaco__clock_boot_ns(void)
{
    return sim.model.boot_ms * 1000000;
}

/* Keys of hash maps and the like: by the seed, but not of its sequence. */
int
__wrap_guaco__rand_bytes(void *out, size_t len)
{
    static uint64_t count;
    struct guaco__rand rand;

    guaco__rand_init(&rand, seed + ++count * 1000003);
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)out)[i] = (unsigned char)guaco__rand_next(&rand);
    return GUACO_OK;
}

uint64_t
sim_below(uint64_t n)
{
    return guaco__rand_below(&sim.rand, n);
}

bool
sim_one_in(uint64_t n)
{
    return sim_below(n) == 0;
}

const struct guaco_slice sim_queue = {"q", 1};
const struct guaco_slice sim_envelope = {"\1\0\0\0\0\0\0\0\1\0n", 11};
const char sim_digits[] = "0123456789";

bool
sim_is_sqlite(void)
{
    return sim.kind[0] == 's';
}

/* ---- running ---- */

/* Have the store do `op` and give its own rc; GUACO_E_IO when a commit was torn
 * and nothing of it happened. */
int
sim_run(struct guaco__op *op)
{
    struct guaco__op *ops[1] = {op};
    struct guaco_error err = {0};

    guaco__touched_reset(&sim.store->touched);
    int rc = sim.store->ops->run(sim.store, ops, 1,
                                 guaco__clock_mono_ns() + 10000000000u, &err);
    if (rc != GUACO_OK && sim.will_fail) {
        sim.will_fail = false;
        sim.faults++;
        return GUACO_E_IO;
    }
    sim.will_fail = false;
    MUST(rc == GUACO_OK, "%d %s", rc, err.text);
    return op->rc;
}

/* As above with a fault now and then: no memory, or a torn commit. */
int
sim_run_faulty(struct guaco__op *op)
{
    bool is_sqlite = sim_is_sqlite();

    if (sim.is_calm || fault_every == 0 || !sim_one_in(fault_every))
        return sim_run(op);
    sim.will_fail = is_sqlite;
    if (!is_sqlite)
        fail_after((long)sim_below(8));
    int rc = sim_run(op);
    if (!is_sqlite && fail_stop())
        sim.faults++;
    return rc;
}

bool
sim_is_fault(int rc)
{
    return rc == GUACO_E_NOMEM || rc == GUACO_E_IO;
}

static int
refuse_commit(void *ctx)
{
    (void)ctx;
    return sim.will_fail;
}

static void
open_store(void)
{
    const struct guaco__store_ops *ops = strcmp(sim.kind, "sqlite") == 0
                                             ? &guaco__store_sqlite
                                             : &guaco__store_memory;
    char rest[300] = "";
    struct guaco_error err = {0};

    if (ops == &guaco__store_sqlite)
        snprintf(rest, sizeof rest, "///%s", folder_path("sim.db"));
    sim.store = calloc(1, ops->size);
    sim.store->ops = ops;
    MUST(ops->open(sim.store, rest, &err) == GUACO_OK, "open: %s", err.text);
    if (ops == &guaco__store_sqlite)
        (void)sqlite3_commit_hook(((struct sqlite_store *)sim.store)->db,
                                  refuse_commit, NULL);
}

static void
close_store(void)
{
    sim.store->ops->close(sim.store);
    free(sim.store->touched.topics);
    free(sim.store);
}

/* ---- looking ---- */

static void
check_stats(void)
{
    struct guaco_queue_stats stats = {0};
    struct guaco__op op = {.kind = GUACO__OP_STATS,
                           .stats = {.queue = sim_queue, .stats = &stats}};

    MUST(sim_run(&op) == GUACO_OK, "stats: %d", op.rc);
    model_check_stats(&sim.model, &stats);
}

/* All that may run is given; nothing hangs. */
static void
step_idle(void)
{
    bool is_given = true;
    int rounds = 0;

    sim_pause();
    if (sim.model.is_paused)
        return;
    sim.is_calm = true;
    sim_promote();
    while (is_given && rounds++ < DRAIN_ROUNDS) {
        is_given = false;
        for (int i = 0; i < SIM_OWNERS; i++)
            is_given |= sim_claim(i, SIM_CLAIM, sim_runs_nothing(i)) > 0;
    }
    MUST(rounds < DRAIN_ROUNDS, "claims without end");
    sim.is_calm = false;
    int free_owner = 0;
    while (free_owner < SIM_OWNERS && !sim_runs_nothing(free_owner))
        free_owner++;
    /* With one that runs nothing suspects had their chance too. */
    model_check_idle(&sim.model, free_owner < SIM_OWNERS);
    check_stats();
}

/* The store is closed and opened again, as by processes that end; what is in a
 * file is there. */
static void
step_restart(void)
{
    if (!sim_is_sqlite())
        return;
    close_store();
    open_store();
}

/* Until nothing is left. */
static void
drain(void)
{
    int rounds = 0;

    sim.model.is_paused = true;
    doing = "drain";
    while (sim.model.live > 0) {
        struct model_task *task;
        MUST(rounds++ < DRAIN_ROUNDS, "%d tasks never end", sim.model.live);
        model_clock(&sim.model, 5000);
        sim.model.boot_ms += 5000;
        struct guaco__op resume = {.kind = GUACO__OP_PAUSE,
                                   .pause = {.queue = sim_queue}};
        MUST(sim_run(&resume) == GUACO_OK, "resume: %d", resume.rc);
        sim.model.is_paused = false;
        sim_promote();
        for (int i = 0; i < SIM_OWNERS; i++)
            (void)sim_claim(i, SIM_CLAIM, sim_runs_nothing(i));
        while ((task = model_pick(&sim.model, &sim.rand, MODEL_RUNNING)) !=
               NULL) {
            struct guaco__op op = sim_finish_of(task);
            MUST(sim_run(&op) == GUACO_OK, "the holder's finish: %d", op.rc);
            model_end(&sim.model, task, op.finish.state);
        }
    }
    check_stats();
}

/* ---- what happens ---- */

static const struct {
    const char *name;
    unsigned weight;
    void (*step)(void);
} kinds[] = {
    {"put", 160, sim_put_plain},
    {"put with rules", 110, sim_put_ruled},
    {"put a chord", 25, sim_put_chord},
    {"claim", 190, sim_claim_some},
    {"finish", 260, sim_finish_one},
    {"release", 50, sim_release},
    {"stale finish", 40, sim_stale_finish},
    {"cancel", 25, sim_cancel},
    {"reap", 8, sim_reap},
    {"renew", 10, sim_renew},
    {"clock", 60, sim_clock},
    {"promote", 30, sim_promote},
    {"sweep", 5, sim_sweep},
    {"tick", 20, sim_tick},
    {"lock", 15, sim_lock},
    {"pause", 4, sim_pause},
    {"look", 1, check_stats},
    {"idle", 1, step_idle},
};

static void
step(void)
{
    uint64_t at = sim_below(1030);

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        doing = kinds[i].name;
        if (at < kinds[i].weight) {
            kinds[i].step();
            return;
        }
        at -= kinds[i].weight;
    }
    doing = "restart";
    if (sim_one_in(200))
        step_restart();
    else if (sim_one_in(10))
        sim_purge();
}

static void
simulate(const char *kind, uint64_t steps)
{
    memset(&sim, 0, sizeof sim);
    sim.kind = kind;
    guaco__rand_init(&sim.rand, seed);
    model_init(&sim.model);
    sim.model.now_ms = 1800000000000;
    sim.model.boot_ms = 1000000;
    if (kind[0] == 's')
        folder_make();
    open_store();
    for (int i = 0; i < SIM_OWNERS; i++)
        sim_open_owner(i);
    sim_deploy();
    while (sim.steps < steps) {
        uint64_t faults = sim.faults;
        sim.steps++;
        step();
        if (sim.faults > faults)
            check_stats(); /* what failed has changed nothing */
        if (sim.steps % DRAIN_EVERY == 0)
            drain();
    }
    drain();
    close_store();
    if (kind[0] == 's')
        folder_remove();
    printf("%s: seed %llu, %llu steps: %llu puts, %llu starts, %llu ends, "
           "%llu ticks, %llu refused, %llu faults\n",
           kind, seed, (unsigned long long)sim.steps,
           (unsigned long long)sim.model.acked,
           (unsigned long long)sim.model.starts,
           (unsigned long long)sim.model.ended,
           (unsigned long long)sim.model.ticks, (unsigned long long)sim.refused,
           (unsigned long long)sim.faults);
}

int
main(int argc, char **argv)
{
    const char *kind = "memory";
    unsigned long long steps = 100000;

    if (getentropy(&seed, sizeof seed) != 0)
        seed = 1;
    seed %= 1000000000;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--store") == 0)
            kind = argv[i + 1];
        else if (strcmp(argv[i], "--steps") == 0)
            steps = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--faults") == 0)
            fault_every = strtoull(argv[i + 1], NULL, 10);
    }
    printf("%s: seed %llu\n", kind, seed);
    fflush(stdout);
    simulate(kind, steps);
    return 0;
}
