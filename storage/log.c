#include "storage/log.h"

#include "base/assert.h"

void log_close(struct log *log)
{
    wal_close(&log->file);
}

int log_can_append(const struct log *log, uint32_t record_bytes)
{
    return wal_can_append(log->file, record_bytes);
}

/* -- the kinds of records -- */

int log_append(struct log *log, const struct record *record, uint64_t *sequence_r)
{
    void *at;
    int status = wal_reserve(log->file, record_encoded_bytes(record), &at);
    if (status == 0)
        *sequence_r = wal_commit(log->file, record_encode(record, at));
    return status;
}

int log_append_cut(struct log *log, struct span user, uint64_t ts, uint64_t *sequence_r)
{
    void *at;
    int status = wal_reserve(log->file, RECORD_CUT_BYTES_MAX, &at);
    if (status == 0)
        *sequence_r = wal_commit(log->file, record_encode_cut(user, ts, at));
    return status;
}

int log_append_mark(struct log *log, const struct record_mark *mark, uint64_t *sequence_r)
{
    void *at;
    int status = wal_reserve(log->file, RECORD_MARK_BYTES_MAX, &at);
    if (status == 0)
        *sequence_r = wal_commit(log->file, record_encode_mark(mark, at));
    return status;
}

uint32_t log_filling_records(const struct log *log)
{
    return wal_filling_records(log->file);
}

/* -- writes -- */

bool log_write_take(struct log *log, struct wal_write *write_r)
{
    return wal_write_take(log->file, write_r);
}

int log_write_done(struct log *log, int result, uint64_t *sequence_r)
{
    return wal_write_done(log->file, result, sequence_r);
}

bool log_write_is_in_flight(const struct log *log)
{
    return wal_write_is_in_flight(log->file);
}

bool log_has_failed(const struct log *log)
{
    return wal_has_failed(log->file);
}

/* -- rounds -- */

void log_rotate(struct log *log, uint64_t round)
{
    wal_rotate(log->file, round);
}

bool log_round_is_written(const struct log *log, uint64_t round)
{
    return wal_round_is_written(log->file, round);
}

struct store_position log_position(const struct log *log)
{
    return wal_position(log->file);
}

bool log_has_batches(const struct log *log)
{
    return wal_has_batches(log->file);
}

bool log_release(struct log *log, uint64_t round, struct wal_spare *spare_r)
{
    return wal_release(log->file, round, spare_r);
}
