/*
 * disk.h: what may stand on a disk at each moment of a trace, and images of it. What was flushed is there; of what was
 * issued and not flushed, each part may be there or not.
 *
 * What is assumed of file system and drive, as little as POSIX and the data sheets promise:
 * - An O_DSYNC write that completed whole is on the disk, with the size that it made. fsync and fdatasync put there
 *   what had been written to the file before the call, with its size; nothing of other files, nor any name: not even
 *   the file's own.
 * - A name (create, mkdir, unlink, rename) is on the disk after an fsync of its directory. Before that, each may be
 *   there or not, whatever the order: no journal is assumed to put one before another. A rename is there whole or not
 *   at all: of old and new name exactly one.
 * - A write that is not yet on the disk may be there, not be there, or be torn: any of its sectors of 512 bytes, each
 *   whole. Writes reach it in any order, to one place in the order of the calls. A file's size may be there before the
 *   bytes, which are zeros then. sync_file_range flushes nothing.
 * - What was flushed does not rot, a read gives what was written, and the drive does not lie about its cache.
 * - A file that is mapped to be written (LMDB's lock file) may hold anything.
 *
 * One thread. Whatever goes wrong here ends the process.
 */
#ifndef CHITCHAT_TESTS_POWER_DISK_H
#define CHITCHAT_TESTS_POWER_DISK_H

#include <stdbool.h>

#include "trace.h"

struct disk;

/* What a worse disk, or a server that flushes less, would do: to show that it is noticed. */
struct disk_faults {
    bool file_sync_is_nothing; /* fsync and fdatasync of files */
    bool dir_sync_is_nothing;
    bool small_sync_writes_are_plain; /* LMDB's meta pages, as without O_DSYNC */
    uint64_t lost_write_id;           /* an O_DSYNC write that completed is not there; 0: none */
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

/* `pool_dir` is there and empty: large files that do not change are made there once and linked into images. */
void disk_open(struct disk **disk_r, const char *pool_dir, const struct disk_faults *faults);
void disk_close(struct disk **disk);

/* The next record; `data` is copied. When a life begins, what was seen is compared with what the trace says. */
void disk_apply(struct disk *disk, const struct trace_record *record, const void *data);
/* Whether the record changes what may stand on a disk. */
bool disk_is_change(const struct trace_record *record);
/* Whether a life has begun. */
bool disk_is_live(const struct disk *disk);

/* How an image is chosen. */
enum disk_choice { DISK_NOTHING, DISK_EVERYTHING, DISK_BY_CHANCE };
/* Makes `dir` and in it one of the images that a cut now could leave. By chance: the one of `seed`. */
void disk_build(struct disk *disk, const char *dir, enum disk_choice choice, uint64_t seed, struct disk_counts *counts);

#endif
