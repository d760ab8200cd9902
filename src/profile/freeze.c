/* Stopping a thread: the contract is in freeze.h. */

#include "freeze.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "os/clock.h"

/* A thread that runs stands within microseconds, one that waits for a
 * processor when it gets one. */
#define SPIN_NS UINT64_C(10000)
#define WAIT_NS UINT64_C(100000000)
#define STEP_NS 2000000

/* ---- waiting ------------------------------------------------------------------- */

enum standing { STANDS, RUNS_ON, HAS_ENDED };

/* Take the stop of a traced thread, and the signal that was about to be
 * delivered to it.  The end of a child of ours stays to be waited for. */
static enum standing
look(const struct guaco__freezer *freezer, int tid, int *signal)
{
    siginfo_t info = {.si_pid = 0};
    int status;

    if (waitid(P_PID, (id_t)tid, &info,
               WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0)
        return errno == EINTR ? RUNS_ON : HAS_ENDED;
    if (info.si_pid == 0)
        return RUNS_ON;
    bool is_end = info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED;
    if (is_end && tid == freezer->child)
        return HAS_ENDED;
    if (waitpid(tid, &status, WNOHANG | __WALL) != tid || !WIFSTOPPED(status))
        return HAS_ENDED;
    *signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
    return STANDS;
}

static enum standing
wait_for(struct guaco__freezer *freezer, int tid, int *signal)
{
    const struct timespec step = {.tv_nsec = STEP_NS};
    enum standing is;
    sigset_t child;
    uint64_t now;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        now = guaco__clock_mono_ns();
        is = look(freezer, tid, signal);
        if (is != RUNS_ON || now - freezer->begin_ns > WAIT_NS)
            return is;
        freezer->moved_ns = now;
        if (now - freezer->begin_ns > SPIN_NS) /* the kernel tells its stop */
            sigtimedwait(&child, NULL, &step);
    }
}

static void
let_go(int tid, int signal)
{
    ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)signal);
}

/* Those that stand by now. */
static void
let_late_go(struct guaco__freezer *freezer)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < freezer->late_count; i++) {
        int signal = 0, tid = freezer->late[i];
        enum standing is = look(freezer, tid, &signal);
        if (is == STANDS)
            let_go(tid, signal);
        else if (is == RUNS_ON)
            freezer->late[kept++] = tid;
    }
    freezer->late_count = kept;
}

void
guaco__freezer_init(struct guaco__freezer *freezer, int pid)
{
    siginfo_t info;
    sigset_t child;

    *freezer = (struct guaco__freezer){.child = 0};
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &freezer->before);
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0)
        freezer->child = pid;
}

void
guaco__freezer_release(struct guaco__freezer *freezer)
{
    assert(freezer->thread == 0);
    let_late_go(freezer);
    pthread_sigmask(SIG_SETMASK, &freezer->before, NULL);
}

/* ---- registers ------------------------------------------------------------------- */

#if defined(__x86_64__)
#define KNOWS_REGISTERS true

static void
put_in_order(const struct user_regs_struct *u, struct guaco__registers *r)
{
    const uint64_t in_order[] = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi,
                                 u->rbp, u->rsp, u->r8,  u->r9,  u->r10, u->r11,
                                 u->r12, u->r13, u->r14, u->r15, u->rip};

    memcpy(r->at, in_order, sizeof in_order);
    r->count = sizeof in_order / sizeof in_order[0];
    r->pc = u->rip;
    r->sp = u->rsp;
}
#elif defined(__aarch64__)
#define KNOWS_REGISTERS true

static void
put_in_order(const struct user_regs_struct *u, struct guaco__registers *r)
{
    memcpy(r->at, u->regs, sizeof u->regs); /* x0 to x30 */
    r->at[31] = u->sp;
    r->count = 32;
    r->pc = u->pc;
    r->sp = u->sp;
}
#else
#define KNOWS_REGISTERS false

static void
put_in_order(const struct user_regs_struct *u, struct guaco__registers *r)
{
    (void)u;
    *r = (struct guaco__registers){.count = 0};
}
#endif

static int
read_registers(int tid, struct guaco__registers *r)
{
    struct user_regs_struct u;
    struct iovec io = {&u, sizeof u};

    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &io) != 0)
        return GUACO_E_MISSING;
    put_in_order(&u, r);
    return GUACO_OK;
}

/* ---- a stop ------------------------------------------------------------------------ */

int
guaco__freezer_check(int *sys)
{
    *sys = 0;
    if (!KNOWS_REGISTERS)
        return GUACO_E_UNSUPPORTED;
    /* No process has this number: where ptrace is allowed it says so. */
    if (ptrace(PTRACE_SEIZE, -1, NULL, NULL) == 0 || errno == ESRCH)
        return GUACO_OK;
    *sys = errno;
    return GUACO_E_IO;
}

int
guaco__freeze_begin(struct guaco__freezer *freezer, int tid,
                    struct guaco__registers *registers)
{
    assert(freezer->thread == 0);

    let_late_go(freezer);
    if (freezer->late_count == GUACO__LATE_MAX)
        return GUACO_E_AGAIN;
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return errno == ESRCH ? GUACO_E_MISSING : GUACO_E_IO;
    freezer->begin_ns = freezer->moved_ns = guaco__clock_mono_ns();
    freezer->signal = 0;
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    enum standing is = wait_for(freezer, tid, &freezer->signal);
    if (is == HAS_ENDED)
        return GUACO_E_MISSING;
    if (is == RUNS_ON) {
        freezer->late[freezer->late_count++] = tid;
        return GUACO_E_AGAIN;
    }
    freezer->thread = tid;
    int rc = read_registers(tid, registers);
    if (rc != GUACO_OK)
        guaco__freeze_end(freezer);
    return rc;
}

void
guaco__freeze_end(struct guaco__freezer *freezer)
{
    assert(freezer->thread != 0);

    let_go(freezer->thread, freezer->signal);
    freezer->thread = 0;
    uint64_t stood = guaco__clock_mono_ns() - freezer->moved_ns;
    freezer->stops++;
    freezer->total_ns += stood;
    if (stood > freezer->most_ns)
        freezer->most_ns = stood;
}
