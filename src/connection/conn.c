#include "connection/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/state.h"
#include "connection/tls.h"
#include "server/core.h"

/* The transitions of a connection. */
static const uint16_t transitions[] = {
    [CONN_FREE] = STATE_TO(CONN_HTTP) | STATE_TO(CONN_API) | STATE_TO(CONN_OPEN),
    [CONN_API] = STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_HTTP] = STATE_TO(CONN_API) | STATE_TO(CONN_OPEN) | STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_OPEN] = STATE_TO(CONN_HANDOVER) | STATE_TO(CONN_LOGIN) | STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_HANDOVER] = STATE_TO(CONN_FREE) | STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_LOGIN] = STATE_TO(CONN_OPEN) | STATE_TO(CONN_REPLAY) | STATE_TO(CONN_LIVE) | STATE_TO(CONN_CLOSING)
                   | STATE_TO(CONN_CLOSED),
    [CONN_REPLAY] = STATE_TO(CONN_LIVE) | STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_LIVE] = STATE_TO(CONN_CLOSING) | STATE_TO(CONN_CLOSED),
    [CONN_CLOSING] = STATE_TO(CONN_CLOSED),
    [CONN_CLOSED] = STATE_TO(CONN_FREE),
};

void conn_set_state(struct conn *conn, enum conn_state state)
{
    ASSERT_TRANSITION(transitions, conn->state, state);
    conn->state = (uint8_t)state;
}

bool conn_is_logged_in(const struct conn *conn)
{
    return conn->state == CONN_REPLAY || conn->state == CONN_LIVE;
}

#define SLOTS_FIRST 256u

int conns_init(struct conns *conns, const struct conn_callbacks *callbacks, const struct http_options *http,
               uint64_t message_bytes)
{
    ASSERT(callbacks->on_request != NULL && callbacks->on_room != NULL);
    ASSERT(callbacks->on_leave != NULL && callbacks->on_room_for_reads != NULL);
    ASSERT(callbacks->on_api != NULL && callbacks->on_api_input != NULL && callbacks->on_api_timer != NULL);
    *conns = (struct conns){.callbacks = callbacks, .http = *http};
    pool_init(&conns->table.pool, sizeof(struct conn));
    pool_init(&conns->work_pool, sizeof(struct conn_work));
    pool_init(&conns->head_pool, http_head_bytes());
    pool_init(&conns->chunk_pool, CONN_CHUNK_BYTES);
    pool_init(&conns->small_chunk_pool, CONN_CHUNK_SMALL_BYTES);
    list_init(&conns->output);
    list_init(&conns->resume_first);
    list_init(&conns->resume);
    conns->scratch = malloc(CONN_SCRATCH_BYTES);
    int status =
        conns->scratch == NULL ? -ENOMEM : ws_pool_open(&conns->ws_pool, LIMIT_FRAME_BYTES, message_bytes, false);
    if (status == 0)
        status = request_reader_open(&conns->request_reader);
    return status;
}

void conns_fini(struct conns *conns)
{
    request_reader_close(&conns->request_reader);
    ws_pool_close(&conns->ws_pool);
    pool_fini(&conns->table.pool);
    free(conns->table.slots);
    free(conns->table.cold);
    free(conns->table.free);
    pool_fini(&conns->work_pool);
    pool_fini(&conns->head_pool);
    pool_fini(&conns->chunk_pool);
    pool_fini(&conns->small_chunk_pool);
    free(conns->scratch);
}

static int table_grow(struct conn_table *table)
{
    ASSERT(table->free_count == 0);
    uint32_t count = table->slot_count == 0 ? SLOTS_FIRST : 2 * table->slot_count;
    struct conn **slots = realloc(table->slots, count * sizeof(struct conn *));
    if (slots == NULL)
        return -ENOMEM;
    table->slots = slots;
    struct conn_cold *cold = realloc(table->cold, count * sizeof *cold);
    if (cold == NULL)
        return -ENOMEM;
    table->cold = cold;
    uint32_t *stack = realloc(table->free, count * sizeof *stack);
    if (stack == NULL)
        return -ENOMEM;
    table->free = stack;
    for (uint32_t slot = count; slot-- > table->slot_count;) {
        table->slots[slot] = NULL;
        table->free[table->free_count++] = slot;
    }
    table->slot_count = count;
    return 0;
}

struct conn *conn_at(const struct conn_table *table, uint32_t slot)
{
    ASSERT(slot < table->slot_count);
    return table->slots[slot];
}

static struct conn *slot_take(struct conn_table *table)
{
    if (table->free_count == 0 && table_grow(table) != 0)
        return NULL;
    struct conn *conn = pool_take(&table->pool);
    if (conn == NULL)
        return NULL;
    uint32_t slot = table->free[--table->free_count];
    ASSERT(table->slots[slot] == NULL);
    *conn = (struct conn){.slot = slot, .generation = ++table->generation};
    table->slots[slot] = conn;
    table->taken++;
    ASSERT(table->taken + table->free_count == table->slot_count);
    return conn;
}

static void slot_give(struct conn_table *table, struct conn *conn)
{
    ASSERT(table->slots[conn->slot] == conn);
    ASSERT(table->taken > 0);
    conn_set_state(conn, CONN_FREE);
    table->slots[conn->slot] = NULL;
    table->free[table->free_count++] = conn->slot;
    table->taken--;
    pool_give(&table->pool, conn);
}

struct conn *conn_open(struct core *core, int fd, enum conn_state state, const struct address *address)
{
    ASSERT(fd >= 0);
    ASSERT(state == CONN_HTTP || state == CONN_API || state == CONN_OPEN);
    struct conn *conn = slot_take(&core->conns.table);
    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn_set_state(conn, state);
    conn->is_websocket = state == CONN_OPEN;
    timer_init(&conn->timer);
    list_init(&conn->user_link);
    list_init(&conn->output_link);
    conn->heard_s = core_now_s(core);
    *conn_cold(core, conn) = (struct conn_cold){.address = *address, .since_s = core_now_s(core)};
    io_adopt(shard_io(core->shard), &conn->socket, fd);
    return conn;
}

struct conn_cold *conn_cold(struct core *core, const struct conn *conn)
{
    ASSERT(conn->state != CONN_FREE);
    ASSERT(conn_at(&core->conns.table, conn->slot) == conn);
    return &core->conns.table.cold[conn->slot];
}

struct conn_ref conn_ref(const struct conn *conn)
{
    return (struct conn_ref){conn->slot, conn->generation};
}

struct conn *conn_of_ref(const struct core *core, struct conn_ref ref)
{
    struct conn *conn = conn_at(&core->conns.table, ref.slot);
    return conn != NULL && conn->generation == ref.generation ? conn : NULL;
}

struct conn *conn_find(struct core *core, struct conn_ref ref)
{
    struct conn *conn = conn_of_ref(core, ref);
    return conn != NULL && conn_is_logged_in(conn) ? conn : NULL;
}

/* -- work -- */

struct conn_work *conn_work(struct core *core, struct conn *conn)
{
    if (conn->work != NULL)
        return conn->work;
    ASSERT(conn->state != CONN_FREE);
    struct conn_work *work = pool_take(&core->conns.work_pool);
    ASSERT(work != NULL);
    *work = (struct conn_work){.conn = conn};
    ws_init(&work->ws);
    list_init(&work->resume_link);
    list_init(&work->handover_link);
    list_init(&work->history_link);
    list_init(&work->place_link);
    list_init(&work->watches);
    conn->work = work;
    return work;
}

static void work_give(struct core *core, struct conn *conn)
{
    ASSERT(conn->work->conn == conn);
    pool_give(&core->conns.work_pool, conn->work);
    conn->work = NULL;
}

void conn_rest(struct core *core, struct conn *conn)
{
    const struct conn_work *work = conn->work;
    if (work == NULL || conn->state != CONN_LIVE || conn->is_reading_stopped)
        return;
    if (!rate_is_full(&work->frame_rate, shard_monotonic_us(core->shard)))
        return;
    if (work->ws.parser != NULL || work->ws.closed || work->stash.data != NULL || work->head != NULL
        || work->login != NULL || work->replay != NULL || work->histories != NULL || list_is_linked(&work->resume_link)
        || work->fragment_retry_after_ms != 0 || !list_is_empty(&work->watches))
        return;
    ASSERT(!list_is_linked(&work->handover_link));
    ASSERT(!list_is_linked(&work->history_link) && !list_is_linked(&work->place_link));
    work_give(core, conn);
}

void conn_hear(struct core *core, struct conn *conn)
{
    uint32_t now_s = core_now_s(core);
    if (conn->heard_s == now_s)
        return;
    conn->heard_s = now_s;
    conn->socket.count = 0;
}

bool conn_has_stash(const struct conn *conn)
{
    return conn->work != NULL && conn->work->stash.data != NULL;
}

struct replay *conn_replay(const struct conn *conn)
{
    return conn->work == NULL ? NULL : conn->work->replay;
}

struct history *conn_histories(const struct conn *conn)
{
    return conn->work == NULL ? NULL : conn->work->histories;
}

/* Frees the struct conn_work and all that it owns. */
static void work_drop(struct core *core, struct conn *conn)
{
    struct conn_work *work = conn->work;
    if (work == NULL)
        return;
    ASSERT(work->replay == NULL && work->histories == NULL && work->exchange == NULL);
    ASSERT(list_is_empty(&work->watches));
    ASSERT(!list_is_linked(&work->resume_link) && !list_is_linked(&work->handover_link));
    ASSERT(!list_is_linked(&work->history_link) && !list_is_linked(&work->place_link));
    conn_stash_free(core, conn);
    ws_fini(&work->ws, core->conns.ws_pool);
    conn_head_free(core, conn);
    for (struct login *login; (login = work->login) != NULL;) {
        work->login = login->next;
        barrier_leave(&login->barrier);
        free(login);
    }
    work_give(core, conn);
}

/* -- freeing, and the timer -- */

void conn_free(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSED || conn->state == CONN_HANDOVER);
    ASSERT(conn->user == NULL && !list_is_linked(&conn->output_link));
    ASSERT(!timer_is_set(&conn->timer));
    conn_drop_output(core, conn);
    work_drop(core, conn);
    tls_free(core, conn);
    slot_give(&core->conns.table, conn);
}

uint64_t conn_silence_us(const struct core *core)
{
    return 3 * seconds_us(core->server->config->ping_s);
}

void conn_set_keepalive(struct core *core, struct conn *conn, uint64_t at_us)
{
    uint32_t expires_s = conn_cold(core, conn)->expires_s;
    ASSERT(conn_is_logged_in(conn));
    if (expires_s != 0 && seconds_us(expires_s) < at_us)
        at_us = seconds_us(expires_s);
    timers_set(shard_timers(core->shard), &conn->timer, at_us);
}

static bool has_expired(struct core *core, const struct conn *conn)
{
    uint32_t expires_s = conn_cold(core, conn)->expires_s;
    return expires_s != 0 && core_now_s(core) >= expires_s;
}

/* The timer of a logged-in connection. A peer that was silent for ping_s gets a ping, one that was silent for three
 * times as long is closed. One that has ended its side gets no ping. It counts as silent while it takes no output. */
static void on_silence(struct core *core, struct conn *conn)
{
    ASSERT(conn_is_logged_in(conn));
    if (has_expired(core, conn)) {
        conn_close(core, conn, 4101, "the token has expired: log in with a new one");
        return;
    }
    uint64_t now_us = shard_monotonic_us(core->shard);
    uint64_t ping_us = seconds_us(core->server->config->ping_s);
    uint64_t heard_us = seconds_us(conn->heard_s);
    ASSERT(heard_us <= now_us);
    uint64_t silent_us = now_us - heard_us;
    if (conn->is_reading_stopped && !conn->has_peer_closed)
        silent_us = 0; /* the peer may have sent: the server does not receive */
    if (silent_us >= conn_silence_us(core)) {
        conn_close(core, conn, 4002, "silent for too long");
        return;
    }
    if (silent_us < ping_us) {
        conn_set_keepalive(core, conn, now_us - silent_us + ping_us);
        return;
    }
    if (!conn->has_peer_closed)
        conn_ping(core, conn);
    conn_set_keepalive(core, conn, now_us + ping_us);
    conn_rest(core, conn);
}

static void note_late(struct core *core, const struct conn *conn, const char *missing)
{
    refusal_note(core, REFUSAL_LOGIN_TIME, &conn_cold(core, conn)->address, missing);
}

/* The head did not come in time. Who is turned away was noted when that began, and gets the answer now. */
static void end_silent_head(struct core *core, struct conn *conn)
{
    bool is_in_handshake = conn->is_tls && !tls_is_open(core, conn);
    if (conn->is_turned_away && !is_in_handshake) {
        conn_refuse_full(core, conn);
        return;
    }
    if (!conn->is_turned_away)
        note_late(core, conn, is_in_handshake ? "no complete TLS handshake" : "no complete HTTP head");
    conn_drop(core, conn);
}

static void end_without_login(struct core *core, struct conn *conn)
{
    note_late(core, conn, "no complete login");
    conn_close(core, conn, 4002, "no login within the login time");
}

/* The login deadline passed, the token has expired, the peer was silent, or it did not finish a close. */
void conn_on_timer(struct core *core, struct conn *conn)
{
    switch (conn->state) {
    case CONN_HTTP: end_silent_head(core, conn); return;
    case CONN_API: core->conns.callbacks->on_api_timer(core, conn); return;
    case CONN_OPEN: end_without_login(core, conn); return;
    case CONN_HANDOVER: conn_drop(core, conn); return; /* the peer did not read the output before the handover */
    case CONN_CLOSING: conn_drop(core, conn); return;
    case CONN_REPLAY:
    case CONN_LIVE: on_silence(core, conn); return;
    default: return;
    }
}
