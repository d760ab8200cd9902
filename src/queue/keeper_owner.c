/* Owners that died: known by pidfd, by their pid's new holder, by another boot,
 * or by a lease that ran out. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper_int.h"
#include "os/process.h"
#include "os/proc.h"

/* How the last of them ended: "pid 12, signal 11 (Segmentation fault)". */
static void
describe(int32_t pid, int pidfd, char out[96])
{
    char how[64] = "its end unknown";
    struct guaco__process_end end;

    if (pidfd >= 0 && guaco__process_end_of(pid, pidfd, &end) == GUACO_OK)
        guaco__process_describe(&end, how, sizeof how);
    snprintf(out, 96, "pid %d, %s", (int)pid, how);
}

int
guaco__keeper_reap(struct guaco_keeper *keeper, uint64_t owner, int32_t pid,
                   int pidfd)
{
    char last[96];
    char reason[192];

    describe(pid, pidfd, last);
    int len = snprintf(reason, sizeof reason,
                       "the process that ran it died %u times while it ran "
                       "nothing else (last: %s)",
                       GUACO_TASK_DEATHS_MAX, last);
    struct guaco__op op = {
        .kind = GUACO__OP_OWNER_REAP,
        .reap = {.owner = owner, .died = true, .reason = {reason, (size_t)len}},
    };
    int rc = guaco__front_run_one(keeper->broker, &op, NULL);

    free(op.reap.dead);
    return rc == GUACO_E_MISSING ? GUACO_OK : rc; /* another was faster */
}

void
guaco__keeper_drop_owners(struct guaco_keeper *keeper)
{
    for (size_t i = 0; i < keeper->owner_count; i++)
        close(keeper->owners[i].pidfd);
    free(keeper->owners);
    keeper->owners = NULL;
    keeper->owner_count = 0;
}

/* GUACO_E_MISSING if that process is gone; *pidfd -1 if it cannot be told, or
 * how it ended neither. */
static int
watch_process(const struct guaco_keeper *keeper,
              const struct guaco__owner *owner, int *pidfd)
{
    struct guaco__proc_stat now;

    *pidfd = -1;
    if (owner->is_elsewhere || owner->pid_space != keeper->pid_space)
        return GUACO_OK; /* another machine or container: by its lease only */
    int rc = guaco__process_open(owner->pid, pidfd, NULL);
    if (rc != GUACO_OK)
        return rc == GUACO_E_MISSING ? rc : GUACO_OK;
    /* After the pidfd, so that the pid cannot change hands in between. */
    rc = guaco__proc_stat(owner->pid, &now, NULL);
    if (rc == GUACO_OK && now.start_ticks == owner->pid_start)
        return now.state == 'Z' ? GUACO_E_MISSING : GUACO_OK;
    close(*pidfd);
    *pidfd = -1;
    return GUACO_E_MISSING;
}

static int
look_at(struct guaco_keeper *keeper, const struct guaco__owner *owner)
{
    int pidfd = -1;

    if (!owner->boot_is_ours || (owner->is_expired && owner->holds) ||
        watch_process(keeper, owner, &pidfd) == GUACO_E_MISSING) {
        int rc = guaco__keeper_reap(keeper, owner->id, owner->pid, pidfd);
        if (pidfd >= 0)
            close(pidfd);
        return rc;
    }
    if (pidfd >= 0)
        keeper->owners[keeper->owner_count++] = (struct keeper_owner){
            .id = owner->id, .pid = owner->pid, .pidfd = pidfd};
    return GUACO_OK;
}

int
guaco__keeper_owners(struct guaco_keeper *keeper, int64_t *next_ms)
{
    struct guaco__op op = {.kind = GUACO__OP_OWNER_LIST};
    int64_t look_ms =
        guaco_broker_now_ms(keeper->broker) + GUACO__LEASE_LOOK_MS;
    int rc = guaco__front_run_one(keeper->broker, &op, NULL);

    if (rc != GUACO_OK)
        return rc;
    guaco__keeper_drop_owners(keeper);
    keeper->owners = calloc(op.owners.n + 1, sizeof *keeper->owners);
    if (keeper->owners == NULL)
        rc = GUACO_E_NOMEM;
    for (size_t i = 0; i < op.owners.n && rc == GUACO_OK; i++) {
        if (op.owners.owners[i].holds && look_ms < *next_ms)
            *next_ms = look_ms;
        rc = look_at(keeper, &op.owners.owners[i]);
    }
    free(op.owners.owners);
    return rc;
}
