#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "core.h"
#include "fanout.h"
#include "history.h"
#include "replay.h"

/* Allowed moves: bit s of row f says that a connection may go from f to s. */
#define MOVE(state) (1u << (state))
static const uint16_t moves[] = {
    [CONN_FREE] = MOVE(CONN_HTTP) | MOVE(CONN_OPEN),
    [CONN_HTTP] = MOVE(CONN_OPEN) | MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_OPEN] = MOVE(CONN_MOVING) | MOVE(CONN_LOGIN) | MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_MOVING] = MOVE(CONN_FREE) | MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_LOGIN] = MOVE(CONN_OPEN) | MOVE(CONN_REPLAY) | MOVE(CONN_LIVE) | MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_REPLAY] = MOVE(CONN_LIVE) | MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_LIVE] = MOVE(CONN_CLOSING) | MOVE(CONN_CLOSED),
    [CONN_CLOSING] = MOVE(CONN_CLOSED),
    [CONN_CLOSED] = MOVE(CONN_FREE),
};

void conn_set_state(struct conn *conn, enum conn_state state)
{
    ASSERT((moves[conn->state] & MOVE(state)) != 0);
    conn->state = (uint8_t)state;
}

bool conn_is_logged_in(const struct conn *conn)
{
    return conn->state == CONN_REPLAY || conn->state == CONN_LIVE;
}

void conn_table_init(struct conn_table *table)
{
    *table = (struct conn_table){.taken = 0};
}

void conn_table_fini(struct conn_table *table)
{
    for (uint32_t i = 0; i < table->slab_count; i++)
        free(table->slabs[i]);
    free(table->slabs);
    free(table->free);
    *table = (struct conn_table){.taken = 0};
}

static int table_grow(struct conn_table *table)
{
    uint32_t count = table->slab_count + 1;
    struct conn **slabs = realloc(table->slabs, count * sizeof *slabs);
    if (slabs == NULL)
        return -ENOMEM;
    table->slabs = slabs;
    uint32_t *stack = realloc(table->free, (size_t)count * CONN_SLAB * sizeof *stack);
    if (stack == NULL)
        return -ENOMEM;
    table->free = stack;
    struct conn *slab = calloc(CONN_SLAB, sizeof *slab);
    if (slab == NULL)
        return -ENOMEM;
    for (uint32_t i = CONN_SLAB; i-- > 0;) {
        slab[i].slot = table->slab_count * CONN_SLAB + i;
        table->free[table->free_count++] = slab[i].slot;
    }
    table->slabs[table->slab_count++] = slab;
    return 0;
}

struct conn *conn_at(const struct conn_table *table, uint32_t slot)
{
    return &table->slabs[slot / CONN_SLAB][slot % CONN_SLAB];
}

static struct conn *slot_take(struct conn_table *table)
{
    if (table->free_count == 0 && table_grow(table) != 0)
        return NULL;
    struct conn *conn = conn_at(table, table->free[--table->free_count]);
    uint32_t slot = conn->slot;
    uint32_t generation = conn->generation + 1;
    *conn = (struct conn){.slot = slot, .generation = generation};
    table->taken++;
    return conn;
}

static void slot_give(struct conn_table *table, struct conn *conn)
{
    conn_set_state(conn, CONN_FREE);
    table->free[table->free_count++] = conn->slot;
    table->taken--;
}

struct conn *conn_open(struct core *core, int fd, enum conn_state state)
{
    struct conn *conn = slot_take(&core->conns);
    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn_set_state(conn, state);
    conn->is_websocket = state == CONN_OPEN;
    ws_init(&conn->ws);
    timer_init(&conn->timer);
    list_init(&conn->user_link);
    list_init(&conn->output_link);
    list_init(&conn->resume_link);
    conn->heard_s = (uint32_t)(shard_monotonic_us(core->shard) / 1000000);
    rate_init(&conn->frame_rate, shard_monotonic_us(core->shard));
    io_adopt(shard_io(core->shard), &conn->socket, fd);
    return conn;
}

struct conn_ref conn_ref(const struct conn *conn)
{
    return (struct conn_ref){conn->slot, conn->generation};
}

struct conn *conn_find(struct core *core, struct conn_ref ref)
{
    struct conn *conn = conn_at(&core->conns, ref.slot);
    if (conn->generation != ref.generation || !conn_is_logged_in(conn))
        return NULL;
    return conn;
}

/* Gives back all that a connection owns but its socket and its slot. */
static void conn_strip(struct core *core, struct conn *conn)
{
    while (conn->out_first != NULL) {
        struct conn_chunk *chunk = conn->out_first;
        conn->out_first = chunk->next;
        pool_give(&core->chunk_pool, chunk);
    }
    conn->out_last = NULL;
    conn_stash_free(core, conn);
    ws_fini(&conn->ws, core->ws_pool);
    http_head_close(&conn->head);
    free(conn->login);
    conn->login = NULL;
}

void conn_free(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSED || conn->state == CONN_MOVING);
    ASSERT(conn->user == NULL && conn->replay == NULL && conn->histories == NULL);
    ASSERT(list_is_empty(&conn->output_link) && list_is_empty(&conn->resume_link));
    conn_strip(core, conn);
    slot_give(&core->conns, conn);
}

/* No login in time; silence; a close that the peer does not answer. */
void conn_on_timer(struct core *core, struct conn *conn)
{
    uint64_t now_us = shard_monotonic_us(core->shard);
    uint32_t ping_s = core->server->config->ping_s;
    switch (conn->state) {
    case CONN_HTTP: conn_drop(core, conn); return;
    case CONN_OPEN: conn_close(core, conn, 4002, "no login within the login time"); return;
    case CONN_CLOSING: conn_drop(core, conn); return;
    case CONN_REPLAY:
    case CONN_LIVE: break;
    default: return;
    }
    uint64_t heard_us = (uint64_t)conn->heard_s * 1000000;
    uint64_t silent_us = now_us - heard_us;
    if (conn->is_reading_stopped)
        silent_us = 0; /* it is us who do not listen */
    if (silent_us >= (uint64_t)ping_s * 3000000) {
        conn_close(core, conn, 4002, "silent for too long");
        return;
    }
    if (silent_us < (uint64_t)ping_s * 1000000) {
        timers_set(shard_timers(core->shard), &conn->timer, now_us - silent_us + (uint64_t)ping_s * 1000000);
        return;
    }
    uint8_t ping[WS_HEADER_BYTES_MAX];
    uint32_t bytes = ws_header_write(ping, WS_PING, 0);
    conn_write(core, conn, (const char *)ping, bytes);
    timers_set(shard_timers(core->shard), &conn->timer, now_us + (uint64_t)ping_s * 1000000);
}
