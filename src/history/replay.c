#include "history/replay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "connection/backpressure.h"
#include "history/range_read.h"
#include "protocol/reply.h"
#include "server/core.h"

#define PAGE_ENTRIES 256u
#define PAGE_BYTES (64u << 10)

/* The `ok` of a send whose entry the replay will write. */
struct expected_ok {
    struct list link; /* in replay->oks */
    uint64_t ts;
    struct request_id id;
};

struct replay {
    struct conn *conn;
    struct core *core;
    struct list link;        /* in core->replays.queue */
    struct range_read *read; /* the page: at the reader, or read; NULL: none */
    bool is_reading;         /* the reader has it */
    int result;              /* of a page that was read: 0 or -errno */
    struct list oks;         /* struct expected_ok, ascending in ts */
    uint64_t first;          /* of the login */
    uint64_t hidden_ts;      /* what --retention hid at the login */
    uint64_t prev;           /* of the next entry, if is_prev_known */
    bool is_prev_known;
};

/* The newest ts up to the cursor at which something is cut or hidden: nothing is shown before it. */
static uint64_t cut_before(const struct core *core, const struct replay *replay)
{
    uint64_t cut = reads_cut(core, replay->conn->user);
    if (cut > replay->conn->cursor)
        cut = replay->conn->cursor;
    return cut > replay->first ? cut : replay->first;
}

/* What comes next is gone or hidden since the login: the chain of `prev` would have a gap. */
static bool has_lost_next(const struct core *core, const struct replay *replay)
{
    const struct conn *conn = replay->conn;
    uint64_t hidden_ts = core->retention.hidden_ts;
    return conn->cursor < conn->user->timeline.last
           && (conn->cursor < reads_cut(core, conn->user)
               || (hidden_ts > replay->hidden_ts && conn->cursor < hidden_ts));
}

void replay_start(struct core *core, struct conn *conn, bool is_entry, uint64_t first)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(first <= conn->cursor);
    ASSERT(conn->state == CONN_REPLAY && conn_replay(conn) == NULL);
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    replay->conn = conn;
    replay->core = core;
    replay->first = first;
    replay->hidden_ts = core->retention.hidden_ts;
    replay->prev = is_entry ? conn->cursor : cut_before(core, replay);
    replay->is_prev_known = conn->cursor == replay->prev || conn->cursor <= replay->hidden_ts;
    list_init(&replay->link);
    list_init(&replay->oks);
    conn_work(core, conn)->replay = replay;
    replay_queue_step(core, conn);
}

void replays_init(struct replays *replays)
{
    *replays = (struct replays){.oks_reserved = 0};
    list_init(&replays->queue);
    pool_init(&replays->ok_pool, sizeof(struct expected_ok));
}

void replays_fini(struct replays *replays)
{
    pool_fini(&replays->ok_pool);
}

void replay_expect_ok(struct core *core, struct conn *conn, uint64_t ts, const struct request_id *id)
{
    ASSERT(conn_replay(conn) != NULL);
    struct expected_ok *ok = pool_take(&core->replays.ok_pool);
    ASSERT(ok != NULL);
    ok->ts = ts;
    ok->id = *id;
    list_init(&ok->link);
    list_append(&conn->work->replay->oks, &ok->link);
}

void replay_queue_step(struct core *core, struct conn *conn)
{
    struct replay *replay = conn_replay(conn);
    if (replay != NULL && !replay->is_reading && !list_is_linked(&replay->link)
        && conn->out_bytes < backpressure_pause_bytes(core, REPLAY_OUTPUT_PAUSE_BYTES))
        list_append(&core->replays.queue, &replay->link);
}

void replay_drop(struct core *core, struct conn *conn)
{
    struct replay *replay = conn_replay(conn);
    if (replay == NULL)
        return;
    conn->work->replay = NULL;
    list_remove(&replay->link);
    range_read_close(&replay->read);
    for (struct list *at; (at = list_shift(&replay->oks)) != NULL;)
        pool_give(&core->replays.ok_pool, container_of(at, struct expected_ok, link));
    free(replay);
}

/* Takes the expected `ok` of the entry at `ts`; NULL: another connection sent the entry. */
static struct expected_ok *take_ok(struct replay *replay, uint64_t ts)
{
    if (list_is_empty(&replay->oks))
        return NULL;
    struct expected_ok *ok = container_of(replay->oks.next, struct expected_ok, link);
    ASSERT(ok->ts >= ts);
    if (ok->ts > ts)
        return NULL;
    list_remove(&ok->link);
    return ok;
}

/* Writes an entry to the connection. */
static void entry_write(struct core *core, struct replay *replay, const struct message *message)
{
    struct conn *conn = replay->conn;
    struct expected_ok *ok = take_ok(replay, message->ts);
    if (ok != NULL) {
        char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
        conn_reply_end(core, conn, reply_write_sent(out, &ok->id, message->ts, replay->prev, message->mid));
        conn_answered(core, conn);
        pool_give(&core->replays.ok_pool, ok);
    } else {
        char *out = conn_reply_begin(core, conn, LIMIT_MSG_BYTES(message->text.bytes));
        conn_reply_end(core, conn, reply_write_msg(out, message, replay->prev));
        metric_add(&core->metrics.replayed, 1);
    }
    replay->prev = message->ts;
    conn->cursor = message->ts;
}

/* All entries are written. From now on the fan-out writes to the connection. */
static void go_live(struct core *core, struct conn *conn)
{
    ASSERT(list_is_empty(&conn->work->replay->oks));
    replay_drop(core, conn);
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_live(out));
    conn_set_state(conn, CONN_LIVE);
    conn_hear(core, conn);
    conn_queue_resume(core, conn);
}

/* Writes the page that was read. False: the page is empty, though the timeline has more entries, or the rows of a
 * damaged run are out of order. */
static bool page_write(struct core *core, struct replay *replay)
{
    bool was_prev_known = replay->is_prev_known;
    bool is_ordered = true;
    uint32_t count;
    bool more;
    const struct message *messages = range_read_messages(replay->read, &count, &more);
    uint32_t out_bytes = replay->conn->out_bytes;
    if (!was_prev_known)
        replay->prev = cut_before(core, replay);
    for (uint32_t i = 0; i < count && is_ordered; i++) {
        if (!replay->is_prev_known) {
            /* This page has the newest entry up to the cursor. */
            replay->prev = messages[i].ts;
            continue;
        }
        is_ordered = messages[i].ts > replay->conn->cursor;
        if (is_ordered)
            entry_write(core, replay, &messages[i]);
    }
    replay->is_prev_known = true;
    turn_spend(&core->turn, TURN_REPLAYS, 1 + count + TURN_OUTPUT(replay->conn->out_bytes - out_bytes));
    range_read_close(&replay->read);
    return is_ordered && (count > 0 || !was_prev_known);
}

/* The page was read: writes it, or closes the connection. */
static void page_take_up(struct core *core, struct replay *replay)
{
    struct conn *conn = replay->conn;
    ASSERT(replay->read != NULL);
    ASSERT(!replay->is_reading);
    if (replay->result != 0) {
        range_read_close(&replay->read);
        conn_close(core, conn, 1011, "the messages cannot be read: reconnect later");
        return;
    }
    if (page_write(core, replay)) {
        replay_queue_step(core, conn);
        return;
    }
    log_line(LOG_ERROR, "replay_hole", "shard=%u cursor=%" PRIu64 " last=%" PRIu64, core->index, conn->cursor,
             conn->user->timeline.last);
    conn_close(core, conn, 1011, "the messages cannot be read: reconnect later");
}

/* The page waits in the queue like other work of the turn. */
static void on_page(void *context, int result)
{
    struct replay *replay = context;
    ASSERT(replay->is_reading);
    replay->is_reading = false;
    replay->result = result;
    list_append(&replay->core->replays.queue, &replay->link);
}

/* Opens the next page. Before the first one it reads the newest entry up to the cursor: its ts is the first prev. */
static struct range_read *page_open(struct core *core, struct replay *replay)
{
    struct conn *conn = replay->conn;
    struct store_range range = {.after = conn->cursor,
                                .before = reads_bound(core, conn->user),
                                .oldest_first = true,
                                .rows_max = PAGE_ENTRIES,
                                .bytes_max = PAGE_BYTES};
    if (!replay->is_prev_known) {
        range.after = 0;
        range.before = conn->cursor + 1;
        range.oldest_first = false;
        range.rows_max = 1;
    }
    return range_read_open(core, user_name(conn->user), &range, NULL);
}

static void replay_step(struct core *core, struct replay *replay)
{
    struct conn *conn = replay->conn;
    ASSERT(conn->state == CONN_REPLAY);
    ASSERT(!replay->is_reading);
    if (has_lost_next(core, replay)) {
        conn_close(core, conn, ERASURE_CLOSE_CODE, "the timeline was cut: log in again");
        return;
    }
    if (replay->read != NULL) {
        page_take_up(core, replay);
        return;
    }
    if (replay->is_prev_known && (conn->cursor == conn->user->timeline.last || FAULT(REPLAY_SEAM))) {
        go_live(core, conn);
        return;
    }
    replay->read = page_open(core, replay);
    if (replay->read == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    replay->result = 0;
    if (range_read_needs_runs(replay->read)) {
        replay->is_reading = true;
        range_read_post(replay->read, READS_REPLAY, on_page, replay);
        return;
    }
    page_take_up(core, replay);
}

void replay_step_all(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->replays.queue) && turn_may(&core->turn, TURN_REPLAYS)) {
        struct replay *replay = container_of(list_shift(&core->replays.queue), struct replay, link);
        turn_spend(&core->turn, TURN_REPLAYS, 1);
        if (backpressure_is_full(core))
            backpressure_defer(core);
        else
            replay_step(core, replay);
    }
}
