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
 * Behind the door is one of two:
 *
 *     file       the WAL in segment files (wal.h). The caller writes a batch to a file by its ring. What is of segment
 *                files alone uses log->file itself: the recycler, which makes and clears the files, and recovery, which
 *                finds the records of an earlier server (wal_survey.h).
 *     remote     the log of a cluster, in a log engine (log_remote.h). The caller lets a worker thread append a batch
 *                (log_write_run). Recovery follows it, and takes it for this node, by log->remote itself.
 *
 * A log does no I/O, but in log_write_run, and knows no thread. One thread: recovery's, then the shard's. A failed
 * write is final: the log takes nothing more, and the batch stays unsettled until the process ends.
 */
#ifndef CHITCHAT_STORAGE_LOG_H
#define CHITCHAT_STORAGE_LOG_H

#include "storage/log_remote.h"
#include "storage/wal/wal.h"

/* One of both is there, the other is NULL. Zeroed: no log; then only log_close may be called. */
struct log {
    struct wal *file;          /* owned */
    struct log_remote *remote; /* owned */
};

/* Closes what is behind the door. No write may be in flight in the kernel or on a worker. */
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
/* Of a remote log: begins a batch if none is begun, so that one is appended even without a record. 0 and its number; or
 * as log_can_append. */
int log_begin(struct log *log, uint64_t *sequence_r);
/* Records in the batch that is being filled. */
uint32_t log_filling_records(const struct log *log);

/* A batch that is to be written. */
struct log_write {
    uint32_t bytes;        /* of the batch */
    bool is_job;           /* true: a worker calls log_write_run. False: the caller does `file` */
    struct wal_write file; /* the log owns fd and data, which stand until log_write_done */
};

/* Takes the filling batch for writing: true and *write_r. False: there is no batch, a write is in flight, or one has
 * failed. */
bool log_write_take(struct log *log, struct log_write *write_r);
/* On a worker's thread: does a part of a write that is a job. Meanwhile the shard's thread only appends, rotates and
 * asks. */
void log_write_run(struct log *log);

enum log_outcome {
    LOG_DURABLE,
    LOG_AGAIN,   /* the write is still in flight: post its job again, at once */
    LOG_LATER,   /* the same after a pause: the engine does not answer (log_error_text); the outcome is not known */
    LOG_DEPOSED, /* another node has taken the log: final, what is not durable is void (log_error_text) */
    LOG_FAILED,  /* final: the write failed or was short, or the log is damaged (log_error_text) */
};
/* Reports the write in flight: its result (bytes or -errno), or that log_write_run is done (then `result` has no
 * meaning). *sequence_r, of LOG_DURABLE: all batches up to this number are durable. */
enum log_outcome log_write_done(struct log *log, int result, uint64_t *sequence_r);
/* Whether a write was taken whose outcome is not known yet. */
bool log_write_is_in_flight(const struct log *log);
/* For tests: whether the log takes nothing more. */
bool log_has_failed(const struct log *log);
/* What happened to the last job, in which slot, and what to do; "" for a file. Borrowed until the next job. */
const char *log_error_text(const struct log *log);

/* Ends the round `round`: what was appended until now belongs to rounds up to `round`, and what is appended later to a
 * round above. `round` is not below that of the call before (asserted). */
void log_rotate(struct log *log, uint64_t round);
/* Whether everything appended before log_rotate(round), which was called (asserted), is durable. */
bool log_round_is_written(const struct log *log, uint64_t round);
/* A position for store_add_run. After log_rotate(round), once log_round_is_written, everything of `round` is below it:
 * of a file, all that is durable; of a remote log, nothing but the rounds up to `round`. */
struct store_position log_position(const struct log *log);
/* Whether a later round would release something. */
bool log_has_batches(const struct log *log);
/* The runs have everything of the rounds up to `round`. True: *spare_r is a segment that held it, and the caller owns
 * spare_r->fd (segment_recycler.h); call again. False: there is none left. */
bool log_release(struct log *log, uint64_t round, struct wal_spare *spare_r);

#endif
