/* A profiled process: what one sample reads, and in which order, is in
 * target.h. */

#include "target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

#include "facts.h"
#include "layout_read.h"

#define TRIES_MAX 48 /* of one round, tears and surprises together */
#define AGAIN_MAX 16 /* the same of a thread that stands */
#define WALK_MAX  (GUACO__TARGET_THREADS_MAX * 2)

/* How often code objects are compared where the interpreter does not count
 * those it freed (to 3.13): in each sample while they come and go, else less
 * and less often.  And how often new interpreters are looked for. */
#define RENEW_LEAST_NS UINT64_C(100000)
#define RENEW_MOST_NS  UINT64_C(10000000)
#define HEAD_ROUNDS    32
#define RETRY_MOST_NS  2000

struct thread {
    uint64_t address;
    uint32_t interpreter;
    struct guaco__stack_reader *reader;
    struct guaco__stack *stack; /* of the last sample that read it */
    bool has_stack;
    bool is_wanted; /* to be read in the next call of this round */
    bool is_done;   /* was read in this round */
    struct guaco__fact fact;
};

/* The state of a lock, as read. */
struct gil {
    uint64_t holder; /* 0: not locked */
    uint64_t switches;
};

struct interpreter {
    uint64_t address;
    uint64_t low; /* what is read of it begins here */
    size_t bytes;
    char *copy;
    char runtime_gil
        [GUACO__GIL_BYTES_MAX]; /* to 3.11 the lock is the runtime's */
    struct gil gil;             /* as last read */
    struct gil last;            /* at the end of the last sample */
    uint64_t generation;        /* of code objects: 3.14 and later */
    uint64_t generation_after;  /* the same, read behind the stacks */
};

struct guaco__target {
    struct guaco__vmem *memory;
    struct guaco__runtime runtime;
    struct guaco__stack_world *world;
    struct interpreter interpreters[GUACO__TARGET_INTERPRETERS_MAX];
    size_t interpreter_count;
    struct thread *threads;
    size_t thread_count, thread_room;
    bool is_listed;      /* the threads are known */
    uint64_t head;       /* address of the newest interpreter, as last read */
    uint64_t renew_ns;   /* the least time between two comparisons */
    uint64_t renewed_ns; /* when code objects were last compared */
    uint64_t rounds;
    uint64_t random; /* where it stands in its sequence */
    struct guaco__target_counts counts;
    unsigned wants; /* of enum guaco__target_want */
    struct guaco__facts facts;
};

/* ---- life ---------------------------------------------------------------------- */

int
guaco__target_of_memory(struct guaco__target **target,
                        struct guaco__vmem *memory,
                        const struct guaco__runtime *runtime,
                        struct guaco_error *err)
{
    struct guaco__target *self = calloc(1, sizeof *self);

    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "profile target");
    self->runtime = *runtime;
    int rc =
        guaco__stack_world_new(&self->world, memory, &self->runtime.layout);
    if (rc != GUACO_OK) {
        free(self);
        return guaco_fail(err, rc, 0, "profile target");
    }
    self->memory = memory;
    guaco__facts_init(&self->facts, 0, &self->runtime, memory);
    *target = self;
    return GUACO_OK;
}

int
guaco__target_attach(struct guaco__target **target, int pid,
                     struct guaco_error *err)
{
    struct guaco__vmem *memory;
    struct guaco__runtime runtime;

    int rc = guaco__vmem_of_process(&memory, pid, err);
    if (rc != GUACO_OK)
        return rc;
    rc = guaco__runtime_find(&runtime, pid, memory, err);
    if (rc == GUACO_OK)
        rc = guaco__target_of_memory(target, memory, &runtime, err);
    if (rc != GUACO_OK)
        guaco__vmem_close(memory);
    else
        (*target)->facts.pid = pid;
    return rc;
}

void
guaco__target_want(struct guaco__target *target, unsigned what)
{
    target->wants = what;
}

static void
threads_release(struct guaco__target *target)
{
    for (size_t i = 0; i < target->thread_count; i++) {
        guaco__stack_reader_free(target->threads[i].reader);
        guaco__fact_release(&target->threads[i].fact);
        free(target->threads[i].stack);
    }
    guaco__facts_forget_names(&target->facts);
    target->thread_count = 0;
    target->is_listed = false;
}

static void
interpreters_release(struct guaco__target *target)
{
    for (size_t i = 0; i < target->interpreter_count; i++)
        free(target->interpreters[i].copy);
    target->interpreter_count = 0;
}

void
guaco__target_free(struct guaco__target *target)
{
    if (target == NULL)
        return;
    threads_release(target);
    interpreters_release(target);
    guaco__facts_release(&target->facts);
    free(target->threads);
    guaco__stack_world_free(target->world);
    guaco__vmem_close(target->memory);
    free(target);
}

/* ---- the list of threads --------------------------------------------------------- */

/* What is read of an interpreter in each round: its links and its lock. */
static void
interpreter_extent(const struct guaco__layout *l, struct interpreter *in)
{
    uint32_t low = l->interpreter.next, high = l->interpreter.next + 8;
    const uint32_t fields[] = {l->interpreter.threads_head,
                               l->interpreter.gil_pointer,
                               l->interpreter.code_generation};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!has(fields[i]))
            continue;
        low = fields[i] < low ? fields[i] : low;
        high = fields[i] + 8 > high ? fields[i] + 8 : high;
    }
    if (has(l->interpreter.own_gil) &&
        l->interpreter.own_gil + l->gil.size > high)
        high = l->interpreter.own_gil + l->gil.size;
    in->low = low;
    in->bytes = high - low;
}

static int
interpreter_add(struct guaco__target *target, uint64_t address)
{
    if (target->interpreter_count == GUACO__TARGET_INTERPRETERS_MAX)
        return GUACO_E_LIMIT;
    struct interpreter *in = &target->interpreters[target->interpreter_count];
    *in = (struct interpreter){.address = address};
    interpreter_extent(&target->runtime.layout, in);
    in->copy = calloc(1, in->bytes);
    if (in->copy == NULL)
        return GUACO_E_NOMEM;
    target->interpreter_count++;
    return GUACO_OK;
}

static struct thread *
thread_find(struct guaco__target *target, uint64_t address)
{
    for (size_t i = 0; i < target->thread_count; i++)
        if (target->threads[i].address == address)
            return &target->threads[i];
    return NULL;
}

static int
thread_room(struct guaco__target *target)
{
    if (target->thread_count < target->thread_room)
        return GUACO_OK;
    if (target->thread_count == GUACO__TARGET_THREADS_MAX)
        return GUACO_E_LIMIT;
    size_t room = target->thread_room == 0 ? 8 : target->thread_room * 2;
    struct thread *threads = realloc(target->threads, room * sizeof *threads);
    if (threads == NULL)
        return GUACO_E_NOMEM;
    target->threads = threads;
    target->thread_room = room;
    return GUACO_OK;
}

static int
thread_add(struct guaco__target *target, uint64_t address, uint32_t interpreter)
{
    struct thread thread = {.address = address, .interpreter = interpreter};

    int rc = thread_room(target);
    if (rc != GUACO_OK)
        return rc;
    thread.stack = malloc(sizeof *thread.stack);
    if (thread.stack == NULL)
        return GUACO_E_NOMEM;
    thread.stack->count = 0;
    guaco__fact_init(&thread.fact);
    rc = guaco__stack_reader_new(&thread.reader, target->world, address);
    if (rc != GUACO_OK) {
        free(thread.stack);
        return rc;
    }
    target->threads[target->thread_count++] = thread;
    return GUACO_OK;
}

/* Walk the threads of one interpreter, one read each. */
static int
list_threads(struct guaco__target *target, uint32_t number)
{
    const struct guaco__layout *l = &target->runtime.layout;
    uint64_t address, owner;
    int walked = 0;

    int rc = guaco__vmem_word(target->memory,
                              target->interpreters[number].address +
                                  l->interpreter.threads_head,
                              &address);
    while (rc == GUACO_OK && address != 0) {
        struct guaco__span spans[2];
        uint64_t next;
        spans[0] = (struct guaco__span){address + l->thread.next, &next, 8};
        spans[1] =
            (struct guaco__span){address + l->thread.interpreter, &owner, 8};
        rc = guaco__vmem_read(target->memory, spans, 2, NULL);
        if (rc != GUACO_OK)
            break;
        if (owner != target->interpreters[number].address ||
            ++walked > WALK_MAX)
            return GUACO_E_AGAIN;
        rc = thread_add(target, address, number);
        address = next;
    }
    return rc;
}

static int
list_all(struct guaco__target *target)
{
    const struct guaco__layout *l = &target->runtime.layout;
    uint64_t address;

    threads_release(target);
    interpreters_release(target);
    int rc = guaco__vmem_word(
        target->memory, target->runtime.address + l->runtime.interpreters_head,
        &address);
    target->head = rc == GUACO_OK ? address : 0;
    while (rc == GUACO_OK && address != 0) {
        rc = interpreter_add(target, address);
        if (rc == GUACO_OK)
            rc = list_threads(target, (uint32_t)target->interpreter_count - 1);
        if (rc == GUACO_OK)
            rc = guaco__vmem_word(target->memory, address + l->interpreter.next,
                                  &address);
    }
    target->is_listed = rc == GUACO_OK;
    return rc;
}

/* ---- one round --------------------------------------------------------------------- */

static void
plan_interpreters(struct guaco__target *target, struct guaco__span *spans,
                  size_t *count)
{
    const struct guaco__layout *l = &target->runtime.layout;

    if (target->interpreter_count == 0 || target->rounds % HEAD_ROUNDS == 0)
        spans[(*count)++] = (struct guaco__span){
            target->runtime.address + l->runtime.interpreters_head,
            &target->head, sizeof target->head};
    for (size_t i = 0; i < target->interpreter_count; i++) {
        struct interpreter *in = &target->interpreters[i];
        spans[(*count)++] =
            (struct guaco__span){in->address + in->low, in->copy, in->bytes};
        if (!has(l->runtime.gil))
            continue;
        assert(l->gil.size <= sizeof in->runtime_gil);
        spans[(*count)++] =
            (struct guaco__span){target->runtime.address + l->runtime.gil,
                                 in->runtime_gil, l->gil.size};
    }
}

/* Behind the stacks: a code object that was freed before its frame's bytes were
 * copied is counted by then, however long the copying was interrupted. */
static void
plan_generations(struct guaco__target *target, struct guaco__span *spans,
                 size_t *count)
{
    uint32_t at = target->runtime.layout.interpreter.code_generation;

    for (size_t i = 0; has(at) && i < target->interpreter_count; i++) {
        struct interpreter *in = &target->interpreters[i];
        spans[(*count)++] =
            (struct guaco__span){in->address + at, &in->generation_after, 8};
    }
}

/* As many of the wanted threads as fit; *last is the first that is left. */
static int
plan_threads(struct guaco__target *target, struct guaco__span *spans,
             size_t *count, size_t *last)
{
    size_t most = GUACO__SPANS_MAX - target->interpreter_count;

    for (; *last < target->thread_count; (*last)++) {
        struct thread *thread = &target->threads[*last];
        if (!thread->is_wanted)
            continue;
        int rc = guaco__stack_plan(thread->reader, spans, count, most);
        if (rc != GUACO_OK)
            return rc;
    }
    return GUACO_OK;
}

/* The lock of an interpreter.  It may share another's (3.12 and later): then
 * the pointer does not lead into its own memory, and the first interpreter's
 * state stands for it. */
static struct gil
gil_read(const struct guaco__target *target, const struct interpreter *in)
{
    const struct guaco__layout *l = &target->runtime.layout;
    const char *at = in->runtime_gil;

    if (!has(l->runtime.gil)) {
        uint64_t pointer =
            word_at(in->copy, l->interpreter.gil_pointer - in->low);
        const struct interpreter *owner = in;
        if (pointer != in->address + l->interpreter.own_gil)
            owner = &target->interpreters[target->interpreter_count - 1];
        at = owner->copy + (l->interpreter.own_gil - owner->low);
    }
    int32_t locked;
    memcpy(&locked, at + l->gil.locked, sizeof locked);
    return (struct gil){
        .holder = locked > 0 ? word_at(at, l->gil.last_holder) : 0,
        .switches = word_at(at, l->gil.switch_number),
    };
}

/* Whether the first interpreter, and the first thread of each, is still the
 * one listed: new ones are put in front. */
static bool
heads_are_known(struct guaco__target *target)
{
    const struct guaco__layout *l = &target->runtime.layout;
    uint64_t first =
        target->interpreter_count == 0 ? 0 : target->interpreters[0].address;

    if (target->head != first)
        return false;
    for (size_t i = 0; i < target->interpreter_count; i++) {
        const struct interpreter *in = &target->interpreters[i];
        uint64_t head =
            word_at(in->copy, l->interpreter.threads_head - in->low);
        struct thread *thread = thread_find(target, head);
        if (head != 0 && (thread == NULL || thread->interpreter != i))
            return false;
    }
    return true;
}

static void
codes_follow_clock(struct guaco__target *target)
{
    uint64_t now = guaco__clock_mono_ns();

    if (now - target->renewed_ns < target->renew_ns)
        return;
    target->renewed_ns = now;
    if (guaco__codes_renew(guaco__stack_world_codes(target->world)))
        target->renew_ns = 0;
    else if (target->renew_ns < RENEW_MOST_NS)
        target->renew_ns = target->renew_ns * 2 + RENEW_LEAST_NS;
}

/* Begin an epoch of code objects when some were freed, as far as is known. */
static void
codes_follow(struct guaco__target *target)
{
    const struct guaco__layout *l = &target->runtime.layout;
    bool changed = false;

    if (!has(l->interpreter.code_generation)) {
        codes_follow_clock(target);
        return;
    }
    for (size_t i = 0; i < target->interpreter_count; i++) {
        struct interpreter *in = &target->interpreters[i];
        changed = changed || in->generation_after != in->generation;
        in->generation = in->generation_after;
    }
    if (changed)
        guaco__codes_renew(guaco__stack_world_codes(target->world));
}

/* Decode one thread of the round. */
static int
thread_decode(struct guaco__target *target, struct thread *thread)
{
    const struct guaco__layout *l = &target->runtime.layout;
    const char *bytes = guaco__stack_thread_bytes(thread->reader);

    /* Another object lies at this address: the list is old. */
    if (word_at(bytes, l->thread.interpreter) !=
        target->interpreters[thread->interpreter].address)
        return GUACO_E_MISSING;
    const struct guaco__codes *codes = guaco__stack_world_codes(target->world);
    uint32_t known = codes->count;
    int rc = guaco__stack_decode(thread->reader, thread->stack);
    /* Fetching a code object takes longer than a short function lives; and
     * where one is new others may have gone. */
    if (codes->count != known) {
        rc = rc == GUACO_OK ? GUACO_E_AGAIN : rc;
        target->renew_ns = 0;
    }
    if (rc == GUACO_E_LOST)
        target->counts.torn++;
    thread->has_stack = rc == GUACO_OK; /* what was kept is overwritten */
    if (rc == GUACO_OK) {
        thread->is_wanted = false;
        thread->is_done = true;
    }
    return rc;
}

/* Decode threads[first..last).  Torn ones and those that need another read
 * stay wanted. */
static int
decode_threads(struct guaco__target *target, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        if (!target->threads[i].is_wanted)
            continue;
        int rc = thread_decode(target, &target->threads[i]);
        if (rc != GUACO_OK && rc != GUACO_E_LOST && rc != GUACO_E_AGAIN)
            return rc;
    }
    return GUACO_OK;
}

/* One pass over all that is wanted, in as many calls as the ranges need.
 * Returns 0; GUACO_E_MISSING when the list of threads is old. */
static int
read_wanted(struct guaco__target *target)
{
    struct guaco__span spans[GUACO__SPANS_MAX];
    size_t first = 0, last = 0;

    do {
        size_t count = 0;
        plan_interpreters(target, spans, &count);
        size_t heads = count;
        int rc = plan_threads(target, spans, &count, &last);
        if (rc != GUACO_OK && (rc != GUACO_E_LIMIT || count == heads))
            return rc;
        plan_generations(target, spans, &count);
        rc = guaco__vmem_read(target->memory, spans, count, NULL);
        if (rc == GUACO_E_AGAIN)
            return GUACO_E_MISSING;
        if (rc == GUACO_OK && !heads_are_known(target))
            rc = GUACO_E_MISSING;
        if (rc == GUACO_OK) {
            codes_follow(target);
            rc = decode_threads(target, first, last);
        }
        if (rc != GUACO_OK)
            return rc;
        first = last;
    } while (last < target->thread_count);
    for (size_t i = 0; i < target->interpreter_count; i++)
        target->interpreters[i].gil =
            gil_read(target, &target->interpreters[i]);
    return GUACO_OK;
}

/* Whether a thread's stack may differ from that of the last sample. */
static bool
may_have_moved(const struct guaco__target *target, const struct thread *thread,
               const struct interpreter *in)
{
    return target->runtime.layout.is_free_threaded || !thread->has_stack ||
           in->gil.holder == thread->address ||
           in->gil.switches != in->last.switches ||
           in->gil.holder != in->last.holder;
}

/* Want what this round still lacks; false when it lacks nothing. */
static bool
want_rest(struct guaco__target *target, enum guaco__sample_what what)
{
    bool any = false;

    for (size_t i = 0; i < target->thread_count; i++) {
        struct thread *thread = &target->threads[i];
        const struct interpreter *in =
            &target->interpreters[thread->interpreter];
        bool needed = what == GUACO__SAMPLE_HOLDERS &&
                              !target->runtime.layout.is_free_threaded
                          ? in->gil.holder == thread->address
                          : may_have_moved(target, thread, in);
        thread->is_wanted = needed && !thread->is_done;
        any = any || thread->is_wanted;
    }
    return any;
}

/* Guess who holds the lock, so that the first read is mostly the only one. */
static void
want_first(struct guaco__target *target)
{
    for (size_t i = 0; i < target->thread_count; i++) {
        struct thread *thread = &target->threads[i];
        thread->is_done = false;
        thread->is_wanted =
            target->interpreters[thread->interpreter].last.holder ==
            thread->address;
    }
}

/* The list was old, or a range of it is gone: begin anew. */
static int
relist(struct guaco__target *target)
{
    int rc = list_all(target);

    /* A walk from object to object breaks when the list changes under it. */
    return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
}

/*
 * A read takes cache lines from the thread, and what it does next waits for
 * them: a second read at once finds it at that place, not at a random one.
 */
static void
wait_random(struct guaco__target *target)
{
    uint64_t now = guaco__clock_mono_ns();

    target->random =
        target->random * 6364136223846793005u + 1442695040888963407u;
    uint64_t end = now + (target->random >> 33) % RETRY_MOST_NS;
    while (now < end)
        now = guaco__clock_mono_ns();
}

static int
round_run(struct guaco__target *target, enum guaco__sample_what what)
{
    target->rounds++;
    want_first(target);
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (tries > 0) {
            target->counts.retried++;
            wait_random(target);
        }
        int rc = target->is_listed ? read_wanted(target) : GUACO_E_MISSING;
        if (rc == GUACO_E_MISSING) {
            rc = relist(target);
            if (rc != GUACO_OK)
                return rc;
            continue;
        }
        if (rc != GUACO_OK)
            return rc;
        if (!want_rest(target, what))
            return GUACO_OK;
    }
    for (size_t i = 0; i < target->thread_count; i++)
        target->counts.dropped += target->threads[i].is_wanted;
    return target->is_listed ? GUACO_OK : GUACO_E_CLOSED;
}

/* The address of the lock that a thread's interpreter uses. */
static uint64_t
gil_address(const struct guaco__target *target, const struct interpreter *in)
{
    const struct guaco__layout *l = &target->runtime.layout;

    if (has(l->runtime.gil))
        return target->runtime.address + l->runtime.gil;
    return word_at(in->copy, l->interpreter.gil_pointer - in->low);
}

/* What else was asked for. */
static int
add_facts(struct guaco__target *target, struct thread *thread,
          struct guaco__thread_sample *sample)
{
    const struct interpreter *in = &target->interpreters[thread->interpreter];
    struct guaco__asyncio_thread running = {
        .interpreter = in->address,
        .state = thread->address,
        .id = sample->thread_id,
        .is_only = target->thread_count == 1,
    };
    int rc = GUACO_OK;

    guaco__fact_native_id(&target->facts, &thread->fact, sample->thread_id,
                          guaco__stack_thread_bytes(thread->reader));
    sample->native_id = thread->fact.native_id;
    if ((target->wants & GUACO__WANT_HOST_IDS) != 0)
        sample->host_id = guaco__fact_host_id(&target->facts, &thread->fact);
    if (sample->holds_gil)
        sample->state = GUACO__THREAD_HOLDS;
    else if ((target->wants & GUACO__WANT_STATES) != 0)
        sample->state = guaco__fact_state(&target->facts, &thread->fact,
                                          gil_address(target, in));
    if ((target->wants & GUACO__WANT_NAMES) != 0) {
        rc = guaco__fact_name(&target->facts, &thread->fact, in->address,
                              sample->thread_id);
        sample->name = thread->fact.name;
    }
    if (rc == GUACO_OK && (target->wants & GUACO__WANT_TASKS) != 0) {
        rc = guaco__fact_tasks(&target->facts, &running, &sample->task_count);
        sample->tasks = target->facts.tasks;
    }
    return rc;
}

static int
tell(struct guaco__target *target, struct thread *thread, guaco__sample_fn *fn,
     void *ctx)
{
    const struct guaco__layout *l = &target->runtime.layout;
    const char *bytes = guaco__stack_thread_bytes(thread->reader);
    struct guaco__thread_sample sample = {
        .thread_id = word_at(bytes, l->thread.thread_id),
        .interpreter = thread->interpreter,
        .holds_gil = target->interpreters[thread->interpreter].gil.holder ==
                     thread->address,
        .stack = thread->stack,
    };

    int rc = add_facts(target, thread, &sample);
    if (rc == GUACO_OK)
        fn(ctx, &sample);
    return rc;
}

/* Whether the thread was read as the holder of its lock.  Where there is no
 * lock those that run stand for it. */
static bool
holds_lock(struct guaco__target *target, struct thread *thread)
{
    const struct interpreter *in = &target->interpreters[thread->interpreter];

    if (!thread->is_done)
        return false;
    if (!target->runtime.layout.is_free_threaded)
        return in->gil.holder == thread->address;
    guaco__fact_native_id(&target->facts, &thread->fact, 0,
                          guaco__stack_thread_bytes(thread->reader));
    return guaco__fact_state(&target->facts, &thread->fact, 0) ==
           GUACO__THREAD_RUNS;
}

int
guaco__target_sample(struct guaco__target *target, enum guaco__sample_what what,
                     guaco__sample_fn *fn, void *ctx)
{
    int rc = round_run(target, what);
    if (rc != GUACO_OK)
        return rc;
    target->counts.samples++;
    for (size_t i = 0; i < target->interpreter_count; i++)
        target->interpreters[i].last = target->interpreters[i].gil;
    for (size_t i = 0; rc == GUACO_OK && i < target->thread_count; i++) {
        struct thread *thread = &target->threads[i];
        bool told = what == GUACO__SAMPLE_HOLDERS ? holds_lock(target, thread)
                                                  : thread->has_stack;
        if (told && !thread->is_wanted)
            rc = tell(target, thread, fn, ctx);
    }
    return rc;
}

/* What the round has found out of others stays: they run on. */
int
guaco__target_again(struct guaco__target *target,
                    const struct guaco__thread_sample *sample)
{
    struct interpreter *in = &target->interpreters[sample->interpreter];
    struct gil before = in->gil;
    struct thread *wanted = NULL;
    int rc = GUACO_E_AGAIN;

    for (size_t i = 0; i < target->thread_count; i++) {
        struct thread *thread = &target->threads[i];
        thread->is_wanted = thread->stack == sample->stack;
        if (thread->is_wanted)
            wanted = thread;
    }
    assert(wanted != NULL);
    for (int n = 0; n < AGAIN_MAX && wanted->is_wanted; n++) {
        rc = read_wanted(target);
        if (rc != GUACO_OK)
            break;
    }
    in->gil = before;
    bool is_lost = wanted->is_wanted;
    wanted->is_wanted = false;
    if (!is_lost)
        return GUACO_OK;
    target->counts.dropped++;
    return rc == GUACO_OK || rc == GUACO_E_MISSING ? GUACO_E_LOST : rc;
}

const struct guaco__runtime *
guaco__target_runtime(const struct guaco__target *target)
{
    return &target->runtime;
}

struct guaco__vmem *
guaco__target_memory(struct guaco__target *target)
{
    return target->memory;
}

const struct guaco__target_counts *
guaco__target_counts(const struct guaco__target *target)
{
    return &target->counts;
}

uint64_t
guaco__target_reads(const struct guaco__target *target)
{
    return target->memory->reads;
}
