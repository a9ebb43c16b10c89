#include "server/core_handlers.h"

#include "durability/checkpoint.h"
#include "durability/log_maintenance.h"
#include "durability/merge_schedule.h"
#include "durability/segment_recycler.h"
#include "server/core.h"
#include "server/rest.h"

#define TICK_US 1000000u
/* The number of the first admin listener, behind those of all public ones. */
#define ADMIN_LISTENER CONFIG_LISTENS_MAX
_Static_assert(CONFIG_LISTENS_MAX + CONFIG_ADMINS_MAX <= IO_LISTENERS_MAX, "the ring has room for all");

static struct conn *conn_of(struct io_socket *socket)
{
    return container_of(socket, struct conn, socket);
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    struct core *core = context;
    const struct config *config = core->server->config;
    bool is_admin = listener >= ADMIN_LISTENER;
    const struct config_listen *listen_at =
        is_admin ? &config->admins[listener - ADMIN_LISTENER] : &config->listens[listener];
    if (!admission_may_accept(core, fd))
        return;
    if (is_admin)
        exchanges_accept(core, fd, listen_at->is_tls);
    else
        admission_on_accept(core, fd, listen_at->is_tls);
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    conn_on_recv(core, conn_of(socket), data, result);
    admission_bound_input(core);
    wal_writer_step_half(core);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    conn_on_sent(core, conn_of(socket), result);
}

static void on_closed(void *context, struct io_socket *socket)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    admission_on_closed(core, conn_of(socket));
    conn_free(core, conn_of(socket));
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    handover_on_released(core, conn_of(socket), fd);
}

static void on_written(void *context, struct io_write *write, int result)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    (void)write;
    wal_writer_on_written(core, result);
}

static void on_letter(void *context, uint32_t from, void *pointer)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    struct letter *letter = pointer;
    metrics_on_letter(core, letter->kind);
    switch ((enum letter_kind)letter->kind) {
    case LETTER_SEND: delivery_arrive(core, from, container_of(letter, struct delivery, letter)); return;
    case LETTER_SEND_RETURNED: delivery_on_returned(core, container_of(letter, struct delivery, letter)); return;
    case LETTER_HANDOVER: handover_arrive(core, from, letter); return;
    case LETTER_HANDOVER_RETURNED: handover_on_returned(core, from, letter); return;
    case LETTER_SEEN: seen_arrive(core, from, seen_of_letter(letter)); return;
    case LETTER_SEEN_RETURNED: seen_on_returned(core, seen_of_letter(letter)); return;
    case LETTER_CALL: call_run(core, container_of(letter, struct call, letter)); return;
    case LETTER_CALL_RETURNED: call_done(core, container_of(letter, struct call, letter)); return;
    case LETTER_TYPING: typing_arrive(core, from, letter); return;
    case LETTER_TYPING_RETURNED: typing_on_returned(core, from, letter); return;
    case LETTER_WATCH: presence_on_watch(core, from, letter); return;
    case LETTER_WATCH_RETURNED: watch_on_returned(core, from, letter); return;
    case LETTER_PRESENCE: watch_on_presence(core, from, letter); return;
    case LETTER_PRESENCE_RETURNED: presence_on_returned(core, from, letter); return;
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
    ASSERT_ON_SHARD(core->shard);
    if (timer == &core->tick_timer) {
        core_follow_clock(core);
        checkpoint_tick(core);
        retention_tick(core);
        merge_schedule_tick(core);
        backpressure_tick(core);
        segment_recycler_tick(core);
        log_maintenance_tick(core);
        trim_tick(core);
        peers_pages_tick(core);
        posts_tick(core);
        erasures_tick(core);
        barriers_tick(core);
        wal_writer_tick(core);
        senders_tick(core);
        metrics_tick(core);
        rest_tick(core);
        health_tick(core);
        set_tick(core);
    } else if (timer == &core->wal_writer.timer) {
        wal_writer_on_timer(core);
    } else if (timer == &core->wal_writer.heartbeat) {
        wal_writer_on_heartbeat(core);
    } else if (timer != &core->stop.timer && timer != &core->drain.timer) {
        conn_on_timer(core, container_of(timer, struct conn, timer));
    }
}

static void flush_conns(struct core *core)
{
    while (!list_is_empty(&core->conns.output)) {
        struct conn *conn = container_of(core->conns.output.next, struct conn, output_link);
        conn_flush(core, conn);
        if (conn->state == CONN_CLOSING)
            conn_closing_step(core, conn);
    }
}

/* Behind all else: a handshake takes as long as hundreds of frames, and neither the WAL write nor an answer waits for
 * it: all that the turn has queued leaves before. What comes of it, such as a login, has its steps in the next turn.
 * Returns whether there must be one. */
static bool shake_hands(struct core *core)
{
    if (list_is_empty(&core->tls.queue))
        return false;
    shard_flush(core->shard);
    tls_step_all(core);
    flush_conns(core);
    return true;
}

/* Whether a queue has work for the next turn. Checked after all steps, since a step may add work to another queue. */
static bool has_carried(const struct core *core)
{
    return delivery_is_behind(core) || seens_have_carried(core) || !list_is_empty(&core->fanouts.queue)
           || history_is_behind(core) || (conn_may_resume(core) && conn_has_resuming(core))
           || page_reads_are_behind(core) || posts_are_behind(core) || exchanges_are_behind(core)
           || !list_is_empty(&core->batches.reading) || !list_is_empty(&core->replays.queue)
           || !list_is_empty(&core->skips.queue) || presence_is_behind(core)
           || !list_is_empty(&core->conversations.queue) || watch_is_behind(core);
}

static bool on_turn_end(void *context)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    turn_renew(&core->turn);
    delivery_continue(core);
    fanout_continue(core);
    seens_continue(core);
    uint32_t signals = shard_signals(core->shard);
    if ((signals & SIGNAL_STOP) != 0)
        stop_begin(core);
    else if ((signals & SIGNAL_DRAIN) != 0)
        drain_step(core);
    bool more = backpressure_step(core);
    history_continue(core);
    page_reads_continue(core);
    conversations_step(core);
    conn_resume_all(core);
    batches_continue(core);
    posts_continue(core);
    skip_step_all(core);
    replay_step_all(core);
    exchanges_step_all(core);
    erasures_step(core);
    seens_step(core);
    wal_writer_step(core);
    merge_schedule_step(core);
    more |= checkpoint_step(core);
    segment_recycler_step(core);
    more |= trim_step(core);
    presence_step(core);
    watch_step(core);
    handover_step_all(core);
    if (core->stop.step != STOP_NOT)
        stop_step(core);
    io_hold_turns(shard_io(core->shard), conn_has_resuming(core));
    flush_conns(core);
    more |= shake_hands(core);
    uint64_t turn_us = clock_monotonic_us(core->server->clock) - shard_monotonic_us(core->shard);
    turn_over(&core->turn, turn_us);
    histogram_record(&core->metrics.turn, metrics_turn_shape, turn_us);
    return more || has_carried(core);
}

static void on_start(void *context)
{
    struct core *core = context;
    ASSERT_ON_SHARD(core->shard);
    uint32_t count = core->server->config->listen_count;
    reads_start(core);
    checkpoint_start(core);
    merge_schedule_start(core);
    segment_recycler_start(core);
    wal_writer_start(core);
    log_maintenance_start(core);
    set_tick(core);
    for (uint32_t i = 0; i < count; i++)
        io_accept_start(shard_io(core->shard), i, core->server->listen_fds[core->index * count + i]);
    uint32_t admin_count = core->server->config->admin_count;
    for (uint32_t i = 0; i < admin_count; i++)
        io_accept_start(shard_io(core->shard), ADMIN_LISTENER + i,
                        core->server->admin_fds[core->index * admin_count + i]);
    metrics_tick(core);
    health_tick(core);
}

static void on_finish(void *context)
{
    struct core *core = context;
    ASSERT(core->conns.table.taken == 0);
    senders_release_all(core);
    rest_on_end(core);
    refusals_on_end(core);
    reads_finish(core);
    checkpoint_finish(core);
    merge_schedule_finish(core);
    segment_recycler_finish(core);
    wal_writer_finish(core);
    log_maintenance_finish(core);
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
