/* conn_write.c: output of a connection: chunks from pools, at most one send in flight, one send per turn. */
#include "connection/backpressure.h"
#include "connection/tls.h"
#include "protocol/reply.h"
#include "server/core.h"

struct conn_chunk *conn_chunk_make(struct core *core, bool is_small)
{
    struct conn_chunk *chunk = pool_take(is_small ? &core->conns.small_chunk_pool : &core->conns.chunk_pool);
    ASSERT(chunk != NULL);
    chunk->next = NULL;
    chunk->room = (uint16_t)(is_small ? CONN_CHUNK_SMALL_ROOM : CONN_CHUNK_ROOM);
    chunk->used = 0;
    chunk->sent = 0;
    chunk->is_small = is_small;
    chunk->is_sealed = false;
    return chunk;
}

/* What TLS leaves free of a chunk: it becomes one record. */
static uint32_t record_bytes(const struct conn *conn)
{
    return conn->is_tls ? TLS_FRONT_BYTES + TLS_BACK_BYTES : 0;
}

/* Bytes of output that a new chunk takes. */
static size_t data_max(struct core *core, const struct conn *conn, bool is_small)
{
    size_t room = (is_small ? CONN_CHUNK_SMALL_ROOM : CONN_CHUNK_ROOM) - record_bytes(conn);
    if (!conn->is_tls)
        return room;
    size_t record_max = tls_data_max(core, conn);
    return record_max < room ? record_max : room;
}

static struct conn_chunk *chunk_add(struct core *core, struct conn *conn, bool is_small)
{
    struct conn_chunk *chunk = conn_chunk_make(core, is_small);
    if (conn->is_tls) {
        chunk->used = TLS_FRONT_BYTES;
        chunk->sent = TLS_FRONT_BYTES;
        chunk->room = (uint16_t)(TLS_FRONT_BYTES + data_max(core, conn, is_small));
    }
    if (conn->out_last == NULL)
        conn->out_first = chunk;
    else
        conn->out_last->next = chunk;
    conn->out_last = chunk;
    return chunk;
}

static uint32_t chunk_room(const struct conn_chunk *chunk)
{
    return chunk == NULL || chunk->is_sealed ? 0 : (uint32_t)chunk->room - chunk->used;
}

/* Whether a small chunk is enough: before login, when nothing else waits. */
static bool fits_small_chunk(const struct conn *conn, size_t bytes)
{
    return bytes + record_bytes(conn) <= CONN_CHUNK_SMALL_ROOM && conn->out_first == NULL && !conn_is_logged_in(conn);
}

/* Removes and frees the first chunk. */
static void chunk_drop(struct core *core, struct conn *conn)
{
    struct conn_chunk *chunk = conn->out_first;
    ASSERT(chunk != NULL);
    conn->out_first = chunk->next;
    if (conn->out_first == NULL)
        conn->out_last = NULL;
    pool_give(chunk->is_small ? &core->conns.small_chunk_pool : &core->conns.chunk_pool, chunk);
}

void conn_drop_output(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSED || conn->out_first == NULL);
    while (conn->out_first != NULL)
        chunk_drop(core, conn);
}

/* Notes the time for backpressure.h, which closes connections that read nothing for too long. */
static void mark_progress(struct core *core, struct conn *conn)
{
    if (conn->out_first != NULL)
        conn->out_first->at_s = (uint16_t)core_now_s(core);
}

void conn_queue_output(struct core *core, struct conn *conn)
{
    if (list_is_linked(&conn->output_link))
        return;
    list_append(&core->conns.output, &conn->output_link);
    turn_note_output(&core->turn);
}

static void output_added(struct core *core, struct conn *conn, size_t bytes)
{
    if (conn->out_bytes == 0)
        mark_progress(core, conn);
    conn->out_bytes += (uint32_t)bytes;
    conn_queue_output(core, conn);
}

void conn_chunk_insert(struct core *core, struct conn *conn, struct conn_chunk *chunk)
{
    struct conn_chunk **at = &conn->out_first;
    ASSERT(chunk->is_sealed && chunk->used > chunk->sent);
    while (*at != NULL && (*at)->is_sealed)
        at = &(*at)->next;
    chunk->next = *at;
    *at = chunk;
    if (chunk->next == NULL)
        conn->out_last = chunk;
    else
        chunk->at_s = chunk->next->at_s;
    output_added(core, conn, (size_t)(chunk->used - chunk->sent));
}

char *conn_reply_begin(struct core *core, struct conn *conn, size_t bytes_max)
{
    if (bytes_max <= chunk_room(conn->out_last))
        return conn->out_last->data + conn->out_last->used;
    if (conn_is_logged_in(conn) && bytes_max <= data_max(core, conn, false)) {
        struct conn_chunk *chunk = chunk_add(core, conn, false);
        return chunk->data + chunk->used;
    }
    ASSERT(bytes_max <= CONN_SCRATCH_BYTES);
    ASSERT(!core->conns.is_scratch_in_use);
    core->conns.is_scratch_in_use = true;
    return core->conns.scratch;
}

void conn_reply_end(struct core *core, struct conn *conn, size_t bytes)
{
    if (core->conns.is_scratch_in_use) {
        core->conns.is_scratch_in_use = false;
        conn_write(core, conn, core->conns.scratch, bytes);
        return;
    }
    ASSERT(bytes <= chunk_room(conn->out_last));
    conn->out_last->used = (uint16_t)(conn->out_last->used + bytes);
    output_added(core, conn, bytes);
}

void conn_write(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    for (size_t left = bytes; left > 0;) {
        struct conn_chunk *chunk = conn->out_last;
        if (chunk_room(chunk) == 0)
            chunk = chunk_add(core, conn, fits_small_chunk(conn, left));
        size_t piece = left < chunk_room(chunk) ? left : chunk_room(chunk);
        memcpy(chunk->data + chunk->used, data, piece);
        chunk->used = (uint16_t)(chunk->used + piece);
        data += piece;
        left -= piece;
    }
    output_added(core, conn, bytes);
}

bool conn_push(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    ASSERT(conn_is_logged_in(conn));
    if (!backpressure_may_push(core, conn, bytes)) {
        bool is_tight = backpressure_is_tight(core);
        metric_add(&core->metrics.pushes[is_tight ? METRICS_PUSH_DROPPED : METRICS_PUSH_SLOW], 1);
        refusal_note(core, REFUSAL_OUTPUT, &conn_cold(core, conn)->address,
                     is_tight ? "the memory for output is short" : "over --output-bytes");
        if (is_tight)
            conn_drop(core, conn); /* its chunks must be freed now; a close frame would wait behind them */
        else
            conn_close(core, conn, 4001, "slow consumer: reconnect with after");
        return false;
    }
    metric_add(&core->metrics.pushes[METRICS_PUSH_WRITTEN], 1);
    conn_write(core, conn, data, bytes);
    return true;
}

bool conn_push_ephemeral(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    ASSERT(conn_is_logged_in(conn));
    if (conn->out_bytes + bytes > core->server->config->output_bytes / 4 || backpressure_is_tight(core))
        return false;
    conn_write(core, conn, data, bytes);
    return true;
}

void conn_ping(struct core *core, struct conn *conn)
{
    uint8_t ping[WS_HEADER_BYTES_MAX];
    ASSERT(conn_is_logged_in(conn));
    uint32_t bytes = ws_header_write(ping, WS_PING, 0);
    if (conn->out_first == NULL)
        chunk_add(core, conn, true);
    conn_write(core, conn, (const char *)ping, bytes);
}

void conn_flush(struct core *core, struct conn *conn)
{
    list_remove(&conn->output_link);
    if (io_is_sending(&conn->socket) || conn->state == CONN_CLOSED)
        return;
    if (conn->is_tls)
        tls_seal_output(core, conn);
    if (conn->out_bytes == 0)
        return;
    struct iovec vectors[IO_SEND_VECTORS_MAX];
    uint32_t count = 0;
    for (struct conn_chunk *chunk = conn->out_first; chunk != NULL && count < IO_SEND_VECTORS_MAX;
         chunk = chunk->next) {
        if (chunk->used == chunk->sent)
            continue;
        ASSERT(chunk->is_sealed || !conn->is_tls); /* nothing leaves in clear text */
        vectors[count++] = (struct iovec){chunk->data + chunk->sent, (size_t)(chunk->used - chunk->sent)};
    }
    ASSERT(count > 0);
    io_send(shard_io(core->shard), &conn->socket, vectors, count);
}

/* Removes the sent bytes from the front, and frees the chunks that were sent as a whole. */
static void output_sent(struct core *core, struct conn *conn)
{
    uint32_t left = io_sent_bytes(&conn->socket);
    ASSERT(left <= conn->out_bytes);
    conn->out_bytes -= left;
    while (conn->out_first != NULL) {
        struct conn_chunk *chunk = conn->out_first;
        uint32_t piece = (uint32_t)(chunk->used - chunk->sent);
        if (left < piece) {
            chunk->sent = (uint16_t)(chunk->sent + left);
            break;
        }
        left -= piece;
        chunk_drop(core, conn);
    }
}

void conn_on_sent(struct core *core, struct conn *conn, int result)
{
    ASSERT(conn->state != CONN_FREE && conn->state != CONN_CLOSED);
    ASSERT(result <= 0);
    if (result < 0) {
        conn_drop(core, conn);
        return;
    }
    output_sent(core, conn);
    mark_progress(core, conn);
    if (conn->out_bytes > 0)
        conn_queue_output(core, conn);
    if (conn->state == CONN_CLOSING) {
        conn_closing_step(core, conn);
        return;
    }
    if (conn->work == NULL)
        return;
    if (conn->state == CONN_REPLAY || conn->has_peer_closed)
        conn_hear(core, conn);
    core->conns.callbacks->on_room(core, conn);
    conn_queue_resume(core, conn);
    conn_rest(core, conn);
}

void conn_answered(struct core *core, struct conn *conn)
{
    ASSERT(conn->unanswered > 0);
    conn->unanswered--;
    conn_queue_resume(core, conn);
}

void conn_reply_error(struct core *core, struct conn *conn, const struct request_id *id, enum error_code code,
                      const char *message, uint32_t retry_after_ms)
{
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    ASSERT((uint32_t)code < METRICS_ERRORS);
    metric_add(&core->metrics.errors[code], 1);
    refusal_note_error(core, code, &conn_cold(core, conn)->address, message);
    conn_reply_end(core, conn, reply_write_error(out, id, code, message, retry_after_ms));
    conn_answered(core, conn);
}
