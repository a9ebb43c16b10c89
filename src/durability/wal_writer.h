/*
 * wal_writer.h: writes the batches of the log (storage/log.h): one write at a time, of all that gathered, when
 * group_commit.h says so; and reports to the deliveries what has become durable. Shard's thread.
 *
 * A batch of segment files is written by the shard's ring. A batch for a log engine is appended by a worker of the
 * shard, a call of the engine a job. While the engine does not answer, the job is posted again after a pause, for as
 * long as it takes; the core refuses sends then, as it does while a disk is slow.
 */
#ifndef CHITCHAT_DURABILITY_WAL_WRITER_H
#define CHITCHAT_DURABILITY_WAL_WRITER_H

#include "base/log_limit.h"
#include "durability/group_commit.h"
#include "shard/io.h"
#include "shard/timers.h"
#include "shard/worker.h"
#include "storage/log.h"

struct core;

/* What a shard keeps of it. */
struct wal_writer {
    struct log log; /* owned; opened by recovery */
    struct io_write write;
    uint32_t write_bytes; /* of the newest write */
    uint64_t write_at_us; /* when the newest write was submitted, monotonic */
    struct group_commit group_commit;
    uint32_t only_outstanding; /* records of the filling batch whose connections wait for nothing else */

    /* Of a log engine. */
    struct worker *worker;
    struct worker_job job;
    bool is_job_out;
    struct timer timer;          /* of a job that is posted again after a pause */
    struct log_limit late_limit; /* of the lines that report that the engine does not answer */
    bool is_late;                /* it did not, the last time */
    bool is_unsure;              /* for so long that the clients of all shards are closed */
    bool has_closed;             /* this shard's were */
    struct timer heartbeat;      /* of shard 0 */
};

void wal_writer_init(struct wal_writer *writer);
/* Before the first turn: opens the worker of a log engine. */
void wal_writer_start(struct core *core);
/* The shard ends: closes it. */
void wal_writer_finish(struct core *core);
/* Whether a job is out. */
bool wal_writer_is_busy(const struct core *core);

/* End of a turn: gives waiting arrivals a place in the filling batch, and writes the batch if no write is in flight and
 * the batch should not wait. */
void wal_writer_step(struct core *core);
/* In the middle of a turn: the same, if the batch is half of the last two writes and nothing keeps it from leaving. */
void wal_writer_step_half(struct core *core);
/* io.h reports the write in flight: `result` is bytes or -errno. A failed or short write is final: no shard takes sends
 * any more. */
void wal_writer_on_written(struct core *core, int result);
/* Shard 0: appends an empty batch if none is in flight. */
void wal_writer_on_heartbeat(struct core *core);
/* Once a second: closes the clients if the log does not answer to any shard. */
void wal_writer_tick(struct core *core);
/* The pause before an append is tried again is over. */
void wal_writer_on_timer(struct core *core);

#endif
