/* history.c: pages of a timeline, gathered from memory and runs. With a filter a page may take several reads. */
#include <stdlib.h>

#include "base/fault.h"
#include "connection/backpressure.h"
#include "history/history.h"
#include "history/range_read.h"
#include "operations/ops.h"
#include "protocol/reply.h"
#include "server/core.h"

#define READ_BYTES_MAX (256u << 10)
/* Read ahead: so many pages of a connection and of a shard, each of so much at most; a page that has more is read on
 * when it is the first. (budget.h counts their memory.) */
#define AHEAD_OF_CONN_MAX 8u
#define AHEAD_MAX 256u
#define AHEAD_ROWS_MAX 64u
#define AHEAD_BYTES_MAX (16u << 10)
/* How far ahead of its use a record's memory is asked for. */
#define PREFETCH_AHEAD 8u

/* Where a page stands. set_state is the one writer. */
enum history_state {
    HISTORY_WAITING,       /* for those before it, or for a place among those that are gathered */
    HISTORY_AHEAD_READING, /* the reader has it, though it was not the first of its connection */
    HISTORY_AHEAD_READ,    /* that read is back with `result` */
    HISTORY_AHEAD_TAKEN,   /* that read was taken up, and was not all: the page needs a place */
    HISTORY_GATHERING,     /* it has a place */
    HISTORY_READING,       /* and the reader has it */
    HISTORY_READ,          /* and its read is back with `result` */
};

struct history {
    struct history *next;
    struct core *core;
    struct conn *conn;
    struct request_id id;
    bool oldest_first;
    bool has_with;
    uint8_t state;
    int result;
    uint8_t with_bytes;
    char with[LIMIT_USER_BYTES];
    uint32_t limit;
    uint64_t after; /* what is left to look at, exclusive */
    uint64_t before;
    uint32_t looked;
    struct range_read *read;

    /* A page that takes several reads: the messages of the earlier ones, and their bytes. */
    struct message *copies;
    char *bytes;
    size_t bytes_used;

    /* What the page will hold, in the order of looking: copies, then messages of the read. */
    size_t page_used; /* as written in the page: at most, until is_exact */
    bool is_exact;
    uint32_t copied;
    uint32_t count;
    const struct message **kept; /* room for `limit` of them, once one is looked at; owned */
};

/* Room for names, key, mid and text of a page full of messages: raw bytes are never more than written ones. */
#define COPY_BYTES_MAX (LIMIT_PAGE_BYTES + LIMIT_RECORD_BYTES)
/* {"op":"history","id":"…","messages":[],"more":false,"next":…} */
#define PAGE_FRAME_BYTES (128u + LIMIT_ESCAPED_BYTES(LIMIT_ID_BYTES))

/* Bit s of row f says that a page may go from f to s. */
#define TO(state) (1u << (state))
static const uint8_t moves[] = {
    [HISTORY_WAITING] = TO(HISTORY_AHEAD_READING) | TO(HISTORY_GATHERING),
    [HISTORY_AHEAD_READING] = TO(HISTORY_AHEAD_READ),
    [HISTORY_AHEAD_READ] = TO(HISTORY_AHEAD_TAKEN),
    [HISTORY_AHEAD_TAKEN] = TO(HISTORY_GATHERING),
    [HISTORY_GATHERING] = TO(HISTORY_READING),
    [HISTORY_READING] = TO(HISTORY_READ),
    [HISTORY_READ] = TO(HISTORY_GATHERING),
};

static bool is_ahead(const struct history *history)
{
    return history->state >= HISTORY_AHEAD_READING && history->state <= HISTORY_AHEAD_TAKEN;
}

static bool has_place(const struct history *history)
{
    return history->state >= HISTORY_GATHERING;
}

static bool is_reading(const struct history *history)
{
    return history->state == HISTORY_READING || history->state == HISTORY_AHEAD_READING;
}

static bool is_read(const struct history *history)
{
    return history->state == HISTORY_READ || history->state == HISTORY_AHEAD_READ;
}

static void set_state(struct history *history, enum history_state state)
{
    struct histories *histories = &history->core->histories;
    ASSERT((moves[history->state] & TO(state)) != 0);
    histories->active -= has_place(history);
    histories->ahead -= is_ahead(history);
    history->state = (uint8_t)state;
    histories->active += has_place(history);
    histories->ahead += is_ahead(history);
}

static void history_free(struct history *history)
{
    history->core->histories.count--;
    history->core->histories.active -= has_place(history);
    history->core->histories.ahead -= is_ahead(history);
    range_read_close(&history->read);
    free(history->kept);
    free(history->copies);
    free(history->bytes);
    free(history);
}

void history_drop_all(struct core *core, struct conn *conn)
{
    (void)core;
    if (conn->work != NULL) {
        list_remove(&conn->work->history_link);
        list_remove(&conn->work->place_link);
    }
    while (conn_histories(conn) != NULL) {
        struct history *history = conn->work->histories;
        conn->work->histories = history->next;
        history_free(history);
    }
}

static struct history *history_make(struct core *core, struct conn *conn, const struct request *request)
{
    const struct request_history *asked = &request->history;
    if (core->histories.count >= core->budget.histories_max)
        return NULL;
    struct history *history = malloc(sizeof *history);
    if (history == NULL)
        return NULL;
    core->histories.count++;
    *history = (struct history){.core = core,
                                .conn = conn,
                                .id = request->id,
                                .oldest_first = asked->has_after,
                                .has_with = asked->has_with,
                                .limit = asked->limit,
                                .after = asked->after,
                                .before = asked->before};
    if (asked->has_with) {
        history->with_bytes = (uint8_t)asked->with.bytes;
        memcpy(history->with, asked->with.data, asked->with.bytes);
    }
    return history;
}

/* -- what a page holds -- */

static bool is_wanted(const struct history *history, const struct message *message)
{
    if (!history->has_with)
        return true;
    struct span with = {history->with, history->with_bytes};
    struct span other = message->role == ROLE_RECEIVED ? message->from : message->to;
    return span_equal(other, with);
}

/* Whether the page has room for the message; then it is counted in. A text is looked through for what will be escaped
 * only when the page might be full. */
static bool has_room(struct history *history, const struct message *message)
{
    size_t bytes = reply_page_message_bytes_max(message) + 1;
    if (!history->is_exact && history->page_used + bytes + PAGE_FRAME_BYTES > LIMIT_PAGE_BYTES) {
        history->is_exact = true;
        history->page_used = 0;
        for (uint32_t i = 0; i < history->count; i++)
            history->page_used += reply_page_message_bytes(history->kept[i]) + 1;
    }
    if (history->is_exact)
        bytes = reply_page_message_bytes(message) + 1;
    if (history->count > 0 && history->page_used + bytes + PAGE_FRAME_BYTES > LIMIT_PAGE_BYTES)
        return false;
    history->page_used += bytes;
    return true;
}

/* False: the page is full. */
static bool keep(struct history *history, const struct message *message)
{
    if (history->count == history->limit || !has_room(history, message))
        return false;
    history->kept[history->count++] = message;
    return true;
}

static struct span copy_span(struct history *history, struct span span)
{
    char *to = history->bytes + history->bytes_used;
    ASSERT(history->bytes_used + span.bytes <= COPY_BYTES_MAX);
    if (span.bytes > 0)
        memcpy(to, span.data, span.bytes);
    history->bytes_used += span.bytes;
    return (struct span){to, span.bytes};
}

/* The read is about to be closed, and the page goes on. False: no memory. */
static bool copy_kept(struct history *history)
{
    if (history->copied == history->count)
        return true;
    if (history->copies == NULL)
        history->copies = malloc(history->limit * sizeof *history->copies);
    if (history->bytes == NULL)
        history->bytes = malloc(COPY_BYTES_MAX);
    if (history->copies == NULL || history->bytes == NULL)
        return false;
    for (; history->copied < history->count; history->copied++) {
        const struct message *message = history->kept[history->copied];
        struct message *copy = &history->copies[history->copied];
        struct span mid = {(const char *)message->mid, LIMIT_MID_BYTES};
        *copy = *message;
        copy->mid = (const uint8_t *)copy_span(history, mid).data;
        copy->from = copy_span(history, message->from);
        copy->to = copy_span(history, message->to);
        copy->key = copy_span(history, message->key);
        copy->text = copy_span(history, message->text);
        history->kept[history->copied] = copy;
    }
    return true;
}

/* All up to the entry at `ts` has been looked at. */
static void move_bound(struct history *history, uint64_t ts)
{
    if (history->oldest_first)
        history->after = ts + FAULT(PAGE_BOUND_OFF);
    else
        history->before = ts - FAULT(PAGE_BOUND_OFF);
}

enum look { LOOK_ON, LOOK_END, LOOK_MORE };

/* Looks at one entry: kept, skipped, or the page is full before it. */
static enum look look_at(struct history *history, const struct message *message)
{
    if (history->has_with && history->looked == LIMIT_WITH_ENTRIES)
        return LOOK_MORE;
    if (is_wanted(history, message) && !keep(history, message))
        return LOOK_MORE;
    history->looked++;
    move_bound(history, message->ts);
    return LOOK_ON;
}

static enum look look_at_read(struct history *history)
{
    uint32_t count;
    bool more;
    const struct message *messages = range_read_messages(history->read, &count, &more);
    for (uint32_t i = 0; i < count; i++) {
        enum look look = look_at(history, &messages[history->oldest_first ? i : count - 1 - i]);
        if (look != LOOK_ON)
            return look;
    }
    if (!more)
        return LOOK_END;
    return !history->has_with && history->count == history->limit ? LOOK_MORE : LOOK_ON;
}

/* -- the page -- */

/* Takes the first of the connection's pages off and counts it as answered. */
static void history_end(struct core *core, struct conn *conn)
{
    struct history *history = conn->work->histories;
    conn->work->histories = history->next;
    history_free(history);
    conn_answered(core, conn);
}

/* The page stands in core->conns.scratch. */
static void page_give(struct core *core, struct history *history, struct reply_page *page, bool more)
{
    struct conn *conn = history->conn;
    size_t bytes;
    char *frame = reply_page_end(page, more, history->oldest_first ? history->after : history->before, &bytes);
    conn_write(core, conn, frame, bytes);
    turn_spend(&core->turn, TURN_READS, TURN_OUTPUT(bytes));
    history_end(core, conn);
}

static void page_write(struct core *core, struct history *history, bool more)
{
    struct reply_page page;
    reply_page_begin(&page, core->conns.scratch, &history->id);
    for (uint32_t i = 0; i < history->count; i++) {
        uint32_t at = history->oldest_first ? i : history->count - 1 - i;
        ASSERT(reply_page_add(&page, history->kept[at]));
    }
    page_give(core, history, &page, more);
}

/* -- pages that one read gives as a whole, written as they are looked at: most are of this kind, and have room for all
 * of it. False: there is more to be looked at, and nothing was done. -- */

static bool is_all_wanted(const struct history *history)
{
    return !history->has_with && history->count == 0;
}

/* The page holds the entries from `first` to `last`. */
static void page_give_all(struct core *core, struct history *history, struct reply_page *page, bool more,
                          uint64_t first, uint64_t last)
{
    if (page->count > 0)
        move_bound(history, history->oldest_first ? last : first);
    turn_spend(&core->turn, TURN_READS, page->count);
    page_give(core, history, page, more);
}

static bool page_write_hits(struct core *core, struct history *history)
{
    uint32_t count;
    bool more;
    struct reply_page page;
    const struct memtable_hit *hits = range_read_hits(history->read, &count, &more);
    if (!is_all_wanted(history))
        return false;
    reply_page_begin(&page, core->conns.scratch, &history->id);
    for (uint32_t i = 0; i < PREFETCH_AHEAD && i < count; i++)
        record_prefetch(hits[i].record);
    for (uint32_t i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            record_prefetch(hits[i + PREFETCH_AHEAD].record);
        struct message message = record_view(hits[i].record, hits[i].role);
        if (!reply_page_add(&page, &message))
            return false;
    }
    page_give_all(core, history, &page, more, count > 0 ? hits[0].ts : 0, count > 0 ? hits[count - 1].ts : 0);
    return true;
}

static bool page_write_messages(struct core *core, struct history *history)
{
    uint32_t count;
    bool more;
    struct reply_page page;
    const struct message *messages = range_read_messages(history->read, &count, &more);
    if (!is_all_wanted(history) || (more && count < history->limit))
        return false;
    reply_page_begin(&page, core->conns.scratch, &history->id);
    for (uint32_t i = 0; i < count; i++)
        if (!reply_page_add(&page, &messages[i]))
            return false;
    page_give_all(core, history, &page, more, count > 0 ? messages[0].ts : 0, count > 0 ? messages[count - 1].ts : 0);
    return true;
}

static void history_fail(struct core *core, struct conn *conn, enum error_code code, const char *message,
                         uint32_t retry_after_ms)
{
    struct history *history = conn->work->histories;
    conn->work->histories = history->next;
    conn_reply_error(core, conn, &history->id, code, message, retry_after_ms);
    history_free(history);
}

static void history_no_memory(struct core *core, struct conn *conn)
{
    history_fail(core, conn, ERROR_BUSY, "no memory for the page: wait and ask again", 1000);
}

static void history_look(struct core *core, struct history *history)
{
    struct conn *conn = history->conn;
    uint32_t looked = history->looked;
    if (history->kept == NULL)
        history->kept = malloc(history->limit * sizeof history->kept[0]);
    if (history->kept == NULL) {
        history_no_memory(core, conn);
        return;
    }
    enum look look = look_at_read(history);
    turn_spend(&core->turn, TURN_READS, history->looked - looked);
    if (look != LOOK_ON) {
        page_write(core, history, look == LOOK_MORE);
        return;
    }
    bool is_copied = copy_kept(history);
    range_read_close(&history->read);
    if (!is_copied)
        history_no_memory(core, conn);
}

/* The first of the connection's pages was read. */
static void history_take_read(struct core *core, struct history *history, int result)
{
    if (result != 0)
        history_fail(core, history->conn, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
    else if (!page_write_messages(core, history))
        history_look(core, history);
}

static void on_read(void *context, int result)
{
    struct history *history = context;
    struct core *core = history->core;
    struct conn *conn = history->conn;
    set_state(history, is_ahead(history) ? HISTORY_AHEAD_READ : HISTORY_READ);
    history->result = result;
    if (history == conn->work->histories)
        history_step(core, conn);
}

/* The next read of the page, answered by memory or given to the reader. */
static bool history_read(struct core *core, struct history *history, uint32_t bytes_max)
{
    uint64_t mark = reads_bound(core, history->conn->user);
    struct store_range range = {.after = history->after,
                                .before = history->before < mark ? history->before : mark,
                                .oldest_first = history->oldest_first,
                                .rows_max = history->has_with ? LIMIT_PAGE_ENTRIES : history->limit - history->count,
                                .bytes_max = bytes_max};
    if (range.after >= range.before)
        range.before = range.after;
    history->read = range_read_open(core, user_name(history->conn->user), &range);
    return history->read != NULL;
}

/* So many pages are gathered at once; the others wait, and take no memory. */
static bool history_begin(struct core *core, struct history *history)
{
    struct list *link = &history->conn->work->place_link;
    if (has_place(history))
        return true;
    if (core->histories.active >= HISTORY_ACTIVE_MAX || !list_is_empty(&core->histories.place_queue)) {
        if (!list_is_linked(link))
            list_append(&core->histories.place_queue, link);
        return false;
    }
    set_state(history, HISTORY_GATHERING);
    return true;
}

static void history_post(struct history *history, enum history_state state)
{
    set_state(history, state);
    range_read_post(history->read, READS_HISTORY, on_read, history);
}

/* Reads a page that is not the first. False: it has to wait until it is. */
static bool history_read_ahead(struct core *core, struct history *history)
{
    if (history->has_with || history->limit > AHEAD_ROWS_MAX || core->histories.ahead >= AHEAD_MAX
        || backpressure_is_tight(core) || !history_read(core, history, AHEAD_BYTES_MAX))
        return false;
    if (!range_read_needs_runs(history->read)) {
        range_read_close(&history->read); /* it would borrow from memory */
        return false;
    }
    history_post(history, HISTORY_AHEAD_READING);
    return true;
}

/* While the reader has the first of the connection's pages it is given the next ones too: those that come back together
 * leave in one send. */
static void history_look_ahead(struct core *core, struct conn *conn)
{
    uint32_t ahead = 0;
    for (struct history *at = conn->work->histories->next; at != NULL && ahead < AHEAD_OF_CONN_MAX; at = at->next) {
        if (!is_ahead(at) && !history_read_ahead(core, at))
            return;
        ahead++;
    }
}

/* The first page, or a part of it, as far as that can be done now. False: it waits for the reader, or for others' pages
 * (then something makes history_step go on). */
static bool history_go_on(struct core *core, struct conn *conn)
{
    struct history *history = conn->work->histories;
    if (is_read(history)) {
        set_state(history, is_ahead(history) ? HISTORY_AHEAD_TAKEN : HISTORY_GATHERING);
        history_take_read(core, history, history->result);
        return true;
    }
    if (is_reading(history) || !history_begin(core, history))
        return false;
    if (!history_read(core, history, READ_BYTES_MAX)) {
        history_no_memory(core, conn);
        return true;
    }
    if (range_read_needs_runs(history->read)) {
        history_post(history, HISTORY_READING);
        history_look_ahead(core, conn);
        return false;
    }
    if (!page_write_hits(core, history))
        history_look(core, history);
    return true;
}

static bool may_have_page(struct core *core, const struct conn *conn)
{
    return conn_histories(conn) != NULL && conn->out_bytes < backpressure_pause_bytes(core, CONN_OUTPUT_PAUSE_BYTES);
}

void history_step(struct core *core, struct conn *conn)
{
    uint32_t had = core->turn.had[TURN_READS];
    bool goes_on = !list_is_linked(&conn->work->history_link);
    while (goes_on && may_have_page(core, conn)) {
        if (!turn_may(&core->turn, TURN_READS) || core->turn.had[TURN_READS] - had >= TURN_READS_SHARE) {
            list_append(&core->histories.queue, &conn->work->history_link);
            return;
        }
        turn_spend(&core->turn, TURN_READS, TURN_PAGE_READS);
        goes_on = history_go_on(core, conn);
    }
}

/* To those that have waited longest. One with too much output waiting asks again when that has left. */
static void give_places(struct core *core)
{
    while (!list_is_empty(&core->histories.place_queue) && core->histories.active < HISTORY_ACTIVE_MAX) {
        struct conn *conn = container_of(list_shift(&core->histories.place_queue), struct conn_work, place_link)->conn;
        if (!may_have_page(core, conn))
            continue;
        set_state(conn->work->histories, HISTORY_GATHERING);
        if (!list_is_linked(&conn->work->history_link))
            list_append(&core->histories.queue, &conn->work->history_link);
    }
}

bool history_is_behind(const struct core *core)
{
    return !list_is_empty(&core->histories.queue)
           || (!list_is_empty(&core->histories.place_queue) && core->histories.active < HISTORY_ACTIVE_MAX);
}

void history_continue(struct core *core)
{
    give_places(core);
    while (!list_is_empty(&core->histories.queue) && turn_may_carry(&core->turn, TURN_READS)) {
        struct list *link = list_shift(&core->histories.queue);
        history_step(core, container_of(link, struct conn_work, history_link)->conn);
        give_places(core);
    }
}

void op_history(struct core *core, struct conn *conn, const struct request *request)
{
    struct history *history = history_make(core, conn, request);
    if (history == NULL) {
        conn_reply_error(core, conn, &request->id, ERROR_BUSY, "no memory for the page: wait and ask again", 1000);
        return;
    }
    struct conn_work *work = conn_work(core, conn);
    struct history *before = work->histories == NULL ? NULL : work->histories_last;
    work->histories_last = history;
    if (before == NULL) {
        work->histories = history;
        history_step(core, conn);
        return;
    }
    before->next = history;
    if (is_reading(work->histories) && (before == work->histories || is_ahead(before)))
        history_look_ahead(core, conn);
}
