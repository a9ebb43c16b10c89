/* seen_push.c: marks reach the peer's shard, and the connections of both users. */
#include "base/fault.h"
#include "protocol/reply.h"
#include "server/core.h"
#include "timeline/erasure.h"
#include "timeline/seen_private.h"

/* -- pushes -- */

void seen_push_begin(struct core *core, struct seen_push *push, struct user *user, bool is_own)
{
    push->user = user;
    push->at = user->conns.next;
    push->is_own = is_own;
    list_append(&core->seens.pushes, &push->link);
}

static void return_letter(struct core *core, struct seen *seen)
{
    seen->letter.kind = LETTER_SEEN_RETURNED;
    if (seen->from == core->index)
        seen_on_returned(core, seen);
    else
        shard_post(core->shard, seen->from, &seen->letter);
}

static void push_end(struct core *core, struct seen_push *push)
{
    ASSERT(push->at == &push->user->conns);
    list_remove(&push->link);
    if (push->is_own) {
        struct seen *seen = container_of(push, struct seen, own_push);
        seen->is_pushing = false;
        seen_end_if_done(core, seen);
        return;
    }
    user_unref(&core->users, push->user);
    return_letter(core, container_of(push, struct seen, peer_push));
}

/* Writes the push into `frame` (REPLY_BYTES_MAX). Returns its bytes. */
static size_t build_frame(const struct seen_push *push, char *frame)
{
    if (push->is_own) {
        const struct seen *seen = container_of(push, const struct seen, own_push);
        return reply_write_seen(frame, seen_peer(seen), seen->ts);
    }
    const struct seen *seen = container_of(push, const struct seen, peer_push);
    return reply_write_seen_by(frame, seen_user(seen), seen->peer_ts, seen->mid);
}

/* Whether `conn` gets the push: not the one that asked. */
static bool takes_push(const struct seen_push *push, const struct conn *conn)
{
    if (!conn_is_logged_in(conn))
        return false;
    const struct seen *seen = container_of(push, const struct seen, own_push);
    return !push->is_own || seen->conn.slot != conn->slot || seen->conn.generation != conn->generation;
}

/* Gives the push to its next connection. Returns the cost, in pushes. */
static uint32_t push_to_next(struct core *core, struct seen_push *push, const char *frame, size_t bytes)
{
    struct conn *conn = container_of(push->at, struct conn, user_link);
    push->at = push->at->next; /* to push may close the connection, which takes it out of the list */
    if (!takes_push(push, conn))
        return 1;
    uint32_t pushes = 1 + (list_is_linked(&conn->output_link) ? 0 : TURN_CONN_PUSHES);
    conn_push(core, conn, frame, bytes);
    return pushes;
}

void seen_pushes_continue(struct core *core)
{
    char frame[REPLY_BYTES_MAX];
    while (!list_is_empty(&core->seens.pushes) && turn_may_carry(&core->turn, TURN_PUSHES)) {
        struct seen_push *push = container_of(core->seens.pushes.next, struct seen_push, link);
        size_t bytes = build_frame(push, frame);
        while (push->at != &push->user->conns && turn_may_carry(&core->turn, TURN_PUSHES))
            turn_spend(&core->turn, TURN_PUSHES, push_to_next(core, push, frame, bytes));
        if (push->at == &push->user->conns)
            push_end(core, push);
    }
}

void seens_on_leave(struct core *core, struct conn *conn)
{
    const struct list *head = &core->seens.pushes;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct seen_push *push = container_of(at, struct seen_push, link);
        if (push->at == &conn->user_link)
            push->at = conn->user_link.next;
    }
}

/* -- the peer's shard -- */

void seen_arrive(struct core *core, uint32_t from, struct seen *seen)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(from == seen->from && seen->to == core->index);
    struct seen_marks marks = {.seen_by = seen->peer_ts};
    uint64_t hash = seen->peer_pair_hash;
    struct seen_marks old = reads_memory_marks(core, hash, seen_peer(seen), seen_user(seen));
    seen->is_peer_full = !core_takes_sends(core, 0, &code, &message, &retry_after_ms);
    int status = FAULT(SEEN_BY_NOT_KEPT)
                     ? 0
                     : memtable_mark_pair(core->generations.filling, hash, seen_peer(seen), seen_user(seen), marks);
    ASSERT(status == 0);
    bool is_news = old.seen_by < seen->peer_ts && erasure_cut_ts(core, seen_peer(seen)) < seen->peer_ts;
    struct user *user = is_news ? user_take(&core->users, seen_peer(seen)) : NULL;
    if (user != NULL && user->conn_count > 0) {
        seen_push_begin(core, &seen->peer_push, user, false);
        return;
    }
    if (user != NULL)
        user_unref(&core->users, user);
    return_letter(core, seen);
}
