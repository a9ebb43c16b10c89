#include "server/admission.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server/core.h"

/* Bytes that the socket does not take at once are lost. If the request has come already, closing resets the connection
 * and may lose the answer, too. */
static void turn_away_at_once(int fd)
{
    struct span answer = http_answer_full();
    ssize_t ignored = send(fd, answer.data, answer.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
    close(fd);
}

/* The server is full: answers 503 and closes. */
static void turn_away(struct core *core, int fd, const struct address *address)
{
    ASSERT(core->admission.turned_away <= CORE_TURNED_AWAY_MAX);
    refusal_note(core, REFUSAL_FULL, address, NULL);
    if (core->admission.turned_away == CORE_TURNED_AWAY_MAX) {
        turn_away_at_once(fd);
        return;
    }
    struct conn *conn = conn_open(core, fd, CONN_HTTP, address);
    if (conn == NULL)
        return;
    conn->is_turned_away = true;
    core->admission.turned_away++;
    conn_refuse_full(core, conn);
}

void admission_on_closed(struct core *core, const struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSED);
    if (conn->is_turned_away) {
        ASSERT(core->admission.turned_away > 0);
        core->admission.turned_away--;
        return;
    }
    core_conn_count_sub(core);
}

void admission_bound_input(struct core *core)
{
    if (!turn_may(&core->turn, TURN_INPUT))
        io_gather_less(shard_io(core->shard));
}

static void log_accept_failed(struct core *core, int error)
{
    uint32_t left_out;
    if (log_limit_take(&core->admission.accept_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_WARN, "accept_failed", "shard=%u errno=%d error=\"%s\" left_out=%u", core->index, error,
                 strerror(error), left_out);
}

void admission_on_accept(struct core *core, int fd)
{
    ASSERT_ON_SHARD(core->shard);
    if (fd < 0) {
        log_accept_failed(core, -fd);
        return;
    }
    if (core->stop.step != STOP_NOT) {
        close(fd);
        return;
    }
    int on = 1;
    struct address address = io_peer_address(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    turn_spend(&core->turn, TURN_INPUT, TURN_ACCEPT_FRAMES);
    admission_bound_input(core);
    uint32_t count = atomic_fetch_add_explicit(&core->server->conn_count, 1, memory_order_relaxed);
    bool is_full = count >= core->server->config->connections;
    struct conn *conn = is_full ? NULL : conn_open(core, fd, CONN_HTTP, &address);
    if (conn == NULL)
        core_conn_count_sub(core);
    if (is_full)
        turn_away(core, fd, &address);
    if (conn == NULL)
        return;
    struct conn_work *work = conn_work(core, conn);
    work->login_at_us = shard_monotonic_us(core->shard) + seconds_us(core->server->config->login_time_s);
    timers_set(shard_timers(core->shard), &conn->timer, work->login_at_us);
    conn_receive(core, conn);
}
