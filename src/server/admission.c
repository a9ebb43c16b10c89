#include "server/admission.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server/core.h"

/* How long a full server waits for a head. */
#define TURNED_AWAY_US 1000000u

/* Bytes that the socket does not take at once are lost. If the request has come already, closing resets the connection
 * and may lose the answer, too. */
static void turn_away_at_once(int fd, struct span answer)
{
    ssize_t ignored = send(fd, answer.data, answer.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
    close(fd);
}

/* The first bytes must come in `time_us`. */
static void await_input(struct core *core, struct conn *conn, bool is_tls, uint64_t time_us)
{
    if (is_tls && !tls_begin(core, conn)) {
        conn_drop(core, conn);
        return;
    }
    struct conn_work *work = conn_work(core, conn);
    work->login_at_us = shard_monotonic_us(core->shard) + time_us;
    timers_set(shard_timers(core->shard), &conn->timer, work->login_at_us);
    conn_receive(core, conn);
}

/* Answers 503 and closes: the server is full or was asked to stop, or the limits of the address do not admit the
 * connection. A full server reads the head first, since it answers GET /healthz all the same; with TLS after the
 * handshake. Who is over the limits of the address gets no handshake. */
static void turn_away(struct core *core, int fd, const struct address *address, bool is_full, bool is_tls)
{
    ASSERT(core->admission.turned_away <= CORE_TURNED_AWAY_MAX);
    if (is_tls && (!is_full || core->admission.turned_away == CORE_TURNED_AWAY_MAX)) {
        close(fd);
        return;
    }
    if (core->admission.turned_away == CORE_TURNED_AWAY_MAX) {
        turn_away_at_once(fd, !is_full                 ? http_answer_address()
                              : core_is_draining(core) ? http_answer_stopping()
                                                       : http_answer_full());
        return;
    }
    struct conn *conn = conn_open(core, fd, CONN_HTTP, address);
    if (conn == NULL)
        return;
    conn->is_turned_away = true;
    metric_add(&core->metrics.accepted[is_tls], 1);
    core->admission.turned_away++;
    if (is_full)
        await_input(core, conn, is_tls, is_tls ? seconds_us(core->server->config->login_time_s) : TURNED_AWAY_US);
    else
        conn_refuse_address(core, conn);
}

/* -- the limits of an address -- */

static void log_uncounted(struct core *core, const struct address *address)
{
    uint32_t left_out;
    char text[ADDRESS_TEXT_BYTES];
    if (!log_limit_take(&core->admission.uncounted_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US,
                        &left_out))
        return;
    address_write(address, text);
    log_line(LOG_WARN, "address_uncounted",
             "shard=%u address=%s hint=\"very many addresses are connected, and this one has no limits: raise "
             "--connections\" left_out=%u",
             core->index, text, left_out);
}

/* A trusted proxy has no limits until the head of the connection is complete, which says for which client that is. */
static bool is_trusted_proxy(const struct core *core, const struct address *address)
{
    const struct config *config = core->server->config;
    for (uint32_t i = 0; i < config->network_count; i++)
        if (network_has(&config->networks[i], address))
            return true;
    return false;
}

/* Counts a connection for `address`. False: its limits do not admit it, which is noted. */
static bool enter_address(struct core *core, const struct address *address, uint32_t *entry_r)
{
    switch (addresses_enter(core->server->addresses, address, shard_monotonic_us(core->shard), entry_r)) {
    case ADDRESS_WITHIN: return true;
    case ADDRESS_UNCOUNTED: log_uncounted(core, address); return true;
    case ADDRESS_TOO_MANY: refusal_note(core, REFUSAL_ADDRESS_CONNECTIONS, address, NULL); return false;
    case ADDRESS_TOO_FAST: refusal_note(core, REFUSAL_ADDRESS_RATE, address, NULL); return false;
    }
    return false;
}

void admission_leave_address(struct core *core, struct conn_cold *cold)
{
    addresses_leave(core->server->addresses, cold->address_entry, shard_monotonic_us(core->shard));
    cold->address_entry = ADDRESS_NO_ENTRY;
}

bool admission_change_address(struct core *core, struct conn *conn, const struct address *address)
{
    ASSERT(conn->state == CONN_HTTP);
    struct conn_cold *cold = conn_cold(core, conn);
    admission_leave_address(core, cold);
    cold->address = *address;
    if (enter_address(core, address, &cold->address_entry))
        return true;
    conn_refuse_address(core, conn);
    return false;
}

bool admission_take_client(struct core *core, struct conn *conn, const struct address *forwarded)
{
    const struct address peer = conn_cold(core, conn)->address;
    if (address_is_known(forwarded))
        return admission_change_address(core, conn, forwarded);
    return !is_trusted_proxy(core, &peer) || admission_change_address(core, conn, &peer);
}

bool admission_may_log_in(struct core *core, struct conn *conn, uint32_t *retry_after_ms_r)
{
    const struct conn_cold *cold = conn_cold(core, conn);
    if (addresses_may_log_in(core->server->addresses, cold->address_entry, shard_monotonic_us(core->shard),
                             retry_after_ms_r))
        return true;
    refusal_note(core, REFUSAL_ADDRESS_LOGIN_RATE, &cold->address, NULL);
    return false;
}

void admission_on_failed_login(struct core *core, struct conn *conn)
{
    addresses_count_failed_login(core->server->addresses, conn_cold(core, conn)->address_entry,
                                 shard_monotonic_us(core->shard));
}

/* -- counting -- */

/* Counts the connection for the server and for its address. False: one of them does not admit it; nothing is counted,
 * and it is turned away. */
static bool enter(struct core *core, int fd, const struct address *address, bool is_tls, uint32_t *entry_r)
{
    uint32_t count = atomic_fetch_add_explicit(&core->server->conn_count, 1, memory_order_relaxed);
    bool is_draining = core_is_draining(core);
    bool is_full = is_draining || count >= core->server->config->connections;
    if (is_full && !is_draining)
        refusal_note(core, REFUSAL_FULL, address, NULL);
    else if (!is_full && (is_trusted_proxy(core, address) || enter_address(core, address, entry_r)))
        return true;
    core_conn_count_sub(core);
    turn_away(core, fd, address, is_full, is_tls);
    return false;
}

void admission_on_closed(struct core *core, const struct conn *conn)
{
    ASSERT(conn->state == CONN_CLOSED);
    if (conn_cold(core, conn)->is_admin)
        return;
    if (conn->is_turned_away) {
        ASSERT(core->admission.turned_away > 0);
        core->admission.turned_away--;
        return;
    }
    admission_leave_address(core, conn_cold(core, conn));
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

bool admission_may_accept(struct core *core, int fd)
{
    ASSERT_ON_SHARD(core->shard);
    if (fd < 0) {
        log_accept_failed(core, -fd);
        return false;
    }
    if (core->stop.step != STOP_NOT) {
        close(fd);
        return false;
    }
    return true;
}

void admission_on_accept(struct core *core, int fd, bool is_tls)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(fd >= 0);
    int on = 1;
    struct address address = io_peer_address(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    turn_spend(&core->turn, TURN_INPUT, TURN_ACCEPT_FRAMES);
    admission_bound_input(core);
    struct conn_cold cold = {.address_entry = ADDRESS_NO_ENTRY};
    if (!enter(core, fd, &address, is_tls, &cold.address_entry))
        return;
    struct conn *conn = conn_open(core, fd, CONN_HTTP, &address);
    if (conn == NULL) {
        admission_leave_address(core, &cold);
        core_conn_count_sub(core);
        return;
    }
    metric_add(&core->metrics.accepted[is_tls], 1);
    conn_cold(core, conn)->address_entry = cold.address_entry;
    await_input(core, conn, is_tls, seconds_us(core->server->config->login_time_s));
}
