/* What all stores do with an op. */

#include <stdlib.h>

#include "broker_int.h"

void
guaco__op_take_back(struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_CLAIM:
        for (uint32_t i = 0; i < op->claim.count; i++)
            free((void *)(uintptr_t)op->claim.rows[i].envelope.at);
        op->claim.count = 0;
        break;
    case GUACO__OP_OWNER_REAP:
        free(op->reap.dead);
        op->reap.dead = NULL;
        op->reap.dead_count = 0;
        op->reap.returned = 0;
        break;
    case GUACO__OP_READ: guaco_news_release(op->read.news); break;
    case GUACO__OP_OWNER_RENEW:
        free(op->owner.canceled);
        op->owner.canceled = NULL;
        op->owner.canceled_count = 0;
        break;
    case GUACO__OP_KEY:
        if (op->key.verb == GUACO__KEY_GET || op->key.verb == GUACO__KEY_TAKE) {
            free((void *)(uintptr_t)op->key.value.at);
            op->key.value = (struct guaco_slice){0};
        }
        break;
    case GUACO__OP_OWNER_LIST:
        free(op->owners.owners);
        op->owners.owners = NULL;
        op->owners.n = 0;
        break;
    case GUACO__OP_RECUR_LIST:
        free(op->recur_list.all);
        op->recur_list.all = NULL;
        op->recur_list.n = 0;
        break;
    case GUACO__OP_PROMOTE: op->promote.count = 0; break;
    case GUACO__OP_SWEEP: op->sweep.count = 0; break;
    case GUACO__OP_PURGE: op->purge.count = 0; break;
    case GUACO__OP_REPLAY: op->replay.count = 0; break;
    case GUACO__OP_PUT:
    case GUACO__OP_FINISH:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_OPEN:
    case GUACO__OP_RECUR_SET:
    case GUACO__OP_TICK:
    case GUACO__OP_STATS:
    case GUACO__OP_LIST:
    case GUACO__OP_IDS:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_REVOKE:
    case GUACO__OP_KEY_LIST:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: break;
    }
}

bool
guaco__op_is_write(const struct guaco__op *op)
{
    switch (op->kind) {
    case GUACO__OP_OWNER_LIST:
    case GUACO__OP_RECUR_LIST:
    case GUACO__OP_STATS:
    case GUACO__OP_KEY_LIST:
    case GUACO__OP_LIST: return false;
    case GUACO__OP_KEY: return op->key.verb != GUACO__KEY_GET;
    case GUACO__OP_READ: return op->read.take;
    case GUACO__OP_PUT:
    case GUACO__OP_CLAIM:
    case GUACO__OP_FINISH:
    case GUACO__OP_RELEASE:
    case GUACO__OP_EVENT:
    case GUACO__OP_OWNER_OPEN:
    case GUACO__OP_OWNER_RENEW:
    case GUACO__OP_OWNER_REAP:
    case GUACO__OP_PROMOTE:
    case GUACO__OP_SWEEP:
    case GUACO__OP_RECUR_SET:
    case GUACO__OP_TICK:
    case GUACO__OP_PURGE:
    case GUACO__OP_REPLAY:
    case GUACO__OP_IDS:
    case GUACO__OP_CANCEL:
    case GUACO__OP_PAUSE:
    case GUACO__OP_REVOKE:
    case GUACO__OP_LOCK:
    case GUACO__OP_RECUR_PUT:
    case GUACO__OP_RECUR_DROP:
    case GUACO__OP_RECUR_PAUSE: break;
    }
    return true;
}
