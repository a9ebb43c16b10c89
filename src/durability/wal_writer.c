#include "durability/wal_writer.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "cluster/election.h"
#include "durability/segment_recycler.h"
#include "server/core.h"
#include "timeline/delivery.h"

/* Before an append that the engine did not answer is tried again. */
#define LATER_US 100000u
/* An append without an answer for so long: this node may not be the owner any more. */
#define UNSURE_US UINT64_C(10000000)

void wal_writer_init(struct wal_writer *writer)
{
    timer_init(&writer->timer);
    timer_init(&writer->heartbeat);
}

/* The standbys take over when they see no batch for long (src/cluster/election.h). */
static void set_heartbeat(struct core *core)
{
    timers_set(shard_timers(core->shard), &core->wal_writer.heartbeat,
               shard_monotonic_us(core->shard) + ELECTION_HEARTBEAT_US);
}

void wal_writer_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->wal_writer.log.remote == NULL)
        return;
    core_open_worker(core, "log", SHARD_WORKER_PROMPT, &core->wal_writer.worker);
    if (core->index == 0)
        set_heartbeat(core);
}

void wal_writer_on_heartbeat(struct core *core)
{
    uint64_t sequence;
    ASSERT_ON_SHARD(core->shard);
    if (!log_write_is_in_flight(&core->wal_writer.log))
        (void)log_begin(&core->wal_writer.log, &sequence);
    set_heartbeat(core);
}

void wal_writer_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(!core->wal_writer.is_job_out);
    timers_clear(shard_timers(core->shard), &core->wal_writer.timer);
    timers_clear(shard_timers(core->shard), &core->wal_writer.heartbeat);
    if (core->wal_writer.worker != NULL)
        shard_worker_close(core->shard, &core->wal_writer.worker);
}

bool wal_writer_is_busy(const struct core *core)
{
    return core->wal_writer.is_job_out;
}

/* Whether the filling batch may be written or grow: no write is in flight, and no arrival waits for a place in it. */
static bool is_batch_open(const struct core *core)
{
    return !log_write_is_in_flight(&core->wal_writer.log) && list_is_empty(&core->deliveries.wal_waiting);
}

/* Whether the batch should grow a little before it is written (group_commit.h). Then a turn comes within that time. */
static bool should_wait(struct core *core, uint32_t records)
{
    if (records == 0 || !is_batch_open(core))
        return false;
    uint64_t now_us = shard_monotonic_us(core->shard);
    uint64_t wait_us =
        group_commit_wait_us(&core->wal_writer.group_commit, records, core->wal_writer.only_outstanding, now_us);
    if (wait_us > 0)
        shard_wake_within(core->shard, wait_us);
    return wait_us > 0;
}

/* -- the write of a batch: by the ring, or by jobs -- */

/* On the worker's thread. */
static void append_work(struct worker_job *job)
{
    log_write_run(&container_of(job, struct wal_writer, job)->log);
}

static void append_done(struct worker_job *job)
{
    struct wal_writer *writer = container_of(job, struct wal_writer, job);
    ASSERT(writer->is_job_out);
    writer->is_job_out = false;
    wal_writer_on_written(container_of(writer, struct core, wal_writer), 0);
}

static void post_append(struct wal_writer *writer)
{
    ASSERT(!writer->is_job_out);
    writer->is_job_out = true;
    writer->job = (struct worker_job){append_work, append_done};
    worker_post(writer->worker, 0, &writer->job);
}

static void submit(struct core *core, const struct log_write *write)
{
    struct wal_writer *writer = &core->wal_writer;
    writer->write_bytes = write->bytes;
    writer->write_at_us = shard_monotonic_us(core->shard);
    if (write->is_job) {
        post_append(writer);
        return;
    }
    ASSERT(write->bytes > 0 && write->bytes % WAL_BLOCK_BYTES == 0);
    writer->write = (struct io_write){write->file.fd, write->file.data, write->bytes, write->file.offset};
    io_write_submit(shard_io(core->shard), &writer->write);
}

void wal_writer_step(struct core *core)
{
    struct log_write write;
    ASSERT_ON_SHARD(core->shard);
    delivery_drain_waiting(core);
    uint32_t records = log_filling_records(&core->wal_writer.log);
    group_commit_on_turn(&core->wal_writer.group_commit, records);
    if (should_wait(core, records) || !log_write_take(&core->wal_writer.log, &write))
        return;
    ASSERT(records > 0 || write.is_job);
    group_commit_on_write(&core->wal_writer.group_commit, records);
    histogram_record(&core->metrics.batch_records, metrics_records_shape, records);
    histogram_record(&core->metrics.batch_bytes, metrics_bytes_shape, write.bytes);
    core->wal_writer.only_outstanding = 0;
    submit(core, &write);
    if (FAULT(PUSH_BEFORE_FLUSH))
        delivery_on_durable(core, UINT64_MAX);
    delivery_drain_waiting(core);
}

void wal_writer_step_half(struct core *core)
{
    if (is_batch_open(core)
        && group_commit_is_half(&core->wal_writer.group_commit, log_filling_records(&core->wal_writer.log),
                                core->wal_writer.only_outstanding))
        wal_writer_step(core);
}

/* Why the last append failed, in `text`, as a value of a log line. */
static const char *quotable_error(const struct wal_writer *writer, char text[LOG_REMOTE_ERROR_BYTES])
{
    (void)snprintf(text, LOG_REMOTE_ERROR_BYTES, "%s", log_error_text(&writer->log));
    log_quotable(text);
    return text;
}

static void log_failed(const struct core *core, int result)
{
    const struct wal_writer *writer = &core->wal_writer;
    char text[LOG_REMOTE_ERROR_BYTES];
    char dir[PATH_MAX] = "";
    if (writer->log.remote != NULL) {
        log_line(LOG_ERROR, "log_damaged",
                 "shard=%u bytes=%u error=\"%s\" hint=\"the node answers no sends, logins and reads any more: do what "
                 "the error says, then restart\"",
                 core->index, writer->write_bytes, quotable_error(writer, text));
        return;
    }
    (void)datadir_wal_path(core->server->datadir, core->index, dir, sizeof dir);
    log_line(
        LOG_ERROR, "wal_failed",
        "shard=%u dir=\"%s\" bytes=%u result=%d error=\"a write to the WAL failed: %s; the server takes no more sends "
        "but still serves history: look at the disk, make room, and restart\"",
        core->index, dir, writer->write_bytes, result, result < 0 ? strerror(-result) : "it was cut short");
}

static void fail_all(struct core *core)
{
    atomic_store_explicit(&core->server->store_failed, true, memory_order_relaxed);
    delivery_on_wal_failed(core);
    erasures_on_wal_failed(core);
    seens_on_wal_failed(core);
    barriers_on_failed(core);
}

static void on_write_failed(struct core *core, int result)
{
    metric_add(&core->metrics.wal_failures, 1);
    log_failed(core, result);
    fail_all(core);
}

/* Another node serves from now on. Nothing that is not committed was answered, and none of it gets into runs: it is
 * dropped with the process, which closes its clients and begins anew as a standby. */
static void on_deposed(struct core *core)
{
    char text[LOG_REMOTE_ERROR_BYTES];
    struct server *server = core->server;
    bool was_deposed = atomic_exchange(&server->is_deposed, true);
    if (!was_deposed)
        metric_add(&server->cluster_metrics.depositions, 1);
    log_line(LOG_WARN, "deposed", "shard=%u reason=\"%s\" hint=\"clients are closed; then this node is a standby\"",
             core->index, quotable_error(&core->wal_writer, text));
    fail_all(core);
    if (!was_deposed)
        (void)kill(getpid(), SIGTERM);
}

/* The engine does not answer. The outcome of the append is unknown, so the same one is tried again. */
static void on_later(struct core *core)
{
    struct wal_writer *writer = &core->wal_writer;
    char text[LOG_REMOTE_ERROR_BYTES];
    uint32_t left_out;
    writer->is_late = true;
    if (log_limit_take(&writer->late_limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_WARN, "log_unsure",
                 "shard=%u error=\"%s\" hint=\"sends are not answered, and get busy after 2 s, until the log answers; "
                 "it is tried again\" left_out=%u",
                 core->index, quotable_error(writer, text), left_out);
    uint64_t now_us = shard_monotonic_us(core->shard);
    if (now_us - writer->write_at_us >= UNSURE_US && !writer->is_unsure) {
        writer->is_unsure = true;
        atomic_store_explicit(&core->server->is_log_lost, true, memory_order_relaxed);
        log_line(LOG_WARN, "log_lost", "shard=%u hint=\"clients are closed, and logins wait, until the log answers\"",
                 core->index);
        wal_writer_tick(core);
    }
    timers_set(shard_timers(core->shard), &writer->timer, now_us + LATER_US);
}

/* A shard that appends nothing does not notice by itself. Its clients may be reading what another node has continued.
 */
void wal_writer_tick(struct core *core)
{
    struct wal_writer *writer = &core->wal_writer;
    ASSERT_ON_SHARD(core->shard);
    bool is_lost = atomic_load_explicit(&core->server->is_log_lost, memory_order_relaxed);
    if (is_lost && !writer->has_closed)
        conns_close_all(core, "the log does not answer: reconnect later");
    writer->has_closed = is_lost;
}

void wal_writer_on_timer(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(log_write_is_in_flight(&core->wal_writer.log));
    post_append(&core->wal_writer);
}

static void on_sure(struct core *core)
{
    struct wal_writer *writer = &core->wal_writer;
    uint64_t took_us = clock_monotonic_us(core->server->clock) - writer->write_at_us;
    log_line(LOG_INFO, "log_sure", "shard=%u after_ms=%" PRIu64, core->index, took_us / 1000);
    if (writer->is_unsure)
        atomic_store_explicit(&core->server->is_log_lost, false, memory_order_relaxed);
    writer->is_late = writer->is_unsure = false;
    writer->late_limit = (struct log_limit){0};
}

static void on_durable(struct core *core, uint64_t sequence)
{
    if (core->wal_writer.is_late)
        on_sure(core);
    retention_on_durable(core, sequence);
    if (erasures_on_durable(core, sequence))
        segment_recycler_on_cut(core);
    wal_writer_step_half(core); /* the disk writes it while the records of the write before are delivered */
    delivery_on_durable(core, sequence);
    seens_on_durable(core);
    barriers_on_durable(core, sequence);
}

/* The write has ended: its time and its bytes. */
static void count_write(struct core *core, uint64_t bytes)
{
    struct wal_writer *writer = &core->wal_writer;
    uint64_t took_us = clock_monotonic_us(core->server->clock) - writer->write_at_us;
    group_commit_on_written(&writer->group_commit, took_us);
    histogram_record(&core->metrics.wal_write, metrics_write_shape, took_us);
    metric_add(&core->metrics.wal_bytes, bytes);
}

void wal_writer_on_written(struct core *core, int result)
{
    struct wal_writer *writer = &core->wal_writer;
    uint64_t sequence;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(log_write_is_in_flight(&writer->log));
    switch (log_write_done(&writer->log, result, &sequence)) {
    case LOG_DURABLE:
        count_write(core, writer->write_bytes);
        on_durable(core, sequence);
        return;
    case LOG_FAILED:
        count_write(core, result > 0 ? (uint64_t)result : 0);
        on_write_failed(core, result);
        return;
    case LOG_AGAIN: post_append(writer); return;
    case LOG_LATER: on_later(core); return;
    case LOG_DEPOSED: on_deposed(core); return;
    }
}
