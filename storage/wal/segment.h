/*
 * segment.h: the files of a log: made, zero-written, recycled, listed and mapped for reading. Everything here blocks:
 * never on a shard's thread. Files are `segment-NNNNNN.wal` in one directory.
 */
#ifndef CHITCHAT_STORAGE_WAL_SEGMENT_H
#define CHITCHAT_STORAGE_WAL_SEGMENT_H

#include "storage/wal/wal.h"

/* Makes a file number `file`, zero-writes it whole, syncs it and the directory, opens it O_DIRECT|O_DSYNC (plain
 * O_DSYNC where the file system has no O_DIRECT). 0 or -errno (-ENOSPC: nothing is left behind). The caller owns
 * spare_r->fd. */
int segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);

/* Opens an existing file for being recycled as a spare. 0 or -errno; -EINVAL if its size differs. */
int segment_reopen(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);

/* Overwrites the header of a file that is to be recycled with zeros, durably: what the file held before is not read
 * again, should the first write of its new life be torn. 0 or -errno. */
int segment_clear(struct wal_spare spare);

/* Closes (if open) and removes the file. */
int segment_remove(const char *dir, struct wal_spare spare);

/* The numbers of all segment files of `dir`, ascending, malloc'ed: the caller frees *files_r. 0 or -errno. */
int segment_list(const char *dir, uint32_t **files_r, uint32_t *count_r);

/* A segment mapped read-only. */
struct segment_map {
    const void *data;
    uint64_t bytes;
};
int segment_map(const char *dir, uint32_t file, struct segment_map *map_r);
void segment_unmap(struct segment_map *map);

/* fdatasync of the file, and fsync of the directory. 0 or -errno. */
int segment_sync(const char *dir, uint32_t file);
int segment_sync_dir(const char *dir);

#endif
