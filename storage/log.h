/*
 * log.h: the log of one shard, as the server uses it: the one door to what makes records durable. Records are gathered
 * in a batch, while the batch before is written:
 *
 *     append     log_append and the like copy a record into the filling batch, and return the number of that batch.
 *     write      log_write_take gives the filling batch to the caller, who has it written and reports the result with
 *                log_write_done. One write is in flight at a time.
 *     purge      log_rotate ends a checkpoint round. When the runs have all records of the round, log_release gives
 *                back what held them.
 *
 * Behind the door is the WAL in segment files (wal.h). What is of segment files alone uses log->file itself: the
 * recycler, which makes and clears the files, and recovery, which finds the records of an earlier server
 * (wal_survey.h).
 *
 * A log does no I/O and knows no thread. One thread: recovery's, then the shard's. A failed write is final: the log
 * takes nothing more (log_has_failed), and the batch stays unsettled until the process ends.
 */
#ifndef CHITCHAT_STORAGE_LOG_H
#define CHITCHAT_STORAGE_LOG_H

#include "storage/wal/wal.h"

/* Zeroed: no log; then only log_close may be called. */
struct log {
    struct wal *file; /* owned */
};

/* Closes what is behind the door. No write may be in flight in the kernel. */
void log_close(struct log *log);

/* Whether a record of `record_bytes` would be taken now. 0: yes, and there is room for it. -EAGAIN: the filling batch
 * is full, or of the round before; it must be taken for writing first, so wait for the write in flight. -ENOSPC: no
 * segment can be begun. -EIO: a write has failed. */
int log_can_append(const struct log *log, uint32_t record_bytes);
/* Copies the record into the filling batch, whose number is *sequence_r. Returns as log_can_append. Borrows `record`.
 */
int log_append(struct log *log, const struct record *record, uint64_t *sequence_r);
/* The same for a cut (record_encode_cut). Borrows `user`. */
int log_append_cut(struct log *log, struct span user, uint64_t ts, uint64_t *sequence_r);
/* The same for a mark, which is copied. */
int log_append_mark(struct log *log, const struct record_mark *mark, uint64_t *sequence_r);
/* Records in the batch that is being filled. */
uint32_t log_filling_records(const struct log *log);

/* Takes the filling batch for writing: true and *write_r. False: there is no batch, a write is in flight, or one has
 * failed. */
bool log_write_take(struct log *log, struct wal_write *write_r);
/* Reports the result (bytes or -errno) of the write in flight. 0: all batches up to number *sequence_r are durable.
 * -EIO: the write failed or was short, and so the log has failed. */
int log_write_done(struct log *log, int result, uint64_t *sequence_r);
/* Whether a write was taken whose result is not reported yet. */
bool log_write_is_in_flight(const struct log *log);
bool log_has_failed(const struct log *log);

/* Ends the round `round`: what was appended until now belongs to rounds up to `round`, and what is appended later to a
 * round above. `round` is not below that of the call before (asserted). */
void log_rotate(struct log *log, uint64_t round);
/* Whether everything appended before log_rotate(round), which was called (asserted), is durable. */
bool log_round_is_written(const struct log *log, uint64_t round);
/* The end of what is durable, for store_add_run. After log_rotate(round), once log_round_is_written, everything of
 * `round` is below it. */
struct store_position log_position(const struct log *log);
/* Whether a later round would release something. */
bool log_has_batches(const struct log *log);
/* The runs have everything of the rounds up to `round`. True: *spare_r is a segment that held it, and the caller owns
 * spare_r->fd (segment_recycler.h); call again. False: there is none left. */
bool log_release(struct log *log, uint64_t round, struct wal_spare *spare_r);

#endif
