#include "server/core.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "connection/backpressure.h"
#include "durability/checkpoint.h"
#include "durability/segment_recycler.h"
#include "history/history.h"
#include "history/range_read.h"
#include "history/reads.h"
#include "history/replay.h"
#include "operations/handover.h"
#include "protocol/reply.h"
#include "server/rest.h"
#include "server/stop.h"
#include "server/trim.h"
#include "timeline/delivery.h"
#include "timeline/fanout.h"
#include "timeline/idempotency.h"

#define TICK_US 1000000u
#define RETRY_SLOW_MS 1000u
#define RETRY_FULL_MS 250u

/* -- open and close -- */

/* The bits of the name seed choose the shard; the tables of one shard need others. */
static struct hash_key table_seed(const struct server *server)
{
    struct hash_key seed = datadir_name_seed(server->datadir);
    return (struct hash_key){~seed.k0, seed.k1};
}

static void init_lists(struct core *core)
{
    list_init(&core->output_conns);
    list_init(&core->resume_conns);
    list_init(&core->handover_conns);
    list_init(&core->history_conns);
    list_init(&core->place_conns);
    list_init(&core->arrivals);
    list_init(&core->log_waiting);
    list_init(&core->fanouts);
    list_init(&core->replay_conns);
    list_init(&core->key_users);
    for (uint32_t lane = 0; lane < WORKER_LANES; lane++)
        list_init(&core->jobs[lane]);
    timer_init(&core->tick_timer);
    timer_init(&core->stop_timer);
}

static int open_parts(struct core *core)
{
    uint32_t count = core->server->core_count;
    core->peers = calloc(count, sizeof *core->peers);
    core->quiet_letters = calloc(count, sizeof *core->quiet_letters);
    core->scratch = malloc(CORE_SCRATCH_BYTES);
    core->push_scratch = malloc(LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES));
    if (core->peers == NULL || core->quiet_letters == NULL || core->scratch == NULL || core->push_scratch == NULL)
        return -ENOMEM;
    int status = user_table_init(&core->users, table_seed(core->server));
    if (status == 0)
        status = ws_pool_open(&core->ws_pool, LIMIT_FRAME_BYTES, core->budget.message_bytes, false);
    if (status == 0)
        status = request_reader_open(&core->reader);
    if (status == 0)
        status = checkpoint_open(&core->checkpoint, core);
    return status;
}

int core_open(struct core **core_r, struct server *server, uint32_t index)
{
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return -ENOMEM;
    core->server = server;
    core->index = index;
    core->http = (struct http_options){.origins = server->config->origins,
                                       .hosts = server->config->hosts,
                                       .host_count = server->config->host_count,
                                       .page = server->page};
    uint64_t wanted = budget_make(server->config, server->core_count, &core->budget);
    ASSERT(wanted == 0);
    core->key_memory.bytes_max = core->budget.key_bytes;
    turn_renew(&core->turn);
    init_lists(core);
    conn_table_init(&core->conns);
    pool_init(&core->work_pool, sizeof(struct conn_work));
    pool_init(&core->head_pool, http_head_bytes());
    pool_init(&core->chunk_pool, CONN_CHUNK_BYTES);
    pool_init(&core->small_chunk_pool, CONN_CHUNK_SMALL_BYTES);
    pool_init(&core->fanout_pool, sizeof(struct fanout));
    pool_init(&core->delivery_pool, sizeof(struct delivery));
    pool_init(&core->arrival_pool, sizeof(struct arrival));
    pool_init(&core->waiter_pool, sizeof(struct delivery_waiter));
    replay_oks_init(&core->ok_pool);
    int status = open_parts(core);
    if (status != 0)
        core_close(&core);
    *core_r = core;
    return status;
}

/* What is still in the queues: only after a failed log write. */
static void drop_pending(struct core *core)
{
    for (uint32_t i = 0; core->users.slots != NULL && i < core->users.slot_count; i++) {
        struct user *user = core->users.slots[i];
        if (user == NULL)
            continue;
        for (struct list *at; (at = list_shift(&user->timeline.pending)) != NULL;)
            record_heap_unref(core->heap, &container_of(at, struct entry, link)->record);
    }
    /* The arrival of a message to oneself stands in no queue: the sender's entry does. */
    for (struct list *at; core->arrivals.next != NULL && (at = list_shift(&core->arrivals)) != NULL;) {
        struct arrival *arrival = container_of(at, struct arrival, link);
        if (arrival->is_to_self)
            record_heap_unref(core->heap, &arrival->entry.record);
    }
}

void core_close(struct core **core_p)
{
    struct core *core = *core_p;
    *core_p = NULL;
    if (core == NULL)
        return;
    drop_pending(core);
    checkpoint_close(&core->checkpoint);
    segment_recycler_close(&core->recycler);
    wal_close(&core->wal);
    memtable_close(&core->leaving);
    memtable_close(&core->frozen);
    memtable_close(&core->filling);
    record_heap_close(&core->heap);
    store_reader_close(&core->store_reader);
    store_close(&core->store);
    request_reader_close(&core->reader);
    ws_pool_close(&core->ws_pool);
    user_table_fini(&core->users);
    conn_table_fini(&core->conns);
    range_reads_free(core);
    pool_fini(&core->work_pool);
    pool_fini(&core->head_pool);
    pool_fini(&core->chunk_pool);
    pool_fini(&core->small_chunk_pool);
    pool_fini(&core->fanout_pool);
    pool_fini(&core->delivery_pool);
    pool_fini(&core->arrival_pool);
    pool_fini(&core->waiter_pool);
    pool_fini(&core->ok_pool);
    free(core->push_scratch);
    free(core->scratch);
    free(core->quiet_letters);
    free(core->peers);
    free(core);
}

int core_open_memtable(struct core *core, struct memtable **table_r)
{
    core->filling_number++;
    return memtable_open(table_r, core->heap, table_seed(core->server), datadir_key_seed(core->server->datadir));
}

void core_remember(struct core *core, struct user *user, struct record *record, enum role role)
{
    if (user->entries_in != core->filling_number) {
        user->entries = memtable_user(core->filling, user_name(user));
        user->entries_in = core->filling_number;
    }
    ASSERT(user->entries != NULL);
    ASSERT(memtable_insert_at(core->filling, user->entries, record, role) == 0);
}

/* -- small questions -- */

uint64_t core_next_ts(struct core *core)
{
    uint64_t now_us = shard_wall_us(core->shard);
    core->last_ts = now_us > core->last_ts || FAULT(TS_NOT_MONOTONIC) ? now_us : core->last_ts + 1;
    return core->last_ts;
}

uint32_t core_shard_of(const struct core *core, struct span user)
{
    return datadir_shard_of(core->server->datadir, user);
}

bool core_takes_sends(struct core *core, enum error_code *code_r, const char **message_r, uint32_t *retry_after_ms_r)
{
    *code_r = ERROR_BUSY;
    *retry_after_ms_r = RETRY_FULL_MS;
    if (atomic_load_explicit(&core->server->store_failed, memory_order_relaxed)) {
        *code_r = ERROR_UNAVAILABLE;
        *message_r = "the store has failed: send again with the same key when the server has been restarted";
        *retry_after_ms_r = 0;
        return false;
    }
    if (core->log_write_at_us != 0 && shard_monotonic_us(core->shard) - core->log_write_at_us > CORE_WRITE_SLOW_US) {
        *message_r = "the disk is slow: wait and send again";
        *retry_after_ms_r = RETRY_SLOW_MS;
        return false;
    }
    if (memtable_bytes(core->filling) >= core->server->config->memtable_bytes
        || record_heap_bytes_used(core->heap) + CORE_HEAP_RESERVE_BYTES > record_heap_bytes_max(core->heap)) {
        *message_r = "the disk falls behind: wait and send again";
        return false;
    }
    return true;
}

/* -- the log -- */

/* Whether the batch may leave or grow: no write is in flight, and nothing waits for a place in it. */
static bool is_batch_open(const struct core *core)
{
    return !wal_write_is_in_flight(core->wal) && list_is_empty(&core->log_waiting);
}

/* Whether the batch should grow a little before it leaves (group_commit.h): then there is a turn soon. */
static bool should_wait(struct core *core, uint32_t records)
{
    if (records == 0 || !is_batch_open(core))
        return false;
    uint64_t now_us = shard_monotonic_us(core->shard);
    uint64_t wait_us = group_commit_wait_us(&core->group_commit, records, core->log_only_outstanding, now_us);
    if (wait_us > 0)
        shard_wake_within(core->shard, wait_us);
    return wait_us > 0;
}

/* One write of all that gathered, if none is in flight: group commit. */
static void write_log(struct core *core)
{
    struct wal_write write;
    delivery_drain_waiting(core);
    uint32_t records = wal_filling_records(core->wal);
    if (should_wait(core, records) || !wal_write_take(core->wal, &write))
        return;
    group_commit_on_write(&core->group_commit, records);
    core->log_only_outstanding = 0;
    core->log_write = (struct io_write){write.fd, write.data, write.bytes, write.offset};
    core->log_write_at_us = shard_monotonic_us(core->shard);
    io_write_submit(shard_io(core->shard), &core->log_write);
    if (FAULT(PUSH_BEFORE_FLUSH))
        delivery_on_durable(core, UINT64_MAX);
    delivery_drain_waiting(core);
}

/* In the midst of a turn, if that is worth it. */
static void write_half(struct core *core)
{
    if (is_batch_open(core)
        && group_commit_is_half(&core->group_commit, wal_filling_records(core->wal), core->log_only_outstanding))
        write_log(core);
}

/* -- the handlers -- */

static struct conn *conn_of(struct io_socket *socket)
{
    return container_of(socket, struct conn, socket);
}

static void log_full(struct core *core)
{
    uint32_t left_out;
    if (log_limit_take(&core->full_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
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
    if (core->turned_away == CORE_TURNED_AWAY_MAX) {
        turn_away_at_once(fd);
        return;
    }
    struct conn *conn = conn_open(core, fd, CONN_HTTP);
    if (conn == NULL)
        return;
    conn->is_turned_away = true;
    core->turned_away++;
    conn_refuse_full(core, conn);
}

/* One connection less: its descriptor is closed. */
static void count_closed(struct core *core, const struct conn *conn)
{
    if (conn->is_turned_away)
        core->turned_away--;
    else
        atomic_fetch_sub_explicit(&core->server->conn_count, 1, memory_order_relaxed);
}

/* What is left in the kernel waits for the next turn. */
static void bound_gathering(struct core *core)
{
    if (!turn_may(&core->turn, TURN_INPUT))
        io_gather_less(shard_io(core->shard));
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    struct core *core = context;
    (void)listener;
    if (fd < 0) {
        uint32_t left_out;
        if (log_limit_take(&core->accept_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
            log_line(LOG_WARN, "accept_failed", "shard=%u errno=%d error=\"%s\" left_out=%u", core->index, -fd,
                     strerror(-fd), left_out);
        return;
    }
    if (core->stop_step > 0) {
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    turn_spend(&core->turn, TURN_INPUT, TURN_ACCEPT_FRAMES);
    bound_gathering(core);
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

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    conn_on_recv(context, conn_of(socket), data, result);
    bound_gathering(context);
    write_half(context);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    conn_on_sent(context, conn_of(socket), result);
}

static void on_closed(void *context, struct io_socket *socket)
{
    count_closed(context, conn_of(socket));
    conn_free(context, conn_of(socket));
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    handover_on_released(context, conn_of(socket), fd);
}

static void on_log_failed(struct core *core, int result)
{
    char dir[PATH_MAX] = "";
    (void)datadir_wal_path(core->server->datadir, core->index, dir, sizeof dir);
    log_line(LOG_ERROR, "log_failed",
             "shard=%u dir=\"%s\" bytes=%u result=%d error=\"a write of the log failed: %s; no more sends are taken, "
             "history goes on: look at the disk, make room, and restart\"",
             core->index, dir, core->log_write.bytes, result, result < 0 ? strerror(-result) : "it was cut short");
    atomic_store_explicit(&core->server->store_failed, true, memory_order_relaxed);
    delivery_on_log_failed(core);
}

static void on_written(void *context, struct io_write *write, int result)
{
    struct core *core = context;
    uint64_t sequence;
    (void)write;
    group_commit_on_written(&core->group_commit, clock_monotonic_us(core->server->clock) - core->log_write_at_us);
    core->log_write_at_us = 0;
    core->log_bytes += result > 0 ? (uint64_t)result : 0;
    if (wal_write_done(core->wal, result, &sequence) != 0) {
        on_log_failed(core, result);
        return;
    }
    write_half(core); /* the disk has it while what it has written is delivered */
    delivery_on_durable(core, sequence);
}

static void on_letter(void *context, uint32_t from, void *pointer)
{
    struct core *core = context;
    struct letter *letter = pointer;
    switch ((enum letter_kind)letter->kind) {
    case LETTER_SEND: delivery_arrive(core, from, container_of(letter, struct delivery, letter)); return;
    case LETTER_SEND_RETURNED: delivery_on_returned(core, container_of(letter, struct delivery, letter)); return;
    case LETTER_HANDOVER: handover_arrive(core, from, letter); return;
    case LETTER_HANDOVER_RETURNED: handover_on_returned(core, from, letter); return;
    case LETTER_ROUND_END: checkpoint_on_end(core, container_of(letter, struct letter_control, letter)->round); return;
    case LETTER_ROUND_DONE:
        checkpoint_on_done(core, container_of(letter, struct letter_control, letter)->round);
        return;
    case LETTER_QUIET: stop_on_quiet(core); return;
    }
}

static void on_letter_soon(void *context, void *pointer)
{
    (void)context;
    const struct letter *letter = pointer;
    if (letter->kind == LETTER_SEND || letter->kind == LETTER_SEND_RETURNED)
        delivery_fetch(container_of(letter, const struct delivery, letter));
}

static void set_tick(struct core *core)
{
    timers_set(shard_timers(core->shard), &core->tick_timer, shard_monotonic_us(core->shard) + TICK_US);
}

static void on_timer(void *context, struct timer *timer)
{
    struct core *core = context;
    if (timer == &core->tick_timer) {
        checkpoint_tick(core);
        backpressure_tick(core);
        segment_recycler_tick(core);
        trim_tick(core);
        rest_tick(core);
        set_tick(core);
    } else if (timer != &core->stop_timer) {
        conn_on_timer(core, container_of(timer, struct conn, timer));
    }
}

static void flush_conns(struct core *core)
{
    while (!list_is_empty(&core->output_conns)) {
        struct conn *conn = container_of(core->output_conns.next, struct conn, output_link);
        conn_flush(core, conn);
        if (conn->state == CONN_CLOSING)
            conn_closing_step(core, conn);
    }
}

/* Work that waits in a queue for the next turn: looked at when all of this one is done, since what serves one queue may
 * put something into another. */
static bool has_carried(const struct core *core)
{
    return delivery_is_behind(core) || !list_is_empty(&core->fanouts) || history_is_behind(core)
           || !list_is_empty(&core->resume_conns) || !list_is_empty(&core->replay_conns);
}

static bool on_turn_end(void *context)
{
    struct core *core = context;
    turn_renew(&core->turn);
    delivery_continue(core);
    fanout_continue(core);
    if ((shard_signals(core->shard) & SIGNAL_STOP) != 0)
        stop_begin(core);
    bool more = backpressure_step(core);
    history_continue(core);
    conn_resume_all(core);
    replay_step_all(core);
    write_log(core);
    more |= checkpoint_step(core);
    segment_recycler_step(core);
    more |= trim_step(core);
    handover_step_all(core);
    if (core->stop_step != STOP_NOT)
        stop_step(core);
    flush_conns(core);
    turn_over(&core->turn, clock_monotonic_us(core->server->clock) - shard_monotonic_us(core->shard));
    return more || has_carried(core);
}

static void open_worker(struct core *core, const char *name, enum shard_worker_kind kind, struct worker **worker_r)
{
    int status = shard_worker_open(core->shard, name, kind, worker_r);
    if (status == 0)
        return;
    log_line(LOG_ERROR, "thread_failed", "name=%s errno=%d error=\"%s\"", name, -status, strerror(-status));
    _exit(1);
}

static void on_start(void *context)
{
    struct core *core = context;
    uint32_t count = core->server->config->listen_count;
    checkpoint_start(core);
    open_worker(core, "reader", SHARD_WORKER_PROMPT, &core->reader_worker);
    open_worker(core, "checkpoint", SHARD_WORKER_BACKGROUND, &core->checkpoint_worker);
    open_worker(core, "merge", SHARD_WORKER_BACKGROUND, &core->merge_worker);
    open_worker(core, "recycler", SHARD_WORKER_PROMPT, &core->recycler_worker);
    set_tick(core);
    for (uint32_t i = 0; i < count; i++)
        io_accept_start(shard_io(core->shard), i, core->server->listen_fds[core->index * count + i]);
}

static void on_finish(void *context)
{
    struct core *core = context;
    rest_on_end(core);
    shard_worker_close(core->shard, &core->reader_worker);
    shard_worker_close(core->shard, &core->checkpoint_worker);
    shard_worker_close(core->shard, &core->merge_worker);
    shard_worker_close(core->shard, &core->recycler_worker);
}

const struct shard_handlers *core_handlers(void)
{
    static const struct shard_handlers handlers = {
        .io = {.on_accept = on_accept,
               .on_recv = on_recv,
               .on_sent = on_sent,
               .on_closed = on_closed,
               .on_released = on_released,
               .on_written = on_written},
        .on_start = on_start,
        .on_letter = on_letter,
        .on_letter_soon = on_letter_soon,
        .on_timer = on_timer,
        .on_turn_end = on_turn_end,
        .on_finish = on_finish,
    };
    return &handlers;
}
