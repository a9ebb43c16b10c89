#include "timeline/posts.h"

#include "server/core.h"
#include "timeline/delivery.h"
#include "timeline/idempotency.h"
#include "timeline/senders.h"

void posts_init(struct posts *posts)
{
    *posts = (struct posts){.group_count = 0};
    list_init(&posts->queue);
}

/* Before there is a delivery. */
static void refuse_at_once(struct core *core, struct post *post, enum error_code code, const char *message,
                           uint32_t retry_after_ms)
{
    metric_add(&core->metrics.sends[METRICS_SEND_REFUSED], 1);
    post_refuse(core, post, code, message, retry_after_ms);
}

static void send_as(struct core *core, struct user *user, struct post *post)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    if (!rate_take(&user->send_rate, core->server->config->send_rate, shard_monotonic_us(core->shard),
                   &retry_after_ms)) {
        refusal_note(core, REFUSAL_SEND_RATE, &post->group->address, "over HTTP");
        refuse_at_once(core, post, ERROR_RATE_LIMITED, "too many sends of this user: wait", retry_after_ms);
        return;
    }
    if (!core_admits_send_of(core, user, 1, &code, &message, &retry_after_ms)) {
        refuse_at_once(core, post, code, message, retry_after_ms);
        return;
    }
    struct delivery *delivery = delivery_make_for_post(core, user, post, post->group->count == 1);
    if (delivery == NULL) {
        refuse_at_once(core, post, ERROR_BUSY, "no room for the message: wait and send again", DELIVERY_RETRY_MS);
        return;
    }
    idempotency_take(core, delivery);
}

/* The last post of its group may give the group back. */
static void post_begin(struct core *core, struct post *post)
{
    ASSERT(core_shard_of(core, post->from) == core->index);
    struct user *user = user_take(&core->users, post->from);
    if (user == NULL) {
        refuse_at_once(core, post, ERROR_BUSY, "no memory for the user: wait and send again", DELIVERY_RETRY_MS);
        return;
    }
    senders_keep(core, user);
    send_as(core, user, post);
    user_unref(&core->users, user);
}

static uint32_t post_units(const struct post *post)
{
    return 1 + (uint32_t)(post->send.text.bytes / TURN_FRAME_BYTES);
}

/* Begins posts of the group, a share at most, while `may` allows. True: none is left, and the group may be gone. */
static bool group_step(struct core *core, struct post_group *group,
                       bool (*may)(const struct turn *turn, enum turn_kind kind))
{
    uint32_t used = 0;
    while (group->next != NULL) {
        if (used >= TURN_INPUT_SHARE || !may(&core->turn, TURN_INPUT) || core_has_sends_enough(core))
            return false;
        struct post *post = group->next;
        uint32_t units = post_units(post);
        bool is_last = post->next == NULL;
        group->next = post->next;
        used += units;
        turn_spend(&core->turn, TURN_INPUT, units);
        post_begin(core, post);
        if (is_last)
            return true;
    }
    return true;
}

void posts_take(struct core *core, struct post_group *group)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(group->first != NULL && group->count > 0);
    group->next = group->first;
    group->unanswered = group->count;
    list_init(&group->link);
    for (struct post *post = group->first; post != NULL; post = post->next) {
        post->group = group;
        post->is_answered = post->is_dup = false;
    }
    core->posts.group_count++;
    if (!list_is_empty(&core->posts.queue) || !group_step(core, group, turn_may))
        list_append(&core->posts.queue, &group->link);
}

bool posts_are_behind(const struct core *core)
{
    return !list_is_empty(&core->posts.queue) && !core_has_sends_enough(core);
}

void posts_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (posts_are_behind(core) && turn_may_carry(&core->turn, TURN_INPUT)) {
        struct post_group *group = container_of(list_shift(&core->posts.queue), struct post_group, link);
        if (!group_step(core, group, turn_may_carry))
            list_append(&core->posts.queue, &group->link);
    }
}

void posts_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->posts.group_count == 0 || !core_has_store_failed(core))
        return;
    for (uint32_t i = 0; i < core->users.slot_count; i++)
        if (core->users.slots[i] != NULL)
            delivery_give_up_posts(core, core->users.slots[i]);
}
