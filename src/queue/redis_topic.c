/* What is listened to on the Redis store, and its names. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "redis_int.h"

void
guaco__redis_kick(const struct redis_store *self)
{
    const uint64_t one = 1;

    (void)!write(self->owed_fd, &one, sizeof one);
}

/* ---- topics; `lock` is held ---- */

static size_t
make_key(const struct guaco__notice *notice, char *key)
{
    size_t len = 0;

    key[len++] = (char)notice->kind;
    if (notice->kind == GUACO__NOTICE_TASKS) {
        size_t n = strlen(notice->queue);
        memcpy(key + len, notice->queue, n);
        len += n;
    } else if (notice->kind == GUACO__NOTICE_TASK) {
        memcpy(key + len, &notice->id, sizeof notice->id);
        len += sizeof notice->id;
    }
    return len;
}

int
guaco__redis_topic_add(struct redis_store *self,
                       const struct guaco__notice *notice)
{
    char key[sizeof((struct redis_topic *)0)->key];
    size_t len = make_key(notice, key);
    struct redis_topic *topic =
        guaco__map_get(&self->topics, (struct guaco_slice){key, len});

    if (topic != NULL) {
        topic->notice = *notice;
        return GUACO_OK;
    }
    topic = malloc(sizeof *topic);
    if (topic == NULL)
        return GUACO_E_NOMEM;
    guaco__list_init(&topic->link);
    guaco__list_init(&topic->owed);
    topic->notice = *notice;
    topic->key_len = len;
    memcpy(topic->key, key, len);
    int rc = guaco__map_put(&self->topics,
                            (struct guaco_slice){topic->key, len}, topic);
    if (rc != GUACO_OK) {
        free(topic);
        return rc;
    }
    topic->is_mapped = true;
    if (notice->kind == GUACO__NOTICE_TASKS)
        guaco__list_push(&self->hungry, &topic->link);
    return GUACO_OK;
}

void
guaco__redis_topic_unmap(struct redis_store *self, struct redis_topic *topic)
{
    (void)guaco__map_take(&self->topics,
                          (struct guaco_slice){topic->key, topic->key_len});
    guaco__list_remove(&topic->link);
    topic->is_mapped = false;
}

void
guaco__redis_topic_drop(struct redis_store *self,
                        const struct guaco__notice *notice)
{
    char key[sizeof((struct redis_topic *)0)->key];
    struct redis_topic *topic = guaco__map_get(
        &self->topics, (struct guaco_slice){key, make_key(notice, key)});

    if (topic == NULL)
        return;
    guaco__redis_topic_unmap(self, topic);
    if (guaco__list_is_empty(&topic->owed))
        free(topic);
}

void
guaco__redis_bell_owe(struct redis_store *self)
{
    size_t at = 0;
    void *value;

    pthread_mutex_lock(&self->lock);
    while (guaco__map_next(&self->topics, &at, NULL, &value)) {
        struct redis_topic *topic = value;
        if (guaco__list_is_empty(&topic->owed))
            guaco__list_push(&self->owed, &topic->owed);
    }
    pthread_mutex_unlock(&self->lock);
    guaco__redis_kick(self);
}

/* ---- names ---- */

void
guaco__redis_topic_name(uint64_t topic, char out[REDIS_TOPIC_BYTES])
{
    const uint64_t owner = 1ULL << 62;

    if ((topic & 1ULL << 63) != 0)
        (void)snprintf(out, REDIS_TOPIC_BYTES, "k%016" PRIx64, topic);
    else if ((topic & owner) != 0)
        (void)snprintf(out, REDIS_TOPIC_BYTES, "o%" PRIu64, topic & ~owner);
    else
        (void)snprintf(out, REDIS_TOPIC_BYTES, "%" PRIu64, topic);
}

/* 16 hex digits, of a key's topic. */
static bool
read_hex(struct guaco_slice text, uint64_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f'))
            return false;
        value = value << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return text.len == 16 && value >> 63 != 0;
}

bool
guaco__redis_topic_read(struct guaco_slice name, uint64_t *topic)
{
    char kind = name.len == 0 ? '\0' : *name.at;
    struct guaco_slice rest = {name.at + 1, name.len - (name.len > 0)};
    int64_t number;

    if (kind == 'k')
        return read_hex(rest, topic);
    if (!guaco__text_number(kind == 'o' ? &rest : &name, 1, INT64_MAX >> 1,
                            &number))
        return false;
    *topic =
        kind == 'o' ? guaco__topic_owner((uint64_t)number) : (uint64_t)number;
    return true;
}
