#include "timeline/post.h"

#include "server/core.h"

static void count_answer(struct core *core, struct post *post)
{
    struct post_group *group = post->group;
    ASSERT(!post->is_answered && group->unanswered > 0);
    post->is_answered = true;
    if (--group->unanswered > 0)
        return;
    ASSERT(group->next == NULL && !list_is_linked(&group->link));
    ASSERT(core->posts.group_count > 0);
    core->posts.group_count--;
    group->on_done(core, group);
}

void post_answer(struct core *core, struct post *post, uint64_t ts, const uint8_t *mid, bool is_dup)
{
    post->code = ERROR_NONE;
    post->is_dup = is_dup;
    post->ts = ts;
    memcpy(post->mid, mid, sizeof post->mid);
    count_answer(core, post);
}

void post_refuse(struct core *core, struct post *post, enum error_code code, const char *message,
                 uint32_t retry_after_ms)
{
    ASSERT(code != ERROR_NONE);
    metric_add(&core->metrics.errors[code], 1);
    post->code = code;
    post->message = message;
    post->retry_after_ms = retry_after_ms;
    count_answer(core, post);
}
