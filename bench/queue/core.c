/*
 * What the queue's core does a second, without Python: single enqueues from one
 * and from 32 threads, and 32 in flight as of an event loop, whole no-op jobs, and the time from a put in one process
 * to the run in another that was idle.
 *
 *     bench_queue_core [FOLDER]     FOLDER: where the SQLite file goes
 *     bench_queue_core URL...       these stores instead; what they hold of the
 *                                   queue `bench` is deleted
 */

#include <ftw.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guaco/broker.h"
#include "guaco/worker.h"

#define BODY_BYTES 200
#define ENQUEUES   20000
#define THREADS    32
#define JOBS       100000
#define PICKUPS    500

static char body[BODY_BYTES];

static double
now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of all threads of this process: what does not depend on who else runs. */
static double
cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct lap {
    double wall_s;
    double cpu_s;
};

static struct lap
begin(void)
{
    return (struct lap){now_s(), cpu_s()};
}

static void
end(struct lap lap, const char *what, int n)
{
    double wall = now_s() - lap.wall_s, cpu = cpu_s() - lap.cpu_s;

    printf("  %-24s %9.0f /s %7.2f us of CPU each\n", what, n / wall,
           cpu * 1e6 / n);
}

static void
need(int rc, const struct guaco_error *err, const char *what)
{
    if (rc == GUACO_OK)
        return;
    fprintf(stderr, "%s: %d %s\n", what, rc, err == NULL ? "" : err->text);
    exit(1);
}

static struct guaco_task
job(void)
{
    return (struct guaco_task){.queue = GUACO_SLICE("bench"),
                               .name = GUACO_SLICE("bench.noop"),
                               .body = {body, sizeof body}};
}

static struct guaco_broker *
open_broker(const char *url)
{
    struct guaco_error err = {0};
    struct guaco_broker *broker;

    need(guaco_broker_open(&broker, url, &err), &err, url);
    return broker;
}

static void
put(struct guaco_broker *broker, int n)
{
    struct guaco_task task = job();
    struct guaco_error err = {0};
    uint64_t id;

    for (int i = 0; i < n; i++)
        need(guaco_broker_put(broker, &task, 1, &id, &err), &err, "put");
}

static void *
put_many(void *arg)
{
    put(arg, ENQUEUES / THREADS);
    return NULL;
}

/* ---- 32 in flight, as of an event loop ---- */

static void
landed(void *ctx, int rc, const struct guaco_error *err, const uint64_t *ids,
       size_t n)
{
    (void)ids;
    (void)n;
    need(rc, err, "put");
    sem_post(ctx);
}

static void
bench_in_flight(struct guaco_broker *broker)
{
    struct guaco_task task = job();
    struct guaco_error err = {0};
    sem_t room;

    sem_init(&room, 0, THREADS);
    struct lap lap = begin();
    for (int i = 0; i < ENQUEUES; i++) {
        sem_wait(&room);
        need(guaco_broker_put_async(broker, &task, 1, landed, &room, &err),
             &err, "put");
    }
    for (int i = 0; i < THREADS; i++)
        sem_wait(&room);
    end(lap, "enqueue, 32 in flight", ENQUEUES);
    sem_destroy(&room);
}

static void
bench_enqueue(const char *url)
{
    struct guaco_broker *broker = open_broker(url);
    pthread_t threads[THREADS];
    uint64_t count;

    put(broker, 100);
    struct lap lap = begin();
    put(broker, ENQUEUES);
    end(lap, "enqueue, 1 thread", ENQUEUES);

    lap = begin();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, put_many, broker);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    end(lap, "enqueue, 32 threads", ENQUEUES / THREADS * THREADS);
    bench_in_flight(broker);
    guaco_broker_purge(broker, GUACO_SLICE("bench"), GUACO_TASK_WAITING, &count,
                       NULL);
    guaco_broker_close(broker);
}

static struct guaco_worker *
open_worker(struct guaco_broker *broker, uint32_t slots)
{
    struct guaco_worker_options options = {.queue = GUACO_SLICE("bench"),
                                           .slots = slots};
    struct guaco_error err = {0};
    struct guaco_worker *worker;

    need(guaco_worker_open(&worker, broker, &options, &err), &err, "worker");
    return worker;
}

/* Enqueued by the hundred, then claimed, run and acknowledged one by one at
 * the face, `slots` at a time in the store. */
static void
bench_jobs(const char *url, uint32_t slots)
{
    struct guaco_broker *broker = open_broker(url);
    struct guaco_task tasks[100];
    uint64_t ids[100];
    struct guaco_error err = {0};
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};

    for (int i = 0; i < 100; i++)
        tasks[i] = job();
    struct lap whole = begin(), lap = whole;
    for (int i = 0; i < JOBS; i += 100)
        need(guaco_broker_put(broker, tasks, 100, ids, &err), &err, "put");
    end(lap, "put by 100", JOBS);

    struct guaco_worker *worker = open_worker(broker, slots);
    char what[64];
    snprintf(what, sizeof what, "claim, run, ack (%u)", slots);
    lap = begin();
    for (int i = 0; i < JOBS; i++) {
        struct guaco_run *run;
        need(guaco_worker_next(worker, 10000, &run, &err), &err, "next");
        need(guaco_run_finish(run, &done, NULL, &err), &err, "finish");
    }
    need(guaco_worker_join(worker, 10000), NULL, "join");
    end(lap, what, JOBS);
    end(whole, "whole jobs", JOBS);
    guaco_worker_close(worker);
    guaco_broker_close(broker);
}

/* ---- pick-up ---- */

static void
pick_up(const char *url, int fd)
{
    struct guaco_broker *broker = open_broker(url);
    struct guaco_worker *worker = open_worker(broker, 1);
    const struct guaco_outcome done = {.kind = GUACO_OUTCOME_DONE};
    struct guaco_run *run;

    for (int i = 0; i < PICKUPS; i++) {
        need(guaco_worker_next(worker, -1, &run, NULL), NULL, "next");
        double at = now_s();
        need(guaco_run_finish(run, &done, NULL, NULL), NULL, "finish");
        if (write(fd, &at, sizeof at) != sizeof at)
            exit(1);
    }
    guaco_worker_close(worker);
    guaco_broker_close(broker);
    exit(0);
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void
bench_pick_up(const char *url)
{
    static double took[PICKUPS];
    int fds[2];

    if (pipe(fds) != 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0)
        pick_up(url, fds[1]);
    struct guaco_broker *broker = open_broker(url);
    for (int i = 0; i < PICKUPS; i++) {
        double at;
        /* Give the other side time to be truly idle. */
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        double start = now_s();
        put(broker, 1);
        if (read(fds[0], &at, sizeof at) != sizeof at)
            exit(1);
        took[i] = at - start;
    }
    waitpid(pid, NULL, 0);
    qsort(took, PICKUPS, sizeof took[0], compare);
    printf("  pick-up, two processes  p50 %.0f us, p99 %.0f us, max %.0f us\n",
           took[PICKUPS / 2] * 1e6, took[PICKUPS * 99 / 100] * 1e6,
           took[PICKUPS - 1] * 1e6);
    guaco_broker_close(broker);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The file, its log, and the folder of its bell. */
static void
remove_files(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-wake"};
    char full[320];

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(full, sizeof full, "%s%s", path, endings[i]);
        (void)nftw(full, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

static void
bench_store(const char *url)
{
    bench_enqueue(url);
    bench_jobs(url, 64);
    bench_jobs(url, 256);
    bench_jobs(url, 1);
    bench_pick_up(url);
}

int
main(int argc, char **argv)
{
    char path[256], normal[320], full[320];

    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc && strchr(argv[1], ':') != NULL; i++) {
        printf("%s\n", argv[i]);
        bench_store(argv[i]);
        if (i + 1 == argc)
            return 0;
    }
    snprintf(path, sizeof path, "%s/guaco-bench.db",
             argc > 1 ? argv[1] : "/tmp");
    snprintf(normal, sizeof normal, "sqlite:///%s", path);
    snprintf(full, sizeof full, "sqlite:///%s?synchronous=full", path);

    printf("memory\n");
    bench_enqueue("memory:");
    bench_jobs("memory:", 64);
    const char *const urls[] = {normal, full};
    const char *const names[] = {"SQLite, synchronous=NORMAL",
                                 "SQLite, synchronous=FULL"};
    for (int i = 0; i < 2; i++) {
        remove_files(path);
        printf("%s\n", names[i]);
        bench_store(urls[i]);
    }
    remove_files(path);
    return 0;
}
