#include "fanout.h"

#include "core.h"
#include "delivery.h"
#include "gate.h"
#include "replay.h"
#include "reply.h"

void fanout_join(struct conn *conn, struct user *user)
{
    conn->user = user_hold(user);
    list_prepend(&user->conns, &conn->user_link);
    user->conn_count++;
}

void fanout_leave(struct core *core, struct conn *conn)
{
    struct user *user = conn->user;
    if (user->fanout != NULL && user->fanout->at == &conn->user_link)
        user->fanout->at = conn->user_link.next;
    list_remove(&conn->user_link);
    user->conn_count--;
    conn->user = NULL;
    if (user->conn_count == 0)
        gate_on_idle(core, user);
    user_drop(&core->users, user);
}

static void tell_waiters(struct core *core, struct delivery *delivery)
{
    const struct record *record = delivery->entry.record;
    for (struct list *at; (at = list_shift(&delivery->waiters)) != NULL;) {
        struct delivery_waiter *waiter = container_of(at, struct delivery_waiter, link);
        struct conn *conn = conn_find(core, waiter->conn);
        if (conn != NULL) {
            char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
            conn_reply_end(core, conn, reply_write_dup(out, &waiter->id, record->ts_from, record->mid));
            conn_answered(core, conn);
        }
        pool_give(&core->waiter_pool, waiter);
    }
}

/* The connection that sent it may be catching up: then its `ok` comes there, in its place. */
static void on_delivery_left(struct core *core, struct delivery *delivery)
{
    struct conn *conn = conn_find(core, delivery->conn);
    if (conn != NULL && conn->state == CONN_REPLAY)
        delivery->is_told = replay_expect_ok(conn, delivery->entry.ts, &delivery->id);
    tell_waiters(core, delivery);
}

/* The frame of `entry` for those who did not send it, in core->push_scratch. */
static size_t frame_build(struct core *core, const struct entry *entry)
{
    struct message message = record_view(entry->record, entry->role);
    return reply_write_msg(core->push_scratch, &message, entry->prev);
}

static bool is_senders(const struct entry *entry, const struct conn *conn)
{
    if (entry->role == ROLE_RECEIVED)
        return false;
    const struct delivery *delivery = container_of(entry, const struct delivery, entry);
    return !delivery->is_told && delivery->conn.slot == conn->slot && delivery->conn.generation == conn->generation;
}

static void give_ok(struct core *core, struct conn *conn, struct entry *entry)
{
    struct delivery *delivery = delivery_of_entry(entry);
    delivery->is_told = true;
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_sent(out, &delivery->id, entry->ts, entry->prev, entry->record->mid));
    conn_answered(core, conn);
}

static void give(struct core *core, struct conn *conn, struct entry *entry, size_t *frame_bytes)
{
    if (conn->state != CONN_LIVE || conn->cursor >= entry->ts)
        return;
    ASSERT(conn->cursor == entry->prev);
    conn->cursor = entry->ts;
    if (is_senders(entry, conn)) {
        give_ok(core, conn, entry);
        return;
    }
    if (*frame_bytes == 0)
        *frame_bytes = frame_build(core, entry);
    conn_push(core, conn, core->push_scratch, *frame_bytes);
}

/* True when all connections have it; false when the turn's budget is used up. */
static bool give_to_all(struct core *core, struct fanout *fanout, struct entry *entry)
{
    size_t frame_bytes = 0;
    struct list *conns = &fanout->user->conns;
    if (fanout->at == NULL)
        fanout->at = conns->next;
    while (fanout->at != conns) {
        if (core->fanout_left == 0)
            return false;
        core->fanout_left--;
        struct conn *conn = container_of(fanout->at, struct conn, user_link);
        fanout->at = fanout->at->next; /* giving may take the connection out of the list */
        give(core, conn, entry, &frame_bytes);
    }
    fanout->at = NULL;
    return true;
}

static struct fanout *fanout_make(struct core *core, struct user *user)
{
    struct fanout *fanout = pool_take(&core->fanout_pool);
    ASSERT(fanout != NULL);
    *fanout = (struct fanout){.user = user};
    list_init(&fanout->entries);
    list_init(&fanout->turn_link);
    user->fanout = fanout;
    return fanout;
}

static void fanout_run(struct core *core, struct fanout *fanout)
{
    if (!list_is_empty(&fanout->turn_link))
        return; /* it has had its turn */
    while (!list_is_empty(&fanout->entries)) {
        struct entry *entry = container_of(fanout->entries.next, struct entry, link);
        if (!give_to_all(core, fanout, entry)) {
            list_append(&core->fanouts, &fanout->turn_link);
            return;
        }
        list_remove(&entry->link);
        delivery_finish(core, entry);
    }
    fanout->user->fanout = NULL;
    pool_give(&core->fanout_pool, fanout);
}

void fanout_release(struct core *core, struct user *user)
{
    for (struct entry *entry; (entry = timeline_release(&user->timeline)) != NULL;) {
        struct fanout *fanout = user->fanout != NULL ? user->fanout : fanout_make(core, user);
        list_append(&fanout->entries, &entry->link);
        record_prefetch(entry->record);
        if (entry->role != ROLE_RECEIVED)
            on_delivery_left(core, delivery_of_entry(entry));
    }
    if (user->fanout != NULL)
        fanout_run(core, user->fanout);
}

bool fanout_continue(struct core *core)
{
    struct list fanouts;
    list_init(&fanouts);
    core->fanout_left = CORE_FANOUT_TURN_MAX;
    while (!list_is_empty(&core->fanouts))
        list_append(&fanouts, list_shift(&core->fanouts));
    for (struct list *at; (at = list_shift(&fanouts)) != NULL;) {
        struct fanout *fanout = container_of(at, struct fanout, turn_link);
        struct user *user = user_hold(fanout->user);
        fanout_run(core, fanout);
        user_drop(&core->users, user);
    }
    return !list_is_empty(&core->fanouts);
}
