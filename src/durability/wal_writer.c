#include "durability/wal_writer.h"

#include <limits.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/core.h"
#include "timeline/delivery.h"

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

void wal_writer_step(struct core *core)
{
    struct wal_write write;
    ASSERT_ON_SHARD(core->shard);
    delivery_drain_waiting(core);
    uint32_t records = log_filling_records(&core->wal_writer.log);
    if (should_wait(core, records) || !log_write_take(&core->wal_writer.log, &write))
        return;
    ASSERT(records > 0);
    ASSERT(write.bytes > 0 && write.bytes % WAL_BLOCK_BYTES == 0);
    group_commit_on_write(&core->wal_writer.group_commit, records);
    histogram_record(&core->metrics.batch_records, metrics_records_shape, records);
    histogram_record(&core->metrics.batch_bytes, metrics_bytes_shape, write.bytes);
    core->wal_writer.only_outstanding = 0;
    core->wal_writer.write = (struct io_write){write.fd, write.data, write.bytes, write.offset};
    core->wal_writer.write_at_us = shard_monotonic_us(core->shard);
    io_write_submit(shard_io(core->shard), &core->wal_writer.write);
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

static void on_write_failed(struct core *core, int result)
{
    char dir[PATH_MAX] = "";
    metric_add(&core->metrics.wal_failures, 1);
    (void)datadir_wal_path(core->server->datadir, core->index, dir, sizeof dir);
    log_line(
        LOG_ERROR, "wal_failed",
        "shard=%u dir=\"%s\" bytes=%u result=%d error=\"a write to the WAL failed: %s; the server takes no more sends "
        "but still serves history: look at the disk, make room, and restart\"",
        core->index, dir, core->wal_writer.write.bytes, result, result < 0 ? strerror(-result) : "it was cut short");
    atomic_store_explicit(&core->server->store_failed, true, memory_order_relaxed);
    delivery_on_wal_failed(core);
    erasures_on_wal_failed(core);
    seens_on_wal_failed(core);
}

void wal_writer_on_written(struct core *core, int result)
{
    struct wal_writer *writer = &core->wal_writer;
    uint64_t sequence;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(log_write_is_in_flight(&writer->log));
    uint64_t took_us = clock_monotonic_us(core->server->clock) - writer->write_at_us;
    group_commit_on_written(&writer->group_commit, took_us);
    histogram_record(&core->metrics.wal_write, metrics_write_shape, took_us);
    metric_add(&core->metrics.wal_bytes, result > 0 ? (uint64_t)result : 0);
    if (log_write_done(&writer->log, result, &sequence) != 0) {
        on_write_failed(core, result);
        return;
    }
    retention_on_durable(core, sequence);
    erasures_on_durable(core, sequence);
    wal_writer_step_half(core); /* the disk writes it while the records of the write before are delivered */
    delivery_on_durable(core, sequence);
    seens_on_durable(core);
}
