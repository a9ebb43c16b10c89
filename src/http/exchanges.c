/* exchanges.c: the life of an exchange: accepted, bounded in number and time, freed. */
#include "http/exchanges.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/exchange_private.h"
#include "server/core.h"

void exchanges_init(struct exchanges *exchanges, const struct http_route *routes, uint32_t route_count)
{
    exchanges->routes = routes;
    exchanges->route_count = route_count;
    for (int kind = 0; kind < EXCHANGE_KINDS; kind++)
        list_init(&exchanges->waiting[kind]);
    list_init(&exchanges->asking);
}

void exchange_set_deadline(struct core *core, struct exchange *exchange, uint32_t factor)
{
    uint64_t us = factor * seconds_us(core->server->config->login_time_s);
    timers_set(shard_timers(core->shard), &exchange->conn->timer, shard_monotonic_us(core->shard) + us);
}

void exchange_set_timer(struct core *core, struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_READING)
        return; /* the request has its deadline since its first byte */
    if (exchange->conn->out_bytes > 0)
        exchange_set_deadline(core, exchange, EXCHANGE_REQUEST_FACTOR);
    else if (exchange->state == EXCHANGE_IDLE)
        exchange_set_deadline(core, exchange, EXCHANGE_IDLE_FACTOR);
    else
        timers_clear(shard_timers(core->shard), &exchange->conn->timer);
}

/* True when there is a place for one more. */
static bool make_place(struct core *core, enum exchange_kind kind)
{
    if (core->exchanges.count[kind] < EXCHANGES_MAX)
        return true;
    if (list_is_empty(&core->exchanges.waiting[kind]))
        return false;
    struct conn *longest = container_of(core->exchanges.waiting[kind].next, struct exchange, link)->conn;
    refusal_note(core, REFUSAL_EXCHANGES, &conn_cold(core, longest)->address, NULL);
    conn_drop(core, longest);
    return true;
}

bool exchange_take_place(struct core *core, struct exchange *exchange)
{
    ASSERT(!exchange->has_place);
    if (!make_place(core, exchange->kind))
        return false;
    exchange->has_place = true;
    list_append(&core->exchanges.waiting[exchange->kind], &exchange->link);
    core->exchanges.count[exchange->kind]++;
    return true;
}

/* Has no place yet. NULL: no memory. */
static struct exchange *exchange_open(struct core *core, struct conn *conn, enum exchange_kind kind)
{
    struct exchange *exchange = malloc(sizeof *exchange + http_parser_bytes());
    if (exchange == NULL)
        return NULL;
    *exchange = (struct exchange){.core = core, .conn = conn, .kind = (uint8_t)kind, .state = EXCHANGE_IDLE};
    exchange->parser = http_parser_begin(exchange->parser_memory, exchange_on_body, exchange);
    list_init(&exchange->link);
    conn_work(core, conn)->exchange = exchange;
    return exchange;
}

void exchanges_accept(struct core *core, int fd, bool is_tls)
{
    ASSERT_ON_SHARD(core->shard);
    int on = 1;
    struct address address = io_peer_address(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!make_place(core, EXCHANGE_ADMIN)) {
        refusal_note(core, REFUSAL_EXCHANGES, &address, NULL);
        close(fd);
        return;
    }
    struct conn *conn = conn_open(core, fd, CONN_API, &address);
    if (conn == NULL)
        return;
    conn_cold(core, conn)->is_admin = true;
    metric_add(&core->metrics.accepted[METRICS_ACCEPTED_ADMIN], 1);
    struct exchange *exchange = exchange_open(core, conn, EXCHANGE_ADMIN);
    if (exchange == NULL || !exchange_take_place(core, exchange) || (is_tls && !tls_begin(core, conn))) {
        conn_drop(core, conn);
        return;
    }
    exchange_set_deadline(core, exchange, 1);
    conn_receive(core, conn);
}

void exchanges_begin_public(struct core *core, struct conn *conn, struct span head)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(conn->state == CONN_HTTP);
    struct exchange *exchange = exchange_open(core, conn, EXCHANGE_PUBLIC);
    if (exchange == NULL) {
        conn_refuse_full(core, conn);
        return;
    }
    conn_set_state(conn, CONN_API);
    /* The parser does not change its input; the callback of connections has one that may be changed. */
    char *data = (char *)(uintptr_t)head.data;
    size_t bytes = head.bytes;
    while (bytes > 0 && conn->state == CONN_API)
        exchanges_on_input(core, conn, &data, &bytes);
    if (conn->state == CONN_API && !exchange->has_place)
        conn_drop(core, conn); /* its head is not complete for this parser */
}

static void end_waiting(struct core *core, struct conn *conn)
{
    if (conn->is_tls && !tls_is_open(core, conn))
        conn_drop(core, conn);
    else
        conn_close_http(core, conn);
}

void exchange_end(struct core *core, struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    bool keeps_alive = exchange->keeps_alive && core->stop.step == STOP_NOT;
    exchange_drop_body(core, exchange);
    list_remove(&exchange->link);
    if (exchange->has_place)
        list_append(&core->exchanges.waiting[exchange->kind], &exchange->link);
    exchange->state = EXCHANGE_IDLE;
    exchange->number++;
    conn_answered(core, conn);
    if (keeps_alive)
        exchange_set_timer(core, exchange);
    else
        conn_close_http(core, conn);
}

void exchanges_on_room(struct core *core, struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    exchange_set_timer(core, exchange);
    exchange_queue_more(core, exchange);
}

static const struct http_refusal too_slow = {
    .status = 408,
    .code = "timeout",
    .message = "the request did not come within its time: send it faster, or in smaller parts"};

void exchanges_on_timer(struct core *core, struct conn *conn)
{
    ASSERT_ON_SHARD(core->shard);
    struct exchange *exchange = conn->work->exchange;
    if (exchange->state == EXCHANGE_READING) {
        exchange_begin_handling(core, exchange);
        refusal_note_status(core, too_slow.status, &conn_cold(core, conn)->address, too_slow.message);
        exchange_refuse_and_close(core, exchange, &too_slow);
    } else if (exchange->state == EXCHANGE_IDLE && conn->out_bytes == 0) {
        end_waiting(core, conn);
    } else {
        conn_drop(core, conn); /* the client takes no output */
    }
}

void exchanges_on_leave(struct core *core, struct conn *conn)
{
    struct exchange *exchange = conn->work->exchange;
    conn->work->exchange = NULL;
    if (exchange->has_place) {
        ASSERT(core->exchanges.count[exchange->kind] > 0);
        core->exchanges.count[exchange->kind]--;
    }
    list_remove(&exchange->link);
    exchange_drop_body(core, exchange);
    if (exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING)
        conn->unanswered = 0;
    if (exchange->state == EXCHANGE_STREAMING)
        exchange->stream.on_gone(core, exchange->stream.context);
    free(exchange);
}

void exchanges_step_all(struct core *core)
{
    struct list asking;
    struct list *link;
    if (list_is_empty(&core->exchanges.asking) || core->stop.step != STOP_NOT)
        return;
    list_init(&asking);
    while ((link = list_shift(&core->exchanges.asking)) != NULL)
        list_append(&asking, link);
    while ((link = list_shift(&asking)) != NULL) {
        struct exchange *exchange = container_of(link, struct exchange, link);
        ASSERT(exchange->state == EXCHANGE_STREAMING && !exchange->is_asked);
        exchange->is_asked = true;
        exchange->stream.on_more(core, exchange, exchange->stream.context);
    }
}

bool exchanges_are_behind(const struct core *core)
{
    return core->stop.step == STOP_NOT && !list_is_empty(&core->exchanges.asking);
}
