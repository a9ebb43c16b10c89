#include "timeline/fanout.h"

#include <errno.h>
#include <stdlib.h>

#include "history/replay.h"
#include "protocol/reply.h"
#include "server/core.h"
#include "timeline/delivery.h"
#include "timeline/idempotency.h"

int fanouts_init(struct fanouts *fanouts)
{
    pool_init(&fanouts->pool, sizeof(struct fanout));
    list_init(&fanouts->queue);
    fanouts->frame = malloc(LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES));
    return fanouts->frame == NULL ? -ENOMEM : 0;
}

void fanouts_fini(struct fanouts *fanouts)
{
    pool_fini(&fanouts->pool);
    free(fanouts->frame);
}

void fanout_join(struct conn *conn, struct user *user)
{
    ASSERT(conn->user == NULL);
    ASSERT(!list_is_linked(&conn->user_link));
    conn->user = user_ref(user);
    list_prepend(&user->conns, &conn->user_link);
    user->conn_count++;
}

void fanout_leave(struct core *core, struct conn *conn)
{
    struct user *user = conn->user;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(user != NULL && user->conn_count > 0);
    ASSERT(list_is_linked(&conn->user_link));
    if (user->fanout != NULL && user->fanout->at == &conn->user_link)
        user->fanout->at = conn->user_link.next;
    seens_on_leave(core, conn);
    list_remove(&conn->user_link);
    user->conn_count--;
    conn->user = NULL;
    idempotency_on_idle(user);
    user_unref(&core->users, user);
}

/* Writes the `msg` of `entry` into core->fanouts.frame; returns its bytes. */
static size_t build_frame(struct core *core, const struct entry *entry)
{
    struct message message = record_view(entry->record, entry->role);
    return reply_write_msg(core->fanouts.frame, &message, entry->prev);
}

/* Whether `conn` sent `entry` and waits for the `ok`. A program has been answered when its entry is given. */
static bool awaits_ok(const struct entry *entry, const struct conn *conn)
{
    if (entry->role == ROLE_RECEIVED)
        return false;
    const struct delivery *delivery = container_of(entry, const struct delivery, entry);
    return !delivery->is_answered && delivery->conn.slot == conn->slot && delivery->conn.generation == conn->generation;
}

/* Records how long ago the request of `entry` was read. */
static void note_delay(struct core *core, struct histogram *histogram, const struct entry *entry)
{
    uint32_t us = (uint32_t)shard_monotonic_us(core->shard) - delivery_sent_us(entry);
    histogram_record(histogram, metrics_delay_shape, us);
}

static void give_ok(struct core *core, struct conn *conn, struct entry *entry)
{
    struct delivery *delivery = delivery_of_entry(entry);
    ASSERT(!delivery->is_answered);
    delivery->is_answered = true;
    note_delay(core, &core->metrics.send_to_ok, entry);
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_sent(out, &delivery->id, entry->ts, entry->prev, entry->record->mid));
    conn_answered(core, conn);
}

/* What writing to `conn` costs beside the entry, in pushes: nothing if the turn writes to it anyway. */
static uint32_t conn_pushes(const struct conn *conn)
{
    return list_is_linked(&conn->output_link) ? 0 : TURN_CONN_PUSHES;
}

/* Gives `entry` to `conn` if it is live and does not have it. *frame_bytes: of the frame in core->fanouts.frame, 0 if
 * it is not built yet. Returns the cost, in pushes. */
static uint32_t give_entry(struct core *core, struct conn *conn, struct entry *entry, size_t *frame_bytes)
{
    if (conn->state != CONN_LIVE || conn->cursor >= entry->ts)
        return 0;
    ASSERT(conn->cursor == entry->prev);
    conn->cursor = entry->ts;
    uint32_t pushes = 1 + conn_pushes(conn);
    if (awaits_ok(entry, conn)) {
        give_ok(core, conn, entry);
        return pushes;
    }
    if (*frame_bytes == 0)
        *frame_bytes = build_frame(core, entry);
    if (conn_push(core, conn, core->fanouts.frame, *frame_bytes))
        note_delay(core, &core->metrics.send_to_push, entry);
    return pushes + TURN_OUTPUT(*frame_bytes);
}

/* The connection that sent the message gets its `ok`: at once if it has all entries before; through its replay if it is
 * catching up; else with the fan-out. So does a program. Requests that wait for the same outcome get `dup`. */
static void on_delivery_left(struct core *core, struct delivery *delivery)
{
    struct entry *entry = &delivery->entry;
    size_t frame_bytes = 0;
    if (delivery->is_post) {
        note_delay(core, &core->metrics.send_to_ok, entry);
        delivery_answer_post(core, delivery);
        delivery_answer_waiters(core, delivery);
        return;
    }
    struct conn *conn = conn_find(core, delivery->conn);
    if (conn != NULL && conn->state == CONN_REPLAY) {
        replay_expect_ok(core, conn, entry->ts, &delivery->id);
        delivery->is_answered = true;
    } else if (conn != NULL && conn->cursor == entry->prev) {
        give_entry(core, conn, entry, &frame_bytes);
    }
    delivery_answer_waiters(core, delivery);
}

/* -- at once -- */

/* With so few connections an entry costs little more than its arrival did: the budget does not count it. */
#define FEW_CONNS 2u
/* More connections, but not worth a round while the turn has room. */
#define SOME_CONNS 16u

static bool may_give_at_once(const struct core *core, const struct user *user)
{
    if (user->fanout != NULL)
        return false;
    return user->conn_count <= FEW_CONNS || (user->conn_count <= SOME_CONNS && turn_may(&core->turn, TURN_PUSHES));
}

static void give_at_once(struct core *core, struct user *user, struct entry *entry)
{
    ASSERT(user->fanout == NULL);
    size_t frame_bytes = 0;
    uint32_t pushes = 0;
    bool is_budgeted = user->conn_count > FEW_CONNS;
    for (struct list *at = user->conns.next, *next; at != &user->conns; at = next) {
        next = at->next; /* to give may close the connection, which takes it out of the list */
        pushes += give_entry(core, container_of(at, struct conn, user_link), entry, &frame_bytes);
    }
    if (is_budgeted)
        turn_spend(&core->turn, TURN_PUSHES, pushes);
    delivery_finish(core, entry);
}

/* -- in rounds -- */

static struct fanout *make_fanout(struct core *core, struct user *user)
{
    ASSERT(user->fanout == NULL);
    struct fanout *fanout = pool_take(&core->fanouts.pool);
    ASSERT(fanout != NULL);
    *fanout = (struct fanout){.user = user};
    list_init(&fanout->entries);
    list_init(&fanout->turn_link);
    user->fanout = fanout;
    return fanout;
}

static void add_entry(struct core *core, struct user *user, struct entry *entry)
{
    struct fanout *fanout = user->fanout != NULL ? user->fanout : make_fanout(core, user);
    list_append(&fanout->entries, &entry->link);
    fanout->count++;
    fanout->bytes += record_body_bytes(entry->record);
}

static void begin_round(struct fanout *fanout)
{
    uint32_t bytes = 0;
    ASSERT(fanout->at == NULL && fanout->count > 0);
    fanout->round = 0;
    for (struct list *at = fanout->entries.next; at != &fanout->entries && fanout->round < FANOUT_ROUND_MAX;
         at = at->next) {
        bytes += record_body_bytes(container_of(at, struct entry, link)->record);
        if (fanout->round > 0 && bytes > FANOUT_ROUND_BYTES)
            break;
        fanout->round++;
        fanout->round_pushes = fanout->round + TURN_OUTPUT(bytes);
    }
    ASSERT(fanout->round > 0 && fanout->round <= fanout->count);
    fanout->at = fanout->user->conns.next;
}

static void end_round(struct core *core, struct fanout *fanout)
{
    ASSERT(fanout->at == &fanout->user->conns);
    ASSERT(fanout->round <= fanout->count);
    fanout->at = NULL;
    fanout->count -= fanout->round;
    for (; fanout->round > 0; fanout->round--) {
        struct entry *entry = container_of(list_shift(&fanout->entries), struct entry, link);
        uint32_t bytes = record_body_bytes(entry->record);
        ASSERT(fanout->bytes >= bytes);
        fanout->bytes -= bytes;
        delivery_finish(core, entry);
    }
}

#define SLICE_CONNS_MAX 64u

/* Takes the next connections of the round: as many as `pushes` will about pay for, at least one if any is left. Returns
 * their number; `conns` has room for SLICE_CONNS_MAX. */
static uint32_t take_slice(struct fanout *fanout, uint32_t pushes, struct conn **conns)
{
    ASSERT(fanout->at != NULL && pushes > 0);
    uint32_t count = 0, wanted = 0;
    while (fanout->at != &fanout->user->conns && count < SLICE_CONNS_MAX && wanted < pushes) {
        conns[count] = container_of(fanout->at, struct conn, user_link);
        wanted += fanout->round_pushes + conn_pushes(conns[count++]);
        fanout->at = fanout->at->next;
    }
    return count;
}

/* Gives the round's entries to the slice, entry by entry, so that a frame is built once. give_entry passes over a
 * connection that was closed meanwhile. Returns the cost, in pushes. */
static uint32_t give_to_slice(struct core *core, struct fanout *fanout, struct conn *const *conns, uint32_t count)
{
    uint32_t pushes = 1;
    struct list *link = fanout->entries.next;
    for (uint32_t i = 0; i < fanout->round; i++, link = link->next) {
        struct entry *entry = container_of(link, struct entry, link);
        size_t frame_bytes = 0;
        if (i + 1 < fanout->round)
            record_prefetch(container_of(link->next, struct entry, link)->record);
        for (uint32_t k = 0; k < count; k++)
            pushes += give_entry(core, conns[k], entry, &frame_bytes);
    }
    return pushes;
}

/* Gives out a user's share of the turn. The fan-out goes back into the queue if entries are left, else it is freed. */
static void give_share(struct core *core, struct fanout *fanout)
{
    ASSERT(fanout->user->fanout == fanout && !list_is_linked(&fanout->turn_link));
    struct conn *conns[SLICE_CONNS_MAX];
    uint32_t used = 0;
    while (fanout->count > 0) {
        if (used >= TURN_PUSHES_SHARE || !turn_may(&core->turn, TURN_PUSHES)) {
            list_append(&core->fanouts.queue, &fanout->turn_link);
            return;
        }
        if (fanout->at == NULL)
            begin_round(fanout);
        uint32_t pushes = give_to_slice(core, fanout, conns, take_slice(fanout, TURN_PUSHES_SHARE - used, conns));
        turn_spend(&core->turn, TURN_PUSHES, pushes);
        used += pushes;
        if (fanout->at == &fanout->user->conns)
            end_round(core, fanout);
    }
    ASSERT(list_is_empty(&fanout->entries));
    ASSERT(fanout->bytes == 0);
    fanout->user->fanout = NULL;
    pool_give(&core->fanouts.pool, fanout);
}

void fanout_release(struct core *core, struct user *user)
{
    ASSERT(user->refs > 0);
    for (struct entry *entry; (entry = timeline_release(&user->timeline)) != NULL;) {
        if (entry->role != ROLE_RECEIVED)
            on_delivery_left(core, delivery_of_entry(entry));
        if (may_give_at_once(core, user))
            give_at_once(core, user, entry);
        else
            add_entry(core, user, entry);
    }
    if (user->fanout != NULL && !list_is_linked(&user->fanout->turn_link))
        list_append(&core->fanouts.queue, &user->fanout->turn_link);
}

void fanout_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->fanouts.queue) && turn_may_carry(&core->turn, TURN_PUSHES)) {
        struct fanout *fanout = container_of(list_shift(&core->fanouts.queue), struct fanout, turn_link);
        struct user *user = user_ref(fanout->user);
        give_share(core, fanout);
        user_unref(&core->users, user);
    }
}

bool fanout_has_room(const struct user *user, uint32_t bytes)
{
    const struct fanout *fanout = user->fanout;
    uint32_t count = fanout == NULL ? 0 : fanout->count;
    if (!timeline_has_room(&user->timeline, count, bytes + (fanout == NULL ? 0 : fanout->bytes)))
        return false;
    return user->conn_count <= FEW_CONNS
           || (uint64_t)(user->timeline.pending_count + count) * user->conn_count < FANOUT_PUSHES_MAX;
}
