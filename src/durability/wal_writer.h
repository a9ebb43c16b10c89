/*
 * wal_writer.h: writes the batches of the log (storage/log.h): one write at a time, of all that gathered, when
 * group_commit.h says so; and reports to the deliveries what has become durable. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_WAL_WRITER_H
#define CHITCHAT_DURABILITY_WAL_WRITER_H

#include "durability/group_commit.h"
#include "shard/io.h"
#include "storage/log.h"

struct core;

/* What a shard keeps of it. */
struct wal_writer {
    struct log log; /* owned; opened by recovery */
    struct io_write write;
    uint64_t write_at_us; /* when the newest write was submitted, monotonic */
    struct group_commit group_commit;
    uint32_t only_outstanding; /* records of the filling batch whose connections wait for nothing else */
};

/* End of a turn: gives waiting arrivals a place in the filling batch, and writes the batch if no write is in flight and
 * the batch should not wait. */
void wal_writer_step(struct core *core);
/* In the middle of a turn: the same, if the batch is half of the last two writes and nothing keeps it from leaving. */
void wal_writer_step_half(struct core *core);
/* io.h reports the write in flight: `result` is bytes or -errno. A failed or short write is final: no shard takes sends
 * any more. */
void wal_writer_on_written(struct core *core, int result);

#endif
