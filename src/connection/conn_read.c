/* conn_read.c: input of a connection: the HTTP head, frames, requests, and the stash of bytes that cannot be read yet.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "connection/backpressure.h"
#include "connection/tls.h"
#include "server/core.h"

#define STASH_SMALL_BYTES 1024u /* a request or two */
#define SMALL_PART_BYTES 128    /* less than a segment that a network would split a message into */

static bool may_read(struct core *core, const struct conn *conn)
{
    if (core->stop.step > 0 && conn->state != CONN_CLOSING)
        return false;
    switch (conn->state) {
    case CONN_HTTP:
    case CONN_CLOSING: return true;
    case CONN_API: return conn->unanswered == 0 && conn->out_bytes < CONN_OUTPUT_PAUSE_BYTES;
    case CONN_OPEN: return conn->out_bytes < backpressure_pause_bytes(core, CONN_OUTPUT_PAUSE_BYTES);
    case CONN_REPLAY:
    case CONN_LIVE:
        return conn->unanswered < LIMIT_UNANSWERED
               && conn->out_bytes < backpressure_pause_bytes(core, CONN_OUTPUT_PAUSE_BYTES);
    default: return false;
    }
}

/* Frames in a second that are only counted: a connection that stays below needs no bucket, so it can be idle at once.
 * Whoever sends more gets a bucket from which these frames are taken. So a burst may be longer by half: these frames at
 * the end of one second, and a bucket in the next. */
static uint32_t frames_without_bucket(uint32_t frame_rate)
{
    return frame_rate / 2 < UINT16_MAX ? frame_rate / 2 : UINT16_MAX;
}

/* Takes from the bucket, which begins with what was only counted. */
static bool frame_take(struct core *core, struct conn *conn, uint32_t frame_rate, uint64_t now_us,
                       uint32_t *retry_after_ms_r)
{
    struct rate *rate = &conn_work(core, conn)->frame_rate;
    if (rate->at_us == 0)
        *rate = rate_begin(conn->socket.count, now_us);
    if (rate_take(rate, frame_rate, now_us, retry_after_ms_r))
        return true;
    refusal_note(core, REFUSAL_FRAME_RATE, &conn_cold(core, conn)->address, NULL);
    return false;
}

/* Counts one frame of any kind. False: over the rate, and *retry_after_ms_r is set. */
static bool is_within_frame_rate(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r)
{
    uint32_t frame_rate = core->server->config->frame_rate;
    uint64_t now_us = shard_monotonic_us(core->shard);
    if (frame_rate == 0)
        return true;
    bool is_full = conn->work == NULL || rate_is_full(&conn->work->frame_rate, now_us);
    if (!is_full || conn->socket.count >= frames_without_bucket(frame_rate))
        return frame_take(core, conn, frame_rate, now_us, retry_after_ms_r);
    conn->socket.count++;
    if (conn->work != NULL)
        conn->work->frame_rate = (struct rate){.at_us = 0};
    return true;
}

/* A fragment over the rate is accepted; its message is refused when it is complete. */
static void count_fragment(struct core *core, struct conn *conn)
{
    uint32_t retry_after_ms;
    if (!is_within_frame_rate(core, conn, &retry_after_ms))
        conn_work(core, conn)->fragment_retry_after_ms = retry_after_ms;
}

/* Counts the last frame of a message. False: that frame or one of its fragments was over the rate. */
static bool is_message_within_frame_rate(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r)
{
    bool is_within = is_within_frame_rate(core, conn, retry_after_ms_r);
    if (conn->work == NULL || conn->work->fragment_retry_after_ms == 0)
        return is_within;
    if (is_within)
        *retry_after_ms_r = conn->work->fragment_retry_after_ms;
    conn->work->fragment_retry_after_ms = 0;
    return false;
}

/* Every frame counts in the rate, but an error of syntax is reported before `rate_limited`. */
static void take_request(struct core *core, struct conn *conn, char *data, size_t bytes)
{
    struct request request;
    struct request_error error;
    uint32_t retry_after_ms = 0;
    ASSERT(conn->unanswered < LIMIT_UNANSWERED);
    conn->unanswered++;
    bool is_within = is_message_within_frame_rate(core, conn, &retry_after_ms);
    if (!request_read(core->conns.request_reader, data, bytes, &request, &error)) {
        conn_reply_error(core, conn, &request.id, error.code, error.message, 0);
        return;
    }
    if (!is_within) {
        conn_reply_error(core, conn, &request.id, ERROR_RATE_LIMITED, "too many frames on this connection: wait",
                         retry_after_ms);
        return;
    }
    if (!request_read_op(core->conns.request_reader, &request, &error)) {
        conn_reply_error(core, conn, &request.id, error.code, error.message, 0);
        return;
    }
    core->conns.callbacks->on_request(core, conn, &request);
}

/* A connection at a frame boundary has no parser, so it needs no struct conn_work for one. */
static void next_event(struct core *core, struct conn *conn, char **data, size_t *bytes, struct ws_event *event_r)
{
    struct ws ws;
    ws_init(&ws);
    if (conn->work != NULL)
        ws = conn->work->ws;
    ws_next(&ws, core->conns.ws_pool, data, bytes, event_r);
    if (conn->work != NULL || ws.parser != NULL)
        conn_work(core, conn)->ws = ws;
}

/* A ping over the rate gets no answer. */
static void take_ping(struct core *core, struct conn *conn, const struct ws_event *event)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint32_t retry_after_ms;
    if (!is_within_frame_rate(core, conn, &retry_after_ms))
        return;
    uint32_t header_bytes = ws_header_write(header, WS_PONG, event->bytes);
    conn_write(core, conn, (const char *)header, header_bytes);
    conn_write(core, conn, event->data, event->bytes);
}

static void take_pong(struct core *core, struct conn *conn)
{
    uint32_t retry_after_ms;
    (void)is_within_frame_rate(core, conn, &retry_after_ms);
}

static void on_ws_event(struct core *core, struct conn *conn, struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_MESSAGE: take_request(core, conn, event->data, event->bytes); return;
    case WS_EVENT_PING: take_ping(core, conn, event); return;
    case WS_EVENT_PONG: take_pong(core, conn); return;
    case WS_EVENT_FRAGMENT: count_fragment(core, conn); return;
    case WS_EVENT_CLOSE: conn_close(core, conn, event->code, ""); return;
    case WS_EVENT_ERROR:
        refusal_note(core, event->code == 1011 ? REFUSAL_INPUT : REFUSAL_PROTOCOL, &conn_cold(core, conn)->address,
                     event->code == 1011 ? "a part of a message, and those of many take all memory for them"
                                         : event->reason);
        conn_close(core, conn, event->code, event->reason);
        return;
    case WS_EVENT_MORE: return;
    }
}

void conn_head_free(struct core *core, struct conn *conn)
{
    if (conn->work == NULL || conn->work->head == NULL)
        return;
    pool_give(&core->conns.head_pool, conn->work->head);
    conn->work->head = NULL;
}

/* A head of which a part is missing stays in memory, unless as many as the budget allows do already. */
static void limit_heads(struct core *core, struct conn *conn)
{
    if (core->conns.head_pool.taken <= core->budget.heads_max)
        return;
    conn_head_free(core, conn);
    refusal_note(core, REFUSAL_HEADS, &conn_cold(core, conn)->address, NULL);
    conn_refuse_full(core, conn);
}

#define REASON_BYTES_MAX 200

/* Takes what a complete head says about the client, and notes what was refused or ignored of it. */
static void note_head(struct core *core, struct conn *conn, const struct http_result *result)
{
    char reason[REASON_BYTES_MAX];
    const struct address *address = &conn_cold(core, conn)->address;
    if (result->ignored != NULL)
        refusal_note(core, REFUSAL_FORWARDED, address, result->ignored);
    refusal_note_status(core, result->status, address, result->line);
    if (result->page == HTTP_PAGE_ALLOWED)
        return;
    (void)snprintf(reason, sizeof reason, "Origin %.*s, Host %.*s", (int)result->origin.bytes, result->origin.data,
                   (int)result->host.bytes, result->host.data);
    refusal_note(core, result->page == HTTP_PAGE_FOREIGN ? REFUSAL_ORIGIN : REFUSAL_HOST, address, reason);
}

static void take_http(struct core *core, struct conn *conn, char **data, size_t *bytes)
{
    struct conn_work *work = conn_work(core, conn);
    if (work->head == NULL) {
        void *memory = pool_take(&core->conns.head_pool);
        ASSERT(memory != NULL);
        work->head = http_head_begin(memory, &core->conns.http);
        http_head_set_peer(work->head, &conn_cold(core, conn)->address);
    }
    struct http_result result = http_head_feed(work->head, *data, *bytes);
    ASSERT(result.used <= *bytes);
    if (result.verdict == HTTP_MORE) {
        *bytes = 0;
        limit_heads(core, conn);
        return;
    }
    *data += result.used;
    *bytes -= result.used;
    if (conn->is_turned_away && !result.is_health) {
        conn_head_free(core, conn);
        conn_refuse_full(core, conn);
        return;
    }
    if (!conn->is_turned_away && !core->conns.callbacks->on_client(core, conn, &result.address)) {
        conn_head_free(core, conn);
        return;
    }
    note_head(core, conn, &result);
    if (result.verdict == HTTP_API) {
        core->conns.callbacks->on_api(core, conn, result.head);
        conn_head_free(core, conn);
        return;
    }
    if (result.body.bytes > 0 && backpressure_is_tight(core)) {
        conn_head_free(core, conn);
        refusal_note(core, REFUSAL_OUTPUT, &conn_cold(core, conn)->address, "a file, and much output of others waits");
        conn_refuse_full(core, conn);
        return;
    }
    conn_write(core, conn, result.answer.data, result.answer.bytes);
    if (result.body.bytes > 0)
        conn_write(core, conn, result.body.data, result.body.bytes);
    conn_head_free(core, conn);
    turn_spend(&core->turn, TURN_INPUT, TURN_HEAD_FRAMES + TURN_OUTPUT(result.body.bytes));
    if (result.verdict == HTTP_ANSWER) {
        conn_close_http(core, conn);
        return;
    }
    conn->is_websocket = true;
    conn_cold(core, conn)->has_subprotocol = result.has_subprotocol;
    conn_set_state(conn, CONN_OPEN);
}

/* Reads one frame, or the part of it that has come. */
static void take_one(struct core *core, struct conn *conn, char **data, size_t *bytes)
{
    struct ws_event event;
    if (conn->state == CONN_HTTP) {
        take_http(core, conn, data, bytes);
    } else if (conn->state == CONN_API) {
        core->conns.callbacks->on_api_input(core, conn, data, bytes);
    } else if (conn->state == CONN_CLOSING) {
        *bytes = 0;
    } else {
        next_event(core, conn, data, bytes, &event);
        on_ws_event(core, conn, &event);
    }
}

static bool is_stash_tight(const struct core *core)
{
    return core->conns.stash_bytes > core->budget.stash_bytes / 2;
}

/* From here on a connection that stashes more than a request or two is stopped, so that the stashes do not become
 * tight: what others have sent before they are stopped comes on top. */
static bool is_stash_long(const struct core *core)
{
    return core->conns.stash_bytes > core->budget.stash_bytes / 8;
}

/* Whether the turn's budget and the sends in flight allow another frame. When stashes take much memory, input is read
 * beyond both rather than stashed. */
static bool may_take(const struct core *core)
{
    return (turn_may(&core->turn, TURN_INPUT) && !core_has_sends_enough(core)) || is_stash_tight(core);
}

/* Reads what may be read, one share of `share` frames at most, and advances *data and *bytes. */
static void consume(struct core *core, struct conn *conn, char **data, size_t *bytes, uint32_t share)
{
    while (*bytes > 0 && share > 0 && may_read(core, conn) && may_take(core)) {
        size_t before = *bytes;
        uint32_t had = core->turn.had[TURN_INPUT];
        take_one(core, conn, data, bytes);
        ASSERT(*bytes <= before);
        uint32_t frames = 1 + (uint32_t)((before - *bytes) / TURN_FRAME_BYTES);
        turn_spend(&core->turn, TURN_INPUT, frames);
        uint32_t spent = core->turn.had[TURN_INPUT] - had; /* with what a head or a token has cost */
        share -= spent < share ? spent : share;
    }
}

void conn_stash_free(struct core *core, struct conn *conn)
{
    if (!conn_has_stash(conn))
        return;
    conn_stash_clear(core, &conn->work->stash);
    conn->work->has_had_share = false;
}

void conn_stash_clear(struct core *core, struct conn_stash *stash)
{
    ASSERT(core->conns.stash_bytes >= stash->bytes);
    core->conns.stash_bytes -= stash->bytes;
    free(stash->data);
    *stash = (struct conn_stash){.data = NULL};
}

/* Grows the stash to twice `bytes`, or as far as the budget goes, `bytes` at least. 0; or -1: no memory. */
static int stash_grow(struct core *core, struct conn_stash *stash, size_t bytes)
{
    ASSERT(core->conns.stash_bytes >= stash->bytes);
    uint64_t others = core->conns.stash_bytes - stash->bytes;
    uint64_t budget = core->budget.stash_bytes;
    if (others + bytes > budget)
        return -1;
    uint32_t new_bytes = (uint32_t)(others + 2 * bytes > budget ? budget - others : 2 * bytes);
    char *grown = realloc(stash->data, new_bytes);
    if (grown == NULL)
        return -1;
    core->conns.stash_bytes = others + new_bytes;
    stash->data = grown;
    stash->bytes = new_bytes;
    return 0;
}

int conn_stash_append(struct core *core, struct conn_stash *stash, const char *data, size_t bytes)
{
    ASSERT(stash->begin <= stash->end && stash->end <= stash->bytes);
    if (stash->begin > 0 && stash->end + bytes > stash->bytes) {
        memmove(stash->data, stash->data + stash->begin, stash->end - stash->begin);
        stash->end -= stash->begin;
        stash->begin = 0;
    }
    if (stash->end + bytes > stash->bytes && stash_grow(core, stash, stash->end + bytes) != 0)
        return -1;
    ASSERT(stash->end + bytes <= stash->bytes);
    memcpy(stash->data + stash->end, data, bytes);
    stash->end += (uint32_t)bytes;
    return 0;
}

/* The stash has no memory: some input is lost, so the rest cannot be read. */
static void refuse_input(struct core *core, struct conn *conn)
{
    refusal_note(core, REFUSAL_INPUT, &conn_cold(core, conn)->address, NULL);
    if (conn->state == CONN_HANDOVER || conn->state == CONN_API) {
        conn_drop(core, conn);
        return;
    }
    conn_stash_free(core, conn);
    conn_close(core, conn, 1011, "the memory for input is used up: reconnect later");
}

/* Appends to the stash, and stops receiving when it holds too much. */
static void stash_bytes(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    struct conn_stash *stash = &conn_work(core, conn)->stash;
    if (turn_may(&core->turn, TURN_INPUT))
        turn_spend(&core->turn, TURN_INPUT, (uint32_t)(bytes / TURN_STASH_BYTES));
    if (conn_stash_append(core, stash, data, bytes) != 0) {
        refuse_input(core, conn);
        return;
    }
    if (conn_is_logged_in(conn) && !conn->is_reading_stopped
        && (stash->end - stash->begin > CONN_STASH_PAUSE_BYTES || is_stash_tight(core)
            || (stash->end - stash->begin > STASH_SMALL_BYTES && is_stash_long(core)))) {
        conn->is_reading_stopped = true;
        io_recv_stop(shard_io(core->shard), &conn->socket);
    }
}

void conn_take_bytes(struct core *core, struct conn *conn, char *data, size_t bytes)
{
    /* Of what comes while it closes, only the end of the stream matters. */
    if (conn->state == CONN_CLOSING) {
        if (turn_may(&core->turn, TURN_INPUT))
            turn_spend(&core->turn, TURN_INPUT, 1);
        return;
    }
    if (!conn_has_stash(conn))
        consume(core, conn, &data, &bytes, TURN_INPUT_SHARE);
    if (bytes == 0 || conn->state == CONN_CLOSED || conn->state == CONN_CLOSING)
        return;
    stash_bytes(core, conn, data, bytes);
    conn_queue_resume(core, conn);
}

void conn_queue_resume(struct core *core, struct conn *conn)
{
    if (!conn_has_stash(conn) && !conn->is_reading_stopped)
        return;
    struct conn_work *work = conn_work(core, conn);
    if (may_read(core, conn) && !list_is_linked(&work->resume_link))
        list_append(work->has_had_share ? &core->conns.resume : &core->conns.resume_first, &work->resume_link);
}

/* Reads the stash. Answers that are given meanwhile put the connection back into the queue; it stays there only if
 * bytes are left. */
static void conn_resume(struct core *core, struct conn *conn)
{
    struct conn_work *work = conn->work;
    ASSERT(!list_is_linked(&work->resume_link));
    if (conn_has_stash(conn)) {
        char *data = work->stash.data + work->stash.begin;
        size_t bytes = work->stash.end - work->stash.begin;
        consume(core, conn, &data, &bytes, work->has_had_share ? TURN_INPUT_SHARE : TURN_INPUT_FIRST_SHARE);
        work->has_had_share = true;
        work->stash.begin = work->stash.end - (uint32_t)bytes;
        list_remove(&work->resume_link);
        if (bytes > 0) {
            conn_queue_resume(core, conn);
            return;
        }
        conn_stash_free(core, conn);
    }
    conn_receive(core, conn);
}

/* The queue that is served next; NULL: both are empty. The first one has half of what queues may use, and all that the
 * other one leaves. */
static struct list *next_resume_queue(struct core *core)
{
    struct conns *conns = &core->conns;
    bool is_first_over = core->turn.left[TURN_INPUT] <= turn_limits[TURN_INPUT].max / 4 * 3;
    if (!list_is_empty(&conns->resume_first) && (!is_first_over || list_is_empty(&conns->resume)))
        return &conns->resume_first;
    return list_is_empty(&conns->resume) ? NULL : &conns->resume;
}

bool conn_has_resuming(const struct core *core)
{
    return !list_is_empty(&core->conns.resume_first) || !list_is_empty(&core->conns.resume);
}

bool conn_may_resume(const struct core *core)
{
    return !core_has_sends_enough(core) || is_stash_tight(core);
}

void conn_resume_all(struct core *core)
{
    struct list *queue;
    while (conn_may_resume(core) && turn_may_carry(&core->turn, TURN_INPUT)
           && (queue = next_resume_queue(core)) != NULL) {
        struct list *link = list_shift(queue);
        turn_spend(&core->turn, TURN_INPUT, 1);
        conn_resume(core, container_of(link, struct conn_work, resume_link)->conn);
    }
}

void conn_receive(struct core *core, struct conn *conn)
{
    struct io *io = shard_io(core->shard);
    if (conn->has_peer_closed && conn->is_tls && tls_is_queued(core, conn))
        return; /* its last requests may be behind the handshake */
    if (conn->has_peer_closed) {
        conn_ended_step(core, conn);
        return;
    }
    switch (conn->state) {
    case CONN_HTTP:
    case CONN_API:
    case CONN_OPEN:
        if (conn->is_read_requested || conn_has_stash(conn) || (conn->is_tls && tls_is_queued(core, conn)))
            return;
        conn->is_read_requested = true;
        io_recv_once(io, &conn->socket);
        return;
    case CONN_REPLAY:
    case CONN_LIVE:
    case CONN_CLOSING:
        if (conn->is_read_requested)
            return;
        conn->is_reading_stopped = false;
        io_recv_start(io, &conn->socket);
        return;
    default: return;
    }
}

/* The peer ended its side, or the connection failed. What the peer asked for before its end is answered: the connection
 * counts as one that stopped receiving, so each answer leads to conn_ended_step (conn_queue_resume, conn_receive). */
void conn_on_end(struct core *core, struct conn *conn, int result)
{
    conn->has_peer_closed = true;
    if (result < 0 || FAULT(END_DROPS_REQUESTS)) {
        conn_drop(core, conn);
        return;
    }
    if (conn->state == CONN_CLOSING) {
        conn_closing_step(core, conn);
        return;
    }
    conn->is_reading_stopped = true;
    conn_hear(core, conn);
    conn_queue_resume(core, conn);
}

/* Whether the input of the connection ends in the midst of a head, a frame or a record. */
static bool has_part(struct core *core, const struct conn *conn)
{
    if (conn->state == CONN_CLOSED || conn->state == CONN_API)
        return false;
    if (conn->work != NULL && (conn->work->head != NULL || conn->work->ws.parser != NULL))
        return true;
    return conn->is_tls && tls_has_part(core, conn);
}

void conn_on_recv(struct core *core, struct conn *conn, char *data, int result)
{
    ASSERT(conn->state != CONN_FREE && conn->state != CONN_CLOSED);
    ASSERT(result <= 0 || data != NULL);
    conn->is_read_requested = false;
    if (result <= 0) {
        conn_on_end(core, conn, result);
        return;
    }
    conn_hear(core, conn);
    if (conn->is_tls)
        tls_on_recv(core, conn, data, (size_t)result);
    else
        conn_take_bytes(core, conn, data, (size_t)result);
    if (result < SMALL_PART_BYTES && has_part(core, conn))
        io_recv_in_turn(shard_io(core->shard), &conn->socket);
    if (!conn_is_logged_in(conn))
        conn_receive(core, conn);
    conn_rest(core, conn);
}
