#include "storage/log.h"

#include "base/assert.h"

void log_close(struct log *log)
{
    wal_close(&log->file);
    log_remote_close(&log->remote);
}

int log_can_append(const struct log *log, uint32_t record_bytes)
{
    return log->file != NULL ? wal_can_append(log->file, record_bytes)
                             : log_remote_can_append(log->remote, record_bytes);
}

/* -- the kinds of records -- */

static int reserve(struct log *log, uint32_t record_bytes, void **at_r)
{
    return log->file != NULL ? wal_reserve(log->file, record_bytes, at_r)
                             : log_remote_reserve(log->remote, record_bytes, at_r);
}

static uint64_t commit(struct log *log, uint32_t record_bytes)
{
    return log->file != NULL ? wal_commit(log->file, record_bytes) : log_remote_commit(log->remote, record_bytes);
}

int log_append(struct log *log, const struct record *record, uint64_t *sequence_r)
{
    void *at;
    int status = reserve(log, record_encoded_bytes(record), &at);
    if (status == 0)
        *sequence_r = commit(log, record_encode(record, at));
    return status;
}

int log_append_cut(struct log *log, struct span user, uint64_t ts, uint64_t *sequence_r)
{
    void *at;
    int status = reserve(log, RECORD_CUT_BYTES_MAX, &at);
    if (status == 0)
        *sequence_r = commit(log, record_encode_cut(user, ts, at));
    return status;
}

int log_append_mark(struct log *log, const struct record_mark *mark, uint64_t *sequence_r)
{
    void *at;
    int status = reserve(log, RECORD_MARK_BYTES_MAX, &at);
    if (status == 0)
        *sequence_r = commit(log, record_encode_mark(mark, at));
    return status;
}

int log_begin(struct log *log, uint64_t *sequence_r)
{
    ASSERT(log->remote != NULL);
    return log_remote_begin(log->remote, sequence_r);
}

uint32_t log_filling_records(const struct log *log)
{
    return log->file != NULL ? wal_filling_records(log->file) : log_remote_filling_records(log->remote);
}

/* -- writes -- */

bool log_write_take(struct log *log, struct log_write *write_r)
{
    write_r->is_job = log->file == NULL;
    if (write_r->is_job)
        return log_remote_write_take(log->remote, &write_r->bytes);
    if (!wal_write_take(log->file, &write_r->file))
        return false;
    write_r->bytes = write_r->file.bytes;
    return true;
}

void log_write_run(struct log *log)
{
    ASSERT(log->remote != NULL);
    log_remote_run(log->remote);
}

enum log_outcome log_write_done(struct log *log, int result, uint64_t *sequence_r)
{
    if (log->file != NULL)
        return wal_write_done(log->file, result, sequence_r) == 0 ? LOG_DURABLE : LOG_FAILED;
    switch (log_remote_write_done(log->remote, sequence_r)) {
    case LOG_REMOTE_ACKED: return LOG_DURABLE;
    case LOG_REMOTE_AGAIN: return LOG_AGAIN;
    case LOG_REMOTE_LATER: return LOG_LATER;
    case LOG_REMOTE_DEPOSED: return LOG_DEPOSED;
    case LOG_REMOTE_DAMAGED: return LOG_FAILED;
    }
    return LOG_FAILED;
}

bool log_write_is_in_flight(const struct log *log)
{
    return log->file != NULL ? wal_write_is_in_flight(log->file) : log_remote_write_is_in_flight(log->remote);
}

bool log_has_failed(const struct log *log)
{
    return log->file != NULL ? wal_has_failed(log->file) : log_remote_has_failed(log->remote);
}

const char *log_error_text(const struct log *log)
{
    return log->remote != NULL ? log_remote_error_text(log->remote) : "";
}

/* -- rounds -- */

void log_rotate(struct log *log, uint64_t round)
{
    if (log->file != NULL)
        wal_rotate(log->file, round);
    else
        log_remote_rotate(log->remote, round);
}

bool log_round_is_written(const struct log *log, uint64_t round)
{
    return log->file != NULL ? wal_round_is_written(log->file, round) : log_remote_round_is_written(log->remote, round);
}

struct store_position log_position(const struct log *log)
{
    return log->file != NULL ? wal_position(log->file) : log_remote_position(log->remote);
}

bool log_has_batches(const struct log *log)
{
    return log->file != NULL ? wal_has_batches(log->file) : log_remote_has_batches(log->remote);
}

bool log_release(struct log *log, uint64_t round, struct wal_spare *spare_r)
{
    return log->file != NULL && wal_release(log->file, round, spare_r);
}
