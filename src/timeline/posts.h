/*
 * posts.h: sends of programs, which have no connection on the shard of the user as whom they send. A post is a send as
 * any other: it counts in the rate of its user, its key is checked, it is durable in both timelines when it is
 * answered, and all connections of both users get the `msg`.
 *
 * Posts come in groups, those of one request for users of one shard. The posts of a group are begun in order, a share
 * in each turn: a group that has more waits in core->posts.queue, and groups take turns. The outcome of each is written
 * into it; after the last one the group is given back to who owns it, who may wait on another shard. A group is always
 * given back: after a failed WAL write, too, when entries may never leave their timelines, its posts are answered with
 * `unavailable` within a second. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_POSTS_H
#define CHITCHAT_TIMELINE_POSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "timeline/post.h"

struct core;

/* A shard's state of this module. */
struct posts {
    struct list queue;    /* groups that have posts to begin */
    uint32_t group_count; /* groups that are not given back */
};

void posts_init(struct posts *posts);

/* Takes a group, and the posts in it, until on_done, which may be called before this returns. */
void posts_take(struct core *core, struct post_group *group);
/* End of a turn: begins more posts of the queue, as far as the turn's budget and the sends in flight allow. */
void posts_continue(struct core *core);
/* Whether posts can be begun in the next turn. */
bool posts_are_behind(const struct core *core);
/* Once a second: after a failed WAL write, answers what may never be answered otherwise. */
void posts_tick(struct core *core);

#endif
