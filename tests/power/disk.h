/*
 * disk.h: what may be on a disk at each moment of a trace, and images of that. What was flushed is on the disk; of what
 * was issued and not flushed, each part may be on the disk or not.
 *
 * Assumptions about file system and drive, no more than POSIX and data sheets promise:
 * - An O_DSYNC write that completed whole is on the disk, with the file size that resulted. fsync and fdatasync put on
 *   the disk what had been written to the file before the call, and the file's size; nothing of other files, and no
 *   name, not even the file's own.
 * - A name (create, mkdir, unlink, rename) is on the disk after an fsync of its directory. Before that, each change may
 *   be on the disk or not, in any order: no journal is assumed. A rename is atomic: exactly one of the old and the new
 *   name is on the disk.
 * - A write that was not flushed may be on the disk, be missing, or be torn: any of its sectors of 512 bytes, each
 *   whole. Writes reach the disk in any order, but to one place in the order of the calls. A file's size may be on the
 *   disk before the bytes, which are then zeros. sync_file_range flushes nothing.
 * - What was flushed does not decay, a read returns what was written, and the drive does not lie about its cache.
 * - A file that is mapped to be written (LMDB's lock file) may hold anything.
 *
 * One thread. An error ends the process.
 */
#ifndef CHITCHAT_TESTS_POWER_DISK_H
#define CHITCHAT_TESTS_POWER_DISK_H

#include <stdbool.h>

#include "trace.h"

struct disk;

/* What a worse disk, or a server that flushes less, would do: the checker must notice each. */
struct disk_faults {
    bool file_sync_is_nothing; /* fsync and fdatasync of files */
    bool dir_sync_is_nothing;
    bool small_sync_writes_are_plain; /* LMDB's meta pages, as without O_DSYNC */
    uint64_t lost_write_id;           /* an O_DSYNC write that completed, and is lost; 0: none */
};

/* Of all images so far. */
struct disk_counts {
    uint64_t images;
    uint64_t kept; /* unflushed writes */
    uint64_t dropped;
    uint64_t torn;
    uint64_t names_kept; /* unflushed changes of directories */
    uint64_t names_dropped;
};

/* `pool_dir` exists and is empty: large files that do not change are made in it once and linked into images. */
void disk_open(struct disk **disk_r, const char *pool_dir, const struct disk_faults *faults);
void disk_close(struct disk **disk);

/* The next record; `data` is copied. When a life begins, the files that it sees are compared with the trace so far. */
void disk_apply(struct disk *disk, const struct trace_record *record, const void *data);
/* Whether the record changes what may be on a disk. */
bool disk_is_change(const struct trace_record *record);
/* Whether a life has begun. */
bool disk_is_live(const struct disk *disk);

/* How an image is chosen. */
enum disk_choice { DISK_NOTHING, DISK_EVERYTHING, DISK_BY_CHANCE };
/* Makes `dir` and in it one of the images that a power cut now could leave; DISK_BY_CHANCE: as `seed` decides. */
void disk_build(struct disk *disk, const char *dir, enum disk_choice choice, uint64_t seed, struct disk_counts *counts);

#endif
