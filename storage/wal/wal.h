/*
 * wal.h: the write-ahead log (WAL) of one shard. A struct wal fills batches and says which bytes are to be written
 * where; its caller writes them and reports the results. The struct wal itself does no I/O: the shard writes through
 * its io loop, recovery with pwrite, and the segment recycler makes the segment files (segment.h) and gives them as
 * spares.
 *
 * A segment is a file of a fixed size, which is written with zeros before its first use and recycled later. Block 0
 * (4 KiB) is its header: magic, version, shard, the segment's generation (strictly growing, never used twice), the
 * generation before, the size of the file, and a table {generation, sealed bytes} of the earlier segments that are
 * still live. So every segment but the newest has a durable end. Batches follow the header. A batch has a header
 * {magic, generation, sequence, payload bytes, record count, CRC32C} and records (record.h), padded with zeros to whole
 * blocks of 4 KiB. The CRC covers header and payload and is seeded with the generation, so that a batch of an earlier
 * use of the file is never valid. A batch lies in one segment. One write is in flight at a time: one of two buffers is
 * filled while the other is written. wal_format.h defines the bytes.
 *
 * One thread: recovery's, then the shard's. A failed write is final: the WAL takes nothing more (wal_has_failed), and
 * the batch stays unsettled until the process ends. The functions that read segments are pure; any thread.
 */
#ifndef CHITCHAT_STORAGE_WAL_WAL_H
#define CHITCHAT_STORAGE_WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/record.h"
#include "storage/store_position.h"
#include "storage/wal_assigned.h"

#define WAL_BLOCK_BYTES 4096u
#define WAL_SEGMENT_BYTES_DEFAULT (32u << 20)
#define WAL_BATCH_BYTES_MAX (1u << 20) /* header and padding included */
/* The simulator, which is built with faults, comes to more rotations with smaller segments, and takes less time. */
#ifdef CHITCHAT_FAULTS
#define WAL_SEGMENT_BYTES_MIN (1280u << 10)
#else
#define WAL_SEGMENT_BYTES_MIN (4u << 20)
#endif
_Static_assert(WAL_BLOCK_BYTES + WAL_BATCH_BYTES_MAX <= WAL_SEGMENT_BYTES_MIN, "a batch fits a segment");
#define WAL_LIVE_SEGMENTS_MAX 128u /* the header's table holds one entry for each earlier live segment */
#define WAL_SPARES_WANTED 2u       /* available while running: one may be needed for each round of a rotation */
#define WAL_SPARES_MAX 16u         /* that a WAL can have: recycled ones are given beyond those wanted */
_Static_assert(WAL_ASSIGNED_MAX == 2 + WAL_SPARES_MAX, "the list has room for two segments and all spares");

struct wal;

/* A file that is ready to become a segment. */
struct wal_spare {
    uint32_t file; /* the number in its name, which recycling does not change */
    int fd;        /* O_DIRECT | O_DSYNC */
};

/* An earlier, sealed segment that is still live. */
struct wal_sealed {
    uint64_t generation;
    uint64_t bytes; /* the end of its batches */
    uint32_t file;
    int fd;         /* -1 if not open */
    uint64_t round; /* the checkpoint round whose end releases it */
};

struct wal_options {
    uint32_t shard;
    uint32_t segment_bytes;
    struct store_position applied; /* in the manifest; {0}: there is none */
};

/* A write that the caller does. `data`, `bytes` and `offset` are multiples of 4 KiB. The WAL owns fd and data, which
 * stand until wal_write_done. */
struct wal_write {
    int fd;
    const void *data;
    uint32_t bytes;
    uint64_t offset;
};

/* A WAL whose next segment gets a generation above `generation_last`, the newest one ever used: by any header, by the
 * applied position in the manifest, since the segment may be gone, or by the manifest's list (wal_assigned.h), since a
 * write of a killed server may still come. `sealed` (copied, ascending by generation, at
 * most WAL_LIVE_SEGMENTS_MAX + 1, asserted) are the segments that recovery left live; segments without records may be
 * left out. 0, and the WAL owns their descriptors; or -ENOMEM. The caller closes *wal_r. */
int wal_open(struct wal **wal_r, const struct wal_options *options, uint64_t generation_last,
             const struct wal_sealed *sealed, uint32_t sealed_count);
/* Closes all descriptors. No write may be in flight in the kernel. Nulls *wal; NULL is fine. */
void wal_close(struct wal **wal);

/* How many spares are missing from WAL_SPARES_WANTED; 0 after a failed write. */
uint32_t wal_spares_wanted(const struct wal *wal);
/* Available spares. */
uint32_t wal_spare_count(const struct wal *wal);
/* Owns spare.fd from now on. Spares are used in the order in which they were given. At most WAL_SPARES_MAX (asserted).
 */
void wal_give_spare(struct wal *wal, struct wal_spare spare);

/* Takes back all spares, if one of them has a file number below `file`, no record waits to be written, and the segment
 * in use, if there is one, goes on and has room for a batch of any size. Returns how many, at spares_r (room for
 * WAL_SPARES_MAX), whose descriptors the caller owns. Their generations are given to the next spares. */
uint32_t wal_take_back_spares(struct wal *wal, uint32_t file, struct wal_spare *spares_r);

/* The newest sealed segment, the one in use, and the spares, each with its generation. So the list has the newest
 * generation ever used, without a file if no file has it, unless the applied position has it. */
void wal_assigned_read(const struct wal *wal, struct wal_assigned *assigned_r);
/* The generation that the next spare given will have. The use of a spare does not change it. */
uint64_t wal_generation_of_next_spare(const struct wal *wal);

/* Whether a record of `record_bytes` would be taken now. 0: yes, and there is room for it. -EAGAIN: the filling batch
 * is full, or of the round before; it must be taken for writing first, so wait for the write in flight. -ENOSPC: no
 * spare is available, or too many segments are live. -EIO: a write has failed. */
int wal_can_append(const struct wal *wal, uint32_t record_bytes);
/* The place of the next record in the filling batch, with room for `record_bytes`. Returns as wal_can_append; after 0
 * the caller writes the record to *at_r, and calls wal_commit before anything else. */
int wal_reserve(struct wal *wal, uint32_t record_bytes, void **at_r);
/* A record of `record_bytes`, at most what was reserved (asserted), is at the place of wal_reserve. Returns the number
 * of its batch. */
uint64_t wal_commit(struct wal *wal, uint32_t record_bytes);

/* Takes the filling batch for writing: true and *write_r. False: there is no batch, a write is in flight, or one has
 * failed. A batch that begins a segment is written together with the segment's header. */
bool wal_write_take(struct wal *wal, struct wal_write *write_r);
/* For recovery: takes a write of a header alone, which begins a segment and names the ends of all live ones. That must
 * be durable before a client sees what recovery restored. Before any append (asserted). True and *write_r; false: no
 * spare is available, too many segments are live, a segment is in use already, or a write has failed. Report the result
 * with wal_write_done. */
bool wal_write_take_header(struct wal *wal, struct wal_write *write_r);
/* Reports the result (bytes or -errno) of the write in flight. 0: all batches up to number *sequence_r are durable (0:
 * no batch yet). -EIO: the write failed or was short, and so the WAL has failed. */
int wal_write_done(struct wal *wal, int result, uint64_t *sequence_r);
/* Whether a write was taken whose result is not reported yet. */
bool wal_write_is_in_flight(const struct wal *wal);
bool wal_has_failed(const struct wal *wal);
/* For tests: whether no record is unsettled. After a failed write its batch is, for ever. */
bool wal_is_empty(const struct wal *wal);
/* Records in the batch that is being filled. */
uint32_t wal_filling_records(const struct wal *wal);

/* Checkpoint rounds. wal_rotate ends the round `round`: segments in use until now belong to rounds up to `round`, and
 * so does the filling batch, if any. Later appends go to new segments, of a round above it, which the next wal_rotate
 * ends. `round` is not below that of the call before (asserted). An empty segment stays in use. */
void wal_rotate(struct wal *wal, uint64_t round);
/* Whether everything appended before wal_rotate(round), which was called (asserted), is durable. */
bool wal_round_is_written(const struct wal *wal, uint64_t round);
/* The end of what is durable, for store_add_run. After wal_rotate(round), once wal_round_is_written, everything of
 * `round` is below it. Before the first write: the end of the newest sealed segment, or options->applied if that is
 * further. A position of a generation that no header has would say that all sealed segments are gone (wal_survey.h). */
struct store_position wal_position(const struct wal *wal);
/* Takes the oldest segment of the rounds up to `round`: true and *spare_r. False: there is none. The caller owns
 * spare_r->fd, and recycles the file (segment_clear, wal_give_spare) or removes it. The fd of a segment from recovery
 * may be -1. The segment in use is taken too if it was rotated and nothing more is to be written to it. So the table of
 * the newest header may name segments that are gone; they are all below the applied position. */
bool wal_release(struct wal *wal, uint64_t round, struct wal_spare *spare_r);
/* Live segments: the sealed ones and the one in use. */
uint32_t wal_live_segments(const struct wal *wal);
/* Whether a live segment has batches: then a round releases it. */
bool wal_has_batches(const struct wal *wal);

/* -- Reading segments: pure, over bytes in memory -- */

struct wal_header {
    uint32_t shard;
    uint64_t generation;
    uint64_t previous;   /* the newest generation before it, live or not; 0: none */
    uint64_t file_bytes; /* the size of the segment's file, to notice one that was cut short; 0: unknown */
    uint32_t sealed_count;
    struct {
        uint64_t generation, bytes;
    } sealed[WAL_LIVE_SEGMENTS_MAX];
};

/* Writes block 0 to `block` (WAL_BLOCK_BYTES). */
void wal_header_encode(const struct wal_header *header, void *block);
/* Reads block 0. 0; -ENODATA: there is no header (zeros in a spare, or what a torn first write left); -EPROTO: a whole
 * header that this version does not know; -EBADMSG: a whole header of generation 0, which no segment has. */
int wal_header_decode(const void *block, struct wal_header *header_r);
/* Whether a block is damaged: not a whole header, not zeros, and not what a write of a header over zeros leaves when it
 * is torn at sectors of 512 bytes. Before its first write block 0 of every segment is zeros. */
bool wal_header_is_damaged(const void *block);

enum wal_end {
    WAL_END_CLEAN,  /* the limit, zeros or another generation follow the last batch */
    WAL_END_TORN,   /* the next batch is incomplete, and no valid batch of this generation follows it */
    WAL_END_DAMAGE, /* a valid batch of this generation follows a bad one, or one is out of order: no crash does that */
};

struct wal_scan {
    uint64_t end_bytes; /* offset after the last valid batch */
    uint64_t batch_count;
    uint64_t record_count;
    enum wal_end end;
    uint64_t damage_bytes; /* offset of the first bad batch, when not clean */
};

/* Reads the batches of the segment of `generation` in `bytes` at `data`, up to `limit_bytes` (its sealed length, or
 * `bytes`), and calls `visit` for each record of each valid batch, in order. If `visit` does not return 0, the scan
 * ends and returns that. -EBADMSG: a batch with a good CRC has a bad record. *scan_r is set in all cases. In a sealed
 * segment an end_bytes below the sealed length is damage, however it ends. Borrows all; `fields` until `visit` returns.
 */
int wal_scan(const void *data, uint64_t bytes, uint64_t generation, uint64_t limit_bytes,
             int (*visit)(void *context, const struct record_fields *fields), void *context, struct wal_scan *scan_r);

/* The batches in a file without a header. */
struct wal_stray {
    uint64_t generation;  /* the newest of all valid batches; 0: there is none */
    uint64_t first_bytes; /* offsets of the first and the last batch of that generation */
    uint64_t last_bytes;
};

/* Finds valid batches of any generation in a file whose header does not decode. A torn first write of a segment can
 * leave its first batch, at WAL_BLOCK_BYTES, whole, but nothing behind it. So a batch further on, of a generation above
 * all that headers name, shows that the header of the newest segment was written and lost. */
void wal_scan_stray(const void *data, uint64_t bytes, struct wal_stray *stray_r);

#endif
