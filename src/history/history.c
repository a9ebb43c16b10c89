/* history.c: pages of a timeline or of its conversations, gathered from memory and runs. A page with a user may need
 * several reads. */
#include <errno.h>
#include <stdlib.h>

#include "base/state.h"
#include "connection/backpressure.h"
#include "history/history.h"
#include "history/history_page.h"
#include "history/peers_page.h"
#include "history/range_read.h"
#include "protocol/reply.h"
#include "server/core.h"

/* Limits of reading ahead: pages of a connection, pages of a shard, rows and bytes of each. The rest of a larger page
 * is read when the page is the first of its connection. (budget.h counts their memory.) */
#define AHEAD_OF_CONN_MAX 8u
#define AHEAD_MAX 256u
#define AHEAD_ROWS_MAX 64u
#define AHEAD_BYTES_MAX (16u << 10)
/* A record is prefetched so many records before its use. */
#define PREFETCH_AHEAD 8u

/* The state of a page. set_state is the only writer. */
enum history_state {
    HISTORY_WAITING,       /* for the pages before it, or for a place */
    HISTORY_AHEAD_READING, /* read ahead: the reader has it */
    HISTORY_AHEAD_READ,    /* read ahead: the read has ended with `result` */
    HISTORY_AHEAD_TAKEN,   /* read ahead: the rows were examined, more are needed: the page needs a place */
    HISTORY_GATHERING,     /* has a place */
    HISTORY_READING,       /* has a place, and the reader has it */
    HISTORY_READ,          /* has a place, and the read has ended with `result` */
};

/* A requested page. */
struct history {
    struct history *next; /* the next page of the connection */
    struct core *core;
    struct conn *conn;
    struct request_id id;
    uint8_t state;           /* enum history_state */
    int result;              /* of the read: 0 or -errno */
    struct range_read *read; /* owned; NULL: none */
    struct history_page page;

    /* Of `peers`, which has no `read` and no messages in `page`. */
    bool is_peers;
    struct request_peers asked;
    struct peers_page *peers; /* owned; NULL: not begun */
};

/* The transitions of a page. */
static const uint8_t transitions[] = {
    [HISTORY_WAITING] = STATE_TO(HISTORY_AHEAD_READING) | STATE_TO(HISTORY_GATHERING),
    [HISTORY_AHEAD_READING] = STATE_TO(HISTORY_AHEAD_READ),
    [HISTORY_AHEAD_READ] = STATE_TO(HISTORY_AHEAD_TAKEN),
    [HISTORY_AHEAD_TAKEN] = STATE_TO(HISTORY_GATHERING),
    [HISTORY_GATHERING] = STATE_TO(HISTORY_READING),
    [HISTORY_READING] = STATE_TO(HISTORY_READ),
    [HISTORY_READ] = STATE_TO(HISTORY_GATHERING),
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
    ASSERT_TRANSITION(transitions, history->state, state);
    ASSERT(histories->active >= has_place(history));
    ASSERT(histories->ahead >= is_ahead(history));
    histories->active -= has_place(history);
    histories->ahead -= is_ahead(history);
    history->state = (uint8_t)state;
    histories->active += has_place(history);
    histories->ahead += is_ahead(history);
}

static void history_free(struct history *history)
{
    ASSERT(history->core->histories.count > 0);
    history->core->histories.count--;
    history->core->histories.active -= has_place(history);
    history->core->histories.ahead -= is_ahead(history);
    range_read_close(&history->read);
    peers_page_close(&history->peers);
    history_page_fini(&history->page);
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

/* NULL: no memory, or too many pages are requested. */
static struct history *history_make(struct core *core, struct conn *conn, const struct request *request)
{
    if (core->histories.count >= core->budget.histories_max)
        return NULL;
    struct history *history = malloc(sizeof *history);
    if (history == NULL)
        return NULL;
    core->histories.count++;
    *history =
        (struct history){.core = core, .conn = conn, .id = request->id, .is_peers = request->op == REQUEST_PEERS};
    if (history->is_peers)
        history->asked = request->peers;
    else
        history_page_init(&history->page, &request->history);
    return history;
}

/* -- the page -- */

/* Frees the first page of the connection, and counts it as answered. */
static void history_end(struct core *core, struct conn *conn)
{
    struct history *history = conn->work->histories;
    conn->work->histories = history->next;
    history_free(history);
    conn_answered(core, conn);
}

/* Sends the page, which is in core->conns.scratch. */
static void page_send(struct core *core, struct history *history, struct reply_page *page, bool more)
{
    struct conn *conn = history->conn;
    size_t bytes;
    char *frame =
        reply_page_end(page, more, history->page.oldest_first ? history->page.after : history->page.before, &bytes);
    conn_write(core, conn, frame, bytes);
    metric_add(&core->metrics.history_pages, 1);
    metric_add(&core->metrics.history_entries, page->count);
    turn_spend(&core->turn, TURN_READS, TURN_OUTPUT(bytes));
    history_end(core, conn);
}

static void page_write(struct core *core, struct history *history, bool more)
{
    struct reply_page page;
    ASSERT(!core->conns.is_scratch_in_use);
    reply_page_begin(&page, core->conns.scratch, &history->id);
    for (uint32_t i = 0; i < history->page.count; i++) {
        uint32_t at = history->page.oldest_first ? i : history->page.count - 1 - i;
        bool has_space = reply_page_add(&page, history->page.kept[at]);
        ASSERT(has_space);
    }
    page_send(core, history, &page, more);
}

/* -- pages that are the result of one read. Most pages are; they are written while the entries are examined. The
 * functions return false if the page needs more, and have changed nothing then. -- */

/* Which of the `*count` messages of the page's first read are the page: those from *first_r on. False: it needs more. A
 * read with a user is asked for one message more than the page has, which says whether there are more. */
static bool page_is_whole(const struct history *history, uint32_t *first_r, uint32_t *count, bool *more)
{
    const struct history_page *page = &history->page;
    *first_r = 0;
    if (page->count > 0 || (*more && *count < page->limit + (page->with_bytes > 0)))
        return false;
    if (*count > page->limit) {
        *first_r = page->oldest_first ? 0 : *count - page->limit;
        *count = page->limit;
        *more = true;
    }
    return true;
}

/* Sends a page with the entries from ts `first` to ts `last`. */
static void page_send_all(struct core *core, struct history *history, struct reply_page *page, bool more,
                          uint64_t first, uint64_t last)
{
    if (page->count > 0)
        history_page_move_bound(&history->page, history->page.oldest_first ? last : first);
    turn_spend(&core->turn, TURN_READS, page->count);
    page_send(core, history, page, more);
}

static bool page_write_hits(struct core *core, struct history *history)
{
    uint32_t first, count;
    bool more;
    struct reply_page page;
    const struct memtable_hit *hits = range_read_hits(history->read, &count, &more);
    if (!page_is_whole(history, &first, &count, &more))
        return false;
    hits += first;
    ASSERT(!core->conns.is_scratch_in_use);
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
    page_send_all(core, history, &page, more, count > 0 ? hits[0].ts : 0, count > 0 ? hits[count - 1].ts : 0);
    return true;
}

static bool page_write_messages(struct core *core, struct history *history)
{
    uint32_t first, count;
    bool more;
    struct reply_page page;
    const struct message *messages = range_read_messages(history->read, &count, &more);
    if (!page_is_whole(history, &first, &count, &more))
        return false;
    messages += first;
    ASSERT(!core->conns.is_scratch_in_use);
    reply_page_begin(&page, core->conns.scratch, &history->id);
    for (uint32_t i = 0; i < count; i++)
        if (!reply_page_add(&page, &messages[i]))
            return false;
    page_send_all(core, history, &page, more, count > 0 ? messages[0].ts : 0, count > 0 ? messages[count - 1].ts : 0);
    return true;
}

/* Answers the first page of the connection with an error, and frees it. */
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
    history_fail(core, conn, ERROR_BUSY, HISTORY_PAGE_NO_MEMORY, HISTORY_PAGE_RETRY_MS);
}

/* Examines the rows of the read, and sends the page if it is complete. */
static void history_examine(struct core *core, struct history *history)
{
    struct conn *conn = history->conn;
    uint32_t examined = history->page.examined;
    uint32_t count;
    bool more;
    if (!history_page_reserve(&history->page)) {
        history_no_memory(core, conn);
        return;
    }
    const struct message *messages = range_read_messages(history->read, &count, &more);
    enum history_look look = history_page_examine(&history->page, messages, count, more);
    ASSERT(history->page.examined >= examined);
    turn_spend(&core->turn, TURN_READS, history->page.examined - examined);
    if (look != LOOK_ON) {
        page_write(core, history, look == LOOK_MORE);
        return;
    }
    bool is_copied = history_page_copy_kept(&history->page);
    if (history->page.with_bytes > 0)
        history_page_move_bound(&history->page, range_read_bound(history->read));
    range_read_close(&history->read);
    if (!is_copied)
        history_no_memory(core, conn);
}

/* The read of the first page of the connection has ended. */
static void history_take_read(struct core *core, struct history *history, int result)
{
    if (result != 0)
        history_fail(core, history->conn, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
    else if (!page_write_messages(core, history))
        history_examine(core, history);
}

static void on_read(void *context, int result)
{
    struct history *history = context;
    ASSERT(is_reading(history));
    struct core *core = history->core;
    struct conn *conn = history->conn;
    set_state(history, is_ahead(history) ? HISTORY_AHEAD_READ : HISTORY_READ);
    history->result = result;
    if (history == conn->work->histories)
        history_step(core, conn);
}

/* A page with a user needs an index of what memory has. As reads_index_peers. */
static int index_memory(struct core *core, const struct history *history)
{
    return history->page.with_bytes > 0 ? reads_index_peers(core, user_name(history->conn->user)) : 1;
}

/* Opens the next read of the page. False: no memory. */
static bool history_read(struct core *core, struct history *history, uint32_t bytes_max)
{
    ASSERT(history->read == NULL);
    struct span with = history_page_with(&history->page);
    struct store_range range = history_page_range(&history->page, reads_bound(core, history->conn->user), bytes_max);
    history->read = range_read_open(core, user_name(history->conn->user), &range, with.bytes > 0 ? &with : NULL);
    return history->read != NULL;
}

/* True: the page has a place. False: it waits for one, and takes no memory for messages. */
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
    ASSERT(!list_is_linked(link));
    set_state(history, HISTORY_GATHERING);
    return true;
}

static void history_post(struct history *history, enum history_state state)
{
    set_state(history, state);
    range_read_post(history->read, READS_HISTORY, on_read, history);
}

/* Reads a page that is not the first of its connection. False: the page waits until it is. */
static bool history_read_ahead(struct core *core, struct history *history)
{
    if (history->is_peers || history->page.limit > AHEAD_ROWS_MAX || core->histories.ahead >= AHEAD_MAX
        || backpressure_is_tight(core) || index_memory(core, history) != 1
        || !history_read(core, history, AHEAD_BYTES_MAX))
        return false;
    if (!range_read_needs_runs(history->read)) {
        range_read_close(&history->read); /* its hits borrow from memory: they would not stand */
        return false;
    }
    history_post(history, HISTORY_AHEAD_READING);
    return true;
}

/* While the reader has the first page of the connection, it gets the next ones too: pages that are ready together go
 * out in one send. */
static void history_read_next(struct core *core, struct conn *conn)
{
    uint32_t ahead = 0;
    for (struct history *at = conn->work->histories->next; at != NULL && ahead < AHEAD_OF_CONN_MAX; at = at->next) {
        if (!is_ahead(at) && !history_read_ahead(core, at))
            return;
        ahead++;
    }
}

/* The page goes on in the next turn. */
static void history_carry(struct core *core, struct conn *conn)
{
    list_append(&core->histories.queue, &conn->work->history_link);
}

/* Sends the page of conversations. False: memory has changed, and the page is gathered again. */
static bool peers_write(struct core *core, struct history *history)
{
    struct reply_page page;
    uint64_t next;
    bool more;
    ASSERT(!core->conns.is_scratch_in_use);
    reply_page_begin_peers(&page, core->conns.scratch, &history->id);
    if (!peers_page_write(history->peers, &page, &more, &next))
        return false;
    size_t bytes;
    char *frame = reply_page_end(&page, more, next, &bytes);
    conn_write(core, history->conn, frame, bytes);
    metric_add(&core->metrics.peers_pages, 1);
    turn_spend(&core->turn, TURN_READS, page.count + TURN_OUTPUT(bytes));
    history_end(core, history->conn);
    return true;
}

/* As history_advance, for a page of conversations. */
static bool peers_advance(struct core *core, struct history *history)
{
    struct conn *conn = history->conn;
    if (is_read(history))
        set_state(history, HISTORY_GATHERING);
    if (is_reading(history) || !history_begin(core, history))
        return false;
    if (history->result == -ENOMEM) {
        peers_pages_spare(core);
        history_no_memory(core, conn);
        return true;
    }
    if (history->result != 0) {
        history_fail(core, conn, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
        return true;
    }
    if (history->peers == NULL)
        history->peers = peers_page_open(core, conn->user, &history->asked);
    switch (history->peers == NULL ? PEERS_NO_MEMORY : peers_page_gather(history->peers)) {
    case PEERS_NEXT_TURN: history_carry(core, conn); return false;
    case PEERS_NEEDS_RUNS:
        set_state(history, HISTORY_READING);
        peers_page_post(history->peers, on_read, history);
        return false;
    case PEERS_COMPLETE:
        if (!peers_write(core, history))
            peers_page_close(&history->peers);
        return true;
    case PEERS_NO_MEMORY: break;
    }
    history_no_memory(core, conn);
    return true;
}

/* True: there is the index of what memory has, if the page needs it. False: the page goes on later, or was answered
 * with an error. */
static bool is_indexed(struct core *core, struct history *history, bool *is_answered_r)
{
    int status = index_memory(core, history);
    *is_answered_r = status < 0;
    if (status < 0)
        history_no_memory(core, history->conn);
    else if (status == 0)
        history_carry(core, history->conn);
    return status == 1;
}

/* Continues the first page of the connection as far as possible now. False: the page waits for the reader, for a place
 * or for the next turn; history_step is called when it can continue. */
static bool history_advance(struct core *core, struct conn *conn)
{
    struct history *history = conn->work->histories;
    bool is_answered;
    ASSERT(history->conn == conn);
    if (history->is_peers)
        return peers_advance(core, history);
    if (is_read(history)) {
        set_state(history, is_ahead(history) ? HISTORY_AHEAD_TAKEN : HISTORY_GATHERING);
        history_take_read(core, history, history->result);
        return true;
    }
    if (is_reading(history) || !history_begin(core, history))
        return false;
    if (!is_indexed(core, history, &is_answered))
        return is_answered;
    if (!history_read(core, history, HISTORY_PAGE_READ_BYTES)) {
        history_no_memory(core, conn);
        return true;
    }
    if (range_read_needs_runs(history->read)) {
        history_post(history, HISTORY_READING);
        history_read_next(core, conn);
        return false;
    }
    if (!page_write_hits(core, history))
        history_examine(core, history);
    return true;
}

static bool may_have_page(struct core *core, const struct conn *conn)
{
    return conn_histories(conn) != NULL && conn->out_bytes < backpressure_pause_bytes(core, CONN_OUTPUT_PAUSE_BYTES);
}

void history_step(struct core *core, struct conn *conn)
{
    ASSERT(conn->work != NULL);
    uint32_t had = core->turn.had[TURN_READS];
    bool is_ready = !list_is_linked(&conn->work->history_link);
    while (is_ready && may_have_page(core, conn)) {
        if (!turn_may(&core->turn, TURN_READS) || core->turn.had[TURN_READS] - had >= TURN_READS_SHARE) {
            list_append(&core->histories.queue, &conn->work->history_link);
            return;
        }
        turn_spend(&core->turn, TURN_READS, TURN_PAGE_READS);
        is_ready = history_advance(core, conn);
    }
}

/* Gives free places to the connections that have waited longest. One with too much waiting output is passed over:
 * on_room calls history_step when its output was sent. */
static void give_places(struct core *core)
{
    while (!list_is_empty(&core->histories.place_queue) && core->histories.active < HISTORY_ACTIVE_MAX) {
        struct conn *conn = container_of(list_shift(&core->histories.place_queue), struct conn_work, place_link)->conn;
        if (!may_have_page(core, conn))
            continue;
        ASSERT(!has_place(conn->work->histories));
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

void history_ask(struct core *core, struct conn *conn, const struct request *request)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(conn_is_logged_in(conn));
    struct history *history = history_make(core, conn, request);
    if (history == NULL) {
        conn_reply_error(core, conn, &request->id, ERROR_BUSY, HISTORY_PAGE_NO_MEMORY, HISTORY_PAGE_RETRY_MS);
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
        history_read_next(core, conn);
}
