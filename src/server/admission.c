#include "server/admission.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server/core.h"

static void log_full(struct core *core)
{
    uint32_t left_out;
    if (log_limit_take(&core->admission.full_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(
            LOG_WARN, "full",
            "shard=%u connections=%u hint=\"new connections get 503: give --connections more, and the limit of open "
            "files (ulimit -n) if that is what keeps it low\" left_out=%u",
            core->index, core->server->config->connections, left_out);
}

/* What the socket does not take at once is lost, and so may the answer be, where the request has come already. */
static void turn_away_at_once(int fd)
{
    struct span answer = http_answer_full();
    ssize_t ignored = send(fd, answer.data, answer.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
    close(fd);
}

/* A full server says so and closes. */
static void turn_away(struct core *core, int fd)
{
    log_full(core);
    if (core->admission.turned_away == CORE_TURNED_AWAY_MAX) {
        turn_away_at_once(fd);
        return;
    }
    struct conn *conn = conn_open(core, fd, CONN_HTTP);
    if (conn == NULL)
        return;
    conn->is_turned_away = true;
    core->admission.turned_away++;
    conn_refuse_full(core, conn);
}

void admission_on_closed(struct core *core, const struct conn *conn)
{
    if (conn->is_turned_away)
        core->admission.turned_away--;
    else
        atomic_fetch_sub_explicit(&core->server->conn_count, 1, memory_order_relaxed);
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
    if (fd < 0) {
        log_accept_failed(core, -fd);
        return;
    }
    if (core->stop.step > 0) {
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    turn_spend(&core->turn, TURN_INPUT, TURN_ACCEPT_FRAMES);
    admission_bound_input(core);
    uint32_t count = atomic_fetch_add_explicit(&core->server->conn_count, 1, memory_order_relaxed);
    bool is_full = count >= core->server->config->connections;
    struct conn *conn = is_full ? NULL : conn_open(core, fd, CONN_HTTP);
    if (conn == NULL)
        atomic_fetch_sub_explicit(&core->server->conn_count, 1, memory_order_relaxed);
    if (is_full)
        turn_away(core, fd);
    if (conn == NULL)
        return;
    struct conn_work *work = conn_work(core, conn);
    work->login_at_us = shard_monotonic_us(core->shard) + (uint64_t)core->server->config->login_time_s * 1000000;
    timers_set(shard_timers(core->shard), &conn->timer, work->login_at_us);
    conn_receive(core, conn);
}
