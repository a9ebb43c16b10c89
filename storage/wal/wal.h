/*
 * wal.h: the write-ahead log of one shard, as a plan: it fills batches and says which bytes go where, and is told
 * what became of them. It does no I/O while running: the caller writes (through io.h), and segment files are made
 * ready elsewhere (segment.h) and handed in.
 *
 * A segment is a file of a fixed size, zero-written before its first use and recycled after. Block 0 (4 KiB) is
 * its header: magic, version, shard, this segment's generation (never used twice, strictly growing), the previous
 * generation, and a table {generation, sealed bytes} of the earlier segments that are still live, so that every
 * segment but the newest has a durable end. The rest are batches: each a whole number of 4 KiB blocks, a batch
 * header {magic, generation, sequence, payload bytes, record count, CRC32C} and records (record.h), zero padded. The
 * CRC covers header and payload and is seeded by the generation, so that what an earlier life of the file left is
 * never taken for valid. A batch lies in one segment. One write is in flight at a time; two buffers take turns.
 * (wal_format.h has the bytes.)
 *
 * One thread (the shard's). A failed write is final: the log takes nothing more (wal_has_failed), the batch stays
 * unsettled until the process ends.
 */
#ifndef CHITCHAT_STORAGE_WAL_WAL_H
#define CHITCHAT_STORAGE_WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/record.h"
#include "storage/store_position.h"

#define WAL_BLOCK_BYTES 4096u
#define WAL_BATCH_BYTES_MAX (1u << 20) /* header and padding included */
#define WAL_SEGMENT_BYTES_DEFAULT (32u << 20)
#define WAL_SEGMENT_BYTES_MIN (4u << 20)
#define WAL_LIVE_SEGMENTS_MAX 128u /* the header's table holds one entry for each earlier live segment */
#define WAL_SPARES_WANTED 2u       /* in hand while running: one may be needed for each round of a rotation */
#define WAL_SPARES_MAX 16u         /* may be given: recycled ones come on top of those wanted */

struct wal;

/* A zero-written file, ready to become a segment. */
struct wal_spare {
    uint32_t file; /* number in its name, stable over recycling */
    int fd;        /* O_DIRECT | O_DSYNC */
};

/* One earlier, sealed segment that must not go yet. */
struct wal_sealed {
    uint64_t generation;
    uint64_t bytes; /* its valid end */
    uint32_t file;
    int fd;         /* -1 if not open */
    uint64_t round; /* checkpoint round whose end lets it go */
};

struct wal_options {
    uint32_t shard;
    uint32_t segment_bytes;
};

/* One write that the caller is to do, durable when it completes. `data` is aligned to 4 KiB and stands until
 * wal_write_done. */
struct wal_write {
    int fd;
    const void *data;
    uint32_t bytes;
    uint64_t offset;
};

/* A log whose next segment gets a generation above `generation_last`, the newest that was ever used: of all headers,
 * and of the applied position in LMDB, since the files may be gone. `sealed` (count, copied, ascending by generation,
 * at most WAL_LIVE_SEGMENTS_MAX + 1) are the segments that recovery left live; a segment without records need not be
 * among them. 0, and it owns their descriptors; or -ENOMEM. */
int wal_open(struct wal **wal_r, const struct wal_options *options, uint64_t generation_last,
             const struct wal_sealed *sealed, uint32_t sealed_count);
/* Closes the descriptors it holds. The kernel must have let go of a write that was taken. Nulls *wal. */
void wal_close(struct wal **wal);

/* How many more spare files it wants in hand (2 while running, 0 when failed), and takes one: it owns the fd from then
 * on. Spares are used in the order in which they were given. */
uint32_t wal_spares_wanted(const struct wal *wal);
/* Spares in hand. */
uint32_t wal_spare_count(const struct wal *wal);
void wal_give_spare(struct wal *wal, struct wal_spare spare);

/* Whether wal_append would take a record of `record_bytes` now: 0; -EAGAIN (the filling batch is full, or of the round
 * before: it has to be taken first, so wait for the write in flight); -ENOSPC (no segment is ready, or too many are
 * live: `busy`); -EIO (failed). What was taken has its place: it needs no spare that is not in hand. */
int wal_can_append(const struct wal *wal, uint32_t record_bytes);
/* Copies the record into the filling batch. *sequence_r: the batch it is in. Returns as wal_can_append. */
int wal_append(struct wal *wal, const struct record *record, uint64_t *sequence_r);

/* Takes the filling batch for writing: true and *write_r if there is one and none is in flight. A batch that starts
 * a segment is written together with the segment's header. */
bool wal_write_take(struct wal *wal, struct wal_write *write_r);
/* Takes a write that begins a segment with its header alone: for recovery, which must have the ends at which it cut on
 * the disk before anybody sees what it restored. Nothing may have been appended yet. True and *write_r; false when
 * no spare is in hand, too many segments are live, or a segment is in use already. wal_write_done as ever. */
bool wal_write_take_header(struct wal *wal, struct wal_write *write_r);
/* Tells the result (bytes or -errno) of the write in flight. Returns 0 and *sequence_r, up to which all is durable
 * (0: no batch yet); or -EIO when it failed or was short: the log has failed. */
int wal_write_done(struct wal *wal, int result, uint64_t *sequence_r);
bool wal_write_is_in_flight(const struct wal *wal);
bool wal_has_failed(const struct wal *wal);
/* Nothing filling, nothing in flight, and no failed write, which stays unsettled for ever. */
bool wal_is_empty(const struct wal *wal);
/* Records in the batch that is being filled. */
uint32_t wal_filling_records(const struct wal *wal);

/* Checkpoint rounds. wal_rotate: what is appended from now on goes to new segments, of a round that the next wal_rotate
 * names (so it is above `round`); segments in use until now belong to rounds up to `round`. The filling batch, if any,
 * still belongs to `round`. Rounds never go down. Nothing is written for an empty segment. */
void wal_rotate(struct wal *wal, uint64_t round);
/* Whether everything appended before wal_rotate(round), which has been called, has been written. */
bool wal_round_is_written(const struct wal *wal, uint64_t round);
/* The position at the end of what is durable: for store_add_run. After wal_rotate(round) and once
 * wal_round_is_written, everything of `round` lies below it. Before the first write: the end of the newest sealed
 * segment if it is of `generation_last`, else {generation_last, 0}. */
struct store_position wal_position(const struct wal *wal);
/* Takes back, one by one, oldest first, the segments of rounds up to `round`: true and *spare_r, a file that may be
 * recycled by giving it as a spare again (fd open), or be removed by the caller, who owns the fd. A segment taken in a
 * recovery may have fd -1. The segment in use goes too if it was rotated away and nothing more is to be written to it.
 * So the newest header's table may name segments that are gone: never above the applied position of the log. */
bool wal_release(struct wal *wal, uint64_t round, struct wal_spare *spare_r);
/* Sealed ones and the one in use. */
uint32_t wal_live_segments(const struct wal *wal);

/* -- Reading segments (recovery, verify): pure, over bytes in memory -- */

struct wal_header {
    uint32_t shard;
    uint64_t generation;
    uint64_t previous;   /* newest generation before it, live or not; 0: none */
    uint64_t file_bytes; /* of the segment's own file, to know one that was cut short; 0: not told */
    uint32_t sealed_count;
    struct {
        uint64_t generation, bytes;
    } sealed[WAL_LIVE_SEGMENTS_MAX];
};

/* Writes block 0. `block` has WAL_BLOCK_BYTES. */
void wal_header_encode(const struct wal_header *header, void *block);
/* 0; -ENODATA: no header (a spare file: zeros, or what a torn first write left); -EPROTO: a whole header of another
 * version. */
int wal_header_decode(const void *block, struct wal_header *header_r);
/* Whether a block that does not decode is damaged: neither zeros nor what a write of a header leaves when it is torn at
 * sectors of 512 bytes over zeros, as which every file begins its life as a segment. */
bool wal_header_is_damaged(const void *block);

enum wal_end {
    WAL_END_CLEAN,  /* the limit, zeros or another generation follow the last batch */
    WAL_END_TORN,   /* the next batch is cut or garbled and no valid later batch of this generation follows */
    WAL_END_DAMAGE, /* a valid later batch of this generation follows, or a batch out of order: no crash does that */
};

struct wal_scan {
    uint64_t end_bytes; /* offset after the last valid batch */
    uint64_t batch_count;
    uint64_t record_count;
    enum wal_end end;
    uint64_t damage_bytes; /* offset of the first bad batch, when not clean */
};

/* Goes over the batches of a segment of `bytes` at `data` with `generation`, up to `limit_bytes` (its sealed length,
 * or `bytes`), and calls `visit` for each record of each valid batch, in order. `visit` returns 0, else the scan
 * ends and returns that. A record that does not decode inside a batch with a good CRC is -EBADMSG. *scan_r is filled
 * whatever it returns; in a sealed segment end_bytes below the sealed length is damage, however it ends. */
int wal_scan(const void *data, uint64_t bytes, uint64_t generation, uint64_t limit_bytes,
             int (*visit)(void *context, const struct record_fields *fields), void *context, struct wal_scan *scan_r);

/* What a file without a header still holds. */
struct wal_stray {
    uint64_t generation;  /* newest of all valid batches, 0: no valid batch */
    uint64_t first_bytes; /* offset of the first and the last batch of that generation */
    uint64_t last_bytes;
};

/* Looks for valid batches of any generation in a file whose header does not decode. A torn first write of a segment can
 * leave its first batch, at WAL_BLOCK_BYTES, whole, but nothing beyond: a batch further on, of a generation above all
 * that headers name, shows that the header of the newest segment was lost after it had been written. */
void wal_scan_stray(const void *data, uint64_t bytes, struct wal_stray *stray_r);

#endif
