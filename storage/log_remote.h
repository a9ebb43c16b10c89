/*
 * log_remote.h: one slot's log in a log engine (log_engine.h): what stands behind log.h in a cluster. Which call of the
 * engine comes next, and what its result means, is decided by log_ownership.h; here are the calls, the batch that is
 * filled while another is appended, and the texts of errors.
 *
 * First the log is followed: log_remote_seek, then log_remote_call and log_remote_apply again and again, until the node
 * owns the slot. Then records are appended, as in wal.h.
 *
 * Only log_remote_seek and log_remote_call block. One thread at a time: recovery's or a standby's; then the shard's,
 * but between log_remote_write_take and log_remote_write_done a worker of the shard may be in log_remote_call: then the
 * shard calls nothing but what concerns the filling batch: log_remote_can_append to log_remote_begin,
 * log_remote_rotate, and questions.
 */
#ifndef CHITCHAT_STORAGE_LOG_REMOTE_H
#define CHITCHAT_STORAGE_LOG_REMOTE_H

#include "base/clock.h"
#include "base/metric.h"
#include "storage/log_ownership.h"
#include "storage/record.h"
#include "storage/store_position.h"

#define LOG_REMOTE_ERROR_BYTES (LOG_ENGINE_ERROR_BYTES + 256u)

struct log_remote;

/* What happened, to which slot, what to do. */
struct log_remote_error {
    char text[LOG_REMOTE_ERROR_BYTES];
};

/* What is counted of the calls of the engine, by the thread that makes them. */
struct log_remote_metrics {
    struct metric connected;                   /* 1: the engine has answered the newest call */
    struct metric appends[LOG_APPEND_RESULTS]; /* by enum log_append_result */
    struct histogram append;                   /* us, of all appends */
};
static const struct histogram_shape log_remote_append_shape = {.first = 7, .bounds = 18}; /* 128 us to 16.8 s */

struct log_remote_options {
    const struct log_engine *engine; /* borrowed, as the next three */
    const struct log_engine_options *where;
    const char *node; /* 1 to LOG_BATCH_NODE_BYTES characters */
    struct clock *clock;
    uint32_t slot;
    uint32_t timeout_ms;                /* of each call of the engine */
    struct log_remote_metrics *metrics; /* borrowed; NULL: nothing is counted */
};

/* Opens a session of its own; connects to nothing. 0, and the caller closes *remote_r; or -errno and *error_r. */
int log_remote_open(struct log_remote **remote_r, const struct log_remote_options *options,
                    struct log_remote_error *error_r);
/* No call may be in progress. Nulls *remote; NULL is fine. */
void log_remote_close(struct log_remote **remote);

/* -- following -- */

/* What is behind `position` is to be read: one that log_remote_position gave earlier, or {0, 0} for the whole log. Only
 * once. `tail`: a batch that the log must have, too (log_tail.h); NULL, or number 0: none is known. 0; -EBADMSG: the
 * log has another batch at `position`, or ends before it; or the engine's error. */
int log_remote_seek(struct log_remote *remote, struct store_position position, const struct ownership_mark *tail,
                    struct log_remote_error *error_r);
/* Makes the call of the engine that is next. 1: it is made; 0: there is none to make now: what can be applied comes
 * first, or the end of the log is reached; or the engine's error, and the same call is next. -EBADMSG: the log is
 * damaged, for good. */
int log_remote_call(struct log_remote *remote, struct log_remote_error *error_r);
/* Calls `visit` for each record that is committed and not yet applied, in order. 0; what `visit` returned if that is
 * not 0; -EBADMSG: a batch is no sequence of records. */
int log_remote_apply(struct log_remote *remote, int (*visit)(void *context, const struct record_fields *fields),
                     void *context);
/* What the node knows of the log, and whether it owns it. Borrowed. */
struct ownership *log_remote_ownership(struct log_remote *remote);

/* -- appending: the node owns the log, and all before its TAKE is applied -- */

/* As wal_can_append, wal_reserve and wal_commit, but there is always room for a batch: no -ENOSPC. */
int log_remote_can_append(const struct log_remote *remote, uint32_t record_bytes);
int log_remote_reserve(struct log_remote *remote, uint32_t record_bytes, void **at_r);
uint64_t log_remote_commit(struct log_remote *remote, uint32_t record_bytes);
/* Begins a batch if none is begun, so that one is appended even without a record: for a barrier. 0 and its number; or
 * as log_remote_can_append. */
int log_remote_begin(struct log_remote *remote, uint64_t *sequence_r);
/* Records in the filling batch. */
uint32_t log_remote_filling_records(const struct log_remote *remote);

/* Takes the filling batch, of *bytes_r bytes: true, and log_remote_run is due. */
bool log_remote_write_take(struct log_remote *remote, uint32_t *bytes_r);
/* One call of the engine for the batch that was taken. */
void log_remote_run(struct log_remote *remote);

enum log_remote_outcome {
    LOG_REMOTE_ACKED,   /* the batch is committed */
    LOG_REMOTE_AGAIN,   /* log_remote_run is due again, at once */
    LOG_REMOTE_LATER,   /* the same after a pause: the engine has failed; log_remote_error_text says why */
    LOG_REMOTE_DEPOSED, /* another node has the log: final; what is not committed is void */
    LOG_REMOTE_DAMAGED, /* the log is not what this node has appended: final */
};
/* After log_remote_run. *sequence_r: all batches up to this number are committed. */
enum log_remote_outcome log_remote_write_done(struct log_remote *remote, uint64_t *sequence_r);
bool log_remote_write_is_in_flight(const struct log_remote *remote);
/* Whether the node was deposed, or the log is damaged. */
bool log_remote_has_failed(const struct log_remote *remote);
/* Why the last log_remote_run did not acknowledge the batch; "": it did. Borrowed until the next. */
const char *log_remote_error_text(const struct log_remote *remote);

/* -- rounds, as in wal.h -- */

void log_remote_rotate(struct log_remote *remote, uint64_t round);
bool log_remote_round_is_written(const struct log_remote *remote, uint64_t round);
/* The end of the rounds that were rotated and are written, or of what was applied: the number of a batch, and the
 * beginning of its hash. */
struct store_position log_remote_position(const struct log_remote *remote);
/* The newest batch that was applied or acknowledged: committed. Borrowed; its owner is the shard's thread, as of the
 * filling batch. */
const struct ownership_mark *log_remote_newest(const struct log_remote *remote);
/* Whether a record was acknowledged since the last rotation. */
bool log_remote_has_batches(const struct log_remote *remote);

#endif
