#include "timeline/senders.h"

#include "server/core.h"
#include "timeline/idempotency.h"

/* Senders that one tick looks at, at most. */
#define TICK_MAX 4096u

struct sender {
    struct list link;  /* in core->senders.kept */
    struct user *user; /* a reference */
    uint32_t until_s;  /* monotonic */
};

void senders_init(struct senders *senders)
{
    pool_init(&senders->pool, sizeof(struct sender));
    list_init(&senders->kept);
}

void senders_fini(struct senders *senders)
{
    pool_fini(&senders->pool);
}

static struct sender *first_of(struct senders *senders)
{
    return container_of(senders->kept.next, struct sender, link);
}

static void append(struct core *core, struct sender *sender)
{
    sender->until_s = core_now_s(core) + SENDERS_KEPT_S;
    sender->user->has_sent_again = false;
    list_append(&core->senders.kept, &sender->link);
}

static void release(struct core *core, struct sender *sender)
{
    struct user *user = sender->user;
    ASSERT(user->is_kept);
    list_remove(&sender->link);
    pool_give(&core->senders.pool, sender);
    user->is_kept = false;
    idempotency_on_idle(user);
    user_unref(&core->users, user);
}

void senders_keep(struct core *core, struct user *user)
{
    ASSERT_ON_SHARD(core->shard);
    user->has_sent_again = true;
    if (user->is_kept)
        return;
    if (core->senders.pool.taken >= SENDERS_MAX)
        release(core, first_of(&core->senders));
    struct sender *sender = pool_take(&core->senders.pool);
    if (sender == NULL)
        return;
    list_init(&sender->link);
    sender->user = user_ref(user);
    user->is_kept = true;
    append(core, sender);
}

void senders_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    for (uint32_t i = 0; i < TICK_MAX && !list_is_empty(&core->senders.kept); i++) {
        struct sender *sender = first_of(&core->senders);
        if (sender->until_s > core_now_s(core))
            return;
        if (sender->user->has_sent_again) {
            list_remove(&sender->link);
            append(core, sender);
        } else {
            release(core, sender);
        }
    }
}

void senders_release_all(struct core *core)
{
    while (!list_is_empty(&core->senders.kept))
        release(core, first_of(&core->senders));
}
