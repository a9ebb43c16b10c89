#include "connection/tls.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#include "connection/tls_context.h"
#include "server/core.h"

static struct tls *tls_of(struct core *core, const struct conn *conn)
{
    struct tls *tls = conn_cold(core, conn)->tls;
    ASSERT(conn->is_tls && tls != NULL);
    return tls;
}

int tls_state_init(struct tls_state *state)
{
    list_init(&state->queue);
    list_init(&state->waiting);
    list_init(&state->parts);
    return tls_ciphers_open(&state->ciphers);
}

void tls_state_fini(struct tls_state *state)
{
    tls_ciphers_close(&state->ciphers);
}

bool tls_begin(struct core *core, struct conn *conn)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT((conn->state == CONN_HTTP || conn->state == CONN_API) && !conn->is_tls);
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return false;
    list_init(&tls->link);
    core->tls.count++;
    conn->is_tls = true;
    conn_cold(core, conn)->tls = tls;
    tls->conn = conn;
    return true;
}

void tls_discard(struct tls *tls)
{
    if (tls == NULL)
        return;
    free(tls->input.data);
    OPENSSL_cleanse(tls, sizeof *tls);
    free(tls);
}

struct tls *tls_leave(struct core *core, struct conn *conn)
{
    if (!conn->is_tls)
        return NULL;
    struct tls *tls = tls_of(core, conn);
    ASSERT(tls->handshake == NULL && !tls->is_queued);
    ASSERT(core->tls.count > 0);
    ASSERT(core->conns.stash_bytes >= tls->input.bytes);
    list_remove(&tls->link);
    core->tls.count--;
    core->conns.stash_bytes -= tls->input.bytes;
    conn->is_tls = false;
    conn_cold(core, conn)->tls = NULL;
    return tls;
}

void tls_enter(struct core *core, struct conn *conn, struct tls *tls)
{
    conn_cold(core, conn)->tls = tls;
    conn->is_tls = tls != NULL;
    if (tls == NULL)
        return;
    ASSERT(tls->is_open);
    tls->conn = conn;
    conn->has_peer_closed = tls->is_over;    /* TCP's end may not come: close_notify was the end */
    conn->is_reading_stopped = tls->is_over; /* as conn_on_end leaves it: each answer leads to conn_ended_step */
    core->tls.count++;
    core->conns.stash_bytes += tls->input.bytes;
}

void tls_free(struct core *core, struct conn *conn)
{
    if (!conn->is_tls)
        return;
    tls_end_handshake(core, conn);
    tls_discard(tls_leave(core, conn));
}

bool tls_is_open(struct core *core, const struct conn *conn)
{
    return tls_of(core, conn)->is_open;
}

size_t tls_data_max(struct core *core, const struct conn *conn)
{
    ASSERT(tls_is_open(core, conn));
    return tls_of(core, conn)->data_max;
}

bool tls_is_queued(struct core *core, const struct conn *conn)
{
    return tls_of(core, conn)->is_queued;
}

bool tls_has_part(struct core *core, const struct conn *conn)
{
    const struct tls *tls = tls_of(core, conn);
    return tls->input.data != NULL && !tls->is_queued;
}

void tls_fail(struct core *core, struct conn *conn, enum tls_alert alert, const char *reason)
{
    struct tls *tls = tls_of(core, conn);
    refusal_note(core, REFUSAL_TLS, &conn_cold(core, conn)->address, reason);
    tls->is_over = true;
    tls->alert = (uint8_t)alert;
    conn_stash_clear(core, &tls->input);
    if (conn->state == CONN_HANDOVER)
        conn_drop(core, conn);
    else
        conn_close_http(core, conn);
}

/* -- handshakes -- */

/* A connection is in the queue, among those that wait for their clients, or in neither. */
static void move_to(struct tls *tls, struct list *list, bool is_queue)
{
    list_remove(&tls->link);
    tls->is_queued = is_queue;
    if (list != NULL)
        list_append(list, &tls->link);
}

void tls_end_handshake(struct core *core, struct conn *conn)
{
    struct tls *tls = tls_of(core, conn);
    move_to(tls, NULL, false);
    if (tls->handshake == NULL)
        return;
    ASSERT(core->tls.handshake_count > 0);
    core->tls.handshake_count--;
    metric_add(&core->metrics.handshakes[tls->is_open ? METRICS_OK : METRICS_FAILED], 1);
    tls_handshake_close(&tls->handshake);
}

/* True when there is a place. False: all handshakes wait for this shard, not for their clients. */
static bool make_place(struct core *core)
{
    if (core->tls.handshake_count < core->server->config->tls_handshakes)
        return true;
    if (list_is_empty(&core->tls.waiting))
        return false;
    struct conn *oldest = container_of(core->tls.waiting.next, struct tls, link)->conn;
    refusal_note(core, REFUSAL_TLS_HANDSHAKES, &conn_cold(core, oldest)->address, NULL);
    conn_drop(core, oldest);
    return true;
}

static bool begin_handshake(struct core *core, struct tls *tls)
{
    SSL_CTX *ssl_context = tls_context_take(core->server->tls_context);
    tls->handshake = tls_handshake_open(ssl_context);
    SSL_CTX_free(ssl_context);
    if (tls->handshake == NULL)
        return false;
    core->tls.handshake_count++;
    return true;
}

/* The first complete record of the input; 0 bytes: there is none. */
static size_t first_record(const struct tls *tls, const char **data_r)
{
    size_t bytes = tls->input.end - tls->input.begin;
    if (bytes == 0)
        return 0;
    *data_r = tls->input.data + tls->input.begin;
    size_t record = tls_record_bytes(*data_r, bytes);
    return record <= bytes ? record : 0;
}

/* What came behind the handshake is input of the connection. */
static void finish_handshake(struct core *core, struct tls *tls)
{
    struct conn *conn = tls->conn;
    struct conn_stash rest = tls->input;
    tls->input = (struct conn_stash){.data = NULL};
    tls->data_max = (uint16_t)tls_handshake_data_max(tls->handshake);
    tls->is_open = true;
    tls_end_handshake(core, conn);
    tls_take_records(core, conn, rest.data + rest.begin, rest.end - rest.begin);
    conn_stash_clear(core, &rest);
    conn_receive(core, conn);
}

static void feed(struct core *core, struct tls *tls)
{
    struct conn *conn = tls->conn;
    const char *data, *out;
    size_t out_bytes;
    size_t record = first_record(tls, &data);
    ASSERT(record > 0);
    enum tls_handshake_step step = tls_handshake_feed(tls->handshake, data, record, &out, &out_bytes, &tls->record);
    tls->input.begin += (uint32_t)record;
    tls_write_raw(core, conn, out, out_bytes);
    switch (step) {
    case TLS_HANDSHAKE_DONE: finish_handshake(core, tls); return;
    case TLS_HANDSHAKE_FAILED: tls_fail(core, conn, TLS_CLOSE_NOTIFY, tls_handshake_reason(tls->handshake)); return;
    case TLS_HANDSHAKE_MORE: break;
    }
    bool has_more = first_record(tls, &data) > 0;
    move_to(tls, has_more ? &core->tls.queue : &core->tls.waiting, has_more);
    conn_receive(core, conn);
}

static void step_one(struct core *core, struct tls *tls)
{
    move_to(tls, NULL, false);
    if (tls->handshake == NULL && !make_place(core)) {
        move_to(tls, &core->tls.queue, true);
        return;
    }
    if (tls->handshake == NULL && !begin_handshake(core, tls)) {
        conn_drop(core, tls->conn);
        return;
    }
    feed(core, tls);
}

void tls_step_all(struct core *core)
{
    ASSERT(!list_is_empty(&core->tls.queue));
    struct clock *clock = core->server->clock;
    uint64_t begun_us = clock_monotonic_us(clock);
    uint64_t us = 0;
    do {
        step_one(core, container_of(core->tls.queue.next, struct tls, link));
        us = clock_monotonic_us(clock) - begun_us;
    } while (!list_is_empty(&core->tls.queue) && turn_may_shake_hands(us));
    turn_spend_handshakes(&core->turn, us);
}

/* -- parts of records -- */

static bool takes_too_much(const struct core *core)
{
    return core->conns.stash_bytes > core->budget.stash_bytes / 4;
}

static void drop_oldest_part(struct core *core)
{
    struct tls *tls = container_of(core->tls.parts.next, struct tls, link);
    list_remove(&tls->link);
    if (conn_is_logged_in(tls->conn))
        return;
    refusal_note(core, REFUSAL_TLS, &conn_cold(core, tls->conn)->address,
                 "a part of a record, and many more wait for the rest of theirs");
    conn_stash_clear(core, &tls->input);
    conn_drop(core, tls->conn);
}

void tls_note_part(struct core *core, struct conn *conn)
{
    struct tls *tls = tls_of(core, conn);
    if (conn_is_logged_in(conn) || tls->handshake != NULL)
        return;
    if (!list_is_linked(&tls->link))
        list_append(&core->tls.parts, &tls->link);
    while (takes_too_much(core) && core->tls.parts.next != core->tls.parts.prev)
        drop_oldest_part(core);
}

/* -- input of a handshake -- */

/* Bytes that begin no TLS record. */
static void refuse_first_bytes(struct core *core, struct conn *conn, const char *data)
{
    bool is_http = data[0] >= 'A' && data[0] <= 'Z';
    struct span answer = http_answer_not_tls();
    if (is_http)
        tls_write_raw(core, conn, answer.data, answer.bytes);
    tls_fail(core, conn, TLS_CLOSE_NOTIFY, is_http ? "plain HTTP on a TLS port" : "no TLS");
}

void tls_take_handshake(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    struct tls *tls = tls_of(core, conn);
    ASSERT(!tls->is_open);
    if (conn_stash_append(core, &tls->input, data, bytes) != 0) {
        tls_fail(core, conn, TLS_CLOSE_NOTIFY, "the memory for input is used up");
        return;
    }
    const char *input = tls->input.data + tls->input.begin;
    if (!tls_header_is_good(input, tls->input.end - tls->input.begin)) {
        refuse_first_bytes(core, conn, input);
        return;
    }
    if (first_record(tls, &input) == 0)
        tls_note_part(core, conn);
    else if (!tls->is_queued)
        move_to(tls, &core->tls.queue, true);
}
